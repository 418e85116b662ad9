"""Places: what is decided at nodes, what people do, and when queues are out of order."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar, Final, cast

from penstock._errors import DefinitionError
from penstock._policies import instance, number, seconds, whole, word

from ._distributions import Distribution
from ._parts import Part, Reader, pairs
from ._steps import TOLERANCE, share


@dataclass(frozen=True, slots=True, kw_only=True, init=False, repr=False)
class Choice(Part):
    """What is decided at a node. Exactly one of these is given.

    Attributes:
        outcomes: of a switch, by label, the probability of each outcome; of a `when`, of "taken"
            and "skipped"; of what judges a workflow's value, of "accepted" and "rejected".
        until: of a loop, the probability that it ends after its first, second... iteration; the
            last one holds from there on.
        count: of a map, how many items it has.
        keys: of a concurrency key, how many different ones there are.

    >>> Choice(outcomes={"high": 0.2, "low": 0.8}).outcomes["low"]
    0.8
    """

    outcomes: Mapping[str, float]
    until: tuple[float, ...]
    count: Distribution | None
    keys: int | None

    _WORD: ClassVar[str] = "choice"
    _PARTS: ClassVar[Mapping[str, Reader]] = {"count": Distribution.read_at}

    def __init__(
        self,
        *,
        outcomes: Mapping[str, float] = MappingProxyType({}),
        until: Sequence[float] = (),
        count: Distribution | None = None,
        keys: int | None = None,
    ) -> None:
        given = [bool(outcomes), bool(until), count is not None, keys is not None]
        if sum(given) != 1:
            raise DefinitionError(
                f"{sum(given) or 'none'} of outcomes, until, count and keys are given",
                remedy="give the one that the node needs",
            )
        self._keep(
            outcomes=MappingProxyType(shares(outcomes, "outcomes") if outcomes else {}),
            until=_until(until),
            count=(
                None if count is None else instance(count, "count", Distribution, "a Distribution")
            ),
            keys=None if keys is None else whole(keys, "keys"),
        )

    @property
    def gives(self) -> str:
        """Which of them is given."""
        if self.outcomes:
            return "outcomes"
        return "until" if self.until else "keys" if self.count is None else "count"


@dataclass(frozen=True, slots=True, kw_only=True, init=False, repr=False)
class SignalModel(Part):
    """How a signal comes: after a time, or from a desk where people work one case after another.

    Attributes:
        latency: seconds from asked to answered, where no `staff` is given.
        answered: the probability that it ever comes.
        staff: people at the desk; None for no desk.
        minutes: that an answer takes one of them; of a desk always given.
        hours: of the day in which they work, such as "09:00-17:00"; None for all.
        days: of the week, such as "mon-fri" or "mon,wed"; None for all.
        usd_per_hour: what one of them costs.
        role: what their minutes are booked to.
        quality: the probability that an answer is right.
    """

    latency: Distribution | None
    answered: float
    staff: int | None
    minutes: Distribution | None
    hours: str | None
    days: str | None
    usd_per_hour: float | None
    role: str | None
    quality: float | None

    _WORD: ClassVar[str] = "signal"
    _PARTS: ClassVar[Mapping[str, Reader]] = {
        "latency": Distribution.read_at,
        "minutes": Distribution.read_at,
    }

    def __init__(
        self,
        *,
        latency: Distribution | None = None,
        answered: float = 1.0,
        staff: int | None = None,
        minutes: Distribution | None = None,
        hours: str | None = None,
        days: str | None = None,
        usd_per_hour: float | None = None,
        role: str | None = None,
        quality: float | None = None,
    ) -> None:
        for name, value in (("latency", latency), ("minutes", minutes)):
            if value is not None:
                instance(value, name, Distribution, "give a Distribution")
        if latency is None and staff is None:
            raise DefinitionError(
                "nothing tells when it comes", remedy="give latency, or staff and minutes"
            )
        if staff is not None and minutes is None:
            raise DefinitionError("staff is given without minutes", remedy="give minutes an answer")
        if staff is None and (hours is not None or days is not None):
            raise DefinitionError(
                "working hours are given without staff",
                remedy="give staff, or take hours and days out",
            )
        self._keep(
            latency=latency,
            answered=share(answered, "answered"),
            staff=None if staff is None else whole(staff, "staff"),
            minutes=minutes,
            hours=None if hours is None else _spelt(hours, "hours", hours_of),
            days=None if days is None else _spelt(days, "days", days_of),
            usd_per_hour=(
                None if usd_per_hour is None else number(usd_per_hour, "usd_per_hour", least=0)
            ),
            role=None if role is None else word(role, "role"),
            quality=None if quality is None else share(quality, "quality"),
        )

    @property
    def working(self) -> tuple[tuple[float, float], frozenset[int]]:
        """From and to which second of a day, and on which days of a week (0 is Monday)."""
        hours = (0.0, 86_400.0) if self.hours is None else hours_of(self.hours)
        return hours, frozenset(range(7)) if self.days is None else days_of(self.days)


@dataclass(frozen=True, slots=True, kw_only=True, init=False, repr=False)
class Outage(Part):
    """When attempts in a queue fail together.

    Attributes:
        queue: its name.
        every: seconds from the end of one to the start of the next, on the average; exponential.
        lasts: seconds, likewise.
        at: in place of both, from when to when, in seconds of the simulation.
        error: the probability that an attempt that starts in it fails and is retried, or the usual
            one if that is higher.
        slower: what latencies are multiplied with.
    """

    queue: str
    every: float | None
    lasts: float | None
    at: tuple[tuple[float, float], ...]
    error: float
    slower: float

    _WORD: ClassVar[str] = "outage"

    def __init__(
        self,
        *,
        queue: str,
        every: float | None = None,
        lasts: float | None = None,
        at: Sequence[Sequence[float]] = (),
        error: float = 1.0,
        slower: float = 1.0,
    ) -> None:
        word(queue, "queue")
        if (every is None) != (lasts is None) or (every is None) == (not at):
            raise DefinitionError(
                "its times are missing, or told twice", remedy="give every and lasts, or at"
            )
        self._keep(
            queue=queue,
            every=None if every is None else seconds(every, "every"),
            lasts=None if lasts is None else seconds(lasts, "lasts"),
            at=_spans(at),
            error=share(error, "error"),
            slower=number(slower, "slower", above=0),
        )


def shares(values: object, name: str) -> dict[str, float]:
    """Probabilities by label, which add up to 1.

    Raises:
        DefinitionError: they are not, or do not.
    """
    if not isinstance(values, Mapping) or not values:
        raise DefinitionError(f"{name} is {values!r}", remedy="give a probability for each")
    given = cast("Mapping[str, object]", values)
    found = {word(label, f"a label of {name}"): share(p, label) for label, p in given.items()}
    total = sum(found.values())
    if abs(total - 1) > TOLERANCE:
        raise DefinitionError(f"{name} add up to {total:.6g}", remedy="make them add up to 1")
    return found


def hours_of(text: str) -> tuple[float, float]:
    """From and to which second of a day: "09:00-17:00".

    Raises:
        DefinitionError: it is not written so.
    """
    match = _HOURS.fullmatch(text.strip())
    if match is not None:
        minutes = [int(part) for part in match.groups()]
        start, end = (3_600 * minutes[i] + 60 * minutes[i + 1] for i in (0, 2))
        if start < end <= _DAY and minutes[1] < 60 and minutes[3] < 60:
            return float(start), float(end)
    raise DefinitionError(f"hours is {text!r}", remedy="write it as 09:00-17:00, within a day")


def days_of(text: str) -> frozenset[int]:
    """Days of a week, 0 for Monday: "mon-fri", "mon,wed".

    Raises:
        DefinitionError: it is not written so.
    """
    found: set[int] = set()
    for part in text.lower().replace(" ", "").split(","):
        first, _, last = part.partition("-")
        if first not in _WEEK or (last or first) not in _WEEK:
            raise DefinitionError(f"days is {text!r}", remedy="write it as mon-fri or mon,wed")
        day, end = _WEEK.index(first), _WEEK.index(last or first)
        while True:
            found.add(day)
            if day == end:
                break
            day = (day + 1) % 7
    return frozenset(found)


def _spelt(text: object, name: str, read: Callable[[str], object]) -> str:
    """A text that can be read."""
    spelt = word(text, name)
    read(spelt)
    return spelt


def _until(values: object) -> tuple[float, ...]:
    if not isinstance(values, list | tuple):
        raise DefinitionError(f"until is {values!r}", remedy="give a list of probabilities")
    given = cast("Sequence[object]", values)
    return tuple(share(value, f"until[{place}]") for place, value in enumerate(given, 1))


def _spans(values: object) -> tuple[tuple[float, float], ...]:
    remedy = "give pairs of start and end, in order: [[600, 660]]"
    found: list[tuple[float, float]] = []
    for place, pair in enumerate(pairs(values, "at", remedy), 1):
        start, end = (seconds(each, f"at[{place}]", zero=True) for each in pair)
        if start >= end or (found and start < found[-1][1]):
            raise DefinitionError(f"at[{place}] is {list(pair)!r}", remedy=remedy)
        found.append((start, end))
    return tuple(found)


_HOURS: Final = re.compile(r"(\d\d):(\d\d)-(\d\d):(\d\d)")
_DAY: Final = 86_400
_WEEK: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
