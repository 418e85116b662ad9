"""Units: runs that stay together in one arm, such as a tenant's, are one observation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from ._judge import Reading
from ._outcomes import Pair


@dataclass(slots=True)
class _Unit:
    canary: bool
    share: float
    opened: float
    unpriced: list[float] = field(default_factory=list[float])
    sums: list[list[float]] = field(default_factory=list[list[float]])


class Units:
    """Gathers the runs that units start within `gather` seconds of their first one.

    What they start later says nothing new of the candidate and is left out; so is a run in another
    arm than the unit's first, after the share of the canary has changed.
    """

    __slots__ = ("_closed", "_gather", "_open")

    def __init__(self, gather: float) -> None:
        self._gather = gather
        self._open: dict[str, _Unit] = {}
        self._closed: set[str] = set()

    def add(self, name: str, reading: Reading, *, canary: bool, share: float, at: float) -> None:
        """Take a run in; they come in start order."""
        if name in self._closed:
            return
        unit = self._open.setdefault(name, _Unit(canary, share, at))
        if unit.canary is not canary or at - unit.opened > self._gather:
            return
        if not unit.sums:
            unit.sums = [[0.0, 0.0, 0] for _ in reading.pairs]
        unit.unpriced.append(reading.unpriced)
        for sums, pair in zip(unit.sums, reading.pairs, strict=True):
            if pair is not None:
                sums[0] += pair[0]
                sums[1] += pair[1]
                sums[2] += 1

    def closed(self, until: float) -> Iterator[tuple[Reading, bool, float]]:
        """Units that no run started from `until` on can belong to: means, arm and share."""
        while self._open:
            name, unit = next(iter(self._open.items()))
            if until - unit.opened <= self._gather:
                return
            del self._open[name]
            self._closed.add(name)
            yield (
                Reading([_mean(sums) for sums in unit.sums], max(unit.unpriced)),
                unit.canary,
                unit.share,
            )

    def state(self) -> dict[str, Any]:
        """All of it as plain data; `restore` goes on from it."""
        told = [
            [name, unit.canary, unit.share, unit.opened, list(unit.unpriced), _copied(unit.sums)]
            for name, unit in self._open.items()
        ]
        return {"open": told, "closed": sorted(self._closed)}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state` told."""
        self._open = {
            name: _Unit(canary, share, opened, list(unpriced), _copied(sums))
            for name, canary, share, opened, unpriced, sums in state["open"]
        }
        self._closed = set(state["closed"])


def _mean(sums: Sequence[float]) -> Pair | None:
    up, down, count = sums
    return (up / count, down / count) if count else None


def _copied(sums: Sequence[Sequence[float]]) -> list[list[float]]:
    return [list(each) for each in sums]
