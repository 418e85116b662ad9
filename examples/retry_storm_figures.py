"""What `retry_storm.py` measures: a service second by second, and what each outage did to it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from retry_storm_dependency import CAPACITY, Outage

HELD: Final = 10  # seconds that goodput has to be good for to count as recovered...
GOOD: Final = 0.95  # ...which is this share of what is offered, or more
AFTER: Final = 30  # seconds after an outage whose goodput is told
DRAINED: Final = CAPACITY / 10  # calls; what is always there by chance


@dataclass(frozen=True, slots=True, kw_only=True)
class Second:
    """A second of a service.

    Attributes:
        ends: when, in seconds since the beginning.
        offered: runs that were started.
        first: first attempts that were sent.
        attempts: attempts that were sent, those included.
        good: attempts that succeeded in time.
        lost: runs that failed.
        parked: nodes that are parked, at its end.
        waiting: nodes that wait in penstock's queue, at its end.
        line: calls that wait at the dependency, at its end.
        storm: whether a storm is flagged, at its end.
    """

    ends: int
    offered: int
    first: int
    attempts: int
    good: int
    lost: int
    parked: int
    waiting: int
    line: int
    storm: bool

    @property
    def backlog(self) -> int:
        """What is to be served before a new call is."""
        return self.parked + self.waiting + self.line


@dataclass(slots=True, kw_only=True)
class Record:
    """All of a service.

    Attributes:
        name: of the service.
        about: how it is set up.
        seconds: those that are over.
        storms: when storms began and ended, and which of these it was.
        runs: that were started, when all have ended.
        lost: of these, those that failed.
    """

    name: str
    about: str
    seconds: list[Second] = field(default_factory=list[Second])
    storms: list[tuple[float, bool]] = field(default_factory=list[tuple[float, bool]])
    runs: int = 0
    lost: int = 0

    def between(self, starts: float, ends: float) -> list[Second]:
        """The whole seconds between two times."""
        return [second for second in self.seconds if starts < second.ends <= ends]

    def last(self, count: int) -> tuple[float, float]:
        """Runs offered and goodput of the last so many seconds, per second."""
        last = self.seconds[-count:]
        return sum(s.offered for s in last) / count, sum(s.good for s in last) / count


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What an outage did to a service, up to the next one.

    Attributes:
        amplification: attempts by first attempts, during the outage.
        lost: runs that failed.
        goodput: of the first `AFTER` seconds after it, by what was offered in them.
        recovered: seconds after its end until goodput was good and stayed so; None for never.
        backlog: at its peak.
        drained: seconds after the outage's end until the backlog was gone; None for never.
        ideal: seconds that this takes at full capacity beside what is offered.
        flagged: seconds after its start until a storm was flagged; None for never, 0 if one was on.
    """

    amplification: float
    lost: int
    goodput: float
    recovered: int | None
    backlog: int
    drained: int | None
    ideal: float
    flagged: float | None


def figures(record: Record, outages: list[Outage], rate: float) -> Iterator[tuple[Outage, Figures]]:
    """What each outage did to a service that is offered `rate` runs a second."""
    ends = [outage.starts for outage in outages[1:]] + [len(record.seconds)]
    for outage, end in zip(outages, ends, strict=True):
        during = record.between(outage.starts, outage.ends)
        calm = record.between(outage.ends, end)
        backlog = max(second.backlog for second in during + calm)
        yield (
            outage,
            Figures(
                amplification=sum(s.attempts for s in during)
                / max(1, sum(s.first for s in during)),
                lost=sum(second.lost for second in during + calm),
                goodput=_goodput(calm[:AFTER]),
                recovered=_recovered(calm),
                backlog=backlog,
                drained=next((n for n, s in enumerate(calm, 1) if s.backlog <= DRAINED), None),
                ideal=backlog / (CAPACITY - rate),
                flagged=_flagged(record.storms, outage.starts, end),
            ),
        )


def _goodput(seconds: Iterable[Second]) -> float:
    offered, good = map(sum, zip(*((s.offered, s.good) for s in seconds), strict=True))
    return good / max(1, offered)


def _recovered(calm: list[Second]) -> int | None:
    tries = range(len(calm) - HELD + 1)
    return next((n for n in tries if _goodput(calm[n : n + HELD]) >= GOOD), None)


def _flagged(storms: list[tuple[float, bool]], starts: float, ends: float) -> float | None:
    before = [on for at, on in storms if at < starts]
    if before and before[-1]:
        return 0.0
    return next((at - starts for at, on in storms if on and starts <= at < ends), None)
