"""Forecasts: how long a run may take to count, and how many runs and dollars a verdict takes."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt

from penstock._evidence import Criteria, drop, runs_needed
from penstock._figures import horizon_of
from penstock._scorecard import Row, Scorecard, scorecard

LONGEST: float = 3_600.0
"""Seconds that a run may take of which nothing is known."""


def of_workflow(rows: Sequence[Row], workflow: str, since: float, until: float) -> Scorecard:
    """The scorecard of one workflow."""
    own = [row for row in rows if row.key.get("workflow") == workflow]
    return scorecard(own, since=since, until=until)


def horizon_from(rows: Sequence[Row], workflow: str) -> float:
    """Seconds in which a run has to succeed: twice the p99.9 of those that are known."""
    own = [row for row in rows if row.key.get("workflow") == workflow]
    return horizon_of(own) or LONGEST


def needed(card: Scorecard, criteria: Criteria, share: float) -> str:
    """How many runs and dollars it takes to tell, in a sentence.

    Args:
        card: of the workflow's runs before the release.
        criteria: of the release.
        share: of the runs that go to the candidate.
    """
    success = card.whole.quality.success
    if not success.whole or success.value is None:
        return "no run of the last day tells how many it takes"
    # Of few runs none may have failed.
    failing = max(1 - success.value, 1 / (success.whole + 2))
    deviation = sqrt(failing * (1 - failing))
    margin = criteria.objectives.get("success") or criteria.guardrails.get("success")
    least = margin if margin is not None else drop(0.01)
    by = least.by * (success.value if least.relative else 1.0)
    runs = runs_needed(by, deviation=deviation, share=share, alpha=criteria.alpha_promote)
    told = (
        f"about {runs:,} canary runs ({runs / share:,.0f} in all) to show that success drops by "
        f"less than {100 * by:.2g} points"
    )
    cost = card.whole.economics.cost
    if cost.lines:
        told += f", which cost ${runs / share * cost.usd / max(card.whole.accepted, 1):,.2f}"
    return told
