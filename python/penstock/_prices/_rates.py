"""Rates: what one name costs for a while, and the snapshots that old totals are computed from.

A price is a pair of whole numbers: nano-dollars, and for how many units. That is a million units,
but for a price that is no whole number of nano-dollars then, such as two dollars an hour by the
second: it has as many units as it takes to be exact.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import inf
from types import MappingProxyType
from typing import Any, Final, Literal, Protocol, TypeAlias, cast, runtime_checkable

from penstock._errors import DefinitionError
from penstock._money import NANOS_MAX, cost
from penstock._policies import canonical

Kind: TypeAlias = Literal["model", "retrieval", "tool", "gpu", "human", "resource"]
Unknown: TypeAlias = Literal["refuse", "unpriced"]
Price: TypeAlias = tuple[int, int]
"""Nano-dollars, for so many units."""

MILLION: Final = 1_000_000
_FORMAT: Final = 1


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Snapshot:
    """Prices as they were used: data that is kept in the store, and never changes again.

    Attributes:
        kind: what `name` is.
        name: such as a model.
        mode: such as "batch"; empty for the usual one.
        above: requests of more input tokens than this pay these prices; 0 for the lowest tier.
        prices: by resource.
        source: which price book or package they are from.
        digest: sha256, in hex, of all of it.
    """

    kind: Kind
    name: str
    mode: str
    above: int
    prices: Mapping[str, Price]
    source: str
    digest: str

    @classmethod
    def of(
        cls,
        kind: Kind,
        name: str,
        prices: Mapping[str, Price],
        *,
        source: str,
        mode: str = "",
        above: int = 0,
    ) -> Snapshot:
        """A snapshot of these prices, with its digest."""
        content = _content(kind, name, mode, above, prices, source)
        digest = hashlib.sha256(content.encode()).hexdigest()
        return cls(kind, name, mode, above, MappingProxyType(dict(prices)), source, digest)

    @classmethod
    def from_json(cls, text: str) -> Snapshot:
        """The snapshot that `to_json` wrote.

        Raises:
            DefinitionError: it is none, or of a format that this version does not know.
        """
        try:
            data = cast("dict[str, Any]", json.loads(text))
            if data["format"] != _FORMAT:
                raise DefinitionError(
                    f"the rate snapshot has format {data['format']!r}",
                    remedy=f"read it with a newer penstock: this one knows format {_FORMAT}",
                )
            prices = {name: (int(rate), int(per)) for name, (rate, per) in data["prices"].items()}
            return cls.of(
                data["kind"],
                data["name"],
                prices,
                source=data["source"],
                mode=data["mode"],
                above=data["above"],
            )
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise DefinitionError(
                f"{text[:80]!r} is no rate snapshot", remedy="give what to_json wrote"
            ) from error

    def to_json(self) -> str:
        """All of it but the digest, as canonical JSON: its sha256 is the digest."""
        return _content(self.kind, self.name, self.mode, self.above, self.prices, self.source)

    def amount(self, resource: str, units: int) -> int | None:
        """What so many units cost, in nano-dollars; None if the resource has no price.

        Raises:
            OverflowError: it does not fit into 64 bits.
        """
        price = self.prices.get(resource)
        if price is None:
            return None
        amount = cost(units, *price)
        if amount > NANOS_MAX:
            raise OverflowError(f"{units} of {resource!r} cost more than 64 bits of nano-dollars")
        return amount

    def __eq__(self, other: object) -> bool:
        return self.digest == other.digest if isinstance(other, Snapshot) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.digest)

    def __reduce__(self) -> tuple[object, ...]:
        return Snapshot.from_json, (self.to_json(),)

    def __repr__(self) -> str:
        return f"<Snapshot of {self.kind} {self.name!r} from {self.source}>"


@dataclass(frozen=True, slots=True)
class Rate:
    """What a name costs from one instant to another.

    Attributes:
        tiers: by rising `above`; empty if the name has no price in that time.
        since: seconds since 1970.
        until: seconds since 1970, that one excluded.
    """

    tiers: tuple[Snapshot, ...] = ()
    since: float = -inf
    until: float = inf

    def tier(self, total_input: int) -> Snapshot:
        """The one that *all* tokens of a request with so many input tokens pay."""
        for tier in reversed(self.tiers):
            if total_input > tier.above:
                return tier
        return self.tiers[0]

    def within(self, since: float, until: float) -> Rate:
        """The same for at most that time."""
        return Rate(self.tiers, max(since, self.since), min(until, self.until))


@runtime_checkable
class Prices(Protocol):
    """Where rates come from: version 1 of the interface. A price book is one, so is a package."""

    @property
    def unknown(self) -> Unknown:
        """What is done with a name that has no price: it is refused, or booked without one."""
        ...

    @property
    def source(self) -> str:
        """Name and version, for people."""
        ...

    def rate(self, kind: Kind, name: str, at: float, mode: str = "") -> Rate:
        """What a name costs at an instant, and how long before and after it that is so.

        Args:
            kind: what it is.
            name: such as a model.
            at: seconds since 1970.
            mode: such as "batch"; empty for the usual one.
        """
        ...


def price(dollars: Fraction, units: int) -> Price:
    """A price of `dollars` for `units`, exact."""
    rate = dollars * 10**9 * MILLION / units
    return rate.numerator, MILLION * rate.denominator


def _content(
    kind: str, name: str, mode: str, above: int, prices: Mapping[str, Price], source: str
) -> str:
    return canonical(
        {
            "above": above,
            "format": _FORMAT,
            "kind": kind,
            "mode": mode,
            "name": name,
            "prices": {resource: list(each) for resource, each in prices.items()},
            "source": source,
        }
    )
