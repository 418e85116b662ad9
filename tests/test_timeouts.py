"""Timeouts and deadlines, and attempts that do not end when they are told to; in virtual time."""

from __future__ import annotations

import asyncio
import threading
import time
from datetime import timedelta

import pytest

import penstock as ps
from loops import Task, noop, virtual
from penstock._events import Event

AGAIN = ps.RetryPolicy(
    max_attempts=3, initial_interval=10.0, backoff_coefficient=1.0, jitter="none"
)


def now() -> float:
    return asyncio.get_running_loop().time()


async def details(run: ps.Run[object]) -> list[tuple[str, int, str]]:
    return [(it.kind, it.attempt, it.detail) for it in await run.history()]


class Stubborn:
    """A step's body that swallows its cancellation and goes on for so many seconds."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.started: list[float] = []
        self.ended: list[float] = []

    async def run(self) -> str:
        self.started.append(now())
        end = now() + self.seconds
        while now() < end:
            try:
                await asyncio.sleep(end - now())
            except asyncio.CancelledError:
                continue
        self.ended.append(now())
        return "late"


@virtual
async def test_an_attempt_that_takes_too_long_is_cancelled(task: Task) -> None:
    ended: list[float] = []

    @ps.step(timeout=5.0)
    async def slow() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            ended.append(now())
            raise

    async with ps.Runtime(task=task) as rt:
        run = await rt.start(slow)
        with pytest.raises(ps.RunFailed, match="timeout of 5 s") as failed:
            await run.result()
        assert isinstance(failed.value.__cause__, TimeoutError)
        assert ended == [pytest.approx(5)]
        assert await details(run) == [
            ("accepted", 0, ""),
            ("failed", 1, "timeout"),
            ("ended", 0, "failed"),
        ]


@virtual
async def test_an_attempt_in_time_is_not_cancelled(task: Task) -> None:
    @ps.step(timeout=timedelta(seconds=5), total_timeout=5, heartbeat_timeout=5, queue_timeout=5)
    async def in_time(x: int) -> int:
        await asyncio.sleep(4.9)
        return x

    async with ps.Runtime(task=task) as rt:
        runs = await rt.start_many(in_time, range(5))
        assert [await run.result() for run in runs] == list(range(5))
        await asyncio.sleep(10)
        assert rt.stats().steps["in_time"].timeouts == 0


@virtual
async def test_a_timeout_is_retried_as_the_policy_says(task: Task) -> None:
    @ps.step(timeout=5.0, retry=AGAIN)
    async def slow_twice(ctx: ps.Context) -> float:
        await asyncio.sleep(60 if ctx.attempt < 3 else 1)
        return now()

    @ps.step(timeout=5.0, retry=ps.RetryPolicy(retry_on=(ValueError,)))
    async def not_retried() -> None:
        await asyncio.sleep(60)

    async with ps.Runtime(task=task) as rt:
        assert await rt.run(slow_twice) == pytest.approx(31)
        with pytest.raises(ps.RunFailed) as failed:
            await rt.run(not_retried)
        assert failed.value.attempts == 1


@virtual
async def test_each_attempt_has_the_whole_timeout(task: Task) -> None:
    @ps.step(timeout=5.0, retry=AGAIN)
    async def third_time(ctx: ps.Context) -> float:
        await asyncio.sleep(4)
        if ctx.attempt < 3:
            raise OSError
        return now()

    async with ps.Runtime(task=task) as rt:
        assert await rt.run(third_time) == pytest.approx(32)


@virtual
async def test_the_total_timeout_covers_attempts_and_waits(task: Task) -> None:
    @ps.step(total_timeout=16.0, retry=AGAIN)
    async def fails_late() -> None:
        await asyncio.sleep(4)
        raise OSError

    @ps.step(total_timeout=9.0, retry=AGAIN)
    async def fails_while_waiting() -> None:
        await asyncio.sleep(4)
        raise OSError

    async with ps.Runtime(task=task) as rt:
        with pytest.raises(ps.RunFailed, match="total_timeout of 16 s") as failed:
            await rt.run(fails_late)
        assert now() == pytest.approx(16)
        assert failed.value.attempts == 2
        with pytest.raises(ps.RunFailed, match="total_timeout of 9 s") as failed:
            await rt.run(fails_while_waiting)
        assert now() == pytest.approx(16 + 9)
        assert failed.value.attempts == 1


@virtual
async def test_the_total_timeout_covers_the_queue(task: Task) -> None:
    queue = ps.Queue("one", concurrency=1)

    @ps.step(queue=queue)
    async def occupies() -> None:
        await asyncio.sleep(60)

    @ps.step(queue=queue, total_timeout=5.0)
    async def waits() -> None:
        raise AssertionError("it never starts")

    async with ps.Runtime(task=task) as rt:
        first = await rt.start(occupies)
        with pytest.raises(ps.RunFailed, match="total_timeout of 5 s") as failed:
            await rt.run(waits)
        assert now() == pytest.approx(5)
        assert failed.value.attempts == 0
        await first.result()


@virtual
async def test_the_queue_timeout_covers_only_the_wait(task: Task) -> None:
    queue = ps.Queue("one", concurrency=1)

    @ps.step(queue=queue, queue_timeout=5.0)
    async def work(seconds: float) -> float:
        await asyncio.sleep(seconds)
        return now()

    async with ps.Runtime(task=task) as rt:
        first = await rt.start(work, 20.0)
        second = await rt.start(work, 1.0)
        with pytest.raises(ps.RunFailed, match="queue_timeout of 5 s") as failed:
            await second.result()
        assert now() == pytest.approx(5)
        assert failed.value.attempts == 0
        assert isinstance(failed.value.__cause__, TimeoutError)
        assert await first.result() == pytest.approx(20)
        third, fourth = await rt.start(work, 4.0), await rt.start(work, 1.0)
        assert [await third.result(), await fourth.result()] == pytest.approx([24, 25])
        assert rt.stats().queues["one"].waiting == 0


@virtual
async def test_the_queue_timeout_starts_again_with_each_retry(task: Task) -> None:
    @ps.step(queue_timeout=5.0, retry=AGAIN)
    async def third_time(ctx: ps.Context) -> float:
        await asyncio.sleep(4)
        if ctx.attempt < 3:
            raise OSError
        return now()

    async with ps.Runtime(task=task) as rt:
        assert await rt.run(third_time) == pytest.approx(32)


@virtual
async def test_heartbeats_keep_an_attempt_alive(task: Task) -> None:
    @ps.step(heartbeat_timeout=5.0)
    async def beats(times: int, ctx: ps.Context) -> float:
        for _ in range(times):
            await asyncio.sleep(4)
            ctx.heartbeat()
        await asyncio.sleep(60 if times == 3 else 1)
        return now()

    async with ps.Runtime(task=task) as rt:
        assert await rt.run(beats, 5) == pytest.approx(21)
        with pytest.raises(ps.RunFailed, match="heartbeat_timeout of 5 s"):
            await rt.run(beats, 3)
        assert now() == pytest.approx(21 + 12 + 5)


@virtual
async def test_a_deadline_ends_the_run_wherever_it_is(task: Task) -> None:
    queue = ps.Queue("one", concurrency=1)
    cleaned: list[float] = []

    @ps.step(queue=queue)
    async def sleeps(x: int) -> int:
        try:
            await asyncio.sleep(60)
        finally:
            cleaned.append(now())
        return x

    async with ps.Runtime(task=task) as rt:
        running = await rt.start(sleeps, 1, deadline=5.0)
        await asyncio.sleep(0)  # else the more urgent one goes first
        queued = await rt.start(sleeps, 2, deadline=timedelta(seconds=3))
        at_once = await rt.start(sleeps, 3, deadline=0)
        for run, when in ((at_once, 0.0), (queued, 3.0), (running, 5.0)):
            with pytest.raises(ps.DeadlineExceeded, match=run.run_id):
                await run.result()
            assert now() == pytest.approx(when)
        assert cleaned == [pytest.approx(5)]
        assert await rt.run(noop, 1, deadline=10.0) == 1
        assert rt.stats().runs == 0


@virtual
async def test_a_step_sees_how_much_time_remains(task: Task) -> None:
    @ps.step
    async def looks(ctx: ps.Context) -> tuple[float, float]:
        first = ctx.remaining()
        await asyncio.sleep(4)
        assert ctx.deadline is not None
        return first, ctx.remaining()

    @ps.step
    async def endless(ctx: ps.Context) -> float:
        assert ctx.deadline is None
        return ctx.remaining()

    async with ps.Runtime(task=task) as rt:
        assert await rt.run(looks, deadline=10.0) == pytest.approx((10, 6))
        assert await rt.run(endless) == float("inf")


# Attempts that do not end when they are told to.


@virtual
async def test_a_step_that_swallows_its_timeout_but_ends_in_grace_has_timed_out(
    task: Task,
) -> None:
    body = Stubborn(8.0)

    @ps.step(timeout=5.0, retry=AGAIN)
    async def stubborn(ctx: ps.Context) -> str:
        return await body.run() if ctx.attempt == 1 else "second"

    async with ps.Runtime(task=task, cancel_grace=5.0) as rt:
        run = await rt.start(stubborn)
        assert await run.result() == "second"
        assert body.ended == [pytest.approx(8)]
        assert await details(run) == [
            ("accepted", 0, ""),
            ("failed", 1, "timeout"),
            ("done", 2, ""),
            ("ended", 0, "succeeded"),
        ]
        assert now() == pytest.approx(18)


@virtual
async def test_an_abandoned_attempt_keeps_its_slot_and_its_node_waits_for_its_end(
    task: Task,
) -> None:
    queue = ps.Queue("one", concurrency=1)
    body = Stubborn(40.0)

    @ps.step(queue=queue, timeout=5.0, retry=AGAIN)
    async def stubborn(ctx: ps.Context) -> str:
        return await body.run() if ctx.attempt == 1 else f"second, at {now():g}"

    @ps.step(queue=queue)
    async def other() -> float:
        return now()

    async with ps.Runtime(task=task, cancel_grace=2.0) as rt:
        run = await rt.start(stubborn)
        await asyncio.sleep(10)
        after = await rt.start(other)
        assert rt.stats().queues["one"].running == 1
        assert rt.stats().queues["one"].waiting == 1
        assert await after.result() == pytest.approx(40)
        assert await run.result() == "second, at 40"
        assert [it[0] for it in await details(run)] == [
            "accepted",
            "abandoned",
            "failed",
            "done",
            "ended",
        ]
        abandoned = next(it for it in await run.history() if it.kind == "abandoned")
        accepted = (await run.history())[0]
        assert abandoned.at - accepted.at == pytest.approx(7)
        assert rt._core.object_count() == 0


@virtual
async def test_a_run_ends_without_its_abandoned_attempt_and_ignores_what_it_brings(
    task: Task,
) -> None:
    body = Stubborn(40.0)

    @ps.step(timeout=5.0)
    async def stubborn() -> str:
        return await body.run()

    async with ps.Runtime(task=task, cancel_grace=2.0) as rt:
        run = await rt.start(stubborn)
        with pytest.raises(ps.RunFailed, match="timeout of 5 s"):
            await run.result()
        assert now() == pytest.approx(7)
        assert rt.stats().running == 1
        cancelled = await rt.start(stubborn)
        await asyncio.sleep(1)
        await cancelled.cancel()
        with pytest.raises(ps.RunCancelled):
            await cancelled.result()
        assert now() == pytest.approx(10)
        assert rt.stats().running == 2
        await asyncio.sleep(60)
        assert body.ended == pytest.approx([40, 47])
        assert (run.status, cancelled.status) == ("failed", "cancelled")
        assert rt.stats().running == 0
        step = rt.stats().steps["stubborn"]
        assert step.succeeded == 0
        assert rt._core.object_count() == 0


@virtual
async def test_an_exception_after_the_timeout_is_not_the_cause(task: Task) -> None:
    @ps.step(timeout=5.0)
    async def fails_on_its_way_out() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            raise OSError("while cleaning up") from None

    async with ps.Runtime(task=task) as rt:
        with pytest.raises(ps.RunFailed, match="timeout of 5 s") as failed:
            await rt.run(fails_on_its_way_out)
        assert isinstance(failed.value.__cause__, TimeoutError)


@virtual
async def test_a_thread_that_takes_too_long_is_told_and_given_up(task: Task) -> None:
    # Virtual time stands still while a thread works, so this one is in real time.
    told: list[bool] = []
    release = threading.Event()

    @ps.step(timeout=0.01)
    def waits(ctx: ps.Context) -> str:
        release.wait(5)
        told.append(ctx.cancelled)
        return "late"

    async def main() -> None:
        async with ps.Runtime(task=task, cancel_grace=0.01) as rt:
            run = await rt.start(waits)
            with pytest.raises(ps.RunFailed, match=r"timeout of 0\.01 s"):
                await run.result()
            assert rt.stats().running == 1
            release.set()
            while rt.stats().running:  # noqa: ASYNC110  # nothing tells
                await asyncio.sleep(0.001)
            kinds = [it.kind for it in await run.history()]
            assert kinds == ["accepted", "abandoned", "failed", "ended"]

    await asyncio.to_thread(asyncio.run, main())
    assert told == [True]


@virtual
async def test_a_step_that_never_suspends_is_not_interrupted(task: Task) -> None:
    @ps.step(timeout=0.001)
    async def blocks() -> str:
        time.sleep(0.005)  # noqa: ASYNC251  # it blocks on purpose
        return "done"

    async def main() -> str:
        async with ps.Runtime(task=task) as rt:
            return await rt.run(blocks)

    assert await asyncio.to_thread(asyncio.run, main()) == "done"


@virtual
async def test_a_cancelled_run_does_not_start_what_comes_after(task: Task) -> None:
    started: list[int] = []

    @ps.step
    async def first(x: int) -> int:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            return x
        return x

    @ps.step
    async def then(x: int) -> int:
        started.append(x)
        return x

    @ps.workflow
    def two(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        return flow.call(then, flow.call(first, x))

    async with ps.Runtime(task=task) as rt:
        run = await rt.start(two, 1, deadline=5.0)
        with pytest.raises(ps.DeadlineExceeded):
            await run.result()
        assert started == []
        events: list[Event] = await run.history()
        assert [it.kind for it in events][-1] == "ended"
