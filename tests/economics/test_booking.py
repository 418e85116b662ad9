"""Booking: what `ctx.spend` takes, what it refuses, when and from where."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from math import inf, nan
from typing import Any

import pytest

import penstock as ps
from economics.purse import PRICES, Purse, audited, wasted
from flow.parts import ONCE
from loops import Task, both_loops, virtual
from penstock._money import NANOS_MAX
from penstock._spend import SpendRefused

Act = Callable[[ps.Context], object]

REFUSED: dict[str, tuple[Act, str, str]] = {
    "negative tokens": (
        lambda ctx: ctx.spend.tokens("small", input=-1),
        "input is -1",
        "give a whole number from 0",
    ),
    "half a token": (
        lambda ctx: ctx.spend.tokens("small", input=1.5),  # type: ignore[arg-type]
        "input is 1.5",
        "give a whole number from 0",
    ),
    "true tokens": (
        lambda ctx: ctx.spend.tokens("small", output=True),
        "output is True",
        "give a whole number from 0",
    ),
    "nan tokens": (
        lambda ctx: ctx.spend.tokens("small", cached=nan),  # type: ignore[arg-type]
        "cached is nan",
        "give a whole number from 0",
    ),
    "more cached than sent": (
        lambda ctx: ctx.spend.tokens("small", input=10, cached=6, cache_write=5),
        "cached (6) and cache_write (5) are more than input (10)",
        "give input with both of them in it",
    ),
    "too many tokens": (
        lambda ctx: ctx.spend.tokens("small", input=2**63),
        "input is 9223372036854775808",
        "give a whole number from 0",
    ),
    "more than 64 bits of money": (
        lambda ctx: ctx.spend.tool("search", 10**15),
        "nano-dollars",
        "book smaller parts",
    ),
    "an unknown model": (
        lambda ctx: ctx.spend.tokens("huge", input=1),
        "'huge' has no price, so that input can't be booked",
        "give it one in PriceBook(rates={'models': ...}), or say unpriced=True",
    ),
    "an unknown mode": (
        lambda ctx: ctx.spend.tokens("small", input=1, mode="batch"),
        "'small' has no price in mode 'batch'",
        "unpriced=True",
    ),
    "no mode at all": (
        lambda ctx: ctx.spend.tokens("small", input=1, mode=5),  # type: ignore[arg-type]
        "mode is 5",
        "give a string",
    ),
    "a resource that its model has no price for": (
        lambda ctx: ctx.spend.gpu(1.0, 80.0, "a10"),
        "'gpu_gib_seconds' of 'a10' has no price",
        "PriceBook(rates={'gpu': ...})",
    ),
    "an unknown tool": (
        lambda ctx: ctx.spend.tool("hammer"),
        "'hammer' has no price, so that tool",
        "PriceBook(rates={'tools': ...})",
    ),
    "an unknown index": (
        lambda ctx: ctx.spend.retrieval(3),
        "'default' has no price, so that retrieval",
        "PriceBook(rates={'retrieval': ...})",
    ),
    "an unknown role": (
        lambda ctx: ctx.spend.human(3, "boss"),
        "'boss' has no price, so that human_minutes",
        "PriceBook(rates={'humans': ...})",
    ),
    "an unknown resource": (
        lambda ctx: ctx.spend.units("mail"),
        "'mail' has no price",
        "PriceBook(rates={'resources': ...})",
    ),
    "no model": (
        lambda ctx: ctx.spend.tokens("", input=1),
        "the name of the model is ''",
        "not empty",
    ),
    "a model that is no name": (
        lambda ctx: ctx.spend.tokens(["small"], input=1),  # type: ignore[arg-type]
        "the name of the model is ['small']",
        "not empty",
    ),
    "negative calls": (lambda ctx: ctx.spend.tool("search", -2), "calls is -2", "from 0"),
    "infinite seconds": (lambda ctx: ctx.spend.gpu(inf, name="a10"), "seconds is inf", "finite"),
    "negative time": (
        lambda ctx: ctx.spend.gpu(timedelta(seconds=-1), name="a10"),
        "seconds is datetime.timedelta(",
        "0 or more",
    ),
    "nan minutes": (lambda ctx: ctx.spend.human(nan, "desk"), "minutes is nan", "finite"),
    "true minutes": (lambda ctx: ctx.spend.human(True, "desk"), "minutes is True", "number"),
    "endless minutes": (
        lambda ctx: ctx.spend.human("1e40", "desk"),
        "minutes is 1e+40",
        "smaller parts",
    ),
    "negative dollars": (lambda ctx: ctx.spend.usd(-0.01, "x"), "amount is -0.01", "0 or more"),
    "nan dollars": (lambda ctx: ctx.spend.usd(nan, "x"), "amount is nan", "finite"),
    "infinite dollars": (lambda ctx: ctx.spend.usd(inf, "x"), "amount is inf", "finite"),
    "true dollars": (lambda ctx: ctx.spend.usd(True, "x"), "amount is True", "number"),
    "too many dollars": (lambda ctx: ctx.spend.usd(1e10, "x"), "amount is 1", "at most"),
    "dollars for nothing": (
        lambda ctx: ctx.spend.usd(1, ""),
        "the name of the resource is ''",
        "not empty",
    ),
    "dollars for tokens": (
        lambda ctx: ctx.spend.usd(1, "input"),
        "resource is 'input', which is counted by the methods of ctx.spend",
        "a name of your own",
    ),
    "a negative context": (lambda ctx: ctx.spend.context(-1), "tokens is -1", "from 0"),
}

BOOK = ps.PriceBook(
    rates={**dict(PRICES.rates), "gpu": {"a10": 0.001}},
    package=None,
)


@pytest.mark.parametrize("name", REFUSED)
@virtual
async def test_what_cannot_be_meant_is_refused_and_books_nothing(task: Task, name: str) -> None:
    act, said, remedy = REFUSED[name]
    caught: list[SpendRefused] = []

    @ps.step
    async def spend(x: int, ctx: ps.Context) -> int:
        with pytest.raises(SpendRefused) as refused:
            act(ctx)
        assert ctx.spend.lines == ()
        caught.append(refused.value)
        return x

    async with ps.Runtime(task=task, prices=BOOK) as rt:
        run = await rt.start(spend, 1)
        await run.result()
        assert said in caught[0].what
        assert remedy in (caught[0].remedy or "")
        assert isinstance(caught[0], ps.DefinitionError)
        assert (await run.spend()).lines == ()
        economics = (await rt.scorecard()).whole.economics
        assert (economics.cost.lines, economics.cash) == (0, None)


@virtual
async def test_a_refused_call_fails_the_step_and_is_not_paid_for_again(task: Task) -> None:
    purse, calls = Purse(), list[int]()

    @ps.step(retry=ps.RetryPolicy(max_attempts=5))
    async def spend(x: int, ctx: ps.Context) -> int:
        calls.append(ctx.attempt)
        purse.pay(ctx, 5)
        ctx.spend.tokens("huge", input=1)
        return x

    async with ps.Runtime(task=task, prices=PRICES) as rt:
        run = await rt.start(spend, 1)
        with pytest.raises(ps.RunFailed, match="give it one in PriceBook"):
            await run.result()
        assert calls == [1]
        assert wasted(await audited(rt, purse, run)) == {"failed_run": 5}


@virtual
async def test_what_has_no_price_shows_as_unpriced_and_never_as_zero(task: Task) -> None:
    @ps.step
    async def ask(x: int, ctx: ps.Context) -> int:
        ctx.spend.tokens("huge", input=100, output=5, unpriced=True)
        ctx.spend.tokens("small", input=1_000)
        return x

    async with ps.Runtime(task=task, prices=PRICES) as rt:
        run = await rt.start(ask, 1)
        await run.result()
        spend = await run.spend()
        assert spend.usd == ps.usd("0.00025")
        assert spend.unpriced == 2
        lines = {(line.resource, line.name): line for line in spend.lines}
        assert lines["input", "huge"].units == 100
        assert lines["input", "huge"].unpriced == 1
        assert lines["input", "huge"].rate == ""
        cost = (await rt.scorecard()).whole.economics.cost
        assert (cost.lines, cost.unpriced) == (3, 2)
        assert cost.unpriced_share == pytest.approx(2 / 3)
        resources = (await rt.scorecard()).whole.economics.resources
        assert resources["input:huge"].unpriced == 1


@virtual
async def test_a_book_may_say_that_what_it_does_not_know_is_unpriced(task: Task) -> None:
    book = ps.PriceBook(unknown="unpriced", package=None)

    @ps.step
    async def ask(x: int, ctx: ps.Context) -> int:
        ctx.spend.tokens("huge", input=100)
        ctx.spend.tool("hammer", 2)
        ctx.spend.human(1.5, "boss")
        ctx.spend.gpu(timedelta(seconds=2), 10)
        return x

    async with ps.Runtime(task=task, prices=book) as rt:
        run = await rt.start(ask, 1)
        await run.result()
        spend = await run.spend()
        assert (spend.usd, spend.unpriced) == (ps.usd(0), 5)
        assert {line.resource: line.units for line in spend.lines} == {
            "input": 100,
            "tool": 2,
            "human_minutes": 1_500_000,
            "gpu_seconds": 2_000_000,
            "gpu_gib_seconds": 20_000_000,
        }


@virtual
async def test_nothing_of_a_resource_is_no_line(task: Task) -> None:
    @ps.step
    async def ask(x: int, ctx: ps.Context) -> int:
        ctx.spend.tokens("small")
        ctx.spend.tokens("huge", input=0)
        ctx.spend.tool("search", 0)
        ctx.spend.human(0, "desk")
        return x

    async with ps.Runtime(task=task, prices=PRICES) as rt:
        run = await rt.start(ask, 1)
        await run.result()
        assert (await run.spend()).lines == ()


@virtual
async def test_totals_that_would_leave_64_bits_are_refused(task: Task) -> None:
    purse = Purse()

    @ps.step
    async def spend(x: int, ctx: ps.Context) -> int:
        ctx.spend.usd(Decimal(NANOS_MAX).scaleb(-9), "gold")
        purse.note(ctx, NANOS_MAX)
        with pytest.raises(SpendRefused, match=r"more than 9\.2 billion dollars in all"):
            ctx.spend.usd("1e-9", "gold")
        ctx.spend.usd(0, "gold")
        return x

    async with ps.Runtime(task=task, prices=PRICES) as rt:
        run = await rt.start(spend, 1)
        await run.result()
        assert wasted(await audited(rt, purse, run)) == {"useful": NANOS_MAX}


@virtual
async def test_spend_after_the_attempt_is_refused_with_the_remedy(task: Task) -> None:
    kept: list[ps.Context] = []

    @ps.step
    async def leak(x: int, ctx: ps.Context) -> int:
        ctx.spend.usd(1, "thing")
        kept.append(ctx)
        return x

    async with ps.Runtime(task=task, prices=PRICES) as rt:
        run = await rt.start(leak, 1)
        await run.result()
        with pytest.raises(ps.PenstockError, match="the attempt has ended") as caught:
            kept[0].spend.usd(1, "thing")
        assert caught.value.remedy is not None
        assert "book before the step returns" in caught.value.remedy
        assert len(kept[0].spend.lines) == 1
        assert (await run.spend()).usd == ps.usd(1)
        cash = (await rt.scorecard()).whole.economics.cash
        assert cash is not None
        assert cash["thing"].nanos == 10**9


@virtual
async def test_a_retry_is_not_charged_for_the_attempt_before_it(task: Task) -> None:
    """A context that an earlier attempt has kept is that of the earlier attempt."""
    kept: list[ps.Context] = []

    @ps.step(retry=ps.RetryPolicy(max_attempts=2))
    async def leak(x: int, ctx: ps.Context) -> int:
        kept.append(ctx)
        if ctx.attempt == 1:
            raise ValueError(x)
        with pytest.raises(ps.PenstockError, match="the attempt has ended"):
            kept[0].spend.usd(1, "thing")
        ctx.spend.usd(2, "thing")
        return x

    async with ps.Runtime(task=task, prices=PRICES) as rt:
        run = await rt.start(leak, 1)
        await run.result()
        assert [(line.attempt, line.usd) for line in (await run.spend()).lines] == [(2, ps.usd(2))]


@both_loops
async def test_spend_from_threads_adds_up(task: Task) -> None:
    purse = Purse()

    @ps.step(retry=ONCE)
    def plain(x: int, ctx: ps.Context) -> int:
        for _ in range(50):
            ctx.spend.usd("7e-9", "thing")
        return x

    @ps.step(retry=ONCE)
    async def pool(x: int, ctx: ps.Context) -> int:
        gate = threading.Barrier(4)

        def work() -> None:
            gate.wait()
            for _ in range(50):
                ctx.spend.tokens("small", input=4)

        with ThreadPoolExecutor(4) as threads:
            await asyncio.gather(
                *(asyncio.get_running_loop().run_in_executor(threads, work) for _ in range(4))
            )
        assert len(ctx.spend.lines) == 200
        return x

    @ps.workflow
    def both(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        return flow.apply(lambda a, b: a + b, flow.call(plain, x), flow.call(pool, x))

    async with ps.Runtime(task=task, prices=PRICES) as rt:
        runs = await rt.start_many(both, range(8))
        for run in runs:
            await run.result()
            purse.runs[run.run_id] = 50 * 7 + 200 * 1_000
        purse.paths.update({"both/plain": 8 * 350, "both/pool": 8 * 200_000})
        assert wasted(await audited(rt, purse, *runs)) == {"useful": purse.nanos}


@virtual
async def test_the_size_of_a_context_is_its_largest(task: Task) -> None:
    """Sizes were added up."""

    @ps.step
    async def ask(x: int, ctx: ps.Context) -> int:
        for tokens in (100, 50, 300, 300, 299):
            ctx.spend.context(tokens)
        return x

    async with ps.Runtime(task=task, prices=PRICES) as rt:
        run = await rt.start(ask, 1)
        await run.result()
        (line,) = (await run.spend()).lines
        assert (line.resource, line.units, line.usd) == ("context", 300, ps.usd(0))


@virtual
async def test_a_price_that_changes_while_a_step_runs_holds_from_midnight_on(task: Task) -> None:

    async with ps.Runtime(task=task) as probe:
        now = probe._core.now()
    midnight = (now // 86_400 + 1) * 86_400
    book = ps.PriceBook(
        rates={
            "tools": {"t": [1, {"usd": 3, "from": datetime.fromtimestamp(midnight, UTC)}]},
        },
        package=None,
    )

    @ps.step
    async def work(x: int, ctx: ps.Context) -> int:
        ctx.spend.tool("t")
        await asyncio.sleep(midnight - now - 1.0)
        ctx.spend.tool("t")
        await asyncio.sleep(1.0)
        ctx.spend.tool("t")
        return x

    async with ps.Runtime(task=task, prices=book) as rt:
        run = await rt.start(work, 1)
        await run.result()
        lines = (await run.spend()).lines
        assert [(line.units, line.usd) for line in lines] == [(2, ps.usd(2)), (1, ps.usd(3))]
        assert len({line.rate for line in lines}) == 2


def test_prices_that_are_none_are_refused() -> None:
    wrong: Any = {"models": {}}
    with pytest.raises(ps.DefinitionError, match=r"Runtime.prices is") as caught:
        ps.Runtime(prices=wrong)
    assert caught.value.remedy == "pass ps.PriceBook(...), or PriceBook.load(...)"
