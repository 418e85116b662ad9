"""Survival: how long things take, from those that ended and those that were cut off before.

What was cut off after a while says that it takes longer than that, and nothing more: it is
right-censored. Leaving it out would leave out what takes long (Kaplan and Meier 1958; with several
ways to end, Aalen and Johansen 1978).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby
from typing import Final

from penstock._simulation._distributions import Distribution

SAMPLES: Final = 200
"""Values of a fitted distribution, at most."""


@dataclass(frozen=True, slots=True)
class Incidence:
    """How much of something has ended in each way by when.

    Attributes:
        jumps: by how, times and the shares that ended then.
        left: the share that was still under way when nobody looked any more.
        longest: the last end that was seen; 0 without any.
    """

    jumps: Mapping[str, Sequence[tuple[float, float]]]
    left: float
    longest: float

    def share(self, *hows: str) -> float:
        """What ends in one of these ways."""
        return sum(part for how in hows for _, part in self.jumps.get(how, ()))

    def times(self, *hows: str) -> list[tuple[float, float]]:
        """When it ends in one of these ways, and the shares of that."""
        return sorted(jump for how in hows for jump in self.jumps.get(how, ()))


def incidence(ends: Iterable[tuple[float, str | None]]) -> Incidence:
    """The share that has ended in each way, by time. O(n log n).

    Args:
        ends: after how long, and how; None for what was cut off. What ends when something is cut
            off at the same time has ended before.

    >>> found = incidence([(1.0, "done"), (2.0, None), (3.0, "done"), (3.0, "error")])
    >>> found.jumps, round(found.left, 9)
    ({'done': [(1.0, 0.25), (3.0, 0.375)], 'error': [(3.0, 0.375)]}, 0.0)
    """
    ordered = sorted(ends, key=lambda it: it[0])
    alive, share, longest = len(ordered), 1.0, 0.0
    jumps: dict[str, list[tuple[float, float]]] = {}
    for time, together in groupby(ordered, key=lambda it: it[0]):
        counts: dict[str | None, int] = {}
        for _, how in together:
            counts[how] = counts.get(how, 0) + 1
        ended = 0
        for how, count in counts.items():
            if how is not None:
                jumps.setdefault(how, []).append((time, share * count / alive))
                ended += count
                longest = time
        share *= 1 - ended / alive
        alive -= sum(counts.values())
    return Incidence(jumps, share, longest)


def sampled(
    jumps: Sequence[tuple[float, float]], most: int = SAMPLES, *, whole: bool = False
) -> Distribution:
    """The distribution of times, as quantiles at equal distances. O(n + most * log n).

    Its mean is that of the times, to 0.2 %: the last value is set for that, as the largest of many
    times says little of those next to it.

    Args:
        jumps: times in their order, one or more, and their weights.
        most: values that are written.
        whole: whether they are whole numbers, and stay so.
    """
    values = [value for value, weight in jumps if weight > 0]
    weights = [weight for _, weight in jumps if weight > 0]
    if values[0] == values[-1]:
        return Distribution.constant(rounded(values[0]))
    sums = list(accumulate(weights))
    alike = max(weights) - min(weights) < _ALIKE * max(weights)
    count = min(len(values), most) if alike else most
    # A small share more, so that sums that are off by a rounding error are not below it.
    places = [bisect_right(sums, sums[-1] * i / (count - 1) * (1 + _ALIKE)) for i in range(count)]
    found = [values[min(place, len(values) - 1)] for place in places]
    if whole:
        return Distribution.samples([float(round(it)) for it in found])
    mean = sum(v * w for v, w in zip(values, weights, strict=True)) / sums[-1]
    return Distribution.samples(_with_mean([rounded(it) for it in found], mean))


def quantile(jumps: Sequence[tuple[float, float]], share: float) -> float | None:
    """The first time by which a share has ended; None if it never is seen to."""
    total = 0.0
    for time, part in jumps:
        total += part
        if total >= share:
            return time
    return None


def rounded(value: float) -> float:
    """To six digits, as nobody reads more."""
    return float(f"{value:.6g}")


def _with_mean(values: list[float], mean: float) -> list[float]:
    """With the last value set, or else all scaled, so that what is drawn has this mean."""
    drawn = Distribution.samples(values).mean()
    if abs(drawn - mean) < _NEAR * mean:
        return values
    rest = drawn - values[-1] / 2 / (len(values) - 1)
    last = (mean - rest) * 2 * (len(values) - 1)
    if last >= values[-2]:
        return [*values[:-1], rounded(last)]
    return [rounded(value * mean / drawn) for value in values]


_ALIKE: Final = 1e-9
_NEAR: Final = 2e-3
