"""Sweep: many policies are forecast in chunks, so that stopping it keeps what is done."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from penstock._simulation._changes import Change
from penstock._simulation._forecast import Forecast

Evaluate: TypeAlias = Callable[[Sequence[Change], int, int], list[Forecast]]
"""Forecasts policies, under common random numbers: the changes, runs of each, the seed."""

Progress: TypeAlias = Callable[[int, int], None]
"""Told after each chunk: how many policies are done, and of how many."""


@dataclass(frozen=True, slots=True)
class Swept:
    """What came of a sweep.

    Attributes:
        forecasts: of the first policies, as many as were done.
        stopped: whether it was interrupted.
    """

    forecasts: tuple[Forecast, ...]
    stopped: bool


def sweep(
    evaluate: Evaluate,
    changes: Sequence[Change],
    *,
    runs: int,
    seed: int,
    progress: Progress | None = None,
    chunk: int = 8,
) -> Swept:
    """Forecast policies; after an interruption (Ctrl-C) those that are done are kept.

    Raises:
        KeyboardInterrupt: nothing was done yet.
    """
    done: list[Forecast] = []
    try:
        while len(done) < len(changes):
            # Small at first, so that there is something to keep, and a bar that moves, early.
            size = min(chunk, max(len(done), 1))
            done += evaluate(changes[len(done) : len(done) + size], runs, seed)
            if progress is not None:
                progress(len(done), len(changes))
    except KeyboardInterrupt:
        if not done:
            raise
        return Swept(tuple(done), stopped=len(done) < len(changes))
    return Swept(tuple(done), stopped=False)


FRESH: Final = 0x9E3779B9
"""What is added to a seed for forecasts that owe nothing to the choice."""
