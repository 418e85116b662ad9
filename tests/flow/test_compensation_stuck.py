"""Compensations that fail: what is left to undo, and how a run gets on from there."""

from __future__ import annotations

import asyncio

import pytest

import penstock as ps
from flow.parts import Oops, Till, Worse, kinds, nap, no_threes, now, oops, status, until
from loops import Task, virtual


def trip(till: Till) -> ps.Workflow[[int], int]:
    """Three bookings in a row, and a failure."""

    @ps.workflow
    def w(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        first = flow.call(till.book, x, name="one")
        second = flow.call(till.book, flow.constant(2), after=first, name="two")
        third = flow.call(till.book, flow.constant(3), after=second, name="three")
        return flow.call(oops, x, after=third)

    return w


async def stuck(run: ps.Run[object]) -> ps.CompensationFailed:
    with pytest.raises(ps.CompensationFailed) as caught:
        await run.result()
    assert run.status == "compensation_failed"
    return caught.value


@virtual
async def test_a_failed_undo_stops_what_came_before_it_and_says_where(task: Task) -> None:
    till = Till(keeps={2})
    async with ps.Runtime(task=task) as rt:
        run = await rt.start(trip(till), 1)
        error = await stuck(run)
        assert error.node == "w/two/compensate"
        assert isinstance(error.__cause__, Worse)
        assert "can't undo 2" in str(error)
        assert "Run.resume()" in str(error)
        assert await run.left_to_undo() == ["w/one", "w/two"]
        assert till.undone == ["undo 3: b3"]
        assert (await kinds(run))[-1] == "ended"
        await stuck(run)  # asked again
        till.keeps.clear()
        assert await run.resume()
        with pytest.raises(ps.RunFailed) as caught:
            await run.result()
        assert isinstance(caught.value.__cause__, Oops)  # the first error again
        assert run.status == "compensated"
        assert await run.left_to_undo() == []
        assert till.undone == ["undo 3: b3", "undo 2: b2", "undo 1: b1"]
        assert not await run.resume()
        assert rt._core.object_count() == 0


@virtual
async def test_it_may_fail_again_and_again(task: Task) -> None:
    till = Till(keeps={1, 2}, undo_seconds=1.0)
    async with ps.Runtime(task=task) as rt:
        run = await rt.start(trip(till), 1)
        for left in (["w/one", "w/two"], ["w/one", "w/two"], ["w/one"], ["w/one"]):
            error = await stuck(run)
            assert await run.left_to_undo() == left
            assert error.node == f"{left[-1]}/compensate"
            if len(left) == 2 and till.log.count("kept 2") == 2:
                till.keeps.remove(2)
            elif left == ["w/one"] and till.log.count("kept 1") == 2:
                till.keeps.clear()
            assert await run.resume()
            assert run.status == "compensating"
        with pytest.raises(ps.RunFailed):
            await run.result()
        assert run.status == "compensated"
        assert till.log.count("kept 2") == till.log.count("kept 1") == 2


@virtual
async def test_the_other_branches_are_undone_all_the_same(task: Task) -> None:
    till = Till(keeps={2}, undo_seconds=1.0)

    @ps.workflow
    def w(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        root = flow.call(till.book, x, name="root")
        calls = [
            flow.call(till.book, flow.constant(n), after=root, name=f"b{n}") for n in (2, 3, 4)
        ]
        return flow.call(oops, x, after=calls)

    async with ps.Runtime(task=task) as rt:
        run = await rt.start(w, 1)
        await stuck(run)
        assert sorted(till.undone) == ["undo 3: b3", "undo 4: b4"]
        assert await run.left_to_undo() == ["w/root", "w/b2"]
        till.keeps.clear()
        await run.resume()
        with pytest.raises(ps.RunFailed):
            await run.result()
        assert till.undone[2:] == ["undo 2: b2", "undo 1: b1"]


@virtual
async def test_an_undo_is_tried_as_often_as_its_policy_says_each_time(task: Task) -> None:
    till = Till(keeps={1}, undo_retry=ps.RetryPolicy(max_attempts=3, initial_interval=0))

    @ps.workflow
    def w(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        return flow.call(oops, x, after=flow.call(till.book, x))

    async with ps.Runtime(task=task) as rt:
        run = await rt.start(w, 1)
        assert "after 3 attempts" in str(await stuck(run))
        assert till.log.count("kept 1") == 3
        await run.resume()
        assert "after 3 attempts" in str(await stuck(run))
        assert till.log.count("kept 1") == 6


@virtual
async def test_a_stuck_run_awaited_before_and_after(task: Task) -> None:
    till = Till(keeps={1}, undo_seconds=1.0)

    @ps.workflow
    def w(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        return flow.call(oops, x, after=flow.call(till.book, x))

    async with ps.Runtime(task=task) as rt:
        run = await rt.start(w, 1, run_id="r")
        early = [asyncio.ensure_future(run.result()) for _ in range(2)]
        direct = asyncio.ensure_future(rt.run(w, 1, run_id="r"))
        outcomes = await asyncio.gather(*early, direct, return_exceptions=True)
        assert {type(it) for it in outcomes} == {ps.CompensationFailed}
        assert rt.get("r").status == "compensation_failed"
        await stuck(rt.get("r"))
        till.keeps.clear()
        await run.resume()
        assert run.status == "compensating"
        late = asyncio.ensure_future(run.result())
        await asyncio.sleep(0.5)
        assert not late.done()
        with pytest.raises(ps.RunFailed):
            await late


@virtual
async def test_a_cancelled_run_that_is_stuck_is_cancelled_in_the_end(task: Task) -> None:
    till = Till(keeps={1})

    @ps.workflow
    def w(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[float]:
        return flow.call(nap, flow.constant(60.0), after=flow.call(till.book, x))

    async with ps.Runtime(task=task) as rt:
        cancelled = await rt.start(w, 1)
        late = await rt.start(w, 1, deadline=1.0)
        await asyncio.sleep(0.5)
        await cancelled.cancel()
        await stuck(cancelled)
        await stuck(late)
        assert not await cancelled.cancel()
        assert not await cancelled.pause()
        till.keeps.clear()
        assert await cancelled.resume()
        assert await late.resume()
        with pytest.raises(ps.RunCancelled):
            await cancelled.result()
        with pytest.raises(ps.DeadlineExceeded):
            await late.result()
        assert cancelled.status == late.status == "compensated"
        assert rt._core.object_count() == 0


@virtual
async def test_a_loser_that_can_not_be_undone_stalls_the_run_when_all_else_is_done(
    task: Task,
) -> None:
    till = Till(keeps={1})

    @ps.workflow
    def w(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[float]:
        late = flow.call(nap, flow.constant(60.0), after=flow.call(till.book, x))
        won = flow.race(late, flow.sleep(flow.constant(1.0), 1))
        return flow.call(nap, won, name="on")

    async with ps.Runtime(task=task) as rt:
        run = await rt.start(w, 1)
        await asyncio.sleep(1.5)
        assert run.status == "running"
        error = await stuck(run)
        assert error.node == "w/book/compensate"
        assert now() == pytest.approx(2)
        assert await run.left_to_undo() == ["w/book"]
        till.keeps.clear()
        assert await run.resume()
        assert await run.result() == 1.0  # nothing else was wrong with it
        assert till.undone == ["undo 1: b1"]
        assert await run.left_to_undo() == []
        assert rt._core.object_count() == 0


@virtual
async def test_items_that_can_not_be_undone_are_named(task: Task) -> None:
    till = Till(keeps={1, 3})

    @ps.workflow
    def item(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        return flow.call(no_threes, x, after=flow.call(till.book, x))

    @ps.workflow
    def w(flow: ps.Flow, xs: ps.Node[list[int]]) -> ps.Node[int]:
        items = flow.map(item, xs, tolerated_failures=9)
        return flow.call(oops, flow.apply(len, items))

    async with ps.Runtime(task=task) as rt:
        run = await rt.start(w, [1, 2, 3])
        error = await stuck(run)
        assert error.node == "w/item[2]/book/compensate"
        left = await run.left_to_undo()
        assert {"w/item[0]/book", "w/item[2]/book"} <= set(left)
        till.keeps.clear()
        await run.resume()
        with pytest.raises(ps.RunFailed):
            await run.result()
        assert sorted(till.undone) == ["undo 1: b1", "undo 2: b2", "undo 3: b3"]
        assert run.status == "compensated"


@virtual
async def test_a_stuck_run_is_let_go_when_the_runtime_closes(task: Task) -> None:
    till = Till(keeps={2})
    async with ps.Runtime(task=task) as rt:
        run = await rt.start(trip(till), 1)
        await stuck(run)
    assert rt._core.object_count() == 0


@virtual
async def test_closing_while_a_run_is_being_undone_lets_it_finish_within_grace(
    task: Task, caplog: pytest.LogCaptureFixture
) -> None:
    till = Till(undo_seconds=3.0)
    async with ps.Runtime(task=task, grace=10.0) as rt:
        run = await rt.start(trip(till), 1)
        waiting = asyncio.ensure_future(run.result())
        await until(lambda: run.status == "compensating")
        await asyncio.sleep(0.5)
    outcome = await asyncio.gather(waiting, return_exceptions=True)
    assert isinstance(outcome[0], ps.RunError)
    assert rt._core.object_count() == 0
    # What runs may end; nothing more starts, as with any other step.
    assert till.undone == ["undo 3: b3"]
    assert "now cancelled" in caplog.text


@virtual
async def test_joining_waits_for_runs_that_are_being_undone(task: Task) -> None:
    till = Till(undo_seconds=1.0)
    async with ps.Runtime(task=task) as rt:
        run = await rt.start(trip(till), 1)
        await until(lambda: run.status == "compensating")
        async with asyncio.timeout(60):
            await rt.join()
        assert run.status == "compensated"
        assert now() == pytest.approx(3)


@virtual
async def test_joining_leaves_out_what_is_stuck(task: Task) -> None:
    """It spun for ever once, and so it did for a paused run."""
    till = Till(keeps={2})
    async with ps.Runtime(task=task) as rt:
        run = await rt.start(trip(till), 1)
        await asyncio.wait_for(rt.join(), 60)
        assert run.status == "compensation_failed"
        till.keeps.clear()
        await run.resume()
        await asyncio.wait_for(rt.join(), 60)
        assert status(run) == "compensated"


@virtual
async def test_followers_hear_of_every_try(task: Task) -> None:
    till = Till(keeps={1})

    @ps.workflow
    def w(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        return flow.call(oops, x, after=flow.call(till.book, x))

    async with ps.Runtime(task=task) as rt:
        run = await rt.start(w, 1)
        heard = [it async for it in run.events()]
        assert isinstance(heard[-1], ps.Event)
        assert (heard[-1].kind, heard[-1].detail) == ("ended", "compensation_failed")
        till.keeps.clear()
        following = asyncio.ensure_future(_hear(run))
        await asyncio.sleep(0)
        await run.resume()
        again = await following
        assert [(it.kind, it.node) for it in again] == [
            ("resumed", ""),
            ("started", "w/book/compensate"),
            ("done", "w/book/compensate"),
            ("ended", ""),
        ]
        assert again[-1].detail == "compensated"


async def _hear(run: ps.Run[object]) -> list[ps.Event]:
    return [it async for it in run.events() if isinstance(it, ps.Event)]
