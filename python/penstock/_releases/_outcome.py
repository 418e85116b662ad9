"""Outcomes: what a release is judged by, from the figures of one run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from penstock._evidence import Outcome
from penstock._scorecard import Handoffs

if TYPE_CHECKING:
    from penstock._evidence._outcomes import Result
    from penstock._scorecard import NodeFacts


def outcome_of(body: Mapping[str, Any], facts: Mapping[str, NodeFacts]) -> Outcome:
    """The outcome of a run that has ended.

    Args:
        body: of a row of the run alone, with "held" by queue and "delay_ns".
        facts: of its workflow's nodes, by path.
    """
    first: dict[str, int] = {}
    retries = handoffs = accepted = 0
    for path, node in body.get("nodes", {}).items():
        fact = facts.get(path)
        queue = fact.queue if fact is not None else None
        if node.get("first"):
            name = queue or "default"
            first[name] = first.get(name, 0) + node["first"]
        retries += node.get("retry", 0)
        delivered = Handoffs.of(node.get("handoffs", {}))
        handoffs += delivered.count
        accepted += delivered.accepted
    cost = body.get("cost", {})
    return Outcome(
        result=_result(body.get("ended", {})),
        cost=max(int(cost.get("nanos", 0)), 0),
        unpriced=bool(body.get("unpriced", {}).get("lines")),
        retries=retries,
        first_attempts=first,
        handoffs=handoffs,
        accepted=accepted,
        slot_seconds={queue: ns / 1e9 for queue, ns in body.get("held", {}).items()},
        queue_delay=body.get("delay_ns", 0) / 1e9,
        degraded=bool(body.get("degraded")),
    )


def _result(ended: Mapping[str, int]) -> Result:
    """A run that was tried again has left its former end as -1."""
    how = next((name for name, count in ended.items() if count > 0), "failed")
    if how == "succeeded":
        return "succeeded"
    return "cancelled" if how in _BY_USER else "failed"


_BY_USER: Final = frozenset({"cancelled", "compensated_cancelled"})
