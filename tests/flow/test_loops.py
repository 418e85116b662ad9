"""Loops and recursion: bounds, what ends them, and what goes wrong in them."""

from __future__ import annotations

import asyncio

import pytest

import penstock as ps
from flow.parts import ONCE, Oops, add, done, double, failure, in_a_thread, more, no_threes, now
from loops import Task, virtual


def enough(x: int) -> bool:
    if x == 13:
        raise Oops("thirteen")
    return x >= 100


@ps.workflow
def grow(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
    return flow.loop(double, x, until=enough, max_iterations=5)


@ps.workflow
def add_up(flow: ps.Flow, x: ps.Node[int], y: ps.Node[int]) -> ps.Node[int]:
    return flow.call(add, flow.call(more, x), y)


@ps.workflow
def countdown(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
    case = flow.switch(x, key=lambda it: it > 0)
    less: ps.Node[int] = flow.recurse(
        flow.apply(lambda it: it - 1, case[True], name="less"), max_depth=5
    )
    return flow.merge(case.default, flow.call(more, less))


@virtual
async def test_a_loop_ends_when_until_says_so_and_runs_at_least_once(task: Task) -> None:
    async with ps.Runtime(task=task) as rt:
        assert await rt.run(grow, 30) == 120
        assert await rt.run(grow, 500) == 1_000
        run = await rt.start(grow, 30)
        await run.result()
        assert await done(run) == ["grow/double[0]", "grow/double[1]"]
        assert rt._core.object_count() == 0


@virtual
async def test_an_exhausted_loop_fails_or_gives_the_last_value(task: Task) -> None:
    @ps.workflow
    def last(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        return flow.loop(double, x, until=enough, max_iterations=2, on_exhausted="last")

    async with ps.Runtime(task=task) as rt:
        error = await failure(rt, grow, 1)
        assert error.node == "grow/double"
        assert "5 iterations" in str(error.__cause__)
        assert await rt.run(last, 1) == 4
        assert await rt.run(last, 60) == 120
        assert await rt.run(grow, 4) == 128  # in the very last one


@virtual
async def test_until_that_raises_fails_the_run_at_the_loop(task: Task) -> None:
    @ps.workflow
    def unlucky(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        return flow.loop(more, x, until=enough, max_iterations=50)

    async with ps.Runtime(task=task) as rt:
        error = await failure(rt, unlucky, 10)
        assert error.node == "unlucky/more"
        assert str(error.__cause__) == "thirteen"


@virtual
async def test_an_iteration_that_fails_says_which(task: Task) -> None:
    @ps.workflow
    def body(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        checked = flow.call(no_threes, x)
        return flow.call(more, x, after=checked)

    @ps.workflow
    def w(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        return flow.loop(body, x, until=enough, max_iterations=50)

    async with ps.Runtime(task=task) as rt:
        error = await failure(rt, w, 1)
        assert error.node == "w/body[2]/no_threes"
        assert isinstance(error.__cause__, Oops)


@virtual
async def test_an_iteration_is_retried_with_its_own_key(task: Task) -> None:
    keys: list[tuple[int, str]] = []

    @ps.step(retry=ps.RetryPolicy(max_attempts=2, initial_interval=0))
    async def tell(x: int, ctx: ps.Context) -> int:
        keys.append((ctx.attempt, ctx.idempotency_key))
        if ctx.attempt == 1:
            raise Oops
        return x + 60

    @ps.workflow
    def w(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        return flow.loop(tell, x, until=enough, max_iterations=3)

    async with ps.Runtime(task=task) as rt:
        assert await rt.run(w, 1, run_id="r") == 121
        assert keys == [
            (1, "r:w/tell[0]"),
            (2, "r:w/tell[0]"),
            (1, "r:w/tell[1]"),
            (2, "r:w/tell[1]"),
        ]


@virtual
async def test_shared_values_and_plain_steps_in_a_loop(task: Task) -> None:
    @ps.workflow
    def w(flow: ps.Flow, x: ps.Node[int], y: ps.Node[int]) -> ps.Node[int]:
        first = flow.loop(add_up, x, flow.call(more, y), until=enough, max_iterations=50)
        return flow.loop(in_a_thread, first, until=lambda it: it > 400, max_iterations=9)

    async with ps.Runtime(task=task) as rt:
        assert await rt.run(w, 0, 19) == 405
        assert rt._core.object_count() == 0


@virtual
async def test_a_loop_in_a_loop(task: Task) -> None:
    @ps.workflow
    def inner(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        return flow.loop(more, x, until=lambda it: it % 5 == 0, max_iterations=9)

    @ps.workflow
    def outer(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        return flow.loop(inner, x, until=lambda it: it > 9, max_iterations=9, name="rounds")

    async with ps.Runtime(task=task) as rt:
        run = await rt.start(outer, 3)
        assert await run.result() == 10
        assert await done(run) == [
            *[f"outer/rounds[0]/more[{i}]" for i in range(2)],
            *[f"outer/rounds[1]/more[{i}]" for i in range(5)],
        ]


@virtual
async def test_a_body_that_gives_back_its_input(task: Task) -> None:
    """The same value goes round and round; it is neither lost nor kept for ever."""

    @ps.workflow
    def pass_on(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        flow.call(more, x)
        return x

    @ps.workflow
    def w(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        return flow.loop(pass_on, x, until=enough, max_iterations=4, on_exhausted="last")

    async with ps.Runtime(task=task) as rt:
        assert await rt.run(w, 1) == 1
        assert rt._core.object_count() == 0


@virtual
async def test_cancelling_a_loop_stops_it(task: Task) -> None:
    rounds: list[int] = []

    @ps.step
    async def round_(x: int) -> int:
        rounds.append(x)
        await asyncio.sleep(1)
        return x + 1

    @ps.workflow
    def w(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        return flow.loop(round_, x, until=enough, max_iterations=1_000)

    async with ps.Runtime(task=task) as rt:
        run = await rt.start(w, 1)
        await asyncio.sleep(2.5)
        await run.cancel()
        with pytest.raises(ps.RunCancelled):
            await run.result()
        assert rounds == [1, 2, 3]
        assert now() == pytest.approx(2.5)
        assert rt._core.object_count() == 0


@virtual
async def test_a_recursion_goes_down_and_comes_back(task: Task) -> None:
    async with ps.Runtime(task=task) as rt:
        assert await rt.run(countdown, 0) == 0
        run = await rt.start(countdown, 3)
        assert await run.result() == 3
        assert await done(run) == [
            "countdown/recurse/recurse/more",
            "countdown/recurse/more",
            "countdown/more",
        ]
        assert await rt.run(countdown, 5) == 5


@virtual
async def test_a_recursion_that_is_too_deep_fails_where_it_is(task: Task) -> None:
    async with ps.Runtime(task=task) as rt:
        error = await failure(rt, countdown, 6)
        assert error.node == "countdown" + 6 * "/recurse"
        assert "deeper than 5" in str(error.__cause__)


@virtual
async def test_a_recursive_workflow_in_another_and_over_items(task: Task) -> None:
    @ps.workflow
    def w(flow: ps.Flow, xs: ps.Node[list[int]]) -> ps.Node[list[int]]:
        flow.call(countdown, flow.constant(1), name="once")
        return flow.map(countdown, xs, name="each")

    async with ps.Runtime(task=task) as rt:
        run = await rt.start(w, [2, 0, 1])
        assert await run.result() == [2, 0, 1]
        assert sorted(await done(run)) == [
            "w/each[0]/more",
            "w/each[0]/recurse/more",
            "w/each[2]/more",
            "w/once/more",
        ]
        assert (await failure(rt, w, [1, 6])).node == "w/each[1]" + 6 * "/recurse"


@virtual
async def test_each_level_of_a_recursion_has_its_own_key(task: Task) -> None:
    keys: list[str] = []

    @ps.step
    async def tell(x: int, ctx: ps.Context) -> int:
        keys.append(ctx.idempotency_key)
        return x - 1

    @ps.workflow
    def down(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        case = flow.switch(flow.call(tell, x), key=lambda it: it > 0)
        rest: ps.Node[int] = flow.recurse(case[True], max_depth=9)
        return flow.merge(case.default, rest)

    async with ps.Runtime(task=task) as rt:
        assert await rt.run(down, 3, run_id="r") == 0
        assert keys == ["r:down/tell", "r:down/recurse/tell", "r:down/recurse/recurse/tell"]


@virtual
async def test_a_recursion_with_two_branches(task: Task) -> None:
    @ps.workflow
    def fib(flow: ps.Flow, n: ps.Node[int]) -> ps.Node[int]:
        case = flow.switch(n, key=lambda it: it > 1)
        one: ps.Node[int] = flow.recurse(flow.apply(lambda it: it - 1, case[True]), max_depth=20)
        two: ps.Node[int] = flow.recurse(flow.apply(lambda it: it - 2, case[True]), max_depth=20)
        return flow.merge(case.default, flow.call(add, one, two))

    async with ps.Runtime(task=task) as rt:
        run = await rt.start(fib, 10)
        assert await run.result() == 55
        nodes = await done(run)
        assert len(nodes) == len(set(nodes)) == 88
        assert rt._core.object_count() == 0


@virtual
async def test_a_failure_deep_in_a_recursion_cancels_what_runs_above(task: Task) -> None:
    ended: list[str] = []

    @ps.step(retry=ONCE)
    async def watch(x: int, ctx: ps.Context) -> int:
        try:
            await asyncio.sleep(60 if x else 1)
        finally:
            ended.append(ctx.path)
        raise Oops("at the bottom")

    @ps.workflow
    def down(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        flow.call(watch, x)
        case = flow.switch(x, key=lambda it: it > 0)
        less = flow.apply(lambda it: it - 1, case[True])
        rest: ps.Node[int] = flow.recurse(less, max_depth=9)
        return flow.merge(case.default, rest)

    async with ps.Runtime(task=task) as rt:
        error = await failure(rt, down, 2)
        assert error.node == "down/recurse/recurse/watch"
        assert sorted(ended) == ["down/recurse/recurse/watch", "down/recurse/watch", "down/watch"]


@virtual
async def test_a_deep_recursion_is_cancelled_as_a_whole(task: Task) -> None:
    """Every level is withdrawn: 28,000 of them once took more stack than there is."""

    @ps.workflow
    def down(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        case = flow.switch(x, key=lambda it: it > 0)
        less = flow.apply(lambda it: it - 1, case[True])
        rest: ps.Node[int] = flow.recurse(less, max_depth=1_000)
        return flow.merge(flow.sleep(case.default, 60), rest)

    async with ps.Runtime(task=task) as rt:
        run = await rt.start(down, 1_000)
        await asyncio.sleep(1)
        await run.cancel()
        with pytest.raises(ps.RunCancelled):
            await run.result()
        assert rt._core.object_count() == 0


def test_a_recursion_has_a_bound_of_its_own() -> None:
    with pytest.raises(ps.DefinitionError, match="1000"):

        @ps.workflow
        def down(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
            case = flow.switch(x, key=lambda it: it > 0)
            rest: ps.Node[int] = flow.recurse(case[True], max_depth=100_000)
            return flow.merge(case.default, rest)
