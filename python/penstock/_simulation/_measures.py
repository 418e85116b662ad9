"""Measures: a forecast from what was played: each figure with the interval that its batches give.

The batches of one simulation are nearly independent: how they differ says how sure a mean of them
is (batch means; Law and Kelton, *Simulation Modeling and Analysis*, 9.5.3). A ratio's interval is
that of its residuals, a quantile's that of the batches' quantiles; Student's t with one degree of
freedom less than there are batches.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import sqrt
from typing import Any, Final, TypeAlias

from penstock._scorecard._histogram import quantiles
from penstock._scorecard._metrics import FAILURES

from ._forecast import LEVEL, NO_DATA, Estimate, Forecast
from ._scene import Scene
from ._student import student

Batch: TypeAlias = Mapping[str, Any]
Count: TypeAlias = Callable[[Batch], Any]
Ends: TypeAlias = tuple[float, float | None]
"""The least and the most that a figure can be."""


def forecast_of(scene: Scene, played: Mapping[str, Any], level: float = LEVEL) -> Forecast:
    """What was played, in figures, with intervals of a level. O(batches)."""
    batches: Sequence[Batch] = played["batches"]
    offered = sum(batch["offered"] for batch in batches)

    def ratio(
        part: Count, whole: Count, *, least: float = 0.0, most: float | None = None
    ) -> Estimate:
        return _ratio(batches, part, whole, (least, most), level)

    metrics: dict[str, Estimate] = {
        "success": ratio(_succeeded, _over, most=1.0),
        "quality": ratio(lambda it: it["rated"][1], lambda it: it["rated"][0], most=1.0),
    }
    metrics |= _times(batches, "latency", lambda it: [it["latency"]], level)
    metrics |= _times(batches, "queue_delay", lambda it: it["queue_delays"], level)
    metrics["retry_burden"] = ratio(_attempts("retry"), _attempts("first"))
    metrics["amplification"] = ratio(_sent, _attempts("first"))
    metrics["cost"] = ratio(lambda it: it["nanos"] / 1e9, _succeeded)
    for number, resource in enumerate(scene.resources):
        spent = _spent(number)
        metrics[f"cost:{resource}"] = ratio(spent, _succeeded)
    metrics["waste"] = ratio(_wasted, lambda it: it["nanos"], most=1.0)
    for number, (queue, slots) in scene.slots.items():
        held = _held(number)
        if any(map(held, batches)):
            room = _room(slots)
            metrics[f"utilisation:{queue}"] = ratio(held, room)
    for number, queue in enumerate(scene.queues):
        waits = _times(batches, "queue_delay", _waits(number), level)
        metrics |= {f"{name}:{queue}": wait for name, wait in waits.items() if wait is not NO_DATA}
    metrics["human_minutes"] = ratio(lambda it: it["minutes"], _offered)
    metrics["throughput"] = ratio(_succeeded, lambda it: it["span"])
    metrics["slot_seconds"] = ratio(lambda it: sum(it["held"]), _offered)
    metrics["refused"] = ratio(lambda it: it["refused"], _offered, most=1.0)
    unfinished = played["unfinished"] / offered if offered else None
    metrics["unfinished"] = Estimate(unfinished, unfinished, unfinished)
    return Forecast(
        metrics=metrics,
        runs=offered,
        level=level,
        extrapolated=(*scene.extrapolated, *_beyond(scene, played)),
    )


def _beyond(scene: Scene, played: Mapping[str, Any]) -> list[str]:
    """Steps of which many attempts had more beside them than the model has seen."""
    return [
        f"{path}: {beyond / attempts:.0%} of its attempts had more beside them than was seen"
        for path, (attempts, beyond) in zip(scene.paths, played["beyond"], strict=True)
        if beyond >= _SEVERAL and beyond / attempts > _MANY
    ]


def _ratio(
    batches: Sequence[Batch], part: Count, whole: Count, ends: Ends, level: float
) -> Estimate:
    parts, wholes = [float(part(it)) for it in batches], [float(whole(it)) for it in batches]
    total = sum(wholes)
    if not total:
        return NO_DATA
    value = sum(parts) / total
    rest = sum((x - value * y) ** 2 for x, y in zip(parts, wholes, strict=True))
    count = len(batches)
    error = sqrt(rest * count / (count - 1)) / total if count > 1 else None
    return _interval(value, count, error, ends, level)


def _times(
    batches: Sequence[Batch],
    name: str,
    counts: Callable[[Batch], Sequence[Mapping[str, int]]],
    level: float,
) -> dict[str, Estimate]:
    """Quantiles of what histograms count, by name. O(buckets)."""
    each = [_merged(counts(batch)) for batch in batches]
    shares = [share / 100 for share in _SHARES]
    of_all = quantiles(_merged(each), *shares)
    of_each = [found for found in (quantiles(it, *shares) for it in each) if found is not None]
    return {
        f"{name}_p{share:g}": NO_DATA
        if of_all is None
        else _quantile(of_all[place], [it[place] for it in of_each], level)
        for place, share in enumerate(_SHARES)
    }


def _merged(parts: Sequence[Mapping[str, int]]) -> Mapping[str, int]:
    if len(parts) == 1:
        return parts[0]
    merged: dict[str, int] = {}
    for part in parts:
        for bucket, count in part.items():
            merged[bucket] = merged.get(bucket, 0) + count
    return merged


def _quantile(value: float, each: Sequence[float], level: float) -> Estimate:
    count = len(each)
    mean = sum(each) / count
    error = sqrt(sum((it - mean) ** 2 for it in each) / (count - 1) / count) if count > 1 else None
    return _interval(value, count, error, (0.0, None), level)


def _interval(value: float, count: int, error: float | None, ends: Ends, level: float) -> Estimate:
    if error is None:
        return Estimate(value, None, None)
    reach = student(count - 1, level) * error
    (least, most), high = ends, value + reach
    return Estimate(value, max(value - reach, least), high if most is None else min(high, most))


def _succeeded(batch: Batch) -> Any:
    return batch["ended"].get("succeeded", 0)


def _over(batch: Batch) -> Any:
    ended = batch["ended"]
    return _succeeded(batch) + sum(ended.get(cause, 0) for cause in FAILURES)


def _offered(batch: Batch) -> Any:
    return batch["offered"]


def _attempts(kind: str) -> Count:
    return lambda batch: batch["attempts"].get(kind, 0)


def _sent(batch: Batch) -> Any:
    attempts = batch["attempts"]
    return attempts.get("first", 0) + attempts.get("retry", 0) + batch["hedges"]


def _wasted(batch: Batch) -> Any:
    return sum(nanos for why, nanos in batch["waste"].items() if why != "useful")


def _spent(number: int) -> Count:
    return lambda batch: batch["resources"][number][1] / 1e9


def _held(number: int) -> Count:
    return lambda batch: batch["held"][number]


def _waits(number: int) -> Callable[[Batch], Sequence[Mapping[str, int]]]:
    return lambda batch: [batch["queue_delays"][number]]


def _room(slots: int) -> Count:
    return lambda batch: slots * batch["span"]


_SHARES: Final = (50, 95, 99)
_MANY: Final = 0.03
"""The share of attempts beyond what was seen from which on a figure is called extrapolated.

What was seen ends where 1 % of the attempts lay beyond.
"""
_SEVERAL: Final = 30
"""Attempts that this takes at least."""
