"""What a coroutine does with asyncio: the same is expected in a bare task and in a step."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, suppress
from typing import Any

Behaviour = Callable[[], Awaitable[object]]


word: contextvars.ContextVar[str] = contextvars.ContextVar("word", default="nothing")


class Oops(Exception):
    """What a step raises here."""


class Abrupt(BaseException):
    """An exception that `except Exception` lets pass."""


def current() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    assert task is not None
    return task


async def forever() -> None:
    await asyncio.get_running_loop().create_future()


async def timeout_before_the_first_await() -> str:
    try:
        async with asyncio.timeout(0.001):
            await forever()
    except TimeoutError:
        return "timed out"
    return "ended"


async def timeout_after_the_first_await() -> str:
    await asyncio.sleep(0)
    return await timeout_before_the_first_await()


async def timeout_that_does_not_fire() -> int:
    async with asyncio.timeout(60) as limit:
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    return limit.expired() + current().cancelling()


async def timeout_without_an_await() -> int:
    async with asyncio.timeout(60):  # noqa: ASYNC100  # on purpose
        return current().cancelling()


async def timeout_that_is_over_already() -> str:
    try:
        async with asyncio.timeout(-1):
            await asyncio.sleep(0)
            await forever()
    except TimeoutError:
        return f"timed out, {current().cancelling()}"
    return "ended"


async def timeout_over_already_without_an_await() -> str:
    async with asyncio.timeout(-1):  # noqa: ASYNC100  # on purpose
        pass
    return "ended"


async def timeout_moved_while_it_runs() -> str:
    try:
        async with asyncio.timeout(60) as limit:
            await asyncio.sleep(0)
            limit.reschedule(asyncio.get_running_loop().time() + 0.001)
            await forever()
    except TimeoutError:
        return "timed out"
    return "ended"


async def timeouts_in_each_other() -> list[str]:
    seen: list[str] = []
    try:
        async with asyncio.timeout(60):
            try:
                async with asyncio.timeout(0.001):
                    await forever()
            except TimeoutError:
                seen.append("inner")
            await asyncio.sleep(0)
            seen.append("between")
    except TimeoutError:
        seen.append("outer")
    return seen


async def wait_for_that_times_out() -> str:
    try:
        await asyncio.wait_for(forever(), 0.001)
    except TimeoutError:
        return "timed out"
    return "ended"


async def wait_for_in_time() -> str:
    return await asyncio.wait_for(asyncio.sleep(0, "in time"), 60)


async def task_group() -> list[int]:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(asyncio.sleep(0, n)) for n in range(3)]
    return [task.result() for task in tasks]


async def task_group_after_an_await() -> list[int]:
    await asyncio.sleep(0)
    return await task_group()


async def task_group_that_fails() -> str:
    async def fail() -> None:
        await asyncio.sleep(0)
        raise Oops

    tasks: list[asyncio.Task[None]] = []
    told: list[int] = []
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(fail())
            tasks.append(group.create_task(forever()))
            await forever()
    except* Oops as errors:
        told.append(len(errors.exceptions))
    return f"{told} errors, sibling cancelled: {tasks[0].cancelled()}, {current().cancelling()}"


async def task_group_failure_that_gets_out() -> None:
    async def fail() -> None:
        raise Oops

    async with asyncio.TaskGroup() as group:
        group.create_task(fail())
        await forever()


async def gather() -> list[Any]:
    async def fail() -> None:
        raise Oops("gathered")

    results = await asyncio.gather(asyncio.sleep(0, 1), fail(), return_exceptions=True)
    return list(map(repr, results))


async def wait_for_the_first() -> object:
    slow, fast = asyncio.Event(), asyncio.Event()
    tasks = [asyncio.ensure_future(event.wait()) for event in (slow, fast)]
    fast.set()
    done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    await asyncio.gather(*pending, return_exceptions=True)
    return done == {tasks[1]}, pending == {tasks[0]}, tasks[0].cancelled()


async def shield() -> str:
    inner = asyncio.ensure_future(asyncio.sleep(0.001, "shielded"))
    with suppress(TimeoutError):
        async with asyncio.timeout(0):
            await asyncio.shield(inner)
    return await inner


async def thread() -> tuple[str, bool]:
    word.set("in the step")
    return await asyncio.to_thread(lambda: (word.get(), True))


async def executor() -> int:
    return await asyncio.get_running_loop().run_in_executor(None, lambda: 41 + 1)


async def sleeps() -> int:
    for _ in range(10):
        await asyncio.sleep(0)
    await asyncio.sleep(0.001)
    return 10


async def async_generator() -> list[object]:
    seen: list[object] = []

    async def numbers() -> AsyncGenerator[int, None]:
        try:
            for number in range(10):
                await asyncio.sleep(0)
                yield number
        finally:
            await asyncio.sleep(0)
            seen.append("closed")

    async with aclosing(numbers()) as stream:
        async for number in stream:
            seen.append(number)
            if number == 2:
                break
    return seen


async def cancelled_by_itself_then_returns() -> str:
    current().cancel("enough")
    return "returned"


async def cancelled_by_itself_then_awaits() -> None:
    current().cancel("enough")
    await asyncio.sleep(0)


async def cancelled_by_itself_after_an_await_then_returns() -> str:
    await asyncio.sleep(0)
    current().cancel()
    return "returned"


async def cancelled_by_itself_after_an_await_then_awaits() -> None:
    await asyncio.sleep(0)
    current().cancel()
    await asyncio.sleep(0)


async def cancelled_by_itself_and_caught() -> str:
    current().cancel()
    try:
        await asyncio.sleep(0)
    except asyncio.CancelledError:
        return f"caught, {current().cancelling()}, {current().uncancel()}"
    return "not cancelled"


async def cancelled_by_itself_then_raises() -> None:
    current().cancel()
    raise Oops


async def cancelled_by_itself_and_taken_back() -> str:
    current().cancel()
    current().uncancel()
    await asyncio.sleep(0)
    return "went on"


async def cancelled_before_it_waits() -> None:
    asyncio.get_running_loop().call_soon(current().cancel)
    await forever()


async def cancelled_while_it_waits() -> None:
    await asyncio.sleep(0)
    asyncio.get_running_loop().call_later(0.001, current().cancel)
    await forever()


async def cancelled_soon_but_returns_first() -> str:
    asyncio.get_running_loop().call_soon(current().cancel)
    return "returned"


async def cancels_swallowed() -> str:
    loop, me, swallowed = asyncio.get_running_loop(), current(), 0
    for _ in range(3):
        loop.call_soon(me.cancel)
        try:
            await forever()
        except asyncio.CancelledError:
            swallowed += 1
    return f"{swallowed}, {me.cancelling()}"


async def cancelled_error_raised_by_hand() -> None:
    raise asyncio.CancelledError("by hand")


async def cancelled_error_raised_by_hand_later() -> None:
    await asyncio.sleep(0)
    raise asyncio.CancelledError("by hand")


async def cancelled_future_awaited() -> None:
    future = asyncio.get_running_loop().create_future()
    future.cancel("the future")
    await future


async def raises_at_once() -> None:
    raise Oops("at once")


async def raises_later() -> None:
    await asyncio.sleep(0)
    raise Oops("later")


async def raises_stop_iteration() -> None:
    raise StopIteration("a value")


async def raises_stop_iteration_later() -> None:
    await asyncio.sleep(0)
    raise StopIteration("a value")


async def raises_stop_async_iteration() -> None:
    raise StopAsyncIteration


async def raises_base_exception() -> None:
    raise Abrupt("at once")


async def raises_base_exception_later() -> None:
    await asyncio.sleep(0)
    raise Abrupt("later")


async def awaits_no_future() -> None:
    class Odd:
        def __await__(self) -> Any:
            yield "no future"

    await Odd()


async def awaits_its_own_task() -> None:
    await current()


async def awaits_a_future_twice_at_once() -> str:
    future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(future.set_result, "both")
    first, second = await asyncio.gather(*[asyncio.wait_for(future, 60) for _ in range(2)])
    return first + second


async def a_lock_between_tasks() -> list[int]:
    lock, seen = asyncio.Lock(), list[int]()

    async def work(number: int) -> None:
        async with lock:
            await asyncio.sleep(0)
            seen.append(number)

    await asyncio.gather(*map(work, range(3)))
    return seen


BEHAVIOURS: tuple[Behaviour, ...] = (
    timeout_before_the_first_await,
    timeout_after_the_first_await,
    timeout_that_does_not_fire,
    timeout_without_an_await,
    timeout_that_is_over_already,
    timeout_over_already_without_an_await,
    timeout_moved_while_it_runs,
    timeouts_in_each_other,
    wait_for_that_times_out,
    wait_for_in_time,
    task_group,
    task_group_after_an_await,
    task_group_that_fails,
    task_group_failure_that_gets_out,
    gather,
    wait_for_the_first,
    shield,
    thread,
    executor,
    sleeps,
    async_generator,
    cancelled_by_itself_then_returns,
    cancelled_by_itself_then_awaits,
    cancelled_by_itself_after_an_await_then_returns,
    cancelled_by_itself_after_an_await_then_awaits,
    cancelled_by_itself_and_caught,
    cancelled_by_itself_then_raises,
    cancelled_by_itself_and_taken_back,
    cancelled_before_it_waits,
    cancelled_while_it_waits,
    cancelled_soon_but_returns_first,
    cancels_swallowed,
    cancelled_error_raised_by_hand,
    cancelled_error_raised_by_hand_later,
    cancelled_future_awaited,
    raises_at_once,
    raises_later,
    raises_stop_iteration,
    raises_stop_iteration_later,
    raises_stop_async_iteration,
    raises_base_exception,
    raises_base_exception_later,
    awaits_no_future,
    awaits_its_own_task,
    awaits_a_future_twice_at_once,
    a_lock_between_tasks,
)
