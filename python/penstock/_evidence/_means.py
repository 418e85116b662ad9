"""Means: running moments, and bounds on the difference of two arms that hold at every look.

Everything is a ratio of two means: cost per success, retries per first attempt; a plain mean is one
whose denominator is always 1. A ratio is compared by linearising it: with R, that of the baseline,
the mean of numerator - R · denominator is 0 for the baseline and for whoever does equally well.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import inf, log, sqrt
from typing import Any, Final

STRATUM_LEAST: Final = 30
"""Runs an arm needs in a stratum before that counts: fewer tell no variance."""


class Moments:
    """Means, variances and covariance of a numerator and a denominator, after Welford. O(1) a run.

    >>> cost_per_success = Moments()
    >>> for cost, success in [(2.0, 1.0), (4.0, 0.0), (3.0, 1.0)]:
    ...     cost_per_success.add(cost, success)
    >>> cost_per_success.ratio
    4.5
    """

    __slots__ = ("both", "count", "down", "down_squares", "up", "up_squares")

    def __init__(self) -> None:
        self.count = 0
        self.up = self.down = 0.0
        self.up_squares = self.down_squares = self.both = 0.0

    def add(self, up: float, down: float = 1.0) -> None:
        """Take a run in: its numerator and its denominator."""
        self.count = count = self.count + 1
        off_up = up - self.up
        self.up += off_up / count
        self.up_squares += off_up * (up - self.up)
        off_down = down - self.down
        if off_down:
            self.down += off_down / count
            self.down_squares += off_down * (down - self.down)
            self.both += off_up * (down - self.down)

    @property
    def ratio(self) -> float | None:
        """The one mean by the other; None if that is 0, as for a cost without a success."""
        return self.up / self.down if self.down else None

    def variance(self, ratio: float) -> float:
        """That of numerator - ratio · denominator."""
        if self.count < 2:
            return 0.0
        squares = self.up_squares + ratio * (ratio * self.down_squares - 2.0 * self.both)
        return max(squares, 0.0) / (self.count - 1)

    def state(self) -> list[Any]:
        """All of it as plain data; `restored` reads it, exactly."""
        return [getattr(self, name) for name in sorted(self.__slots__)]

    @classmethod
    def restored(cls, state: Sequence[Any]) -> Moments:
        """The moments of `state`."""
        moments = cls()
        for name, value in zip(sorted(cls.__slots__), state, strict=True):
            setattr(moments, name, value)
        return moments


def merged(parts: Iterable[Moments]) -> Moments:
    """The moments of all runs together, after Chan, Golub and LeVeque."""
    total = Moments()
    for part in parts:
        count = total.count + part.count
        if part.count == 0:
            continue
        weight = total.count * part.count / count
        up, down = part.up - total.up, part.down - total.down
        total.up_squares += part.up_squares + weight * up * up
        total.down_squares += part.down_squares + weight * down * down
        total.both += part.both + weight * up * down
        total.up += up * part.count / count
        total.down += down * part.count / count
        total.count = count
    return total


@dataclass(frozen=True, slots=True, kw_only=True)
class Contrast:
    """How far the canary is from the baseline, over all strata, in units of the numerator.

    Attributes:
        runs: of the canary.
        others: of the baseline.
        value: mean of numerator - R · denominator in the canary.
        deviation: so that value ± deviation / √runs is one standard error.
        baseline: R, over all strata.
        scale: the canary's mean denominator; value / scale is a difference of ratios.
    """

    runs: int
    others: int
    value: float
    deviation: float
    baseline: float
    scale: float


def contrast(strata: Sequence[tuple[Moments, Moments]]) -> Contrast | None:
    """Compare the canary with the baseline within each stratum, and weigh the strata together.

    Args:
        strata: canary and baseline, by stretches in which the share of the canary was the same.

    Returns:
        None if no stratum has `STRATUM_LEAST` runs an arm, or the baseline has no ratio.
    """
    total = value = spread = up = down = scale = 0.0
    runs = others = 0
    for canary, baseline in strata:
        if canary.count < STRATUM_LEAST or baseline.count < STRATUM_LEAST or not baseline.down:
            continue
        ratio = baseline.up / baseline.down
        weight = canary.count * baseline.count / (canary.count + baseline.count)
        total += weight
        value += weight * (canary.up - ratio * canary.down)
        error = canary.variance(ratio) / canary.count + baseline.variance(ratio) / baseline.count
        spread += weight * weight * error
        up += weight * baseline.up
        down += weight * baseline.down
        scale += weight * canary.down
        runs += canary.count
        others += baseline.count
    if not total or not down:
        return None
    return Contrast(
        runs=runs,
        others=others,
        value=value / total,
        deviation=sqrt(runs * spread) / total,
        baseline=up / down,
        scale=scale / total,
    )


def radius(runs: int, deviation: float, *, alpha: float, best_at: float) -> float:
    """How far a mean of `runs` may be off, at any look, with probability 1 - `alpha`.

    The asymptotic confidence sequence of Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas
    (Time-uniform central limit theory and asymptotic confidence sequences, 2021), one-sided. Both
    sides hold together with twice the alpha.

    Args:
        runs: how many the mean is of; infinite for none.
        deviation: of one run.
        alpha: probability that it is ever further off on this side.
        best_at: runs at which the bound is narrowest.
    """
    if runs < 1:
        return inf
    rho = (2.0 * log(1.0 / alpha) + log(1.0 + 2.0 * log(1.0 / alpha))) / best_at
    grown = runs * rho + 1.0
    return deviation * sqrt(2.0 * grown / (runs * runs * rho) * log(sqrt(grown) / alpha))
