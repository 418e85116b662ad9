"""Stretches: how a workflow behaved in one stretch of time after another, to tell how it drifts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from math import sqrt
from pathlib import Path
from typing import Final, cast

from penstock._errors import DefinitionError
from penstock._policies import seconds as seconds_of

from ._distributions import Distribution
from ._model import Model
from ._places import Outage


@dataclass(frozen=True, slots=True, init=False)
class Stretches:
    """How a workflow behaved in stretches of time of the same length.

    Attributes:
        models: of each, two or more.
        seconds: how long one lasts.
    """

    models: tuple[Model, ...]
    seconds: float

    def __init__(self, models: Sequence[Model], seconds: float) -> None:
        found = tuple(models)
        if len(found) < 2 or not all(isinstance(cast("object", it), Model) for it in found):
            raise DefinitionError(
                f"{len(found)} stretches do not tell how much they differ",
                remedy="give a Model for each of two or more, as stretches_of_store does",
            )
        object.__setattr__(self, "models", found)
        object.__setattr__(self, "seconds", seconds_of(seconds, "seconds"))

    @classmethod
    def fit(
        cls,
        store: Path | str,
        model: Model,
        *,
        count: int = 10,
        since: float | None = None,
        until: float | None = None,
        score: str = "quality",
        most: int = 50_000,
    ) -> Stretches:
        """Those of the time that a model was fitted to, each with as many runs. O(records).

        Args:
            store: its path.
            model: fitted to the runs of it.
            count: how many; fewer where one would have fewer than 30 runs.
            since: runs accepted from then on, in seconds since 1970.
            until: runs accepted before.
            score: the kind of score that tells quality.
            most: runs that are read, the newest.

        Raises:
            DefinitionError: there are too few runs for two stretches.
            StoreError: there is no such store, or it can't be read.
        """
        from penstock._durability import location
        from penstock._stored import StoreView

        from ._fit import stretches_of_store

        path = location(store)
        if path is None:
            raise DefinitionError("store is None", remedy="give the path of a store")
        view = StoreView(path)
        try:
            return stretches_of_store(
                view, model, count=count, since=since, until=until, score=score, most=most
            )
        finally:
            view.close()


def weathers_of(model: Model) -> list[Model]:
    """Models with as many outages as there may be, of which each is as likely as another.

    Of a Poisson process of which n events were seen, the rate is about gamma distributed with a
    coefficient of variation of 1/√n.
    """
    fitted = model.fitted
    if fitted is None or not any(outage.every for outage in model.outages):
        return [model]
    since, until = (datetime.fromisoformat(it).timestamp() for it in (fitted.since, fitted.until))
    return [
        replace(
            model,
            outages=tuple(
                _as_often(outage, until - since, (place + 0.5) / WEATHERS)
                for outage in model.outages
            ),
        )
        for place in range(WEATHERS)
    ]


def _as_often(outage: Outage, seconds: float, share: float) -> Outage:
    """An outage as often as it is with a probability of `share`, or less."""
    if outage.every is None or outage.lasts is None:
        return outage
    seen = max(seconds / (outage.every + outage.lasts), 1.0)
    rate = Distribution.gamma(1.0, 1 / sqrt(seen)).quantile(share)
    return replace(outage, every=outage.every / rate)


WEATHERS: Final = 10
