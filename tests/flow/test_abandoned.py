"""Attempts that do not end when told to: in losing branches, items, scopes; late results."""

from __future__ import annotations

import asyncio
import threading
import weakref

import pytest

import penstock as ps
from flow.parts import Oops, double, failure, kinds, more, nap, now, oops
from loops import Task, both_loops, virtual


class Stubborn:
    """A step that swallows its cancellation, for so many seconds."""

    def __init__(self, seconds: float) -> None:
        self.log: list[str] = []
        self.undone: list[object] = []

        @ps.step
        async def undo(x: int, result: str | None) -> None:
            self.undone.append(result)

        @ps.step(compensate=undo)
        async def work(x: int) -> str:
            try:
                await asyncio.sleep(1_000)
            except asyncio.CancelledError:
                await asyncio.sleep(seconds)
                self.log.append(f"ended at {now():g}")
            return "late"

        self.step = work


@virtual
async def test_an_abandoned_loser_does_not_hold_the_run_up_for_ever(task: Task) -> None:
    stubborn = Stubborn(100)

    @ps.workflow
    def w(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int | str]:
        return flow.race(flow.call(stubborn.step, x), flow.sleep(x, 1))

    async with ps.Runtime(task=task, cancel_grace=5.0) as rt:
        run = await rt.start(w, 7)
        assert await run.result() == 7
        assert now() == pytest.approx(6)
        assert stubborn.undone == [None]
        told = await kinds(run)
        assert told.count("abandoned") == 1
        assert run.status == "succeeded"
        await asyncio.sleep(200)
        assert stubborn.log == ["ended at 101"]
        assert await kinds(run) == told  # a late result changes nothing
        assert await run.result() == 7
        assert rt._core.object_count() == 0


@virtual
async def test_what_was_undone_is_not_done_by_a_late_result(task: Task) -> None:
    """The run goes on beside the abandoned attempt, whose result comes while it does."""
    stubborn = Stubborn(10)

    @ps.workflow
    def w(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[float]:
        lost = flow.apply(len, flow.call(stubborn.step, x))
        won = flow.race(lost, flow.sleep(x, 1))
        return flow.call(nap, flow.apply(lambda it: float(it + 50), won))

    async with ps.Runtime(task=task, cancel_grace=5.0) as rt:
        run = await rt.start(w, 7)
        assert await run.result() == 57.0
        assert stubborn.log == ["ended at 11"]
        assert stubborn.undone == [None]
        assert "w/work" not in [it.node for it in await run.history() if it.kind == "done"]
        assert rt._core.object_count() == 0


@virtual
async def test_an_abandoned_item_and_scope(task: Task) -> None:
    stubborn = Stubborn(100)

    @ps.workflow
    def items(flow: ps.Flow, xs: ps.Node[list[int]]) -> ps.Node[list[int]]:
        def item(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
            flow.call(stubborn.step, x)
            return flow.call(oops, flow.sleep(x, 1))

        return flow.map(ps.workflow(item), xs)

    @ps.workflow
    def scoped(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        with flow.scope("s") as scope:
            flow.call(stubborn.step, x)
        return flow.cancel(scope, when=flow.sleep(x, 1))

    async with ps.Runtime(task=task, cancel_grace=5.0) as rt:
        run = await rt.start(items, [1, 2])
        with pytest.raises(ps.RunFailed) as caught:
            await run.result()
        assert isinstance(caught.value.__cause__, Oops)
        assert run.status == "compensated"
        assert stubborn.undone == [None, None]
        assert now() == pytest.approx(6)
        assert await rt.run(scoped, 3) == 3
        assert now() == pytest.approx(12)
        assert stubborn.undone == [None] * 3
        await asyncio.sleep(200)
        assert rt._core.object_count() == 0


@virtual
async def test_a_timed_out_attempt_is_abandoned_and_its_node_has_no_next_one_before_it_ends(
    task: Task,
) -> None:
    calls: list[tuple[int, float]] = []

    @ps.step(timeout=5.0, retry=ps.RetryPolicy(max_attempts=2, initial_interval=1.0, jitter="none"))
    async def swallow(x: int, ctx: ps.Context) -> int:
        calls.append((ctx.attempt, now()))
        if ctx.attempt == 1:
            try:
                await asyncio.sleep(1_000)
            except asyncio.CancelledError:
                await asyncio.sleep(30)
        return ctx.attempt

    @ps.workflow
    def w(flow: ps.Flow, xs: ps.Node[list[int]]) -> ps.Node[list[int]]:
        return flow.map(swallow, xs)

    async with ps.Runtime(task=task, cancel_grace=2.0) as rt:
        run = await rt.start(w, [1, 2])
        assert await run.result() == [2, 2]
        assert [attempt for attempt, _ in calls] == [1, 1, 2, 2]
        assert calls[2][1] >= 35
        assert (await kinds(run)).count("abandoned") == 2
        assert rt._core.object_count() == 0


@virtual
async def test_the_value_of_a_late_result_is_let_go(task: Task) -> None:
    class Big:
        pass

    made: list[weakref.ref[Big]] = []

    @ps.step
    async def late(x: int) -> Big:
        try:
            await asyncio.sleep(1_000)
        except asyncio.CancelledError:
            await asyncio.sleep(20)
        big = Big()
        made.append(weakref.ref(big))
        return big

    @ps.workflow
    def w(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        lost = flow.apply(lambda it: 0, flow.call(late, x))
        return flow.call(double, flow.race(lost, flow.sleep(x, 1)))

    async with ps.Runtime(task=task, cancel_grace=5.0) as rt:
        assert await rt.run(w, 1) == 2
        await asyncio.sleep(100)
        assert len(made) == 1
        assert made[0]() is None
        assert rt._core.object_count() == 0


@both_loops
async def test_a_thread_that_lost_its_race_is_abandoned(task: Task) -> None:
    go, seen = threading.Event(), list[bool]()

    @ps.step
    def thread(x: int, ctx: ps.Context) -> int:
        go.wait(60)
        seen.append(ctx.cancelled)
        return x

    @ps.workflow
    def w(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        return flow.race(flow.call(thread, x), flow.call(more, flow.sleep(x, 0.001)))

    async with ps.Runtime(task=task, cancel_grace=0.001) as rt:
        run = await rt.start(w, 1)
        try:
            assert await run.result() == 2
            assert (await kinds(run)).count("abandoned") == 1
        finally:
            go.set()
    assert seen == [True]


@virtual
async def test_the_failure_of_an_abandoned_attempt_is_nobodys(task: Task) -> None:
    @ps.step
    async def rude(x: int) -> int:
        try:
            await asyncio.sleep(1_000)
        except asyncio.CancelledError:
            await asyncio.sleep(20)
            raise Oops("much too late") from None
        return x

    @ps.workflow
    def w(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[float]:
        won = flow.race(flow.call(rude, x), flow.sleep(x, 1))
        return flow.call(nap, flow.apply(lambda it: float(it + 40), won))

    async with ps.Runtime(task=task, cancel_grace=5.0) as rt:
        assert await rt.run(w, 1) == 41.0
        assert rt._core.object_count() == 0
        assert (await failure(rt, oops, 2)).node == "oops/oops"
        assert await rt.run(more, 1) == 2
