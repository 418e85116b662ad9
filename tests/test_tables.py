"""The state machines' tables, as Python sees them."""

from __future__ import annotations

import asyncio
from typing import get_args

import pytest

import penstock as ps
from loops import Task, noop, virtual
from penstock import _engine
from penstock._run import RunStatus

MOVES = {(before, after) for before, after, _ in _engine.RUN_TABLE}


def test_a_runs_status_is_one_of_the_tables_states() -> None:
    assert tuple(_engine.RUN_STATES) == get_args(RunStatus)


@pytest.mark.parametrize("kind", ["RUN", "NODE"])
def test_every_move_is_between_known_states_and_told_once(kind: str) -> None:
    states, table = getattr(_engine, f"{kind}_STATES"), getattr(_engine, f"{kind}_TABLE")
    assert len(set(states)) == len(states)
    assert {state for before, after, _ in table for state in (before, after)} == set(states)
    moves = [(before, after) for before, after, _ in table]
    assert len(set(moves)) == len(moves)
    assert all(before != after and cause for before, after, cause in table)


def test_what_has_ended_is_left_by_an_operator_only() -> None:
    ended = {"succeeded", "failed", "cancelled", "compensated"}
    causes = {cause for before, _, cause in _engine.RUN_TABLE if before in ended}
    assert causes == {"retry"}


@virtual
async def test_every_move_that_is_seen_is_in_the_table(task: Task) -> None:
    @ps.step(timeout=5.0, retry=ps.RetryPolicy(initial_interval=1.0))
    async def work(what: str) -> str:
        await asyncio.sleep(1)
        if what == "raise":
            raise OSError
        if what == "hang":
            await asyncio.sleep(60)
        return what

    seen: set[tuple[str, str]] = set()
    async with ps.Runtime(task=task) as rt:
        runs = await rt.start_many(work, ["return", "raise", "hang", "cancel"])
        runs.append(await rt.start(work, "late", deadline=0.5))
        statuses = [run.status for run in runs]
        assert set(statuses) == {"running"}
        await runs[3].cancel()
        while rt.stats().runs:
            await asyncio.sleep(0.25)
            now = [run.status for run in runs]
            seen |= {pair for pair in zip(statuses, now, strict=True) if pair[0] != pair[1]}
            statuses = now
        assert await rt.run(noop, 1) == 1
    assert seen == {("running", end) for end in ("succeeded", "failed", "cancelled")}
    assert seen <= MOVES
