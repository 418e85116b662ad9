"""Rate limits: so many attempts or tokens per time, and not one more; in virtual time."""

from __future__ import annotations

import asyncio

import pytest

import penstock as ps
from loops import Task, noop, virtual
from services import Service, now


@virtual
async def test_attempts_start_at_the_rate_of_their_queue(task: Task) -> None:
    service, queue = Service(), ps.Queue("api", rate_limit=ps.RateLimit(2, burst=1))

    @ps.step(queue=queue)
    async def work(x: int) -> object:
        return await service.call(x)

    async with ps.Runtime(task=task) as rt:
        await rt.start_many(work, range(6))
        await rt.join()
        assert service.starts == pytest.approx([0, 0.5, 1, 1.5, 2, 2.5])
        assert service.order == list(range(6))


@virtual
async def test_a_burst_may_come_at_once_and_is_earned_again(task: Task) -> None:
    service = Service()
    queue = ps.Queue("api", rate_limit=ps.RateLimit(60, per=60.0, burst=3))

    @ps.step(queue=queue)
    async def work(x: int) -> object:
        return await service.call(x)

    async with ps.Runtime(task=task) as rt:
        await rt.start_many(work, range(5))
        await rt.join()
        assert service.starts == pytest.approx([0, 0, 0, 1, 2])
        await asyncio.sleep(100)  # no more than the burst is saved up
        began = now()
        await rt.start_many(work, range(5))
        await rt.join()
        assert [at - began for at in service.starts[5:]] == pytest.approx([0, 0, 0, 1, 2])


@virtual
async def test_retries_count_as_attempts(task: Task) -> None:
    service = Service(down=True)
    queue = ps.Queue("api", rate_limit=ps.RateLimit(1, burst=1), retry_budget=None)

    @ps.step(queue=queue, retry=ps.RetryPolicy(max_attempts=2, initial_interval=0))
    async def work(x: int) -> object:
        return await service.call(x)

    async with ps.Runtime(task=task) as rt:
        await rt.start_many(work, range(3))
        await rt.join()
        assert service.starts == pytest.approx([0, 1, 2, 3, 4, 5])


@virtual
async def test_a_queue_that_is_used_up_does_not_hold_up_others(task: Task) -> None:
    queue = ps.Queue("slow", rate_limit=ps.RateLimit(1, per=3600.0, burst=1))

    @ps.step(queue=queue)
    async def work(x: int) -> int:
        return x

    async with ps.Runtime(task=task, concurrency=1, grace=0) as rt:
        await rt.start_many(work, range(5))
        assert await rt.run(noop, 1) == 1
        assert now() == 0
        assert rt.stats().queues["slow"].waiting == 4


@virtual
async def test_what_is_withdrawn_takes_nothing_of_the_rate(task: Task) -> None:
    service, queue = Service(), ps.Queue("api", rate_limit=ps.RateLimit(1, per=10.0, burst=1))

    @ps.step(queue=queue)
    async def work(x: int) -> object:
        return await service.call(x)

    async with ps.Runtime(task=task) as rt:
        runs = await rt.start_many(work, range(4))
        await asyncio.sleep(1)
        for run in runs[1:3]:
            await run.cancel()
        await rt.join()
        assert service.order == [0, 3]
        assert service.starts == pytest.approx([0, 10])


@virtual
async def test_waiting_for_the_rate_counts_as_waiting_in_the_queue(task: Task) -> None:
    queue = ps.Queue("api", rate_limit=ps.RateLimit(1, per=10.0, burst=1))

    @ps.step(queue=queue, queue_timeout=15.0)
    async def work(x: int) -> int:
        return x

    async with ps.Runtime(task=task) as rt:
        runs = await rt.start_many(work, range(3))
        with pytest.raises(ps.RunFailed, match="queue_timeout of 15 s"):
            await runs[2].result()
        assert now() == pytest.approx(15)
        assert [await run.result() for run in runs[:2]] == [0, 1]


@virtual
async def test_tokens_are_counted_as_the_step_estimates_them(task: Task) -> None:
    service = Service()
    queue = ps.Queue("llm", rate_limit=ps.RateLimit(100, burst=100, unit="tokens"))

    @ps.step(queue=queue, estimate=ps.Cost(tokens=50))
    async def ask(x: int) -> object:
        return await service.call(x)

    @ps.workflow
    def cheap(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[object]:
        return flow.call(ask, x, estimate=ps.Cost(tokens=10))

    async with ps.Runtime(task=task) as rt:
        await rt.start_many(ask, range(6))
        await rt.join()
        assert service.starts == pytest.approx([0, 0, 0.5, 1, 1.5, 2])
        await asyncio.sleep(10)
        began = now()
        await rt.start_many(cheap, range(12))
        await rt.join()
        waits = [at - began for at in service.starts[6:]]
        assert waits == pytest.approx([0] * 10 + [0.1, 0.2])


@pytest.mark.parametrize("used", [200, 100, 50, 10])
@virtual
async def test_what_was_used_corrects_the_estimate(task: Task, used: int) -> None:
    service = Service()
    queue = ps.Queue("llm", concurrency=2, rate_limit=ps.RateLimit(100, burst=100, unit="tokens"))

    @ps.step(queue=queue, estimate=ps.Cost(tokens=50))
    async def ask(x: int, ctx: ps.Context) -> object:
        ctx.used(tokens=used // 2)
        ctx.used(tokens=used - used // 2)
        return await service.call(x)

    async with ps.Runtime(task=task) as rt:
        await rt.start_many(ask, range(50))
        await rt.join()
        # In the long run it is the tokens used that come at the rate.
        assert service.starts[-1] == pytest.approx((50 * used - 100) / 100, abs=max(1.0, used / 50))


@virtual
async def test_what_an_estimate_took_too_much_is_there_for_the_next(task: Task) -> None:
    """The next attempt was let wait for as long as the estimate had said, whatever was used."""
    service = Service(takes=1.0)
    queue = ps.Queue("llm", rate_limit=ps.RateLimit(100, burst=1_000, unit="tokens"))

    @ps.step(queue=queue, estimate=ps.Cost(tokens=1_000))
    async def ask(x: int, ctx: ps.Context) -> object:
        answer = await service.call(x)
        ctx.used(tokens=100)
        return answer

    async with ps.Runtime(task=task) as rt:
        await rt.start_many(ask, range(3))
        await rt.join()
        assert service.starts == pytest.approx([0, 1, 2])


@virtual
async def test_what_failed_has_used_its_tokens_all_the_same(task: Task) -> None:
    starts: list[float] = []
    queue = ps.Queue("llm", rate_limit=ps.RateLimit(100, burst=100, unit="tokens"))

    @ps.step(queue=queue, estimate=ps.Cost(tokens=1))
    async def ask(x: int, ctx: ps.Context) -> None:
        starts.append(now())
        ctx.used(tokens=1_000)
        raise OSError

    async with ps.Runtime(task=task) as rt:
        await rt.start_many(ask, range(1))
        await rt.join()
        await rt.start_many(ask, range(1))
        await rt.join()
        assert starts == pytest.approx([0, 9.01])


@virtual
async def test_more_tokens_than_a_burst_wait_for_a_whole_one(task: Task) -> None:
    service = Service()
    queue = ps.Queue("llm", rate_limit=ps.RateLimit(100, burst=100, unit="tokens"))

    @ps.step(queue=queue, estimate=ps.Cost(tokens=500))
    async def ask(x: int) -> object:
        return await service.call(x)

    async with ps.Runtime(task=task) as rt:
        await rt.start_many(ask, range(3))
        await rt.join()
        assert service.starts == pytest.approx([0, 5, 10])


@virtual
async def test_who_needs_few_tokens_does_not_wait_for_those_of_the_less_urgent(task: Task) -> None:
    """The queue was closed until there was enough for whoever was first when that was found."""
    service = Service()
    queue = ps.Queue("llm", rate_limit=ps.RateLimit(10, burst=100, unit="tokens"))

    @ps.step(queue=queue, estimate=ps.Cost(tokens=100))
    async def long(x: int) -> object:
        return await service.call(x)

    @ps.step(queue=queue, estimate=ps.Cost(tokens=1), priority=1)
    async def short(x: int) -> object:
        return await service.call(x)

    async with ps.Runtime(task=task) as rt:
        await rt.start_many(long, [0, 1])
        await asyncio.sleep(1)
        await rt.run(short, 2)
        assert now() == pytest.approx(1)
        await rt.join()
        assert service.order == [0, 2, 1]
        assert service.starts == pytest.approx([0, 1, 10.1])


@virtual
async def test_a_thread_says_what_it_used() -> None:
    starts: list[float] = []
    queue = ps.Queue("llm", rate_limit=ps.RateLimit(10, burst=10, unit="tokens"))

    @ps.step(queue=queue, estimate=ps.Cost(tokens=10))
    def ask(x: int, ctx: ps.Context) -> int:
        ctx.used(tokens=100)
        return x

    @ps.step(queue=queue, estimate=ps.Cost(tokens=10))
    async def look(x: int) -> int:
        starts.append(now())
        return x

    async with ps.Runtime() as rt:
        assert await rt.run(ask, 1) == 1
        assert await rt.run(look, 1) == 1
        assert starts == pytest.approx([10])


@virtual
async def test_requests_and_tokens_are_limited_together(task: Task) -> None:
    service = Service()
    limits = [ps.RateLimit(10, burst=10), ps.RateLimit(100, burst=100, unit="tokens")]
    queue = ps.Queue("llm", rate_limit=limits)

    @ps.step(queue=queue, estimate=ps.Cost(tokens=100))
    async def long(x: int) -> object:
        return await service.call(x)

    @ps.step(queue=queue, estimate=ps.Cost(tokens=1))
    async def short(x: int) -> object:
        return await service.call(x)

    async with ps.Runtime(task=task) as rt:
        await rt.start_many(long, range(3))
        await rt.join()
        assert service.starts == pytest.approx([0, 1, 2]), "the tokens are what is scarce"
        await asyncio.sleep(10)
        began = now()
        await rt.start_many(short, range(13))
        await rt.join()
        waits = [at - began for at in service.starts[3:]]
        assert waits == pytest.approx([0] * 10 + [0.1, 0.2, 0.3]), "the requests are"


@pytest.mark.parametrize("tokens", [-1, 1.5, True, 2**32])
@virtual
async def test_tokens_are_whole_numbers(task: Task, tokens: int) -> None:
    @ps.step
    async def ask(ctx: ps.Context) -> None:
        ctx.used(tokens=tokens)

    async with ps.Runtime(task=task) as rt:
        with pytest.raises(ps.RunFailed, match="give a whole number from 0"):
            await rt.run(ask)
