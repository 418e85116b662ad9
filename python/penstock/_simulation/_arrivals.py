"""Arrivals: when runs start."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, TypeAlias, cast, get_args

from penstock._errors import DefinitionError
from penstock._policies import number
from penstock._policies._checks import one_of

from ._parts import Part

ArrivalKind: TypeAlias = Literal["poisson", "bursty", "trace"]


@dataclass(frozen=True, slots=True, kw_only=True, init=False, repr=False)
class Arrivals(Part):
    """When runs start.

    Attributes:
        kind: "poisson" for runs that know nothing of each other; "bursty" for two states that take
            turns, calm and busy, each of exponential length; "trace" for recorded gaps, over and
            over.
        rate: runs per second, on the average; None for a trace.
        burst: of "bursty", how many times more runs start in the busy state than in the calm one.
        calm: of "bursty", how long the calm state lasts on the average, in seconds.
        busy: likewise the busy one.
        gaps: of "trace", the seconds before each run.
        speed: of "trace", what the gaps are divided by.

    >>> Arrivals(kind="bursty", rate=20.0, burst=5.0, calm=60.0, busy=20.0).rates
    (10.0, 50.0)
    """

    kind: ArrivalKind
    rate: float | None
    burst: float | None
    calm: float | None
    busy: float | None
    gaps: tuple[float, ...]
    speed: float

    _WORD: ClassVar[str] = "arrivals"
    _ALWAYS: ClassVar[tuple[str, ...]] = ("kind",)

    def __init__(
        self,
        *,
        kind: ArrivalKind = "poisson",
        rate: float | None = None,
        burst: float | None = None,
        calm: float | None = None,
        busy: float | None = None,
        gaps: Sequence[float] = (),
        speed: float = 1.0,
    ) -> None:
        one_of(kind, "kind", get_args(ArrivalKind))
        given = {"rate": rate, "burst": burst, "calm": calm, "busy": busy, "gaps": gaps or None}
        for name, value in given.items():
            if (name in _NEEDS[kind]) == (value is not None):
                continue
            what = "there is no" if value is None else "there is"
            remedy = "give it" if value is None else "take it out"
            raise DefinitionError(f"kind is {kind!r}, and {what} {name!r}", remedy=remedy)

        def positive(name: str) -> float | None:
            value = given[name]
            return None if value is None else number(value, name, above=0)

        self._keep(
            kind=kind,
            rate=positive("rate"),
            burst=None if burst is None else number(burst, "burst", above=1),
            calm=positive("calm"),
            busy=positive("busy"),
            gaps=_gaps(gaps),
            speed=number(speed, "speed", above=0),
        )
        if speed != 1 and kind != "trace":
            raise DefinitionError("speed is for a trace", remedy="change the rate")

    @property
    def mean_rate(self) -> float:
        """Runs per second, on the average."""
        if self.rate is not None:
            return self.rate
        return self.speed * len(self.gaps) / sum(self.gaps)

    @property
    def rates(self) -> tuple[float, float]:
        """Runs per second in the calm state and in the busy one; both the same without states."""
        if self.burst is None or self.calm is None or self.busy is None:
            return self.mean_rate, self.mean_rate
        calm = self.mean_rate * (self.calm + self.busy) / (self.calm + self.busy * self.burst)
        return calm, calm * self.burst


def _gaps(values: object) -> tuple[float, ...]:
    if not isinstance(values, list | tuple):
        raise DefinitionError(f"gaps is {values!r}", remedy="give a list of seconds")
    given = cast("Sequence[object]", values)
    gaps = tuple(number(gap, f"gaps[{i}]", least=0) for i, gap in enumerate(given, 1))
    if gaps and not sum(gaps):
        raise DefinitionError("gaps are all 0", remedy="give one that is longer")
    return gaps


_NEEDS = {
    "poisson": ("rate",),
    "bursty": ("rate", "burst", "calm", "busy"),
    "trace": ("gaps",),
}
