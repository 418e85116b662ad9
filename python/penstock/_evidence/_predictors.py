"""Predictors: what is known of a run before its deciding node that tells how it will end.

Judged run by run: of fifteen metrics and four lags over 24 windows the best correlation is a median
0.61 with no effect at all.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import erfc, sqrt
from typing import Final, Literal, NamedTuple

from penstock._policies import number

FITTED_ON: Final = 0.7
"""The share of the rows, the oldest, that say in which direction a feature points."""
LEAST_OF_EACH: Final = 10
"""Runs of each outcome that either part needs."""


class Row(NamedTuple):
    """A run.

    Attributes:
        at: when it started.
        good: whether it succeeded, or scored well.
        features: what was known before its deciding node; what is not known is left out.
    """

    at: float
    good: bool
    features: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Predictor:
    """A feature that tells good runs from bad ones, on runs that it was not fitted on.

    Attributes:
        feature: its name.
        direction: which of its values go with success.
        auc: the probability that a good run has the better value, of a good and a bad one.
        p_value: of such an AUC or a greater one if the feature says nothing.
        runs: that it was judged on.
    """

    feature: str
    direction: Literal["high", "low"]
    auc: float
    p_value: float
    runs: int

    def __str__(self) -> str:
        p = "< 0.0001" if self.p_value < 0.0001 else f"= {self.p_value:.2g}"
        goes = f"{self.direction} {self.feature} goes with success"
        return f"{goes}: AUC {self.auc:.2f} on {self.runs:,} later runs, p {p}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Predictors:
    """What predicts success.

    Attributes:
        found: the best first; empty if there is none.
        judged: features with enough runs of both outcomes to judge.
        too_few: features without.
    """

    found: tuple[Predictor, ...]
    judged: tuple[str, ...]
    too_few: tuple[str, ...]

    def __str__(self) -> str:
        if self.found:
            return "\n".join(map(str, self.found))
        few = f"; too few runs to judge {_some(self.too_few)}" if self.too_few else ""
        return f"none of {len(self.judged)} features predicts success{few}"


def _some(names: Sequence[str]) -> str:
    """The first of some names, and how many more there are."""
    more = len(names) - _TOLD
    told = ", ".join(names[:_TOLD])
    return f"{told} and {more} more" if more > 0 else told


def predictors(rows: Sequence[Row], *, false_share: float = 0.05) -> Predictors:
    """Find what predicts success.

    The oldest 70 % of the runs say in which direction each feature points; the rest say whether it
    does, by the rank test of Mann and Whitney. Of those that are reported at most `false_share` are
    false on average (Benjamini and Hochberg, 1995).

    Args:
        rows: the runs, in any order. O(rows · log rows) for each feature.
        false_share: more than 0, below 1.

    Raises:
        DefinitionError: `false_share` is out of its range.

    >>> rows = [
    ...     Row(run, run % 3 > 0, {"wait": float(run % 3 == 0), "noise": run % 7})
    ...     for run in range(300)
    ... ]
    >>> print(predictors(rows))
    low wait goes with success: AUC 1.00 on 90 later runs, p < 0.0001
    """
    limit = number(false_share, "false_share of predictors()", above=0, below=1)
    ordered = sorted(rows, key=lambda row: row.at)
    cut = int(len(ordered) * FITTED_ON)
    judged: list[Predictor] = []
    too_few: list[str] = []
    for feature in sorted({name for row in ordered for name in row.features}):
        found = _judged(feature, ordered[:cut], ordered[cut:])
        if found is None:
            too_few.append(feature)
        else:
            judged.append(found)
    judged.sort(key=lambda each: (each.p_value, each.feature))
    kept = 0
    for rank, each in enumerate(judged, 1):
        if each.p_value <= limit * rank / len(judged):
            kept = rank
    return Predictors(
        found=tuple(sorted(judged[:kept], key=lambda each: -each.auc)),
        judged=tuple(sorted(each.feature for each in judged)),
        too_few=tuple(too_few),
    )


def _judged(feature: str, early: Sequence[Row], late: Sequence[Row]) -> Predictor | None:
    fitted, kept = _split(feature, early), _split(feature, late)
    if min(map(len, (*fitted, *kept))) < LEAST_OF_EACH:
        return None
    high = _auc(*fitted)[0] >= 0.5
    auc, deviation = _auc(*kept)
    auc = auc if high else 1.0 - auc
    p_value = erfc((auc - 0.5) / deviation / sqrt(2.0)) / 2.0 if deviation else 1.0
    runs = len(kept[0]) + len(kept[1])
    direction: Literal["high", "low"] = "high" if high else "low"
    return Predictor(feature=feature, direction=direction, auc=auc, p_value=p_value, runs=runs)


def _split(feature: str, rows: Sequence[Row]) -> tuple[list[float], list[float]]:
    """The values of good runs and of bad ones."""
    known = [(row.good, row.features[feature]) for row in rows if feature in row.features]
    return [value for good, value in known if good], [value for good, value in known if not good]


def _auc(good: Sequence[float], bad: Sequence[float]) -> tuple[float, float]:
    """The area under the curve, and its deviation if the values say nothing, with ties."""
    ordered = sorted(bad)
    above = sum(bisect_left(ordered, each) + bisect_right(ordered, each) for each in good) / 2.0
    n, m = len(good), len(bad)
    total = n + m
    counts: dict[float, int] = {}
    for each in (*good, *bad):
        counts[each] = counts.get(each, 0) + 1
    ties = sum(count**3 - count for count in counts.values())
    spread = (total + 1 - ties / (total * (total - 1))) / (12.0 * n * m)
    return above / (n * m), sqrt(max(spread, 0.0))


_TOLD: Final = 3
