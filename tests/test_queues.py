"""Queues, priorities and limits: who starts when, and who is refused; in virtual time."""

from __future__ import annotations

import asyncio

import pytest

import penstock as ps
from loops import Task, noop, virtual


def now() -> float:
    return asyncio.get_running_loop().time()


class Meter:
    """Counts how many are inside at once."""

    def __init__(self) -> None:
        self.inside = 0
        self.most = 0
        self.order: list[object] = []

    async def stay(self, seconds: float, who: object = None) -> None:
        self.inside += 1
        self.most = max(self.most, self.inside)
        self.order.append(who)
        try:
            await asyncio.sleep(seconds)
        finally:
            self.inside -= 1


@virtual
async def test_a_queue_runs_no_more_than_its_concurrency(task: Task) -> None:
    meter, queue = Meter(), ps.Queue("three", concurrency=3)

    @ps.step(queue=queue)
    async def work(x: int) -> int:
        await meter.stay(1.0)
        return x

    @ps.step(queue="three")
    async def more(x: int) -> int:
        await meter.stay(1.0)
        return x

    @ps.workflow
    def both(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[list[int]]:
        return flow.apply(lambda a, b: [a, b], flow.call(work, x), flow.call(more, x))

    async with ps.Runtime(task=task, queues=[queue]) as rt:
        runs = await rt.start_many(both, range(6))
        assert [await run.result() for run in runs] == [[x, x] for x in range(6)]
        assert meter.most == 3
        assert now() == pytest.approx(4)
        assert rt.stats().queues["three"].running == 0


@virtual
async def test_the_runtime_runs_no_more_than_its_concurrency(task: Task) -> None:
    meter = Meter()

    @ps.step(queue=ps.Queue("wide", concurrency=100))
    async def work(x: int) -> int:
        await meter.stay(1.0)
        return x

    @ps.step
    async def other(x: int) -> int:
        await meter.stay(1.0)
        return x

    async with ps.Runtime(task=task, concurrency=4) as rt:
        await rt.start_many(work, range(10))
        await rt.start_many(other, range(10))
        await rt.join()
        assert meter.most == 4
        assert now() == pytest.approx(5)


@virtual
async def test_a_full_queue_does_not_hold_up_others(task: Task) -> None:
    @ps.step(queue=ps.Queue("narrow", concurrency=1))
    async def slow(x: int) -> int:
        await asyncio.sleep(100)
        return x

    async with ps.Runtime(task=task, grace=0) as rt:
        await rt.start_many(slow, range(50))
        assert await rt.run(noop, 1) == 1
        assert now() == 0


@virtual
async def test_lower_priorities_start_first_and_equal_ones_in_order(task: Task) -> None:
    meter = Meter()

    @ps.step
    async def work(x: int) -> None:
        await meter.stay(1.0, x)

    async with ps.Runtime(task=task, concurrency=1) as rt:
        blocker = await rt.start(work, 0)
        await asyncio.sleep(0.5)
        for x, priority in enumerate([5, 3, 1, 4, 2, 3, 1], start=1):
            await rt.start(work, x, priority=priority)
        await rt.start(work, 8)
        await rt.join()
        assert blocker.status == "succeeded"
        assert meter.order == [0, 3, 7, 5, 2, 6, 8, 4, 1]


@virtual
async def test_priority_of_a_call_beats_the_runs_and_the_runs_the_steps(task: Task) -> None:
    meter = Meter()

    @ps.step
    async def block(x: int) -> None:
        await meter.stay(1.0, "block")

    @ps.step(priority=1)
    async def by_step(who: str) -> None:
        await meter.stay(1.0, who)

    @ps.workflow
    def by_call(flow: ps.Flow, who: ps.Node[str]) -> ps.Node[None]:
        return flow.call(by_step, who, priority=2)

    async with ps.Runtime(task=task, concurrency=1) as rt:
        await rt.start(block, 0)
        await asyncio.sleep(0.5)
        await rt.start(by_step, "run 5", priority=5)
        await rt.start(by_call, "call 2", priority=4)
        await rt.start(by_step, "run 3", priority=3)
        await rt.start(by_step, "step 1")
        await rt.join()
        assert meter.order == ["block", "step 1", "call 2", "run 3", "run 5"]


@virtual
async def test_steps_of_a_run_go_before_runs_that_came_later(task: Task) -> None:
    meter = Meter()

    @ps.step
    async def work(x: int) -> int:
        await meter.stay(1.0, x)
        return x

    @ps.step(priority=1)
    async def urgent(x: int) -> int:
        await meter.stay(1.0, -x)
        return x

    @ps.workflow
    def two(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        return flow.call(urgent, flow.call(work, x))

    async with ps.Runtime(task=task, concurrency=1) as rt:
        await rt.start_many(two, [1, 2, 3])
        await rt.join()
        assert meter.order == [1, -1, 2, -2, 3, -3]


@virtual
async def test_a_full_queue_refuses_and_keeps_nothing(task: Task) -> None:
    queue = ps.Queue("tiny", concurrency=1, capacity=2)

    @ps.step(queue=queue)
    async def work(x: int) -> int:
        await asyncio.sleep(10)
        return x

    async with ps.Runtime(task=task) as rt:
        runs = [await rt.start(work, 0)]
        await asyncio.sleep(1)
        runs += [await rt.start(work, x) for x in (1, 2)]
        for use in (rt.start(work, 3, run_id="r"), rt.run(work, 3), rt.start_many(work, [3])):
            with pytest.raises(ps.Overloaded, match="queue 'tiny' is full") as refused:
                await use
            assert refused.value.retry_after > 0
            assert "admission='wait'" in str(refused.value)
        with pytest.raises(ps.RunNotFound):
            rt.get("r")
        assert rt.stats().runs == 3
        assert rt.stats().queues["tiny"].waiting == 2
        await asyncio.sleep(10)
        runs.append(await rt.start(work, 3, run_id="r"))
        assert [await run.result() for run in runs] == [0, 1, 2, 3]
        assert rt._core.object_count() == 0


@virtual
async def test_retry_after_tells_how_long_the_queue_takes(task: Task) -> None:
    queue = ps.Queue("tiny", concurrency=1, capacity=1)

    @ps.step(queue=queue)
    async def work(x: int) -> int:
        await asyncio.sleep(10)
        return x

    async with ps.Runtime(task=task, grace=0) as rt:
        for x in range(20):  # it learns the pace of its queue
            await rt.start(work, x, admission="wait")
        with pytest.raises(ps.Overloaded) as refused:
            await rt.start_many(work, range(2))
        assert 5 <= refused.value.retry_after <= 20


@virtual
async def test_a_batch_that_does_not_fit_is_refused_as_a_whole(task: Task) -> None:
    queue = ps.Queue("small", concurrency=1, capacity=5)

    @ps.step(queue=queue)
    async def work(x: int) -> int:
        await asyncio.sleep(1)
        return x

    async with ps.Runtime(task=task) as rt:
        with pytest.raises(ps.Overloaded):
            await rt.start_many(work, range(6))
        assert rt.stats().runs == 0
        runs = await rt.start_many(work, range(5))
        assert [await run.result() for run in runs] == list(range(5))


@virtual
async def test_waiting_for_room_takes_what_there_is_first_come_first_served(task: Task) -> None:
    meter, queue = Meter(), ps.Queue("small", concurrency=1, capacity=2)

    @ps.step(queue=queue)
    async def work(x: int) -> int:
        await meter.stay(1.0, x)
        return x

    async with ps.Runtime(task=task) as rt:
        runs = await rt.start_many(work, range(10), admission="wait")
        assert now() >= 7
        assert [await run.result() for run in runs] == list(range(10))
        assert meter.order == list(range(10))
        meter.order.clear()
        starting = [asyncio.ensure_future(rt.run(work, x, admission="wait")) for x in range(10)]
        assert await asyncio.gather(*starting) == list(range(10))
        assert meter.order == list(range(10))


@virtual
async def test_giving_up_on_room_passes_it_on(task: Task) -> None:
    queue = ps.Queue("tiny", concurrency=1, capacity=1)

    @ps.step(queue=queue)
    async def work(x: int) -> int:
        await asyncio.sleep(10)
        return x

    async with ps.Runtime(task=task) as rt:
        await rt.start(work, 0)
        await asyncio.sleep(1)
        await rt.start(work, 1)
        impatient = asyncio.ensure_future(rt.run(work, 2, admission="wait"))
        patient = asyncio.ensure_future(rt.run(work, 3, admission="wait"))
        await asyncio.sleep(1)
        impatient.cancel()
        assert await patient == 3
        assert now() == pytest.approx(30)
        assert rt.stats().workflows["work"].accepted == 3


@virtual
async def test_steps_inside_a_run_are_never_refused(task: Task) -> None:
    # Capacity is about accepting runs: a run that is under way must be able to go on.
    queue = ps.Queue("tiny", concurrency=1, capacity=1)

    @ps.step(queue=queue)
    async def work(x: int) -> int:
        await asyncio.sleep(1)
        return x

    @ps.step
    async def total(*numbers: int) -> int:
        return sum(numbers)

    @ps.workflow
    def wide(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        return flow.call(total, *[flow.call(work, x, name=f"w{n}") for n in range(10)])

    async with ps.Runtime(task=task) as rt:
        assert await rt.run(wide, 1) == 10
        assert now() == pytest.approx(10)


@virtual
async def test_a_queue_of_the_runtime_replaces_the_steps_own(task: Task) -> None:
    meter = Meter()

    @ps.step(queue=ps.Queue("gpt", concurrency=1))
    async def work(x: int) -> None:
        await meter.stay(1.0)

    async with ps.Runtime(task=task, queues=[ps.Queue("gpt", version="2", concurrency=5)]) as rt:
        await rt.start_many(work, range(10))
        await rt.join()
        assert meter.most == 5


@virtual
async def test_a_cancelled_wait_gives_its_place_back(task: Task) -> None:
    queue = ps.Queue("small", concurrency=1, capacity=2)

    @ps.step(queue=queue)
    async def work(x: int) -> int:
        await asyncio.sleep(10)
        return x

    async with ps.Runtime(task=task, grace=0) as rt:
        first = await rt.start(work, 0)
        await asyncio.sleep(1)
        waiting = [await rt.start(work, x) for x in (1, 2)]
        await waiting[0].cancel()
        assert rt.stats().queues["small"].waiting == 1
        third = await rt.start(work, 3)
        with pytest.raises(ps.Overloaded):
            await rt.start(work, 4)
        assert [await run.result() for run in (first, waiting[1], third)] == [0, 2, 3]
        assert now() == pytest.approx(30)
