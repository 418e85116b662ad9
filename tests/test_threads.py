"""Plain steps, which run in the runtime's threads."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time
import traceback

import pytest

import penstock as ps
from loops import Task, both_loops, noop

word: contextvars.ContextVar[str] = contextvars.ContextVar("word", default="nothing")


@both_loops
async def test_a_plain_step_runs_in_a_thread_of_the_runtime(task: Task) -> None:
    @ps.step
    def where(x: int) -> tuple[int, str, bool]:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return x, threading.current_thread().name, threading.current_thread().daemon
        raise AssertionError("there is a loop")

    async with ps.Runtime(task=task, name="shop") as rt:
        x, name, daemon = await rt.run(where, 1)
        assert x == 1
        assert name.startswith("shop-thread")
        assert daemon


@both_loops
async def test_plain_and_async_steps_in_one_workflow(task: Task) -> None:
    @ps.step
    def half(x: int) -> int:
        return x // 2

    @ps.workflow
    def mixed(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        for number in range(10):
            x = flow.call(half if number % 2 else noop, x, name=f"n{number}")
        return x

    async with ps.Runtime(task=task) as rt:
        runs = await rt.start_many(mixed, range(0, 3200, 32))
        assert [await run.result() for run in runs] == list(range(100))
        assert rt._core.object_count() == 0


@both_loops
async def test_variables_are_copied_into_the_thread(task: Task) -> None:
    @ps.step
    def change(text: str) -> str:
        before = word.get()
        word.set(text)
        return before

    @ps.workflow
    def twice(flow: ps.Flow, text: ps.Node[str]) -> ps.Node[str]:
        return flow.call(change, flow.call(change, text, name="first"), name="second")

    async with ps.Runtime(task=task, threads=1) as rt:
        word.set("the caller's")
        assert await rt.run(twice, "x") == "the caller's"
        assert word.get() == "the caller's"
        assert await rt.run(change, "y") == "the caller's"


@both_loops
async def test_an_exception_in_a_thread_is_the_cause_with_its_traceback(task: Task) -> None:
    @ps.step
    def bad() -> None:
        raise OSError("in the thread")

    async with ps.Runtime(task=task) as rt:
        with pytest.raises(ps.RunFailed, match="in the thread") as failed:
            await rt.run(bad)
        assert isinstance(failed.value.__cause__, OSError)
        names = [it.name for it in traceback.extract_tb(failed.value.__cause__.__traceback__)]
        assert names[-1] == "bad"


@pytest.mark.parametrize(
    "kind", [StopIteration, KeyboardInterrupt, SystemExit, GeneratorExit, asyncio.CancelledError]
)
@both_loops
async def test_any_exception_in_a_thread_fails_the_run_only(
    task: Task, kind: type[BaseException]
) -> None:
    # An exit in a thread is no exit of the process: concurrent.futures and asyncio agree.
    @ps.step
    def bad() -> None:
        raise kind("odd")

    async with ps.Runtime(task=task) as rt:
        with pytest.raises(ps.RunFailed) as failed:
            await asyncio.wait_for(rt.run(bad), 5)
        assert isinstance(failed.value.__cause__, kind | RuntimeError)
        assert await rt.run(noop, 1) == 1
        assert rt.stats().running == 0


@both_loops
async def test_no_more_threads_are_busy_than_allowed(task: Task) -> None:
    busy, most, lock = 0, 0, threading.Lock()

    @ps.step
    def work(x: int) -> int:
        nonlocal busy, most
        with lock:
            busy += 1
            most = max(most, busy)
        time.sleep(0.001)
        with lock:
            busy -= 1
        return x

    async with ps.Runtime(task=task, threads=3) as rt:
        runs = await rt.start_many(work, range(20))
        assert [await run.result() for run in runs] == list(range(20))
        assert most == 3
        names = {it.name for it in threading.enumerate() if "penstock-thread" in it.name}
        assert len(names) <= 3


@both_loops
async def test_busy_threads_hold_up_no_async_step(task: Task) -> None:
    release = threading.Event()

    @ps.step
    def waits(x: int) -> int:
        release.wait(5)
        return x

    async with ps.Runtime(task=task, threads=1) as rt:
        held = await rt.start_many(waits, range(3))
        assert await asyncio.wait_for(rt.run(noop, 7), 5) == 7
        release.set()
        assert [await run.result() for run in held] == [0, 1, 2]


@both_loops
async def test_a_thread_waits_for_what_the_loop_does(task: Task) -> None:
    async def answer() -> int:
        await asyncio.sleep(0)
        return 42

    async with ps.Runtime(task=task) as rt:
        loop = asyncio.get_running_loop()

        @ps.step
        def asks() -> int:
            return asyncio.run_coroutine_threadsafe(answer(), loop).result(5)

        @ps.step
        def runs() -> int:
            return asyncio.run_coroutine_threadsafe(rt.run(noop, 5), loop).result(5)

        assert await rt.run(asks) == 42
        assert await rt.run(runs) == 5


@both_loops
async def test_a_thread_is_told_that_its_run_is_cancelled(task: Task) -> None:
    started, seen = threading.Event(), list[bool]()

    @ps.step
    def works(ctx: ps.Context) -> str:
        seen.append(ctx.cancelled)
        started.set()
        while not ctx.cancelled:
            time.sleep(0.001)
        return "stopped"

    async with ps.Runtime(task=task) as rt:
        run = await rt.start(works)
        await asyncio.to_thread(started.wait, 5)
        assert await run.cancel()
        with pytest.raises(ps.RunCancelled):
            await run.result()
        assert seen == [False]
        assert rt.stats().running == 0


@both_loops
async def test_a_plain_step_that_breaks_its_contract(task: Task) -> None:
    @ps.step
    def wrong() -> int:
        return "text"  # type: ignore[return-value]  # on purpose

    async with ps.Runtime(task=task) as rt:
        with pytest.raises(ps.RunFailed, match="expected int, got str"):
            await rt.run(wrong)


@both_loops
async def test_a_plain_step_may_return_an_exception(task: Task) -> None:
    @ps.step
    def gives() -> Exception:
        return ValueError("a value like any other")

    async with ps.Runtime(task=task) as rt:
        assert isinstance(await rt.run(gives), ValueError)


@both_loops
async def test_a_thousand_plain_steps(task: Task) -> None:
    @ps.step
    def double(x: int) -> int:
        return 2 * x

    async with ps.Runtime(task=task, threads=8) as rt:
        runs = await rt.start_many(double, range(1_000))
        assert [await run.result() for run in runs] == [2 * x for x in range(1_000)]
        assert rt._core.object_count() == 0
