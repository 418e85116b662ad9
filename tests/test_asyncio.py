"""In a step, all of asyncio behaves: on both paths and loops, amid steps that share its carrier."""

from __future__ import annotations

import asyncio
import gc
import io
import traceback
import weakref
from collections.abc import AsyncIterator, Awaitable
from typing import Any

import pytest

import penstock as ps
from behaviours import (
    BEHAVIOURS,
    Behaviour,
    Oops,
    current,
    forever,
    task_group_failure_that_gets_out,
    word,
)
from loops import NewLoop, Task, both_loops, noop, on_loops, run_amid, run_on, start_amid


@pytest.mark.parametrize("behaviour", BEHAVIOURS, ids=lambda it: it.__name__)
@both_loops
async def test_a_step_behaves_as_a_bare_task_does(task: Task, behaviour: Behaviour) -> None:
    @ps.step
    async def behave() -> Any:
        return await behaviour()

    async def outcome_of(run: Awaitable[object]) -> tuple[object, ...]:
        try:
            return "returned", await run
        except ps.RunFailed as failed:
            error = failed.__cause__
        except BaseException as raised:  # what a bare task gives
            error = raised
        return "raised", type(error), str(error).partition("<")[0]

    expected = await outcome_of(asyncio.ensure_future(behaviour()))
    async with ps.Runtime(task=task) as rt:
        assert await outcome_of(run_amid(rt, behave)) == expected
        assert rt.stats().running == 0


# The task of a step.


@both_loops
async def test_the_current_task_stays_the_same_and_differs_between_steps(task: Task) -> None:
    @ps.step
    async def look(x: int) -> list[asyncio.Task[Any]]:
        seen = [current()]
        for _ in range(3):
            await asyncio.sleep(0)
            seen.append(current())
        return seen

    async with ps.Runtime(task=task) as rt:
        runs = await rt.start_many(look, range(10))
        seen = [await run.result() for run in runs]
    tasks = {tasks[0] for tasks in seen}
    assert all(len(set(tasks)) == 1 for tasks in seen)
    assert len(tasks) == 10
    assert asyncio.current_task() not in tasks
    assert all(type(it) is asyncio.Task and it.done() for it in tasks)


@both_loops
async def test_a_suspended_step_can_be_looked_at_from_outside(task: Task) -> None:
    gate = asyncio.Event()

    async def inner() -> None:
        await gate.wait()

    @ps.step(name="look at me")
    async def wait() -> str:
        await inner()
        return "done"

    async with ps.Runtime(task=task) as rt:
        run = await start_amid(rt, wait)
        await rt.run(noop, 0)
        (found,) = [it for it in asyncio.all_tasks() if it.get_name() == "look at me"]
        assert found.get_stack()[0].f_code.co_name == "wait"
        assert "look at me" in repr(found)
        coroutine: Any = found.get_coro()
        assert coroutine.cr_frame.f_code.co_name == "wait"
        assert coroutine.cr_await.__qualname__.endswith("inner")
        assert not coroutine.cr_running
        found.print_stack(file=(told := io.StringIO()))
        assert "await inner()" in told.getvalue()
        gate.set()
        assert await run.result() == "done"
        assert found.done()
        assert found not in asyncio.all_tasks()


@pytest.mark.parametrize("suspends", [False, True], ids=["at once", "later"])
@both_loops
async def test_a_kept_task_ends_as_its_step_does(task: Task, suspends: bool) -> None:
    kept: list[asyncio.Task[Any]] = []

    @ps.step
    async def good() -> str:
        kept.append(current())
        if suspends:
            await asyncio.sleep(0)
        return "good"

    @ps.step
    async def bad() -> str:
        kept.append(current())
        if suspends:
            await asyncio.sleep(0)
        raise Oops("bad")

    async with ps.Runtime(task=task) as rt:
        result = await run_amid(rt, good)
        with pytest.raises(ps.RunFailed) as failed:
            await run_amid(rt, bad)
        await asyncio.sleep(0)
        first, second = kept
        assert first.result() is result
        assert second.exception() is failed.value.__cause__
        assert first is not second


@pytest.mark.parametrize("suspends", [False, True], ids=["at once", "later"])
@both_loops
async def test_a_failed_task_that_nobody_keeps_is_not_complained_about(
    task: Task, suspends: bool
) -> None:
    # A task touched by its step ends with the step's exception, which the run has taken already.
    @ps.step
    async def bad() -> str:
        current().add_done_callback(lambda _: None)
        if suspends:
            await asyncio.sleep(0)
        raise Oops("bad")

    async with ps.Runtime(task=task) as rt:
        with pytest.raises(ps.RunFailed):
            await run_amid(rt, bad)


@pytest.mark.parametrize("suspends", [False, True], ids=["at once", "later"])
@both_loops
async def test_a_done_callback_sees_its_own_step_end(task: Task, suspends: bool) -> None:
    seen: list[object] = []

    @ps.step
    async def calls_back() -> str:
        word.set("of the step")
        me = current()
        me.add_done_callback(lambda it: seen.append((it is me, it.result(), word.get())))
        if suspends:
            await asyncio.sleep(0)
        return "mine"

    async with ps.Runtime(task=task) as rt:
        await run_amid(rt, calls_back)
        await asyncio.sleep(0)
        assert seen == [(True, "mine", "of the step")]


@both_loops
async def test_a_step_that_only_leaves_a_weak_reference_shares_its_task_with_no_other(
    task: Task,
) -> None:
    seen: list[weakref.ref[asyncio.Task[Any]]] = []

    @ps.step
    async def weak() -> str:
        seen.append(weakref.ref(current()))
        return "done"

    @ps.step
    async def other() -> bool:
        return seen[0]() is asyncio.current_task()

    async with ps.Runtime(task=task) as rt:
        first = await rt.start(weak)
        second = await rt.start(other)
        assert await first.result() == "done"
        assert not await second.result()
        await asyncio.sleep(0)
    gc.collect()
    assert seen[0]() is None


@both_loops
async def test_a_name_stays_with_the_step_that_gave_it(task: Task) -> None:
    @ps.step
    async def renamed() -> str:
        current().set_name("a name of its own")
        await asyncio.sleep(0)
        return current().get_name()

    @ps.step
    async def renamed_at_once() -> str:
        current().set_name("another name")
        return current().get_name()

    @ps.step
    async def named() -> str:
        await asyncio.sleep(0)
        return current().get_name()

    async with ps.Runtime(task=task) as rt:
        runs = [await rt.start(it) for it in (named, renamed_at_once, named, renamed, named)]
        assert [await run.result() for run in runs] == [
            "named",
            "another name",
            "named",
            "a name of its own",
            "named",
        ]


# Cancellation from outside, and what becomes of the run.


@pytest.mark.parametrize("awaits", [0, 1, 3])
@both_loops
async def test_cancelling_the_task_of_a_step_fails_its_run_only(task: Task, awaits: int) -> None:
    kept: list[asyncio.Task[Any]] = []
    cleaned: list[str] = []

    @ps.step
    async def victim() -> str:
        for _ in range(awaits):
            await asyncio.sleep(0)
        kept.append(current())
        try:
            await forever()
        finally:
            cleaned.append("yes")
        return "never"

    @ps.step
    async def bystander() -> str:
        await asyncio.sleep(0.005)
        return "unharmed"

    async with ps.Runtime(task=task) as rt:
        run = await rt.start(victim)
        other = await rt.start(bystander)
        while not kept:  # noqa: ASYNC110  # an event would change what the step does
            await asyncio.sleep(0)
        assert kept[0].cancel("from outside")
        with pytest.raises(ps.RunFailed) as failed:
            await run.result()
        assert isinstance(failed.value.__cause__, asyncio.CancelledError)
        assert (failed.value.step, failed.value.attempts) == ("victim", 1)
        assert cleaned == ["yes"]
        assert kept[0].cancelled()
        assert await other.result() == "unharmed"


@both_loops
async def test_a_cancellation_is_never_retried(task: Task) -> None:
    tries: list[int] = []

    @ps.step(retry=ps.RetryPolicy(max_attempts=5, initial_interval=0.001))
    async def cancels_itself(ctx: ps.Context) -> None:
        tries.append(ctx.attempt)
        current().cancel()
        await forever()

    async with ps.Runtime(task=task) as rt:
        with pytest.raises(ps.RunFailed) as failed:
            await rt.run(cancels_itself)
    assert isinstance(failed.value.__cause__, asyncio.CancelledError)
    assert tries == [1]


# Context variables.


@pytest.mark.parametrize("suspends", [False, True], ids=["at once", "later"])
@both_loops
async def test_a_step_starts_from_the_callers_variables_and_leaks_none(
    task: Task, suspends: bool
) -> None:
    @ps.step
    async def change(text: str) -> str:
        before = word.get()
        word.set(text)
        if suspends:
            await asyncio.sleep(0)
            assert word.get() == text
        return before

    @ps.workflow
    def three(flow: ps.Flow, text: ps.Node[str]) -> ps.Node[str]:
        first, second = flow.call(change, text, name="one"), flow.call(change, text, name="two")
        return flow.call(change, flow.apply(lambda a, b: f"{a} {b} {word.get()}", first, second))

    async with ps.Runtime(task=task) as rt:
        word.set("the caller's")
        first = await rt.start(three, "inside")
        word.set("a later one")
        second = await rt.start(change, "inside")
        await rt.start_many(change, ["more", "of", "them"])
        third = await rt.start(three, "inside")
        assert await first.result() == "the caller's"
        assert await second.result() == "a later one"
        assert await third.result() == "a later one"
        assert word.get() == "a later one"


@both_loops
async def test_an_inline_function_sees_the_callers_variables(task: Task) -> None:
    def look(text: str) -> str:
        before = word.get()
        word.set("inline")
        return f"{text} {before}"

    @ps.workflow
    def looks(flow: ps.Flow, text: ps.Node[str]) -> ps.Node[str]:
        return flow.apply(look, flow.apply(look, text))

    async with ps.Runtime(task=task) as rt:
        word.set("the caller's")
        assert await rt.run(looks, "saw") == "saw the caller's the caller's"
        assert word.get() == "the caller's"


@both_loops
async def test_a_retry_starts_from_the_callers_variables_again(task: Task) -> None:
    @ps.step(retry=ps.RetryPolicy(max_attempts=3, initial_interval=0))
    async def again(ctx: ps.Context) -> str:
        before = word.get()
        word.set("a try's")
        if ctx.attempt < 3:
            raise Oops
        return before

    async with ps.Runtime(task=task) as rt:
        word.set("the caller's")
        assert await rt.run(again) == "the caller's"


@both_loops
async def test_tasks_made_by_a_step_inherit_its_variables(task: Task) -> None:
    async def read() -> str:
        return word.get()

    @ps.step
    async def parent() -> tuple[str, str, str]:
        word.set("the step's")
        child = asyncio.create_task(read())
        await asyncio.sleep(0)
        soon: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(lambda: soon.set_result(word.get()))
        return await child, await soon, await asyncio.to_thread(word.get)

    async with ps.Runtime(task=task) as rt:
        assert await run_amid(rt, parent) == ("the step's",) * 3


# Exceptions.


@pytest.mark.parametrize("suspends", [False, True], ids=["at once", "later"])
@both_loops
async def test_the_cause_is_the_users_exception_with_its_traceback(
    task: Task, suspends: bool
) -> None:
    raised: list[Oops] = []

    def deep_inside() -> None:
        raised.append(Oops("the reason"))
        raise raised[0] from ValueError("what led to it")

    @ps.step(name="calls deep")
    async def calls() -> None:
        if suspends:
            await asyncio.sleep(0)
        deep_inside()

    async with ps.Runtime(task=task) as rt:
        with pytest.raises(ps.RunFailed) as failed:
            await rt.run(calls)
    assert failed.value.__cause__ is raised[0]
    assert isinstance(raised[0].__cause__, ValueError)
    names = [frame.name for frame in traceback.extract_tb(raised[0].__traceback__)]
    assert names[-2:] == ["calls", "deep_inside"]
    told = "".join(traceback.format_exception(failed.value))
    assert "the reason" in told
    assert "deep_inside()" in told
    assert failed.value.run_id in str(failed.value)
    assert "calls deep" in str(failed.value)


@both_loops
async def test_awaiting_a_failed_run_twice_tells_the_same(task: Task) -> None:
    @ps.step
    async def bad() -> None:
        raise Oops("once")

    async with ps.Runtime(task=task) as rt:
        run = await rt.start(bad)
        lengths: list[int] = []
        for _ in range(3):
            with pytest.raises(ps.RunFailed, match="once") as failed:
                await run.result()
            assert failed.value.__cause__ is not None
            lengths.append(len(traceback.extract_tb(failed.value.__cause__.__traceback__)))
        assert len(set(lengths)) == 1


@both_loops
async def test_an_exception_group_is_the_cause_as_it_is(task: Task) -> None:
    @ps.step
    async def group() -> None:
        await task_group_failure_that_gets_out()

    async with ps.Runtime(task=task) as rt:
        with pytest.raises(ps.RunFailed) as failed:
            await run_amid(rt, group)
    cause: Any = failed.value.__cause__
    assert type(cause) is ExceptionGroup
    assert list(map(type, cause.exceptions)) == [Oops]


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("suspends", [False, True], ids=["at once", "later"])
@on_loops
def test_an_exit_reaches_the_loop_and_the_runtime_goes_on(
    task: Task, new_loop: NewLoop, suspends: bool, kind: type[BaseException]
) -> None:
    exits = iter([True])

    @ps.step
    async def leaves() -> str:
        if suspends:
            await asyncio.sleep(0)
        if next(exits, False):
            raise kind("now")
        return "stayed"

    @ps.workflow
    def around(flow: ps.Flow) -> ps.Node[str]:
        return flow.call(leaves)

    rt = ps.Runtime(task=task)
    loop = new_loop()
    loop.set_exception_handler(lambda _, context: pytest.fail(str(context)))

    runs: list[ps.Run[str]] = []
    others: list[ps.Run[int]] = []

    async def start() -> None:
        await rt.__aenter__()
        others.extend(await rt.start_many(noop, range(3)))
        runs.append(await rt.start(around))
        others.extend(await rt.start_many(noop, range(3, 6)))
        await asyncio.sleep(0.05)

    async def finish() -> None:
        assert [await run.result() for run in others] == list(range(6))
        assert await runs[0].result() == "stayed"
        events = [event.kind for event in await runs[0].history()]
        assert events == ["accepted", "interrupted", "done", "ended"]
        assert await rt.run(noop, 7) == 7
        assert asyncio.current_task() is not None
        await rt.__aexit__(None, None, None)

    try:
        starting = loop.create_task(start())
        with pytest.raises(kind, match="now"):
            loop.run_until_complete(starting)
        loop.run_until_complete(starting)
        loop.run_until_complete(finish())
        assert rt.stats().running == 0
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


# Steps that meet each other.


@both_loops
async def test_parallel_steps_meet_through_asyncios_own_means(task: Task) -> None:
    queue: asyncio.Queue[int] = asyncio.Queue(maxsize=1)
    started, lock = asyncio.Event(), asyncio.Lock()

    @ps.step
    async def produce(count: int) -> int:
        await started.wait()
        for number in range(count):
            async with lock:
                await queue.put(number)
        return count

    @ps.step
    async def consume(count: int) -> list[int]:
        started.set()
        return [await queue.get() for _ in range(count)]

    @ps.step
    async def pair(count: int, taken: list[int]) -> tuple[int, list[int]]:
        return count, taken

    @ps.workflow
    def meet(flow: ps.Flow, count: ps.Node[int]) -> ps.Node[tuple[int, list[int]]]:
        return flow.call(pair, flow.call(produce, count), flow.call(consume, count))

    async with ps.Runtime(task=task) as rt:
        assert await rt.run(meet, 20) == (20, list(range(20)))


@both_loops
async def test_a_step_runs_other_runs(task: Task) -> None:
    async with ps.Runtime(task=task) as rt:

        @ps.step
        async def factorial(n: int) -> int:
            return 1 if n == 0 else n * await rt.run(factorial, n - 1)

        assert await rt.run(factorial, 20) == 2_432_902_008_176_640_000
        assert rt.stats().runs == 0


@both_loops
async def test_a_step_cancels_another_run(task: Task) -> None:
    @ps.step
    async def waits() -> None:
        await forever()

    async with ps.Runtime(task=task) as rt:
        waiting = await rt.start(waits)

        @ps.step
        async def cancels() -> bool:
            return await waiting.cancel()

        assert await rt.run(cancels)
        with pytest.raises(ps.RunCancelled):
            await waiting.result()


@both_loops
async def test_a_step_cancels_its_own_run(task: Task) -> None:
    async with ps.Runtime(task=task) as rt:

        @ps.step
        async def cancels(ctx: ps.Context) -> str:
            await rt.get(ctx.run_id).cancel()
            assert ctx.cancelled
            await asyncio.sleep(0)
            return "never"

        with pytest.raises(ps.RunCancelled):
            await rt.run(cancels)


@both_loops
async def test_async_generators_left_open_are_closed_by_the_loop(task: Task) -> None:
    closed: list[str] = []

    async def endless() -> AsyncIterator[int]:
        try:
            while True:
                yield 1
        finally:
            await asyncio.sleep(0)
            closed.append("yes")

    @ps.step
    async def takes_one() -> int:
        async for number in endless():
            return number
        return 0

    async with ps.Runtime(task=task) as rt:
        assert await run_amid(rt, takes_one) == 1
        gc.collect()
        await asyncio.sleep(0.001)
    assert closed == ["yes"]


# Loops in other states.


@on_loops
def test_all_of_it_runs_in_debug_mode(task: Task, new_loop: NewLoop) -> None:
    @ps.step(retry=ps.RetryPolicy(initial_interval=0))
    async def work(ctx: ps.Context) -> int:
        if ctx.attempt == 1:
            raise Oops
        await asyncio.sleep(0.001)
        return ctx.attempt

    @ps.step
    def in_a_thread() -> str:
        return "thread"

    async def main() -> None:
        async with ps.Runtime(task=task) as rt:
            assert await rt.run(work) == 2
            assert await rt.run(in_a_thread) == "thread"
            assert await run_amid(rt, in_a_thread) == "thread"

    run_on(new_loop, main(), debug=True)


@on_loops
def test_a_cancelled_main_task_ends_everything(task: Task, new_loop: NewLoop) -> None:
    ended: list[str] = []

    @ps.step
    async def waits(x: int) -> None:
        try:
            await forever()
        finally:
            ended.append("step")

    async def main() -> None:
        async with ps.Runtime(task=task) as rt:
            await rt.start_many(waits, range(10))
            await rt.start_many(noop, range(1_000))
            asyncio.get_running_loop().call_later(0.005, current().cancel)
            try:
                await rt.join()
            finally:
                ended.append("main")

    with pytest.raises(asyncio.CancelledError):
        run_on(new_loop, main())
    gc.collect()
    assert sorted(ended) == ["main"] + 10 * ["step"]


@on_loops
def test_a_loop_that_stops_with_a_runtime_open_leaves_no_mess(
    task: Task, new_loop: NewLoop
) -> None:
    # The runner cancels every task it finds, those of steps among them; nobody leaves the runtime.
    ended: list[str] = []

    @ps.step
    async def waits(x: int) -> None:
        try:
            await forever()
        finally:
            ended.append("step")

    async def main() -> None:
        rt = ps.Runtime(task=task)
        await rt.__aenter__()
        await rt.start_many(waits, range(3))
        await rt.run(noop, 1)
        kept.append(rt)

    complaints: list[object] = []
    kept: list[ps.Runtime] = []
    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.get_loop().set_exception_handler(lambda _, context: complaints.append(context))
        runner.run(main())
    assert ended == 3 * ["step"]
    kept.clear()
    gc.collect()
    assert complaints == []
