"""Flight: how latency grows with what is under way in a queue."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby, pairwise
from math import exp, log, sqrt
from statistics import fmean, pstdev
from typing import Final

from ._seen import Attempt
from ._survival import incidence, quantile, rounded

Load = list[tuple[float, float]]


def count_in_flight(
    attempts: Sequence[Attempt], others: Mapping[str, Sequence[tuple[float, float]]]
) -> None:
    """Set for each attempt how many were under way in its queue when it started. O(n log n).

    By a sweep over starts and ends, which is exact for a store of one host.

    Args:
        attempts: of the workflow.
        others: by queue, starts and ends of attempts of other workflows.
    """
    queues: dict[str, list[tuple[float, float, Attempt | None]]] = {}
    for it in attempts:
        queues.setdefault(it.queue, []).append((it.start, it.end, it))
    for queue, foreign in others.items():
        if queue in queues:
            queues[queue] += [(start, end, None) for start, end in foreign]
    for spans in queues.values():
        spans.sort(key=lambda it: it[0])
        ends = sorted(end for _, end, _ in spans)
        begun = over = 0
        for start, together in groupby(spans, key=lambda it: it[0]):
            here = [attempt for *_, attempt in together]
            # A slot that is free at this moment is taken in the same one.
            while over < len(ends) and ends[over] <= start:
                over += 1
            # Records have the order of their ends: of those that start together each is in the
            # middle, or what ends first would seem to have started first.
            flight = max(begun - over + (len(here) + 1) / 2, 1.0)
            begun += len(here)
            for attempt in here:
                if attempt is not None:
                    attempt.flight, attempt.crowd = flight, max(begun - over, 1)


def load_of(attempts: Sequence[Attempt]) -> Load:
    """Points of attempts in flight and factor on latency, the last one at the observed p99.

    Bins of equal size are compared by their medians, which what was cut off does not spoil, and
    made to rise (pool adjacent violators). Without a difference that is shown, the factor is 1.

    Args:
        attempts: of a step, one or more.
    """
    ordered = sorted(attempts, key=lambda it: it.flight)
    crowds = sorted(it.crowd for it in attempts)
    p99 = float(crowds[min(int(0.99 * len(crowds)), len(crowds) - 1)])
    first = ordered[0].flight
    bins = _bins(ordered)
    factors = _factors(bins)
    if factors is None:
        return [(1.0, 1.0), (p99, 1.0)] if p99 > 1 else [(1.0, 1.0)]
    points: Load = []
    for found, factor in zip(bins, factors, strict=True):
        middle = rounded(fmean(it.flight for it in found))
        if not points or middle > points[-1][0]:
            points.append((middle, rounded(factor)))
    if first < points[0][0]:
        points[0] = (first, points[0][1])
    if p99 > points[-1][0]:
        points.append((p99, points[-1][1]))
    return points


def factor_at(load: Load, flight: float) -> float:
    """The factor between two points, or at the end beyond."""
    for (low, below), (high, above) in pairwise(load):
        if flight <= high:
            return below + (above - below) * max(flight - low, 0.0) / (high - low)
    return load[-1][1]


def rising(values: Sequence[float], weights: Sequence[float]) -> list[float]:
    """The nearest values that do not fall, by weighted squares: pool adjacent violators.

    >>> rising([1.0, 3.0, 2.0, 5.0], [1, 1, 1, 1])
    [1.0, 2.5, 2.5, 5.0]
    """
    pools: list[tuple[float, float, int]] = []
    for value, weight in zip(values, weights, strict=True):
        pools.append((value, weight, 1))
        while len(pools) > 1 and pools[-2][0] >= pools[-1][0]:
            (low, some, few), (high, more, many) = pools[-2:]
            mean = (low * some + high * more) / (some + more)
            pools[-2:] = [(mean, some + more, few + many)]
    return [value for value, _, count in pools for _ in range(count)]


def _bins(ordered: Sequence[Attempt]) -> list[list[Attempt]]:
    """Of equal size, but those of one flight stay together; at least `LEAST` in each."""
    size = max(LEAST, len(ordered) // MOST)
    bins: list[list[Attempt]] = [[]]
    for attempt in ordered:
        if len(bins[-1]) >= size and bins[-1][-1].flight != attempt.flight:
            bins.append([])
        bins[-1].append(attempt)
    if len(bins) > 1 and len(bins[-1]) < LEAST:
        bins[-2:] = [bins[-2] + bins[-1]]
    return bins


def _factors(bins: Sequence[Sequence[Attempt]]) -> list[float] | None:
    """By bin, the factor on latency; None if no difference is shown."""
    if len(bins) < 2:
        return None
    middles = [_median(found) for found in bins]
    known = [it for it in middles if it is not None]
    if len(known) < len(middles) or min(known) <= 0:
        return None
    logs = [log(it) for it in known]
    errors = [_MEDIAN * _spread(found) / sqrt(len(found)) for found in bins]
    fitted = rising(logs, [len(found) for found in bins])
    if _trend(logs, errors) < SHOWN or fitted[-1] - fitted[0] < log(LEAST_FACTOR):
        return None
    return [exp(it - fitted[0]) for it in fitted]


def _trend(values: Sequence[float], errors: Sequence[float]) -> float:
    """By how many of its standard errors the slope of values, bin by bin, is above 0."""
    weights = [1 / max(error, _EXACT) ** 2 for error in errors]
    total = sum(weights)
    middle = sum(w * place for place, w in enumerate(weights)) / total
    spread = sum(w * (place - middle) ** 2 for place, w in enumerate(weights))
    slope = sum(
        w * (place - middle) * it for place, (w, it) in enumerate(zip(weights, values, strict=True))
    )
    return slope / sqrt(spread)


def _median(found: Iterable[Attempt]) -> float | None:
    ended = incidence((it.seconds, "ended" if it.how in _ENDED else None) for it in found)
    return quantile(ended.times("ended"), 0.5)


def _spread(found: Iterable[Attempt]) -> float:
    """Standard deviation of the logarithm of the times."""
    times = [log(it.seconds) for it in found if it.seconds > 0]
    return pstdev(times) if times else 0.0


LEAST: Final = 30
MOST: Final = 10
SHOWN: Final = 4.0
_EXACT: Final = 1e-3
LEAST_FACTOR: Final = 1.05
_MEDIAN: Final = 1.2533
"""The standard error of a median by that of a mean, for many values of a normal distribution."""
_ENDED: Final = ("done", "error", "fatal")
