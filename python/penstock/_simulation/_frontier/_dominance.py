"""Dominance: which of many points no other beats, how much they cover, and where the knee is.

Points are two or three numbers each, all of which are better when lower.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from math import dist
from typing import Final, TypeAlias

Objectives: TypeAlias = tuple[float, ...]


def non_dominated(points: Sequence[Objectives]) -> list[int]:
    """The places of those that no other is as good as in everything, and better in something.

    Equal points don't beat each other. O(n log n): after sorting by the first number, what was seen
    so far is a staircase over the other two (Kung, Luccio, Preparata 1975).
    """
    by_place: dict[tuple[float, float, float], list[int]] = {}
    for place, point in enumerate(points):
        by_place.setdefault(_three(point), []).append(place)
    stairs = _Staircase()
    kept: list[int] = []
    for point in sorted(by_place):
        if not stairs.covers(point[1], point[2]):
            stairs.add(point[1], point[2])
            kept += by_place[point]
    return sorted(kept)


def hypervolume(points: Sequence[Objectives], reference: Objectives) -> float:
    """The volume of what is beaten by some point, up to a reference that is worse than all of them.

    What a point has beyond the reference counts for nothing. O(n log n): the area that is beaten
    grows as a plane moves through the last number.
    """
    most = _three(reference, 1.0)
    inside = sorted(
        (z, x, y) for x, y, z in map(_three, points) if x < most[0] and y < most[1] and z < most[2]
    )
    stairs = _Staircase(most[0], most[1])
    volume, area, level = 0.0, 0.0, 0.0
    for z, x, y in inside:
        volume += area * (z - level)
        level = z
        if not stairs.covers(x, y):
            area += stairs.add(x, y)
    return volume + area * (most[2] - level)


def knee(points: Sequence[Objectives]) -> int | None:
    """The place where a frontier bends most: the farthest from the chord between its ends.

    Points are of the frontier, and normalised: 0 is the best of each number and 1 the worst. The
    chord is where the numbers add up to the same as at its ends; None if nothing lies below it, or
    there are less than three different points.
    """
    if len(set(points)) < 3:
        return None
    sums = [sum(point) for point in points]
    least = min(sums)
    ends = [
        min(sums[place] for place, point in enumerate(points) if point[axis] == best)
        for axis, best in enumerate(map(min, zip(*points, strict=True)))
    ]
    return sums.index(least) if least < min(ends) - _NEAR else None


def nearest_better(point: Objectives, others: Sequence[Objectives]) -> tuple[int, float] | None:
    """Of those that beat a point, the nearest, and how far it is; None if none does."""
    better = [
        (dist(point, other), place)
        for place, other in enumerate(others)
        if other != point and all(a <= b for a, b in zip(other, point, strict=True))
    ]
    if not better:
        return None
    distance, place = min(better)
    return place, distance


class _Staircase:
    """Pairs of which none beats another, in the order of their first number.

    Args:
        wide: up to where area counts, in the first number.
        high: likewise, in the second.
    """

    def __init__(self, wide: float = 0.0, high: float = 0.0) -> None:
        self._wide, self._high = wide, high
        self._xs: list[float] = []
        self._ys: list[float] = []

    def covers(self, x: float, y: float) -> bool:
        """Whether some pair is as good in both."""
        place = bisect_right(self._xs, x)
        return place > 0 and self._ys[place - 1] <= y

    def add(self, x: float, y: float) -> float:
        """Take in a pair that is not covered; how much more area is beaten then."""
        place = end = bisect_left(self._xs, x)
        while end < len(self._xs) and self._ys[end] >= y:
            end += 1
        gained, left = 0.0, x
        height = self._ys[place - 1] if place else self._high
        for step in range(place, end):
            gained += (self._xs[step] - left) * (height - y)
            left, height = self._xs[step], self._ys[step]
        right = self._xs[end] if end < len(self._xs) else self._wide
        gained += (right - left) * (height - y)
        self._xs[place:end] = [x]
        self._ys[place:end] = [y]
        return gained


def _three(point: Objectives, rest: float = 0.0) -> tuple[float, float, float]:
    """A point with a third number, if it has only two."""
    x, y, *others = point
    return x, y, others[0] if others else rest


_NEAR: Final = 1e-12
