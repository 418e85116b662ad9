"""The runtime beside the rest of a service: fair to its tasks, and good for graphs of any shape."""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from itertools import pairwise

import pytest

import penstock as ps
from loops import NewLoop, Task, both_loops, noop, on_loops, run_on, virtual

RUNS = 1_000


@ps.workflow
def chain(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
    for number in range(100):
        x = flow.call(noop, x, name=f"n{number}")
    return x


@on_loops
def test_the_services_own_tasks_are_not_starved(task: Task, new_loop: NewLoop) -> None:
    """100,000 steps run; a ticker of 5 ms on the same loop keeps its period."""

    async def main() -> list[float]:
        ticks: list[float] = []

        async def ticker() -> None:
            while True:
                ticks.append(time.perf_counter())
                await asyncio.sleep(0.005)

        async with ps.Runtime(task=task) as rt:
            await rt.run(chain, 0)
            ticking = asyncio.ensure_future(ticker())
            runs = await rt.start_many(chain, range(RUNS))
            await asyncio.sleep(0)
            ticks.clear()
            for run in runs:
                await run.result()
            ticking.cancel()
            assert rt.stats().steps["noop"].succeeded == 100 * (RUNS + 1)
        return [after - before for before, after in pairwise(ticks)]

    # Other processes of a shared machine can make one measurement late, not three. What other tests
    # have left in the heap is frozen, or the collector's pauses are measured.
    measured: list[float] = []
    gc.collect()
    gc.freeze()
    try:
        for _ in range(3):
            gaps = sorted(run_on(new_loop, main()))
            assert len(gaps) >= 5
            measured.append(gaps[int(len(gaps) * 0.99)])
            if measured[-1] <= 0.020:
                return
    finally:
        gc.unfreeze()
    pytest.fail(f"p99 of the ticker's period, in three tries: {measured}")


@both_loops
async def test_no_turn_of_the_loop_starts_more_than_its_share(task: Task) -> None:
    """What a busy machine can't blur: how many steps start between two turns of the loop."""
    started = 0

    @ps.step
    async def count(x: int) -> int:
        nonlocal started
        started += 1
        return x

    @ps.workflow
    def counts(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        for number in range(50):
            x = flow.call(count, x, name=f"n{number}")
        return x

    async with ps.Runtime(task=task) as rt:
        runs = await rt.start_many(counts, range(100))
        seen = [0]
        while started < 5_000:
            await asyncio.sleep(0)
            seen.append(started)
        assert max(after - before for before, after in pairwise(seen)) <= 256
        assert [await run.result() for run in runs] == list(range(100))


@both_loops
async def test_a_slow_step_does_not_hold_the_turn_longer_than_it_takes(task: Task) -> None:
    """The turn is bounded in time as well: after 2 ms of steps the loop gets its turn."""
    if task == "own" and sys.version_info < (3, 12):
        pytest.skip("plain Tasks are started by the loop, all of them in its next turn")

    @ps.step
    async def busy(x: int) -> int:
        end = time.perf_counter() + 0.001
        while time.perf_counter() < end:
            pass
        return x

    async with ps.Runtime(task=task) as rt:
        runs = await rt.start_many(busy, range(20))
        turns = 0
        while rt.stats().runs:
            await asyncio.sleep(0)
            turns += 1
        assert turns >= 5
        assert [run.status for run in runs] == ["succeeded"] * 20


@virtual
async def test_a_cancellation_gets_through_while_steps_run(task: Task) -> None:
    async with ps.Runtime(task=task) as rt:
        runs = await rt.start_many(chain, range(200))
        last = runs[-1]
        for _ in range(3):
            await asyncio.sleep(0)
        assert await last.cancel()
        with pytest.raises(ps.RunCancelled):
            await last.result()
        assert runs[-2].status == "running"
        await rt.join()


@virtual
async def test_workflows_are_registered_when_they_first_run(task: Task) -> None:
    async with ps.Runtime(task=task, workflows=[noop]) as rt:
        assert set(rt.stats().workflows) == {"noop"}
        await rt.run(chain, 1)
        assert set(rt.stats().workflows) == {"noop", "chain"}
        assert rt.stats().steps["noop"].succeeded == 100


@virtual
async def test_a_wide_graph(task: Task) -> None:
    @ps.step
    async def total(*numbers: int) -> int:
        return sum(numbers)

    @ps.workflow
    def wide(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        return flow.call(total, *[flow.call(noop, x, name=f"n{n}") for n in range(2_000)])

    async with ps.Runtime(task=task) as rt:
        assert await rt.run(wide, 2) == 4_000
        assert rt._core.object_count() == 0


@virtual
async def test_a_deep_graph(task: Task) -> None:
    @ps.workflow
    def deep(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        for number in range(10_000):
            x = flow.call(noop, x, name=f"n{number}")
        return x

    @ps.workflow
    def deep_inline(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        for number in range(10_000):
            x = flow.apply(lambda it: it + 1, x, name=f"n{number}")
        return x

    async with ps.Runtime(task=task) as rt:
        assert await rt.run(deep, 7) == 7
        assert await rt.run(deep_inline, 7) == 10_007


@virtual
async def test_nodes_wait_for_others_without_taking_their_value(task: Task) -> None:
    order: list[str] = []

    @ps.step
    async def say(text: str) -> str:
        await asyncio.sleep(1 if text == "first" else 0)
        order.append(text)
        return text

    @ps.workflow
    def ordered(flow: ps.Flow) -> ps.Node[str]:
        first = flow.call(say, flow.constant("first"), name="a")
        return flow.call(say, flow.constant("second"), name="b", after=[first])

    async with ps.Runtime(task=task) as rt:
        assert await rt.run(ordered) == "second"
        assert order == ["first", "second"]


@virtual
async def test_leaves_with_side_effects_count(task: Task) -> None:
    done: list[int] = []

    @ps.step
    async def effect(x: int) -> None:
        await asyncio.sleep(5)
        done.append(x)

    @ps.workflow
    def leafy(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        flow.call(effect, x)
        return flow.call(noop, x)

    async with ps.Runtime(task=task) as rt:
        assert await rt.run(leafy, 3) == 3
        assert done == [3]


@virtual
async def test_a_workflow_that_gives_its_input_or_a_constant(task: Task) -> None:
    @ps.workflow
    def identity(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        return x

    @ps.workflow
    def constant(flow: ps.Flow) -> ps.Node[str]:
        return flow.constant("always")

    async with ps.Runtime(task=task) as rt:
        assert await rt.run(identity, 7) == 7
        assert await rt.run(constant) == "always"
        assert (await (await rt.start(identity, 8)).result()) == 8
        assert rt.stats().runs == 0
        assert rt._core.object_count() == 0
