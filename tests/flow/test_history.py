"""History and events of runs with constructs: paths, kinds, nothing lost and nothing twice."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

import penstock as ps
from flow.parts import ONCE, Oops, Till, add, double, kinds, more, no_threes, oops, same
from loops import Task, virtual

number = ps.Signal("number", int)


@ps.workflow
def item(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
    case = flow.switch(flow.call(same, x), key=lambda it: it > 1, name="size")
    small = flow.apply(lambda it: -it, case[True], name="small")
    return flow.merge(small, flow.call(double, case.default))


@ps.workflow
def everything(flow: ps.Flow, xs: ps.Node[list[int]]) -> ps.Node[int]:
    items = flow.apply(
        sum, flow.map(item, flow.sleep(xs, 1, name="first"), name="items"), name="sum"
    )
    looped = flow.loop(more, items, until=lambda it: it > 2, max_iterations=99, name="loop")
    got = flow.signal(number, timeout=50, on_timeout="skip", after=looped)
    slept = flow.sleep(looped, 5)
    backup = flow.call(oops, slept, fallback=double)
    won = flow.race(flow.call(more, slept, name="slow"), flow.sleep(slept, 60, name="never"))
    return flow.apply(
        lambda *all: sum(it or 0 for it in all), flow.optional(got), backup, won, name="total"
    )


async def follow(run: ps.Run[object]) -> list[ps.Event]:
    return [it async for it in run.events() if isinstance(it, ps.Event)]


@virtual
async def test_events_are_the_history_and_the_starts(task: Task) -> None:
    async with ps.Runtime(task=task) as rt:
        run = await rt.start(everything, [1, 2, 0])
        following = asyncio.ensure_future(follow(run))
        await asyncio.sleep(2)
        await run.signal(number, 7)
        await run.result()
        events, history = await following, await run.history()
        assert history[0].kind == "accepted"
        assert [it for it in events if it.kind != "started"] == history[1:]
        starts = Counter(it.node for it in events if it.kind == "started")
        ends = Counter(it.node for it in events if it.kind in ("done", "failed"))
        assert starts == ends
        assert max(starts.values()) == 1
        assert [it.at for it in events] == sorted(it.at for it in events)


@virtual
async def test_the_history_of_a_framed_run_names_items_and_iterations_for_good(
    task: Task,
) -> None:
    async with ps.Runtime(task=task) as rt:
        run = await rt.start(everything, [1, 2, 0])
        await asyncio.sleep(2)
        during = await run.history()
        await run.signal(number, 7)
        await run.result()
        history = await run.history()
        assert history[: len(during)] == during
        told = [(it.kind, it.node, it.value) for it in history]
        nodes = [it.node for it in history if it.kind == "done"]
        assert nodes[:5] == [
            "everything/items[0]/same",
            "everything/items[1]/same",
            "everything/items[2]/same",
            "everything/items[0]/double",
            "everything/items[2]/double",
        ]
        assert nodes[5:8] == [f"everything/loop[{i}]" for i in range(3)]
        assert ("opened", "everything/items", 3) in told
        assert ("chosen", "everything/items[1]/size", 0) in told
        assert ("chosen", "everything/items[2]/size", 1) in told
        assert ("decided", "everything/items[1]/small", None) in told
        until = [it[1] for it in told if it[0] == "chosen" and it[1] == "everything/loop"]
        assert len(until) == 3
        assert [it.node for it in history if it.kind == "fired"] == [
            "everything/first",
            "everything/sleep",
        ]
        assert history[-1].kind == "ended"
        assert Counter(nodes).most_common(1)[0][1] == 1
        assert await run.history(after=len(history) - 1) == history[-1:]


@virtual
async def test_a_failed_item_and_what_it_took_along(task: Task) -> None:
    till = Till(seconds=1.0, refuses={3})

    @ps.workflow
    def w(flow: ps.Flow, xs: ps.Node[list[int]]) -> ps.Node[list[str]]:
        return flow.map(till.book, xs, concurrency=2)

    async with ps.Runtime(task=task) as rt:
        run = await rt.start(w, [1, 2, 3, 4, 5, 6])
        with pytest.raises(ps.RunFailed):
            await run.result()
        told = [(it.kind, it.node, it.detail) for it in await run.history()]
        assert told[:6] == [
            ("accepted", "", ""),
            ("opened", "w/book", ""),
            ("started", "w/book[0]", ""),  # of what may have to be undone, the start is recorded
            ("started", "w/book[1]", ""),
            ("done", "w/book[0]", ""),
            ("done", "w/book[1]", ""),
        ]
        assert ("failed", "w/book[2]", "error") in told
        assert [it[1] for it in told if it[0] == "withdrawn"] == ["w/book[3]"]
        undone = {it[1] for it in told if it[1].endswith("/compensate")}
        assert undone == {f"w/book[{i}]/compensate" for i in range(4)}
        assert told[-1] == ("ended", "", "compensated")


@virtual
async def test_levels_of_a_recursion_in_events(task: Task) -> None:
    @ps.workflow
    def down(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        case = flow.switch(flow.call(same, x), key=lambda it: it > 0, name="on")
        less = flow.apply(lambda it: it - 1, case[True], name="less")
        rest: ps.Node[int] = flow.recurse(less, max_depth=9)
        return flow.merge(case.default, rest)

    async with ps.Runtime(task=task) as rt:
        run = await rt.start(down, 2)
        events = await follow(run)
        assert [it.node for it in events if it.kind == "started"] == [
            "down/same",
            "down/recurse/same",
            "down/recurse/recurse/same",
        ]
        assert [it.node for it in await run.history() if it.kind == "decided"] == [
            "down/less",
            "down/recurse/less",
        ]


@virtual
async def test_a_step_in_an_item_emits_under_its_path(task: Task) -> None:
    @ps.step
    async def talk(x: int, ctx: ps.Context) -> int:
        ctx.emit(x * 10)
        await asyncio.sleep(1)
        return x

    @ps.workflow
    def w(flow: ps.Flow, xs: ps.Node[list[int]]) -> ps.Node[list[int]]:
        return flow.map(talk, xs)

    async with ps.Runtime(task=task) as rt:
        run = await rt.start(w, [1, 2])
        events = await follow(run)
        emitted = [(it.node, it.value) for it in events if it.kind == "emitted"]
        assert emitted == [("w/talk[0]", 10), ("w/talk[1]", 20)]


@virtual
async def test_retries_and_withdrawals_in_a_race(task: Task) -> None:
    @ps.step(
        retry=ps.RetryPolicy(
            max_attempts=9, initial_interval=1.0, backoff_coefficient=1.0, jitter="none"
        )
    )
    async def again(x: int) -> int:
        raise Oops

    @ps.workflow
    def w(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        return flow.race(flow.call(again, x), flow.sleep(x, 2.5))

    async with ps.Runtime(task=task) as rt:
        run = await rt.start(w, 1)
        await run.result()
        told = [(it.kind, it.node, it.attempt) for it in await run.history()]
        assert told == [
            ("accepted", "", 0),
            ("failed", "w/again", 1),
            ("failed", "w/again", 2),
            ("failed", "w/again", 3),
            ("fired", "w/sleep", 0),
            ("withdrawn", "w/again", 0),
            ("ended", "", 0),
        ]


@virtual
async def test_statuses_are_told_in_the_words_of_the_state_table(task: Task) -> None:
    seen: list[str] = []
    till = Till(undo_seconds=1.0)

    @ps.workflow
    def w(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        return flow.call(oops, flow.sleep(x, 1), after=flow.call(till.book, x))

    async with ps.Runtime(task=task) as rt:
        run = await rt.start(w, 1)
        seen.append(run.status)
        await run.pause()
        seen.append(run.status)
        await run.resume()
        await asyncio.sleep(1.5)
        seen.append(run.status)
        with pytest.raises(ps.RunFailed):
            await run.result()
        seen.append(run.status)
        assert seen == ["running", "paused", "compensating", "compensated"]
        assert repr(run).endswith(": compensated>")


@virtual
async def test_a_long_run_loses_no_event_while_it_is_followed(task: Task) -> None:
    @ps.workflow
    def w(flow: ps.Flow, xs: ps.Node[list[int]]) -> ps.Node[list[int]]:
        return flow.map(no_threes, xs, concurrency=50)

    async with ps.Runtime(task=task) as rt:
        run = await rt.start(w, [0] * 2_000)
        events = [it async for it in run.events()]
        lost = sum(it.count for it in events if isinstance(it, ps.EventsLost))
        heard = [it for it in events if isinstance(it, ps.Event)]
        done = [it.node for it in heard if it.kind == "done"]
        assert len(done) == len(set(done))
        assert len(heard) + lost == 2_000 * 2 + 2  # decided and ended; it was opened at the start


@virtual
async def test_an_attempt_number_stays_with_its_node(task: Task) -> None:
    @ps.step(retry=ONCE)
    async def plain(x: int, ctx: ps.Context) -> int:
        return ctx.attempt

    @ps.workflow
    def w(flow: ps.Flow, xs: ps.Node[list[int]]) -> ps.Node[int]:
        first = flow.apply(sum, flow.map(plain, xs))
        return flow.call(add, flow.call(plain, first, name="again"), first)

    async with ps.Runtime(task=task) as rt:
        run = await rt.start(w, [5, 5, 5])
        assert await run.result() == 4
        assert {it.attempt for it in await run.history() if it.kind == "done"} == {1}
        assert (await kinds(run)).count("done") == 5
