"""Cache: rates that have been resolved, and the snapshots that a store has to keep."""

from __future__ import annotations

from threading import Lock
from typing import Final

from ._rates import Kind, Prices, Rate, Snapshot, Unknown

_NAMES_MAX: Final = 4096


class Rates:
    """Resolves each rate once for as long as it holds; thread-safe. A runtime has one.

    Attributes:
        unknown: what is done with a name that has no price.
        resolved: by kind, name and mode. Look here first, and at the time it holds.
    """

    __slots__ = ("_lock", "_prices", "_snapshots", "resolved", "unknown")

    def __init__(self, prices: Prices) -> None:
        self._prices = prices
        self._lock = Lock()
        self._snapshots: dict[str, Snapshot] = {}
        self.unknown: Unknown = prices.unknown
        self.resolved: dict[tuple[Kind, str, str], Rate] = {}

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
            self.resolved[kind, name, mode] = rate
        return rate

    def snapshot(self, digest: str) -> Snapshot | None:
        """The snapshot of a line that was booked with these rates, for the store to keep."""
        return self._snapshots.get(digest)
