"""Stretches of a store: a model of each stretch of the time that a model was fitted to."""

from __future__ import annotations

from collections.abc import Callable
from math import inf, nextafter
from typing import TYPE_CHECKING, Any, Final

from penstock._errors import DefinitionError
from penstock._policies import whole
from penstock._simulation._model import Model
from penstock._simulation._stretches import Stretches

from ._loading import MOST_RUNS, fit_of_store

if TYPE_CHECKING:
    from penstock._stored import StoreView


def stretches_of_store(
    view: StoreView,
    model: Model,
    *,
    count: int = 10,
    since: float | None = None,
    until: float | None = None,
    most: int = MOST_RUNS,
    progress: Callable[[int, int], None] | None = None,
) -> Stretches:
    """Models of as many stretches of the time that a model was fitted to, each with as many runs.

    What a stretch does not show is the model's; and so are arrivals, whose rate in a short time
    says more of chance than of drift.

    Args:
        view: of the store.
        model: fitted to all of it.
        count: how many; fewer where one would have fewer than 30 runs.
        since: runs accepted from then on, in seconds since 1970.
        until: runs accepted before.
        most: runs that are read, the newest.
        progress: told how many stretches of how many have been fitted.

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
    found: list[Model] = []
    for number, (start, end) in enumerate(
        zip(starts, [*starts[1:], nextafter(last, inf)], strict=True), 1
    ):
        part = fit_of_store(
            view, model.workflow, version=model.version, since=start, until=end, most=most
        )
        found.append(_filled(part, model))
        if progress is not None:
            progress(number, count)
    return Stretches(found, max((last - accepted[0]) / count, SHORTEST))


def _filled(part: Model, model: Model) -> Model:
    """A model of a stretch, with what it does not show."""
    fields: dict[str, Any] = {name: getattr(part, name) for name in Model.__slots__}
    for name in ("steps", "choices", "signals"):
        fields[name] = {**getattr(model, name), **fields[name]}
    return Model(**{**fields, "arrivals": model.arrivals, "tenants": model.tenants})


LEAST: Final = 30
"""Runs of a stretch."""
SHORTEST: Final = 1e-3
