"""Comparison: two sets of runs, metric by metric, and what it would take to know more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil, inf, log, sqrt
from types import MappingProxyType
from typing import Any, Final, Literal, TypeAlias

from penstock._policies import Seconds, number, seconds

from ._margins import Margin, drop, rise
from ._means import Contrast, Moments, contrast, radius
from ._outcomes import METRICS, Outcome, Reader, Seen, parted, reader
from ._watches import LEAST_PER_ARM
from ._words import amount
from ._words import number as told

Judgement: TypeAlias = Literal["better", "worse", "no difference shown", "not enough data"]
FITTED: Final = 1.45
"""What a bound that holds at every look costs beside one that holds at one; 1.3 to 1.6 by trial."""
NARROWEST: Final = 1_000
"""Runs of the version at which the intervals are narrowest; set once, or peeking would count."""
USUAL_MARGINS: Final[Mapping[str, Margin]] = MappingProxyType(
    {
        "success": drop(0.01),
        "cost": rise(0.05, relative=True),
        "retry_burden": rise(0.05),
        "handoff": drop(0.01),
        "first_attempts": rise(0.10, relative=True),
        "load": rise(0.10, relative=True),
    }
)
"""Differences that matter, either way, unless others are given."""
_SHARES: Final = frozenset({"success", "latency", "scored", "handoff"})


class Sample:
    """What is known of some runs of one version: running moments by metric. O(metrics) a run.

    Args:
        margins: by metric: the differences that matter; both sides of a comparison need the same.
            "score:<kind>" and "latency" with `rise(0.02, over=10.0)` come in addition to the usual.
        horizon: seconds from its start in which a run has to succeed; None for no limit.

    >>> from penstock._evidence import Outcome, Sample
    >>> sample = Sample()
    >>> sample.add(Outcome(result="succeeded", cost=2_000_000), elapsed=1.5)
    >>> sample.add(Outcome(result="failed", cost=1_000_000), elapsed=0.5)
    >>> sample.value("success"), sample.value("cost")
    (0.5, 0.003)
    """

    __slots__ = ("_horizon", "_moments", "_readers", "costs", "margins")

    def __init__(
        self,
        margins: Mapping[str, Margin] = USUAL_MARGINS,
        *,
        horizon: Seconds | None = None,
    ) -> None:
        self.margins = dict(margins)
        self._horizon = inf if horizon is None else seconds(horizon, "a sample's horizon")
        self._readers: dict[str, Reader] = {
            metric: reader(metric, margin) for metric, margin in self.margins.items()
        }
        self._moments = {metric: Moments() for metric in self.margins}
        self.costs = Moments()

    def add(
        self,
        outcome: Outcome,
        *,
        elapsed: float,
        scores: Mapping[str, float] = MappingProxyType({}),
    ) -> None:
        """Take a run in; one that a user cancelled counts nowhere.

        Args:
            outcome: what is known of it.
            elapsed: seconds from its start to its end.
            scores: by kind.
        """
        if outcome.result == "cancelled":
            return
        good = outcome.result == "succeeded" and elapsed <= self._horizon
        seen = Seen(good, elapsed, outcome, scores)
        for metric, read in self._readers.items():
            pair = read(seen)
            if pair is not None:
                self._moments[metric].add(*pair)
        self.costs.add(outcome.cost, 0.0 if outcome.unpriced else 1.0)

    def moments(self, metric: str) -> Moments:
        """The moments of a metric; of a share of runs, that of those that do badly."""
        return self._moments[metric]

    def value(self, metric: str) -> float | None:
        """A metric's value, costs in dollars; None if there is none."""
        return _value(metric, self._moments[metric].ratio)

    def state(self) -> dict[str, Any]:
        """All of it as plain data; `restored` reads it, exactly."""
        return {
            "margins": {metric: margin.to_dict() for metric, margin in self.margins.items()},
            "horizon": None if self._horizon == inf else self._horizon,
            "moments": {metric: each.state() for metric, each in self._moments.items()},
            "costs": self.costs.state(),
        }

    @classmethod
    def restored(cls, state: Mapping[str, Any]) -> Sample:
        """The sample of `state`."""
        margins = {name: Margin.from_dict(each) for name, each in state["margins"].items()}
        sample = cls(margins, horizon=state["horizon"])
        sample._moments = {name: Moments.restored(kept) for name, kept in state["moments"].items()}
        sample.costs = Moments.restored(state["costs"])
        return sample


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """One metric of two sets of runs.

    Attributes:
        metric: its name.
        baseline: its value, costs in dollars; None if there is none.
        version: the same.
        difference: version less baseline; None if there is too little to tell.
        low: the difference is not below, at any look; None with `difference`.
        high: the difference is not above.
        margin: the difference that matters, in the unit of the metric.
        judgement: "better" or "worse": the interval is on one side of 0. "no difference shown": it
            holds 0, and is too narrow to hide one that matters. Else "not enough data".
        runs: of each side that it would take, in all, to see a difference that matters; None if
            the runs so far do not tell.
        dollars: what these runs cost that are not there yet; None without prices.
    """

    metric: str
    baseline: float | None
    version: float | None
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    margin: float | None = None
    judgement: Judgement = "not enough data"
    runs: int | None = None
    dollars: float | None = None

    def __str__(self) -> str:
        unit = 1e9 if self.metric == "cost" else 1.0
        base = parted(self.metric)[0]

        def say(value: float | None, *, signed: bool = False) -> str:
            return amount(base, None if value is None else value * unit, signed=signed)

        text = f"{self.metric}: {say(self.baseline)} -> {say(self.version)}, {self.judgement}"
        if self.difference is not None:
            low, high = say(self.low, signed=True), say(self.high, signed=True)
            text += f" ({say(self.difference, signed=True)}, {low} to {high})"
        if self.judgement == "not enough data" and self.runs is not None:
            dollars = "" if self.dollars is None else f", about ${self.dollars:,.2f} more"
            text += f"; it takes {told(self.runs)} runs of each{dollars}"
        return text


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two sets of runs, metric by metric.

    Attributes:
        metrics: in the order of the margins.
        baseline_runs: of the one.
        version_runs: of the other.
        alpha: the probability, for each metric, that its interval is wrong at any look.
    """

    metrics: tuple[Compared, ...]
    baseline_runs: int
    version_runs: int
    alpha: float

    def __str__(self) -> str:
        return "\n".join(map(str, self.metrics))


def compare(baseline: Sample, version: Sample, *, alpha: float = 0.05) -> Comparison:
    """Compare two sets of runs; it may be asked again whenever there are more.

    Its intervals hold at every look, for runs that are independent and alike on both sides. They do
    not know whether the two sides saw the same work: only a release that draws lots makes sure.

    Args:
        baseline: what is compared with.
        version: what is judged.
        alpha: the probability, for each metric, that its interval is wrong at any look.

    Raises:
        DefinitionError: `alpha` is out of its range.

    >>> from penstock._evidence import Outcome, Sample, compare
    >>> old, new = Sample(), Sample()
    >>> for run in range(400):
    ...     for sample, every in (old, 50), (new, 4):
    ...         result = "failed" if run % every == 0 else "succeeded"
    ...         sample.add(Outcome(result=result), elapsed=1.0)
    >>> print(compare(old, new).metrics[0])
    success: 98 % -> 75 %, worse (-23 %, -30.7 % to -15.3 %)
    """
    alpha = number(alpha, "alpha of compare()", above=0, below=1)
    return Comparison(
        metrics=tuple(
            _compared(metric, margin, baseline, version, alpha)
            for metric, margin in baseline.margins.items()
            if metric in version.margins and margin.direction != "at_most"
        ),
        baseline_runs=baseline.costs.count,
        version_runs=version.costs.count,
        alpha=alpha,
    )


def runs_needed(
    difference: float,
    *,
    deviation: float,
    baseline_deviation: float | None = None,
    share: float = 0.5,
    alpha: float = 0.05,
) -> int:
    """Runs of a version that it takes to see a difference, at a look after every run.

    1.45 · 2 ln(1/alpha) · (v + v_b·share/(1 - share)) / difference², where v are the variances.

    Args:
        difference: that is to be seen; more than 0.
        deviation: of one run of the version.
        baseline_deviation: of one run of the baseline; the same unless given.
        share: of the runs that are the version's.
        alpha: the probability to see one that is not there.

    Raises:
        DefinitionError: a value is out of its range.

    >>> from penstock._evidence import runs_needed
    >>> runs_needed(0.05, deviation=0.14, baseline_deviation=0.14, share=0.1, alpha=0.01)
    117
    """
    difference = number(difference, "difference of runs_needed()", above=0)
    share = number(share, "share of runs_needed()", above=0, below=1)
    alpha = number(alpha, "alpha of runs_needed()", above=0, below=1)
    other = deviation if baseline_deviation is None else baseline_deviation
    spread = deviation * deviation + other * other * share / (1.0 - share)
    return max(1, ceil(FITTED * 2.0 * log(1.0 / alpha) * spread / (difference * difference)))


def _compared(
    metric: str, margin: Margin, baseline: Sample, version: Sample, alpha: float
) -> Compared:
    old, new = baseline.moments(metric), version.moments(metric)
    values = baseline.value(metric), version.value(metric)
    found = contrast([(new, old)])
    if found is None or not found.scale or (metric == "cost" and _unpriced(baseline, version)):
        return Compared(metric=metric, baseline=values[0], version=values[1])
    deviation = _deviation(found, old, new) if parted(metric)[0] in _SHARES else found.deviation
    off = radius(found.runs, deviation, alpha=alpha / 2, best_at=NARROWEST)
    # What was counted of success is the failures.
    sign = -1.0 if metric == "success" or parted(metric)[0] == "scored" else 1.0
    unit = (1e-9 if metric == "cost" else 1.0) / found.scale
    value = sign * found.value * unit
    matters = margin.by * (_whole(metric, found) if margin.relative else 1.0)
    matters *= 1e-9 if metric == "cost" else 1.0
    runs = None
    if matters > 0 and deviation > 0:
        even = sqrt(deviation**2 / (1.0 + found.runs / found.others))
        runs = runs_needed(matters, deviation=even * unit, alpha=alpha / 2)
    low, high = value - off * unit, value + off * unit
    return Compared(
        metric=metric,
        baseline=values[0],
        version=values[1],
        difference=value,
        low=low,
        high=high,
        margin=matters,
        judgement=_judgement(margin, low, high, matters, min(new.count, old.count)),
        runs=runs,
        dollars=_dollars(runs, baseline, version),
    )


def _judgement(margin: Margin, low: float, high: float, matters: float, runs: int) -> Judgement:
    if runs < LEAST_PER_ARM:
        return "not enough data"
    if low > 0 or high < 0:
        return "better" if (low > 0) == (margin.direction == "drop") else "worse"
    return "no difference shown" if max(-low, high) <= matters else "not enough data"


def _deviation(found: Contrast, old: Moments, new: Moments) -> float:
    """That of a difference of shares, as if each side had one good and one bad run more.

    A side without a single bad run has a variance of 0, and would seem to be known exactly.
    """
    parts = [(max(each.up / (each.down or 1.0), 0.0), each) for each in (new, old)]
    spreads: list[float] = []
    for share, each in parts:
        events = each.count * (each.down or 1.0)
        smooth = (share * events + 1.0) / (events + 2.0)
        plain = each.variance(found.baseline)
        spreads.append(max(plain, smooth * (1.0 - smooth) * (each.down or 1.0)))
    return sqrt(spreads[0] + spreads[1] * found.runs / found.others)


def _whole(metric: str, found: Contrast) -> float:
    """The baseline's value, that a relative margin is a share of."""
    return abs(1.0 - found.baseline) if metric == "success" else abs(found.baseline)


def _value(metric: str, ratio: float | None) -> float | None:
    if ratio is None:
        return None
    if (
        METRICS[parted(metric)[0]].direction == "drop"
        and METRICS[parted(metric)[0]].form == "share"
    ):
        return 1.0 - ratio
    return ratio * 1e-9 if metric == "cost" else ratio


def _unpriced(*samples: Sample) -> bool:
    return any(each.costs.down < 0.99 for each in samples)


def _dollars(runs: int | None, baseline: Sample, version: Sample) -> float | None:
    if runs is None or _unpriced(baseline, version):
        return None
    missing = [(max(0, runs - each.costs.count), each.costs.up) for each in (baseline, version)]
    return sum(count * mean for count, mean in missing) * 1e-9
