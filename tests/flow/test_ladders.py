"""Ladders: cascade, fallback and on_failure="skip", and what goes on to them."""

from __future__ import annotations

import asyncio

import pytest

import penstock as ps
from flow.parts import ONCE, Oops, done, double, failure, more, nap, now, oops
from loops import Task, virtual


@ps.step
async def cheap(x: int) -> int:
    return x


@ps.step(retry=ONCE)
async def better(x: int) -> int:
    if x == 3:
        raise Oops("better can't")
    return 10 * x


@ps.step(retry=ONCE)
async def best(x: int) -> int:
    if x == 7:
        raise Oops("nobody can")
    return 100 * x


def good(x: int) -> bool:
    if x == 13:
        raise Oops("can't tell")
    return x >= 20


def score(x: int) -> float:
    return x / 100


@ps.workflow
def ladder(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
    return flow.cascade((cheap, better, best), x, accept=good)


@virtual
async def test_a_cascade_stops_at_the_first_value_that_is_accepted(task: Task) -> None:
    async with ps.Runtime(task=task) as rt:
        for x, tiers in ((20, 1), (2, 2), (1, 3), (3, 3)):
            run = await rt.start(ladder, x)
            assert await run.result() == {1: x, 2: 10 * x, 3: 100 * x}[tiers]
            called = [node.rpartition("/")[2] for node in await done(run)]
            assert called == [
                it for it in ("cheap", "better", "best")[:tiers] if (it, x) != ("better", 3)
            ]
        assert rt._core.object_count() == 0


@virtual
async def test_the_last_tier_is_taken_as_it_is_and_its_failure_is_the_runs(task: Task) -> None:
    @ps.workflow
    def two(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        return flow.cascade((better, best), x, accept=lambda _: False)

    async with ps.Runtime(task=task) as rt:
        assert await rt.run(two, 0) == 0
        error = await failure(rt, two, 7)
        assert (error.node, str(error.__cause__)) == ("two/cascade/best", "nobody can")


@virtual
async def test_accept_that_raises_fails_the_run(task: Task) -> None:
    async with ps.Runtime(task=task) as rt:
        error = await failure(rt, ladder, 13)
        assert error.node == "ladder/cascade/accept-1"
        assert str(error.__cause__) == "can't tell"


@virtual
async def test_a_threshold_accepts_by_score(task: Task) -> None:
    @ps.workflow
    def by_score(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        return flow.cascade((cheap, better), x, accept=ps.Threshold(score, at=0.2))

    @ps.workflow
    def no_number(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        return flow.cascade((cheap, better), x, accept=ps.Threshold(lambda _: "x", at=0.2))  # type: ignore[arg-type, return-value]  # on purpose

    async with ps.Runtime(task=task) as rt:
        assert [await rt.run(by_score, x) for x in (20, 19)] == [20, 190]
        error = await failure(rt, no_number, 1)
        assert isinstance(error.__cause__, TypeError)
        assert error.node == "no_number/cascade/accept-1"


@virtual
async def test_tiers_may_be_workflows_whose_inside_fails(task: Task) -> None:
    @ps.workflow
    def deep(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        return flow.call(more, flow.call(better, flow.call(cheap, x)))

    @ps.workflow
    def w(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        return flow.cascade((deep, best), x, accept=good)

    async with ps.Runtime(task=task) as rt:
        assert [await rt.run(w, x) for x in (2, 1, 3)] == [21, 100, 300]


@virtual
async def test_exploring_runs_the_next_tier_too_and_contains_its_failure(task: Task) -> None:
    @ps.workflow
    def w(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        return flow.cascade((cheap, best), x, accept=lambda _: True, explore=0.5)

    async with ps.Runtime(task=task, seed=1) as rt:
        explored = 0
        for x in range(100):
            run = await rt.start(w, x % 10)
            assert await run.result() == x % 10
            explored += any(
                "explore-1" in it.node
                for it in await run.history()
                if it.kind in ("done", "failed")
            )
        assert 30 < explored < 70
        assert rt._core.object_count() == 0


@virtual
async def test_a_fallback_takes_over_and_knows_why(task: Task) -> None:
    seen: list[tuple[BaseException | None, str, int]] = []

    @ps.step
    async def rescue(x: int, ctx: ps.Context) -> int:
        seen.append((ctx.failure, ctx.idempotency_key, ctx.attempt))
        return -x

    @ps.workflow
    def w(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        return flow.call(more, flow.call(oops, x, fallback=rescue))

    async with ps.Runtime(task=task) as rt:
        run = await rt.start(w, 5, run_id="r")
        assert await run.result() == -4
        ((error, key, attempt),) = seen
        assert isinstance(error, Oops)
        assert (str(error), key, attempt) == ("no 5", "r:w/oops/fallback", 1)
        assert await done(run) == ["w/oops/fallback", "w/more"]
        assert rt._core.object_count() == 0


@virtual
async def test_every_final_failure_goes_to_the_fallback(task: Task) -> None:
    seen: list[BaseException | None] = []
    desk = ps.Queue("desk", concurrency=1)

    @ps.step
    async def rescue(x: int, ctx: ps.Context) -> int:
        seen.append(ctx.failure)
        return -x

    @ps.step(fallback=rescue)
    async def hopeless(x: int) -> int:
        raise ps.NonRetryable("never")

    @ps.step(fallback=rescue)
    async def broken(x: int) -> int:
        return "text"  # type: ignore[return-value]  # on purpose

    @ps.step(fallback=rescue, timeout=1.0, retry=ONCE)
    async def slow(x: int) -> int:
        await asyncio.sleep(60)
        return x

    @ps.step(fallback=rescue, queue=desk, queue_timeout=1.0)
    async def queued(x: int) -> int:
        return x

    @ps.step(queue=desk)
    async def hold(x: float) -> float:
        await asyncio.sleep(x)
        return x

    async with ps.Runtime(task=task) as rt:
        holding = await rt.start(hold, 10.0)
        await asyncio.sleep(0.5)
        for step in (hopeless, broken, slow, queued):
            assert await rt.run(step, 4) == -4
        never, contract, timeout, waited = seen
        assert isinstance(never, ps.NonRetryable)
        assert isinstance(contract, ps.ContractError)
        assert isinstance(timeout, TimeoutError)
        assert isinstance(waited, TimeoutError)
        assert "queue_timeout" in str(waited)
        await holding.result()


@virtual
async def test_retries_come_before_the_fallback_and_it_has_its_own(task: Task) -> None:
    calls: list[str] = []
    twice = ps.RetryPolicy(max_attempts=2, initial_interval=1.0, jitter="none")

    @ps.step(retry=twice)
    async def rescue(x: int, ctx: ps.Context) -> int:
        calls.append(f"rescue {ctx.attempt} {ctx.failure}")
        if ctx.attempt == 1:
            raise Oops("second")
        return -x

    @ps.step(retry=twice, fallback=rescue)
    async def first(x: int, ctx: ps.Context) -> int:
        calls.append(f"first {ctx.attempt} {ctx.failure}")
        raise Oops(f"first {ctx.attempt}")

    async with ps.Runtime(task=task) as rt:
        assert await rt.run(first, 4) == -4
        assert calls == ["first 1 None", "first 2 None", "rescue 1 first 2", "rescue 2 first 2"]
        assert now() == pytest.approx(2)


@virtual
async def test_a_fallback_that_fails_fails_the_run_and_may_have_one_of_its_own(task: Task) -> None:
    @ps.step(retry=ONCE, fallback=more)
    async def second(x: int) -> int:
        raise Oops("second")

    @ps.step(retry=ONCE, fallback=second)
    async def first(x: int) -> int:
        raise Oops("first")

    @ps.step(retry=ONCE, fallback=oops)
    async def doomed(x: int) -> int:
        raise ValueError

    @ps.workflow
    def w(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        return flow.call(first, x)

    async with ps.Runtime(task=task) as rt:
        run = await rt.start(w, 1)
        assert await run.result() == 2
        assert await done(run) == ["w/first/fallback/fallback"]
        error = await failure(rt, doomed, 1)
        assert error.node == "doomed/doomed/fallback"
        assert isinstance(error.__cause__, Oops)


@virtual
async def test_a_fallback_in_every_item(task: Task) -> None:
    seen: list[str] = []

    @ps.step
    async def rescue(x: int, ctx: ps.Context) -> int:
        seen.append(f"{ctx.path}: {ctx.failure}")
        return -x

    @ps.workflow
    def w(flow: ps.Flow, xs: ps.Node[list[int]]) -> ps.Node[list[int]]:
        return flow.map(better, xs, fallback=rescue)

    async with ps.Runtime(task=task) as rt:
        assert await rt.run(w, [3, 1, 3]) == [-3, 10, -3]
        assert sorted(seen) == [
            "w/better[0]/fallback: better can't",
            "w/better[2]/fallback: better can't",
        ]
        assert rt._core.object_count() == 0


@virtual
async def test_a_failure_may_be_a_skip(task: Task) -> None:
    @ps.workflow
    def inner(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        return flow.call(double, flow.call(better, x))

    @ps.workflow
    def w(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[list[int | None]]:
        step = flow.call(better, x, on_failure="skip")
        flow_ = flow.call(inner, x, on_failure="skip")
        items = flow.map(better, flow.collect(x, x), on_failure="skip", name="items")
        looped = flow.loop(
            better, x, until=lambda it: it > 1_000, max_iterations=9, on_failure="skip", name="loop"
        )
        count = flow.optional(flow.apply(len, items))
        return flow.collect(
            flow.optional(flow.call(more, step)), flow.optional(flow_), count, flow.optional(looped)
        )

    async with ps.Runtime(task=task) as rt:
        assert await rt.run(w, 1) == [11, 20, 2, 10_000]
        assert await rt.run(w, 3) == [None, None, None, None]
        assert rt._core.object_count() == 0


@virtual
async def test_a_skipped_failure_cancels_what_else_is_in_its_call(task: Task) -> None:
    ended: list[float] = []

    @ps.step
    async def long(x: int) -> int:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append(now())
        return x

    @ps.workflow
    def inner(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        flow.call(long, x)
        return flow.call(better, flow.sleep(x, 1.0))

    @ps.workflow
    def w(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int | None]:
        return flow.optional(flow.call(inner, x, on_failure="skip"))

    async with ps.Runtime(task=task) as rt:
        assert await rt.run(w, 3) is None
        assert ended == [pytest.approx(1)]
        assert rt._core.object_count() == 0


@virtual
async def test_a_deadline_is_not_contained(task: Task) -> None:
    @ps.workflow
    def w(flow: ps.Flow, x: ps.Node[float]) -> ps.Node[float | None]:
        return flow.optional(flow.call(nap, x, on_failure="skip"))

    async with ps.Runtime(task=task) as rt:
        with pytest.raises(ps.DeadlineExceeded):
            await rt.run(w, 60.0, deadline=1.0)
        assert now() == pytest.approx(1)
