"""Shedding and adaptive concurrency: what a queue does by itself when it is asked too much."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

import penstock as ps
from loops import Task, virtual
from services import Service, now, outcomes


async def offer(
    rt: ps.Runtime, work: ps.Stage[[int], object], rate: float, seconds: float
) -> tuple[list[ps.Run[object]], list[float]]:
    """Start so many runs a second; those that were accepted, and what the others were told."""
    accepted: list[ps.Run[object]] = []
    refused: list[float] = []
    for x in range(int(rate * seconds)):
        try:
            accepted.append(await rt.start(work, x))
        except ps.Overloaded as error:
            refused.append(error.retry_after)
        await asyncio.sleep(1 / rate)
    return accepted, refused


@virtual
async def test_new_runs_are_refused_while_the_others_wait_too_long(task: Task) -> None:
    service = Service(takes=0.1)  # ten a second
    queue = ps.Queue("api", concurrency=1, shed=ps.CoDel(target=0.5, interval=2.0))

    @ps.step(queue=queue)
    async def work(x: int) -> object:
        return await service.call(x)

    async with ps.Runtime(task=task) as rt:
        accepted, refused = await offer(rt, work, rate=20, seconds=30)
        assert rt.stats().queues["api"].shedding
        assert refused
        assert all(0 < seconds < 10 for seconds in refused)
        assert len(accepted) == pytest.approx(300, abs=60), "as many as the service takes"
        assert await outcomes(accepted) == ["succeeded"] * len(accepted)
        # In the long run nobody waits for much longer than twice the target.
        waited = rt.stats().queues["api"].attempts.queue_delay
        assert waited.p50 <= 1.5


@virtual
async def test_a_queue_that_keeps_up_refuses_nobody(task: Task) -> None:
    service = Service(takes=0.1)
    queue = ps.Queue("api", concurrency=1, shed=ps.CoDel(target=0.5, interval=2.0))

    @ps.step(queue=queue)
    async def work(x: int) -> object:
        return await service.call(x)

    async with ps.Runtime(task=task) as rt:
        _, refused = await offer(rt, work, rate=9, seconds=60)
        assert not refused
        # A batch that comes at once is not an overload as long as it is soon done.
        await rt.start_many(work, range(12))
        await asyncio.sleep(5)
        _, refused = await offer(rt, work, rate=9, seconds=10)
        assert not refused


@virtual
async def test_who_waits_for_admission_gets_in(task: Task) -> None:
    service = Service(takes=0.1)
    queue = ps.Queue("api", concurrency=1, shed=ps.CoDel(target=0.5, interval=2.0))

    @ps.step(queue=queue)
    async def work(x: int) -> object:
        return await service.call(x)

    async with ps.Runtime(task=task) as rt:
        _, refused = await offer(rt, work, rate=20, seconds=30)
        await asyncio.sleep(0.03)  # between the starts of two attempts
        assert rt.stats().queues["api"].shedding
        with pytest.raises(ps.Overloaded, match="queue 'api' waits too long"):
            await rt.start_many(work, range(2))
        shed = (await rt.scorecard()).whole.reliability.shed
        assert shed == len(refused) + 2
        await rt.start(work, 1, admission="wait")
        began = now()
        run = await rt.start(work, 2, admission="wait")
        assert 0 < now() - began < 5
        assert await run.result() == 2
        card = await rt.scorecard(by="queue")
        assert card.whole.reliability.shed == shed, "who waits is not turned away"
        assert {it.name: it.reliability.shed for it in card.groups}["api"] == shed


@virtual
async def test_a_batch_that_waits_for_admission_gets_in_piece_by_piece(task: Task) -> None:
    """It was told that there was room for all of it, and then that there was not."""
    service = Service(takes=0.1)
    queue = ps.Queue("api", concurrency=1, shed=ps.CoDel(target=0.5, interval=2.0))

    @ps.step(queue=queue)
    async def work(x: int) -> object:
        return await service.call(x)

    async with ps.Runtime(task=task) as rt:
        await offer(rt, work, rate=20, seconds=30)
        many = await rt.start_many(work, range(100), admission="wait")
        assert await outcomes(many) == ["succeeded"] * 100


@virtual
async def test_it_accepts_again_when_the_backlog_is_gone(task: Task) -> None:
    service = Service(takes=0.1)
    queue = ps.Queue("api", concurrency=1, shed=ps.CoDel(target=0.5, interval=2.0))

    @ps.step(queue=queue)
    async def work(x: int) -> object:
        return await service.call(x)

    async with ps.Runtime(task=task) as rt:
        await offer(rt, work, rate=20, seconds=30)
        with pytest.raises(ps.Overloaded) as refused:
            await rt.start(work, 1)
        await asyncio.sleep(refused.value.retry_after)
        assert await rt.run(work, 2) == 2, "what it said was right"
        await rt.join()
        _, refusals = await offer(rt, work, rate=5, seconds=10)
        assert not refusals
        assert not rt.stats().queues["api"].shedding


@pytest.mark.parametrize("ends", ["done", "cancelled"])
@virtual
async def test_an_idle_queue_refuses_nobody(task: Task, ends: str) -> None:
    """It went on refusing when nothing waited any more, and so nothing ever showed it was well."""
    service = Service(takes=1.0)

    @ps.step(queue=ps.Queue("api", concurrency=1, shed=ps.CoDel()))
    async def work(x: int) -> object:
        return await service.call(x)

    async with ps.Runtime(task=task) as rt:
        runs = await rt.start_many(work, range(10))
        await asyncio.sleep(5)
        assert rt.stats().queues["api"].shedding
        if ends == "cancelled":
            for run in runs:
                await run.cancel()
        await rt.join()
        await asyncio.sleep(600)
        assert await rt.run(work, 1) == 1


@virtual
async def test_what_is_in_stays_in(task: Task) -> None:
    service = Service(takes=1.0)
    queue = ps.Queue("api", concurrency=1, shed=ps.CoDel(target=0.1, interval=1.0))

    @ps.step(queue=queue)
    async def work(x: int) -> object:
        return await service.call(x)

    @ps.workflow
    def chain(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[object]:
        first = flow.call(work, x, name="first")
        return flow.call(work, x, name="second", after=first)

    async with ps.Runtime(task=task) as rt:
        runs = await rt.start_many(chain, range(20))
        await asyncio.sleep(10)
        assert rt.stats().queues["api"].shedding
        with pytest.raises(ps.Overloaded):
            await rt.start(chain, 1)
        assert await outcomes(runs) == ["succeeded"] * 20
        assert now() == pytest.approx(40)


class Saturated:
    """A service that does so much at once; with more, everybody waits the longer."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.inside = 0
        self.most: Counter[int] = Counter()

    async def call(self) -> None:
        self.inside += 1
        second = int(now())
        self.most[second] = max(self.most[second], self.inside)
        try:
            await asyncio.sleep(0.1 * max(1.0, self.inside / self.room))
        finally:
            self.inside -= 1


def adaptive(initial: int = 10, least: int = 2, most: int = 100) -> ps.Queue:
    limit = ps.Adaptive(initial=initial, min_limit=least, max_limit=most)
    return ps.Queue("api", concurrency=limit)


@virtual
async def test_concurrency_grows_while_the_latency_stays(task: Task) -> None:
    service = Saturated(room=1_000)

    @ps.step(queue=adaptive())
    async def work(x: int) -> None:
        await service.call()

    async with ps.Runtime(task=task) as rt:
        await rt.start_many(work, range(20_000))
        assert rt.stats().queues["api"].concurrency == 10
        await rt.join()
        assert rt.stats().queues["api"].concurrency == 100
        assert service.most[0] <= 40, "step by step"
        assert max(service.most.values()) == 100


@virtual
async def test_concurrency_does_not_grow_without_end_when_latency_does(task: Task) -> None:
    """The usual latency followed the present one so quickly that it always looked usual."""
    service = Saturated(room=20)

    @ps.step(queue=adaptive(most=1_000))
    async def work(x: int) -> None:
        await service.call()

    async with ps.Runtime(task=task, grace=0) as rt:
        await rt.start_many(work, range(20_000))
        await asyncio.sleep(60)
        assert 15 <= (rt.stats().queues["api"].concurrency or 0) <= 150


@virtual
async def test_concurrency_does_not_grow_by_what_is_not_used(task: Task) -> None:
    @ps.step(queue=adaptive())
    async def work(x: int) -> None:
        await asyncio.sleep(0.1)

    async with ps.Runtime(task=task) as rt:
        for x in range(500):
            await rt.run(work, x)
        assert rt.stats().queues["api"].concurrency == 10


@virtual
async def test_a_service_that_says_it_is_overloaded_gets_less_at_once(task: Task) -> None:
    service = Service(takes=0.1)
    retry = ps.RetryPolicy(max_attempts=20)

    @ps.step(queue=adaptive(initial=50), retry=retry)
    async def work(x: int, ctx: ps.Context) -> object:
        if x == 0 and ctx.attempt <= 3:
            raise ps.RetryAfter(1.0)
        return await service.call(x)

    async with ps.Runtime(task=task) as rt:
        run = await rt.start(work, 0)
        await asyncio.sleep(3.5)
        assert rt.stats().queues["api"].concurrency == 17  # 0.7 of it, three times
        await run.result()


@virtual
async def test_concurrency_stays_between_its_limits(task: Task) -> None:
    @ps.step(queue=adaptive(initial=4, least=3), retry=ps.RetryPolicy(max_attempts=50))
    async def work(x: int, ctx: ps.Context) -> None:
        if ctx.attempt <= 40:
            raise ps.RetryAfter(0.1)

    async with ps.Runtime(task=task, grace=0) as rt:
        await rt.start_many(work, range(3))
        await asyncio.sleep(60)
        assert rt.stats().queues["api"].concurrency == 3
