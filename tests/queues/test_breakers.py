"""Breakers: a service that fails too often is left alone, then tried carefully; in virtual time."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

import penstock as ps
from loops import Task, virtual
from services import Service, kinds_of, now, outcomes

QUICK = ps.Breaker(min_calls=5, failure_ratio=0.5, window=10.0, open_for=5.0, probes=2)
AGAIN = ps.RetryPolicy(max_attempts=50, initial_interval=0.1, max_interval=0.1, jitter="none")


def a_queue(breaker: ps.Breaker = QUICK, **options: int | None) -> ps.Queue:
    # Without a budget, so that only the breaker keeps attempts back.
    return ps.Queue("api", breaker=breaker, **{"retry_budget": None, **options})  # type: ignore[arg-type]  # parametrised


def bursts(times: list[float], gap: float = 2.0) -> list[list[float]]:
    """Times in groups, with more than `gap` seconds between two."""
    groups = [times[:1]]
    for before, after in pairwise(times):
        if after - before > gap:
            groups.append([])
        groups[-1].append(after)
    return groups


@virtual
async def test_a_failing_service_is_left_alone(task: Task) -> None:
    service = Service(takes=0.1, down=True)

    @ps.step(queue=a_queue(concurrency=1), retry=AGAIN)
    async def work(x: int) -> object:
        return await service.call(x)

    async with ps.Runtime(task=task, seed=1, grace=0) as rt:
        runs = await rt.start_many(work, range(20))
        await asyncio.sleep(4)
        assert len(service.calls) == 5
        queue = rt.stats().queues["api"]
        assert (queue.breaker, queue.parked, queue.waiting) == ("open", 20, 0)
        assert {run.status for run in runs} == {"running"}


@virtual
async def test_it_takes_enough_calls_and_enough_failures_to_judge(task: Task) -> None:
    service = Service()

    @ps.step(queue=a_queue(concurrency=1))
    async def work(x: int) -> object:
        service.down = x % 5 >= 3  # two of five
        return await service.call(x)

    async with ps.Runtime(task=task, seed=1) as rt:
        await rt.start_many(work, [4] * 4)
        await rt.join()
        assert rt.stats().queues["api"].breaker == "closed", "four calls are too few"
        await asyncio.sleep(20)
        await rt.start_many(work, range(100))
        await rt.join()
        assert rt.stats().queues["api"].breaker == "closed", "two of five are too few"
        assert len(service.calls) == 104


@virtual
async def test_old_failures_are_forgotten(task: Task) -> None:
    service = Service(down=True)

    @ps.step(queue=a_queue())
    async def work(x: int) -> object:
        return await service.call(x)

    async with ps.Runtime(task=task, seed=1) as rt:
        for x in range(40):
            with pytest.raises(ps.RunFailed):
                await rt.run(work, x)
            await asyncio.sleep(2.75)  # never five in ten seconds
        assert rt.stats().queues["api"].breaker == "closed"


@virtual
async def test_what_waited_goes_on_when_the_service_is_back(task: Task) -> None:
    service = Service(takes=0.1, down=True)

    @ps.step(queue=a_queue(concurrency=2), retry=AGAIN)
    async def work(x: int) -> object:
        return await service.call(x)

    async with ps.Runtime(task=task, seed=1) as rt:
        runs = await rt.start_many(work, range(50))
        await asyncio.sleep(3)
        service.down = False
        assert await outcomes(runs) == ["succeeded"] * 50
        queue = rt.stats().queues["api"]
        assert (queue.breaker, queue.parked) == ("closed", 0)
        opened = min(at for at in service.starts if at > 3)
        assert 5 <= opened <= 6.25 + 0.6, "open for its time and up to a quarter more"
        assert now() <= 20


@virtual
async def test_only_probes_are_sent_and_it_stays_open_longer_each_time(task: Task) -> None:
    service = Service(takes=0.1, down=True)
    breaker = ps.Breaker(min_calls=5, open_for=5.0, max_open=30.0, probes=2)

    @ps.step(queue=a_queue(breaker, concurrency=5), retry=AGAIN)
    async def work(x: int) -> object:
        return await service.call(x)

    async with ps.Runtime(task=task, seed=1, grace=0) as rt:
        await rt.start_many(work, range(50))
        await asyncio.sleep(200)
        first, *probes = bursts(service.starts)
        assert len(first) <= 5 + 5
        assert all(1 <= len(burst) <= 2 for burst in probes)
        gaps = [after[0] - before[-1] for before, after in pairwise([first, *probes])]
        for gap, least in zip(gaps, [5, 10, 20, 30, 30, 30], strict=False):
            assert least <= gap <= least * 1.25 + 0.5, gaps
        assert len(gaps) >= 5


@virtual
async def test_it_opens_as_short_as_at_first_once_it_was_closed(task: Task) -> None:
    service = Service(takes=0.1, down=True)

    @ps.step(queue=a_queue(concurrency=5), retry=AGAIN)
    async def work(x: int) -> object:
        return await service.call(x)

    async with ps.Runtime(task=task, seed=1, grace=0) as rt:
        await rt.start_many(work, range(20))
        await asyncio.sleep(60)
        service.down = False
        await rt.join()
        service.down = True
        await asyncio.sleep(30)
        before = len(service.calls)
        await rt.start_many(work, range(20))
        await asyncio.sleep(8)
        assert len(bursts(service.starts[before:])) == 2


@virtual
async def test_a_fallback_is_taken_while_it_is_open(task: Task) -> None:
    service = Service(down=True)
    failures: list[BaseException | None] = []

    @ps.step
    async def instead(x: int, ctx: ps.Context) -> object:
        failures.append(ctx.failure)
        return -x

    @ps.step(queue=a_queue(concurrency=1), fallback=instead)
    async def work(x: int) -> object:
        return await service.call(x)

    async with ps.Runtime(task=task, seed=1) as rt:
        runs = await rt.start_many(work, range(10))
        assert [await run.result() for run in runs] == [-x for x in range(10)]
        assert now() <= 1
        assert len(service.calls) == 5
        assert [type(it).__name__ for it in failures[5:]] == ["BreakerOpen"] * 5
        assert isinstance(failures[9], ps.BreakerOpen)
        assert rt.stats().queues["api"].parked == 0
        assert not await runs[9].cancel()


@virtual
async def test_a_fallback_is_not_taken_any_more_when_the_service_is_back(task: Task) -> None:
    service = Service(down=True)

    @ps.step
    async def instead(x: int) -> object:
        return -x

    @ps.step(queue=a_queue(), fallback=instead)
    async def work(x: int) -> object:
        return await service.call(x)

    async with ps.Runtime(task=task, seed=1) as rt:
        for x in range(1, 6):
            assert await rt.run(work, x) == -x
        service.down = False
        assert await rt.run(work, 6) == -6
        await asyncio.sleep(6.25)
        assert [await rt.run(work, x) for x in (7, 8, 9)] == [7, 8, 9]
        assert rt.stats().queues["api"].breaker == "closed"


@virtual
async def test_a_run_that_the_breaker_parked_says_so_in_its_history(task: Task) -> None:
    service = Service(down=True)

    @ps.step(queue=a_queue())
    async def work(x: int) -> object:
        return await service.call(x)

    async with ps.Runtime(task=task, seed=1) as rt:
        await outcomes(await rt.start_many(work, range(5)))
        run = await rt.start(work, 7)
        await asyncio.sleep(1)
        assert await kinds_of(run) == ["accepted", "parked breaker"]
        service.down = False
        assert await run.result() == 7
        assert await kinds_of(run) == ["accepted", "parked breaker", "done", "ended succeeded"]
        assert rt.stats().queues["api"].breaker == "half_open", "one of two probes"


@virtual
async def test_waiting_for_the_breaker_counts_as_waiting_in_the_queue(task: Task) -> None:
    """A parked run waited for as long as the breaker took, whatever its step's queue_timeout."""
    service = Service(down=True)

    @ps.step(queue=a_queue(ps.Breaker(min_calls=5, open_for=60.0)), queue_timeout=15.0)
    async def work(x: int) -> object:
        return await service.call(x)

    async with ps.Runtime(task=task, seed=1) as rt:
        await outcomes(await rt.start_many(work, range(5)))
        run = await rt.start(work, 7)
        with pytest.raises(ps.RunFailed, match="queue_timeout of 15 s"):
            await run.result()
        assert now() == pytest.approx(15)


@virtual
async def test_what_was_cut_off_says_nothing_of_the_service(task: Task) -> None:
    service = Service(takes=60.0)

    @ps.step(queue=a_queue())
    async def work(x: int) -> object:
        return await service.call(x)

    async with ps.Runtime(task=task, seed=1) as rt:
        runs = await rt.start_many(work, range(50))
        await asyncio.sleep(1)
        for run in runs:
            await run.cancel()
        await rt.join()
        assert rt.stats().queues["api"].breaker == "closed"


@virtual
async def test_timeouts_are_failures_of_the_service(task: Task) -> None:
    service = Service(takes=60.0)

    @ps.step(queue=a_queue(), timeout=1.0)
    async def work(x: int) -> object:
        return await service.call(x)

    async with ps.Runtime(task=task, seed=1) as rt:
        assert await outcomes(await rt.start_many(work, range(5))) == ["RunFailed"] * 5
        assert rt.stats().queues["api"].breaker == "open"


@virtual
async def test_probes_that_are_cut_off_are_sent_again(task: Task) -> None:
    service = Service(down=True)

    @ps.step(queue=a_queue(), retry=AGAIN)
    async def work(x: int) -> object:
        return await service.call(x)

    async with ps.Runtime(task=task, seed=1) as rt:
        await rt.start_many(work, range(20))
        await asyncio.sleep(1)
        service.takes, service.down = 1_000.0, False
        runs = await rt.start_many(work, range(20))
        await asyncio.sleep(8)
        assert service.inside == 2
        assert rt.stats().queues["api"].breaker == "half_open"
        service.takes = 0.1
        await asyncio.sleep(30)  # they say nothing, and others are sent
        assert rt.stats().queues["api"].breaker == "closed"
        for run in runs:
            await run.cancel()
        await rt.join()


@virtual
async def test_cancelling_what_waits_for_the_breaker(task: Task) -> None:
    service = Service(down=True)

    @ps.step(queue=a_queue())
    async def work(x: int) -> object:
        return await service.call(x)

    async with ps.Runtime(task=task, seed=1) as rt:
        await outcomes(await rt.start_many(work, range(5)))
        run = await rt.start(work, 7)
        late = await rt.start(work, 8, deadline=2.0)
        await asyncio.sleep(1)
        await run.cancel()
        assert await outcomes([run, late]) == ["RunCancelled", "DeadlineExceeded"]
        assert rt.stats().queues["api"].parked == 0
        assert now() == pytest.approx(2)
