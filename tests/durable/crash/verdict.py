"""What must hold after any number of crashes, checked from outside: the log against the store."""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

from durable.crash.log import Line
from durable.crash.worker import Known
from durable.crash.workload import KINDS, NAP, durability_of, kind_of, run_id_of


class Effect(NamedTuple):
    """Something that a step did outside."""

    life: int
    at: float
    attempt: int


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What the crashes have done.

    Attributes:
        runs: that were accepted and ended, children included.
        steps: results on record.
        executions: effects outside.
        again: effects beyond the first of an attempt: of steps that were under way at a crash.
        keys: idempotency keys with an effect.
        unknown: outcomes of "once" that somebody had to find out.
        unacknowledged: runs whose start was cut off for good; of these, how many were accepted.
        opening: seconds from a process's start to its runs going on: median and most.
    """

    runs: int
    steps: int
    executions: int
    again: int
    keys: int
    unknown: int
    unacknowledged: tuple[int, int]
    opening: tuple[float, float]


class Verdict:
    """Holds the log against the store.

    Args:
        lines: the log.
        found: the audit's answer.
        births: when each process was started, in seconds since 1970.
    """

    def __init__(
        self, lines: Sequence[Line], found: Mapping[str, dict[str, Any]], births: Sequence[float]
    ) -> None:
        self._lines = lines
        self._found = found
        self._births = births
        self._known = Known()
        self._known.take(lines)
        self._effects: dict[str, list[Effect]] = defaultdict(list)
        for what, life, at, facts in lines:
            if what == "effect":
                self._effects[facts["key"]].append(Effect(life, at, facts["attempt"]))

    def problems(self) -> list[str]:
        """Every promise that was broken."""
        problems = [line.facts["text"] for line in self._lines if line.what == "wrong"]
        for number in sorted(self._known.asked):
            problems += self._of_run(number)
        for run_id, run in self._found.items():
            problems += self._of_history(run_id, run)
        problems += self._naps()
        return problems

    def _life(self, at: float) -> int:
        """During which life something was recorded."""
        return max((life for life, birth in enumerate(self._births) if birth <= at), default=0)

    def _of_run(self, number: int) -> Iterator[str]:
        run_id, kind = run_id_of(number), KINDS[kind_of(number)]
        run = self._found.get(run_id)
        if run is None:
            if not self._known.lost(number):
                yield f"{run_id} was accepted, and is lost"
            return
        expected = "compensated" if kind_of(number) == "undone" else "succeeded"
        if (run["status"], run["outcome"]) != (expected, kind.gives(number)):
            yield f"{run_id} is {run['status']} with {run['outcome']!r}"
        told = self._known.ended.get(number, run["outcome"])
        if told != run["outcome"]:
            yield f"{run_id} gave {told!r} first and {run['outcome']!r} later"
        yield from self._of_kind(number, run_id)
        if durability_of(number) == "sync":
            yield from self._gates(run_id, kind.chain)

    def _of_kind(self, number: int, run_id: str) -> Iterator[str]:
        """What is to be found outside of a run of its workflow."""
        if kind_of(number) == "spawning":
            child = self._found.get(f"{run_id}/child")
            if child is None or (child["status"], child["outcome"]) != ("succeeded", number + 3):
                yield f"the child of {run_id} is {child and child['status']}"
        if kind_of(number) == "paying":
            paid = self._effects[f"{run_id}:paying/n1"]
            if len(paid) != 1:
                yield f"{run_id} has paid {len(paid)} times: {paid}"
        if kind_of(number) == "retried":
            attempts = [effect.attempt for effect in self._effects[f"{run_id}:retried/flaky"]]
            if sorted(attempts) != attempts or set(attempts) != {1, 2, 3}:
                yield f"{run_id} made attempts {attempts}"
        if kind_of(number) == "undone":
            undone = {key for key in self._effects if key.startswith(f"{run_id}:")}
            if len(undone) != 5:
                yield f"{run_id} has effects {sorted(undone)}"

    def _gates(self, run_id: str, chain: Sequence[str]) -> Iterator[str]:
        """What a step depends on is on disk before it starts, so it never runs again."""
        for before, after in pairwise(chain):
            started = self._effects[f"{run_id}:{after}"]
            first = min((effect.life for effect in started), default=10**9)
            for effect in self._effects[f"{run_id}:{before}"]:
                if effect.life > first:
                    yield f"{run_id}: {before} ran again in life {effect.life}, after {after}"

    def _of_history(self, run_id: str, run: dict[str, Any]) -> Iterator[str]:
        kinds = Counter(kind for kind, *_ in run["history"])
        for once in ("accepted", "ended"):
            if kinds[once] != 1:
                yield f"{run_id} has {kinds[once]} records of kind {once!r}"
        for kind, node, attempt, at, due in run["history"]:
            effects = self._effects.get(f"{run_id}:{node}", [])
            life = self._life(at)
            if kind == "done":
                later = [effect for effect in effects if effect.life > life]
                if later:
                    yield f"{run_id}: {node} was done in life {life}, and ran again: {later}"
                if not any(effect.life <= life for effect in effects):
                    yield f"{run_id}: {node} was done, and has had no effect"
            elif kind == "failed":
                later = [e for e in effects if e.life > life and e.attempt <= attempt]
                if later:
                    yield f"{run_id}: attempt {attempt} of {node} failed, and ran again: {later}"
                early = [e for e in effects if e.attempt == attempt + 1 and e.at < due - EARLY]
                if early:
                    yield f"{run_id}: {node} was tried again before {due}: {early}"
        done = Counter(node for kind, node, *_ in run["history"] if kind == "done")
        yield from (f"{run_id}: {node} was done {n} times" for node, n in done.items() if n > 1)

    def _naps(self) -> Iterator[str]:
        """Sleeps are not early, and not started anew."""
        opened = {line.life: line.at for line in self._lines if line.what == "open"}
        overdue: list[float] = []
        for run_id, run in self._found.items():
            if not run_id.startswith("napping"):
                continue
            fired = [at for kind, _, _, at, _ in run["history"] if kind == "fired"]
            slept = [at for _, node, _, at, _ in run["history"] if node == "napping/n0"]
            woken = self._effects[f"{run_id}:napping/n1"]
            if not len(fired) == len(slept) == 1 or not woken:
                yield f"{run_id} fell asleep at {slept}, and woke up at {fired}"
                continue
            due = slept[0] + NAP
            if woken[0].at < due - EARLY:
                yield f"{run_id} was to sleep until {due}, and woke up at {woken[0].at}"
            if due < opened.get(woken[0].life, 0.0):
                overdue.append(woken[0].at - opened[woken[0].life])
        if len(overdue) > 20 and statistics.median(overdue) > NAP / 2:
            yield f"overdue sleeps took {statistics.median(overdue):.2f} s more after a restart"

    def figures(self) -> Figures:
        """What the crashes have done."""
        executions = sum(map(len, self._effects.values()))
        attempts = sum(len({e.attempt for e in effects}) for effects in self._effects.values())
        lost = [number for number in self._known.asked if self._known.lost(number)]
        return Figures(
            runs=len(self._found),
            steps=sum(
                kind == "done" for run in self._found.values() for kind, *_ in run["history"]
            ),
            executions=executions,
            again=executions - attempts,
            keys=len(self._effects),
            unknown=sum(line.what == "resolved" for line in self._lines),
            unacknowledged=(len(lost), sum(run_id_of(number) in self._found for number in lost)),
            opening=_opening(self._lines, self._births),
        )


def _opening(lines: Iterable[Line], births: Sequence[float]) -> tuple[float, float]:
    took = [line.at - births[line.life] for line in lines if line.what == "open"]
    return (statistics.median(took), max(took)) if took else (0.0, 0.0)


EARLY = 0.01
"""Seconds by which the wall clock of the log and the engine's may differ."""
