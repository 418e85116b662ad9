"""Price books in code: what they take, what they refuse, and what a unit costs by them."""

from __future__ import annotations

import pickle
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import penstock as ps
from penstock._prices import Kind, Prices, Snapshot

M = 1_000_000


def book(**rates: Any) -> ps.PriceBook:
    return ps.PriceBook(rates=rates, package=None)


def amount(book: ps.PriceBook, kind: Kind, name: str, resource: str, units: int) -> int | None:
    rate = book.rate(kind, name, 0.0)
    return rate.tiers[0].amount(resource, units) if rate.tiers else None


def test_each_section_has_its_units() -> None:
    found = book(
        models={
            "m": {"input": 1.25, "cached": 0.125, "cache_write": 2, "output": 10, "request": 1}
        },
        retrieval={"default": 0.0002},
        tools={"search": {"usd": "0.005"}},
        gpu={"h100": {"hour": 2, "gib_hour": Decimal("0.36")}, "a10": 0.001},
        humans={"reviewer": {"hour": 45}, "desk": 0.5},
        resources={"mail": 0.01},
    )
    cases: list[tuple[Kind, str, str, int, int]] = [
        ("model", "m", "input", M, 1_250_000_000),
        ("model", "m", "cached", M, 125_000_000),
        ("model", "m", "cache_write", M, 2_000_000_000),
        ("model", "m", "output", 3, 30_000),
        ("model", "m", "request", 1, 1_000_000_000),
        ("retrieval", "default", "retrieval", 1, 200_000),
        ("tool", "search", "tool", 3, 15_000_000),
        ("gpu", "h100", "gpu_seconds", 3600 * M, 2_000_000_000),
        ("gpu", "h100", "gpu_seconds", M, 555_556),
        ("gpu", "h100", "gpu_gib_seconds", 3600 * M, 360_000_000),
        ("gpu", "a10", "gpu_seconds", M, 1_000_000),
        ("human", "reviewer", "human_minutes", 60 * M, 45_000_000_000),
        ("human", "desk", "human_minutes", M, 500_000_000),
        ("resource", "mail", "mail", 2, 20_000_000),
    ]
    for kind, name, resource, units, nanos in cases:
        assert amount(found, kind, name, resource, units) == nanos, (name, resource)
    assert amount(found, "gpu", "a10", "gpu_gib_seconds", M) is None
    assert not found.rate("model", "unknown", 0.0).tiers
    assert not found.rate("tool", "m", 0.0).tiers, "names of other sections are not looked at"


@given(
    st.decimals(min_value=0, max_value=10_000, places=9),
    st.integers(min_value=0, max_value=10**9),
    st.sampled_from(["input", "hour", "minute", "second", "gib_hour"]),
)
def test_an_amount_is_the_exact_one_rounded_once(price: Decimal, units: int, key: str) -> None:
    """However odd the price is for one unit: nothing is rounded on the way."""
    per = {
        "input": M,
        "hour": 60 * M,
        "minute": M,
        "second": M,
        "gib_hour": 3600 * M,
    }[key]
    which: dict[str, tuple[str, Kind, str]] = {
        "input": ("models", "model", "input"),
        "hour": ("humans", "human", "human_minutes"),
        "minute": ("humans", "human", "human_minutes"),
        "second": ("gpu", "gpu", "gpu_seconds"),
        "gib_hour": ("gpu", "gpu", "gpu_gib_seconds"),
    }
    section, kind, resource = which[key]
    found = book(**{section: {"x": {key: price}}})
    assert amount(found, kind, "x", resource, units) == round(Fraction(price) * 10**9 * units / per)


def test_without_a_price_of_its_own_a_cached_token_is_an_input_token() -> None:
    found = book(models={"m": {"input": 2}, "free": {"input": 2, "cached": 0}, "o": {"output": 1}})
    assert amount(found, "model", "m", "cached", M) == 2 * 10**9
    assert amount(found, "model", "m", "cache_write", M) == 2 * 10**9
    assert amount(found, "model", "free", "cached", M) == 0
    assert amount(found, "model", "o", "cached", M) is None
    assert amount(found, "model", "m", "output", M) is None


def test_a_tier_is_a_cliff_for_all_tokens_of_a_request() -> None:
    found = book(
        models={
            "m": {
                "input": 1,
                "output": 5,
                "tiers": [{"above": 100, "input": 2}, {"above": 200, "input": 3, "output": 9}],
            }
        }
    )
    rate = found.rate("model", "m", 0.0)
    by_input = {
        sent: (rate.tier(sent).amount("input", M), rate.tier(sent).amount("output", M))
        for sent in (0, 1, 100, 101, 200, 201, 10**9)
    }
    low, middle, high = (10**9, 5 * 10**9), (2 * 10**9, 5 * 10**9), (3 * 10**9, 9 * 10**9)
    assert list(by_input.values()) == [low, low, low, middle, middle, high, high]
    ctx = ps.testing.context(prices=found)
    ctx.spend.tokens("m", input=101, cached=50, cache_write=50, output=1)
    assert {line.resource: line.nanos for line in ctx.spend.lines} == {
        "input": 2_000,
        "cached": 100_000,
        "cache_write": 100_000,
        "output": 5_000,
    }, "cached ones count for the tier, and are in it"


def test_two_small_requests_are_not_one_large_one() -> None:
    """The cliff is that of one request: it is not reached by what a step has sent before."""
    found = book(models={"m": {"input": 1, "tiers": [{"above": 100, "input": 2}]}})
    ctx = ps.testing.context(prices=found)
    ctx.spend.tokens("m", input=100)
    ctx.spend.tokens("m", input=100)
    assert [line.nanos for line in ctx.spend.lines] == [100_000, 100_000]


def test_a_mode_is_a_factor_or_has_prices_of_its_own() -> None:
    found = book(
        models={
            "m": {
                "input": 2,
                "output": 8,
                "tiers": [{"above": 100, "input": 4}],
                "modes": {
                    "batch": 0.5,
                    "fast": {"input": 6, "output": 30, "tiers": [{"above": 50, "output": 60}]},
                },
            }
        }
    )
    rates = {mode: found.rate("model", "m", 0.0, mode) for mode in ("", "batch", "fast")}
    assert rates["batch"].tier(100).amount("input", M) == 10**9
    assert rates["batch"].tier(101).amount("input", M) == 2 * 10**9
    assert rates["batch"].tier(101).amount("output", M) == 4 * 10**9
    assert rates["fast"].tier(50).amount("output", M) == 30 * 10**9
    assert rates["fast"].tier(51).amount("output", M) == 60 * 10**9
    assert not found.rate("model", "m", 0.0, "flex").tiers, "another mode is not the usual one"
    ctx = ps.testing.context(prices=found)
    with pytest.raises(ps.DefinitionError, match="'m' has no price in mode 'flex'"):
        ctx.spend.tokens("m", input=1, mode="flex")
    ctx.spend.tokens("m", input=10, mode="batch")
    assert [(line.mode, line.nanos) for line in ctx.spend.lines] == [("batch", 10_000)]


WRONG: list[tuple[Any, str, str]] = [
    ([], "rates is []", "give a table by section"),
    ({"model": {}}, "model is no section of rates", "give models, retrieval"),
    ({"models": {"m": 5}}, "models.m is 5", "give a table of prices"),
    ({"models": {"m": {}}}, "models.m has no price", "give input, cached"),
    ({"models": {"m": []}}, "models.m has no entry", "give one, or take it out"),
    ({"models": {" ": {"input": 1}}}, "has no name", "not empty"),
    ({"models": {"m": {"in": 1}}}, "models.m.in is no key of this rate", "give input, cached"),
    ({"models": {"gpt-4.1": {"input": -1}}}, 'models."gpt-4.1".input is -1', "0 or more"),
    ({"models": {"m": {"input": float("nan")}}}, "models.m.input is nan", "finite"),
    ({"models": {"m": {"input": True}}}, "models.m.input is True", "0 or more"),
    ({"models": {"m": {"input": "1e30"}}}, "models.m has a price that is too high", "lower"),
    ({"models": {"m": {"input": 1, "tiers": 5}}}, "models.m.tiers is 5", "list of tables"),
    ({"models": {"m": {"input": 1, "tiers": [{"input": 1}]}}}, "above=None", "whole number"),
    (
        {"models": {"m": {"input": 1, "tiers": [{"above": 9, "input": 1}, {"above": 9}]}}},
        "models.m.tiers[1].above has above=9",
        "in each tier more",
    ),
    ({"models": {"m": {"input": 1, "tiers": [{"above": 9}]}}}, "tiers[0] has no price", "give"),
    ({"models": {"m": {"input": 1, "modes": {"": 1}}}}, "has no name", "batch"),
    ({"models": {"m": {"input": 1, "modes": {"b": -1}}}}, "models.m.modes.b is -1", "factor"),
    ({"models": {"m": {"input": 1, "modes": {"b": {}}}}}, "modes.b has no price", "give"),
    ({"tools": {"t": {"usd": 1, "modes": {}}}}, "tools.t.modes is no key", "give usd or from"),
    ({"tools": {"t": "cheap"}}, "tools.t.usd is 'cheap'", "US dollars"),
    ({"gpu": {"g": {"second": 1, "hour": 1}}}, "gpu.g.hour is a second price", "give one"),
    ({"tools": {"t": {"usd": 1, "from": 5}}}, "tools.t.from is 5", "a date"),
    ({"tools": {"t": {"usd": 1, "from": "soon"}}}, "tools.t.from is 'soon'", "a date"),
    (
        {"tools": {"t": {"usd": 1, "from": "2026-12-01T00:00:00"}}},
        "in no time zone",
        "a time with its zone",
    ),
    (
        {"tools": {"t": [{"usd": 1, "from": "2026-12-01"}, {"usd": 2, "from": "2026-12-01"}]}},
        "tools.t[1].from begins when another entry of the name does",
        "a `from` of its own",
    ),
    ({"tools": {"t": [1, 2]}}, "tools.t[1] begins when another", "one may have none"),
    ({"tools": {5: 1}}, "tools is {5: 1}", "a table by name"),
]


@pytest.mark.parametrize(("rates", "said", "remedy"), WRONG, ids=[said for _, said, _ in WRONG])
def test_a_wrong_rate_is_refused_with_its_place_and_the_remedy(
    rates: Any, said: str, remedy: str
) -> None:
    with pytest.raises(ps.DefinitionError) as caught:
        ps.PriceBook(rates=rates)
    assert said in caught.value.what
    assert remedy in (caught.value.remedy or "")


@pytest.mark.parametrize(
    "options", [{"version": ""}, {"unknown": "ignore"}, {"package": "other"}], ids=str
)
def test_a_wrong_field_is_refused(options: Any) -> None:
    with pytest.raises(ps.DefinitionError, match=f"PriceBook.{next(iter(options))}"):
        ps.PriceBook(**options)


def test_the_same_rates_are_the_same_book() -> None:
    written: list[Any] = [1.25, "1.250", Decimal("1.25"), "125e-2"]
    books = [book(models={"m": {"input": each}}) for each in written]
    assert len({each.digest for each in books}) == 1
    assert len(set(books)) == 1
    assert book(models={"m": {"input": 1.26}}).digest != books[0].digest
    apart = book(tools={"t": [{"usd": 2, "from": "2026-12-01"}, 1]})
    assert apart == book(tools={"t": [1, {"usd": 2, "from": "2026-12-01T01:00:00+01:00"}]})


def test_a_book_goes_through_json_and_pickle() -> None:
    found = ps.PriceBook(
        rates={
            "models": {"m": {"input": 1, "modes": {"batch": 0.5}, "tiers": []}},
            "tools": {"t": 1},
        },
        version="2026-11",
        unknown="unpriced",
        package=None,
    )
    for again in (
        ps.PriceBook.from_dict(found.to_dict()),
        pickle.loads(pickle.dumps(found)),  # noqa: S301
    ):
        assert again == found
        assert again.digest == found.digest
        assert again.rate("tool", "t", 0.0) == found.rate("tool", "t", 0.0)
    assert isinstance(found, Prices)


def test_a_book_cannot_be_changed() -> None:
    given = {"tools": {"t": 1}}
    found = book(**given)
    given["tools"]["t"] = 5
    found.rates["tools"]["t"].clear()
    assert amount(found, "tool", "t", "tool", 1) == 10**9
    assert found == book(tools={"t": 1})


def test_a_snapshot_goes_round_and_its_digest_is_of_all_of_it() -> None:
    found = book(models={"m": {"input": 1.5, "output": 2}}).rate("model", "m", 0.0).tiers[0]
    again = Snapshot.from_json(found.to_json())
    assert (again, again.digest, again.prices) == (found, found.digest, found.prices)
    assert pickle.loads(pickle.dumps(found)) == found  # noqa: S301
    of: dict[str, Any] = {
        "kind": "model",
        "name": "m",
        "prices": found.prices,
        "source": found.source,
    }
    assert Snapshot.of(**of) == found
    changes: list[dict[str, Any]] = [
        {"name": "n"},
        {"kind": "tool"},
        {"source": "other"},
        {"mode": "batch"},
        {"above": 5},
        {"prices": {"input": (1, M)}},
    ]
    digests = {Snapshot.of(**{**of, **change}).digest for change in changes}
    assert len({*digests, found.digest}) == len(changes) + 1


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", "5", '{"format": 2}', '{"format": 1, "prices": {"x": 5}}']
)
def test_what_is_no_snapshot_is_refused(text: str) -> None:
    with pytest.raises(ps.DefinitionError, match="snapshot"):
        Snapshot.from_json(text)


def test_an_amount_beyond_64_bits_is_an_error() -> None:
    snapshot = book(tools={"t": 9 * 10**9}).rate("tool", "t", 0.0).tiers[0]
    assert snapshot.amount("tool", 1) == 9 * 10**18
    with pytest.raises(OverflowError, match="64 bits"):
        snapshot.amount("tool", 2)
