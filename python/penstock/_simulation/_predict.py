"""Predict: where the figures of so many real runs will lie, not only the mean of endlessly many.

A figure of N runs is off its forecast for three reasons, and a prediction counts with all of them:

- luck: N runs are played many times over, from an empty system and with a seed each time, and it is
  their figures that the interval is of;
- drift: the good and the bad hours of a provider are no part of a model, but models of consecutive
  stretches of time differ by them. A world is played that behaves as in one stretch, then as in
  another, drawn at random, while queues go on from one to the next: a block bootstrap (Politis and
  Romano 1992) of the time that was seen;
- the fit: that time may not be like others. Each of the plays therefore draws the stretches that
  it draws from, too (the two-stage bootstrap; Davison and Hinkley, 3.8), and how often outages
  come, of which few were seen. Of K stretches, that shows
  too little by a factor √((K - 1) / K), and too little is known of how much they differ; intervals
  are stretched by the inverse, and by Student's t over the normal quantile.

The figure is the median of what was played, the ends are quantiles, at places of (n + 1) p, so that
they are not symmetric where figures are not. Drift that
is slower than the time that was seen is not known to anybody, and in no interval.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import sqrt
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, Final

from penstock._policies import number, whole

from ._changes import Change
from ._figures import SHARES
from ._forecast import Estimate, Forecast
from ._measures import forecast_of
from ._model import Model
from ._scene import Scene, World, drifting_scenes, scene_of
from ._simulate import contents_of
from ._stretches import Stretches, weathers_of
from ._student import student

if TYPE_CHECKING:
    from penstock._workflows import Workflow


def predict(
    workflow: Workflow[..., Any],
    model: Model,
    changes: Sequence[Change] | None = None,
    *,
    of_runs: int,
    level: float = 0.9,
    stretches: Stretches | None = None,
    seed: int = 0,
    world: World | None = None,
    threads: int | None = None,
    progress: Callable[[int], object] | None = None,
) -> list[Forecast]:
    """What so many real runs would come to under each of some policies.

    Args:
        workflow: to be played.
        model: how it behaves.
        changes: the policies; only the present one if not given.
        of_runs: how many real runs the figures will be of.
        level: how likely each interval is to hold what they come to.
        stretches: of the time that the model was fitted to; without them the model is taken to be
            the truth, and only luck counts.
        seed: the same seed gives the same forecast.
        world: what surrounds it.
        threads: that play, one policy each; as many as there are processors if not given.
        progress: is told, again and again, how many runs came in all.

    Raises:
        DefinitionError: a model is not one of the workflow, or a policy can't be simulated.
        KeyboardInterrupt: somebody had it stop.

    Cost:
        That of 100 times so many simulated runs.

    >>> import penstock as ps
    >>> @ps.step
    ... async def shout(word: str) -> str:
    ...     return word.upper()
    >>> workflow = shout.as_workflow()
    >>> model = Model.of(workflow, default_latency=0.2, rate=5.0)
    >>> (forecast,) = predict(workflow, model, of_runs=50)
    >>> forecast.of_runs, forecast.level, forecast.metrics["success"].low
    (50, 0.9, 1.0)
    """
    whole(of_runs, "of_runs")
    number(level, "level", above=0, below=1)
    surroundings = world or World()
    policies = [Change(workflow)] if changes is None else list(changes)
    model.check(workflow)
    if stretches is None:
        worlds = [[scene_of(workflow, model, change, surroundings)] for change in policies]
    else:
        for each in stretches.models:
            each.check(workflow)
        weathers = weathers_of(model)
        worlds = [
            drifting_scenes(workflow, weathers, stretches, change, surroundings)
            for change in policies
        ]
    found: list[list[Mapping[str, Any]]] = [[] for _ in policies]
    for place in range(REPLICATES):
        told, interrupted = contents_of(
            [scenes[place % len(scenes)] for scenes in worlds],
            runs=of_runs,
            seed=seed + place,
            warm_up=0,
            batches=1,
            threads=threads,
            progress=None
            if progress is None
            else _further(progress, place * of_runs * len(policies)),
        )
        if interrupted:
            raise KeyboardInterrupt
        if progress is not None:
            progress((place + 1) * of_runs * len(policies))
        for content, contents in zip(told, found, strict=True):
            if content is not None:
                contents.append(content)
    wider = 1.0 if stretches is None else _wider(len(stretches.models), level)
    return [
        _predicted(scenes[0], contents, of_runs, level, wider)
        for scenes, contents in zip(worlds, found, strict=True)
    ]


def _further(progress: Callable[[int], object], before: int) -> Callable[[int], object]:
    return lambda came: progress(before + came)


def _wider(count: int, level: float) -> float:
    """By how much few stretches show too little of how much they differ."""
    normal = NormalDist().inv_cdf((1 + level) / 2)
    return student(count - 1, level) / normal * sqrt(count / (count - 1))


def _predicted(
    scene: Scene, contents: Sequence[Mapping[str, Any]], of_runs: int, level: float, wider: float
) -> Forecast:
    """The forecast of all that was played, with the interval of each figure."""
    each = [forecast_of(scene, content) for content in contents]
    merged = forecast_of(scene, _merged(contents))
    metrics = {
        name: _spread(
            name,
            figure,
            [value for it in each if (value := it.figure(name).value) is not None],
            level,
            wider,
        )
        for name, figure in merged.metrics.items()
    }
    return replace(merged, metrics=metrics, level=level, of_runs=of_runs)


def _merged(contents: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    return {
        "batches": [batch for content in contents for batch in content["batches"]],
        "unfinished": sum(content["unfinished"] for content in contents),
        "beyond": [
            tuple(map(sum, zip(*of, strict=True)))
            for of in zip(*(content["beyond"] for content in contents), strict=True)
        ],
    }


def _spread(
    name: str, figure: Estimate, values: Sequence[float], level: float, wider: float
) -> Estimate:
    """A figure with where the values lie, so much wider."""
    if figure.value is None or len(values) < 2:
        return figure
    ordered = sorted(values)
    low, middle, high = (_at(ordered, it) for it in ((1 - level) / 2, 0.5, (1 + level) / 2))
    low, high = middle - wider * (middle - low), middle + wider * (high - middle)
    most = 1.0 if name.partition(":")[0] in BOUNDED else high
    return Estimate(middle, max(low, 0.0), min(high, most))


def _at(ordered: Sequence[float], share: float) -> float:
    """The value below which the next one lies with a probability of `share`."""
    place = min(max(share * (len(ordered) + 1) - 1, 0.0), len(ordered) - 1.0)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


REPLICATES: Final = 100
"""How often so many runs are played."""
BOUNDED: Final = SHARES - {"retry_burden"}
"""Figures that are at most 1."""
