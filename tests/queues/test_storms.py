"""Retry storms: an outage stays an outage, is seen as one, and ends with the service's own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

import penstock as ps
from loops import Task, virtual
from services import Service, now, outcomes

RETRY = ps.RetryPolicy(max_attempts=5, initial_interval=0.2, max_interval=2.0)
RATE = 20


class Load:
    """So many runs a second of a step that calls a service."""

    def __init__(self, rt: ps.Runtime, queue: ps.Queue) -> None:
        self.rt = rt
        self.service = Service(takes=0.05)
        self.runs: list[ps.Run[object]] = []

        @ps.step(queue=queue, retry=RETRY)
        async def work(x: int) -> object:
            return await self.service.call(x)

        self.work = work

    async def last(self, seconds: float) -> None:
        for _ in range(int(seconds * RATE)):
            self.runs.append(await self.rt.start(self.work, len(self.runs)))
            await asyncio.sleep(1 / RATE)

    async def outage(self, seconds: float) -> tuple[float, float]:
        """When it began and ended."""
        began = now()
        self.service.down = True
        await self.last(seconds)
        self.service.down = False
        return began, now()


@asynccontextmanager
async def news_of(rt: ps.Runtime) -> AsyncGenerator[list[ps.QueueEvent]]:
    """The events of a runtime's queues, as they come."""
    seen: list[ps.QueueEvent] = []

    async def follow() -> None:
        async for event in rt.events():
            assert isinstance(event, ps.QueueEvent)
            seen.append(event)

    following = asyncio.ensure_future(follow())
    await asyncio.sleep(0)
    try:
        yield seen
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


@virtual
async def test_an_outage_is_not_multiplied(task: Task) -> None:
    async with ps.Runtime(task=task, seed=1) as rt:
        load = Load(rt, ps.Queue("api"))
        await load.last(20)
        began, ended = await load.outage(30)
        calls = load.service.count(began, ended)
        # First attempts, a tenth of them, the floor, what was stored, and some to see how it is.
        assert calls <= 30 * RATE * 1.1 + 30 + 10 + 30
        assert rt.stats().queues["api"].demand_ratio > 1.5
        await load.last(60)
        assert await outcomes(load.runs) == ["succeeded"] * len(load.runs)


@pytest.mark.parametrize("limits", ["breaker", "all"])
@virtual
async def test_limits_that_work_together_let_everything_through_in_the_end(
    task: Task, limits: str
) -> None:
    breaker = ps.Breaker(min_calls=20, open_for=5.0, max_open=20.0)
    queue = ps.Queue("api", breaker=breaker)
    if limits == "all":
        queue = ps.Queue(
            "api",
            concurrency=ps.Adaptive(initial=5, max_limit=50),
            rate_limit=ps.RateLimit(4 * RATE, burst=RATE),
            fairness=ps.Fairness(),
            breaker=breaker,
        )
    async with ps.Runtime(task=task, seed=1) as rt:
        load = Load(rt, queue)
        await load.last(20)
        began, ended = await load.outage(30)
        assert load.service.count(began + 5, ended) <= 100, "it is left alone"
        await load.last(30)
        fresh = len(load.runs)
        await load.last(30)
        assert await outcomes(load.runs[fresh:]) == ["succeeded"] * 30 * RATE
        assert await outcomes(load.runs) == ["succeeded"] * len(load.runs)
        assert now() <= 180
        stats = rt.stats().queues["api"]
        assert (stats.parked, stats.waiting, stats.breaker) == (0, 0, "closed")


@virtual
async def test_without_a_budget_it_is(task: Task) -> None:
    async with ps.Runtime(task=task, seed=1) as rt:
        load = Load(rt, ps.Queue("api", retry_budget=None))
        await load.last(20)
        began, ended = await load.outage(30)
        assert load.service.count(began, ended) > 30 * RATE * 4
        await rt.join()


@virtual
async def test_after_an_outage_new_runs_do_not_wait_for_the_old_ones(task: Task) -> None:
    async with ps.Runtime(task=task, seed=1, concurrency=1_000) as rt:
        load = Load(rt, ps.Queue("api", concurrency=2))  # two at a time: forty a second
        await load.last(20)
        await load.outage(30)
        await asyncio.sleep(1)
        fresh = len(load.runs)
        began = now()
        await load.last(30)
        assert await outcomes(load.runs[fresh:]) == ["succeeded"] * 30 * RATE
        assert now() - began <= 33
        per_second = [load.service.count(began + s, began + s + 1) for s in range(30)]
        assert max(per_second) <= 41
        assert await outcomes(load.runs) == ["succeeded"] * len(load.runs)


@virtual
async def test_a_storm_is_told_of_when_it_begins_and_when_it_is_over(
    task: Task, caplog: pytest.LogCaptureFixture
) -> None:
    async with ps.Runtime(task=task, seed=1) as rt, news_of(rt) as news:
        load = Load(rt, ps.Queue("api"))
        epoch = (await (await rt.start(load.work, 0)).history())[0].at
        await load.last(20)
        assert news == []
        began, ended = await load.outage(30)
        assert rt.stats().queues["api"].storm
        await load.last(90)
        assert [event.kind for event in news] == ["storm_started", "storm_ended"]
        card = (await rt.scorecard()).whole.reliability
        assert card.storms == 1
        assert card.storm_seconds == pytest.approx(news[1].at - news[0].at)
        started, over = news
        assert started.queue == over.queue == "api"
        assert began + 2 <= started.at - epoch <= began + 8
        assert started.demand_ratio > 1.5
        assert over.at - epoch >= ended + 30, "it must have been calm for half a minute"
        assert over.at - epoch <= ended + 80
        assert over.demand_ratio < 1.1
        assert over.goodput > 0.95
        assert over.parked == 0
        assert not rt.stats().queues["api"].storm
    assert "queue 'api': storm started" in caplog.text


@virtual
async def test_a_storm_without_a_budget_is_told_of_as_well(task: Task) -> None:
    async with ps.Runtime(task=task, seed=1) as rt, news_of(rt) as news:
        load = Load(rt, ps.Queue("api", retry_budget=None))
        await load.last(20)
        await load.outage(30)
        await rt.join()
        await asyncio.sleep(60)
        assert [event.kind for event in news] == ["storm_started", "storm_ended"]


@virtual
async def test_a_storm_is_over_though_nothing_is_asked_for_any_more(task: Task) -> None:
    async with ps.Runtime(task=task, seed=1, grace=0) as rt, news_of(rt) as news:
        load = Load(rt, ps.Queue("api"))
        await load.last(10)
        await load.outage(20)
        for run in load.runs:
            await run.cancel()
        await rt.join()
        await asyncio.sleep(60)
        assert [event.kind for event in news] == ["storm_started", "storm_ended"]


@virtual
async def test_a_few_failures_are_no_storm(task: Task) -> None:
    async with ps.Runtime(task=task, seed=1) as rt, news_of(rt) as news:
        load = Load(rt, ps.Queue("api"))
        for _ in range(40):  # one of twenty fails
            await load.last(0.95)
            await load.outage(0.05)
        assert await outcomes(load.runs) == ["succeeded"] * len(load.runs)
        assert news == []


@virtual
async def test_nobody_is_told_of_a_storm_of_a_handful(task: Task) -> None:
    async with ps.Runtime(task=task, seed=1) as rt, news_of(rt) as news:
        service = Service(down=True)

        @ps.step(queue=ps.Queue("api"), retry=ps.RetryPolicy(max_attempts=3))
        async def work(x: int) -> object:
            return await service.call(x)

        for x in range(10):
            await rt.start(work, x)
            await asyncio.sleep(5)
        await rt.join()
        assert [event.kind for event in news] == []


@pytest.mark.parametrize("layers", [2, 3])
@virtual
async def test_work_that_calls_work_is_retried_by_one_layer_only(task: Task, layers: int) -> None:
    """With three, the outermost tried again what the innermost had tried again."""
    service = Service(down=True)

    @ps.step(queue=ps.Queue("api", retry_budget=None), retry=RETRY)
    async def inner(x: int) -> object:
        return await service.call(x)

    async with ps.Runtime(task=task, seed=1) as rt:

        @ps.step(retry=RETRY)
        async def outer(x: int) -> object:
            return await rt.run(inner, x)

        @ps.step(retry=RETRY)
        async def outermost(x: int) -> object:
            return await rt.run(outer, x)

        with pytest.raises(ps.RunFailed):
            await rt.run(outer if layers == 2 else outermost, 1)
        assert len(service.calls) == 5


@virtual
async def test_work_that_calls_work_which_is_not_retried_is_retried(task: Task) -> None:
    service = Service(down=True)

    @ps.step
    async def inner(x: int) -> object:
        return await service.call(x)

    async with ps.Runtime(task=task, seed=1) as rt:

        @ps.step(retry=RETRY)
        async def outer(x: int) -> object:
            return await rt.run(inner, x)

        with pytest.raises(ps.RunFailed) as failed:
            await rt.run(outer, 1)
        assert len(service.calls) == failed.value.attempts == 5


@virtual
async def test_a_deadline_is_handed_on_as_what_is_left_of_it(task: Task) -> None:
    service = Service(takes=60.0)

    @ps.step(queue=ps.Queue("api"))
    async def inner(x: int) -> object:
        return await service.call(x)

    async with ps.Runtime(task=task) as rt:

        @ps.step
        async def outer(x: int, ctx: ps.Context) -> object:
            await asyncio.sleep(4)
            return await rt.run(inner, x, deadline=ctx.remaining())

        with pytest.raises(ps.DeadlineExceeded):
            await rt.run(outer, 1, deadline=10.0)
        assert now() == pytest.approx(10)
        await rt.join()
        assert service.inside == 0
