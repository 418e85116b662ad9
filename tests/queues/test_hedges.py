"""Hedges: a second copy of a slow attempt; the first to succeed counts. In virtual time."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from contextvars import ContextVar

import pytest

import penstock as ps
from loops import Task, both_loops, virtual
from services import events_of, now

Copy = float | Exception
word: ContextVar[str] = ContextVar("word", default="nothing")


class Copies:
    """What the copies of an attempt do, one by one: take so many seconds, or fail after one."""

    def __init__(self, *script: Copy, **options: object) -> None:
        self.script = deque(script)
        self.seen: list[ps.Context] = []
        self.words: list[str] = []
        self.ends: list[str] = []
        self.starts: list[float] = []
        given = {"hedge": ps.Hedge(after=1.0), "queue": ps.Queue("api"), **options}

        @ps.step(**given)  # type: ignore[call-overload, untyped-decorator]  # for the tests
        async def work(x: int, ctx: ps.Context) -> str:
            return await self.copy(x, ctx)

        self.work: ps.Stage[[int, ps.Context], str] = work

    async def copy(self, x: int, ctx: ps.Context) -> str:
        number = len(self.seen) + 1
        self.seen.append(ctx)
        self.words.append(word.get())
        self.starts.append(now())
        does = self.script.popleft()
        try:
            await asyncio.sleep(does if isinstance(does, float) else 1.5)
        except asyncio.CancelledError:
            self.ends.append(f"{number} cancelled")
            raise
        self.ends.append(f"{number} ended")
        if isinstance(does, Exception):
            raise does
        return f"{x} by {number}"


@virtual
async def test_the_quicker_copy_wins_and_the_other_is_cancelled(task: Task) -> None:
    copies = Copies(100.0, 2.0)
    async with ps.Runtime(task=task) as rt:
        assert await rt.run(copies.work, 7) == "7 by 2"
        assert now() == pytest.approx(3)
        await asyncio.sleep(0)
        assert copies.starts == pytest.approx([0, 1])
        assert sorted(copies.ends) == ["1 cancelled", "2 ended"]
        queue = rt.stats().queues["api"]
        assert (queue.running, queue.attempts.hedges) == (0, 1)


@virtual
async def test_the_first_copy_may_win_all_the_same(task: Task) -> None:
    copies = Copies(2.0, 100.0)
    async with ps.Runtime(task=task) as rt:
        run = await rt.start(copies.work, 7)
        assert await run.result() == "7 by 1"
        assert now() == pytest.approx(2)
        await asyncio.sleep(1)
        assert copies.ends == ["1 ended", "2 cancelled"]
        assert [it.attempt for it in await events_of(run, "done")] == [1]
        assert await events_of(run, "failed") == []


@virtual
async def test_a_quick_attempt_has_no_copy(task: Task) -> None:
    copies = Copies(0.9, 0.9)
    async with ps.Runtime(task=task) as rt:
        await rt.run(copies.work, 1)
        await asyncio.sleep(10)
        assert len(copies.seen) == 1


@virtual
async def test_both_copies_know_the_same(task: Task) -> None:
    copies = Copies(100.0, 2.0)
    async with ps.Runtime(task=task) as rt:
        word.set("of the caller")
        run = await rt.start(copies.work, 7, run_id="r", tenant="acme", deadline=50.0)
        word.set("changed since")
        await run.result()
        first, second = (
            (it.run_id, it.path, it.step, it.attempt, it.tenant, it.deadline, it.idempotency_key)
            for it in copies.seen
        )
        assert first == second
        assert first[0] == "r"
        assert copies.words == ["of the caller"] * 2


@virtual
async def test_a_copy_that_fails_leaves_it_to_the_other(task: Task) -> None:
    scripts: list[list[Copy]] = [[OSError("one"), 3.0], [5.0, OSError("two")]]
    for script in scripts:
        copies = Copies(*script)
        async with ps.Runtime(task=task) as rt:
            run = await rt.start(copies.work, 7)
            assert (await run.result()).startswith("7 by")
            assert await events_of(run, "failed") == []


@virtual
async def test_two_copies_that_fail_are_one_attempt(task: Task) -> None:
    retry = ps.RetryPolicy(max_attempts=3, initial_interval=10.0, jitter="none")
    copies = Copies(OSError("1"), OSError("2"), 0.5, retry=retry)
    async with ps.Runtime(task=task) as rt:
        run = await rt.start(copies.work, 7)
        assert await run.result() == "7 by 3"
        assert [it.attempt for it in copies.seen] == [1, 1, 2]
        assert [it.attempt for it in await events_of(run, "failed")] == [1]
        assert copies.starts == pytest.approx([0, 1, 12.5])


@virtual
async def test_each_copy_has_the_whole_timeout(task: Task) -> None:
    copies = Copies(100.0, 2.9, timeout=3.0)
    async with ps.Runtime(task=task) as rt:
        assert await rt.run(copies.work, 7) == "7 by 2"
        assert now() == pytest.approx(3.9)


@virtual
async def test_two_copies_that_take_too_long_are_one_timeout(task: Task) -> None:
    copies = Copies(100.0, 100.0, timeout=3.0)
    async with ps.Runtime(task=task) as rt:
        run = await rt.start(copies.work, 7)
        with pytest.raises(ps.RunFailed, match="1 attempt: TimeoutError"):
            await run.result()
        assert now() == pytest.approx(4)
        assert len(await events_of(run, "failed")) == 1
        assert copies.ends == ["1 cancelled", "2 cancelled"]


@virtual
async def test_cancelling_the_run_cancels_both(task: Task) -> None:
    copies = Copies(100.0, 100.0)
    async with ps.Runtime(task=task) as rt:
        run = await rt.start(copies.work, 7)
        await asyncio.sleep(2)
        await run.cancel()
        with pytest.raises(ps.RunCancelled):
            await run.result()
        assert copies.ends == ["1 cancelled", "2 cancelled"]
        assert rt.stats().running == 0


@virtual
async def test_a_copy_is_paid_from_the_retry_budget(task: Task) -> None:
    budget = ps.RetryBudget(ratio=0, floor=0.0001, stored=2, window=60)
    copies = Copies(*[5.0] * 12, queue=ps.Queue("api", retry_budget=budget))
    async with ps.Runtime(task=task) as rt:
        await rt.start_many(copies.work, range(10))
        await rt.join()
        assert len(copies.seen) == 12
        assert rt.stats().queues["api"].attempts.hedges == 2


@virtual
async def test_a_copy_takes_no_slot_from_what_waits(task: Task) -> None:
    copies = Copies(*[5.0] * 4, queue=ps.Queue("api", concurrency=2))
    async with ps.Runtime(task=task) as rt:
        await rt.start_many(copies.work, range(4))
        await rt.join()
        assert len(copies.seen) == 4
        assert now() == pytest.approx(10)


@virtual
async def test_copies_do_not_pass_the_limits_of_the_queue_and_the_runtime(task: Task) -> None:
    limited = ps.Queue("api", rate_limit=ps.RateLimit(1, per=3600.0, burst=1))
    for queue, concurrency in ((limited, 10), (ps.Queue("api"), 1)):
        copies = Copies(5.0, queue=queue)
        async with ps.Runtime(task=task, concurrency=concurrency) as rt:
            assert await rt.run(copies.work, 7) == "7 by 1"
            assert now() % 5 == pytest.approx(0)


@virtual
async def test_a_copy_counts_as_a_slot_that_is_taken(task: Task) -> None:
    copies = Copies(4.0, 4.0, 0.5, queue=ps.Queue("api", concurrency=2))
    async with ps.Runtime(task=task) as rt:
        await rt.start(copies.work, 1)
        await asyncio.sleep(2)
        assert rt.stats().queues["api"].running == 2
        await rt.run(copies.work, 2)
        assert copies.starts == pytest.approx([0, 1, 4])


@virtual
async def test_a_paused_run_has_no_copies(task: Task) -> None:
    copies = Copies(5.0)
    async with ps.Runtime(task=task) as rt:
        run = await rt.start(copies.work, 7)
        await run.pause()
        await asyncio.sleep(4)
        await run.resume()
        assert await run.result() == "7 by 1"


@virtual
async def test_the_delay_can_be_what_most_attempts_take(task: Task) -> None:
    copies = Copies(*[0.5] * 16, *[1.0] * 4, 100.0, 0.5, hedge=ps.Hedge(quantile=0.9))
    async with ps.Runtime(task=task) as rt:
        for x in range(20):
            await rt.run(copies.work, x)
        assert len(copies.seen) == 20, "so many it takes to know"
        began = now()
        assert await rt.run(copies.work, 7) == "7 by 22"
        assert now() - began == pytest.approx(1.5, abs=0.1)


@virtual
async def test_each_call_of_a_step_has_its_own_quantile(task: Task) -> None:
    """The delay that was worked out for one was taken for the other."""
    copies = Copies(*[1.0] * 15, *[10.0] * 5, 1.0, 1.0, *[100.0, 0.5] * 2, hedge=None)

    @ps.workflow
    def early(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[str]:
        return flow.call(copies.work, x, hedge=ps.Hedge(quantile=0.6))

    @ps.workflow
    def late(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[str]:
        return flow.call(copies.work, x, hedge=ps.Hedge(quantile=0.95))

    async with ps.Runtime(task=task) as rt:
        for x in range(22):
            await rt.run(copies.work, x)
        took: list[float] = []
        for stage in (early, late):
            began = now()
            await rt.run(stage, 7)
            took.append(now() - began)
        assert took == pytest.approx([1.5, 10.5], abs=0.2)


@both_loops
async def test_a_copy_in_a_thread_is_told_that_nobody_needs_it() -> None:
    # In real time: virtual time stands still while a thread is at work.
    calls: list[str] = []
    told = threading.Event()

    @ps.step(hedge=ps.Hedge(after=0.01), queue=ps.Queue("api"))
    def work(x: int, ctx: ps.Context) -> str:
        calls.append(ctx.idempotency_key)
        if len(calls) == 2:
            return "quick"
        while not ctx.cancelled:
            told.wait(0.001)
        told.set()
        return "slow"

    async with ps.Runtime() as rt:
        assert await rt.run(work, 7, run_id="r") == "quick"
        assert await asyncio.to_thread(told.wait, 10)
        assert calls == ["r:work/work"] * 2
    assert rt.stats().queues["api"].running == 0


@virtual
async def test_a_copy_that_will_not_stop_keeps_its_slot_until_it_does(task: Task) -> None:
    stubborn = asyncio.Event()
    calls: list[int] = []

    @ps.step(hedge=ps.Hedge(after=1.0), queue=ps.Queue("api", concurrency=5))
    async def work(x: int) -> int:
        calls.append(x)
        if len(calls) > 1:
            return x
        while not stubborn.is_set():
            try:
                await stubborn.wait()
            except asyncio.CancelledError:
                continue
        return -x

    async with ps.Runtime(task=task, cancel_grace=5.0) as rt:
        assert await rt.run(work, 7) == 7
        await asyncio.sleep(60)
        assert rt.stats().queues["api"].running == 1
        stubborn.set()
        await asyncio.sleep(1)
        assert rt.stats().queues["api"].running == 0


def test_what_may_not_run_twice_has_no_hedge() -> None:
    @ps.step(effects="once")
    async def pay(x: int) -> int:
        return x

    with pytest.raises(ps.DefinitionError, match="can't have a hedge"):

        @ps.workflow
        def shop(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
            return flow.call(pay, x, hedge=ps.Hedge(after=1.0))
