"""Another model for a queue at run time: what runs or waits stays, and the rest is as it says."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Literal

import pytest

import penstock as ps
from loops import Task, virtual
from services import Service, now, outcomes


@virtual
async def test_more_slots_are_taken_at_once(task: Task) -> None:
    service = Service(takes=10.0)

    @ps.step(queue=ps.Queue("api", concurrency=1))
    async def work(x: int) -> object:
        return await service.call(x)

    async with ps.Runtime(task=task) as rt:
        await rt.start_many(work, range(6))
        await asyncio.sleep(5)
        rt.configure(ps.Queue("api", concurrency=4))
        await rt.join()
        assert service.starts == pytest.approx([0, 5, 5, 5, 10, 15])
        assert rt.stats().queues["api"].concurrency == 4


@virtual
async def test_fewer_slots_let_what_runs_go_on(task: Task) -> None:
    service = Service(takes=10.0)

    @ps.step(queue=ps.Queue("api", concurrency=4))
    async def work(x: int) -> object:
        return await service.call(x)

    async with ps.Runtime(task=task) as rt:
        runs = await rt.start_many(work, range(8))
        await asyncio.sleep(5)
        rt.configure(ps.Queue("api", concurrency=1))
        queue = rt.stats().queues["api"]
        assert (queue.concurrency, queue.running, queue.waiting) == (1, 4, 4)
        assert await outcomes(runs) == ["succeeded"] * 8
        assert service.starts == pytest.approx([0] * 4 + [10, 20, 30, 40])


@virtual
async def test_a_queue_that_nobody_uses_can_not_be_configured(task: Task) -> None:
    @ps.step(queue=ps.Queue("api"))
    async def work(x: int) -> int:
        return x

    async with ps.Runtime(task=task, workflows=[work]) as rt:
        with pytest.raises(ps.DefinitionError, match=r"no queue 'ipa'; configure one of .*api"):
            rt.configure(ps.Queue("ipa"))
        with pytest.raises(ps.DefinitionError, match=r"pass ps\.Queue"):
            rt.configure("api")  # type: ignore[arg-type]  # on purpose
        assert set(rt.stats().queues) == {"default", "api"}
    with pytest.raises(ps.RuntimeClosed):
        rt.configure(ps.Queue("api"))


@virtual
async def test_the_runtimes_model_stands_before_a_steps_own(task: Task) -> None:
    first, second = Service(takes=1.0), Service(takes=1.0)

    @ps.step(queue=ps.Queue("api", concurrency=5))
    async def work(x: int) -> object:
        return await first.call(x)

    @ps.step(queue=ps.Queue("api", concurrency=5))
    async def other(x: int) -> object:
        return await second.call(x)

    async with ps.Runtime(task=task, workflows=[work]) as rt:
        rt.configure(ps.Queue("api", version="2", concurrency=2))
        await rt.start_many(work, range(6))
        await rt.start_many(other, range(6))
        await rt.join()
        assert first.most <= 2
        assert second.most <= 2
        assert now() == pytest.approx(6)


@virtual
async def test_fairness_is_turned_on_while_work_waits(task: Task) -> None:
    service = Service(takes=1.0)

    @ps.step(queue=ps.Queue("api", concurrency=1))
    async def work(tenant: str) -> object:
        return await service.call(tenant)

    async with ps.Runtime(task=task, grace=0) as rt:
        runs = await rt.start_many(work, ["big"] * 100, tenant="big")
        await asyncio.sleep(10)
        rt.configure(ps.Queue("api", concurrency=1, fairness=ps.Fairness()))
        runs += await rt.start_many(work, ["small"] * 10, tenant="small")
        await asyncio.sleep(30)
        assert Counter(service.order)["small"] == 10
        assert await outcomes(runs) == ["succeeded"] * 110


@virtual
async def test_fairness_is_turned_off_while_work_waits(task: Task) -> None:
    service = Service(takes=1.0)

    @ps.step(queue=ps.Queue("api", concurrency=1, fairness=ps.Fairness()))
    async def work(tenant: str) -> object:
        return await service.call(tenant)

    async with ps.Runtime(task=task) as rt:
        await rt.start_many(work, ["big"] * 10, tenant="big")
        await rt.start_many(work, ["small"] * 10, tenant="small")
        await asyncio.sleep(3.5)
        rt.configure(ps.Queue("api", concurrency=1))
        await rt.join()
        assert service.order[4:] == ["big"] * 8 + ["small"] * 8


@virtual
async def test_weights_change_while_work_waits(task: Task) -> None:
    service = Service(takes=1.0)

    @ps.step(queue=ps.Queue("api", concurrency=1, fairness=ps.Fairness()))
    async def work(tenant: str) -> object:
        return await service.call(tenant)

    async with ps.Runtime(task=task, grace=0) as rt:
        await rt.start_many(work, ["a"] * 200, tenant="a")
        await rt.start_many(work, ["b"] * 200, tenant="b")
        await asyncio.sleep(40)
        rt.configure(ps.Queue("api", concurrency=1, fairness=ps.Fairness(weights={"a": 9.0})))
        await asyncio.sleep(100)
        counts = Counter(service.order[40:])
        assert counts["a"] == pytest.approx(90, abs=4)


@virtual
async def test_another_rate_holds_at_once(task: Task) -> None:
    service = Service()

    @ps.step(queue=ps.Queue("api", rate_limit=ps.RateLimit(1, per=3600.0, burst=1)))
    async def work(x: int) -> object:
        return await service.call(x)

    async with ps.Runtime(task=task, grace=0) as rt:
        await rt.start_many(work, range(10))
        await asyncio.sleep(10)
        assert service.starts == [0]
        rt.configure(ps.Queue("api"))
        await rt.join()
        assert now() == pytest.approx(10), "nothing limits it"
        rt.configure(ps.Queue("api", rate_limit=ps.RateLimit(1, per=2.0, burst=1)))
        await rt.start_many(work, range(3))
        await rt.join()
        assert service.starts[10:] == pytest.approx([10, 12, 14])


@virtual
async def test_a_lower_rate_is_not_evaded_by_changing_it_often(task: Task) -> None:
    service = Service()

    @ps.step(queue=ps.Queue("api", rate_limit=ps.RateLimit(1, burst=1)))
    async def work(x: int) -> object:
        return await service.call(x)

    async with ps.Runtime(task=task, grace=0) as rt:
        await rt.start_many(work, range(1_000))
        for _ in range(100):
            await asyncio.sleep(0.1)
            rt.configure(ps.Queue("api", rate_limit=ps.RateLimit(1, burst=1)))
        assert len(service.calls) <= 11


@pytest.mark.parametrize("without", ["budget", "breaker"])
@virtual
async def test_parked_runs_come_back_when_what_kept_them_is_gone(task: Task, without: str) -> None:
    service = Service(down=True)
    breaker = ps.Breaker(min_calls=5, open_for=600.0, max_open=600.0)
    queue = ps.Queue("api") if without == "budget" else ps.Queue("api", breaker=breaker)
    retry = ps.RetryPolicy(max_attempts=5, initial_interval=0.1, jitter="none")

    @ps.step(queue=queue, retry=retry)
    async def work(x: int) -> object:
        return await service.call(x)

    async with ps.Runtime(task=task) as rt:
        runs = await rt.start_many(work, range(100))
        await asyncio.sleep(0.05)
        assert rt.stats().queues["api"].parked >= 90
        service.down = False
        rt.configure(ps.Queue("api", retry_budget=None))
        assert await outcomes(runs) == ["succeeded"] * 100
        assert now() <= 1.5
        assert rt.stats().queues["api"].breaker is None


@virtual
async def test_what_was_counted_and_saved_up_stays(task: Task) -> None:
    """The breaker forgot its window, though the new model has the same."""
    service = Service(down=True)
    budget = ps.RetryBudget(ratio=0, floor=0.0001, stored=10, window=60)
    breaker = ps.Breaker(min_calls=15, failure_ratio=0.5)
    retry = ps.RetryPolicy(max_attempts=9, initial_interval=10.0, jitter="none")

    @ps.step(queue=ps.Queue("api", retry_budget=budget, breaker=breaker), retry=retry)
    async def work(x: int) -> object:
        return await service.call(x)

    async with ps.Runtime(task=task, grace=0) as rt:
        await rt.start_many(work, range(8))
        await asyncio.sleep(1)
        assert rt.stats().queues["api"].tokens == pytest.approx(2, abs=0.01)
        rt.configure(
            ps.Queue("api", version="2", concurrency=9, retry_budget=budget, breaker=breaker)
        )
        assert rt.stats().queues["api"].tokens == pytest.approx(2, abs=0.01)
        assert rt.stats().queues["api"].total.first == 8
        await rt.start_many(work, range(7))
        await asyncio.sleep(1)
        assert rt.stats().queues["api"].breaker == "open", "eight failures and seven"


@virtual
async def test_a_smaller_capacity_refuses_what_comes_and_keeps_what_waits(task: Task) -> None:
    service = Service(takes=1.0)

    @ps.step(queue=ps.Queue("api", concurrency=1))
    async def work(x: int) -> object:
        return await service.call(x)

    async with ps.Runtime(task=task) as rt:
        runs = await rt.start_many(work, range(10))
        rt.configure(ps.Queue("api", concurrency=1, capacity=3))
        with pytest.raises(ps.Overloaded, match="'api' is full"):
            await rt.start(work, 11)
        assert await outcomes(runs) == ["succeeded"] * 10
        waiting = asyncio.ensure_future(rt.start_many(work, range(9), admission="wait"))
        await asyncio.sleep(0.5)
        assert not waiting.done()
        rt.configure(ps.Queue("api", concurrency=1, capacity=100))
        await asyncio.wait_for(waiting, 2)
        await rt.join()


@virtual
async def test_who_waits_for_room_gets_it_when_the_capacity_grows(task: Task) -> None:
    service = Service(takes=100.0)

    @ps.step(queue=ps.Queue("api", concurrency=1, capacity=1))
    async def work(x: int) -> object:
        return await service.call(x)

    async with ps.Runtime(task=task, grace=0) as rt:
        await rt.start(work, 0)
        await asyncio.sleep(1)
        await rt.start(work, 1)
        waiting = asyncio.ensure_future(rt.start(work, 2, admission="wait"))
        await asyncio.sleep(1)
        assert not waiting.done()
        rt.configure(ps.Queue("api", concurrency=1, capacity=10))
        await waiting
        assert now() == pytest.approx(2), "it need not wait for a slot"


@virtual
async def test_fair_shares_start_over_in_another_unit(task: Task) -> None:
    """What a tenant was charged in nanoseconds stood against what the others were in attempts."""
    order: list[str] = []

    def fair(by: Literal["time", "attempts"]) -> ps.Queue:
        return ps.Queue("shop", concurrency=1, fairness=ps.Fairness(by=by))

    @ps.step(queue=fair("time"))
    async def serve(who: str) -> None:
        order.append(who)
        await asyncio.sleep(1)

    async with ps.Runtime(task=task, grace=0) as rt:
        await rt.start_many(serve, ["a"] * 60, tenant=lambda who: who)
        await asyncio.sleep(20)
        rt.configure(fair("attempts"))
        await rt.start_many(serve, ["b"] * 40, tenant=lambda who: who)
        await asyncio.sleep(1)
        order.clear()
        await asyncio.sleep(20)
        assert order.count("a") == pytest.approx(10, abs=1)
