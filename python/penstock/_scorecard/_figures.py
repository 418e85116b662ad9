"""Figures: the small values that metrics are made of. Without data each says None, never 0."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt
from typing import Any, ClassVar

from ._histogram import quantiles


@dataclass(frozen=True, slots=True)
class Share:
    """A part of a whole, or a ratio of two counts.

    Examples:
        >>> Share(3, 4).value, Share(0, 0).value
        (0.75, None)
    """

    DERIVED: ClassVar = ("value",)

    part: int
    whole: int

    @property
    def value(self) -> float | None:
        """None if there is no whole."""
        return self.part / self.whole if self.whole else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """Durations in seconds, to 1 %.

    Attributes:
        count: how many.
        p50: half of them are not longer.
        p95: 95 % are not longer.
        p99: 99 % are not longer.
    """

    count: int
    p50: float
    p95: float
    p99: float

    @classmethod
    def of(cls, counts: Mapping[str, int] | None) -> Spread | None:
        """Of a histogram; None if nothing is counted in it."""
        found = quantiles(counts, 0.5, 0.95, 0.99) if counts else None
        if counts is None or found is None:
            return None
        return cls(count=sum(counts.values()), p50=found[0], p95=found[1], p99=found[2])


@dataclass(frozen=True, slots=True, kw_only=True)
class Spend:
    """Money, and how much of it is not known.

    Attributes:
        nanos: nano-dollars of what has a price.
        lines: how often something was booked.
        unpriced: how many of these have no price.
        units: tokens, calls, minutes...; None if units of several kinds would be added up.
    """

    DERIVED: ClassVar = ("usd", "unpriced_share")

    nanos: int = 0
    lines: int = 0
    unpriced: int = 0
    units: float | None = None

    @property
    def usd(self) -> float:
        """Dollars of what has a price: the least that it was."""
        return self.nanos / 1e9

    @property
    def unpriced_share(self) -> float | None:
        """Share of the lines without a price."""
        return self.unpriced / self.lines if self.lines else None

    @classmethod
    def of(cls, body: Mapping[str, Any], *, units: bool = True) -> Spend:
        """Of a body."""
        return cls(
            nanos=int(body.get("nanos", 0)),
            lines=int(body.get("lines", 0)),
            unpriced=int(body.get("unpriced", 0)),
            units=body.get("units") if units else None,
        )

    @classmethod
    def total(cls, bodies: Mapping[str, Mapping[str, Any]]) -> Spend:
        """Of the bodies of several resources."""
        every = [cls.of(body) for body in bodies.values()]
        return cls(
            nanos=sum(it.nanos for it in every),
            lines=sum(it.lines for it in every),
            unpriced=sum(it.unpriced for it in every),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Waste:
    """All spend by what became of it, in nano-dollars: a partition.

    Attributes:
        useful: its result was used by a run that succeeded.
        failed_run: all that a run spent that did not succeed.
        compensation: of work that was undone, and of undoing it.
        failed_attempt: failed or timed out.
        lost: a hedge or a race that another one won.
        superseded: done anew by a fork.
        escalation: a tier of a cascade whose answer was not accepted.
        exploration: tried for its figures only.
        unsettled: of runs that have not ended, and not known yet.
    """

    DERIVED: ClassVar = ("total", "wasted", "share")

    useful: int = 0
    failed_run: int = 0
    compensation: int = 0
    failed_attempt: int = 0
    lost: int = 0
    superseded: int = 0
    escalation: int = 0
    exploration: int = 0
    unsettled: int = 0

    @property
    def total(self) -> int:
        """All of them."""
        return self.useful + self.wasted + self.unsettled

    @property
    def wasted(self) -> int:
        """What was not useful, escalation included."""
        return sum(int(getattr(self, name)) for name in WASTED)

    @property
    def share(self) -> float | None:
        """Wasted of all that is settled; None if nothing is."""
        settled = self.total - self.unsettled
        return self.wasted / settled if settled else None

    @classmethod
    def of(cls, body: Mapping[str, int], nanos: int) -> Waste:
        """Of a body, where `nanos` were spent in all."""
        known = {name: int(body.get(name, 0)) for name in ("useful", *WASTED)}
        return cls(**known, unsettled=nanos - sum(known.values()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Handoffs:
    """Deliveries of values over edges, by what became of them at the first try.

    Attributes:
        accepted: and used.
        contract: broke the contract of the edge.
        threshold: scored too low.
        rejected: refused by the receiver.
        timeout: not taken in time.
        wrong_owner: sent back to somebody else than the producer.
        escaped: of the accepted, those that were blamed later.
    """

    DERIVED: ClassVar = ("accuracy",)

    accepted: int = 0
    contract: int = 0
    threshold: int = 0
    rejected: int = 0
    timeout: int = 0
    wrong_owner: int = 0
    escaped: int = 0

    @property
    def count(self) -> int:
        """All of them."""
        return self.accepted + sum(int(getattr(self, name)) for name in REFUSALS)

    @property
    def accuracy(self) -> float | None:
        """Accepted of all."""
        return self.accepted / self.count if self.count else None

    @classmethod
    def of(cls, body: Mapping[str, int]) -> Handoffs:
        """Of a body."""
        names = ("accepted", *REFUSALS, "escaped")
        return cls(**{name: int(body.get(name, 0)) for name in names})


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """What people or models gave the runs for one kind of quality.

    Attributes:
        count: how many.
        mean: of them.
        deviation: standard, of a single one; None if there is only one.
    """

    count: int
    mean: float
    deviation: float | None

    @classmethod
    def of(cls, body: Mapping[str, float]) -> Score | None:
        """Of count, sum and sum of squares; None without any."""
        count = int(body.get("count", 0))
        if not count:
            return None
        mean = body.get("sum", 0.0) / count
        deviation = deviation_of(count, body.get("sum", 0.0), body.get("squares", 0.0))
        return cls(count=count, mean=mean, deviation=deviation)


def deviation_of(count: int, total: float, squares: float) -> float | None:
    """The standard deviation of `count` numbers; None of fewer than two."""
    if count < 2:
        return None
    return sqrt(max(squares - total * total / count, 0.0) / (count - 1))


WASTED = (
    "failed_run",
    "compensation",
    "failed_attempt",
    "lost",
    "superseded",
    "escalation",
    "exploration",
)
REFUSALS = ("contract", "threshold", "rejected", "timeout", "wrong_owner")
