"""Sums: attempts, nodes, runs, tenants and windows come to the same, whatever became of them.

Each test says what was spent and what it was good for, to the nano-dollar.
"""

from __future__ import annotations

import asyncio
import random
import time
from typing import Any

import pytest

import penstock as ps
from economics.purse import PRICES, Purse, audited, wasted
from flow.parts import ONCE, Oops, until
from loops import Task, virtual


def runtime(task: Task, **options: Any) -> ps.Runtime:
    return ps.Runtime(seed=1, task=task, prices=PRICES, **options)


@virtual
async def test_what_a_run_spends_is_on_its_attempts_by_resource(task: Task) -> None:
    @ps.step
    async def ask(x: int, ctx: ps.Context) -> int:
        ctx.spend.tokens("small", input=1_001, cached=500, output=7)
        ctx.spend.tokens("small", input=1_001, cached=500, output=7)
        ctx.spend.tool("search", 3)
        return x

    async with runtime(task) as rt:
        run = await rt.start(ask, 1, tenant="acme")
        await run.result()
        spend = await run.spend()
        told = {
            (line.node, line.attempt, line.resource, line.name): (line.units, line.usd.nanos)
            for line in spend.lines
        }
        assert told == {
            ("ask/ask", 1, "input", "small"): (1_002, 2 * 125_250),
            ("ask/ask", 1, "cached", "small"): (1_000, 2 * 12_500),
            ("ask/ask", 1, "output", "small"): (14, 2 * 14_000),
            ("ask/ask", 1, "tool", "search"): (3, 15_000_000),
        }
        assert spend.usd == ps.usd("0.0153035")
        assert (spend.unpriced, repr(spend)) == (0, "<RunSpend $0.0153035, 4 lines>")
        economics = (await rt.scorecard()).whole.economics
        assert economics.cost.nanos == 15_303_500
        assert {name: it.nanos for name, it in economics.resources.items()} == {
            "tool:search": 15_000_000,
            "input:small": 250_500,
            "output:small": 28_000,
            "cached:small": 25_000,
        }
        assert economics.steps["ask"]["tool:search"].units == 3
        assert economics.tenants["acme"].nanos == 15_303_500


@virtual
async def test_failed_attempts_are_waste_and_the_last_one_is_not(task: Task) -> None:
    purse = Purse()

    @ps.step(retry=ps.RetryPolicy(max_attempts=3, initial_interval=1.0))
    async def flaky(x: int, ctx: ps.Context) -> int:
        purse.pay(ctx, 10**ctx.attempt)
        if ctx.attempt < 3:
            raise Oops(ctx.attempt)
        return x

    async with runtime(task) as rt:
        run = await rt.start(flaky, 1)
        await run.result()
        card = await audited(rt, purse, run)
        assert wasted(card) == {"failed_attempt": 110, "useful": 1_000}
        assert card.whole.reliability.retry_cost.part == 1_100
        assert card.whole.reliability.attempts == {"first": 1, "retry": 2}
        assert [(line.attempt, line.usd.nanos) for line in (await run.spend()).lines] == [
            (1, 10),
            (2, 100),
            (3, 1_000),
        ]


@virtual
async def test_all_of_a_run_that_fails_is_waste(task: Task) -> None:
    purse = Purse()

    @ps.step(retry=ONCE)
    async def pay(x: int, ctx: ps.Context) -> int:
        purse.pay(ctx, 7)
        return x

    @ps.step(retry=ONCE)
    async def fail(x: int, ctx: ps.Context) -> int:
        purse.pay(ctx, 100)
        raise Oops(x)

    @ps.workflow
    def both(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        return flow.call(fail, flow.call(pay, x))

    async with runtime(task) as rt:
        run = await rt.start(both, 1)
        with pytest.raises(ps.RunFailed):
            await run.result()
        fine = await rt.start(pay, 1)
        await fine.result()
        card = await audited(rt, purse, run, fine)
        assert wasted(card) == {"failed_run": 107, "useful": 7}
        assert card.whole.economics.of_successes == 7
        assert card.whole.economics.cost_per_success == pytest.approx(114e-9)


@virtual
async def test_an_attempt_that_runs_out_of_time_is_waste(task: Task) -> None:
    purse = Purse()

    @ps.step(timeout=1.0, retry=ps.RetryPolicy(max_attempts=2, initial_interval=1.0))
    async def slow(x: int, ctx: ps.Context) -> int:
        purse.pay(ctx, 5 if ctx.attempt == 1 else 60)
        await asyncio.sleep(10.0 if ctx.attempt == 1 else 0.1)
        return x

    async with runtime(task) as rt:
        run = await rt.start(slow, 1)
        await run.result()
        card = await audited(rt, purse, run)
        assert wasted(card) == {"failed_attempt": 5, "useful": 60}
        assert card.whole.reliability.timeouts.part == 1


@pytest.mark.parametrize("winner", [1, 2])
@virtual
async def test_the_copy_of_a_hedge_that_loses_is_waste(task: Task, winner: int) -> None:
    purse, seen = Purse(), list[int]()

    @ps.step(hedge=ps.Hedge(after=1.0), queue=ps.Queue("api"))
    async def work(x: int, ctx: ps.Context) -> int:
        seen.append(x)
        copy = len(seen)
        purse.pay(ctx, 3 if copy == winner else 50)
        await asyncio.sleep(2.0 if copy == winner else 100.0)
        return x

    async with runtime(task) as rt:
        run = await rt.start(work, 1)
        await run.result()
        await asyncio.sleep(0)
        card = await audited(rt, purse, run)
        assert wasted(card) == {"useful": 3, "lost": 50}
        copies = {line.usd.nanos: line.copy for line in (await run.spend()).lines}
        assert copies == {3: winner == 2, 50: winner == 1}
        assert card.whole.reliability.attempts["hedge"] == 1


@virtual
async def test_what_a_fallback_spends_is_useful_and_what_it_stands_in_for_is_not(
    task: Task,
) -> None:
    purse = Purse()

    @ps.step
    async def rescue(x: int, ctx: ps.Context) -> int:
        purse.pay(ctx, 4)
        return x

    @ps.step(fallback=rescue, retry=ONCE)
    async def fragile(x: int, ctx: ps.Context) -> int:
        purse.pay(ctx, 30)
        raise Oops(x)

    async with runtime(task) as rt:
        run = await rt.start(fragile, 1)
        await run.result()
        card = await audited(rt, purse, run)
        assert wasted(card) == {"failed_attempt": 30, "useful": 4}
        assert card.whole.reliability.attempts == {"first": 1, "fallback": 1}


@pytest.mark.parametrize("explore", [0.0, 0.999])
@virtual
async def test_the_tiers_of_a_cascade_are_escalation_exploration_or_useful(
    task: Task, explore: float
) -> None:
    purse = Purse()

    @ps.step
    async def cheap(x: int, ctx: ps.Context) -> int:
        purse.pay(ctx, 1)
        return x

    @ps.step
    async def better(x: int, ctx: ps.Context) -> int:
        purse.pay(ctx, 20)
        return x

    @ps.step
    async def best(x: int, ctx: ps.Context) -> int:
        purse.pay(ctx, 300)
        return x

    @ps.workflow
    def ladder(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        return flow.cascade(
            (cheap, better, best), x, accept=lambda x: x > 1, explore=explore, name="ladder"
        )

    async with runtime(task) as rt:
        taken, refused = await rt.start(ladder, 2), await rt.start(ladder, 1)
        await asyncio.gather(taken.result(), refused.result())
        card = await audited(rt, purse, taken, refused)
        if explore:
            assert wasted(card) == {"escalation": 21, "useful": 301, "exploration": 20}
        else:
            assert wasted(card) == {"escalation": 21, "useful": 301}


@virtual
async def test_the_branches_of_a_race_that_lose_are_waste_with_all_their_steps(task: Task) -> None:
    purse = Purse()

    @ps.step
    async def pay(cost: int, ctx: ps.Context) -> int:
        purse.pay(ctx, cost)
        await asyncio.sleep(cost)
        return cost

    @ps.workflow
    def raced(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        slow = flow.call(pay, flow.call(pay, x), name="slow")
        quick = flow.call(pay, flow.constant(3))
        return flow.race(slow, quick)

    async with runtime(task) as rt:
        run = await rt.start(raced, 2)
        await run.result()
        await asyncio.sleep(0)
        assert purse.nanos == 7
        assert wasted(await audited(rt, purse, run)) == {"lost": 4, "useful": 3}


@virtual
async def test_a_branch_that_loses_is_waste_down_to_its_innermost_frame(task: Task) -> None:
    """A loop in a map in a branch: only the frame around it was looked at."""
    purse = Purse()

    @ps.step
    async def pay(x: int, ctx: ps.Context) -> int:
        purse.pay(ctx, 10)
        await asyncio.sleep(1.0)
        return x + 1

    @ps.step
    async def quick(x: int, ctx: ps.Context) -> int:
        purse.pay(ctx, 1)
        await asyncio.sleep(0.5)
        return x

    @ps.step
    async def rest(x: list[int]) -> int:
        await asyncio.sleep(100.0)
        return 0

    @ps.workflow
    def body(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        return flow.loop(pay, x, until=lambda x: x >= 2, max_iterations=3)

    @ps.workflow
    def w(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        slow = flow.call(rest, flow.map(body, flow.constant([0, 0])))
        first = flow.call(quick, flow.sleep(x, 10.0))
        return flow.race(slow, first)

    async with runtime(task) as rt:
        run = await rt.start(w, 1)
        await run.result()
        assert wasted(await audited(rt, purse, run)) == {"lost": 40, "useful": 1}


@virtual
async def test_what_is_undone_and_undoing_it_is_compensation(task: Task) -> None:
    purse = Purse()

    @ps.step
    async def undo(x: int, result: int | None, ctx: ps.Context) -> None:
        purse.pay(ctx, 2)

    @ps.step(compensate=undo)
    async def book(x: int, ctx: ps.Context) -> int:
        purse.pay(ctx, 10)
        return x

    @ps.step(retry=ONCE)
    async def fail(x: int, ctx: ps.Context) -> int:
        purse.pay(ctx, 100)
        raise Oops(x)

    @ps.workflow
    def trip(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        return flow.call(fail, flow.call(book, x))

    @ps.workflow
    def contained(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        first = flow.race(flow.call(fail, flow.call(book, x)), flow.sleep(x, 10.0))
        return flow.apply(abs, first)

    async with runtime(task) as rt:
        bad = await rt.start(trip, 1)
        with pytest.raises(ps.RunFailed):
            await bad.result()
        assert bad.status == "compensated"
        assert wasted(await audited(rt, purse, bad)) == {"failed_run": 112}
        good = await rt.start(contained, 1)
        assert await good.result() == 1
        card = await audited(rt, purse, bad, good)
        assert card.whole.reliability.attempts["compensation"] == 2
        assert wasted(card) == {"failed_run": 112, "compensation": 12, "failed_attempt": 100}


@virtual
async def test_all_of_a_cancelled_run_is_waste_with_what_it_spends_on_its_way_out(
    task: Task,
) -> None:
    purse = Purse()

    @ps.step
    async def clean(x: int, ctx: ps.Context) -> int:
        purse.pay(ctx, 10)
        try:
            await asyncio.sleep(100.0)
        finally:
            purse.pay(ctx, 2)
            await asyncio.sleep(1.0)
            purse.pay(ctx, 300)
        return x

    async with runtime(task) as rt:
        run = await rt.start(clean, 1)
        await asyncio.sleep(1.0)
        assert await run.cancel()
        with pytest.raises(ps.RunCancelled):
            await run.result()
        card = await audited(rt, purse, run)
        assert purse.nanos == 312
        assert wasted(card) == {"failed_run": 312}
        assert card.whole.quality.success.whole == 0, "what a user cancels is no failure"


@virtual
async def test_a_step_that_spends_after_its_run_is_over_is_booked(task: Task) -> None:
    """It lets nobody stop it, and is given up: the run ends, and its money is still told of."""
    purse, ends = Purse(), list[int]()

    @ps.step
    async def stubborn(x: int, ctx: ps.Context) -> int:
        purse.pay(ctx, 10)
        for _ in range(3):
            try:
                await asyncio.sleep(20.0)
            except asyncio.CancelledError:
                purse.pay(ctx, 2)
        purse.pay(ctx, 300)
        ends.append(x)
        return x

    async with runtime(task, cancel_grace=1.0) as rt:
        run = await rt.start(stubborn, 1)
        await asyncio.sleep(1.0)
        await run.cancel()
        with pytest.raises(ps.RunCancelled):
            await run.result()
        assert not ends
        assert wasted(await audited(rt, purse)) == {"failed_run": 12}
        await asyncio.sleep(60.0)
        assert ends
        assert purse.nanos == 312
        card = await audited(rt, purse)
        assert sum(wasted(card).values()) == 312
        assert "useful" not in wasted(card)


@virtual
async def test_a_deadline_that_passes_wastes_the_run(task: Task) -> None:
    purse = Purse()

    @ps.step
    async def slow(x: int, ctx: ps.Context) -> int:
        purse.pay(ctx, 10)
        await asyncio.sleep(100.0)
        return x

    async with runtime(task) as rt:
        run = await rt.start(slow, 1, deadline=5.0)
        with pytest.raises(ps.DeadlineExceeded):
            await run.result()
        card = await audited(rt, purse, run)
        assert wasted(card) == {"failed_run": 10}
        assert card.whole.quality.causes == {"deadline": 1}


@virtual
async def test_items_of_a_map_and_iterations_of_a_loop_have_lines_of_their_own(task: Task) -> None:
    purse = Purse()

    @ps.step(retry=ONCE)
    async def item(x: int, ctx: ps.Context) -> int:
        purse.pay(ctx, 10**x)
        if x == 2:
            raise Oops(x)
        return x + 1

    @ps.workflow
    def many(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        mapped = flow.map(item, flow.constant([1, 2, 3]), tolerated_failures=1)
        last = flow.loop(item, x, until=lambda x: x == 6, max_iterations=9)
        return flow.apply(lambda _, last: last, mapped, last)

    async with runtime(task) as rt:
        run = await rt.start(many, 4)
        await run.result()
        card = await audited(rt, purse, run)
        assert wasted(card) == {"failed_attempt": 100, "useful": 10 + 1_000 + 10_000 + 100_000}
        assert card.whole.reliability.attempts == {"first": 5}
        assert len((await run.spend()).lines) == 5


@virtual
async def test_a_called_workflow_books_to_its_root_and_a_spawned_one_to_itself(task: Task) -> None:
    purse = Purse()

    @ps.step
    async def pay(x: int, ctx: ps.Context) -> int:
        purse.pay(ctx, x)
        return x

    @ps.workflow
    def inner(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        return flow.call(pay, x)

    @ps.workflow
    def outer(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[str]:
        flow.call(inner, x)
        return flow.spawn(inner, flow.constant(30))

    async with runtime(task) as rt:
        run = await rt.start(outer, 4, tenant="acme")
        child = rt.get(await run.result())
        await child.result()
        card = await audited(rt, purse, run, child)
        assert wasted(card) == {"useful": 34}
        by = await rt.scorecard(by="workflow")
        assert {it.name: it.economics.cost.nanos for it in by.groups} == {"outer": 4, "inner": 30}
        tenants = card.whole.economics.tenants
        assert {name: it.nanos for name, it in tenants.items()} == {"acme": 34}


@virtual
async def test_a_service_with_all_kinds_of_trouble_adds_up(task: Task) -> None:
    """Two hundred runs by chance: whatever happens, everything comes to the same."""
    purse, dice = Purse(), random.Random(5)

    async def trouble(x: int, ctx: ps.Context, failures: float) -> int:
        for _ in range(dice.randrange(3)):
            purse.pay(ctx, dice.randrange(10**9))
        await asyncio.sleep(dice.expovariate(1.0))
        purse.pay(ctx, dice.randrange(10**9))
        if dice.random() < failures:
            raise Oops(x)
        return x

    @ps.step
    async def undo(x: int, result: int | None, ctx: ps.Context) -> None:
        await trouble(x, ctx, 0.0)

    @ps.step(retry=ps.RetryPolicy(max_attempts=3), hedge=ps.Hedge(after=1.0), timeout=2.5)
    async def hedged(x: int, ctx: ps.Context) -> int:
        return await trouble(x, ctx, 0.2)

    @ps.step(compensate=undo, retry=ps.RetryPolicy(max_attempts=2))
    async def effect(x: int, ctx: ps.Context) -> int:
        return await trouble(x, ctx, 0.2)

    @ps.step
    async def rescue(x: int, ctx: ps.Context) -> int:
        return await trouble(x, ctx, 0.05)

    @ps.step(fallback=rescue, retry=ONCE)
    async def fragile(x: int, ctx: ps.Context) -> int:
        return await trouble(x, ctx, 0.3)

    @ps.workflow
    def branch(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        return flow.call(effect, flow.call(hedged, x))

    @ps.workflow
    def service(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        first = flow.race(flow.call(branch, x), flow.call(branch, x, name="other"))
        climbed = flow.cascade((fragile, hedged), first, accept=lambda _: dice.random() < 0.5)
        mapped = flow.map(fragile, flow.apply(lambda x: [x] * 3, climbed), tolerated_failures=3)
        return flow.apply(len, mapped)

    async with runtime(task, cancel_grace=0.5) as rt:
        runs = [
            await rt.start(service, n, tenant=dice.choice(["acme", "umbrella"]), run_id=f"r{n}")
            for n in range(200)
        ]
        await asyncio.sleep(1.0)
        for run in dice.sample(runs, 20):
            await run.cancel()
        await asyncio.gather(*(run.result() for run in runs), return_exceptions=True)
        await until(lambda: rt._core.running() == 0)
        card = await audited(rt, purse, *runs)
        expected = {"useful", "failed_run", "failed_attempt", "lost", "escalation", "compensation"}
        assert expected <= set(wasted(card))
        assert {run.status for run in runs} >= {"succeeded", "cancelled"}


@virtual
async def test_many_items_that_spend_do_not_take_the_square_of_the_time(task: Task) -> None:
    """Each entry was held against every other: 16,000 items with four lines each took 6 s."""
    purse = Purse()

    @ps.step
    async def ask(x: int, ctx: ps.Context) -> int:
        ctx.spend.tokens("small", input=1_000, cached=400, output=10)
        purse.note(ctx, 180_000)
        return x

    @ps.workflow
    def many(flow: ps.Flow, xs: ps.Node[list[int]]) -> ps.Node[int]:
        return flow.apply(len, flow.map(ask, xs))

    async with runtime(task) as rt:
        run = await rt.start(many, list(range(16_000)))
        began = time.perf_counter()
        await run.result()
        assert time.perf_counter() - began < 3.0
        assert wasted(await audited(rt, purse, run)) == {"useful": 16_000 * 180_000}
