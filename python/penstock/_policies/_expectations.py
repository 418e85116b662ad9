"""Expectations: what an attempt is likely to use, and what its value has to be good for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from penstock._errors import DefinitionError
from penstock._money import Money, Usd, dollars

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
        usd: what it costs on average; reserved of budgets. None for what the step has cost so far.
        max_usd: what it costs at most; reserved in place of `usd`, so that no budget is exceeded.
            None if that is not known.

    Raises:
        DefinitionError: a value is out of its range, or `max_usd` is less than `usd`.

    >>> import penstock as ps
    >>> ps.Cost(tokens=1_200, seconds=0.8)
    Cost(tokens=1200, seconds=0.8)
    >>> ps.Cost(usd=0.002, max_usd="0.01").max_usd
    usd('0.01')
    """

    tokens: int
    seconds: float | None
    usd: Usd | None
    max_usd: Usd | None

    def __init__(
        self,
        *,
        tokens: int = 0,
        seconds: Seconds | None = None,
        usd: Money | None = None,
        max_usd: Money | None = None,
    ) -> None:
        self._keep(
            tokens=whole(tokens, "Cost.tokens", least=0),
            seconds=None if seconds is None else duration(seconds, "Cost.seconds"),
            usd=None if usd is None else dollars(usd, "Cost.usd"),
            max_usd=None if max_usd is None else dollars(max_usd, "Cost.max_usd"),
        )
        if self.usd is not None and self.max_usd is not None and self.max_usd < self.usd:
            raise DefinitionError(
                f"Cost.max_usd ({self.max_usd}) is less than usd ({self.usd})",
                remedy="raise max_usd, or leave it out",
            )

    def to_dict(self) -> dict[str, Any]:
        """All fields as plain data; amounts only if there are any, as costs were before those."""
        written = Policy.to_dict(self)
        for name in ("usd", "max_usd"):
            if written[name] is None:
                del written[name]
        return written


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
