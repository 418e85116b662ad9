"""Coming: when runs start: evenly, in bursts, or as they did."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import pairwise
from math import exp, expm1, sqrt
from statistics import fmean
from typing import Final, Literal, TypeAlias

from penstock._simulation._arrivals import Arrivals

from ._survival import rounded

Wanted: TypeAlias = Literal["auto", "poisson", "bursty", "trace"]


def arrivals_of(accepted: Sequence[float], wanted: Wanted, gaps: list[str]) -> Arrivals:
    """When runs start. O(n log n).

    Args:
        accepted: when runs were accepted, two or more, sorted.
        wanted: which kind; "auto" for bursts where they are shown.
        gaps: what is not known.
    """
    span = accepted[-1] - accepted[0]
    if not span:
        gaps.append("arrivals: all runs started at once; one a second is taken")
        return Arrivals(rate=1.0)
    rate = (len(accepted) - 1) / span
    if wanted == "trace":
        return _trace(accepted, gaps)
    if wanted == "poisson" or len(accepted) < _LEAST:
        if len(accepted) < _LEAST:
            gaps.append(f"arrivals: {len(accepted)} runs are too few to tell whether they burst")
        return Arrivals(rate=rounded(rate))
    curve = dispersion(accepted, rate)
    over = max(curve, key=lambda it: it[2], default=None)
    if wanted == "bursty" or (over is not None and over[2] > _SHOWN and over[1] > _LEAST_OVER):
        found = two_states(accepted, rate, curve)
        if found is not None:
            return found
        if wanted == "bursty":
            gaps.append("arrivals: no bursts are shown; runs are taken to know nothing of another")
    elif any(z < -_SHOWN for *_, z in curve):
        gaps.append("arrivals: they are more even than chance would have it; a trace keeps that")
    return Arrivals(rate=rounded(rate))


def dispersion(accepted: Sequence[float], rate: float) -> list[tuple[float, float, float]]:
    """By width of a window, variance by mean of its count, and how far that is from chance.

    Of runs that know nothing of each other it is 1, and (windows - 1) times it a chi-square.
    """
    span = accepted[-1] - accepted[0]
    widths: list[float] = []
    width = _FIRST / rate
    while width < span / _WINDOWS:
        widths.append(width)
        width *= 2
    found: list[tuple[float, float, float]] = []
    for width in widths:
        counts = _counts(accepted, width)
        mean = fmean(counts)
        variance = sum((count - mean) ** 2 for count in counts) / (len(counts) - 1)
        index = variance / mean
        found.append((width, index, (index - 1) / sqrt(2 / (len(counts) - 1))))
    return found


def two_states(
    accepted: Sequence[float], rate: float, curve: Sequence[tuple[float, float, float]]
) -> Arrivals | None:
    """The calm and the busy state by moments; None if the counts have none.

    The dispersion of a two-state Markov-modulated Poisson process rises with the width w of the
    window to I, as I (1 - (1 - exp(-rw)) / rw), with r the sum of the rates at which the states
    end (Heffes and Lucantoni 1986). The third factorial cumulant tells how long the busy one is.
    """
    span = accepted[-1] - accepted[0]
    best: tuple[float, float, float] | None = None
    for power in range(_TURNS + 1):
        turn = (rate * span) ** (power / _TURNS) / span
        # How far an index is off by chance grows with it, and with the width of its windows.
        rows = [
            (1 + expm1(-turn * w) / (turn * w), index - 1, 1 / (w * max(index, 1.0) ** 2))
            for w, index, _ in curve
        ]
        squares = sum(weight * shape**2 for shape, _, weight in rows)
        limit = sum(weight * shape * over for shape, over, weight in rows) / squares
        off = sum(weight * (limit * shape - over) ** 2 for shape, over, weight in rows)
        if limit > 0 and (best is None or off < best[0]):
            best = off, turn, limit
    if best is None:
        return None
    _, turn, limit = best
    variance = limit * rate * turn / 2
    busy = _busy_share(accepted, turn, variance, curve)
    step = sqrt(variance / (busy * (1 - busy)))
    calm_rate = rate - busy * step
    if calm_rate < rate * _LEAST_RATE:
        calm_rate = rate * _LEAST_RATE
        lift = (rate - calm_rate) ** 2
        busy = lift / (variance + lift)
        step = (rate - calm_rate) / busy
    return Arrivals(
        kind="bursty",
        rate=rounded(rate),
        burst=rounded(1 + step / calm_rate),
        calm=rounded(1 / (busy * turn)),
        busy=rounded(1 / ((1 - busy) * turn)),
    )


def _busy_share(
    accepted: Sequence[float],
    turn: float,
    variance: float,
    curve: Sequence[tuple[float, float, float]],
) -> float:
    """The share of time in the busy state, from how lopsided the counts are."""
    width = min((w for w, *_ in curve), key=lambda w: abs(w * turn - _WIDE))
    counts = _counts(accepted, width)
    mean = fmean(counts)
    off = [count - mean for count in counts]
    second = fmean(each**2 for each in off)
    third = fmean(each**3 for each in off)
    x = width * turn
    # Of the integral of the rate over a window, by the third cumulant of the rate.
    part = 6 * ((x - 2) + (x + 2) * exp(-x)) / x**3 if x > _TINY else 1.0
    cumulant = (third - 3 * second + 2 * mean) / (width**3 * part)
    skew = float(cumulant / variance**1.5)
    return min(max((1 - skew / sqrt(4 + skew**2)) / 2, _LEAST_SHARE), 1 - _LEAST_SHARE)


def _counts(accepted: Sequence[float], width: float) -> list[int]:
    """How many started in each window of this width; the last, which is cut off, is left out."""
    start = accepted[0]
    windows = int((accepted[-1] - start) / width)
    edges = [bisect_left(accepted, start + width * place) for place in range(windows + 1)]
    return [high - low for low, high in pairwise(edges)]


def _trace(accepted: Sequence[float], gaps: list[str]) -> Arrivals:
    kept = accepted[-_TRACE - 1 :]
    if len(kept) < len(accepted):
        gaps.append(f"arrivals: the trace has the newest {_TRACE:,} of {len(accepted):,} runs")
    return Arrivals(kind="trace", gaps=[rounded(high - low) for low, high in pairwise(kept)])


_LEAST: Final = 200
_SHOWN: Final = 4.0
_LEAST_OVER: Final = 1.2
_FIRST: Final = 4.0
_WINDOWS: Final = 30
_TURNS: Final = 80
_WIDE: Final = 0.5
_LEAST_RATE: Final = 0.01
_LEAST_SHARE: Final = 0.01
_TRACE: Final = 10_000
_TINY: Final = 1e-3
