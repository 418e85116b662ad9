"""Joins: collect, race, optional, merge; losers are cancelled and awaited."""

from __future__ import annotations

import asyncio

import pytest

import penstock as ps
from flow.parts import ONCE, Oops, done, double, failure, more, nap, no_threes, now, oops, same
from loops import Task, virtual


@ps.step(retry=ONCE)
async def late_oops(seconds: float) -> float:
    await asyncio.sleep(seconds)
    raise Oops(f"after {seconds:g}")


@ps.step(retry=ONCE)
async def work(seconds: float) -> float:
    """Naps; a negative number fails after as long."""
    await asyncio.sleep(abs(seconds))
    if seconds < 0:
        raise Oops(f"after {-seconds:g}")
    return seconds


@ps.workflow
def first_of_three(
    flow: ps.Flow, a: ps.Node[float], b: ps.Node[float], c: ps.Node[float]
) -> ps.Node[float]:
    return flow.race(*[flow.call(work, it) for it in (a, b, c)])


@ps.workflow
def two_of_three(
    flow: ps.Flow, a: ps.Node[float], b: ps.Node[float], c: ps.Node[float]
) -> ps.Node[list[float]]:
    calls = [flow.call(work, it) for it in (a, b, c)]
    return flow.collect(*calls, need=2, cancel_rest=True)


@virtual
async def test_the_first_success_wins_a_race(task: Task) -> None:
    async with ps.Runtime(task=task) as rt:
        assert await rt.run(first_of_three, 3.0, 1.0, 2.0) == 1.0
        assert now() == pytest.approx(1)
        assert await rt.run(first_of_three, -0.1, 3.0, -0.2) == 3.0
        error = await failure(rt, first_of_three, -1.0, -0.1, -3.0)
        assert str(error.__cause__) == "after 0.1"  # the first error
        assert error.node == "first_of_three/work-2"
        assert rt._core.object_count() == 0


@virtual
async def test_losers_are_cancelled_and_awaited_before_the_run_ends(task: Task) -> None:
    log: list[str] = []

    @ps.step
    async def lose(x: int) -> int:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(2)
            log.append(f"closed at {now():g}")
        return x

    @ps.step
    async def win(x: int) -> int:
        await asyncio.sleep(1)
        return x

    @ps.step
    async def after(x: int) -> int:
        log.append(f"went on at {now():g}")
        return x

    @ps.workflow
    def race(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        return flow.call(after, flow.race(flow.call(lose, x), flow.call(win, x)))

    async with ps.Runtime(task=task) as rt:
        run = await rt.start(race, 1)
        assert await run.result() == 1
        assert log == ["went on at 1", "closed at 3"]
        assert now() == pytest.approx(3)
        withdrawn = [it.node for it in await run.history() if it.kind == "withdrawn"]
        assert withdrawn == ["race/lose"]
        assert rt._core.object_count() == 0


@virtual
async def test_a_race_that_keeps_its_losers_lets_them_end(task: Task) -> None:
    @ps.workflow
    def race(flow: ps.Flow, x: ps.Node[float]) -> ps.Node[float]:
        longer = flow.call(nap, flow.apply(lambda it: it * 3, x), name="long")
        return flow.race(longer, flow.call(nap, x), cancel_rest=False)

    @ps.workflow
    def fails_late(flow: ps.Flow, x: ps.Node[float]) -> ps.Node[float]:
        longer = flow.call(late_oops, flow.apply(lambda it: it * 3, x))
        return flow.race(longer, flow.call(nap, x), cancel_rest=False)

    async with ps.Runtime(task=task) as rt:
        run = await rt.start(race, 1.0)
        assert await run.result() == 1.0
        assert now() == pytest.approx(3)
        assert await done(run) == ["race/nap", "race/long"]
        assert await rt.run(fails_late, 1.0) == 1.0
        assert now() == pytest.approx(6)
        assert rt._core.object_count() == 0


@virtual
async def test_a_loser_that_waits_for_a_retry_or_in_a_queue_is_withdrawn(task: Task) -> None:
    desk = ps.Queue("desk", concurrency=1)
    slow = ps.RetryPolicy(initial_interval=60.0, max_interval=60.0, jitter="none")
    called: list[str] = []

    @ps.step(retry=slow)
    async def again(x: int) -> int:
        raise Oops

    @ps.step(queue=desk)
    async def hold(seconds: float) -> int:
        await asyncio.sleep(seconds)
        return 0

    @ps.step(queue=desk)
    async def queued(x: int) -> int:
        called.append("queued")
        return x

    @ps.workflow
    def race(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        win = flow.apply(int, flow.sleep(x, 1.0))
        return flow.race(flow.call(again, x), flow.call(queued, x), win)

    async with ps.Runtime(task=task) as rt:
        holding = await rt.start(hold, 10.0)
        await asyncio.sleep(0.1)
        assert await rt.run(race, 7) == 7
        assert now() == pytest.approx(1.1)
        await holding.result()
        assert await rt.run(queued, 8) == 8
        assert called == ["queued"]


@virtual
async def test_a_race_of_skipped_branches_is_skipped(task: Task) -> None:
    @ps.workflow
    def race(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int | None]:
        small = flow.call(double, flow.when(x, lambda it: it < 10, name="small"))
        big = flow.call(oops, flow.when(x, lambda it: it > 20, name="big"))
        return flow.optional(flow.race(small, big))

    async with ps.Runtime(task=task) as rt:
        assert await rt.run(race, 1) == 2
        assert await rt.run(race, 15) is None
        assert (await failure(rt, race, 21)).node == "race/oops"


@virtual
async def test_a_branch_of_a_race_is_more_than_its_last_node(task: Task) -> None:
    """What fails in the middle of a branch is contained just as well."""

    @ps.workflow
    def race(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        short = flow.call(more, flow.call(no_threes, flow.call(same, x)))
        return flow.race(short, flow.call(double, flow.sleep(x, 5.0)))

    async with ps.Runtime(task=task) as rt:
        assert await rt.run(race, 2) == 21
        assert now() == 0
        assert await rt.run(race, 3) == 6
        assert now() == pytest.approx(5)


@virtual
async def test_a_partial_join_fires_at_so_many_and_withdraws_the_rest(task: Task) -> None:
    async with ps.Runtime(task=task) as rt:
        assert await rt.run(two_of_three, 3.0, 60.0, 1.0) == [3.0, 1.0]
        assert now() == pytest.approx(3)
        assert await rt.run(two_of_three, 3.0, -1.0, 1.0) == [3.0, 1.0]
        error = await failure(rt, two_of_three, 60.0, -1.0, -2.0)
        assert str(error.__cause__) == "after 1"
        assert now() == pytest.approx(8)


@virtual
async def test_a_partial_join_that_can_not_fire_says_so(task: Task) -> None:
    @ps.workflow
    def need(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[list[int]]:
        big = flow.when(x, lambda it: it > 10, name="big")
        bigger = flow.when(x, lambda it: it > 20, name="bigger")
        return flow.collect(flow.call(double, big), flow.call(more, bigger), x, need=2)

    async with ps.Runtime(task=task) as rt:
        assert await rt.run(need, 30) in ([60, 31], [60, 30], [31, 30])
        assert await rt.run(need, 11) == [22, 11]
        error = await failure(rt, need, 1)
        assert error.node == "need/collect"
        assert "2" in str(error.__cause__)


@virtual
async def test_collect_keeps_the_order_of_its_arguments(task: Task) -> None:
    @ps.workflow
    def gather(flow: ps.Flow, x: ps.Node[float]) -> ps.Node[list[float]]:
        slow = flow.call(nap, flow.apply(lambda it: it + 5, x), name="slow")
        return flow.collect(slow, flow.call(nap, x), slow, x)

    async with ps.Runtime(task=task) as rt:
        assert await rt.run(gather, 1.0) == [6.0, 1.0, 6.0, 1.0]


@virtual
async def test_the_deferred_choice_of_a_timer_and_a_step(task: Task) -> None:
    @ps.workflow
    def hurry(flow: ps.Flow, seconds: ps.Node[float]) -> ps.Node[float]:
        return flow.race(flow.call(nap, seconds), flow.sleep(flow.constant(-1.0), 5.0))

    async with ps.Runtime(task=task) as rt:
        assert await rt.run(hurry, 3.0) == 3.0
        assert now() == pytest.approx(3)
        assert await rt.run(hurry, 60.0) == -1.0
        assert now() == pytest.approx(8)
        await asyncio.sleep(100)
        assert rt.stats().runs == 0


@virtual
async def test_races_in_races(task: Task) -> None:
    @ps.workflow
    def nested(flow: ps.Flow, x: ps.Node[float]) -> ps.Node[list[float]]:
        def naps(*seconds: float) -> ps.Node[float]:
            calls = [flow.call(nap, flow.constant(it)) for it in seconds]
            return flow.race(*calls)

        outer = flow.race(naps(9.0, 8.0), flow.race(naps(7.0, 2.0), flow.call(late_oops, x)))
        return flow.collect(outer, naps(4.0, 3.0))

    async with ps.Runtime(task=task) as rt:
        run = await rt.start(nested, 1.0)
        assert await run.result() == [2.0, 3.0]
        assert now() == pytest.approx(3)
        withdrawn = [it.node for it in await run.history() if it.kind == "withdrawn"]
        assert len(withdrawn) == len(set(withdrawn)) == 4


@virtual
async def test_a_node_that_feeds_a_race_and_something_else_is_not_the_races_alone(
    task: Task,
) -> None:
    """What others need too is neither withdrawn with a loser, nor is its failure contained."""

    @ps.workflow
    def shared(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[list[int]]:
        both = flow.call(no_threes, flow.sleep(x, 2.0))
        quick = flow.race(flow.call(more, both), flow.call(double, x))
        return flow.collect(quick, flow.call(double, both, name="theirs"))

    async with ps.Runtime(task=task) as rt:
        assert await rt.run(shared, 1) == [2, 20]
        assert now() == pytest.approx(2)
        assert (await failure(rt, shared, 3)).node == "shared/no_threes"


@virtual
async def test_the_same_node_twice_in_a_join(task: Task) -> None:
    @ps.workflow
    def twice(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[list[int]]:
        it = flow.call(no_threes, x)
        return flow.collect(flow.race(it, it), flow.call(double, flow.race(x, it)))

    async with ps.Runtime(task=task) as rt:
        assert await rt.run(twice, 1) == [10, 2]
        assert (await failure(rt, twice, 3)).node == "twice/no_threes"
