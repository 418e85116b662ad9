"""Metrics: the four layers of a scorecard, each made from sums of rollups.

A metric without data is None. Success, waste and cost per success are of runs by their *start*;
only what is named cash is by the time of booking.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from ._changes import Change
from ._figures import Handoffs, Score, Share, Spend, Spread, Waste, deviation_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """What users get.

    Attributes:
        ended: runs (of a step: its nodes) by how they ended; "unresolved" are open ones that are
            older than the horizon, and count as failures.
        success: succeeded of all that are over, without those that a user cancelled.
        first_success: likewise by the outcome before anybody tried the run again.
        first_pass: succeeded at once, without a retry, a fallback or a person's help.
        degraded: runs on their cheapest tier to keep within a budget, of the accepted.
        escalation: answers of a cheapest tier that a better one had to follow.
        handoffs: between steps.
        cross: those of them between two owners.
        scores: by kind.
    """

    ended: Mapping[str, int]
    success: Share
    first_success: Share
    first_pass: Share
    degraded: Share
    escalation: Share
    handoffs: Handoffs
    cross: Handoffs
    scores: Mapping[str, Score]

    @property
    def causes(self) -> dict[str, int]:
        """What counts as a failure, most frequent first."""
        found = {cause: self.ended[cause] for cause in FAILURES if self.ended.get(cause)}
        return dict(sorted(found.items(), key=lambda item: -item[1]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Reliability:
    """How the system gets there.

    Attributes:
        attempts: by kind.
        retry_burden: retries to first attempts.
        retry_cost: spend of retries, repeats and operators' attempts, of all spend.
        queue_delay: from eligible to dispatched.
        duration: of an attempt.
        latency: of a run.
        park_delay: seconds parked, for an attempt on average.
        timeouts: attempts that ran too long, of all.
        amplification: attempts sent to first attempts.
        demand: attempts sent or denied to first attempts; shows a storm that a budget holds down.
        storms: begun.
        storm_seconds: how long they lasted.
        shed: turned away by overload.
        recovered: runs that went on after the process went down, of the accepted.
        compensation: of the runs whose effects had to be undone, those where that succeeded.
    """

    attempts: Mapping[str, int]
    retry_burden: Share
    retry_cost: Share
    queue_delay: Spread | None
    duration: Spread | None
    latency: Spread | None
    park_delay: float | None
    timeouts: Share
    amplification: float | None
    demand: float | None
    storms: int | None
    storm_seconds: float | None
    shed: int | None
    recovered: Share
    compensation: Share


@dataclass(frozen=True, slots=True, kw_only=True)
class Economics:
    """What it costs.

    Attributes:
        cost: all spend of the runs that started in the window.
        succeeded: runs, or nodes of a step, that succeeded.
        of_successes: nano-dollars that succeeded runs spent themselves; None of a step.
        deviation: standard, of a run's dollars.
        waste: the same spend by what became of it.
        resources: the same spend by resource.
        steps: likewise by step and resource.
        tenants: likewise by tenant; empty in cards that are not of runs.
        cash: booked in the window, whenever the run started; by resource.
        overruns: spend above budgets, in nano-dollars, and how often; None if not known.
        stopped: runs that a spent budget ended.
    """

    DERIVED = ("cost_per_success",)

    cost: Spend
    succeeded: int
    of_successes: int | None
    deviation: float | None
    waste: Waste
    resources: Mapping[str, Spend]
    steps: Mapping[str, Mapping[str, Spend]]
    tenants: Mapping[str, Spend]
    cash: Mapping[str, Spend] | None
    overruns: Share | None
    stopped: int

    @property
    def cost_per_success(self) -> float | None:
        """Dollars of all spend, failed runs included, by succeeded runs; None without any."""
        if not self.succeeded or not (self.cost.lines or self.cost.nanos):
            return None
        return self.cost.nanos / 1e9 / self.succeeded


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """The metrics of a whole window, or of one group in it.

    Attributes:
        name: of the group; "all" of the whole.
        unit: what `quality` counts: "runs", or "nodes" of a step, an owner or a queue.
        accepted: how many runs started; of nodes, how many first attempts.
        quality: what users get.
        reliability: how the system gets there.
        economics: what it costs.
        change: what became of changes; None where changes are not told apart.
        trend: by metric, a figure for each window of the scorecard; None where there is no data.
    """

    name: str
    unit: str
    accepted: int
    quality: Quality
    reliability: Reliability
    economics: Economics
    change: Change | None
    trend: Mapping[str, tuple[float | None, ...]]


def quality_of(sums: Mapping[str, Any], unit: str) -> Quality:
    """The layer of the users."""
    runs, nodes = sums.get("runs", {}), sums.get("nodes", {})
    ended = ended_of(sums, unit)
    tiers = sums.get("tiers", {})
    return Quality(
        ended={cause: ended[cause] for cause in ENDINGS if ended.get(cause)},
        success=_success(ended),
        first_success=_success(runs.get("first_outcome", {})),
        first_pass=Share(int(runs.get("first_pass", 0)), _success(ended).whole)
        if unit == "runs"
        else Share(0, 0),
        degraded=Share(int(runs.get("degraded", 0)), int(runs.get("accepted", 0))),
        escalation=Share(int(tiers.get("1", 0)), int(tiers.get("0", 0))),
        handoffs=Handoffs.of(nodes.get("handoffs", {})),
        cross=Handoffs.of(nodes.get("cross", {})),
        scores={
            kind: score
            for kind, body in sorted(sums.get("scores", {}).items())
            if (score := Score.of(body)) is not None
        },
    )


def reliability_of(sums: Mapping[str, Any], unit: str) -> Reliability:
    """The layer of the system."""
    runs, nodes = sums.get("runs", {}), sums.get("nodes", {})
    delays, queues = sums.get("delays", {}), sums.get("queues")
    kinds, ended = nodes.get("kinds", {}), runs.get("ended", {})
    first = int(nodes.get("first", 0))
    undone = sum(int(ended.get(cause, 0)) for cause in _UNDONE)
    amplification, demand = _pressure(delays, queues)
    attempts = int(delays.get("attempts", 0))
    return Reliability(
        attempts={kind: int(nodes[kind]) for kind in ATTEMPTS if nodes.get(kind)},
        retry_burden=Share(int(nodes.get("retry", 0)), first),
        retry_cost=Share(sum(int(kinds.get(kind, 0)) for kind in _AGAIN), sum(kinds.values())),
        queue_delay=Spread.of(delays.get("delay")),
        duration=Spread.of(delays.get("duration")),
        latency=Spread.of(runs.get("latency")) if unit == "runs" else None,
        park_delay=delays.get("parked_ns", 0) / 1e9 / attempts if attempts else None,
        timeouts=Share(int(delays.get("timeouts", 0)), attempts),
        amplification=amplification,
        demand=demand,
        storms=None if queues is None else int(queues.get("storms", 0)),
        storm_seconds=None if queues is None else queues.get("storm_ns", 0) / 1e9,
        shed=None if queues is None else int(queues.get("shed", 0)),
        recovered=Share(int(runs.get("recovered", 0)), int(runs.get("accepted", 0))),
        compensation=Share(undone, undone + int(ended.get("compensation_failed", 0))),
    )


def economics_of(sums: Mapping[str, Any], unit: str, overruns: Share | None) -> Economics:
    """The layer of the money."""
    runs, nodes = sums.get("runs", {}), sums.get("nodes", {})
    ended = ended_of(sums, unit)
    spend = nodes.get("spend", {})
    if unit == "runs":
        money, missing = runs.get("cost", {}), runs.get("unpriced", {})
        cost = Spend(
            nanos=int(money.get("nanos", 0)),
            lines=int(missing.get("of", 0)),
            unpriced=int(missing.get("lines", 0)),
        )
        of_successes = int(money.get("succeeded", 0))
        priced = sum(int(count) for cause, count in ended.items() if cause != "unresolved")
        squares = money.get("squares")
        deviation = None if squares is None else deviation_of(priced, cost.usd, squares)
        waste = Waste.of(runs.get("waste", {}), cost.nanos)
    else:
        cost, of_successes, deviation = Spend.total(spend), None, None
        waste = Waste.of(nodes.get("waste", {}), cost.nanos)
    cash = sums.get("cash")
    return Economics(
        cost=cost,
        succeeded=int(ended.get("succeeded", 0)),
        of_successes=of_successes,
        deviation=deviation,
        waste=waste,
        resources=_spends(spend),
        steps={step: _spends(by) for step, by in sorted(sums.get("steps", {}).items())},
        tenants=_spends(sums.get("tenants", {})),
        cash=None if cash is None else _spends(cash),
        overruns=overruns,
        stopped=int(runs.get("ended", {}).get("budget", 0)),
    )


def point_of(sums: Mapping[str, Any], unit: str) -> dict[str, float | None]:
    """What a trend shows of one window."""
    quality, money = quality_of(sums, unit), economics_of(sums, unit, None)
    delays = sums.get("delays", {})
    delay = Spread.of(delays.get("delay"))
    retry = Share(int(sums.get("nodes", {}).get("retry", 0)), accepted_of(sums, "nodes"))
    return {
        "accepted": accepted_of(sums, unit) or None,
        "success": quality.success.value,
        "first_pass": quality.first_pass.value,
        "handoffs": quality.handoffs.accuracy,
        "cost_per_success": money.cost_per_success,
        "spend": money.cost.usd if money.cost.lines or money.cost.nanos else None,
        "waste": money.waste.share,
        "retry_burden": retry.value,
        "queue_delay_p50": None if delay is None else delay.p50,
        "queue_delay_p95": None if delay is None else delay.p95,
        "queue_delay_p99": None if delay is None else delay.p99,
    }


def accepted_of(sums: Mapping[str, Any], unit: str) -> int:
    """Runs that started, or first attempts."""
    found = sums.get(unit, {})
    return int(found.get("accepted" if unit == "runs" else "first", 0))


def ended_of(sums: Mapping[str, Any], unit: str) -> Mapping[str, Any]:
    """Runs, or nodes, by how they ended."""
    if unit == "runs":
        ended: Mapping[str, Any] = sums.get("runs", {}).get("ended", {})
        return ended
    nodes: Mapping[str, Any] = sums.get("nodes", {})
    return {name: nodes[name] for name in ("succeeded", "failed", "cancelled") if name in nodes}


def _success(ended: Mapping[str, Any]) -> Share:
    succeeded = int(ended.get("succeeded", 0))
    return Share(succeeded, succeeded + sum(int(ended.get(cause, 0)) for cause in FAILURES))


def _pressure(
    delays: Mapping[str, Any], queues: Mapping[str, Any] | None
) -> tuple[float | None, float | None]:
    """Amplification and demand ratio; of the steps in a queue only the first is known."""
    if queues is not None and queues.get("first"):
        sent, first = queues.get("attempts", 0), queues["first"]
        return sent / first, (sent + queues.get("denied", 0)) / first
    attempts = delays.get("attempts", 0)
    first = attempts - delays.get("retries", 0) - delays.get("hedges", 0)
    return (attempts / first, None) if first > 0 else (None, None)


def _spends(bodies: Mapping[str, Mapping[str, Any]]) -> dict[str, Spend]:
    """The costliest first."""
    found = {name: Spend.of(body) for name, body in bodies.items()}
    return dict(sorted(found.items(), key=lambda item: (-item[1].nanos, item[0])))


ENDINGS: Final = (
    "succeeded",
    "failed",
    "deadline",
    "budget",
    "compensated",
    "compensated_deadline",
    "compensation_failed",
    "unresolved",
    "cancelled",
    "compensated_cancelled",
)
FAILURES: Final = ENDINGS[1:8]
ATTEMPTS: Final = ("first", "retry", "hedge", "fallback", "repeat", "operator", "compensation")
_UNDONE: Final = ("compensated", "compensated_cancelled", "compensated_deadline")
_AGAIN: Final = ("retry", "repeat", "operator")
