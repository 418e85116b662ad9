"""Margins and criteria: values that say what they are, and refuse what can't be meant."""

from __future__ import annotations

import copy
import json
import pickle
from dataclasses import FrozenInstanceError
from datetime import timedelta
from typing import Any

import pytest

import penstock as ps
from penstock._evidence import Criteria, Margin, at_most, drop, rise

USUAL = Criteria()
FULL = Criteria(
    objectives={"success": drop(0.02), "score:judge": drop(0.05, relative=True)},
    guardrails={
        "cost": rise(0.1, relative=True),
        "latency": rise(0.02, over=timedelta(seconds=10)),
        "queue_delay": at_most(0.01, over=5.0),
        "load:gpt": rise(0.1, relative=True),
    },
    alpha=0.05,
)


def test_usually_success_is_to_be_shown_and_the_rest_is_guarded() -> None:
    assert dict(USUAL.objectives) == {"success": drop(0.01)}
    assert set(USUAL.guardrails) == {"cost", "retry_burden", "handoff", "first_attempts"}


def test_what_is_no_objective_any_more_is_still_guarded() -> None:
    criteria = Criteria(objectives={"cost": rise(0.05, relative=True)})
    assert "success" in criteria.guardrails
    assert "cost" not in criteria.guardrails


def test_a_score_is_guarded_against_being_given_to_few_runs_only() -> None:
    assert FULL.guardrails["scored:judge"] == drop(0.05)
    own = Criteria(guardrails={"score:judge": drop(0.1), "scored:judge": drop(0.2)})
    assert own.guardrails["scored:judge"] == drop(0.2)


@pytest.mark.parametrize("criteria", [USUAL, FULL, Criteria(guardrails={})])
def test_the_risks_of_all_criteria_add_up_to_alpha(criteria: Criteria) -> None:
    metrics = [*criteria.objectives, *criteria.guardrails]
    assert sum(map(criteria.alpha_of, metrics)) == pytest.approx(criteria.alpha)


@pytest.mark.parametrize("criteria", [USUAL, FULL])
def test_criteria_are_written_and_read_back_as_they_were(criteria: Criteria) -> None:
    again = Criteria.from_dict(json.loads(json.dumps(criteria.to_dict())))
    for other in again, copy.deepcopy(criteria), pickle.loads(pickle.dumps(criteria)):  # noqa: S301
        assert other == criteria
        assert hash(other) == hash(criteria)
        assert other.digest == criteria.digest
    assert eval(repr(criteria)) == criteria  # noqa: S307
    assert USUAL.digest != FULL.digest


@pytest.mark.parametrize("margin", [drop(0.01), rise(1, relative=True), at_most(0.1, over=2)])
def test_margins_are_written_and_read_back_as_they_were(margin: Margin) -> None:
    assert Margin.from_dict(json.loads(json.dumps(margin.to_dict()))) == margin
    assert eval(repr(margin)) == margin  # noqa: S307
    with pytest.raises(FrozenInstanceError):
        margin.by = 1.0  # type: ignore[misc]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"objectives": {}}, "has no objective; give one"),
        ({"objectives": {"sucess": drop(0.01)}}, "is no metric; take one of success, cost"),
        ({"objectives": {"success": rise(0.01)}}, r"is rise\(0.01\); give drop\(0.05\)"),
        ({"objectives": {"success": 0.01}}, r"give drop\(0.05\)"),
        ({"objectives": {"success": drop(0)}}, "no number of runs can show"),
        ({"objectives": {"success": drop(1.5)}}, "a share below 1"),
        ({"guardrails": {"cost": drop(0.05)}}, r"give rise\(0.05\)"),
        ({"guardrails": {"cost": rise(0.05, over=3.0)}}, r"give rise\(0.05\)"),
        ({"guardrails": {"cost:gpt": rise(0.05)}}, "is no metric"),
        ({"guardrails": {"load:": rise(0.05)}}, "is no metric"),
        ({"guardrails": {"latency": rise(0.05)}}, r"give rise\(0.02, over=10.0\)"),
        ({"guardrails": {"queue_delay": rise(0.05)}}, "both arms wait in the same line"),
        ({"guardrails": {"score": drop(0.05)}}, "'score:judge'"),
        ({"guardrails": {"success": drop(0.05)}}, "an objective and a guardrail"),
        ({"guardrails": ["cost"]}, "give margins by metric"),
        ({"objectives": {"queue_delay": at_most(0.1, over=1.0)}}, "make it a guardrail"),
        ({"alpha": 0}, "Criteria.alpha is 0"),
        ({"alpha_promote": 0.7}, "Criteria.alpha_promote is 0.7"),
    ],
)
def test_nonsense_is_refused_with_a_remedy(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ps.DefinitionError, match=said):
        Criteria(**options)


@pytest.mark.parametrize(
    "made",
    [
        lambda: drop(-0.1),
        lambda: drop(float("nan")),
        lambda: drop(True),
        lambda: drop(1, relative=True),
        lambda: rise(float("inf")),
        lambda: rise(0.1, relative=1),  # type: ignore[arg-type]
        lambda: rise(0.1, over=0),
        lambda: at_most(0, over=5),
        lambda: at_most(1, over=5),
        lambda: Margin("at_most", 0.1),
        lambda: Margin("fall", 0.1),  # type: ignore[arg-type]
    ],
)
def test_margins_that_can_not_be_meant_are_refused(made: Any) -> None:
    with pytest.raises(ps.DefinitionError, match="give"):
        made()
