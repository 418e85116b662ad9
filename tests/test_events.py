"""Events of a run: what its followers see while it goes on."""

from __future__ import annotations

import asyncio
import time

import pytest

import penstock as ps
from loops import Task, noop, virtual
from penstock._events import RING, Event, EventsLost


@ps.step
async def sleep(seconds: float) -> float:
    await asyncio.sleep(seconds)
    return seconds


async def told(run: ps.Run[object]) -> list[Event | EventsLost]:
    return [event async for event in run.events()]


def kinds(events: list[Event | EventsLost]) -> list[str]:
    return [event.kind if isinstance(event, Event) else "lost" for event in events]


@virtual
async def test_a_follower_sees_the_run_to_its_end(task: Task) -> None:
    @ps.step(retry=ps.RetryPolicy(initial_interval=60.0, max_interval=60.0, jitter="none"))
    async def second_time(ctx: ps.Context) -> str:
        ctx.emit({"half": ctx.attempt})
        await asyncio.sleep(1)
        if ctx.attempt == 1:
            raise ValueError
        return "done"

    async with ps.Runtime(task=task) as rt:
        run = await rt.start(second_time)
        events = await told(run)
        assert [(it.kind, it.attempt) for it in events if isinstance(it, Event)] == [
            ("started", 1),
            ("emitted", 1),
            ("failed", 1),
            ("started", 2),
            ("emitted", 2),
            ("done", 2),
            ("ended", 0),
        ]
        started, emitted, failed, again, _, done, ended = events
        assert isinstance(started, Event)
        assert isinstance(emitted, Event)
        assert isinstance(failed, Event)
        assert isinstance(again, Event)
        assert isinstance(done, Event)
        assert isinstance(ended, Event)
        assert emitted.value == {"half": 1}
        assert {it.node for it in (started, emitted, failed, done)} == {"second_time/second_time"}
        assert failed.at - started.at == pytest.approx(1)
        assert failed.due == pytest.approx(failed.at + 60)
        assert again.at == pytest.approx(failed.due)
        assert done.started == again.at
        assert ended.detail == "succeeded"
        assert kinds(await told(run)) == []


@virtual
async def test_history_and_events_tell_the_same(task: Task) -> None:
    @ps.workflow
    def two(flow: ps.Flow, seconds: ps.Node[float]) -> ps.Node[float]:
        first = flow.apply(lambda it: it / 2, seconds)
        return flow.call(sleep, flow.call(sleep, first, name="a"), name="b")

    async with ps.Runtime(task=task) as rt:
        run = await rt.start(two, 2.0)
        events = [it for it in await told(run) if isinstance(it, Event) and it.kind != "started"]
        history = await run.history()
        assert events == history[len(history) - len(events) :]
        assert len(history) - len(events) <= 2  # accepted, and decided at once


@virtual
async def test_several_followers_and_one_that_leaves(task: Task) -> None:
    async with ps.Runtime(task=task) as rt:
        run = await rt.start(sleep, 5.0)
        first, second = (asyncio.ensure_future(told(run)) for _ in range(2))
        async for event in run.events():
            assert isinstance(event, Event)
            assert event.kind == "started"
            break
        late = asyncio.ensure_future(told(run))
        left = asyncio.ensure_future(told(run))
        await asyncio.sleep(1)
        left.cancel()
        await asyncio.gather(left, return_exceptions=True)
        assert await run.result() == 5.0
        assert kinds(await first) == kinds(await second) == ["done", "ended"]
        assert kinds(await late) == ["done", "ended"]


@virtual
async def test_a_follower_of_one_run_hears_nothing_of_another(task: Task) -> None:
    async with ps.Runtime(task=task) as rt:
        run = await rt.start(sleep, 1.0)
        following = asyncio.ensure_future(told(run))
        await rt.start_many(noop, range(100))
        assert kinds(await following) == ["done", "ended"]


@virtual
async def test_a_cancelled_run_and_a_missed_deadline_are_told(task: Task) -> None:
    async with ps.Runtime(task=task) as rt:
        cancelled = await rt.start(sleep, 60.0)
        late = await rt.start(sleep, 60.0, deadline=2.0)
        following = [asyncio.ensure_future(told(run)) for run in (cancelled, late)]
        await asyncio.sleep(1)
        await cancelled.cancel()
        first, second = await asyncio.gather(*following)
        assert kinds(first) == ["cancel_requested", "withdrawn", "ended"]
        assert kinds(second) == ["deadline_passed", "withdrawn", "ended"]
        ends = [events[-1] for events in (first, second)]
        assert [it.detail for it in ends if isinstance(it, Event)] == ["cancelled", "failed"]


@virtual
async def test_a_slow_follower_is_told_how_many_it_missed(task: Task) -> None:
    @ps.step
    async def talks(count: int, ctx: ps.Context) -> int:
        for number in range(count):
            ctx.emit(number)
            if number % 1000 == 0:
                await asyncio.sleep(1)
        return count

    async with ps.Runtime(task=task) as rt:
        count = 3 * RING
        run = await rt.start(talks, count)
        events: list[Event | EventsLost] = []
        async for event in run.events():
            events.append(event)
            if len(events) == 2:  # too busy to listen until the run is over
                await run.result()
        lost = [it.count for it in events if isinstance(it, EventsLost)]
        assert len(lost) == 1
        assert len(events) - 1 + lost[0] == count + 3
        assert isinstance(events[-1], Event)
        assert events[-1].kind == "ended"
        values = [it.value for it in events if isinstance(it, Event) and it.kind == "emitted"]
        assert values[0] == 0
        assert values[-1] == count - 1
        assert len(values) <= RING + 2


@virtual
async def test_steps_in_threads_emit_and_give_heartbeats(task: Task) -> None:
    @ps.step(heartbeat_timeout=0.2)
    def in_a_thread(ctx: ps.Context) -> str:
        for number in range(3):
            time.sleep(0.001)
            ctx.heartbeat({"page": number})
        ctx.emit("last")
        return "done"

    async with ps.Runtime(task=task) as rt:
        run = await rt.start(in_a_thread)
        events = await told(run)
        values = [it.value for it in events if isinstance(it, Event) and it.kind == "emitted"]
        assert values == [{"page": 0}, {"page": 1}, {"page": 2}, "last"]
        assert kinds(events)[-2:] == ["done", "ended"]


@virtual
async def test_emitting_when_nobody_follows_costs_nothing(task: Task) -> None:
    @ps.step
    async def talks(ctx: ps.Context) -> int:
        ctx.emit("to nobody")
        ctx.heartbeat("nor this")
        return 1

    async with ps.Runtime(task=task) as rt:
        assert await rt.run(talks) == 1


@virtual
async def test_a_context_that_outlives_its_attempt_is_harmless(task: Task) -> None:
    kept: list[ps.Context] = []

    @ps.step
    async def keeps(x: int, ctx: ps.Context) -> int:
        kept.append(ctx)
        return x

    async with ps.Runtime(task=task) as rt:
        await rt.run(keeps, 1)
        run = await rt.start(sleep, 1.0)
        following = asyncio.ensure_future(told(run))
        await asyncio.sleep(0.5)
        kept[0].emit("from the past")
        kept[0].heartbeat()
        assert isinstance(kept[0].cancelled, bool)
        assert kept[0].remaining() == float("inf")
        assert kinds(await following) == ["done", "ended"]
    kept[0].heartbeat()
    kept[0].emit("after the end")


@virtual
async def test_following_a_run_that_is_over_ends_at_once(task: Task) -> None:
    async with ps.Runtime(task=task) as rt:
        run = await rt.start(noop, 1)
        await run.result()
        assert await told(run) == []


@virtual
async def test_an_abandoned_attempt_is_told(task: Task) -> None:
    @ps.step(timeout=1.0)
    async def stubborn() -> None:
        while True:
            try:
                await asyncio.sleep(20)
                return
            except asyncio.CancelledError:
                pass

    async with ps.Runtime(task=task, cancel_grace=2.0) as rt:
        run = await rt.start(stubborn)
        events = await told(run)
        assert "abandoned" in kinds(events)
        abandoned = next(it for it in events if isinstance(it, Event) and it.kind == "abandoned")
        started = events[0]
        assert isinstance(started, Event)
        assert abandoned.at - started.at == pytest.approx(3)
