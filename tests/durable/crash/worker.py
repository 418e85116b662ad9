"""The service of a crash test, in a process of its own: it is killed, and started again.

What it was asked to do and what it was promised is in the log. Whatever breaks a promise is logged
as "wrong".
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvloop

import penstock as ps
from durable.crash.log import Line, Log
from durable.crash.workload import APPROVAL, KINDS, WORLD, durability_of, kind_of, run_id_of
from penstock._durability import Durability

ABANDONED = 7
"""One run in so many is not asked for again if its start was not acknowledged."""


@dataclass
class Known:
    """What the log says so far.

    Attributes:
        asked: runs whose start was asked for.
        accepted: those that were acknowledged.
        signalled: those whose signal was acknowledged.
        ended: those whose end was told, and what was told.
        effects: idempotency keys that had an effect.
    """

    asked: set[int] = field(default_factory=set[int])
    accepted: set[int] = field(default_factory=set[int])
    signalled: set[int] = field(default_factory=set[int])
    ended: dict[int, object] = field(default_factory=dict[int, object])
    effects: set[str] = field(default_factory=set[str])

    def take(self, lines: Iterable[Line]) -> None:
        """Take in what was added to the log."""
        for what, _, _, facts in lines:
            match what:
                case "asked":
                    self.asked.update(facts["numbers"])
                case "accepted":
                    self.accepted.update(facts["numbers"])
                case "signalled":
                    self.signalled.add(facts["number"])
                case "ended":
                    self.ended[facts["number"]] = facts["outcome"]
                case "effect":
                    self.effects.add(facts["key"])
                case _:
                    pass

    def lost(self, number: int) -> bool:
        """Whether nobody knows if the run was accepted, and nobody asks again."""
        return number % ABANDONED == 0 and number not in self.accepted


class Service:
    """One life of the service."""

    def __init__(self, rt: ps.Runtime, log: Log, known: Known, dice: random.Random) -> None:
        self._rt = rt
        self._log = log
        self._known = known
        self._dice = dice

    async def serve(self, new: list[int]) -> None:
        """Take up what is under way, start the new runs, and wait for the end of all."""
        self._look_back()
        known = self._known
        async with asyncio.TaskGroup() as tasks:
            for number in sorted(known.asked - known.ended.keys()):
                tasks.create_task(self._again(number))
            # As of a busy service: several at once, some of them in batches of one workflow.
            numbers = self._dice.sample(new, len(new))
            while numbers:
                some = numbers[: self._dice.randint(1, 8)]
                del numbers[: len(some)]
                if self._dice.random() < 0.3:
                    same = [n for n in some if kind_of(n) == kind_of(some[0])]
                    tasks.create_task(self._batch(same))
                    some = [n for n in some if n not in same]
                for number in some:
                    tasks.create_task(self._start(number))
                await asyncio.sleep(self._dice.choice((0.0, 0.0, 0.002)))

    def _look_back(self) -> None:
        """What was told of some runs is still so."""
        ended = list(self._known.ended)
        for number in self._dice.sample(ended, min(len(ended), 5)):
            status = self._rt.get(run_id_of(number)).status
            if status not in ("succeeded", "compensated"):
                self._wrong(number, f"had ended, and is {status} now")

    async def _again(self, number: int) -> None:
        if number in self._known.accepted or self._known.lost(number):
            try:
                run = self._rt.get(run_id_of(number))
            except ps.RunNotFound:
                if not self._known.lost(number):
                    self._wrong(number, "was accepted, and is not in the store")
                return
            await self._follow(number, run)
        else:
            await self._start(number)

    async def _start(self, number: int) -> None:
        kind = KINDS[kind_of(number)]
        self._log.write("asked", numbers=[number])
        WORLD.point("before a start")
        starting = self._rt.start(
            kind.workflow,
            number,
            run_id=run_id_of(number),
            durability=durability_of(number),
            tags={"number": str(number)},
        )
        run = await starting
        WORLD.point("after a start")
        self._log.write("accepted", numbers=[number])
        await self._follow(number, run)

    async def _batch(self, numbers: list[int]) -> None:
        """Start runs together that are of one kind, and of one mode each time."""
        by_mode: dict[Durability, list[int]] = {}
        for number in numbers:
            by_mode.setdefault(durability_of(number), []).append(number)
        for mode, same in by_mode.items():
            await self._of_mode(mode, same)

    async def _of_mode(self, mode: Durability, numbers: list[int]) -> None:
        self._log.write("asked", numbers=numbers)
        WORLD.point("before a start")
        runs = await self._rt.start_many(
            KINDS[kind_of(numbers[0])].workflow,
            numbers,
            run_ids=map(run_id_of, numbers),
            durability=mode,
        )
        WORLD.point("after a start")
        self._log.write("accepted", numbers=numbers)
        async with asyncio.TaskGroup() as tasks:
            for number, run in zip(numbers, runs, strict=True):
                tasks.create_task(self._follow(number, run))

    async def _follow(self, number: int, run: ps.Run[Any]) -> None:
        if kind_of(number) == "approved" and number not in self._known.signalled:
            await self._approve(number, run)
        while True:
            try:
                outcome = await run.result()
            except ps.OutcomeUnknown as error:
                await self._resolve(number, run, error.node or "")
                continue
            except ps.RunFailed as error:
                if run.status != "compensated":
                    self._wrong(number, f"is {run.status}: {error}")
                outcome = None
            break
        expected = KINDS[kind_of(number)].gives(number)
        if outcome != expected:
            self._wrong(number, f"gave {outcome!r}, not {expected!r}")
        self._log.write("ended", number=number, outcome=outcome)
        WORLD.point("after an end")

    async def _approve(self, number: int, run: ps.Run[Any]) -> None:
        """Bring the signal, at times before anybody waits for it."""
        if self._dice.random() < 0.5:
            while run.status == "running" and not await run.awaiting():
                await asyncio.sleep(0.002)
        try:
            await run.signal(APPROVAL, f"yes {number}")
        except ps.RunNotFound:
            return  # an earlier life has brought it, and went down before it could say so
        WORLD.point("after a signal")
        self._log.write("signalled", number=number)

    async def _resolve(self, number: int, run: ps.Run[Any], node: str) -> None:
        """Find out outside whether a step had its effect."""
        if f"{run.run_id}:{node}" in self._known.effects:
            resolved = await run.resolve(node, result=number + 2)
        else:
            resolved = await run.resolve(node, retry=True)
        self._log.write("resolved", number=number, node=node)
        if not resolved:
            self._wrong(number, f"{node} could not be resolved")

    def _wrong(self, number: int, what: str) -> None:
        self._log.write("wrong", number=number, text=f"{run_id_of(number)} {what}")


async def live(store: Path, log: Log, known: Known, seed: int, new: list[int]) -> None:
    """One life: until everything asked for has ended."""
    workflows = [kind.workflow for kind in KINDS.values()]
    dice = WORLD.dice = random.Random(seed)
    async with ps.Runtime(
        store, workflows=workflows, max_recoveries=1_000_000, check_payloads=False
    ) as rt:
        log.write("open")
        await Service(rt, log, known, dice).serve(new)
        await rt.join()


def run(store: Path, log: Log, known: Known, seed: int, new: list[int]) -> None:
    """The whole of a process."""
    WORLD.log = log
    new_loop = uvloop.new_event_loop if seed % 2 else asyncio.new_event_loop
    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(live(store, log, known, seed, new))


async def audit(store: Path, numbers: Iterable[int]) -> dict[str, dict[str, Any]]:
    """What a store says of runs, and of the children they have spawned; asked of a new process."""
    workflows = [kind.workflow for kind in KINDS.values()]
    found: dict[str, dict[str, Any]] = {}
    async with ps.Runtime(store, workflows=workflows) as rt:
        ids = [run_id_of(number) for number in numbers]
        ids += [f"{run_id}/child" for run_id in ids if run_id.startswith("spawning")]
        for run_id in ids:
            try:
                run = rt.get(run_id)
            except ps.RunNotFound:
                continue
            try:
                outcome = await run.result()
            except ps.RunFailed:
                outcome = None
            rows = [
                (event.kind, event.node, event.attempt, event.at, event.due)
                for event in await run.history()
            ]
            found[run_id] = {"status": run.status, "outcome": outcome, "history": rows}
    return found
