"""Parked runs: they hold no slot, come back once their queue is well, and obey in the meantime."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

import penstock as ps
from loops import Task, virtual
from services import Service, events_of, now, outcomes

SOON = ps.RetryPolicy(max_attempts=6, initial_interval=0.5, max_interval=0.5, jitter="none")
# The first retry is parked at once.
NOTHING = ps.RetryBudget(ratio=0, floor=0.0001, stored=1)


class Parking:
    """A service that is down, and a step whose first run has used up what there was."""

    def __init__(self, **queue: object) -> None:
        self.service = Service(down=True)
        options = {"retry_budget": NOTHING, **queue}
        self.queue = ps.Queue("api", **options)  # type: ignore[arg-type]  # for the tests

        @ps.step(queue=self.queue, retry=SOON)
        async def work(x: int, ctx: ps.Context) -> object:
            return await self.service.call(x, ctx)

        self.work = work

    async def park(
        self, rt: ps.Runtime, count: int = 1, *, priority: int = 3, deadline: float | None = None
    ) -> list[ps.Run[object]]:
        """So many runs that are parked."""
        await rt.start_many(self.work, [-1])
        await asyncio.sleep(0)
        runs = await rt.start_many(self.work, range(count), priority=priority, deadline=deadline)
        await asyncio.sleep(0.1)
        assert rt.stats().queues["api"].parked == count
        return runs


@virtual
async def test_a_parked_run_holds_no_slot(task: Task) -> None:
    parking = Parking(concurrency=1)

    @ps.step(queue="api")
    async def other(x: int) -> int:
        return x

    async with ps.Runtime(task=task, concurrency=1, grace=0, queues=[parking.queue]) as rt:
        runs = await parking.park(rt, 5)
        assert rt.stats().queues["api"].running == 0
        assert {run.status for run in runs} == {"running"}
        assert await rt.run(other, 3) == 3


@virtual
async def test_parked_runs_come_back_when_the_service_does(task: Task) -> None:
    parking = Parking()

    @ps.step(queue="api")
    async def other(x: int) -> int:
        return x

    async with ps.Runtime(task=task, queues=[parking.queue]) as rt:
        runs = await parking.park(rt, 100)
        await asyncio.sleep(600)
        parking.service.down = False
        began = now()
        for x in range(30):  # what shows that it is back
            await rt.run(other, x)
            await asyncio.sleep(1)
        assert await outcomes(runs) == ["succeeded"] * 100
        assert now() - began <= 31
        assert rt.stats().queues["api"].parked == 0


@virtual
async def test_a_quiet_queue_is_tried_by_one_run_at_a_time(task: Task) -> None:
    parking = Parking()
    async with ps.Runtime(task=task) as rt:
        runs = await parking.park(rt, 100)
        before = len(parking.service.calls)
        await asyncio.sleep(300)
        tried = Counter(round(at) for at in parking.service.starts[before:])
        assert 4 <= sum(tried.values()) <= 20, "it is asked less and less often"
        parking.service.down = False
        assert await outcomes(runs) == ["succeeded"] * 100
        assert now() <= 400


@virtual
async def test_they_come_back_the_faster_the_more_succeed_and_never_in_a_rush(task: Task) -> None:
    parking = Parking()
    async with ps.Runtime(task=task) as rt:
        await parking.park(rt, 500)
        parking.service.down = False
        before = len(parking.service.calls)
        began = now()
        await rt.join()
        per_second = Counter(int(at - began) for at in parking.service.starts[before:])
        assert max(per_second.values()) <= 60, "a herd would come at once"
        assert now() - began <= 60


@virtual
async def test_urgent_runs_come_back_first(task: Task) -> None:
    parking = Parking()
    async with ps.Runtime(task=task) as rt:
        await parking.park(rt, 30, priority=4)
        before = len(parking.service.calls)
        urgent = [await rt.start(parking.work, 100 + x, priority=2) for x in range(10)]
        await asyncio.sleep(0.1)
        parking.service.down = False
        await outcomes(urgent)
        await rt.join()
        back = [call.who for call in parking.service.calls[before + 10 :] if call.who != -1]
        assert back[:10] == list(range(100, 110))


@virtual
async def test_a_parked_run_is_cancelled_at_once(task: Task) -> None:
    parking = Parking()
    async with ps.Runtime(task=task, grace=0) as rt:
        runs = await parking.park(rt, 3)
        began = now()
        assert await runs[1].cancel()
        with pytest.raises(ps.RunCancelled):
            await runs[1].result()
        assert now() == began
        assert rt.stats().queues["api"].parked == 2
        parking.service.down = False
        assert await outcomes([runs[0], runs[2]]) == ["succeeded"] * 2
        assert 1 not in [call.who for call in parking.service.calls if call.attempt > 1]


@virtual
async def test_thousands_of_parked_runs_can_be_cancelled(task: Task) -> None:
    parking = Parking()
    async with ps.Runtime(task=task, grace=0) as rt:
        await rt.start_many(parking.work, [-1])
        runs = await rt.start_many(parking.work, range(5_000))
        await asyncio.sleep(0.1)
        for run in runs[:-1]:
            await run.cancel()
        assert rt.stats().queues["api"].parked <= 2
        parking.service.down = False
        assert await runs[-1].result() == 4_999


@virtual
async def test_a_paused_run_that_is_parked_stays_until_it_is_resumed(task: Task) -> None:
    parking = Parking()
    async with ps.Runtime(task=task) as rt:
        (run,) = await parking.park(rt)
        assert await run.pause()
        parking.service.down = False
        await asyncio.sleep(600)
        assert run.status == "paused"
        assert [call.attempt for call in parking.service.calls if call.who == 0] == [1]
        assert await run.resume()
        assert await run.result() == 0


@virtual
async def test_a_paused_run_is_parked_when_what_still_ran_is_denied(task: Task) -> None:
    parking = Parking()
    parking.service.takes = 1.0
    async with ps.Runtime(task=task) as rt:
        await rt.start_many(parking.work, [-1])
        run = await rt.start(parking.work, 0)
        await asyncio.sleep(0.5)
        await run.pause()
        await asyncio.sleep(1)
        assert rt.stats().queues["api"].parked == 1
        parking.service.down = False
        await asyncio.sleep(600)
        assert run.status == "paused"
        await run.resume()
        assert await run.result() == 0
        assert [call.attempt for call in parking.service.calls if call.who == 0] == [1, 2]


@virtual
async def test_a_deadline_does_not_wait_for_a_parked_run(task: Task) -> None:
    parking = Parking()
    async with ps.Runtime(task=task, grace=0) as rt:
        (run,) = await parking.park(rt, deadline=60.0)
        with pytest.raises(ps.DeadlineExceeded):
            await run.result()
        assert now() == pytest.approx(60)
        assert rt.stats().queues["api"].parked <= 1


@virtual
async def test_the_total_timeout_of_a_step_goes_on_while_it_is_parked(task: Task) -> None:
    service = Service(down=True)

    @ps.step(queue=ps.Queue("api", retry_budget=NOTHING), retry=SOON, total_timeout=100.0)
    async def work(x: int) -> object:
        return await service.call(x)

    async with ps.Runtime(task=task, grace=0) as rt:
        runs = await rt.start_many(work, range(20))
        await asyncio.sleep(99)
        assert runs[-1].status == "running"
        with pytest.raises(ps.RunFailed, match="total_timeout of 100 s passed"):
            await runs[-1].result()
        assert now() == pytest.approx(100)


@virtual
async def test_a_parked_run_says_so_in_its_history(task: Task) -> None:
    """It had a failure like any other, and looked as if its retry were due."""
    parking = Parking()
    async with ps.Runtime(task=task, grace=0) as rt:
        (run,) = await parking.park(rt)
        assert "budget" in [event.parked for event in await run.history()]


@virtual
async def test_attempts_go_on_counting_after_a_run_was_parked(task: Task) -> None:
    parking = Parking()
    async with ps.Runtime(task=task) as rt:
        (run,) = await parking.park(rt)
        assert len(await events_of(run, "failed")) == 1
        parking.service.down = False
        assert await run.result() == 0
        (done,) = await events_of(run, "done")
        assert done.attempt == 2
        assert [call.attempt for call in parking.service.calls if call.who == 0] == [1, 2]


@virtual
async def test_a_parked_node_does_not_stop_the_rest_of_its_run(task: Task) -> None:
    parking = Parking()

    @ps.step
    async def beside(x: int) -> float:
        await asyncio.sleep(1)
        return now()

    @ps.workflow
    def both(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[object]:
        return flow.apply(lambda _, at: at, flow.call(parking.work, x), flow.call(beside, x))

    async with ps.Runtime(task=task) as rt:
        await rt.start_many(parking.work, [-1])
        run = await rt.start(both, 1)
        await asyncio.sleep(5)
        parking.service.down = False
        assert await run.result() == pytest.approx(1)


@virtual
async def test_closing_cancels_what_is_parked(task: Task, caplog: pytest.LogCaptureFixture) -> None:
    parking = Parking()
    async with ps.Runtime(task=task, grace=60.0) as rt:
        await parking.park(rt, 3)
        began = now()
    assert now() == began, "nothing is under way"
    assert "closed with 4 runs under way" in caplog.text
