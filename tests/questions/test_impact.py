"""What a change touches, and what it would have cost: exact, or said not to be."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import penstock as ps
from penstock._questions import Change, Impact, impact_of_store
from penstock._questions._reprice import repriced
from questions.world import BOOK, FAR, draft, fill, guarded, looking, support, trouble


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("impact") / "a.db"

    async def both() -> None:
        with trouble(classify=4):
            await fill(path, range(1, 101))
            await fill(path, range(1, 51), guarded)

    asyncio.run(both())
    return path


def asked(path: Path, at: float = 2e9, **change: Any) -> Impact:
    with looking(path) as view:
        return impact_of_store(view, Change(**change), since=0, until=FAR, at=at)


def spent(path: Path) -> Iterator[dict[str, Any]]:
    with looking(path) as view:
        for info in view.every():
            for record in view.records(info.run_id):
                if record.kind == "spent":
                    yield {**record.facts, **record.facts["facts"]}


def book(**models: Any) -> ps.PriceBook:
    return ps.PriceBook(rates={"models": models}, version="new", package=None)


def test_a_model_touches_the_steps_that_spend_on_it(store: Path) -> None:
    found = asked(store, model="gpt")
    assert [(each.step, each.owner, each.queue) for each in found.steps] == [
        ("draft", "ml", "gpt"),
    ]
    (step,) = found.steps
    assert step.attempts == 150
    assert step.nanos == sum(line["nanos"] for line in spent(store) if line["name"] == "gpt")
    assert found.spend == step.nanos
    assert found.whole == sum(line["nanos"] for line in spent(store))
    assert [(each.workflow, each.version, each.owner, each.open) for each in found.versions] == [
        ("support", "1.0.0", "cx", 0),
        ("support", "2.0.0", "cx", 0),
    ]
    assert found.owners == ("cx", "ml")
    assert found.contracts == ("int", "str", "str | None")
    assert found.settings == ("draft.model",)
    # In 2.0.0 the next tier takes over.
    assert step.fallback
    assert found.lines == ()


def test_a_pattern_is_a_provider(store: Path) -> None:
    assert {each.step for each in asked(store, model="m*").steps} == {"classify"}
    assert {each.step for each in asked(store, model="*").steps} == {"classify", "draft"}
    assert asked(store, model="nobody").steps == ()


def test_a_queue_touches_all_that_wait_in_it(store: Path) -> None:
    found = asked(store, queue="gpt")
    assert {each.step for each in found.steps} == {"classify", "draft", "rewrite"}
    assert found.unguarded == ("classify",)
    assert {each.step for each in asked(store, queue="default").steps} == {"retrieve"}


def test_new_rates_are_exact_to_half_a_nano_dollar_a_line(store: Path) -> None:
    new = book(gpt={"input": "2.3", "output": "7.7777"})
    found = asked(store, model="gpt", prices=new)
    naive = count = 0
    for line in spent(store):
        if line["name"] == "gpt":
            tier = new.rate("model", "gpt", 2e9).tiers[0]
            naive += tier.amount(line["resource"], line["units"]) or 0
            count += 1
    assert found.low == found.high
    assert all(line.exact for line in found.lines)
    assert abs(found.low - naive) <= count / 2
    assert found.untold == 0


def test_prices_alone_touch_what_gets_another_price(store: Path) -> None:
    same = BOOK.rates["models"]["mini"]
    new = ps.PriceBook(
        rates={
            "models": {"gpt": {"input": 2, "output": 10}, "mini": same},
            "tools": BOOK.rates["tools"],
        },
        package=None,
    )
    found = asked(store, prices=new)
    assert [(line.name, line.resource) for line in found.lines] == [("gpt", "input")]
    assert found.high == 2 * found.lines[0].old
    assert {each.step for each in found.steps} == {"draft"}
    # What the new book does not know would be refused.
    gone = asked(store, prices=book(gpt={"input": 1, "output": 10}))
    assert {line.name for line in gone.lines} == {"mini", "search"}
    assert all("has no price" in (line.why or "") for line in gone.lines)
    assert gone.untold == sum(line.old for line in gone.lines) == gone.low == gone.high


def test_another_model_is_priced_by_the_book_of_the_store(store: Path) -> None:
    found = asked(store, model="gpt", to="mini")
    assert found.low * 10 == found.spend
    assert asked(store, model="gpt", to="nobody").untold == found.spend


def test_prices_that_change_later_hold_from_then(store: Path) -> None:
    dear = [{"input": 1, "output": 10}, {"input": 9, "output": 90, "from": "2033-01-01"}]
    new = book(gpt=dear)
    before = asked(store, model="gpt", prices=new, at=1_980_000_000.0)
    assert before.low == before.spend
    later = asked(store, model="gpt", prices=new, at=1_990_000_000.0)
    assert later.low == 9 * later.spend


def test_tiers_give_a_least_and_a_most_and_modes_nothing() -> None:
    tiered = book(gpt={"input": 1, "output": 10, "tiers": [{"above": 200_000, "input": 2}]})
    spend = {"units": 1_000_000, "nanos": 5, "lines": 10}
    line = repriced("input:gpt", spend, tiered, at=0.0)
    assert (line.low, line.high) == (10**9, 2 * 10**9)
    assert not line.exact
    assert line.told
    line = repriced("output:gpt", spend, tiered, at=0.0)
    assert line.exact
    line = repriced("input:gpt", spend, tiered, at=0.0, modes=["batch"])
    assert (line.low, line.high, line.told) == (5, 5, False)
    assert "batch" in (line.why or "")
    line = repriced("licence", spend, tiered, at=0.0)
    assert line.same
    assert not line.told


def test_a_price_for_each_request_is_said_to_be_missing() -> None:
    new = book(gpt={"input": 1, "output": 10, "request": "0.01"})
    spend = {"units": 10, "nanos": 5, "lines": 10}
    assert "each request" in (repriced("input:gpt", spend, new, at=0, requests=False).why or "")
    assert repriced("input:gpt", spend, new, at=0).exact


async def test_modes_that_were_booked_are_found_in_the_store(tmp_path: Path) -> None:
    path = tmp_path / "a.db"

    @ps.step(effects="pure")
    async def batch(number: int, ctx: ps.Context) -> int:
        ctx.spend.tokens("gpt", input=100, mode="batch" if number else None)
        return number

    @ps.workflow
    def batches(flow: ps.Flow, number: ps.Node[int]) -> ps.Node[int]:
        return flow.call(batch, number)

    async with ps.Runtime(store=str(path), workflows=[batches], prices=BOOK) as rt:
        await rt.run(batches, 0)
        await rt.run(batches, 1)
    found = asked(path, model="gpt", prices=BOOK)
    assert found.untold == found.spend == 150_000
    assert "batch" in (found.lines[0].why or "")


async def test_open_runs_are_counted_and_missing_fallbacks_named(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    wait = ps.Signal("wait", int)

    @ps.step(effects="pure", owner="ml")
    async def asks(number: int, ctx: ps.Context) -> int:
        ctx.spend.tokens("gpt", input=100)
        return number

    @ps.step(effects="pure", owner="ml", fallback=asks)
    async def guards(number: int, ctx: ps.Context) -> int:
        ctx.spend.tokens("gpt", input=100)
        return number

    @ps.workflow(owner="cx")
    def waits(flow: ps.Flow, number: ps.Node[int]) -> ps.Node[int]:
        known = flow.call(guards, flow.call(asks, number, name="first"))
        return flow.signal(wait, after=known)

    async with ps.Runtime(store=str(path), workflows=[waits], prices=BOOK) as rt:
        runs = [await rt.start(waits, number) for number in range(3)]
        await runs[0].signal(wait, 1)
        await runs[0].result()
    found = asked(path, model="gpt")
    assert {each.step: each.fallback for each in found.steps} == {"asks": False, "guards": True}
    assert found.unguarded == ("asks",)
    assert [each.open for each in found.versions] == [2]


def test_what_a_release_takes_is_told(store: Path) -> None:
    (decision,) = asked(store, model="gpt").decisions
    assert decision.workflow == "support"
    assert decision.metric in ("success", "cost")
    assert decision.canary is not None
    assert decision.runs == decision.canary * 10
    assert decision.runs is not None
    assert decision.dollars is not None
    with looking(store) as view:
        wider = impact_of_store(
            view, Change(model="gpt"), since=0, until=FAR, at=2e9, share=0.5
        ).decisions[0]
    assert wider.canary is not None
    assert wider.runs is not None
    assert decision.canary < wider.canary < wider.runs < decision.runs


def test_mistakes_are_told(store: Path) -> None:
    with pytest.raises(ps.DefinitionError, match="name a model, a queue or prices"):
        asked(store)
    with pytest.raises(ps.DefinitionError, match="name the model, too"):
        asked(store, queue="gpt", to="mini")
    assert support.name == guarded.name
    assert draft.owner == "ml"
