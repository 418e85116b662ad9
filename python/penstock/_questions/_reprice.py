"""Repricing: what units that were used would cost at other rates.

Rollups hold units by resource and name. Where a price is the same for all of them, the sum is exact
(each line was rounded by itself: up to half a nano-dollar a line). Where it hangs on the size of a
request there is a least and a most; where it hangs on what rollups do not tell, the old amount
stays.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from penstock._prices import Kind, Prices


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One resource, as it was paid and as it would be.

    Attributes:
        resource: such as "input".
        name: of the model, tool and so on; empty for an amount that was booked as such.
        units: tokens, calls or units; millionths of seconds and minutes.
        lines: how often it was booked.
        unpriced: how often without a price.
        old: nano-dollars that were booked.
        low: nano-dollars that it would cost at least; `old` where that can't be told.
        high: likewise, at most.
        why: why it can't be told, or only between `low` and `high`; None if it is exact.
        told: whether there is a new amount at all.
    """

    DERIVED: ClassVar = ("exact", "same")

    resource: str
    name: str
    units: int
    lines: int
    unpriced: int
    old: int
    low: int
    high: int
    why: str | None
    told: bool

    @property
    def exact(self) -> bool:
        """Whether the new amount is one number, to half a nano-dollar a line."""
        return self.why is None

    @property
    def same(self) -> bool:
        """Whether nothing changes, but for what each line was rounded by."""
        if not self.told:
            return not self.name
        moved = max(abs(self.low - self.old), abs(self.high - self.old))
        return not self.unpriced and moved <= self.lines


def kind_of(resource: str) -> Kind:
    """What a name is, by the resource that it was booked for."""
    return _KINDS.get(resource, "resource")


def repriced(
    label: str,
    spend: Mapping[str, Any],
    book: Prices,
    *,
    at: float,
    modes: Collection[str] = (),
    to: str | None = None,
    requests: bool = True,
) -> Line:
    """A line at the rates of a book.

    Args:
        label: as rollups have it: "input:gpt".
        spend: lines, units, nanos and unpriced.
        book: with the new rates.
        at: the instant whose rates are meant, in seconds since 1970.
        modes: that the name was booked in, such as "batch", aside from the usual one.
        to: the name whose rates are meant, if it is another.
        requests: whether the number of requests is known, too.
    """
    resource, _, name = label.partition(":")
    old, units = int(spend.get("nanos", 0)), int(spend.get("units", 0))
    low, high, why = _amounts(
        resource, to or name if name else "", units, book, at=at, modes=modes, requests=requests
    )
    return Line(
        resource=resource,
        name=name,
        units=units,
        lines=int(spend.get("lines", 0)),
        unpriced=int(spend.get("unpriced", 0)),
        old=old,
        low=old if low is None else low,
        high=old if high is None else high,
        why=why,
        told=low is not None,
    )


def _amounts(
    resource: str,
    name: str,
    units: int,
    book: Prices,
    *,
    at: float,
    modes: Collection[str],
    requests: bool,
) -> tuple[int | None, int | None, str | None]:
    """The least and the most, and why they are two, or none."""
    if not name:
        return None, None, "it was booked as an amount"
    if modes:
        told = ", ".join(sorted(modes))
        return None, None, f"it was also booked as {told}, which rollups do not tell apart"
    tiers = book.rate(kind_of(resource), name, at).tiers
    amounts = [tier.amount(resource, units) for tier in tiers]
    known = [amount for amount in amounts if amount is not None]
    if not known or len(known) < len(amounts):
        return None, None, f"{book.source} has no price of it"
    why = None
    if min(known) < max(known):
        why = "its price hangs on the size of each request"
    if not requests and any("request" in tier.prices for tier in tiers):
        why = "a price for each request comes on top, and these were not counted"
    return min(known), max(known), why


_KINDS: Final[Mapping[str, Kind]] = {
    **dict.fromkeys(("input", "cached", "cache_write", "output", "request"), "model"),
    **dict.fromkeys(("gpu_seconds", "gpu_gib_seconds"), "gpu"),
    "retrieval": "retrieval",
    "tool": "tool",
    "human_minutes": "human",
}
TOKENS: Final = frozenset({"input", "cached", "cache_write", "output"})
