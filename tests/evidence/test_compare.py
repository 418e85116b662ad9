"""Two sets of runs side by side: better, worse, neither, or too few to tell."""

from __future__ import annotations

import json
import random

import pytest

import penstock as ps
from penstock._evidence import Compared, Outcome, Sample, compare, drop, rise, runs_needed

NANO = 1_000_000_000


def sample(
    runs: int, *, success: float = 0.98, cost: float = 0.01, seed: object = 1, unpriced: float = 0.0
) -> Sample:
    dice = random.Random(f"sample {seed}")
    made = Sample()
    for _ in range(runs):
        outcome = Outcome(
            result="succeeded" if dice.random() < success else "failed",
            cost=round(cost * NANO * dice.uniform(0.5, 1.5)),
            unpriced=dice.random() < unpriced,
            first_attempts={"api": 4},
            retries=int(dice.random() < 0.1),
            handoffs=2,
            accepted=2 - int(dice.random() < 0.02),
        )
        made.add(outcome, elapsed=dice.expovariate(1.0))
    return made


def metric(name: str, baseline: Sample, version: Sample) -> Compared:
    return next(each for each in compare(baseline, version).metrics if each.metric == name)


def test_what_got_better_and_what_got_worse() -> None:
    found = sample(3_000, seed=1), sample(3_000, seed=2, success=0.80, cost=0.004)
    success, cost = metric("success", *found), metric("cost", *found)
    assert (success.judgement, cost.judgement) == ("worse", "better")
    assert success.low is not None
    assert success.high is not None
    assert success.low < -0.18 < success.high < 0
    assert cost.difference == pytest.approx(0.005 - 0.01 / 0.98, rel=0.05)
    assert str(success).startswith("success: 9")


def test_no_difference_is_only_shown_where_one_that_matters_would_be_seen() -> None:
    few = metric("success", sample(200), sample(200, seed=2))
    many = metric("success", sample(30_000), sample(30_000, seed=2))
    assert few.judgement == "not enough data"
    assert many.judgement == "no difference shown"
    assert few.runs is not None
    assert 4_000 < few.runs < 30_000
    assert few.dollars == pytest.approx((few.runs - 200) * 0.02, rel=0.1)
    assert "it takes" in str(few)


def test_faultless_runs_on_both_sides_are_not_known_exactly() -> None:
    """Two hundred of two hundred on both sides: the variance is 0, the knowledge is not."""
    found = metric("success", sample(200, success=1.0), sample(200, success=1.0, seed=2))
    assert found.judgement == "not enough data"
    assert found.high is not None
    assert found.high > 0.005


def test_too_few_runs_have_values_and_no_judgement() -> None:
    found = metric("cost", sample(20), sample(20, cost=0.1))
    assert found.judgement == "not enough data"
    assert found.difference is None
    assert found.version == pytest.approx(0.1, rel=0.3)


def test_unpriced_spend_is_never_cheap() -> None:
    found = sample(2_000), sample(2_000, cost=0.001, unpriced=0.05)
    assert metric("cost", *found).judgement == "not enough data"
    assert metric("success", *found).dollars is None


def test_the_interval_holds_at_every_look() -> None:
    """Identical sides, looked at after every tenth run: at most 5 % ever show a difference."""
    errors, tries = 0, 60
    for attempt in range(tries):
        dice = random.Random(f"look {attempt}")
        sides = Sample({"success": drop(0.01)}), Sample({"success": drop(0.01)})
        for run in range(2_000):
            for side in sides:
                good = dice.random() < 0.95
                side.add(Outcome(result="succeeded" if good else "failed"), elapsed=1.0)
            if run % 10 == 0 and compare(*sides).metrics[0].judgement in ("better", "worse"):
                errors += 1
                break
    assert errors / tries <= 0.05


def test_runs_of_users_who_cancelled_and_late_successes() -> None:
    made = Sample(horizon=10.0)
    made.add(Outcome(result="cancelled"), elapsed=1.0)
    made.add(Outcome(result="succeeded"), elapsed=11.0)
    made.add(Outcome(result="succeeded"), elapsed=9.0)
    assert made.moments("success").count == 2
    assert made.value("success") == 0.5


def test_scores_and_slow_runs_are_compared_where_they_are_named() -> None:
    margins = {"score:judge": drop(0.1), "latency": rise(0.02, over=2.0)}
    sides = Sample(margins), Sample(margins)
    for run in range(600):
        for side, score, elapsed in zip(sides, (0.8, 0.6), (1.0, 3.0), strict=True):
            scores = {"judge": score + run % 2 / 10}
            side.add(Outcome(result="succeeded"), elapsed=elapsed, scores=scores)
    found = {each.metric: each for each in compare(*sides).metrics}
    assert found["score:judge"].judgement == "worse"
    assert found["score:judge"].difference == pytest.approx(-0.2)
    assert found["latency"].judgement == "worse"


def test_samples_are_saved_exactly() -> None:
    made = sample(50)
    again = Sample.restored(json.loads(json.dumps(made.state(), allow_nan=False)))
    for each in made, again:
        each.add(Outcome(result="succeeded", cost=7), elapsed=1.0)
    assert again.state() == made.state()


def test_the_price_of_a_change() -> None:
    """Half the difference takes four times the runs, and a large baseline spares nearly half."""
    even = runs_needed(0.02, deviation=0.14)
    assert runs_needed(0.01, deviation=0.14) == pytest.approx(4 * even, abs=4)
    assert runs_needed(0.02, deviation=0.14, share=0.1) == pytest.approx(even / 1.8, abs=2)
    for nonsense in ({"difference": 0}, {"share": 1.0}, {"alpha": 0}):
        with pytest.raises(ps.DefinitionError, match="runs_needed"):
            runs_needed(**{"difference": 0.1, "deviation": 1.0} | nonsense)
