"""Memory: what is over is let go, at once and for good."""

from __future__ import annotations

import asyncio
import gc
import weakref
from pathlib import Path

import pytest

import penstock as ps
from loops import NewLoop, Task, noop, on_loops, run_on, virtual

STATM = Path("/proc/self/statm")


class Big:
    """A value whose end can be seen."""

    def __init__(self) -> None:
        self.content = bytearray(1_000)


def resident_bytes() -> int:
    return int(STATM.read_text().split()[1]) * 4096


@ps.step
async def make(x: int) -> Big:
    return Big()


@virtual
async def test_a_large_value_is_let_go_when_its_last_consumer_is_done(task: Task) -> None:
    made: list[weakref.ref[Big]] = []
    alive: dict[str, bool] = {}

    @ps.step
    async def create(x: int) -> Big:
        big = Big()
        made.append(weakref.ref(big))
        return big

    @ps.step
    async def first(big: Big) -> int:
        return len(big.content)

    @ps.step
    async def second(big: Big, size: int) -> int:
        await asyncio.sleep(1)
        alive["in its last consumer"] = made[0]() is not None
        return size

    @ps.step
    async def after(size: int) -> int:
        await asyncio.sleep(1)
        alive["later in the run"] = made[0]() is not None
        return size

    @ps.workflow
    def pipeline(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        big = flow.call(create, x)
        return flow.call(after, flow.call(second, big, flow.call(first, big)))

    async with ps.Runtime(task=task) as rt:
        assert await rt.run(pipeline, 1) == 1_000
    assert alive == {
        "in its last consumer": True,
        "later in the run": False,
    }


@virtual
async def test_an_input_is_let_go_once_it_is_used(task: Task) -> None:
    gone: list[bool] = []

    @ps.step
    async def use(big: Big) -> int:
        return len(big.content)

    @ps.step
    async def look(size: int) -> int:
        await asyncio.sleep(1)
        gone.append(seen() is None)
        return size

    @ps.workflow
    def two(flow: ps.Flow, big: ps.Node[Big]) -> ps.Node[int]:
        return flow.call(look, flow.call(use, big))

    async with ps.Runtime(task=task) as rt:
        big = Big()
        seen = weakref.ref(big)
        run = await rt.start(two, big)
        del big
        assert await run.result() == 1_000
        assert gone == [True]


@virtual
async def test_a_value_that_nobody_takes_is_let_go_at_once(task: Task) -> None:
    made: list[weakref.ref[Big]] = []

    @ps.step
    async def create(x: int) -> Big:
        big = Big()
        made.append(weakref.ref(big))
        return big

    @ps.step
    async def look(x: int) -> bool:
        await asyncio.sleep(1)
        return made[0]() is None

    @ps.workflow
    def leafy(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[bool]:
        leaf = flow.call(create, x)
        return flow.call(look, x, after=[leaf])

    async with ps.Runtime(task=task) as rt:
        assert await rt.run(leafy, 1)


@virtual
async def test_a_retry_keeps_its_inputs_and_then_lets_them_go(task: Task) -> None:
    seen: list[weakref.ref[Big]] = []

    @ps.step(retry=ps.RetryPolicy(initial_interval=60.0, max_interval=60.0))
    async def use(big: Big, ctx: ps.Context) -> int:
        seen.append(weakref.ref(big))
        if ctx.attempt < 3:
            raise OSError
        return ctx.attempt

    @ps.workflow
    def two(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        return flow.call(use, flow.call(make, x))

    async with ps.Runtime(task=task) as rt:
        assert await rt.run(two, 1) == 3
        gc.collect()  # the exceptions' frames refer to themselves
        assert [it() for it in seen] == [None] * 3


@virtual
async def test_nothing_is_held_after_runs_of_every_end(  # noqa: C901  # one branch an end
    task: Task,
) -> None:
    @ps.step(timeout=5.0, retry=ps.RetryPolicy(max_attempts=2, initial_interval=1.0))
    async def work(what: str, big: Big) -> Big:
        if what == "raise":
            del big  # the exception is kept, and its frames with it
            raise OSError
        if what == "wrong":
            return 1  # type: ignore[return-value]  # on purpose
        if what in ("hang", "cancel", "late"):
            await asyncio.sleep(60)
        if what == "stubborn":
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                await asyncio.sleep(60)
        await asyncio.sleep(0)
        return big

    @ps.step
    def in_a_thread(big: Big) -> Big:
        return big

    @ps.workflow
    def flow_of(flow: ps.Flow, what: ps.Node[str], x: ps.Node[int]) -> ps.Node[int]:
        big = flow.call(make, x)
        side = flow.call(in_a_thread, big)
        done = flow.call(work, what, flow.apply(lambda it: it, big))
        return flow.apply(lambda a, b: len(a.content) + len(b.content), done, side)

    ends = ["return", "raise", "wrong", "hang", "cancel", "late", "stubborn"]
    async with ps.Runtime(task=task, cancel_grace=1.0) as rt:
        for _ in range(3):
            for what in ends:
                run = await rt.start(flow_of, what, 1, deadline=3.0 if what == "late" else 600.0)
                await asyncio.sleep(1)
                if what == "cancel":
                    await run.cancel()
            await rt.join()
            while rt.stats().running:  # noqa: ASYNC110  # nothing tells
                await asyncio.sleep(10)
            assert rt._core.object_count() == 0
        gc.collect()
        assert not any(isinstance(it, Big) for it in gc.get_objects())


@on_loops
def test_no_python_objects_pile_up(task: Task, new_loop: NewLoop) -> None:
    @ps.step(retry=ps.RetryPolicy(max_attempts=2, initial_interval=0))
    async def mixed(x: int, ctx: ps.Context) -> int:
        if x % 3 == 0:
            raise OSError
        if x % 3 == 1:
            await asyncio.sleep(0)
        if x % 5 == 0:
            asyncio.current_task()
        return x

    async def main() -> list[int]:
        counts: list[int] = []
        async with ps.Runtime(task=task) as rt:
            for _ in range(8):
                for _ in range(3):
                    await rt.start_many(mixed, range(1_000))
                    await rt.join()
                gc.collect()
                counts.append(len(gc.get_objects()))
        return counts

    # The store keeps the last 10,000 outcomes, exceptions among them: it is full after four rounds.
    counts = run_on(new_loop, main())
    assert counts[-1] - counts[-3] < 100, counts


@pytest.mark.skipif(not STATM.exists(), reason="resident memory is read from /proc")
@pytest.mark.parametrize(
    ("way", "runs"),
    [("auto", 1_000_000), ("own", 200_000)],
)
def test_a_million_runs_leave_memory_flat(way: Task, runs: int) -> None:
    async def main() -> list[int]:
        sizes: list[int] = []
        async with ps.Runtime(task=way) as rt:
            for round_ in range(runs // 1_000):
                started = await rt.start_many(pair, range(1_000))
                for run in started:
                    await run.result()
                if round_ % (runs // 10_000) == 0:
                    assert rt._core.object_count() == 0
                    sizes.append(resident_bytes())
            assert rt.stats().workflows["pair"].succeeded == runs
        return sizes

    @ps.workflow
    def pair(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        return flow.call(noop, flow.call(noop, x, name="first"))

    sizes = run_on(asyncio.SelectorEventLoop, main())
    # After a fifth of them everything has reached its size: less than 10 bytes a run from there.
    assert sizes[-1] - sizes[2] < max(10 * runs * 0.8, 4_000_000), sizes


@virtual
async def test_a_runtime_that_is_left_is_let_go_with_all_it_held(task: Task) -> None:
    class Marker:
        pass

    async def use() -> tuple[weakref.ref[ps.Runtime], weakref.ref[Marker]]:
        marker = Marker()

        @ps.step
        async def holds(x: int) -> int:
            assert marker is not None
            await asyncio.sleep(0)
            return x

        async with ps.Runtime(task=task) as rt:
            await rt.start_many(holds, range(10))
            await rt.join()
        return weakref.ref(rt), weakref.ref(marker)

    runtime, marker = await use()
    await asyncio.sleep(0)  # the loop has a last callback of it
    gc.collect()
    assert runtime() is None
    assert marker() is None


@on_loops
def test_a_runtime_abandoned_with_its_loop_is_let_go(task: Task, new_loop: NewLoop) -> None:
    kept: list[weakref.ref[ps.Runtime]] = []

    async def main() -> None:
        @ps.step
        async def waits(x: int) -> None:
            await asyncio.get_running_loop().create_future()

        rt = ps.Runtime(task=task)
        kept.append(weakref.ref(rt))
        await rt.__aenter__()
        runs = await rt.start_many(waits, range(10))
        await rt.run(noop, 1)
        del runs

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(main())
    gc.collect()
    assert kept[0]() is None
