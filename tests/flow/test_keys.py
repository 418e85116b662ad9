"""Concurrency keys and scopes: never two at once, first come first served, always given back."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

import penstock as ps
from flow.parts import ONCE, Oops, double, failure, kinds, more, nap, now, same
from loops import Task, virtual


class Section:
    """Counts who is in it, and remembers in which order they came."""

    def __init__(self, seconds: float = 1.0) -> None:
        self.seconds = seconds
        self.inside: dict[object, int] = {}
        self.most = 0
        self.order: list[int] = []

    async def visit(self, key: object, who: int) -> int:
        self.order.append(who)
        self.inside[key] = self.inside.get(key, 0) + 1
        self.most = max(self.most, self.inside[key])
        try:
            await asyncio.sleep(self.seconds)
        finally:
            self.inside[key] -= 1
        return who


def user(x: int) -> str:
    return f"user {x % 2}"


@virtual
async def test_steps_of_one_key_run_one_by_one_in_order(task: Task) -> None:
    section = Section()

    @ps.step(concurrency_key="till")
    async def pay(x: int) -> int:
        return await section.visit("till", x)

    async with ps.Runtime(task=task) as rt:
        runs = await rt.start_many(pay, range(10))
        assert [await run.result() for run in runs] == [*range(10)]
        assert (section.most, section.order) == (1, [*range(10)])
        assert now() == pytest.approx(10)
        assert await kinds(runs[0]) == ["accepted", "acquired", "done", "ended"]
        assert rt._core.object_count() == 0


@virtual
async def test_a_computed_key_keeps_apart_only_its_own(task: Task) -> None:
    section = Section()

    @ps.step(concurrency_key=user)
    async def pay(x: int) -> int:
        return await section.visit(x % 2, x)

    async with ps.Runtime(task=task) as rt:
        for run in await rt.start_many(pay, range(10)):
            await run.result()
        assert section.most == 1
        assert section.order[::2] == [0, 2, 4, 6, 8]
        assert section.order[1::2] == [1, 3, 5, 7, 9]
        assert now() == pytest.approx(5)


@virtual
async def test_one_key_is_shared_by_steps_workflows_and_items(task: Task) -> None:
    section = Section()

    @ps.step(concurrency_key="till")
    async def pay(x: int) -> int:
        return await section.visit("till", x)

    @ps.step(concurrency_key=lambda _: "till")
    async def refund(x: int) -> int:
        return await section.visit("till", x)

    @ps.workflow
    def items(flow: ps.Flow, xs: ps.Node[list[int]]) -> ps.Node[list[int]]:
        return flow.map(pay, flow.map(refund, xs))

    @ps.workflow
    def in_scope(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        with flow.scope("counter", concurrency_key="till"):
            step = flow.call(double, x)

            def visit(x: int) -> int:
                return x

            return flow.apply(visit, flow.sleep(step, 1))

    async with ps.Runtime(task=task) as rt:
        first = await rt.start(items, [1, 2])
        second = await rt.start(refund, 3)
        third = await rt.start(in_scope, 4)
        assert await first.result() == [1, 2]
        assert await second.result() == 3
        assert await third.result() == 8
        assert section.most == 1
        assert now() == pytest.approx(6)
        assert rt._core.object_count() == 0


@virtual
async def test_a_section_is_held_from_its_first_node_to_its_last(task: Task) -> None:
    section: list[str] = []

    @ps.step
    async def enter(x: int) -> int:
        section.append(f"in {x}")
        await asyncio.sleep(1)
        return x

    @ps.step
    async def leave(x: int) -> int:
        await asyncio.sleep(1)
        section.append(f"out {x}")
        return x

    @ps.workflow
    def w(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[float]:
        before = flow.call(same, x, name="before")
        with flow.scope("till", concurrency_key="till"):
            inside = flow.call(leave, flow.sleep(flow.call(enter, before), 3))
        return flow.call(nap, flow.apply(float, inside))

    async with ps.Runtime(task=task) as rt:
        for run in await rt.start_many(w, [1, 2, 3]):
            await run.result()
        assert section == ["in 1", "out 1", "in 2", "out 2", "in 3", "out 3"]
        assert now() == pytest.approx(18)


@virtual
async def test_a_section_with_a_key_from_a_node(task: Task) -> None:
    section = Section()

    @ps.step
    async def visit(x: int) -> int:
        return await section.visit(x % 2, x)

    @ps.workflow
    def w(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        with flow.scope("till", concurrency_key=flow.apply(user, x)):
            return flow.call(visit, flow.call(visit, x, name="once"))

    async with ps.Runtime(task=task) as rt:
        for run in await rt.start_many(w, range(4)):
            await run.result()
        assert section.most == 1
        assert [section.order[i] for i in (0, 1)] == [0, 1]
        assert now() == pytest.approx(4)


@virtual
async def test_a_key_is_given_back_however_its_step_ends(task: Task) -> None:
    @ps.step(concurrency_key="till", retry=ONCE, timeout=5.0)
    async def visit(seconds: float) -> float:
        if seconds < 0:
            raise Oops
        await asyncio.sleep(seconds)
        return seconds

    async with ps.Runtime(task=task) as rt:
        failed, timed_out, cancelled, late, waiting, last = [
            await rt.start(visit, seconds, deadline=deadline)
            for seconds, deadline in (
                (-1.0, None),
                (60.0, None),
                (4.0, None),
                (4.0, 7.0),
                (1.0, None),
                (1.0, None),
            )
        ]
        await asyncio.sleep(6)
        await cancelled.cancel()
        for run, error in (
            (failed, ps.RunFailed),
            (timed_out, ps.RunFailed),
            (cancelled, ps.RunCancelled),
            (late, ps.DeadlineExceeded),
        ):
            with pytest.raises(error):
                await run.result()
        await waiting.result()
        await last.result()
        assert now() == pytest.approx(5 + 1 + 1 + 1 + 1)
        assert rt._core.object_count() == 0


@virtual
async def test_who_is_cancelled_while_waiting_never_gets_the_key(task: Task) -> None:
    section = Section()

    @ps.step(concurrency_key="till")
    async def visit(x: int) -> int:
        return await section.visit("till", x)

    async with ps.Runtime(task=task) as rt:
        runs = await rt.start_many(visit, range(4))
        await asyncio.sleep(0.5)
        for run in runs[1:3]:
            await run.cancel()
            with pytest.raises(ps.RunCancelled):
                await run.result()
        assert now() == pytest.approx(0.5)
        await runs[3].result()
        assert section.order == [0, 3]
        assert now() == pytest.approx(2)


@virtual
async def test_a_retry_keeps_the_key(task: Task) -> None:
    log: list[tuple[int, int]] = []

    @ps.step(concurrency_key="till", retry=ps.RetryPolicy(initial_interval=5.0, jitter="none"))
    async def flaky(x: int, ctx: ps.Context) -> int:
        log.append((x, ctx.attempt))
        if ctx.attempt == 1:
            raise Oops
        return x

    async with ps.Runtime(task=task) as rt:
        for run in await rt.start_many(flaky, [1, 2]):
            await run.result()
        assert log == [(1, 1), (1, 2), (2, 1), (2, 2)]


@virtual
async def test_a_key_function_that_raises_fails_the_run_and_blocks_nobody(task: Task) -> None:
    def key(x: int) -> str:
        if x == 3:
            raise Oops("no key")
        return "till"

    @ps.step(concurrency_key=key)
    async def visit(x: int) -> int:
        return x

    async with ps.Runtime(task=task) as rt:
        error = await failure(rt, visit, 3)
        assert str(error.__cause__) == "no key"
        assert error.node == "visit/visit/key"
        assert await rt.run(visit, 1) == 1


@virtual
async def test_a_loser_gives_its_key_back(task: Task) -> None:
    @ps.step(concurrency_key="till")
    async def long(x: int) -> int:
        await asyncio.sleep(60)
        return x

    @ps.workflow
    def w(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[list[int]]:
        won = flow.race(flow.call(long, x), flow.sleep(x, 1))
        waits = flow.race(flow.call(long, x, name="waits"), flow.sleep(x, 2))
        return flow.collect(won, waits)

    async with ps.Runtime(task=task) as rt:
        runs = await rt.start_many(w, range(3))
        for run in runs:
            await run.result()
        assert now() == pytest.approx(2)
        short = asyncio.ensure_future(rt.run(long, 1))
        await asyncio.sleep(60.5)
        assert short.done()


@virtual
async def test_a_section_is_left_when_it_is_withdrawn_or_skipped(task: Task) -> None:
    @ps.workflow
    def w(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[list[float]]:
        maybe = flow.when(x, lambda it: it > 0)
        with flow.scope("till", concurrency_key="till") as till:
            inside = flow.call(nap, flow.apply(float, maybe))
        flow.cancel(till, when=flow.sleep(x, 5))
        return flow.collect(inside)

    async with ps.Runtime(task=task) as rt:
        runs = await rt.start_many(w, [60, 0, 2])
        assert await runs[0].result() == []
        assert await runs[1].result() == []
        last = await rt.start(w, 3)
        assert await last.result() == [3.0]
        assert now() == pytest.approx(10)
        assert await runs[2].result() in ([], [2.0])
        assert rt._core.object_count() == 0


@virtual
async def test_a_step_withdrawn_with_its_scope_is_cancelled_and_awaited(task: Task) -> None:
    ended: list[float] = []

    @ps.step
    async def long(x: int) -> int:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(1)
            ended.append(now())
        return x

    @ps.workflow
    def w(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[list[int]]:
        with flow.scope("s") as scope:
            inside = flow.call(more, flow.call(long, x))
        stopped = flow.cancel(scope, when=flow.sleep(x, 5))
        return flow.collect(inside, flow.call(double, stopped))

    async with ps.Runtime(task=task) as rt:
        run = await rt.start(w, 1)
        assert await run.result() == [2]
        assert ended == [pytest.approx(6)]
        assert [it.node for it in await run.history() if it.kind == "withdrawn"] == ["w/long"]


@virtual
async def test_withdrawing_what_is_over_or_has_not_begun(task: Task) -> None:
    started: list[int] = []

    @ps.step
    async def note(x: int) -> int:
        started.append(x)
        return x

    @ps.workflow
    def over(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int | None]:
        with flow.scope("s") as scope:
            inside = flow.call(note, x)
        flow.cancel(scope, when=flow.sleep(x, 5))
        return flow.optional(inside)

    @ps.workflow
    def not_begun(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int | None]:
        with flow.scope("s") as scope:
            inside = flow.call(note, flow.sleep(x, 10))
        flow.cancel(scope, when=flow.sleep(x, 5, name="sooner"))
        return flow.optional(inside)

    async with ps.Runtime(task=task) as rt:
        assert await rt.run(over, 1) == 1
        assert await rt.run(not_begun, 2) is None
        assert started == [1]
        assert now() == pytest.approx(10)


@virtual
async def test_a_crowd_over_few_keys(task: Task) -> None:
    section = Section(seconds=0.01)

    @ps.step(concurrency_key=lambda x: f"k{x % 7}")
    async def visit(x: int) -> int:
        return await section.visit(x % 7, x)

    @ps.workflow
    def w(flow: ps.Flow, xs: ps.Node[Sequence[int]]) -> ps.Node[list[int]]:
        return flow.map(visit, xs)

    async with ps.Runtime(task=task) as rt:
        runs = await rt.start_many(w, [[*range(i, i + 70)] for i in range(10)])
        await asyncio.sleep(0.1)
        for run in runs[::2]:
            await run.cancel()
        for index, run in enumerate(runs):
            if index % 2:
                assert await run.result() == [*range(index, index + 70)]
        assert section.most == 1
        assert set(section.inside.values()) == {0}
        assert rt._core.object_count() == 0


@virtual
async def test_a_paused_run_lets_the_others_have_the_key(task: Task) -> None:
    """Its turn came all the same, and everybody behind it waited until somebody resumed it."""
    section = Section()

    @ps.step(concurrency_key="till")
    async def pay(x: int) -> int:
        return await section.visit("till", x)

    async with ps.Runtime(task=task) as rt:
        runs = await rt.start_many(pay, range(4))
        await asyncio.sleep(0.5)
        await runs[1].pause()
        assert [await runs[i].result() for i in (0, 2, 3)] == [0, 2, 3]
        assert now() == pytest.approx(3)
        last = await rt.start(pay, 4)
        await asyncio.sleep(0.5)
        await runs[1].resume()
        assert [await last.result(), await runs[1].result()] == [4, 1]
        assert (section.most, section.order) == (1, [0, 2, 3, 4, 1])
