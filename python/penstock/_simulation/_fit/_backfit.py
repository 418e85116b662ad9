"""Backfit: how latency grows with load, apart from the good and bad times that cause load."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from statistics import median
from typing import Final

from ._flight import Load, count_in_flight, factor_at, load_of
from ._outages import mark_outages
from ._seen import Attempt, Seen


def loads_apart(seen: Sequence[Seen]) -> dict[str, Load]:
    """By step, how its latency grows with what is under way, told apart from drift.

    In a slow hour more is under way because all is slow, which looks as if it were slow because
    more is under way. Each stretch of time has a speed of its own, and all have one load, which are
    fitted in turn (backfitting; Hastie and Tibshirani 1986).

    Args:
        seen: in each stretch.
    """
    steps: dict[str, list[list[Attempt]]] = {}
    for place, stretch in enumerate(seen):
        times = [attempt.start for attempt in stretch.attempts]
        if times:
            mark_outages(stretch.attempts, min(times), max(times))
        count_in_flight(stretch.attempts, stretch.others)
        for attempt in stretch.attempts:
            if not attempt.outage:
                steps.setdefault(attempt.step, [[] for _ in seen])[place].append(attempt)
    return {step: _load(stretches) for step, stretches in steps.items()}


def _load(stretches: Sequence[Sequence[Attempt]]) -> Load:
    load: Load = [(1.0, 1.0)]
    for _ in range(_ROUNDS):
        speeds = [_speed(attempts, load) for attempts in stretches]
        load = load_of(
            [
                replace(attempt, start=0.0, end=attempt.seconds / speed)
                for attempts, speed in zip(stretches, speeds, strict=True)
                for attempt in attempts
            ]
        )
    return load


def _speed(attempts: Sequence[Attempt], load: Load) -> float:
    """What an attempt takes alone, in the middle; 1 where that is not known."""
    alone = [it.seconds / factor_at(load, it.flight) for it in attempts if it.how == "done"]
    return (median(alone) or 1.0) if alone else 1.0


_ROUNDS: Final = 5
