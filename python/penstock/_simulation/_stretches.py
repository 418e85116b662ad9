"""Stretches: how a workflow behaved in one stretch of time after another, to tell how it drifts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from penstock._errors import DefinitionError
from penstock._policies import seconds as seconds_of

from ._model import Model


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
