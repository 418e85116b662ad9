"""Simulate: play a workflow under one or more policies, and tell what each would come to."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from penstock import _engine
from penstock._errors import DefinitionError
from penstock._policies import number, whole

from ._changes import Change
from ._forecast import LEVEL, Forecast
from ._measures import forecast_of
from ._model import Model
from ._scene import Scene, World, scene_of

if TYPE_CHECKING:
    from penstock._workflows import Workflow


def simulate(
    workflow: Workflow[..., Any],
    model: Model,
    changes: Sequence[Change] | None = None,
    *,
    runs: int = 20_000,
    seed: int = 0,
    level: float = LEVEL,
    world: World | None = None,
    threads: int | None = None,
    progress: Callable[[int], object] | None = None,
) -> list[Forecast]:
    """What a workflow would come to under each of some policies.

    Each is played by the engine that runs production, in virtual time, with the same luck: the same
    arrivals, and the same draws for the same attempts. The figures are those of endlessly many
    runs, and the intervals say how sure they are; `predict` says what some real ones come to.

    Args:
        workflow: to be played.
        model: how it behaves.
        changes: the policies; only the present one if not given.
        runs: that come, besides 5 % before them that are not counted.
        seed: the same seed gives the same forecast.
        level: of the intervals: how likely each is to hold the figure.
        world: what surrounds it.
        threads: that play, one policy each; as many as there are processors if not given.
        progress: is told, ten times a second, how many runs came in all.

    Raises:
        DefinitionError: the model is not one of the workflow, or a policy can't be simulated.
        KeyboardInterrupt: somebody had it stop; `sweep` keeps what is done.

    Cost:
        About 1 µs for each attempt (see docs/frontier.md), without the interpreter's lock.

    >>> import penstock as ps
    >>> @ps.step
    ... async def shout(word: str) -> str:
    ...     return word.upper()
    >>> workflow = shout.as_workflow()
    >>> model = Model.of(workflow, default_latency=0.2, rate=5.0)
    >>> (forecast,) = simulate(workflow, model, runs=1_000)
    >>> forecast.metrics["success"].value
    1.0
    """
    found, interrupted = sweep(
        workflow,
        model,
        [Change(workflow)] if changes is None else changes,
        runs=runs,
        seed=seed,
        level=level,
        world=world,
        threads=threads,
        progress=progress,
    )
    if interrupted:
        raise KeyboardInterrupt
    return [forecast for forecast in found if forecast is not None]


def sweep(
    workflow: Workflow[..., Any],
    model: Model,
    changes: Sequence[Change],
    *,
    runs: int,
    seed: int = 0,
    level: float = LEVEL,
    world: World | None = None,
    threads: int | None = None,
    progress: Callable[[int], object] | None = None,
) -> tuple[list[Forecast | None], bool]:
    """As `simulate`, but an interrupt keeps what is done.

    Returns:
        The forecasts, None for each policy that was not played to its end; and whether it was
        interrupted.
    """
    whole(runs, "runs")
    model.check(workflow)
    surroundings = world or World()
    scenes = [scene_of(workflow, model, change, surroundings) for change in changes]
    return played(scenes, runs=runs, seed=seed, level=level, threads=threads, progress=progress)


def played(
    scenes: Sequence[Scene],
    *,
    runs: int,
    seed: int,
    level: float = LEVEL,
    warm_up: int | None = None,
    threads: int | None = None,
    progress: Callable[[int], object] | None = None,
) -> tuple[list[Forecast | None], bool]:
    """Play scenes; as `sweep`, with a number of runs that come first and do not count."""
    number(level, "level", above=0, below=1)
    told, interrupted = contents_of(
        scenes,
        runs=runs,
        seed=seed,
        warm_up=runs * WARM_UP // 100 if warm_up is None else warm_up,
        batches=min(BATCHES, runs),
        threads=threads,
        progress=progress,
    )
    forecasts = [
        None if content is None else forecast_of(scene, content, level)
        for scene, content in zip(scenes, told, strict=True)
    ]
    return forecasts, interrupted


def contents_of(
    scenes: Sequence[Scene],
    *,
    runs: int,
    seed: int,
    warm_up: int,
    batches: int,
    threads: int | None,
    progress: Callable[[int], object] | None,
) -> tuple[list[dict[str, Any] | None], bool]:
    """What the native side tells of scenes that it has played; as `played`."""
    if not 0 <= seed < 2**64:
        raise DefinitionError(f"seed is {seed!r}", remedy="give a whole number from 0 on")
    count = threads if threads is not None else os.cpu_count() or 1
    return _engine.play(
        [scene.scenario for scene in scenes],
        seed,
        (warm_up, runs, batches),
        whole(count, "threads"),
        progress,
    )


WARM_UP: Final = 5
"""Of a hundred runs, so many more come first that do not count."""
BATCHES: Final = 20
"""Of the runs of a simulation, for the intervals."""
