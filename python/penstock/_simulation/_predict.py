"""Predict: where the figures of so many real runs will lie, not only the mean of endlessly many.

A figure of N runs is off its forecast for three reasons, and a prediction counts with all of them:

- luck: N runs are played many times over, from an empty system and with a seed each time, and it is
  their figures that the interval is of;
- the world drifts: a provider's good and bad hours are no part of a model. Models of consecutive
  stretches of the time that the model was fitted to (`stretches_of_store`) differ by that, and by
  what a fit to so little does not know. Each plays its share of the N runs. They are played as if a
  stretch's hour lasted for all N runs: that is wide rather than narrow where N runs take longer;
- the stretches are few: K of them show K possible worlds. The interval is stretched by Student's t
  with K - 1 degrees of freedom over the normal one, and by √(1 + 1/K) for the one more that is to
  come, as for the next of K numbers (Hahn and Meeker, *Statistical Intervals*, 4.7).

The ends are quantiles of what was played, at places of (n + 1) p, so that they are not symmetric
where figures are not. The figure itself is that of all that was played, taken together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import ceil, sqrt
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, Final

from penstock._errors import DefinitionError
from penstock._policies import number, whole

from ._changes import Change
from ._figures import SHARES
from ._forecast import Estimate, Forecast
from ._measures import forecast_of
from ._model import Model
from ._scene import Scene, World, scene_of
from ._simulate import contents_of
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
    stretches: Sequence[Model] = (),
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
        stretches: models of stretches of the time that the model was fitted to; without them the
            model is taken to be the truth, and only luck counts.
        seed: the same seed gives the same forecast.
        world: what surrounds it.
        threads: that play, one policy each; as many as there are processors if not given.
        progress: is told, ten times a second, how many runs came in all.

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
    fitted = [scene_of(workflow, model, change, surroundings) for change in policies]
    worlds = [fitted]
    if stretches:
        for each in stretches:
            each.check(workflow)
        worlds = [
            [scene_of(workflow, each, change, surroundings) for change in policies]
            for each in stretches
        ]
    found: list[list[Mapping[str, Any]]] = [[] for _ in policies]
    times = ceil(REPLICATES / len(worlds))
    for place in range(times * len(worlds)):
        before = place * of_runs * len(policies)
        told, interrupted = contents_of(
            worlds[place % len(worlds)],
            runs=of_runs,
            seed=seed + place,
            warm_up=0,
            batches=1,
            threads=threads,
            progress=None if progress is None else _further(progress, before),
        )
        if interrupted:
            raise KeyboardInterrupt
        for content, contents in zip(told, found, strict=True):
            if content is not None:
                contents.append(content)
    wider = _wider(len(worlds), level) if stretches else 1.0
    return [
        _predicted(scene, contents, of_runs, level, wider)
        for scene, contents in zip(fitted, found, strict=True)
    ]


def _further(progress: Callable[[int], object], before: int) -> Callable[[int], object]:
    return lambda came: progress(before + came)


def _wider(worlds: int, level: float) -> float:
    """By how much few worlds show too little of how much they differ."""
    if worlds < 2:
        raise DefinitionError(
            "one stretch of time does not tell how much they differ",
            remedy="give models of several, or none",
        )
    return student(worlds - 1, level) / NormalDist().inv_cdf((1 + level) / 2) * sqrt(1 + 1 / worlds)


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
    low, high = (_at(ordered, share) for share in ((1 - level) / 2, (1 + level) / 2))
    low = figure.value - wider * max(figure.value - low, 0.0)
    high = figure.value + wider * max(high - figure.value, 0.0)
    most = 1.0 if name.partition(":")[0] in BOUNDED else high
    return Estimate(figure.value, max(low, 0.0), min(high, most))


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
