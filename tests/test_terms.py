"""Terms of a workflow: what a success is worth, and what takes a release of it back."""

from __future__ import annotations

import json
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import penstock as ps
from penstock._diff import interface

STRICT = ps.Criteria(objectives={"success": ps.drop(0.005)})
USUAL = ps.Criteria()


@ps.step
async def shout(text: str) -> str:
    return text.upper()


def drawn(**options: Any) -> ps.Workflow[[str], str]:
    @ps.workflow(**options)
    def w(flow: ps.Flow, text: ps.Node[str]) -> ps.Node[str]:
        return flow.call(shout, text)

    return w


@pytest.mark.parametrize(
    ("value", "nano"),
    [
        (1, 10**9),
        (1.2, 1_200_000_000),
        (ps.usd("1.20"), 1_200_000_000),
        ("1.20", 1_200_000_000),
        (Decimal("0.0000000015"), 2),
        (Decimal("0.0000000025"), 2),
        (0.1, 100_000_000),
        (9_223_372_036, 9_223_372_036 * 10**9),
    ],
)
def test_a_worth_is_whole_nano_dollars(value: Any, nano: int) -> None:
    """Sums of money add up to the last digit, so it is no float from here on."""
    assert drawn(value=value).value == nano


@given(st.decimals(min_value="0.01", max_value="1e9", allow_nan=False, places=12))
def test_a_worth_is_off_by_half_a_nano_dollar_at_most(value: Decimal) -> None:
    nano = drawn(value=value).value
    assert nano is not None
    assert abs(Fraction(nano) - Fraction(value) * 10**9) <= Fraction(1, 2)


@pytest.mark.parametrize(
    "value", [0, -1, -0.5, True, "much", float("nan"), float("inf"), Decimal("NaN"), 10**10, 1e-12]
)
def test_a_worth_that_is_no_sum_is_refused(value: Any) -> None:
    with pytest.raises(ps.DefinitionError, match=r"value is "):
        drawn(value=value)


@pytest.mark.parametrize("criteria", [5, {"success": 0.9}, "strict"])
def test_criteria_that_are_none_are_refused(criteria: Any) -> None:
    with pytest.raises(ps.DefinitionError, match="give the criteria of a release"):
        drawn(rollback=criteria)


def test_terms_are_part_of_the_interface_and_not_of_the_graph() -> None:
    """A release tells them, and a run that waits since last week goes on all the same."""
    bare, full = drawn(), drawn(value=1.2, rollback=USUAL)
    assert bare.digest == full.digest
    content = interface(full)
    assert content["value"] == 1_200_000_000
    assert content["rollback"] == USUAL.to_dict()
    assert "value" not in json.loads(full.to_json())


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ({}, {"value": 1.2}, "compatible: workflow: the value of a success is new"),
        ({"value": 1.2}, {}, "risky: workflow: the value of a success is gone"),
        ({"value": 1.2}, {"value": 2}, "the value of a success $1.20 -> $2.00"),
        ({}, {"rollback": USUAL}, "compatible: workflow: the rollback policy is new"),
        ({"rollback": USUAL}, {}, "risky: workflow: the rollback policy is gone"),
        ({"rollback": USUAL}, {"rollback": STRICT}, "other evidence takes a release"),
    ],
)
def test_diff_tells_changed_terms(old: dict[str, Any], new: dict[str, Any], said: str) -> None:
    (change,) = ps.diff(drawn(**old), drawn(**new)).changes
    assert said in str(change)
    assert ps.diff(drawn(**old), drawn(**old)).changes == ()


def test_diff_passes_over_terms_that_a_side_does_not_tell() -> None:
    """A file of an earlier version of penstock has none."""
    old = interface(drawn())
    del old["value"], old["rollback"]
    new = json.dumps(interface(drawn(value=1, rollback=USUAL)))
    assert ps.diff(json.dumps(old), new).changes == ()
