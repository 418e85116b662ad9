"""Cache: rates that have been resolved, and the snapshots that a store has to keep."""

from __future__ import annotations

from collections.abc import Callable
from math import gcd, inf
from threading import Lock
from typing import Final, NamedTuple, Protocol, TypeAlias

from penstock._money import NANOS_MAX

from ._rates import Kind, Prices, Rate, Snapshot, Unknown

_NAMES_MAX: Final = 4096
TOKENS: Final = ("input", "cached", "cache_write", "output")
"""What tokens are of, in the order of a tariff."""


def _reduced(price: int, per: int) -> tuple[int, int]:
    """The same price in the smallest whole numbers."""
    common = gcd(price, per)
    return price // common, per // common


Take: TypeAlias = Callable[[int, int, int, int, int], bool | None]
"""Books all input of an attempt, what of it is from and to caches, and its output. False if it has
ended; None if a number can't be meant or is too large, and nothing is booked."""
Ready: TypeAlias = "tuple[Take, float | None, float, Tariff]"
"""What takes tokens; from when on (None for at all times) and until when that holds; and why."""


class Till(Protocol):
    """Where lines are booked by the numbers of what they are of."""

    def number(self, resource: str, name: str, mode: str, rate: str, /) -> int:
        """The number of a resource."""
        ...

    def taker(self, most: int, parts: tuple[tuple[int, int, int], ...], /) -> Take:
        """What books tokens of these parts, at most so many of each."""
        ...


class Tariff(NamedTuple):
    """What tokens of a model cost in one mode, where that does not hang on how many they are.

    Attributes:
        parts: of input, cached, cache-write and output tokens: the number, and the price.
        snapshot: the rates.
    """

    parts: tuple[tuple[int, int, int], ...]
    snapshot: Snapshot


class Rates:
    """Resolves each rate once for as long as it holds; thread-safe. A runtime has one.

    Attributes:
        unknown: what is done with a name that has no price.
        resolved: by kind, name and mode. Look here first, and at the time it holds.
        till: where a runtime takes lines by number; None in a test.
        tariffs: by model and mode, None or empty for the usual one, what its tokens cost, ready for
            the till.
    """

    __slots__ = ("_lock", "_prices", "_snapshots", "resolved", "tariffs", "till", "unknown")

    def __init__(self, prices: Prices) -> None:
        self._prices = prices
        self._lock = Lock()
        self._snapshots: dict[str, Snapshot] = {}
        self.unknown: Unknown = prices.unknown
        self.resolved: dict[tuple[Kind, str, str], Rate] = {}
        self.till: Till | None = None
        self.tariffs: dict[tuple[str, str | None], Ready] = {}

    def find(self, kind: Kind, name: str, at: float, mode: str = "") -> Rate:
        """The rate of a name at an instant, without tiers if it has none."""
        rate = self.resolved.get((kind, name, mode))
        if rate is not None and rate.since <= at < rate.until:
            return rate
        with self._lock:
            rate = self._prices.rate(kind, name, at, mode)
            for snapshot in rate.tiers:
                self._snapshots[snapshot.digest] = snapshot
            # Names are the users' own: what nobody asks for again must not pile up.
            if len(self.resolved) >= _NAMES_MAX:
                self.resolved.clear()
                self.tariffs.clear()
            self.resolved[kind, name, mode] = rate
        return rate

    def tariff(self, model: str, mode: str, rate: Rate) -> None:
        """Make a tariff of a rate if it can be one: it has one tier, and a price for all tokens."""
        till, snapshot = self.till, rate.tiers[0] if len(rate.tiers) == 1 else None
        if till is None or snapshot is None or "request" in snapshot.prices:
            return
        if not all(resource in snapshot.prices for resource in TOKENS):
            return
        numbers = [till.number(each, model, mode, snapshot.digest) for each in TOKENS]
        prices = [_reduced(*snapshot.prices[each]) for each in TOKENS]
        parts = tuple((number, *price) for number, price in zip(numbers, prices, strict=True))
        most = min(NANOS_MAX * per // max(price, 1) for price, per in prices)
        always = rate.since == -inf and rate.until == inf
        take, since = till.taker(most, parts), None if always else rate.since
        self.tariffs[model, mode] = ready = take, since, rate.until, Tariff(parts, snapshot)
        if not mode:
            self.tariffs[model, None] = ready

    def snapshot(self, digest: str) -> Snapshot | None:
        """The snapshot of a line that was booked with these rates, for the store to keep."""
        return self._snapshots.get(digest)
