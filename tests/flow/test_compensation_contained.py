"""Compensation while the run goes on: losers, contained branches, withdrawn scopes."""

from __future__ import annotations

import asyncio
from functools import partial
from operator import mul

import pytest

import penstock as ps
from flow.parts import Till, double, nap, no_threes, now, oops, same
from loops import Task, virtual


@virtual
async def test_a_losers_finished_effect_is_undone_and_the_winners_is_not(task: Task) -> None:
    till = Till(undo_seconds=5.0)

    @ps.workflow
    def slow(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        return flow.call(double, flow.sleep(x, 60), after=flow.call(till.book, x))

    @ps.workflow
    def quick(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        booked = flow.call(till.book, flow.constant(2))
        return flow.call(same, flow.sleep(x, 1), after=booked)

    @ps.workflow
    def w(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[float]:
        won = flow.race(flow.call(slow, x), flow.call(quick, x))
        return flow.call(nap, flow.apply(float, won))

    async with ps.Runtime(task=task) as rt:
        run = await rt.start(w, 1)
        assert await run.result() == 1.0
        assert run.status == "succeeded"
        assert till.log == ["book 1", "book 2", "undo 1: b1"]
        assert now() == pytest.approx(6)  # undone beside what goes on, and before the run ends
        ends = [(it.node, it.at) for it in await run.history() if it.kind == "done"]
        (won,) = [at for node, at in ends if node == "w/nap"]
        (undone,) = [at for node, at in ends if node == "w/slow/book/compensate"]
        assert undone - won == pytest.approx(4)
        assert rt._core.object_count() == 0


@virtual
async def test_a_loser_that_was_booking_is_undone_without_a_result(task: Task) -> None:
    till = Till(seconds=60.0)

    @ps.workflow
    def w(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[object]:
        return flow.race(flow.call(till.book, x), flow.sleep(x, 1))

    async with ps.Runtime(task=task) as rt:
        assert await rt.run(w, 1) == 1
        assert till.log == ["book 1", "undo 1: None"]
        assert now() == pytest.approx(1)


@virtual
async def test_a_loser_that_ends_all_the_same_is_undone_with_its_result(task: Task) -> None:
    """It swallows the cancellation, and what it did has to be undone with what it gave."""
    log: list[object] = []

    @ps.step
    async def undo(x: int, result: str | None) -> None:
        log.append(result)

    @ps.step(compensate=undo)
    async def stubborn(x: int) -> str:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            await asyncio.sleep(1)
        return f"b{x}"

    @ps.workflow
    def w(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[object]:
        return flow.race(flow.call(stubborn, x), flow.sleep(x, 1))

    async with ps.Runtime(task=task) as rt:
        assert await rt.run(w, 1) == 1
        assert log == ["b1"]
        assert now() == pytest.approx(2)
        assert rt._core.object_count() == 0


@virtual
async def test_a_failed_branch_of_a_race_is_undone_at_once(task: Task) -> None:
    till = Till()

    @ps.workflow
    def branch(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        return flow.call(oops, x, after=flow.call(till.book, x))

    @ps.workflow
    def w(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        return flow.race(flow.call(branch, x), flow.sleep(x, 10))

    async with ps.Runtime(task=task) as rt:
        run = await rt.start(w, 1)
        await asyncio.sleep(1)
        assert till.undone == ["undo 1: b1"]
        assert run.status == "running"
        assert await run.result() == 1
        assert rt._core.object_count() == 0


@virtual
async def test_a_rejected_and_a_failed_tier_differ(task: Task) -> None:
    """What a tier did whose value was not accepted stays; what a failed one did is undone."""
    till = Till()

    @ps.workflow
    def tier(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        return flow.call(no_threes, x, after=flow.call(till.book, x))

    @ps.workflow
    def w(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        return flow.cascade((tier, same), x, accept=lambda it: it > 50)

    async with ps.Runtime(task=task) as rt:
        assert await rt.run(w, 3) == 3
        assert till.log == ["book 3", "undo 3: b3"]
        assert await rt.run(w, 6) == 60
        assert till.log[2:] == ["book 6"]


@virtual
async def test_a_fallback_comes_after_a_failed_effect_that_is_undone(task: Task) -> None:
    till = Till(refuses={3}, undo_seconds=5.0)

    @ps.step
    async def by_hand(x: int) -> str:
        till.log.append("by hand")
        return "h"

    @ps.workflow
    def w(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[str]:
        return flow.call(till.book, x, fallback=by_hand)

    async with ps.Runtime(task=task) as rt:
        assert await rt.run(w, 3) == "h"
        assert till.log == ["book 3", "by hand", "undo 3: None"]
        assert now() == pytest.approx(5)
        assert rt._core.object_count() == 0


@virtual
async def test_a_skipped_failure_undoes_its_call(task: Task) -> None:
    till = Till()

    @ps.workflow
    def inner(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        flow.call(till.book, x)
        return flow.call(no_threes, flow.sleep(x, 1))

    @ps.workflow
    def w(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int | None]:
        return flow.optional(flow.call(inner, x, on_failure="skip"))

    async with ps.Runtime(task=task) as rt:
        assert await rt.run(w, 3) is None
        assert till.log == ["book 3", "undo 3: b3"]
        assert await rt.run(w, 4) == 40
        assert till.log[2:] == ["book 4"]


@virtual
async def test_only_the_failed_items_are_undone(task: Task) -> None:
    till = Till()

    @ps.workflow
    def item(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        return flow.call(no_threes, x, after=flow.call(till.book, x))

    @ps.workflow
    def tolerant(flow: ps.Flow, xs: ps.Node[list[int]]) -> ps.Node[list[int | ps.Failure]]:
        return flow.map(item, xs, tolerated_failures=5)

    async with ps.Runtime(task=task) as rt:
        results = await rt.run(tolerant, [1, 3, 2])
        assert [it if isinstance(it, int) else "failed" for it in results] == [10, "failed", 20]
        assert till.undone == ["undo 3: b3"]
        assert rt._core.object_count() == 0


@virtual
async def test_items_that_were_not_needed_any_more_are_undone(task: Task) -> None:
    till = Till()

    @ps.workflow
    def item(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[float]:
        return flow.call(nap, flow.apply(float, x), after=flow.call(till.book, x))

    @ps.workflow
    def w(flow: ps.Flow, xs: ps.Node[list[int]]) -> ps.Node[list[float]]:
        return flow.map(item, xs, need=1, cancel_rest=True)

    async with ps.Runtime(task=task) as rt:
        assert await rt.run(w, [9, 1, 8]) == [1.0]
        assert sorted(till.undone) == ["undo 8: b8", "undo 9: b9"]
        assert now() == pytest.approx(1)


@virtual
async def test_all_items_are_undone_when_too_many_fail(task: Task) -> None:
    till = Till()

    @ps.workflow
    def item(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        return flow.call(no_threes, x, after=flow.call(till.book, x))

    @ps.workflow
    def w(flow: ps.Flow, xs: ps.Node[list[int]]) -> ps.Node[list[int | ps.Failure]]:
        return flow.map(item, xs, tolerated_failures=1)

    async with ps.Runtime(task=task) as rt:
        run = await rt.start(w, [1, 3, 2, 3])
        with pytest.raises(ps.RunFailed):
            await run.result()
        assert run.status == "compensated"
        undone = sorted(till.undone)
        booked = sorted(line for line in till.log if line.startswith("book"))
        assert len(undone) == len(booked)


@virtual
async def test_a_partial_join_undoes_the_branches_it_withdraws(task: Task) -> None:
    till = Till()

    @ps.workflow
    def branch(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[float]:
        return flow.call(nap, flow.apply(float, x), after=flow.call(till.book, x))

    @ps.workflow
    def w(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[list[float]]:
        calls = [flow.call(branch, flow.apply(partial(mul, n), x)) for n in (3, 1, 2)]
        return flow.collect(*calls, need=2, cancel_rest=True)

    async with ps.Runtime(task=task) as rt:
        assert await rt.run(w, 10) == [10.0, 20.0]
        assert till.undone == ["undo 30: b30"]


@virtual
async def test_a_withdrawn_scope_undoes_what_had_finished_in_it(task: Task) -> None:
    till = Till()

    @ps.workflow
    def w(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[list[str]]:
        with flow.scope("trip") as trip:
            first = flow.call(till.book, x)
            second = flow.call(till.book, flow.sleep(flow.constant(2), 60), after=first)
        kept = flow.call(till.book, flow.constant(3))
        flow.cancel(trip, when=flow.sleep(x, 5))
        return flow.collect(kept, second, flow.call(till.book, flow.constant(4), after=second))

    async with ps.Runtime(task=task) as rt:
        run = await rt.start(w, 1)
        assert await run.result() == ["b3", "b4"]
        assert run.status == "succeeded"
        assert till.undone == ["undo 1: b1"]
        assert now() == pytest.approx(5)
        assert rt._core.object_count() == 0


@virtual
async def test_a_run_that_fails_while_a_branch_is_being_undone_undoes_each_effect_once(
    task: Task,
) -> None:
    till = Till(undo_seconds=10.0)

    @ps.workflow
    def slow(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        first = flow.call(till.book, x)
        second = flow.call(till.book, flow.constant(2), after=first)
        return flow.call(double, flow.sleep(x, 60), after=second)

    @ps.workflow
    def w(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        base = flow.call(till.book, flow.constant(0))
        won = flow.race(flow.call(slow, x), flow.sleep(x, 1))
        return flow.call(oops, flow.sleep(won, 5), after=base)

    async with ps.Runtime(task=task) as rt:
        run = await rt.start(w, 1)
        with pytest.raises(ps.RunFailed):
            await run.result()
        assert run.status == "compensated"
        assert sorted(till.undone) == ["undo 0: b0", "undo 1: b1", "undo 2: b2"]
        assert till.undone.index("undo 2: b2") < till.undone.index("undo 1: b1")
        assert rt._core.object_count() == 0


@virtual
async def test_cancelling_while_a_branch_is_being_undone(task: Task) -> None:
    till = Till(undo_seconds=10.0)

    @ps.workflow
    def w(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[float]:
        late = flow.call(nap, flow.constant(60.0), after=flow.call(till.book, x))
        won = flow.race(late, flow.sleep(flow.constant(1.0), 1))
        return flow.call(nap, flow.apply(lambda it: it + 50, won), name="on")

    async with ps.Runtime(task=task) as rt:
        run = await rt.start(w, 1)
        await asyncio.sleep(5)
        assert till.log == ["book 1"]
        await run.cancel()
        with pytest.raises(ps.RunCancelled):
            await run.result()
        assert till.undone == ["undo 1: b1"]
        assert now() == pytest.approx(11)
        assert run.status in ("cancelled", "compensated")


@virtual
async def test_a_map_in_a_loop_in_a_workflow_in_a_race_that_loses(task: Task) -> None:
    till = Till()
    ended: list[str] = []

    @ps.step
    async def work(x: int, ctx: ps.Context) -> int:
        try:
            await asyncio.sleep(x)
        finally:
            await asyncio.sleep(0.25)
            ended.append(ctx.path)
        return x

    @ps.workflow
    def item(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        return flow.call(work, x, after=flow.call(till.book, x))

    @ps.workflow
    def turn(flow: ps.Flow, xs: ps.Node[list[int]]) -> ps.Node[list[int]]:
        return flow.map(item, xs)

    @ps.workflow
    def sub(flow: ps.Flow, xs: ps.Node[list[int]]) -> ps.Node[list[int]]:
        return flow.loop(turn, xs, until=lambda _: False, max_iterations=9)

    @ps.workflow
    def w(flow: ps.Flow, xs: ps.Node[list[int]]) -> ps.Node[list[int]]:
        return flow.race(flow.call(sub, xs), flow.sleep(xs, 4))

    async with ps.Runtime(task=task) as rt:
        run = await rt.start(w, [1, 2])
        assert await run.result() == [1, 2]
        assert run.status == "succeeded"
        assert ended == [
            "w/sub/turn[0]/item[0]/work",
            "w/sub/turn[0]/item[1]/work",
            "w/sub/turn[1]/item[0]/work",
            "w/sub/turn[1]/item[1]/work",
        ]
        assert now() == pytest.approx(4.25)
        assert len(till.undone) == 4
        undone = [it.node for it in await run.history() if it.node.endswith("/compensate")]
        assert {it.rpartition("/item")[0] for it in undone[:2]} == {"w/sub/turn[1]"}
        assert {it.rpartition("/item")[0] for it in undone[2:]} == {"w/sub/turn[0]"}
        assert rt._core.object_count() == 0
    assert not [it for it in till.log if "None" in it]


@virtual
async def test_an_inner_containment_inside_an_outer_one(task: Task) -> None:
    till = Till()

    @ps.workflow
    def inner(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        return flow.call(oops, x, after=flow.call(till.book, x))

    @ps.workflow
    def outer(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        tried = flow.optional(flow.call(inner, x, on_failure="skip"))
        booked = flow.call(till.book, flow.constant(2), after=tried)
        return flow.call(oops, x, after=booked)

    @ps.workflow
    def w(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int | None]:
        return flow.optional(flow.call(outer, x, on_failure="skip"))

    async with ps.Runtime(task=task) as rt:
        run = await rt.start(w, 1)
        assert await run.result() is None
        assert sorted(till.undone) == ["undo 1: b1", "undo 2: b2"]
        assert run.status == "succeeded"
