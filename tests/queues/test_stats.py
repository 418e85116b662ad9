"""Stats and events of queues: what was asked of them, what came of it, and how they stand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest

import penstock as ps
from loops import Task, virtual
from penstock._events import RING
from services import Service, now, outcomes

ONCE_MORE = ps.RetryPolicy(max_attempts=2, initial_interval=1.0, jitter="none")


@virtual
async def test_demand_is_what_was_asked_for_and_what_came_of_it(task: Task) -> None:
    budget = ps.RetryBudget(ratio=0, floor=0.0001, stored=6, window=60, on_denial="fail")
    queue = ps.Queue("api", retry_budget=budget)

    @ps.step(queue=queue, retry=ONCE_MORE)
    async def work(x: int, ctx: ps.Context) -> int:
        if x < 8 and ctx.attempt == 1:
            raise OSError
        return x

    async with ps.Runtime(task=task) as rt:
        ended = await outcomes(await rt.start_many(work, range(20)))
        assert ended == ["succeeded"] * 6 + ["RunFailed"] * 2 + ["succeeded"] * 12
        queue_stats = rt.stats().queues["api"]
        total = queue_stats.total
        assert (total.first, total.attempts, total.denied) == (20, 26, 2)
        assert (total.good, total.late) == (18, 0)
        assert total.demand_ratio == pytest.approx(28 / 20)
        assert total.amplification == pytest.approx(26 / 20)
        assert total.goodput == pytest.approx(18 / 20)
        assert total.waste == 0
        assert queue_stats.attempts.retries == 6
        assert queue_stats.attempts.failed == 8
        assert rt.stats().queues["default"].total.first == 0


@virtual
async def test_what_succeeds_when_nobody_needs_it_is_waste(task: Task) -> None:
    @ps.step(queue=ps.Queue("api"))
    async def work(x: int) -> int:
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            if x:
                raise
        return x

    async with ps.Runtime(task=task) as rt:
        runs = await rt.start_many(work, [0, 0, 1])
        await asyncio.sleep(1)
        for run in runs:
            await run.cancel()
        await rt.join()
        await rt.run(work, 1)
        total = rt.stats().queues["api"].total
        assert (total.good, total.late) == (1, 2)
        assert total.waste == pytest.approx(2 / 3)


@virtual
async def test_the_last_five_seconds_are_told_apart(task: Task) -> None:
    """What was told was of the five seconds before something last ended."""

    @ps.step(queue=ps.Queue("api"))
    async def work(x: int) -> int:
        return x

    async with ps.Runtime(task=task) as rt:
        await rt.start_many(work, range(10))
        await rt.join()
        await asyncio.sleep(60)
        queue = rt.stats().queues["api"]
        assert queue.total.first == 10
        assert queue.last.first == 0


@virtual
async def test_what_starts_after_a_rest_belongs_to_its_own_second(task: Task) -> None:
    """What started was counted in the second in which something had happened before."""

    @ps.step(queue=ps.Queue("api"))
    async def work(x: int) -> int:
        await asyncio.sleep(2)
        return x

    async with ps.Runtime(task=task) as rt:
        for x in range(3):
            await asyncio.sleep(60)
            await rt.run(work, x)
            last = rt.stats().queues["api"].last
            assert (last.first, last.attempts, last.good) == (1, 1, 1)
            assert last.goodput == 1


@virtual
async def test_where_a_queue_stands(task: Task) -> None:
    service = Service(takes=10.0)

    @ps.step(queue=ps.Queue("api", concurrency=2, breaker=ps.Breaker()))
    async def work(x: int) -> object:
        return await service.call(x)

    async with ps.Runtime(task=task) as rt:
        await rt.start_many(work, range(5))
        await asyncio.sleep(1)
        queue = rt.stats().queues["api"]
        assert (queue.concurrency, queue.running, queue.waiting, queue.parked) == (2, 2, 3, 0)
        assert (queue.breaker, queue.storm, queue.shedding) == ("closed", False, False)
        assert queue.tokens == pytest.approx(10, abs=1)
        default = rt.stats().queues["default"]
        assert (default.concurrency, default.tokens, default.breaker) == (None, None, None)
        await rt.join()
        queue = rt.stats().queues["api"]
        assert (queue.running, queue.waiting) == (0, 0)
        assert queue.attempts.queue_delay.longest == pytest.approx(20, rel=0.01)
        assert queue.attempts.duration.p50 == pytest.approx(10, rel=0.01)


@virtual
async def test_tenants_are_told_apart(task: Task) -> None:
    @ps.step(queue=ps.Queue("api", concurrency=1))
    async def work(seconds: float) -> float:
        await asyncio.sleep(seconds)
        return seconds

    async with ps.Runtime(task=task) as rt:
        await rt.start_many(work, [1.0, 3.0], tenant="acme")
        await rt.start_many(work, [2.0], tenant="nil")
        await rt.start_many(work, [5.0])
        await rt.join()
        tenants = rt.stats().tenants
        assert set(tenants) == {"acme", "nil"}
        acme, nil = tenants["acme"], tenants["nil"]
        assert (acme.attempts, nil.attempts) == (2, 1)
        assert [acme.held, nil.held] == pytest.approx([4, 2])
        assert nil.queue_delay.longest == pytest.approx(4, rel=0.01)
        assert nil.latency.longest == pytest.approx(6, rel=0.01)
        assert acme.latency.count == 2


@virtual
async def test_the_first_thousand_tenants_are_told_apart(task: Task) -> None:
    @ps.step
    async def work(x: int) -> int:
        return x

    async with ps.Runtime(task=task) as rt:
        await rt.start_many(work, range(1_200), tenant=str)
        await rt.join()
        tenants = rt.stats().tenants
        assert len(tenants) <= 1_001
        assert tenants[""].attempts == pytest.approx(200, abs=1)
        assert sum(it.attempts for it in tenants.values()) == 1_200


@virtual
async def test_priorities_are_told_apart(task: Task) -> None:
    @ps.step
    async def work(x: int) -> int:
        await asyncio.sleep(1)
        return x

    async with ps.Runtime(task=task, concurrency=1) as rt:
        for priority in (5, 3, 1):
            await rt.start_many(work, range(2), priority=priority)
        await rt.join()
        priorities = rt.stats().priorities
        assert {it: priorities[it].attempts.attempts for it in priorities} == {
            1: 2,
            2: 0,
            3: 2,
            4: 0,
            5: 2,
        }
        assert priorities[1].latency.longest == pytest.approx(2, rel=0.01)
        assert priorities[5].latency.longest == pytest.approx(6, rel=0.01)


@virtual
async def test_a_breaker_tells_when_it_opens_and_closes(task: Task) -> None:
    service = Service(down=True)
    breaker = ps.Breaker(min_calls=5, open_for=5.0, probes=2)
    seen: list[ps.QueueEvent | ps.ReleaseEvent | ps.EventsLost] = []

    @ps.step(queue=ps.Queue("api", breaker=breaker))
    async def work(x: int) -> object:
        return await service.call(x)

    async with ps.Runtime(task=task) as rt:

        async def follow() -> None:
            async for event in rt.events():
                seen.append(event)
                if len(seen) == 3:
                    return

        following = asyncio.ensure_future(follow())
        await asyncio.sleep(0)
        await outcomes(await rt.start_many(work, range(5)))
        service.down = False
        opened = now()
        runs = await rt.start_many(work, range(5))
        assert await outcomes(runs) == ["succeeded"] * 5
        closed = now()
        rt.configure(ps.Queue("api", version="2"))
        await following
        assert [it.kind for it in seen if isinstance(it, ps.QueueEvent)] == [
            "breaker_opened",
            "breaker_closed",
            "configured",
        ]
        first, second, _ = seen
        assert isinstance(first, ps.QueueEvent)
        assert isinstance(second, ps.QueueEvent)
        assert 5 <= second.at - first.at <= min(6.5, closed - opened)
        assert first.goodput == 0
        await rt.join()


@virtual
async def test_a_slow_follower_loses_the_oldest_events(task: Task) -> None:
    @ps.step(queue=ps.Queue("api"))
    async def work(x: int) -> int:
        return x

    async with ps.Runtime(task=task, workflows=[work]) as rt:
        events = rt.events()
        first = asyncio.ensure_future(anext(events))
        await asyncio.sleep(0)
        for number in range(RING + 11):
            rt.configure(ps.Queue("api", version=str(number)))
        assert await first == ps.EventsLost(11)
        rest = [await anext(events) for _ in range(RING)]
        assert {it.kind for it in rest if isinstance(it, ps.QueueEvent)} == {"configured"}
        assert len(rest) == RING
        assert isinstance(events, AsyncGenerator)
        await events.aclose()


@virtual
async def test_each_follower_hears_everything_from_when_it_came(task: Task) -> None:
    @ps.step(queue=ps.Queue("api"))
    async def work(x: int) -> int:
        return x

    async with ps.Runtime(task=task, workflows=[work]) as rt:

        async def one() -> object:
            async for event in rt.events():
                return event
            return None

        rt.configure(ps.Queue("api", version="2"))
        before = rt._driver.now()
        followers = [asyncio.ensure_future(one()) for _ in range(3)]
        await asyncio.sleep(5)
        rt.configure(ps.Queue("api", version="3"))
        events = await asyncio.gather(*followers)
        assert len(set(map(id, events))) == 1
        assert isinstance(events[0], ps.QueueEvent)
        assert (events[0].kind, events[0].queue) == ("configured", "api")
        assert events[0].at - before == pytest.approx(5)


@virtual
async def test_who_follows_the_queues_is_let_go_when_the_runtime_closes(task: Task) -> None:
    """A service's own task hung at its exit."""
    seen: list[str] = []

    async def follow(rt: ps.Runtime) -> None:
        async for event in rt.events():
            assert isinstance(event, ps.QueueEvent)
            seen.append(event.kind)

    queue = ps.Queue("shop")
    async with ps.Runtime(task=task, queues=[queue]) as rt:
        following = asyncio.ensure_future(follow(rt))
        await asyncio.sleep(0)
        rt.configure(queue)
    await asyncio.wait_for(following, 1)
    assert seen == ["configured"]
