"""What a comparison knows from rollups is what it would know from the runs, one by one."""

from __future__ import annotations

import math
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock._evidence import Outcome, Sample
from penstock._evidence._means import Moments
from penstock._questions._samples import chosen, margins_of, sample_of, versions_of
from penstock._scorecard import Row
from penstock._scorecard._histogram import bucket_of

Result = Literal["succeeded", "failed", "cancelled"]
Drawn = tuple[Result, int, float, float | None]
KEY = {"workflow": "support", "version": "1", "overlay": "", "tenant": None}

runs = st.lists(
    st.tuples(
        st.sampled_from(["succeeded", "failed"]),
        st.integers(0, 3_000_000_000),
        st.floats(0.001, 500.0),
        st.none() | st.floats(0, 5),
    ),
    min_size=1,
    max_size=60,
)


def row_of(result: str, cost: int, latency: float, minute: int) -> Row:
    """What one run adds, as the engine has it."""
    body = {
        "accepted": 1,
        "ended": {result: 1},
        "latency": {str(bucket_of(int(latency * 1e9))): 1},
        "cost": {
            "nanos": cost,
            "squares": (cost / 1e9) ** 2,
            "succeeded": cost if result == "succeeded" else 0,
        },
        "unpriced": {"lines": 0, "of": 1},
    }
    return Row(60.0 * minute, "runs", KEY, body)


def alike(found: Moments, wanted: Moments, scale: float) -> None:
    assert found.count == wanted.count
    assert math.isclose(found.up, wanted.up, rel_tol=1e-9, abs_tol=1e-9 * scale)
    assert math.isclose(found.down, wanted.down, rel_tol=1e-9, abs_tol=1e-12)
    ratio = wanted.ratio or 0.0
    slack = 1e-6 * scale * scale
    assert math.isclose(found.variance(ratio), wanted.variance(ratio), rel_tol=1e-6, abs_tol=slack)


@given(runs)
def test_rollups_know_what_the_runs_tell(drawn: list[Drawn]) -> None:
    rows = [
        row_of(result, cost, latency, minute)
        for minute, (result, cost, latency, _) in enumerate(drawn)
    ]
    key = {**KEY, "kind": "csat"}
    rows += [
        Row(0.0, "scores", key, {"count": 1, "sum": score, "squares": score * score})
        for *_, score in drawn
        if score is not None
    ]
    margins = margins_of(rows)
    found = sample_of(rows, (), margins)
    naive = Sample(margins)
    for result, cost, latency, score in drawn:
        scores = {} if score is None else {"csat": score}
        outcome = Outcome(result=result, cost=cost)
        naive.add(outcome, elapsed=latency, scores=scores)
    for metric, scale in (("success", 1.0), ("cost", 1e9)):
        alike(found.moments(metric), naive.moments(metric), scale)
    alike(found.costs, naive.costs, 1e9)
    if "score:csat" in margins:
        scored = Moments()
        for *_, score in drawn:
            if score is not None:
                scored.add(score)
        alike(found.moments("score:csat"), scored, 1.0)


@given(runs)
def test_slow_is_what_one_run_in_twenty_is(drawn: list[Drawn]) -> None:
    rows = [row_of(result, cost, latency, 0) for result, cost, latency, _ in drawn]
    found = sample_of(rows, (), margins_of(rows)).moments("latency")
    assert found.count == len(drawn)
    assert found.up <= 0.05


def test_what_a_user_cancels_counts_nowhere_and_what_is_stuck_is_a_failure() -> None:
    ended = {"succeeded": 6, "cancelled": 5, "compensated_cancelled": 2, "unresolved": 1}
    rows = [Row(0.0, "runs", KEY, {"accepted": 14, "ended": {**ended, "deadline": 1}})]
    found = sample_of(rows, (), margins_of(rows))
    assert found.value("success") == pytest.approx(6 / 8)
    assert found.costs.count == 8


def test_without_prices_nothing_is_said_of_cost() -> None:
    rows = [Row(0.0, "runs", KEY, {"accepted": 2, "ended": {"succeeded": 2}})]
    assert sample_of(rows, (), margins_of(rows)).value("cost") is None


def test_a_version_is_told_with_its_overlay() -> None:
    overlaid = {**KEY, "overlay": "3fa85f64aaaa"}
    rows = [Row(0.0, "runs", key, {"accepted": 1}) for key in (KEY, overlaid)]
    assert versions_of(rows) == ["1", "1 + 3fa85f64"]
    assert chosen(rows, "support", "1", "3fa85f64") == [rows[1]]
    assert chosen(rows, "support", "1") == rows
    assert chosen(rows, "other") == []
