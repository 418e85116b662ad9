"""What predicts success: what does is found, and of noise nothing is."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

import penstock as ps
from penstock._evidence import Row, predictors
from penstock._evidence._predictors import _auc

VALUES = st.lists(st.integers(0, 5).map(float), min_size=1, max_size=12)


def rows(count: int, seed: object, *, effect: float = 0.0, drifting: bool = False) -> list[Row]:
    """Fifteen features of noise; "wait" tells, by its effect, how a run ends."""
    dice = random.Random(f"rows {seed}")
    made: list[Row] = []
    for at in range(count):
        wait = dice.random()
        sign = -1 if drifting and at > count * 0.7 else 1
        good = dice.random() < 0.7 + sign * effect * (0.5 - wait)
        features = {f"noise {index}": dice.gauss(0, 1) for index in range(14)} | {"wait": wait}
        made.append(Row(float(at), good, features))
    return made


def test_what_predicts_is_found_with_its_direction() -> None:
    found = predictors(rows(2_000, 1, effect=0.5))
    assert [each.feature for each in found.found] == ["wait"]
    assert found.found[0].direction == "low"
    assert 0.6 < found.found[0].auc < 0.75
    assert str(found).startswith("low wait goes with success: AUC 0.6")


def test_none_is_said_of_noise() -> None:
    """At most in one of twenty cases something is found that is not there."""
    wrong = sum(bool(predictors(rows(600, f"noise {seed}")).found) for seed in range(60))
    assert wrong <= 6
    assert str(predictors(rows(600, 1))) == "none of 15 features predicts success"


def test_what_has_turned_around_predicts_nothing() -> None:
    """It is fitted on the older runs and judged on the newer, whatever order they come in."""
    made = rows(2_000, 1, effect=0.5, drifting=True)
    random.Random(1).shuffle(made)
    assert predictors(made).found == ()


def test_features_of_too_few_runs_are_named() -> None:
    made = [row._replace(features={}) if row.at > 5 else row for row in rows(400, 1)]
    found = predictors(made)
    assert found.judged == ()
    assert "wait" in found.too_few
    assert "too few runs to judge noise 0" in str(found)
    assert predictors([]).found == ()


@given(VALUES, VALUES)
def test_the_auc_is_the_chance_to_rank_a_pair_right(good: list[float], bad: list[float]) -> None:
    pairs = [(one > other) + (one == other) / 2 for one in good for other in bad]
    assert _auc(good, bad)[0] == pytest.approx(sum(pairs) / len(pairs))


def test_a_share_that_can_not_be_meant_is_refused() -> None:
    with pytest.raises(ps.DefinitionError, match="false_share"):
        predictors([], false_share=1.0)
