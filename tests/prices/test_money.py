"""Money: whole nano-dollars, held against fractions."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from math import inf, nan
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import penstock as ps
from penstock._money import NANOS_MAX, Usd, cost, decimal_text, dollars, exact, total

amounts = st.decimals(min_value=0, max_value=9 * 10**9, allow_nan=False, places=14)
wholes = st.integers(min_value=0, max_value=NANOS_MAX)


@given(wholes, st.integers(0, 10**15), st.integers(1, 10**12))
@example(1, 500_000, 1_000_000)
@example(3, 500_000, 1_000_000)
@example(5, 1, 2)
@example(NANOS_MAX, 10**15, 1)
def test_a_cost_is_the_fraction_rounded_with_a_half_to_the_even_one(
    units: int, rate: int, per: int
) -> None:
    assert cost(units, rate, per) == round(Fraction(units * rate, per))


@given(wholes, st.integers(0, 10**12))
def test_what_is_bought_in_two_requests_is_a_nano_dollar_apart_at_most(
    units: int, rate: int
) -> None:
    half = units // 2
    parts = cost(half, rate, 10**6) + cost(units - half, rate, 10**6)
    assert abs(parts - cost(units, rate, 10**6)) <= 1


@given(amounts)
def test_dollars_become_the_nearest_nano_dollars(amount: Decimal) -> None:
    assert ps.usd(amount).nanos == round(Fraction(amount) * 10**9)
    assert ps.usd(f"{amount:f}") == ps.usd(amount)


@given(st.floats(min_value=1e-30, max_value=9e9))
def test_a_float_counts_as_the_decimal_that_it_is_written_as(amount: float) -> None:
    assert ps.usd(amount).nanos == round(Fraction(repr(amount)) * 10**9)


def test_a_tenth_is_a_tenth() -> None:
    assert ps.usd(0.1).nanos == 100_000_000
    assert [ps.usd(0.1 * n) for n in (1, 2)] == [ps.usd("0.1"), ps.usd("0.2")]
    assert [ps.usd(text).nanos for text in ("5e-10", "15e-10", "25e-10", "25.1e-10")] == [
        0,
        2,
        2,
        3,
    ]


@given(wholes)
def test_what_is_shown_can_be_read_back(nanos: int) -> None:
    amount = Usd(nanos)
    assert ps.usd(amount.text) == amount
    assert ps.usd(str(amount).replace("$", "").replace(",", "")) == amount
    assert eval(repr(amount), {"usd": ps.usd}) == amount  # noqa: S307
    assert ps.usd(amount) is amount


def test_amounts_are_shown_with_cents_at_least() -> None:
    shown = [str(ps.usd(text)) for text in ("0", "1234567.5", "0.0000025", "2", "9.999")]
    assert shown == ["$0.00", "$1,234,567.50", "$0.0000025", "$2.00", "$9.999"]


def test_amounts_have_an_order() -> None:
    assert ps.usd(0.5) < ps.usd(1) < ps.usd("1.000000001")
    assert max(ps.usd(3), ps.usd(20)) == ps.usd("20")
    assert len({ps.usd(1), ps.usd("1.0"), ps.usd(Decimal("1.00"))}) == 1


REFUSED: list[Any] = [
    -1,
    -0.01,
    Decimal("-0.5"),
    nan,
    inf,
    -inf,
    "nan",
    "inf",
    Decimal("sNaN"),
    "1,50",
    "a dollar",
    "",
    True,
    False,
    None,
    [1],
    1j,
]


@pytest.mark.parametrize("amount", REFUSED, ids=repr)
def test_what_is_no_amount_is_refused_with_the_remedy(amount: Any) -> None:
    with pytest.raises(ps.DefinitionError, match="usd is") as caught:
        ps.usd(amount)
    assert caught.value.remedy == "give US dollars as a number, 0 or more and finite"


def test_the_largest_amount_is_taken_and_none_beyond_it() -> None:
    assert ps.usd("9223372036.854775807").nanos == NANOS_MAX
    for amount in ("9223372036.854775808", 1e10, 10**30, "1e59"):
        with pytest.raises(ps.DefinitionError, match="at most 9,223,372,036 dollars"):
            ps.usd(amount)


def test_a_number_of_endless_places_does_not_fill_the_memory() -> None:
    for amount in ("1e999999999", "1e-999999999", "0." + "1" * 100):
        with pytest.raises(ps.DefinitionError, match="fewer places"):
            ps.usd(amount)
    assert ps.usd("0e-999999999") == ps.usd(0)
    assert ps.usd(-0.0) == ps.usd(0)


def test_the_message_says_which_amount_it_was() -> None:
    with pytest.raises(ps.DefinitionError, match="value is -2"):
        dollars(-2, "value")


@given(st.lists(st.integers(-NANOS_MAX, NANOS_MAX), max_size=5))
def test_a_total_is_exact_or_an_error(parts: list[int]) -> None:
    found = sum(parts)
    if -(2**63) <= found < 2**63:
        assert total(parts) == found
    else:
        with pytest.raises(OverflowError, match="does not fit"):
            total(parts)


@given(st.decimals(min_value=0, max_value=10**9, places=12))
def test_a_decimal_is_written_in_one_way_only(amount: Decimal) -> None:
    text = decimal_text(Fraction(amount))
    assert Fraction(text) == Fraction(amount)
    assert decimal_text(exact(text, "", remedy="")) == text
    assert not text.endswith(".")
    assert "." not in text or not text.endswith("0")
