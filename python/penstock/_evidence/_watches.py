"""Watches: one criterion each: what was seen of its metric, and what that shows.

A watch takes the pairs of the runs of both arms in start order and tells at any time whether the
candidate is shown to be worse, or shown to be no worse than the margin.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, log
from typing import Any, Final, Protocol

from ._failures import HarmTest, LimitTest, NoWorseTest
from ._margins import Margin
from ._means import STRATUM_LEAST, Contrast, Moments, contrast, merged, radius
from ._outcomes import METRICS, Metric, Pair, parted
from ._words import amount, number, percent, times

LEAST_PER_ARM: Final = 100
"""Runs that a bound on a mean needs in each arm."""
HARM_BEST_AT: Final = 200
SHOWN_BEST_AT: Final = 3_000
"""Canary runs at which the bounds are narrowest: harm is sought early, safety shown late."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What is known of one criterion.

    Attributes:
        criterion: the metric.
        objective: whether it is an objective; else it is a guardrail.
        canary_runs: that say something of it.
        baseline_runs: that say something of it.
        canary: the metric's value, a share of bad runs for "success", "latency" and "scored"; None
            if there is none yet. Costs are in dollars.
        baseline: the same of the baseline.
        e_value: of the test that was asked for; None for means.
        bound: the difference that holds at every look; None for shares.
        said: all of it in a sentence.
    """

    criterion: str
    objective: bool
    canary_runs: int
    baseline_runs: int
    canary: float | None
    baseline: float | None
    e_value: float | None
    bound: float | None
    said: str

    def __str__(self) -> str:
        return self.said


class Watch(Protocol):
    """One criterion."""

    def add(self, pair: Pair, *, canary: bool, share: float) -> None:
        """Take a run in."""
        ...

    def harmed(self) -> bool:
        """Whether the candidate is shown to be worse, and looks worse by more than the margin."""
        ...

    def shown(self) -> bool:
        """Whether the candidate is shown to be no worse than the margin."""
        ...

    def evidence(self, *, harm: bool, noun: str) -> Evidence:
        """What is known, of harm or of its absence."""
        ...

    def state(self) -> dict[str, Any]:
        """All of it as plain data."""
        ...

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state` told."""
        ...


class ShareWatch:
    """A share of runs that do badly: exact tests, by `HarmTest` and `NoWorseTest`."""

    def __init__(
        self, metric: str, margin: Margin, *, objective: bool, alpha: float, alpha_promote: float
    ) -> None:
        self._metric, self._margin, self._objective = metric, margin, objective
        self._limit = log(1.0 / alpha)
        self._shown_limit = log(1.0 / alpha_promote)
        self._harm = HarmTest()
        self._offset, self._slope = _edge(METRICS[parted(metric)[0]], margin)
        self._no_worse = NoWorseTest(offset=self._offset, slope=self._slope) if objective else None
        # By stratum: its share, then failures and runs of the canary and of the baseline.
        self._strata: list[list[float]] = []

    def add(self, pair: Pair, *, canary: bool, share: float) -> None:
        failure = pair[0]
        strata = self._strata
        if not strata or strata[-1][0] != share:
            strata.append([share, 0.0, 0, 0.0, 0])
        counts = strata[-1]
        if canary:
            counts[1] += failure
            counts[2] += 1
        else:
            counts[3] += failure
            counts[4] += 1
        if self._no_worse is not None:
            self._no_worse.ran(failure, canary=canary, share=share)
        if failure:
            self._harm.failed(failure, canary=canary, share=share)

    def harmed(self) -> bool:
        return self._harm.log_e >= self._limit and self._looks_worse()

    def _looks_worse(self) -> bool:
        excess = total = 0.0
        for _, failed, runs, others_failed, others in self._strata:
            if runs and others:
                weight = runs * others / (runs + others)
                edge = self._offset + self._slope * others_failed / others
                excess += weight * (failed / runs - edge)
                total += weight
        return total > 0 and excess >= 0

    def shown(self) -> bool:
        return self._no_worse is not None and self._no_worse.log_e >= self._shown_limit

    def evidence(self, *, harm: bool, noun: str) -> Evidence:
        failed, runs, others_failed, others = (
            sum(counts[place] for counts in self._strata) for place in (1, 2, 3, 4)
        )
        test = self._harm if harm or self._no_worse is None else self._no_worse
        needed = exp(self._limit if test is self._harm else self._shown_limit)
        base, kind = parted(self._metric)
        what = METRICS[base].phrase
        if base == "latency":
            what = f"{what} {number(self._margin.over or 0.0)} s:"
        elif kind:
            what = f"{what} ({kind}):"
        value = test.e_value
        compared = f"{number(value)} {'>=' if value >= needed else '<'} {number(needed)}"
        aim = "" if test is self._harm else f"; worse by less than {_told(self._margin)}"
        return Evidence(
            criterion=self._metric,
            objective=self._objective,
            canary_runs=int(runs),
            baseline_runs=int(others),
            canary=failed / runs if runs else None,
            baseline=others_failed / others if others else None,
            e_value=value,
            bound=None,
            said=(
                f"{what} {number(failed)} of {number(runs)} canary {noun}, {number(others_failed)} "
                f"of {number(others)} baseline {noun}{aim}; e-value {compared}"
            ),
        )

    def state(self) -> dict[str, Any]:
        return {
            "harm": self._harm.state(),
            "no_worse": None if self._no_worse is None else self._no_worse.state(),
            "strata": [list(counts) for counts in self._strata],
        }

    def restore(self, state: dict[str, Any]) -> None:
        self._harm = HarmTest.restored(state["harm"])
        kept = state["no_worse"]
        self._no_worse = None if kept is None else NoWorseTest.restored(kept)
        self._strata = [list(counts) for counts in state["strata"]]


class RatioWatch:
    """A mean, or the ratio of two: confidence sequences that hold at every look."""

    def __init__(
        self, metric: str, margin: Margin, *, objective: bool, alpha: float, alpha_promote: float
    ) -> None:
        self._metric, self._objective = metric, objective
        self._alpha, self._alpha_promote = alpha, alpha_promote
        self._sign = 1.0 if margin.direction == "rise" else -1.0
        self._by, self._relative = margin.by, margin.relative
        self._strata: list[tuple[float, Moments, Moments]] = []
        self._totals = [0, 0]

    def add(self, pair: Pair, *, canary: bool, share: float) -> None:
        strata = self._strata
        if not strata or strata[-1][0] != share:
            strata.append((share, Moments(), Moments()))
        _, moments, others = strata[-1]
        (moments if canary else others).add(*pair)
        self._totals[0 if canary else 1] += 1

    def _contrast(self) -> Contrast | None:
        if min(self._totals) < LEAST_PER_ARM:
            return None
        found = contrast([(canary, baseline) for _, canary, baseline in self._strata])
        return (
            found if found is not None and min(found.runs, found.others) >= LEAST_PER_ARM else None
        )

    def _looks_worse(self) -> bool:
        totals = self._totals
        if totals[0] < LEAST_PER_ARM or totals[1] < LEAST_PER_ARM:
            return False
        by, relative = self._by, self._relative
        excess = 0.0
        for _, canary, baseline in self._strata:
            runs, others = canary.count, baseline.count
            if runs >= STRATUM_LEAST and others >= STRATUM_LEAST and baseline.down:
                ratio = baseline.up / baseline.down
                off = self._sign * (canary.up - ratio * canary.down)
                off -= by * canary.down * (abs(ratio) if relative else 1.0)
                excess += off * runs * others / (runs + others)
        return excess > 0

    def _edge(self, found: Contrast) -> float:
        """The margin, in the unit of the contrast's value."""
        return self._by * found.scale * (abs(found.baseline) if self._relative else 1.0)

    def harmed(self) -> bool:
        # Most looks end here: the bound is only worked out for what looks worse.
        found = self._contrast() if self._looks_worse() else None
        if found is None:
            return False
        off = radius(found.runs, found.deviation, alpha=self._alpha, best_at=HARM_BEST_AT)
        return self._sign * found.value > off

    def shown(self) -> bool:
        found = self._contrast()
        if found is None:
            return False
        off = radius(found.runs, found.deviation, alpha=self._alpha_promote, best_at=SHOWN_BEST_AT)
        return self._sign * found.value + off < self._edge(found)

    def evidence(self, *, harm: bool, noun: str) -> Evidence:
        canary = merged(moments for _, moments, _ in self._strata)
        baseline = merged(moments for _, _, moments in self._strata)
        cost = self._metric == "cost"
        if cost and not canary.up and not baseline.up:
            return self._without_spend(canary.count, baseline.count, noun)
        found = self._contrast()
        bound = None
        if found is not None and found.scale:
            alpha, best = (
                (self._alpha, HARM_BEST_AT) if harm else (self._alpha_promote, SHOWN_BEST_AT)
            )
            off = radius(found.runs, found.deviation, alpha=alpha, best_at=best)
            off *= -self._sign if harm else self._sign
            bound = (found.value + off) / found.scale
        base, kind = parted(self._metric)
        what = f"{METRICS[base].phrase}{f' ({kind})' if kind else ''}"
        said = (
            f"{what} {amount(base, canary.ratio)} in {number(canary.count)} canary {noun}, "
            f"{amount(base, baseline.ratio)} in {number(baseline.count)} baseline {noun}"
        )
        if found is not None and bound is not None:
            side = "least" if (self._sign > 0) == harm else "most"
            said += (
                f"; difference {amount(base, found.value / found.scale, signed=True)}, at {side} "
                f"{amount(base, bound, signed=True)} at any look"
            )
        unit = 1e-9 if cost else 1.0
        return Evidence(
            criterion=self._metric,
            objective=self._objective,
            canary_runs=canary.count,
            baseline_runs=baseline.count,
            canary=times(canary.ratio, unit),
            baseline=times(baseline.ratio, unit),
            e_value=None,
            bound=times(bound, unit),
            said=said,
        )

    def _without_spend(self, canary: int, baseline: int, noun: str) -> Evidence:
        """That nothing was spent says nothing of what a success costs."""
        said = (
            f"{METRICS['cost'].phrase}: no data, as nothing was spent in {number(canary)} canary "
            f"{noun} and {number(baseline)} baseline {noun}"
        )
        return Evidence(
            criterion=self._metric,
            objective=self._objective,
            canary_runs=canary,
            baseline_runs=baseline,
            canary=None,
            baseline=None,
            e_value=None,
            bound=None,
            said=said,
        )

    def state(self) -> dict[str, Any]:
        return {
            "strata": [[share, one.state(), two.state()] for share, one, two in self._strata],
            "totals": list(self._totals),
        }

    def restore(self, state: dict[str, Any]) -> None:
        self._strata = [
            (share, Moments.restored(one), Moments.restored(two))
            for share, one, two in state["strata"]
        ]
        self._totals = list(state["totals"])


class LimitWatch:
    """A bound on all runs of both arms, which share a line: harm is harm to the service."""

    def __init__(
        self, metric: str, margin: Margin, *, objective: bool, alpha: float, alpha_promote: float
    ) -> None:
        del objective, alpha_promote  # A bound on both arms is a guardrail.
        self._metric, self._margin = metric, margin
        self._limit = 1.0 / alpha
        self._test = LimitTest(margin.by)
        self._counts = [0.0, 0, 0.0, 0]

    def add(self, pair: Pair, *, canary: bool, share: float) -> None:
        del share
        self._test.ran(pair[0])
        place = 0 if canary else 2
        self._counts[place] += pair[0]
        self._counts[place + 1] += 1

    def harmed(self) -> bool:
        return self._test.e_value >= self._limit

    def shown(self) -> bool:
        return False

    def evidence(self, *, harm: bool, noun: str) -> Evidence:
        del harm
        over, runs, others_over, others = self._counts
        value = self._test.e_value
        sign = ">=" if value >= self._limit else "<"
        what = f"{METRICS[parted(self._metric)[0]].phrase} {number(self._margin.over or 0.0)} s"
        return Evidence(
            criterion=self._metric,
            objective=False,
            canary_runs=int(runs),
            baseline_runs=int(others),
            canary=over / runs if runs else None,
            baseline=others_over / others if others else None,
            e_value=value,
            bound=None,
            said=(
                f"{what}: {number(over + others_over)} of {number(runs + others)} {noun} of both "
                f"arms, {percent(self._margin.by)} allowed; e-value {number(value)} {sign} "
                f"{number(self._limit)}"
            ),
        )

    def state(self) -> dict[str, Any]:
        return {"test": self._test.state(), "counts": list(self._counts)}

    def restore(self, state: dict[str, Any]) -> None:
        self._test = LimitTest.restored(state["test"])
        self._counts = list(state["counts"])


def watch(
    metric: str, margin: Margin, *, objective: bool, alpha: float, alpha_promote: float
) -> Watch:
    """The watch of a criterion."""
    form = METRICS[parted(metric)[0]].form
    kinds: dict[str, type[ShareWatch | RatioWatch | LimitWatch]] = {
        "share": ShareWatch,
        "ratio": RatioWatch,
        "limit": LimitWatch,
    }
    kind = kinds[form]
    return kind(metric, margin, objective=objective, alpha=alpha, alpha_promote=alpha_promote)


def _edge(metric: Metric, margin: Margin) -> tuple[float, float]:
    """The failure rate that is too much, as an offset and a slope on the baseline's."""
    if not margin.relative:
        return margin.by, 1.0
    if metric.direction == "rise":
        return 0.0, 1.0 + margin.by
    # It is what does not fail that may drop by a share.
    return margin.by, 1.0 - margin.by


def _told(margin: Margin) -> str:
    if margin.relative:
        return f"{percent(margin.by)} of the baseline"
    return f"{number(100 * margin.by)} {'point' if margin.by == 0.01 else 'points'}"
