"""Priorities that age, and deadlines: what starts first, and what does not start at all."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

import penstock as ps
from loops import Task, virtual
from services import Service, kinds_of, now, outcomes


@virtual
async def test_priorities_are_strict_at_first(task: Task) -> None:
    service = Service(takes=1.0)

    @ps.step(queue=ps.Queue("one", concurrency=1))
    async def work(x: int) -> object:
        return await service.call(x)

    async with ps.Runtime(task=task) as rt:
        await rt.start_many(work, [5] * 5, priority=5)
        await rt.start_many(work, [1] * 25, priority=1)
        await asyncio.sleep(24.5)
        assert service.order == [1] * 25


@virtual
async def test_a_priority_that_stood_too_long_gets_its_share_and_no_more(task: Task) -> None:
    service = Service(takes=1.0)

    @ps.step(queue=ps.Queue("one", concurrency=1, aging=30.0, aging_share=0.1))
    async def work(x: int) -> object:
        return await service.call(x)

    async with ps.Runtime(task=task, grace=0) as rt:
        await rt.start_many(work, [5] * 300, priority=5)
        await rt.start_many(work, [1] * 300, priority=1)
        await asyncio.sleep(230)
        low = [call.at for call in service.calls if call.who == 5]
        assert low[0] == pytest.approx(30, abs=1)
        assert len(low) == pytest.approx(20, abs=1)
        assert all(after - before >= 9.9 for before, after in pairwise(low))


@virtual
async def test_a_new_urgent_run_does_not_wait_for_an_old_backlog(task: Task) -> None:
    service = Service(takes=1.0)

    @ps.step(queue=ps.Queue("one", concurrency=1, aging=5.0, aging_share=0.5))
    async def work(x: int) -> object:
        return await service.call(x)

    async with ps.Runtime(task=task, grace=0) as rt:
        await rt.start_many(work, [5] * 1_000, priority=5)
        await asyncio.sleep(500)
        began = now()
        await rt.run(work, 1, priority=1)
        assert now() - began <= 3


@virtual
async def test_without_a_share_nothing_ages(task: Task) -> None:
    service = Service(takes=1.0)

    @ps.step(queue=ps.Queue("one", concurrency=1, aging=1.0, aging_share=0))
    async def work(x: int) -> object:
        return await service.call(x)

    async with ps.Runtime(task=task) as rt:
        await rt.start_many(work, [2] * 5, priority=2)
        await rt.start_many(work, [1] * 100, priority=1)
        await rt.join()
        assert service.order == [1] * 100 + [2] * 5


@virtual
async def test_the_earliest_deadline_goes_first_within_a_priority(task: Task) -> None:
    service = Service(takes=1.0)

    @ps.step(queue=ps.Queue("one", concurrency=1))
    async def work(x: int) -> object:
        return await service.call(x)

    async with ps.Runtime(task=task) as rt:
        await rt.start(work, 0)
        await asyncio.sleep(0.5)
        for deadline in (29, 300, 20, 25):
            await rt.start(work, deadline, deadline=deadline)
        await rt.start(work, 1)  # counts as one of 30 s: as long as a priority may stand
        await rt.start(work, 10_000, deadline=10_000, priority=2)
        await rt.join()
        assert service.order == [0, 10_000, 20, 25, 29, 1, 300]


async def learn(rt: ps.Runtime, work: ps.Stage[[int], object], times: int = 20) -> None:
    await rt.start_many(work, [0] * times)
    await rt.join()


@virtual
async def test_what_can_not_end_in_time_does_not_start(task: Task) -> None:
    service = Service(takes=10.0)

    @ps.step(queue=ps.Queue("api"))
    async def work(x: int) -> object:
        return await service.call(x)

    async with ps.Runtime(task=task) as rt:
        await learn(rt, work)
        began = now()
        run = await rt.start(work, 1, deadline=5.0)
        with pytest.raises(ps.DeadlineExceeded):
            await run.result()
        assert now() == began, "nobody waits for what is too late already"
        assert len(service.calls) == 20
        assert "started" not in await kinds_of(run)
        assert await rt.run(work, 2, deadline=11.0) == 2


@virtual
async def test_it_takes_twenty_attempts_to_know_how_long_a_step_takes(task: Task) -> None:
    service = Service(takes=10.0)

    @ps.step(queue=ps.Queue("api"))
    async def work(x: int) -> object:
        return await service.call(x)

    async with ps.Runtime(task=task) as rt:
        await learn(rt, work, times=19)
        with pytest.raises(ps.DeadlineExceeded):
            await rt.run(work, 1, deadline=5.0)
        assert now() == pytest.approx(15)
        assert len(service.calls) == 20, "it was tried"


@virtual
async def test_what_waited_too_long_is_dropped_when_its_turn_comes(task: Task) -> None:
    service = Service(takes=10.0)

    @ps.step(queue=ps.Queue("api", concurrency=20))
    async def work(x: int) -> object:
        return await service.call(x)

    async with ps.Runtime(task=task) as rt:
        await learn(rt, work)
        runs = await rt.start_many(work, range(60), deadline=25.0)
        ended = await outcomes(runs)
        assert ended == ["succeeded"] * 40 + ["DeadlineExceeded"] * 20
        assert len(service.calls) == 60
        # The slot that the late ones did not take is free for others.
        assert now() == pytest.approx(30)


@virtual
async def test_a_fallback_takes_over_from_what_would_be_too_late(task: Task) -> None:
    service = Service(takes=10.0)
    failures: list[BaseException | None] = []

    @ps.step
    async def short(x: int, ctx: ps.Context) -> object:
        failures.append(ctx.failure)
        return -x

    @ps.step(queue=ps.Queue("api"), fallback=short)
    async def work(x: int) -> object:
        return await service.call(x)

    async with ps.Runtime(task=task) as rt:
        await learn(rt, work)
        assert await rt.run(work, 3, deadline=5.0) == -3
        assert now() == pytest.approx(10)
        assert [type(failure) for failure in failures] == [TimeoutError]
        assert "deadline" in str(failures[0])


@virtual
async def test_a_retry_that_would_be_too_late_is_not_made(task: Task) -> None:
    service = Service(takes=10.0)
    retry = ps.RetryPolicy(max_attempts=5, initial_interval=1.0, jitter="none")

    @ps.step(queue=ps.Queue("api"), retry=retry)
    async def work(x: int) -> object:
        return await service.call(x)

    async with ps.Runtime(task=task) as rt:
        await learn(rt, work)
        service.down = True
        with pytest.raises(ps.DeadlineExceeded):
            await rt.run(work, 1, deadline=15.0)
        assert len(service.calls) == 21
        assert now() < 25
