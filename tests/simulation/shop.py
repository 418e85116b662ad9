"""A shop whose figures follow from its policy by a formula: a stand-in for the simulator."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from penstock._simulation import Arrivals, Choice, Distribution, Model, StepModel
from penstock._simulation._changes import Change
from penstock._simulation._forecast import Estimate, Forecast
from penstock._simulation._steps import ScoresSeen
from simulation.flows import support

STEPS = ("small", "medium", "large", "check", "send")
Scores = Mapping[str, ScoresSeen]


def model(seen: Scores = MappingProxyType({})) -> Model:
    steps = {
        name: StepModel(
            latency=Distribution.constant(0.2),
            scores=[0.1, 0.9],
            scores_seen=seen.get(name, "all"),
        )
        for name in STEPS
    }
    return Model(
        workflow=support.name,
        arrivals=Arrivals(rate=2.0),
        steps=steps,
        choices={"support/pages": Choice(count=Distribution.constant(2.0))},
    )


def shop(
    *, noise: float = 0.0, quality: bool = False, stop_after: int | None = None
) -> Callable[[Sequence[Change], int, int], list[Forecast]]:
    """Forecasts by a formula: more attempts cost more and fail less, more slots wait less.

    Args:
        noise: standard deviation of each figure, as a share of it; another one for each seed.
        quality: whether it is known.
        stop_after: Ctrl-C after so many policies.
    """
    count = 0

    def evaluate(changes: Sequence[Change], runs: int, seed: int) -> list[Forecast]:
        nonlocal count
        count += len(changes)
        if stop_after is not None and count > stop_after:
            raise KeyboardInterrupt
        return [_forecast(change, runs, seed, noise, quality=quality) for change in changes]

    return evaluate


def _forecast(change: Change, runs: int, seed: int, noise: float, *, quality: bool) -> Forecast:
    drawn = random.Random(f"{seed}{change.texts}")
    slots: Any = change.queues["gpt"].concurrency if "gpt" in change.queues else 8
    attempts = change.retry["small"].max_attempts if "small" in change.retry else 3
    success = 1 - 0.2**attempts
    cost = 0.01 * attempts / success + 0.0005 * slots
    slow = 0.5 * attempts + 16 / slots

    def figure(value: float, spread: float, scale: float = 1.0) -> Estimate:
        value = value * (1 + scale * drawn.gauss(0, noise))
        half = 1.96 * noise * scale * value + spread
        return Estimate(value, value - half, value + half)

    metrics = {
        "success": figure(success, 1e-4, 0.05),
        "latency_p95": figure(slow, 1e-4),
        "cost": figure(cost, 1e-6),
        "throughput": figure(2.0 * success, 0.0),
        "quality": figure(0.9, 1e-3) if quality else Estimate(None, None, None),
        "queue_delay_p95": figure(8 / slots, 1e-4),
        "utilisation:gpt": figure(min(1.0, 4 / slots), 1e-4),
    }
    return Forecast(metrics=metrics, runs=runs)
