"""Sweep: many policies are forecast in chunks, so that stopping it keeps what is done."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from penstock._simulation._changes import Change
from penstock._simulation._forecast import Forecast
from penstock._simulation._model import Model
from penstock._simulation._scene import World
from penstock._simulation._simulate import sweep as played

if TYPE_CHECKING:
    from penstock._workflows import Workflow

Evaluate: TypeAlias = Callable[[Sequence[Change], int, int], list[Forecast]]
"""Forecasts policies, under common random numbers: the changes, runs of each, the seed.

If it is interrupted it may give the first of them only.
"""

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
    chunk: int = 16,
) -> Swept:
    """Forecast policies; after an interruption (Ctrl-C) those that are done are kept.

    Raises:
        KeyboardInterrupt: nothing was done yet.
    """
    done: list[Forecast] = []
    stopped = False
    try:
        while len(done) < len(changes) and not stopped:
            # Small at first, so that there is something to keep, and a bar that moves, early.
            asked = changes[len(done) : len(done) + min(chunk, max(len(done), 1))]
            found = evaluate(asked, runs, seed)
            done += found
            stopped = len(found) < len(asked)
            if progress is not None and found:
                progress(len(done), len(changes))
    except KeyboardInterrupt:
        stopped = len(done) < len(changes)
    if stopped and not done:
        raise KeyboardInterrupt
    return Swept(tuple(done), stopped=stopped)


def evaluator(
    workflow: Workflow[..., Any],
    model: Model,
    *,
    world: World | None = None,
    threads: int | None = None,
) -> Evaluate:
    """Forecasts by playing the workflow, as `simulate` does.

    Args:
        workflow: to be played.
        model: how it behaves.
        world: what surrounds it.
        threads: that play; as many as there are processors if not given.
    """

    def evaluate(changes: Sequence[Change], runs: int, seed: int) -> list[Forecast]:
        found, _ = played(
            workflow, model, changes, runs=runs, seed=seed, world=world, threads=threads
        )
        return [it for it in takewhile(lambda it: it is not None, found) if it is not None]

    return evaluate


FRESH: Final = 0x9E3779B9
"""What is added to a seed for forecasts that owe nothing to the choice."""
