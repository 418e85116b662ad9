"""Retry budgets: what retries are paid from, and what becomes of those that are not paid."""

from __future__ import annotations

import asyncio

import pytest

import penstock as ps
from loops import Task, virtual
from services import Down, Service, kinds_of, now, outcomes

SOON = ps.RetryPolicy(max_attempts=3, initial_interval=0.5, max_interval=0.5, jitter="none")
# What one token buys can be counted: next to nothing is earned.
POOR = ps.RetryBudget(ratio=0, floor=0.0001, window=60)


@pytest.mark.parametrize("own", [True, False])
@virtual
async def test_a_named_queue_has_a_budget_and_the_others_have_none(task: Task, own: bool) -> None:
    service = Service(down=True)

    @ps.step(queue=ps.Queue("api") if own else None, retry=SOON)
    async def work(x: int) -> object:
        return await service.call(x)

    async with ps.Runtime(task=task, grace=0) as rt:
        runs = await rt.start_many(work, range(100))
        await asyncio.sleep(0.25)
        assert rt.stats().queues["api"].parked == 90 if own else "api" not in rt.stats().queues
        await asyncio.sleep(0.5)
        assert len(service.calls) == 110 if own else 200, "ten retries were stored"
        assert {run.status for run in runs} == {"running"}


@virtual
async def test_first_attempts_earn_a_share_of_a_retry(task: Task) -> None:
    service = Service()
    budget = ps.RetryBudget(ratio=0.1, floor=0, stored=50, window=60)

    @ps.step(queue=ps.Queue("api", retry_budget=budget), retry=SOON)
    async def work(x: int) -> object:
        return await service.call(x)

    async with ps.Runtime(task=task, grace=0) as rt:
        service.down = True
        await rt.start_many(work, range(50))
        await asyncio.sleep(0.25)
        assert rt.stats().queues["api"].tokens == pytest.approx(0)
        service.down = False
        await rt.join()
        await rt.start_many(work, range(100))
        await rt.join()
        assert rt.stats().queues["api"].tokens == pytest.approx(10)


@virtual
async def test_a_quiet_queue_earns_the_floor_up_to_what_may_be_stored(task: Task) -> None:
    service = Service(down=True)
    budget = ps.RetryBudget(ratio=0, floor=2, stored=6, window=60)
    queue = ps.Queue("api", retry_budget=budget)

    @ps.step(queue=queue, retry=ps.RetryPolicy(max_attempts=50, initial_interval=0))
    async def work(x: int) -> object:
        return await service.call(x)

    async with ps.Runtime(task=task, grace=0) as rt:
        await rt.start_many(work, [0])
        await asyncio.sleep(0.01)
        assert len(service.calls) == 1 + 6
        assert rt.stats().queues["api"].parked == 1
        await asyncio.sleep(10)
        assert len(service.calls) == pytest.approx(1 + 6 + 20, abs=2)


@virtual
async def test_stored_retries_are_lost_after_the_window(task: Task) -> None:
    service = Service(down=True)
    budget = ps.RetryBudget(ratio=0, floor=0.0001, stored=10, window=10)

    @ps.step(queue=ps.Queue("api", retry_budget=budget), retry=SOON)
    async def work(x: int) -> object:
        return await service.call(x)

    async with ps.Runtime(task=task, grace=0) as rt:
        await rt.start_many(work, [0])
        await asyncio.sleep(0.25)
        assert rt.stats().queues["api"].tokens == pytest.approx(9, abs=0.01)
        await asyncio.sleep(20)
        await rt.start_many(work, range(5))
        await asyncio.sleep(0.25)
        assert rt.stats().queues["api"].parked >= 5


@virtual
async def test_what_is_told_of_the_tokens_is_of_now(task: Task) -> None:
    """It was what was there when a retry was last asked for."""
    service = Service(down=True)
    budget = ps.RetryBudget(ratio=0, floor=1, stored=10, window=10, on_denial="fail")

    @ps.step(queue=ps.Queue("api", retry_budget=budget), retry=SOON)
    async def work(x: int) -> object:
        return await service.call(x)

    async with ps.Runtime(task=task, grace=0) as rt:
        await rt.start_many(work, range(30))
        await rt.join()
        ended, tokens = now(), rt.stats().queues["api"].tokens
        assert tokens is not None
        assert tokens < 1
        await asyncio.sleep(5)
        assert rt.stats().queues["api"].tokens == pytest.approx(tokens + now() - ended, abs=0.1)


@pytest.mark.parametrize(("timed_out", "paid"), [(False, 10), (True, 5)])
@virtual
async def test_a_timeout_costs_twice_as_much(task: Task, timed_out: bool, paid: int) -> None:
    service = Service(takes=60.0 if timed_out else 1.0, down=True)
    queue = ps.Queue("api", retry_budget=POOR)

    @ps.step(queue=queue, timeout=2.0, retry=SOON)
    async def work(x: int) -> object:
        return await service.call(x)

    async with ps.Runtime(task=task, grace=0) as rt:
        await rt.start_many(work, range(40))
        await asyncio.sleep(2.75)
        assert len(service.calls) == 40 + paid
        assert rt.stats().queues["api"].total.denied >= 40 - paid


@virtual
async def test_failures_that_are_not_retried_cost_nothing(task: Task) -> None:
    @ps.step(queue=ps.Queue("api", retry_budget=POOR), retry=SOON)
    async def work(x: int) -> None:
        raise ps.NonRetryable("no")

    async with ps.Runtime(task=task) as rt:
        await rt.start_many(work, range(40))
        await rt.join()
        queue = rt.stats().queues["api"]
        assert queue.tokens == pytest.approx(10, abs=0.01)
        assert queue.total.denied == 0


@virtual
async def test_a_denied_retry_fails_where_that_is_wanted(task: Task) -> None:
    service = Service(down=True)
    budget = ps.RetryBudget(ratio=0, floor=0.0001, stored=2, on_denial="fail")

    @ps.step(queue=ps.Queue("api", retry_budget=budget), retry=SOON)
    async def work(x: int) -> object:
        return await service.call(x)

    async with ps.Runtime(task=task) as rt:
        runs = await rt.start_many(work, range(10))
        assert await outcomes(runs) == ["RunFailed"] * 10
        assert len(service.calls) == 12
        attempts: list[int] = []
        for run in runs:
            with pytest.raises(ps.RunFailed) as failed:
                await run.result()
            assert isinstance(failed.value.__cause__, Down)
            assert "the retry budget of queue 'api' paid for no further" in str(failed.value)
            attempts.append(failed.value.attempts)
        assert sorted(attempts) == [1] * 8 + [2] * 2
        assert now() <= 1.0
        assert rt.stats().queues["api"].parked == 0


@pytest.mark.parametrize("on_denial", ["park", "fail", "dead_letter"])
@virtual
async def test_a_fallback_takes_over_from_a_denied_retry(
    task: Task, on_denial: ps.RetryBudget
) -> None:
    service = Service(down=True)
    budget = ps.RetryBudget(
        ratio=0,
        floor=0.0001,
        stored=1,
        on_denial=on_denial,  # type: ignore[arg-type]  # parametrised
    )

    @ps.step
    async def instead(x: int, ctx: ps.Context) -> str:
        return f"{x} for {type(ctx.failure).__name__}"

    @ps.step(queue=ps.Queue("api", retry_budget=budget), retry=SOON, fallback=instead)
    async def work(x: int) -> str:
        await service.call(x)
        return "never"

    async with ps.Runtime(task=task) as rt:
        runs = await rt.start_many(work, range(5))
        assert [await run.result() for run in runs] == [f"{x} for Down" for x in range(5)]
        assert len(service.calls) == 6
        assert now() <= 1.0


@virtual
async def test_the_last_attempt_is_kept_for_better_times(task: Task) -> None:
    """With each one that went to see how the service is, others went for what was stored."""
    service = Service(down=True)
    twice = ps.RetryPolicy(max_attempts=2, initial_interval=0.5, jitter="none")

    @ps.step(queue=ps.Queue("api"), retry=twice)
    async def work(x: int) -> object:
        return await service.call(x)

    async with ps.Runtime(task=task) as rt:
        runs = await rt.start_many(work, range(100))
        await asyncio.sleep(60)
        tried = len(service.calls) - 100
        assert tried <= 8, "only to see how the service is"
        service.down = False
        ended = await outcomes(runs)
        assert ended.count("succeeded") == 100 - tried


@virtual
async def test_the_last_attempt_is_made_while_most_succeed(task: Task) -> None:
    service = Service()
    twice = ps.RetryPolicy(max_attempts=2, initial_interval=0.5, jitter="none")

    @ps.step(queue=ps.Queue("api"), retry=twice)
    async def work(x: int, ctx: ps.Context) -> object:
        if x == 0 and ctx.attempt == 1:
            raise OSError
        return await service.call(x)

    async with ps.Runtime(task=task) as rt:
        runs = await rt.start_many(work, range(10, 0, -1))
        one = await rt.start(work, 0)
        assert await one.result() == 0
        assert now() == pytest.approx(0.5)
        assert await outcomes(runs) == ["succeeded"] * 10
        assert "parked" not in " ".join(await kinds_of(one))


@virtual
async def test_a_plain_step_is_parked_too(task: Task) -> None:
    down = True

    @ps.step(queue=ps.Queue("api"), retry=SOON)
    def work(x: int) -> int:
        if down:
            raise OSError
        return x

    async with ps.Runtime(task=task, seed=1) as rt:
        runs = await rt.start_many(work, range(30))
        await asyncio.sleep(0.25)
        assert rt.stats().queues["api"].parked == 20
        down = False
        assert [await run.result() for run in runs] == list(range(30))


@virtual
async def test_a_small_budget_pays_for_a_timeout_all_the_same(task: Task) -> None:
    """A retry after a timeout costs two tokens, and a budget that keeps one never had them."""
    budget = ps.RetryBudget(stored=1, on_denial="fail")
    service = Service(takes=10.0)
    retry = ps.RetryPolicy(max_attempts=2, initial_interval=0, max_interval=0)

    @ps.step(queue=ps.Queue("slow", retry_budget=budget), timeout=1.0, retry=retry)
    async def ask(x: int) -> object:
        return await service.call(x)

    async with ps.Runtime(task=task) as rt:
        with pytest.raises(ps.RunFailed, match="after 2 attempts"):
            await rt.run(ask, 1)
