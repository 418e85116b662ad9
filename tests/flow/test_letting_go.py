"""Letting go: no construct keeps a value that nobody needs, however its run ends."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
import weakref
from typing import TypeAlias

import pytest

import penstock as ps
from flow.parts import ONCE, Oops, Till, double, more
from loops import Task, virtual


class Big:
    """A value whose end can be seen."""


Alive: TypeAlias = "weakref.WeakSet[Big]"
stop = ps.Signal("stop", Big)


def hoard(alive: Alive) -> ps.Workflow[[list[int], bool], list[Big]]:
    """Nearly every construct, with values in all of them."""

    def big(*_: object) -> Big:
        it = Big()
        alive.add(it)
        return it

    @ps.step
    async def make(x: int) -> Big:
        return big()

    @ps.step
    async def take(it: Big) -> Big:
        await asyncio.sleep(1)
        return big()

    @ps.step(retry=ONCE)
    async def give_up(it: Big) -> Big:
        raise Oops

    @ps.step
    async def forget(it: Big, result: Big | None) -> None:
        """Undo nothing."""

    @ps.step(compensate=forget)
    async def effect(it: Big) -> Big:
        return big()

    @ps.workflow
    def body(flow: ps.Flow, it: ps.Node[Big]) -> ps.Node[Big]:
        done = flow.call(effect, it)
        got = flow.signal(stop, timeout=2, on_timeout="skip", after=done)
        return flow.race(got, flow.call(take, done), flow.call(give_up, it))

    @ps.workflow
    def w(flow: ps.Flow, xs: ps.Node[list[int]], fail: ps.Node[bool]) -> ps.Node[list[Big]]:
        items = flow.map(body, flow.map(make, xs))
        first = flow.apply(lambda them: them[0], items)
        looped = flow.loop(
            take, first, until=lambda _: False, max_iterations=3, on_exhausted="last"
        )
        case = flow.switch(fail, key=lambda it: it, name="fails")
        failed = flow.call(give_up, looped, after=case[True], on_failure="skip")
        return flow.collect(looped, failed, flow.apply(big, case.default))

    return w


@pytest.mark.parametrize("how", ["succeeds", "is cancelled", "is late", "is told to stop"])
@virtual
async def test_a_run_of_every_construct_leaves_no_value_behind(task: Task, how: str) -> None:
    alive: Alive = weakref.WeakSet()
    workflow, ends = hoard(alive), how in ("succeeds", "is told to stop")
    async with ps.Runtime(task=task) as rt:
        deadline = 3.0 if how == "is late" else None
        run = await rt.start(workflow, [1, 2, 3], not ends, deadline=deadline)
        await asyncio.sleep(0.5)
        if how == "is cancelled":
            await run.cancel()
        if how == "is told to stop":
            for _ in range(5):
                await run.signal(stop, Big())
        try:
            assert len(await run.result()) == 2
        except (ps.RunCancelled, ps.DeadlineExceeded):
            assert not ends
        gc.collect()
        assert rt._core.object_count() == 0
        assert len(alive) == 2 * ends  # the result, which the handle keeps
        del run
        for _ in range(11):
            await rt.start_many(double, range(1_000))
            await rt.join()
        gc.collect()
        assert len(alive) == 0


@virtual
async def test_a_thousand_runs_of_every_kind_leave_python_as_it_was(task: Task) -> None:
    till = Till(refuses={5})

    @ps.workflow
    def w(flow: ps.Flow, xs: ps.Node[list[int]]) -> ps.Node[int]:
        booked = flow.map(till.book, xs)
        won = flow.race(flow.call(more, flow.apply(len, booked)), flow.sleep(flow.constant(9), 60))
        return flow.loop(double, won, until=lambda it: it > 50, max_iterations=9)

    async def some(rt: ps.Runtime) -> None:
        for run in await rt.start_many(w, [[1, 2, 3], [4, 5, 6]] * 20):
            try:
                await run.result()
            except ps.RunFailed as error:
                error.__traceback__ = None
        till.log.clear()

    async with ps.Runtime(task=task) as rt:
        for _ in range(300):  # the 10,000 outcomes that are kept, and what is allocated once
            await some(rt)
        gc.collect()
        tracemalloc.start()
        await some(rt)
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(20):
            await some(rt)
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0] - before
        tracemalloc.stop()
        assert grown < 20_000
        assert rt._core.object_count() == 0
