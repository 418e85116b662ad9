"""Pause and resume: nothing starts, what runs finishes, time goes on."""

from __future__ import annotations

import asyncio

import pytest

import penstock as ps
from flow.parts import ONCE, Oops, Till, add, double, kinds, more, nap, now, status
from loops import Task, virtual

number = ps.Signal("number", int)


@ps.workflow
def three(flow: ps.Flow, x: ps.Node[float]) -> ps.Node[float]:
    first = flow.call(nap, x, name="a")
    return flow.call(nap, flow.call(nap, first, name="b"), name="c")


@virtual
async def test_nothing_starts_while_a_run_is_paused_and_what_runs_finishes(task: Task) -> None:
    async with ps.Runtime(task=task) as rt:
        run = await rt.start(three, 10.0)
        await asyncio.sleep(5)
        assert await run.pause()
        assert run.status == "paused"
        await asyncio.sleep(100)
        assert [it.node for it in await run.history() if it.kind == "done"] == ["three/a"]
        assert rt.stats().runs == 1
        assert await run.resume()
        assert status(run) == "running"
        assert await run.result() == 10.0
        assert now() == pytest.approx(125)
        told = await kinds(run)
        assert told == ["accepted", "paused", "done", "resumed", "done", "done", "ended"]


@virtual
async def test_pausing_twice_and_resuming_what_is_not_paused(task: Task) -> None:
    async with ps.Runtime(task=task) as rt:
        run = await rt.start(three, 1.0)
        assert not await run.resume()
        assert await run.pause()
        assert not await run.pause()
        assert await run.resume()
        assert not await run.resume()
        assert await run.result() == 1.0
        assert not await run.pause()
        assert not await run.resume()
        assert (await kinds(run)).count("paused") == (await kinds(run)).count("resumed") == 1


@virtual
async def test_a_run_paused_before_it_starts(task: Task) -> None:
    async with ps.Runtime(task=task) as rt:
        runs = await rt.start_many(three, [1.0, 1.0])
        await runs[0].pause()
        assert await runs[1].result() == 1.0
        assert await kinds(runs[0]) == ["accepted", "paused"]
        await runs[0].resume()
        assert await runs[0].result() == 1.0
        assert rt._core.object_count() == 0


@virtual
async def test_a_paused_run_ends_only_when_it_goes_on(task: Task) -> None:
    """Its last step finishes while it is paused: the end waits."""
    async with ps.Runtime(task=task) as rt:
        run = await rt.start(nap, 1.0)
        await asyncio.sleep(0.5)
        await run.pause()
        waiting = asyncio.ensure_future(run.result())
        await asyncio.sleep(10)
        assert not waiting.done()
        assert run.status == "paused"
        await run.resume()
        assert await waiting == 1.0


@virtual
async def test_a_timer_of_a_paused_run_that_nothing_follows(task: Task) -> None:
    """It fires as the last of all, and the run ends when it is resumed: a panic once."""

    @ps.workflow
    def w(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        return flow.sleep(x, 1)

    async with ps.Runtime(task=task) as rt:
        run = await rt.start(w, 7)
        await run.pause()
        await asyncio.sleep(10)
        assert run.status == "paused"
        await run.resume()
        assert await run.result() == 7


@virtual
async def test_joining_waits_for_a_paused_run(task: Task) -> None:
    async with ps.Runtime(task=task) as rt:
        run = await rt.start(three, 1.0)
        await run.pause()
        joining = asyncio.ensure_future(rt.join())
        await asyncio.sleep(10)
        assert not joining.done()
        await run.resume()
        await asyncio.wait_for(joining, 60)
        assert run.status == "succeeded"


@virtual
async def test_the_deadline_of_a_paused_run_still_passes(task: Task) -> None:
    till = Till()

    @ps.workflow
    def w(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[float]:
        return flow.call(nap, flow.constant(9.0), after=flow.call(till.book, x))

    async with ps.Runtime(task=task) as rt:
        run = await rt.start(three, 1.0, deadline=5.0)
        await asyncio.sleep(0.5)
        await run.pause()
        with pytest.raises(ps.DeadlineExceeded):
            await run.result()
        assert run.status == "failed"
        assert now() == pytest.approx(5)
        undone = await rt.start(w, 1, deadline=5.0)
        await asyncio.sleep(1)
        await undone.pause()
        with pytest.raises(ps.DeadlineExceeded):
            await undone.result()
        assert undone.status == "compensated"
        assert till.undone == ["undo 1: b1"]


@virtual
async def test_a_paused_run_is_cancelled(task: Task) -> None:
    till = Till()

    @ps.workflow
    def w(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[float]:
        booked = flow.call(till.book, x)
        return flow.call(nap, flow.call(nap, flow.constant(5.0), after=booked), name="b")

    async with ps.Runtime(task=task) as rt:
        for before in (1.0, 7.0):
            run = await rt.start(w, 1)
            await asyncio.sleep(1)
            await run.pause()
            await asyncio.sleep(before)
            assert await run.cancel()
            with pytest.raises(ps.RunCancelled):
                await run.result()
            assert run.status == "compensated"
            assert not await run.resume()
        assert till.undone == ["undo 1: b1"] * 2
        assert rt._core.object_count() == 0


@virtual
async def test_a_failure_in_a_paused_run_fails_it(task: Task) -> None:
    @ps.step(retry=ONCE)
    async def late(x: int) -> int:
        await asyncio.sleep(2)
        raise Oops("late")

    till = Till()

    @ps.workflow
    def w(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        return flow.call(late, x, after=flow.call(till.book, x))

    async with ps.Runtime(task=task) as rt:
        run = await rt.start(w, 1)
        await asyncio.sleep(1)
        await run.pause()
        with pytest.raises(ps.RunFailed, match="late"):
            await asyncio.wait_for(run.result(), 60)
        assert run.status == "compensated"
        assert till.undone == ["undo 1: b1"]


@virtual
async def test_a_retry_that_comes_due_waits_for_the_resumption(task: Task) -> None:
    tries: list[float] = []

    @ps.step(retry=ps.RetryPolicy(initial_interval=5.0, jitter="none"))
    async def flaky(x: int) -> int:
        tries.append(now())
        if len(tries) == 1:
            raise Oops
        return x

    async with ps.Runtime(task=task) as rt:
        run = await rt.start(flaky, 1)
        await asyncio.sleep(1)
        await run.pause()
        await asyncio.sleep(19)
        assert len(tries) == 1
        await run.resume()
        assert await run.result() == 1
        assert tries == [pytest.approx(0), pytest.approx(20)]


@virtual
async def test_signals_and_timers_reach_a_paused_run(task: Task) -> None:
    @ps.workflow
    def w(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        asked = flow.call(more, flow.signal(number))
        return flow.call(add, asked, flow.call(double, flow.sleep(x, 5)))

    @ps.workflow
    def times_out(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int | None]:
        return flow.optional(flow.call(add, x, flow.signal(number, timeout=5, on_timeout="skip")))

    async with ps.Runtime(task=task) as rt:
        run = await rt.start(w, 1)
        silent = await rt.start(times_out, 1)
        await asyncio.sleep(1)
        for it in (run, silent):
            await it.pause()
        assert await run.signal(number, 10)
        await asyncio.sleep(20)
        assert "done" not in await kinds(run)
        assert "fired" in await kinds(run)
        for it in (run, silent):
            await it.resume()
        assert await run.result() == 13
        assert await silent.result() is None
        assert now() == pytest.approx(21)


@virtual
async def test_maps_loops_and_functions_stand_still_too(task: Task) -> None:
    called: list[str] = []

    def note(x: int) -> int:
        called.append("apply")
        return x + 1

    @ps.step
    async def slow(x: int) -> int:
        called.append(f"slow {x}")
        await asyncio.sleep(1)
        return x + 1

    @ps.workflow
    def w(flow: ps.Flow, xs: ps.Node[list[int]]) -> ps.Node[int]:
        total = flow.apply(sum, flow.map(slow, xs, concurrency=1))
        looped = flow.loop(slow, total, until=lambda it: it > 12, max_iterations=9, name="loop")
        return flow.apply(note, looped)

    async with ps.Runtime(task=task) as rt:
        run = await rt.start(w, [1, 2])
        for expected in (1, 2, 3, 4, 5, 6, 7, 8):
            await asyncio.sleep(0.5)
            await run.pause()
            seen = len(called)
            assert seen == expected
            await asyncio.sleep(10)
            assert len(called) <= seen + (1 if "apply" in called[seen:] else 0)
            await run.resume()
            await asyncio.sleep(0)
        assert await run.result() == 14
        assert rt._core.object_count() == 0


@virtual
async def test_a_paused_run_holds_no_slot_and_no_place_in_the_queue(task: Task) -> None:
    desk = ps.Queue("desk", concurrency=1)

    @ps.step(queue=desk)
    async def work(x: int) -> int:
        await asyncio.sleep(1)
        return x

    async with ps.Runtime(task=task) as rt:
        first, second, third = await rt.start_many(work, [1, 2, 3])
        await asyncio.sleep(0.5)
        await second.pause()
        assert await third.result() == 3
        assert now() == pytest.approx(2)
        await second.resume()
        assert await second.result() == 2
        assert await first.result() == 1


@virtual
async def test_pausing_from_within_a_step(task: Task) -> None:
    @ps.step
    async def brake(x: int, ctx: ps.Context) -> int:
        assert await rt.get(ctx.run_id).pause()
        return x

    @ps.workflow
    def w(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        return flow.call(more, flow.call(brake, x))

    async with ps.Runtime(task=task) as rt:
        run = await rt.start(w, 1)
        await asyncio.sleep(10)
        assert run.status == "paused"
        await run.resume()
        assert await run.result() == 2


@virtual
async def test_closing_with_a_paused_run_cancels_it(
    task: Task, caplog: pytest.LogCaptureFixture
) -> None:
    async with ps.Runtime(task=task) as rt:
        run = await rt.start(three, 1.0)
        waiting = asyncio.ensure_future(run.result())
        await asyncio.sleep(0.5)
        await run.pause()
        await asyncio.sleep(5)
    outcome = await asyncio.gather(waiting, return_exceptions=True)
    assert isinstance(outcome[0], ps.RunCancelled)
    assert "1 run under way" in caplog.text
    assert rt._core.object_count() == 0
