"""Rates of `genai-prices`: half a nano-dollar a line from what it computes itself, and no more."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

import penstock as ps
from penstock._prices import GenaiPrices, Rate, installed
from penstock._prices import _package as adapter

genai_prices = pytest.importorskip(
    "genai_prices", reason="the package genai-prices is not installed: pip install penstock[prices]"
)

MOMENTS = [
    datetime(2024, 6, 1, 12, tzinfo=UTC),
    datetime(2025, 8, 26, 3, tzinfo=UTC),
    datetime(2026, 3, 1, 17, 30, tzinfo=UTC),
    datetime(2026, 11, 30, 23, 59, 59, tzinfo=UTC),
    datetime(2026, 12, 1, tzinfo=UTC),
]


def prices() -> GenaiPrices:
    found = installed()
    assert found is not None
    return found


def models() -> list[tuple[Any, Any]]:
    data = genai_prices.data_snapshot.get_snapshot()
    return [(provider, model) for provider in data.providers for model in provider.models]


def ours(rate: Rate, usage: Mapping[str, int]) -> dict[str, int | None]:
    """Nano-dollars by resource of one request."""
    tier = rate.tier(usage["input"])
    units = {
        "input": usage["input"] - usage["cached"] - usage["cache_write"],
        "cached": usage["cached"],
        "cache_write": usage["cache_write"],
        "output": usage["output"],
        "request": 1,
    }
    return {
        name: tier.amount(name, count)
        for name, count in units.items()
        if name in tier.prices or name != "request"
    }


def exactly(rate: Rate, usage: Mapping[str, int]) -> Iterator[Fraction]:
    """What the lines would come to without rounding."""
    tier = rate.tier(usage["input"])
    for name, units in (
        ("input", usage["input"] - usage["cached"] - usage["cache_write"]),
        ("cached", usage["cached"]),
        ("cache_write", usage["cache_write"]),
        ("output", usage["output"]),
        ("request", 1),
    ):
        if name in tier.prices:
            nanos, per = tier.prices[name]
            yield Fraction(units * nanos, per)


def theirs(model: Any, usage: Mapping[str, int], moment: datetime, context: Any = None) -> Fraction:
    """Nano-dollars of one request, by the package."""
    given = genai_prices.Usage(
        input_tokens=usage["input"],
        cache_read_tokens=usage["cached"],
        cache_write_tokens=usage["cache_write"],
        output_tokens=usage["output"],
    )
    price = model.get_prices(moment, context).calc_price(given)["total_price"]
    assert isinstance(price, Decimal)
    return Fraction(price) * 10**9


def sizes(model: Any, moment: datetime, dice: random.Random) -> list[int]:
    """Input sizes of requests, those at the edges of tiers among them."""
    edges: set[int] = set()
    for value in vars(model.get_prices(moment)).values():
        edges |= {tier.start for tier in getattr(value, "tiers", ())}
    around = [edge + more for edge in sorted(edges) for more in (-1, 0, 1, 1000)]
    return [0, 1, dice.randrange(2, 5_000), dice.randrange(10**5, 10**7), *around]


def test_token_prices_agree_for_all_of_its_models() -> None:
    dice = random.Random(11)
    book = prices()
    lines = tiers = dated = 0
    for provider, model in models():
        moment = dice.choice(MOMENTS)
        # What two models go by is the package's own choice: name the provider.
        found = book._model(f"{provider.id}:{model.id}")
        if found is None or found[1] is not model:
            continue
        rate = book.rate("model", f"{provider.id}:{model.id}", moment.timestamp())
        if not rate.tiers:
            continue
        tiers += len(rate.tiers) > 1
        dated += rate.since > 0 or rate.until < 1e12
        for sent in sizes(model, moment, dice):
            cached = dice.randrange(sent + 1)
            usage = {
                "input": sent,
                "cached": cached,
                "cache_write": dice.randrange(sent - cached + 1),
                "output": dice.randrange(3_000),
            }
            found_nanos = [it for it in ours(rate, usage).values() if it is not None]
            exact = theirs(model, usage, moment)
            assert abs(sum(exactly(rate, usage)) - exact) < Fraction(1, 10**9), (model.id, usage)
            assert abs(sum(found_nanos) - exact) <= Fraction(len(found_nanos), 2)
            lines += len(found_nanos)
    assert lines > 20_000
    assert tiers > 20
    assert dated > 20


def test_each_line_agrees_by_itself() -> None:
    """Alone in its request, so that the package's total is that of the line."""
    book, dice = prices(), random.Random(7)
    compared = 0
    for provider, model in dice.sample(models(), 400):
        name, moment = f"{provider.id}:{model.id}", MOMENTS[2]
        found = book._model(name)
        rate = book.rate("model", name, moment.timestamp())
        if found is None or found[1] is not model or not rate.tiers:
            continue
        request = rate.tiers[0].amount("request", 1) or 0
        for resource in ("input", "cached", "cache_write", "output"):
            units = dice.randrange(1, 100_000)
            usage: dict[str, int] = dict.fromkeys(("input", "cached", "cache_write", "output"), 0)
            usage[resource] = units
            usage["input"] = 0 if resource == "output" else units
            nanos = ours(rate, usage)[resource]
            exact = theirs(model, usage, moment) - request
            if nanos is None:
                assert exact == 0, (name, resource)
            else:
                assert abs(nanos - exact) <= Fraction(1, 2), (name, resource)
                compared += 1
    assert compared > 500


def test_prices_that_hang_on_the_time_change_when_they_do_there() -> None:
    """A rate says how long it holds: at both ends of that, the package says something else."""
    book = prices()
    usage = {"input": 1_000_000, "cached": 200_000, "cache_write": 0, "output": 1_000_000}
    changes = 0
    for provider, model in models():
        name, at = f"{provider.id}:{model.id}", MOMENTS[2].timestamp()
        found = book._model(name)
        if found is None or found[1] is not model:
            continue
        rate = book.rate("model", name, at)
        if rate.since >= rate.until:
            continue  # it says itself that it is not to be kept
        for edge in (rate.since, rate.until):
            if not 0 < edge < 4e9:
                continue
            for moment in (edge - 1, edge, edge + 1):
                again = book.rate("model", name, moment)
                when = datetime.fromtimestamp(moment, UTC)
                assert again.since <= moment < again.until
                if again.tiers:
                    assert sum(exactly(again, usage)) == theirs(model, usage, when), (name, when)
                    changes += 1
    assert changes > 30


def test_an_own_rate_comes_before_that_of_the_package() -> None:
    own = ps.PriceBook(rates={"models": {"gpt-4o": {"input": 1, "from": "2026-12-01"}}})
    midnight = MOMENTS[-1].timestamp()
    before, after = own.rate("model", "gpt-4o", midnight - 1), own.rate("model", "gpt-4o", midnight)
    assert "genai-prices" in before.tiers[0].source
    assert before.until == midnight
    assert after.tiers[0].amount("input", 1_000_000) == 10**9
    assert after.tiers[0].amount("output", 1) is None, "the two are not mixed"


def test_a_model_is_found_by_its_name_and_by_its_provider() -> None:
    book = ps.PriceBook()
    alone = book.rate("model", "gpt-4o", 1.77e9).tiers[0]
    of_provider = book.rate("model", "openai:gpt-4o", 1.77e9).tiers[0]
    assert alone.prices == of_provider.prices
    for name in ("no-such-model", "openai:no-such-model", "nobody:gpt-4o", ":", ""):
        assert not book.rate("model", name, 1.77e9).tiers, name
    assert not book.rate("tool", "gpt-4o", 1.77e9).tiers


def test_modes_agree() -> None:
    """What the package calls processing, service tier or speed is one word here."""
    book, at = prices(), MOMENTS[3]
    usage = {"input": 300_000, "cached": 1_000, "cache_write": 500, "output": 2_000}
    compared: set[str] = set()
    for provider, model in models():
        name = f"{provider.id}:{model.id}"
        found = book._model(name)
        if found is None or found[1] is not model:
            continue
        for variant in model.price_variants or ():
            ((key, mode),) = list(variant.when.items())[:1]
            rate = book.rate("model", name, at.timestamp(), mode)
            if len(variant.when) == 1 and rate.tiers:
                assert sum(exactly(rate, usage)) == theirs(model, usage, at, {key: mode}), name
                assert all(tier.mode == mode for tier in rate.tiers)
                compared.add(mode)
    assert {"batch", "flex", "priority"} <= compared


def test_a_mode_without_a_price_there_has_none() -> None:
    book = ps.PriceBook()
    assert not book.rate("model", "gpt-4o", 1.77e9, "no-such-mode").tiers


def test_a_book_without_the_package_does_not_ask_it() -> None:
    book = ps.PriceBook(package=None)
    assert not book.rate("model", "gpt-4o", 1.77e9).tiers


def test_where_it_is_not_installed_own_rates_still_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapter, "installed", lambda: None)
    book = ps.PriceBook(rates={"models": {"m": {"input": 1}}})
    assert book.rate("model", "m", 0.0).tiers
    assert not book.rate("model", "gpt-4o", 0.0).tiers
    with pytest.raises(ps.DefinitionError, match="'gpt-4o' has no price"):
        ps.testing.context(prices=book).spend.tokens("gpt-4o", input=1)


def test_old_totals_do_not_move_when_the_package_does() -> None:
    """The snapshot of an old line says it all: the model's next price is another snapshot."""
    rate = prices().rate("model", "gpt-4o", MOMENTS[2].timestamp())
    ctx = ps.testing.context(
        recorder=ps.testing.Recorder(time=MOMENTS[2].timestamp(), prices=ps.PriceBook())
    )
    ctx.spend.tokens("gpt-4o", input=12_345, cached=345, output=77)
    by_digest = {tier.digest: tier for tier in rate.tiers}
    for line in ctx.spend.lines:
        assert by_digest[line.rate].amount(line.resource, line.units) == line.nanos
