"""Scale: many items, iterations and levels; memory and time grow as they do."""

from __future__ import annotations

import asyncio
import gc
import resource
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import pytest

import penstock as ps
from flow.parts import Till, add, more, no_threes, oops, same
from loops import NewLoop, Task, on_loops, run_on, virtual

STATM = Path("/proc/self/statm")


@ps.workflow
def items(flow: ps.Flow, xs: ps.Node[list[int]]) -> ps.Node[int]:
    return flow.apply(sum, flow.map(same, xs))


@ps.workflow
def bodies(flow: ps.Flow, xs: ps.Node[list[int]]) -> ps.Node[int]:
    def body(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        case = flow.switch(x, key=lambda it: it % 2 == 0, name="even")
        return flow.merge(flow.call(same, case[True]), flow.call(more, case.default))

    return flow.apply(sum, flow.map(ps.workflow(body), xs, concurrency=100))


def resident_bytes() -> int:
    return int(STATM.read_text().split()[1]) * resource.getpagesize()


async def cpu_seconds(work: Callable[[], Awaitable[object]]) -> float:
    """CPU time of the better of two tries, without collections."""
    times: list[float] = []
    for _ in range(2):
        gc.collect()
        gc.disable()
        began = time.process_time()
        await work()
        times.append(time.process_time() - began)
        gc.enable()
    return min(times)


@pytest.mark.parametrize("stage", [items, bodies], ids=["over a step", "over a workflow"])
@on_loops
def test_a_map_of_100_000_items_takes_time_as_it_has_items(
    new_loop: NewLoop, stage: ps.Workflow[[list[int]], int]
) -> None:
    async def main() -> None:
        async with ps.Runtime() as rt:
            taken: list[float] = []
            for count in (25_000, 50_000, 100_000):
                xs = [2] * count
                taken.append(await cpu_seconds(partial(rt.run, stage, xs)))
                assert rt._core.object_count() == 0
            assert taken[1] < 3.5 * taken[0]
            assert taken[2] < 3.5 * taken[1]
            assert taken[2] < 8 * taken[0]

    run_on(new_loop, main())


@virtual
async def test_a_map_of_100_000_items_takes_memory_as_it_has_items_and_gives_it_back() -> None:
    async with ps.Runtime() as rt:
        held: list[int] = []
        for count in (25_000, 50_000, 100_000):
            run = await rt.start(stopped, [1] * count)
            await asyncio.sleep(1)
            assert await run.awaiting() == ["stopped/go"]
            held.append(rt._core.object_count())
            await run.signal(go, 1)
            assert await run.result() == count + 1
            assert rt._core.object_count() == 0
        # The list and the signal's neighbours, not one object for each item.
        assert max(held) < 10
        before = resident_bytes()
        for _ in range(5):
            assert await rt.run(items, [1] * 100_000) == 100_000
        assert resident_bytes() - before < 100 * 2**20


go = ps.Signal("go", int)


@ps.workflow
def stopped(flow: ps.Flow, xs: ps.Node[list[int]]) -> ps.Node[int]:
    total = flow.apply(sum, flow.map(same, xs))
    return flow.call(add, total, flow.signal(go, after=total))


@virtual
async def test_values_are_held_once_for_each_item_that_is_not_over(task: Task) -> None:
    held: list[int] = []

    @ps.step
    async def look(x: int) -> int:
        if x % 10_000 == 0:
            held.append(rt._core.object_count())
        return x

    @ps.workflow
    def limited(flow: ps.Flow, xs: ps.Node[list[int]]) -> ps.Node[int]:
        def body(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[None]:
            return flow.apply(lambda _: None, flow.call(look, flow.call(same, x)))

        return flow.apply(len, flow.map(ps.workflow(body), xs, concurrency=10))

    async with ps.Runtime(task=task) as rt:
        assert await rt.run(limited, [*range(50_000)]) == 50_000
        assert len(held) == 5
        # A result for each item that is over, and what the ten under way need.
        assert all(count <= 10_000 * i + 40 for i, count in enumerate(held))
        assert rt._core.object_count() == 0


@virtual
async def test_maps_in_maps(task: Task) -> None:
    @ps.workflow
    def row(flow: ps.Flow, xs: ps.Node[list[int]]) -> ps.Node[int]:
        return flow.apply(sum, flow.map(same, xs))

    @ps.workflow
    def table(flow: ps.Flow, rows: ps.Node[list[list[int]]]) -> ps.Node[list[int]]:
        return flow.map(row, rows)

    async with ps.Runtime(task=task) as rt:
        run = await rt.start(table, [[n] * 100 for n in range(100)])
        assert await run.result() == [100 * n for n in range(100)]
        nodes = [it.node for it in await run.history() if it.kind == "done"]
        assert len(nodes) == len(set(nodes)) == 10_000
        assert "table/row[99]/same[99]" in nodes
        assert rt._core.object_count() == 0


@virtual
async def test_a_loop_of_10_000_iterations(task: Task) -> None:
    held: set[int] = set()

    @ps.step
    async def step(x: int) -> int:
        held.add(rt._core.object_count())
        return x + 1

    @ps.workflow
    def w(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        return flow.loop(step, x, until=lambda it: it == 10_000, max_iterations=10_000)

    async with ps.Runtime(task=task) as rt:
        assert await rt.run(w, 0) == 10_000
        assert max(held) <= 4  # the last value or two, however many came before
        assert rt._core.object_count() == 0


@on_loops
def test_a_long_loop_takes_time_as_it_has_iterations(new_loop: NewLoop) -> None:
    @ps.workflow
    def w(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        return flow.loop(more, x, until=lambda it: it >= 0, max_iterations=100_000)

    async def main() -> None:
        async with ps.Runtime() as rt:
            counts = (5_000, 10_000, 20_000)
            taken = [await cpu_seconds(partial(rt.run, w, -count)) for count in counts]
            assert taken[1] < 3.5 * taken[0]
            assert taken[2] < 3.5 * taken[1]

    run_on(new_loop, main())


@virtual
async def test_a_recursion_200_deep(task: Task) -> None:
    @ps.workflow
    def down(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        case = flow.switch(x, key=lambda it: it > 0)
        less = flow.apply(lambda it: it - 1, case[True], name="less")
        rest: ps.Node[int] = flow.recurse(less, max_depth=200)
        return flow.merge(case.default, flow.call(more, rest))

    async with ps.Runtime(task=task) as rt:
        assert await rt.run(down, 200) == 200
        with pytest.raises(ps.RunFailed, match="deeper than 200"):
            await rt.run(down, 201)
        assert rt._core.object_count() == 0


@virtual
async def test_undoing_10_000_items_and_a_loop_of_2_000(task: Task) -> None:
    till = Till()

    @ps.step
    async def following(text: str) -> int:
        return int(text[1:]) + 1

    @ps.workflow
    def turn(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        return flow.call(following, flow.call(till.book, x))

    @ps.workflow
    def w(flow: ps.Flow, xs: ps.Node[list[int]]) -> ps.Node[int]:
        booked = flow.map(till.book, xs)
        looped = flow.loop(
            turn, flow.constant(0), until=lambda it: it == 2_000, max_iterations=2_000, after=booked
        )
        return flow.call(oops, looped)

    async with ps.Runtime(task=task) as rt:
        run = await rt.start(w, [-1] * 10_000)
        with pytest.raises(ps.RunFailed):
            await run.result()
        assert run.status == "compensated"
        undone = till.undone
        assert undone[:2_000] == [f"undo {n}: b{n}" for n in reversed(range(2_000))]
        assert len(undone) == 12_000
        assert rt._core.object_count() == 0


@virtual
async def test_a_failed_item_among_100_000_ends_the_run_at_once(task: Task) -> None:
    @ps.workflow
    def w(flow: ps.Flow, xs: ps.Node[list[int]]) -> ps.Node[list[int]]:
        return flow.map(no_threes, xs)

    async with ps.Runtime(task=task) as rt:
        with pytest.raises(ps.RunFailed, match=r"w/no_threes\[70000\]"):
            await rt.run(w, [*[0] * 70_000, 3, *[0] * 29_999])
        assert rt._core.object_count() == 0
