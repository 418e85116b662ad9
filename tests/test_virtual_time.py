"""Virtual time: it jumps when everything waits, and only then."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from typing import Any

import pytest

import penstock as ps
from loops import Task, virtual
from penstock.testing import VirtualClock

DAY = 86_400.0


def now() -> float:
    return asyncio.get_running_loop().time()


def test_sleeping_takes_no_real_time() -> None:
    async def main() -> float:
        assert now() == 0
        await asyncio.sleep(365 * DAY)
        return now()

    began = time.perf_counter()
    assert VirtualClock().run(main()) == pytest.approx(365 * DAY)
    assert time.perf_counter() - began < 1


def test_the_fixture_is_a_clock(virtual_clock: Any) -> None:
    assert virtual_clock.run(asyncio.sleep(DAY, "slept")) == "slept"


@virtual
async def test_timers_fire_in_order_at_their_times(task: Task) -> None:
    seen: list[tuple[float, str]] = []

    async def note(name: str, seconds: float) -> None:
        await asyncio.sleep(seconds)
        seen.append((now(), name))

    asyncio.get_running_loop().call_later(2.5, lambda: seen.append((now(), "timer")))
    await asyncio.gather(note("c", 3), note("a", 1), note("b", 2), note("at once", 0))
    assert seen == [(0, "at once"), (1, "a"), (2, "b"), (2.5, "timer"), (3, "c")]


@virtual
async def test_engine_and_asyncio_share_the_time(task: Task) -> None:
    @ps.step(retry=ps.RetryPolicy(initial_interval=10.0, jitter="none"))
    async def second_time(ctx: ps.Context) -> float:
        if ctx.attempt == 1:
            raise OSError
        return now()

    seen: list[float] = []

    async def tick() -> None:
        while True:
            await asyncio.sleep(4)
            seen.append(now())

    async with ps.Runtime(task=task) as rt:
        ticking = asyncio.ensure_future(tick())
        assert await rt.run(second_time) == pytest.approx(10)
        assert seen == [4, 8]
        ticking.cancel()


def test_the_same_program_gives_the_same_history(task: Task) -> None:
    @ps.step(retry=ps.RetryPolicy(max_attempts=5))
    async def moody(x: int, ctx: ps.Context) -> int:
        await asyncio.sleep(x / 7)
        if ctx.attempt <= x % 4:
            raise OSError
        return x

    async def main() -> list[object]:
        async with ps.Runtime(task=task, seed=1) as rt:
            runs = await rt.start_many(moody, range(20))
            await rt.join()
            return [event for run in runs for event in await run.history()]

    first, second = (VirtualClock().run(main()) for _ in range(2))
    assert first == second
    assert len(first) > 60


def test_a_wait_that_nothing_can_end_is_an_error() -> None:
    async def main() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(RuntimeError, match="nothing would ever wake it"):
        VirtualClock().run(main())


def test_a_run_that_nothing_can_end_is_an_error(task: Task) -> None:
    @ps.step
    async def hangs() -> None:
        await asyncio.get_running_loop().create_future()

    async def main() -> None:
        async with ps.Runtime(task=task) as rt:
            await rt.run(hangs)

    with pytest.raises(RuntimeError, match="nothing would ever wake it"):
        VirtualClock().run(main())


def test_what_main_raises_comes_out() -> None:
    async def main() -> None:
        await asyncio.sleep(1)
        raise ValueError("from main")

    with pytest.raises(ValueError, match="from main"):
        VirtualClock().run(main())


def test_it_is_refused_in_a_running_loop() -> None:
    async def main() -> None:
        VirtualClock().run(asyncio.sleep(1))

    with pytest.raises(RuntimeError, match="event loop of its own"):
        asyncio.run(main())


@virtual
async def test_time_stands_still_while_a_thread_works(task: Task) -> None:
    @ps.step
    def in_a_thread(x: int) -> int:
        time.sleep(0.005)
        return x

    async with ps.Runtime(task=task) as rt:
        sleeping = asyncio.ensure_future(asyncio.sleep(DAY))
        assert await rt.run(in_a_thread, 1) == 1
        assert now() == 0
        await asyncio.to_thread(time.sleep, 0.005)
        assert now() == 0
        await sleeping
        assert now() == DAY


@virtual
async def test_a_thread_wakes_the_loop(task: Task) -> None:
    event, loop = asyncio.Event(), asyncio.get_running_loop()

    def wake() -> None:
        time.sleep(0.005)
        loop.call_soon_threadsafe(event.set)

    await asyncio.gather(asyncio.to_thread(wake), event.wait())
    assert now() == 0


@virtual
async def test_sockets_take_the_time_they_take(task: Task) -> None:
    ours, theirs = socket.socketpair()
    reader, writer = await asyncio.open_connection(sock=ours)

    def answer() -> None:
        with theirs:
            time.sleep(0.005)
            theirs.sendall(theirs.recv(100).upper())

    thread = threading.Thread(target=answer)
    thread.start()
    writer.write(b"hello")
    assert await asyncio.wait_for(reader.read(100), DAY) == b"HELLO"
    assert now() == 0
    writer.close()
    await writer.wait_closed()
    thread.join()
    await asyncio.sleep(DAY)
    assert now() == DAY


@virtual
async def test_a_server_that_only_listens_does_not_stop_time(task: Task) -> None:
    # Time stood still for ever as soon as any socket was open.
    server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    async with server:
        await asyncio.sleep(60)
    assert now() == 60


@virtual
async def test_a_century_passes(task: Task) -> None:
    # A float's grain grows with it: past half a year no timer was due any more.
    policy = ps.RetryPolicy(
        max_attempts=3,
        initial_interval=50 * 365 * DAY,
        max_interval=50 * 365 * DAY,
        jitter="none",
    )

    @ps.step(retry=policy)
    async def third_time(ctx: ps.Context) -> int:
        if ctx.attempt < 3:
            raise OSError
        await asyncio.sleep(0.001)
        return ctx.attempt

    async with ps.Runtime(task=task) as rt:
        assert await rt.run(third_time) == 3
        assert now() == pytest.approx(100 * 365 * DAY)
