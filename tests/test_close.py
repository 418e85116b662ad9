"""Leaving a runtime: what runs gets its grace, what does not end is let go, nobody hangs."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Coroutine
from typing import Any

import pytest

import penstock as ps
from loops import Task, both_loops, noop, virtual
from penstock._events import Event


def now() -> float:
    return asyncio.get_running_loop().time()


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [it.getMessage() for it in caplog.records if it.levelno >= logging.WARNING]


@ps.step
async def sleep(seconds: float) -> float:
    await asyncio.sleep(seconds)
    return seconds


@ps.workflow
def sleep_twice(flow: ps.Flow, seconds: ps.Node[float]) -> ps.Node[float]:
    return flow.call(sleep, flow.call(sleep, seconds, name="first"), name="second")


async def swallow(seconds: float) -> None:
    end = now() + seconds
    while now() < end:
        try:
            await asyncio.sleep(end - now())
        except asyncio.CancelledError:
            continue


async def outcome(run: Coroutine[Any, Any, object]) -> object:
    try:
        return await run
    except ps.PenstockError as error:
        return type(error)


@virtual
async def test_leaving_an_idle_runtime_takes_no_time(
    task: Task, caplog: pytest.LogCaptureFixture
) -> None:
    async with ps.Runtime(task=task):
        pass
    async with ps.Runtime(task=task) as rt:
        assert await rt.run(noop, 1) == 1
    assert now() == 0
    assert warnings(caplog) == []


@virtual
async def test_what_runs_gets_its_grace(task: Task, caplog: pytest.LogCaptureFixture) -> None:
    async with ps.Runtime(task=task, grace=10.0) as rt:
        run = await rt.start(sleep, 4.0)
        waiting = asyncio.ensure_future(run.result())
        await asyncio.sleep(1)
    assert now() == pytest.approx(4)
    assert await waiting == 4.0
    assert run.status == "succeeded"
    assert warnings(caplog) == []


@virtual
async def test_what_does_not_end_in_its_grace_is_interrupted(
    task: Task, caplog: pytest.LogCaptureFixture
) -> None:
    cleaned: list[float] = []

    @ps.step(retry=ps.RetryPolicy(max_attempts=5))
    async def slow(x: int) -> int:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(1)
            cleaned.append(now())
        return x

    async with ps.Runtime(task=task, grace=10.0, name="shop") as rt:
        runs = await rt.start_many(slow, range(3))
        waiting = [asyncio.ensure_future(outcome(run.result())) for run in runs]
        await asyncio.sleep(1)
    assert now() == pytest.approx(12)
    assert cleaned == pytest.approx([12, 12, 12])
    assert await asyncio.gather(*waiting) == [ps.RunCancelled] * 3
    assert [run.status for run in runs] == ["cancelled"] * 3
    (warning,) = warnings(caplog)
    assert "shop" in warning
    assert "3 runs" in warning


@virtual
async def test_nothing_new_starts_while_it_closes(
    task: Task, caplog: pytest.LogCaptureFixture
) -> None:
    async with ps.Runtime(task=task, concurrency=1) as rt:
        half, queued = await rt.start(sleep_twice, 4.0), await rt.start(sleep, 1.0)
        waiting = [asyncio.ensure_future(outcome(run.result())) for run in (half, queued)]
        await asyncio.sleep(1)
        closing = rt

        async def try_to_start() -> object:
            await asyncio.sleep(1)
            return await outcome(closing.run(noop, 1))

        trying = asyncio.ensure_future(try_to_start())
    assert now() == pytest.approx(4)
    assert await asyncio.gather(*waiting) == [ps.RunCancelled] * 2
    assert await trying is ps.RuntimeClosed
    assert "2 runs" in warnings(caplog)[0]


@virtual
async def test_a_waiting_retry_is_not_waited_for(
    task: Task, caplog: pytest.LogCaptureFixture
) -> None:
    @ps.step(retry=ps.RetryPolicy(initial_interval=3600.0, max_interval=3600.0, jitter="none"))
    async def bad() -> None:
        raise OSError

    async with ps.Runtime(task=task) as rt:
        run = await rt.start(bad)
        waiting = asyncio.ensure_future(outcome(run.result()))
        await asyncio.sleep(1)
    assert now() == pytest.approx(1)
    assert await waiting is ps.RunCancelled
    assert "1 run " in warnings(caplog)[0]


@pytest.mark.parametrize("grace", [0.0, 10.0])
@virtual
async def test_a_step_that_swallows_its_cancellation_is_let_go(
    task: Task, grace: float, caplog: pytest.LogCaptureFixture
) -> None:
    @ps.step
    async def stubborn() -> str:
        await swallow(100)
        return "late"

    async with ps.Runtime(task=task, grace=grace, cancel_grace=5.0) as rt:
        run = await rt.start(stubborn)
        waiting = asyncio.ensure_future(outcome(run.result()))
        following = asyncio.ensure_future(last_of(run.events()))
        await asyncio.sleep(1)
    assert now() == pytest.approx(1 + grace + 5)
    async with asyncio.timeout(10):
        assert await waiting is ps.RunCancelled
        last = await following
    assert isinstance(last, Event)
    assert (last.kind, last.detail) == ("ended", "cancelled")
    assert run.status == "cancelled"
    assert "1 run " in warnings(caplog)[0]
    await asyncio.sleep(200)  # what the attempt brings when all is over disturbs nobody
    assert run.status == "cancelled"


async def last_of(events: AsyncIterator[object]) -> object:
    last: object = None
    async for event in events:
        last = event
    return last


@both_loops
async def test_a_thread_that_never_returns_is_let_go(
    task: Task, caplog: pytest.LogCaptureFixture
) -> None:
    release, ended = threading.Event(), threading.Event()

    @ps.step
    def stuck() -> str:
        release.wait(10)
        ended.set()
        return "late"

    async with ps.Runtime(task=task, grace=0.005, cancel_grace=0.005) as rt:
        run = await rt.start(stuck)
        waiting = asyncio.ensure_future(outcome(run.result()))
        await asyncio.sleep(0.001)
    async with asyncio.timeout(2):
        assert await waiting is ps.RunCancelled
    assert run.status == "cancelled"
    assert "1 run " in warnings(caplog)[0]
    release.set()
    await asyncio.to_thread(ended.wait, 5)
    await asyncio.sleep(0.001)


def test_a_thread_that_ends_after_its_loop_is_closed_disturbs_nobody(task: Task) -> None:
    release, ended = threading.Event(), threading.Event()

    @ps.step
    def stuck() -> str:
        release.wait(10)
        ended.set()
        return "late"

    async def main() -> None:
        async with ps.Runtime(task=task, grace=0, cancel_grace=0, name="outlived") as rt:
            await rt.start(stuck)
            await asyncio.sleep(0.001)

    asyncio.run(main())
    release.set()
    assert ended.wait(5)
    for thread in threading.enumerate():
        if thread.name.startswith("outlived"):
            thread.join(5)
            assert not thread.is_alive()


@virtual
async def test_a_body_that_raises_gets_its_exception_back(task: Task) -> None:
    runs: list[ps.Run[float]] = []
    with pytest.raises(ValueError, match="the body's"):  # noqa: PT012  # the block is the point
        async with ps.Runtime(task=task, grace=10.0) as rt:
            runs.append(await rt.start(sleep, 4.0))
            await asyncio.sleep(1)
            raise ValueError("the body's")
    assert now() == pytest.approx(4)
    assert runs[0].status == "succeeded"


@virtual
async def test_a_cancelled_body_gives_no_grace(
    task: Task, caplog: pytest.LogCaptureFixture
) -> None:
    cleaned: list[float] = []

    @ps.step
    async def slow() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            cleaned.append(now())

    async def main() -> None:
        async with ps.Runtime(task=task, grace=10.0) as rt:
            await rt.run(slow)

    serving = asyncio.ensure_future(main())
    await asyncio.sleep(1)
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving
    assert now() == pytest.approx(1)
    assert cleaned == pytest.approx([1])


@virtual
async def test_cancelling_while_it_closes_closes_it_at_once(
    task: Task, caplog: pytest.LogCaptureFixture
) -> None:
    @ps.step
    async def stubborn() -> None:
        await swallow(30)

    async def main() -> None:
        async with ps.Runtime(task=task, grace=10.0) as rt:
            run = await rt.start(stubborn)
            waiting.append(asyncio.ensure_future(outcome(run.result())))
            await asyncio.sleep(1)

    waiting: list[asyncio.Future[object]] = []
    serving = asyncio.ensure_future(main())
    await asyncio.sleep(3)
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving
    assert now() == pytest.approx(3)
    async with asyncio.timeout(20):
        assert await waiting[0] is ps.RunCancelled
    assert "1 run " in warnings(caplog)[0]
    await asyncio.sleep(60)


@virtual
async def test_those_who_wait_for_room_are_told_that_it_closed(task: Task) -> None:
    queue = ps.Queue("tiny", concurrency=1, capacity=1)

    @ps.step(queue=queue)
    async def work(x: int) -> int:
        await asyncio.sleep(60)
        return x

    async with ps.Runtime(task=task, grace=0) as rt:
        await rt.start(work, 1)
        await asyncio.sleep(1)
        await rt.start(work, 2)
        third = asyncio.ensure_future(outcome(rt.start(work, 3, admission="wait")))
        more = asyncio.ensure_future(outcome(rt.start_many(work, [4, 5], admission="wait")))
        joining = asyncio.ensure_future(outcome(rt.join()))
        await asyncio.sleep(1)
        assert not third.done()
    async with asyncio.timeout(10):
        assert await third is ps.RuntimeClosed
        assert await more is ps.RuntimeClosed
        assert await joining in (None, ps.RuntimeClosed)


# Using it at the wrong time or place.


@virtual
async def test_a_runtime_that_is_closed_says_so(task: Task) -> None:
    async with ps.Runtime(task=task, name="shop") as rt:
        run = await rt.start(noop, 1, run_id="r")
        assert await run.result() == 1
    for use in (rt.run(noop, 1), rt.start(noop, 1), rt.start_many(noop, [1]), rt.join()):
        with pytest.raises(ps.RuntimeClosed, match=r"'shop' is closed.*async with"):
            await use
    with pytest.raises(ps.RuntimeClosed):
        rt.get("r")
    with pytest.raises(ps.RuntimeClosed):
        await run.result()
    with pytest.raises(ps.RuntimeClosed):
        await run.cancel()
    with pytest.raises(ps.RuntimeClosed):
        await last_of(run.events())
    assert (run.status, run.run_id) == ("succeeded", "r")
    assert [it.kind for it in await run.history()] == ["accepted", "done", "ended"]
    assert rt.stats().workflows["noop"].succeeded == 1
    with pytest.raises(ps.RuntimeClosed, match="entered once"):
        async with rt:
            pass
    with pytest.raises(ps.RuntimeClosed):
        await rt.__aexit__(None, None, None)


@virtual
async def test_a_runtime_that_is_not_open_yet_says_so(task: Task) -> None:
    rt = ps.Runtime(task=task)
    for use in (rt.run(noop, 1), rt.start(noop, 1), rt.start_many(noop, [1]), rt.join()):
        with pytest.raises(ps.RuntimeClosed, match=r"not open yet.*async with"):
            await use
    with pytest.raises(ps.RuntimeClosed, match="not open yet"):
        rt.stats()
    assert repr(rt) == "<Runtime 'penstock': new>"
    async with rt:
        assert await rt.run(noop, 1) == 1
        assert repr(rt) == "<Runtime 'penstock': open>"


@virtual
async def test_a_runtime_is_entered_once(task: Task) -> None:
    async with ps.Runtime(task=task) as rt:
        with pytest.raises(ps.RuntimeClosed, match="entered once"):
            await rt.__aenter__()
        assert await rt.run(noop, 1) == 1


@both_loops
async def test_another_thread_or_loop_is_refused_and_nothing_breaks(task: Task) -> None:
    async with ps.Runtime(task=task) as rt:
        run = await rt.start(sleep, 0.005)

        def elsewhere() -> list[str]:
            said: list[str] = []
            uses = (rt.run(noop, 1), rt.start(noop, 1), run.result(), run.cancel(), rt.join())
            for use in uses:
                with pytest.raises(ps.PenstockError, match="another thread or event loop") as error:
                    asyncio.run(use)
                said.append(str(error.value))
            with pytest.raises(ps.PenstockError, match="another thread"):
                rt.get(run.run_id)
            return said

        assert all("run_coroutine_threadsafe" in it for it in await asyncio.to_thread(elsewhere))
        assert await run.result() == 0.005
        assert await rt.run(noop, 2) == 2


@both_loops
async def test_two_runtimes_share_a_loop_in_peace(task: Task) -> None:
    async with ps.Runtime(task=task, name="a") as one, ps.Runtime(task=task, name="b") as other:

        @ps.step
        async def through(x: int) -> int:
            return await other.run(noop, x)

        runs = await one.start_many(through, range(100))
        assert [await run.result() for run in runs] == list(range(100))
        assert "through" not in other.stats().workflows
