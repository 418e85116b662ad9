"""Stretches of a store: a model of each stretch of the time that a model was fitted to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import inf, nextafter
from typing import TYPE_CHECKING, Final

from penstock._errors import DefinitionError
from penstock._policies import whole
from penstock._simulation._model import Model
from penstock._simulation._steps import StepModel
from penstock._simulation._stretches import Stretches

from ._backfit import loads_apart
from ._fitting import model_of
from ._loading import MOST_RUNS, Loaded, load

if TYPE_CHECKING:
    from penstock._stored import StoreView


def stretches_of_store(
    view: StoreView,
    model: Model,
    *,
    count: int = 10,
    since: float | None = None,
    until: float | None = None,
    score: str = "quality",
    most: int = MOST_RUNS,
    progress: Callable[[int, int], None] | None = None,
) -> Stretches:
    """Models of as many stretches of the time that a model was fitted to, each with as many runs.

    Latency, first attempts that fail, spend and what is decided are a stretch's own. How latency
    grows with what is under way is that of all of them. What says more of chance than of drift in
    so short a time is the model's: arrivals, how retries fare, and outages; and so is what a
    stretch does not show.

    Args:
        view: of the store.
        model: fitted to all of it.
        count: how many; fewer where one would have fewer than 30 runs.
        since: runs accepted from then on, in seconds since 1970.
        until: runs accepted before.
        score: the kind of score that tells quality.
        most: runs that are read, the newest.
        progress: told how many stretches of how many have been read.

    Raises:
        DefinitionError: there are too few runs for two stretches.
    """
    whole(count, "count", least=2)
    runs = view.every(
        workflow=model.workflow,
        version=model.version,
        accepted_after=since,
        accepted_before=until,
        limit=most,
    )
    accepted = sorted(run.accepted for run in runs)
    count = min(count, len(accepted) // LEAST)
    if count < 2:
        raise DefinitionError(
            f"{view.path} has {len(accepted)} runs of workflow {model.workflow!r} in that time, "
            "too few to tell how much they drift",
            remedy=f"let {2 * LEAST} run, or more, or do without stretches",
        )
    starts = [accepted[len(accepted) * place // count] for place in range(count)]
    last = accepted[-1]
    parts: list[Loaded] = []
    for number, (start, end) in enumerate(
        zip(starts, [*starts[1:], nextafter(last, inf)], strict=True), 1
    ):
        part = load(
            view,
            model.workflow,
            version=model.version,
            since=start,
            until=end,
            score=score,
            most=most,
            progress=None,
        )
        parts.append(part)
        if progress is not None:
            progress(number, count)
    loads = loads_apart([part.seen for part in parts])
    found = [_filled(model_of(part, loads=loads), model) for part in parts]
    return Stretches(found, max((last - accepted[0]) / count, SHORTEST))


def _filled(part: Model, model: Model) -> Model:
    """A model of a stretch, with what it does not show."""
    steps = {
        name: _retried(part.steps[name], usual) if name in part.steps else usual
        for name, usual in model.steps.items()
    }
    return replace(
        part,
        arrivals=model.arrivals,
        tenants=model.tenants,
        steps={**part.steps, **steps},
        choices={**model.choices, **part.choices},
        signals={**model.signals, **part.signals},
    )


def _retried(part: StepModel, usual: StepModel) -> StepModel:
    """A step of a stretch, whose second attempts fail as they usually do: they are few."""
    first = [row for row in part.failures if row.attempt == 1]
    later = [row for row in usual.failures if row.attempt > 1]
    return replace(part, failures=(*first, *later))


LEAST: Final = 30
"""Runs of a stretch."""
SHORTEST: Final = 1e-3
