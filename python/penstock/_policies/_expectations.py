"""Expectations: what an attempt is likely to use, and what its value has to be good for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from penstock._errors import DefinitionError

from ._checks import Seconds, number, whole
from ._checks import seconds as duration
from ._json import Policy

T_contra = TypeVar("T_contra", contravariant=True)


@dataclass(frozen=True, slots=True, kw_only=True, init=False, repr=False)
class Cost(Policy):
    """What one attempt is expected to use. Limits count by it until it is known what was used.

    Attributes:
        tokens: what the attempt sends and receives; from 0.
        seconds: how long it takes on average, without waiting; more than 0. Nothing is limited by
            it: `penstock stability` and lint judge by it how full a queue can be. None if that is
            not known.

    Raises:
        DefinitionError: a value is out of its range.

    >>> import penstock as ps
    >>> ps.Cost(tokens=1_200, seconds=0.8)
    Cost(tokens=1200, seconds=0.8)
    """

    tokens: int
    seconds: float | None

    def __init__(self, *, tokens: int = 0, seconds: Seconds | None = None) -> None:
        self._keep(
            tokens=whole(tokens, "Cost.tokens", least=0),
            seconds=None if seconds is None else duration(seconds, "Cost.seconds"),
        )


@dataclass(frozen=True, slots=True, init=False)
class Threshold(Generic[T_contra]):
    """Accepts a value whose score is high enough. The score is recorded, so that it can be tuned.

    Attributes:
        score: quick and pure; gives a number for a value.
        at: the least score that is accepted.

    Raises:
        DefinitionError: the score is no function, or the threshold no finite number.

    >>> import penstock as ps
    >>> ps.Threshold(len, at=20).at
    20.0
    """

    score: Callable[[T_contra], float]
    at: float

    def __init__(self, score: Callable[[T_contra], float], *, at: float) -> None:
        if not callable(score):
            raise DefinitionError(
                f"Threshold.score is {score!r}", remedy="give a function that returns a number"
            )
        object.__setattr__(self, "score", score)
        object.__setattr__(self, "at", number(at, "Threshold.at"))
