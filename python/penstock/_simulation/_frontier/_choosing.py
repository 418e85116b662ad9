"""Choosing: the frontier among points, its knee, and what meets the requirements.

Cost per success and p95 are better when lower, the third axis, success or quality, when higher. A
difference of the third that is within its noise is none: it counts in steps of the usual half of
its interval, or else nearly every point would be the best of something.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from types import MappingProxyType

from penstock._simulation._figures import Requirement
from penstock._simulation._forecast import Forecast

from ._dominance import Objectives, hypervolume, knee, nearest_better, non_dominated


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """What stands out among points.

    Attributes:
        front: the numbers of those that none beats, by cost.
        knee: where the frontier bends most; None if it does not.
        hypervolume: the share that the frontier beats of the room between the best and the worst
            of each axis.
        present_volume: what the present point beats of it.
        better: the nearest point of the frontier that beats the present one; None if none does.
        distance: how far that is, with the frontier as long as 1 on each axis; 0 if none does.
    """

    front: tuple[int, ...]
    knee: int | None
    hypervolume: float
    present_volume: float
    better: int | None
    distance: float


def third_of(forecasts: Sequence[Forecast]) -> str:
    """The third axis: quality where all that succeed have it, else success."""
    known = [it for it in forecasts if it.figure("success").value]
    return (
        "quality"
        if known and all(_value(it, "quality") is not None for it in known)
        else ("success")
    )


def objectives(forecast: Forecast, third: str) -> Objectives | None:
    """The axes, all better when lower; None if one has no data, as where nothing succeeds."""
    cost, slow, good = (_value(forecast, name) for name in ("cost", "latency_p95", third))
    return None if cost is None or slow is None or good is None else (cost, slow, -good)


def choose(
    forecasts: Mapping[int, Forecast],
    third: str,
    *,
    present: int = 0,
    among: Collection[int] | None = None,
    sizes: Mapping[int, int] = MappingProxyType({}),
) -> Chosen:
    """What stands out among forecasts, by number. O(n log n).

    Args:
        forecasts: of points that may stand out; the present one may be missing.
        third: "success" or "quality".
        present: the number of the point that others are held against.
        among: the numbers of those that may stand out; all if not given.
        sizes: how much each changes: of those that are told alike, the one that changes least.
    """
    noise = [_noise(forecasts.values(), name) for name in ("cost", "latency_p95", third)]
    points: dict[int, Objectives] = {}
    for number, forecast in forecasts.items():
        found = objectives(forecast, third)
        if found is not None:
            points[number] = (*found[:2], _rounded(found[2], noise[2]))
    may = [number for number in points if among is None or number in among]
    front = [may[place] for place in non_dominated([points[number] for number in may])]
    front = _each_once(front, points, sizes)
    around = _normalised(points, list(points), noise)
    along = _normalised(points, front, noise)
    bend = knee([along[number] for number in front])
    better = None
    if present in points and present not in front:
        better = nearest_better(along[present], [along[number] for number in front])
    ones = (1.0, 1.0, 1.0)
    return Chosen(
        front=tuple(front),
        knee=None if bend is None else front[bend],
        hypervolume=hypervolume([around[number] for number in front], ones),
        present_volume=hypervolume([around[present]], ones) if present in points else 0.0,
        better=None if better is None else front[better[0]],
        distance=0.0 if better is None else better[1],
    )


def feasible(
    forecasts: Mapping[int, Forecast],
    require: Sequence[Requirement],
    sizes: Mapping[int, int] = MappingProxyType({}),
) -> list[int]:
    """Those that meet all requirements where they are worst, the cheapest first.

    Of those that cost the same, the one that changes least comes first.
    """
    meeting = [
        (_shown(cost), sizes.get(number, 0), number)
        for number, forecast in forecasts.items()
        if (cost := _value(forecast, "cost")) is not None
        and all(each.holds(forecast) for each in require)
    ]
    return [number for *_, number in sorted(meeting)]


def _each_once(
    front: Sequence[int], points: Mapping[int, Objectives], sizes: Mapping[int, int]
) -> list[int]:
    """A frontier by cost, with one of those whose figures are told alike."""
    alike: dict[Objectives, int] = {}
    for number in sorted(front, key=lambda number: (sizes.get(number, 0), number)):
        cost, slow, third = points[number]
        alike.setdefault((_shown(cost), _shown(slow), third), number)
    return sorted(alike.values(), key=lambda number: points[number])


def _shown(value: float) -> float:
    """A value as it is told."""
    return float(f"{value:.3g}")


def _value(forecast: Forecast, metric: str) -> float | None:
    return forecast.figure(metric).value


def _noise(forecasts: Collection[Forecast], metric: str) -> float:
    """The usual half of the intervals."""
    figures = [forecast.figure(metric) for forecast in forecasts]
    halves = [
        (it.high - it.low) / 2 for it in figures if it.high is not None and it.low is not None
    ]
    return median(halves) if halves else 0.0


def _rounded(value: float, step: float) -> float:
    return round(value / step) * step if step > 0 else value


def _normalised(
    points: Mapping[int, Objectives], among: Sequence[int], noise: Sequence[float]
) -> dict[int, Objectives]:
    """Points with 0 for the best of some and 1 for the worst, or for more if that is but noise."""
    if not among:
        return {}
    columns = list(zip(*(points[number] for number in among), strict=True))
    lows = [min(column) for column in columns]
    widths = [
        max(max(column) - low, 2 * step) or 1.0
        for column, low, step in zip(columns, lows, noise, strict=True)
    ]
    return {
        number: tuple(
            (value - low) / width for value, low, width in zip(point, lows, widths, strict=True)
        )
        for number, point in points.items()
    }
