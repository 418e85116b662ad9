"""Restarts: a store that is closed or killed loses no figures, and counts none twice."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import penstock as ps
from economics import scenes
from economics.purse import PRICES, Purse, audited, balanced, wasted
from economics.scenes import cost_of, play
from flow.parts import ONCE, Oops
from penstock._prices import Snapshot
from penstock._scorecard import Scorecard
from penstock._stored import StoreView
from penstock.testing import VirtualClock

kills = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no SIGKILL")
KILLED = -signal.SIGKILL


async def counted(path: Path) -> tuple[Scorecard, Counter[str]]:
    """What the store says once all runs are over: the scorecard, and nano-dollars by run."""
    async with scenes.runtime(path) as rt:
        await rt.join()
        found: Counter[str] = Counter()
        for info in await rt.runs(limit=None):
            found[info.run_id] = (await rt.get(info.run_id).spend()).usd.nanos
        return await rt.scorecard(by="tenant"), found


def exact(path: Path) -> tuple[Scorecard, Counter[str]]:
    """The same, twice: looking at it, closing and opening do not change it."""
    first, spent = asyncio.run(counted(path))
    again, spent_again = asyncio.run(counted(path))
    assert spent == spent_again
    assert balanced(first.whole) == balanced(again.whole) == spent.total()
    assert sum(balanced(group) for group in again.groups) == spent.total()
    assert first.whole.accepted == again.whole.accepted == len(spent)
    assert again.whole.quality.ended == {"succeeded": len(spent)}
    return again, spent


@pytest.mark.parametrize("durability", ["sync", "async"])
@kills
def test_what_was_promised_is_counted_once_however_it_goes_down(
    tmp_path: Path, durability: str
) -> None:
    path = tmp_path / "shop.db"
    promised: Counter[str] = Counter()
    for life, how in enumerate(("before figures", "at figures", "close", "behind figures")):
        first, ends = 10 * life, 0 if how == "close" else KILLED
        promised += play("serve", path, first, first + 9, how, durability, ends=ends)
    card, spent = exact(path)
    if durability != "async":
        assert promised == spent, "each that was told of is there, and no other"
    assert all(nanos == cost_of(int(run.removeprefix("order-"))) for run, nanos in spent.items())
    retries = sum(int(run.removeprefix("order-")) % 3 for run in spent)
    assert card.whole.reliability.attempts == {"first": 2 * len(spent), "retry": retries}
    waste = sum(
        order % 3 * (1_000_000 + order)
        for order in (int(run.removeprefix("order-")) for run in spent)
    )
    assert wasted(card) == {"useful": spent.total() - waste, "failed_attempt": waste}


@kills
def test_what_is_spent_after_a_run_is_over_outlives_a_kill(tmp_path: Path) -> None:
    """No record tells of it: it was lost if the process went down within ten seconds."""
    path = tmp_path / "late.db"
    play("spend_late", path, ends=KILLED)

    async def looked() -> Scorecard:
        async with ps.Runtime(path, workflows=[scenes.stubborn]) as rt:
            return await rt.scorecard()

    for _ in range(2):
        card = asyncio.run(looked()).whole
        assert card.economics.cash is not None
        assert card.economics.cash["patience"].nanos == 37
        assert card.economics.waste.total == 37
        assert (card.economics.waste.failed_run, card.economics.waste.failed_attempt) == (7, 30)


@kills
def test_runs_that_keep_no_records_are_counted_as_far_as_figures_go(tmp_path: Path) -> None:
    """With "exit" nothing is written of what attempts do: ten seconds of figures may be lost."""
    path = tmp_path / "shop.db"
    play("serve", path, 0, 9, "before figures", "exit", ends=KILLED)
    kept = play("serve", path, 10, 19, "at figures", "exit", ends=KILLED)
    kept += play("serve", path, 20, 29, "close", "exit")
    kept += play("serve", path, 30, 39, "behind figures", "exit", ends=KILLED)
    del kept["order-39"]
    for _ in range(2):
        card, _ = asyncio.run(counted(path))
        assert balanced(card.whole) == kept.total()
        assert card.whole.quality.ended == {"succeeded": 9 + 9 + 9 + 10}


@kills
def test_an_attempt_that_is_cut_off_is_paid_twice_and_once_for_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "shop.db"
    monkeypatch.chdir(tmp_path)
    promised = play("serve", path, 3, 4, "under an attempt", "sync", ends=KILLED)
    (tmp_path / "waiting.seen").touch()
    card, spent = exact(path)
    assert spent == {**promised, "waiting": 14}
    assert card.whole.reliability.attempts["repeat"] == 1
    assert card.whole.reliability.recovered.part == 1
    assert wasted(card)["failed_attempt"] == (1_000_000 + 4) + 7  # order 4 fails once


@kills
def test_an_attempt_whose_end_is_lost_is_paid_twice_and_once_for_nothing(tmp_path: Path) -> None:
    """It was not under way any more when the process went down: both times were taken for one."""
    path = tmp_path / "shop.db"
    play("lose_an_end", path, ends=KILLED)
    card, spent = exact(path)
    assert spent == {"losing": 14}
    assert card.whole.reliability.attempts == {"first": 2, "repeat": 1}
    assert wasted(card) == {"failed_attempt": 7, "useful": 7}


@kills
def test_many_kills_at_any_moment_lose_nothing_and_count_nothing_twice(tmp_path: Path) -> None:
    path = tmp_path / "shop.db"
    promised: Counter[str] = Counter()
    for life in range(8):
        promised += play("suffer", path, 10_000 * life, 10_000, life, ends=KILLED)
    assert promised
    _, spent = exact(path)
    for run, nanos in promised.items():
        assert spent[run] == nanos
    for run, nanos in spent.items():
        # Attempts that a kill cut off are paid for again.
        assert nanos >= cost_of(int(run.removeprefix("order-")))


def virtual(main: Any) -> Any:
    return VirtualClock().run(main)


def test_an_attempt_that_the_end_of_its_runtime_interrupts_goes_on_and_pays_again(
    tmp_path: Path,
) -> None:
    purse, seen = Purse(), list[int]()

    @ps.step(effects="idempotent")
    async def long(x: int, ctx: ps.Context) -> int:
        seen.append(ctx.attempt)
        purse.pay(ctx, 10 if len(seen) == 1 else 300)
        await asyncio.sleep(1_000.0 if len(seen) == 1 else 1.0)
        return x

    def runtime() -> ps.Runtime:
        return ps.Runtime(tmp_path / "s.db", workflows=[long], prices=PRICES, grace=1.0)

    async def first() -> None:
        async with runtime() as rt:
            run = await rt.start(long, 1, run_id="r")
            await asyncio.sleep(5.0)
            assert (await run.spend()).usd.nanos == 10

    async def then() -> None:
        async with runtime() as rt:
            run = rt.get("r")
            await run.result()
            card = await audited(rt, purse, run)
            assert wasted(card) == {"failed_attempt": 10, "useful": 300}
            assert card.whole.reliability.attempts == {"first": 1, "repeat": 1}

    virtual(first())
    virtual(then())
    assert purse.nanos == 310


@pytest.mark.parametrize("looked", [False, True], ids=["unseen", "with figures between"])
def test_a_run_that_is_tried_again_is_counted_as_it_ends_at_last(
    tmp_path: Path, looked: bool
) -> None:
    purse = Purse()

    @ps.step(effects="idempotent")
    async def pay(x: int, ctx: ps.Context) -> int:
        purse.pay(ctx, 10)
        return x

    @ps.step(effects="idempotent", retry=ONCE)
    async def works_later(x: int, ctx: ps.Context) -> int:
        purse.pay(ctx, 200 if (tmp_path / "fine").exists() else 3_000)
        if not (tmp_path / "fine").exists():
            raise Oops(x)
        return x

    @ps.workflow(version="1")
    def both(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        return flow.call(works_later, flow.call(pay, x))

    def runtime() -> ps.Runtime:
        return ps.Runtime(tmp_path / "s.db", workflows=[both], prices=PRICES)

    async def fail() -> None:
        async with runtime() as rt:
            run = await rt.start(both, 1, run_id="r")
            with pytest.raises(ps.RunFailed):
                await run.result()
            if looked:
                card = await audited(rt, purse, run)
                assert wasted(card) == {"failed_run": 3_010}

    async def again() -> None:
        async with runtime() as rt:
            run = rt.get("r")
            assert await run.retry()
            assert await run.result() == 1
            card = await audited(rt, purse, run)
            assert wasted(card) == {"useful": 210, "superseded": 3_000}
            assert card.whole.quality.ended == {"succeeded": 1}
            assert card.whole.quality.first_success.part == 0
            assert card.whole.economics.of_successes == 3_210
            assert card.whole.reliability.attempts["operator"] == 1
            assert card.whole.reliability.retry_cost.part == 200

    virtual(fail())
    (tmp_path / "fine").touch()
    virtual(again())
    assert purse.nanos == 3_210


def test_a_fork_pays_for_what_it_does_itself_and_no_more(tmp_path: Path) -> None:
    purse = Purse()

    @ps.step(effects="idempotent")
    async def pay(x: int, ctx: ps.Context) -> int:
        purse.pay(ctx, 10)
        return x

    @ps.step(effects="idempotent", retry=ONCE)
    async def works_later(x: int, ctx: ps.Context) -> int:
        purse.pay(ctx, 300)
        if not (tmp_path / "fine").exists():
            raise Oops(x)
        return x

    @ps.workflow(version="1")
    def both(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        return flow.call(works_later, flow.call(pay, x))

    async def main() -> None:
        async with ps.Runtime(tmp_path / "s.db", workflows=[both], prices=PRICES) as rt:
            run = await rt.start(both, 1, run_id="r", tenant="acme")
            with pytest.raises(ps.RunFailed):
                await run.result()
            (tmp_path / "fine").touch()
            fork = await run.fork(run_id="fork")
            assert await fork.result() == 1
            assert (await fork.spend()).usd.nanos == 300
            card = await audited(rt, purse, run, fork)
            assert wasted(card) == {"failed_run": 310, "useful": 300}
            anew = await run.fork(from_step="both/pay", run_id="anew")
            assert await anew.result() == 1
            assert (await anew.spend()).usd.nanos == 310
            await audited(rt, purse, run, fork, anew)

    virtual(main())
    assert purse.nanos == 310 + 300 + 310


def test_the_scorecard_of_runs_that_are_forgotten_stays(tmp_path: Path) -> None:
    purse = Purse()

    @ps.step(effects="idempotent")
    async def pay(x: int, ctx: ps.Context) -> int:
        purse.pay(ctx, 10 + x)
        return x

    def runtime(**options: Any) -> ps.Runtime:
        return ps.Runtime(tmp_path / "s.db", workflows=[pay], prices=PRICES, **options)

    async def first() -> Scorecard:
        async with runtime() as rt:
            for x in range(20):
                await rt.run(pay, x, run_id=f"r{x}")
            return await audited(rt, purse)

    async def then(before: Scorecard) -> None:
        async with runtime(retention=ps.Retention(max_runs=3)) as rt:
            await asyncio.sleep(3_600.0)
            left = [info.run_id for info in await rt.runs()]
            assert len(left) == 3
            with pytest.raises(ps.RunNotFound):
                await rt.get("r0").spend()
            after = await audited(rt, purse)
            assert after.whole.accepted == before.whole.accepted == 20
            assert after.whole.economics == before.whole.economics
            assert after.whole.quality == before.whole.quality

    virtual(then(virtual(first())))


def test_rates_are_kept_so_that_old_lines_can_be_priced_again(tmp_path: Path) -> None:
    """Another book on the next day does not move what was booked."""

    @ps.step(effects="idempotent")
    async def ask(x: int, ctx: ps.Context) -> int:
        ctx.spend.tokens("small", input=1_234, cached=100, output=77)
        ctx.spend.tool("search", 3)
        return x

    dear = ps.PriceBook(
        rates={"models": {"small": {"input": 99, "output": 99}}, "tools": {"search": 9}},
        version="dear",
        package=None,
    )

    async def day(prices: ps.PriceBook, run_id: str) -> int:
        async with ps.Runtime(tmp_path / "s.db", workflows=[ask], prices=prices) as rt:
            await rt.run(ask, 1, run_id=run_id)
            old = (await rt.get("old").spend()).usd.nanos
            assert balanced((await rt.scorecard()).whole) >= old
            return old

    old = virtual(day(PRICES, "old"))
    assert virtual(day(dear, "new")) == old

    async def reprice() -> None:
        async with ps.Runtime(tmp_path / "s.db", workflows=[ask], prices=dear) as rt:
            spends = {run: await rt.get(run).spend() for run in ("old", "new")}
        view = StoreView(tmp_path / "s.db")
        kept = {digest: text for _, _, digest, text in view.reader.interfaces("rate")}
        for spend in spends.values():
            for line in spend.lines:
                snapshot = Snapshot.from_json(kept[line.rate])
                assert snapshot.amount(line.resource, line.units) == line.usd.nanos
        rates = {run: {line.rate for line in spend.lines} for run, spend in spends.items()}
        assert not rates["old"] & rates["new"]

    virtual(reprice())
