"""Rows: the rollups that the engine writes, each an additive delta, and how they add up.

A row holds what happened in a window of 60 s, or of an hour or a day once it is old. Windows are
UTC, [start, end); a row belongs to the time of its start, so that two spans that meet never count
one twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, cast

Body: TypeAlias = dict[str, Any]
"""Numbers by name, nested; a number that is not there is 0."""


@dataclass(frozen=True, slots=True)
class Row:
    """One delta.

    Attributes:
        window: its start, in seconds since 1970.
        kind: "runs" (by their start), "cash" (by booking time), "delays", "scores" or "queues".
        key: whom it is about; its "width" is that of the window.
        body: what to add.
    """

    window: float
    kind: str
    key: Mapping[str, Any]
    body: Mapping[str, Any]

    @property
    def width(self) -> int:
        """Seconds."""
        return int(self.key.get("width") or NARROWEST)


def merge(*bodies: Mapping[str, Any]) -> Body:
    """The sum of bodies, which stay as they are. O(numbers).

    Examples:
        >>> merge({"accepted": 2, "ended": {"failed": 1}}, {"ended": {"failed": 2}})
        {'accepted': 2, 'ended': {'failed': 3}}
    """
    total: Body = {}
    for names, alike in _by_shape(bodies):
        if len(alike) < _FEW:
            for body in alike:
                add(total, body)
            continue
        # Column by column, which is several times as fast as body by body.
        columns = zip(*[body.values() for body in alike], strict=True)
        for name, column in zip(names, columns, strict=True):
            value = merge(*column) if isinstance(column[0], dict) else sum(column)
            if name in total:
                add(total, {name: value})
            else:
                total[name] = value
    return total


def add(total: Body, more: Mapping[str, Any]) -> None:
    """Add a body to a total, in place."""
    for name, value in more.items():
        if isinstance(value, dict):
            if name not in total:
                total[name] = {}
            add(total[name], cast("Body", value))
        else:
            total[name] = total.get(name, 0) + value


def _by_shape(
    bodies: Sequence[Mapping[str, Any]],
) -> Iterable[tuple[tuple[str, ...], Sequence[Mapping[str, Any]]]]:
    """Bodies that have the same names in the same order."""
    shapes = list(map(tuple, bodies))
    if shapes and shapes.count(shapes[0]) == len(shapes):
        return [(shapes[0], bodies)]
    found: dict[tuple[str, ...], list[Mapping[str, Any]]] = {}
    for shape, body in zip(shapes, bodies, strict=True):
        found.setdefault(shape, []).append(body)
    return found.items()


def between(rows: Iterable[Row], since: float, until: float) -> Iterator[Row]:
    """The rows whose window starts in [since, until)."""
    return (row for row in rows if since <= row.window < until)


def combined(rows: Iterable[Row], width: float) -> Iterator[Row]:
    """The sums of rows of one kind and key by windows of `width`, in no order. O(numbers)."""
    found: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        of = row.key.get
        told = (row.window // width, row.kind, *[of(name) for name in _KEYS])
        found.setdefault(told, []).append(row)
    for alike in found.values():
        row = alike[0]
        body = merge(*[it.body for it in alike])
        yield Row(row.window // width * width, row.kind, row.key, body)


def grid(rows: Iterable[Row], since: float, until: float) -> int:
    """The width, in seconds, of the windows that a trend is shown by.

    About fifty of them, and none narrower than the rows are.
    """
    widest = max((row.width for row in rows), default=NARROWEST)
    least = max((until - since) / _POINTS, widest)
    return next((width for width in _WIDTHS if width >= least), _WIDTHS[-1])


NARROWEST: Final = 60
_POINTS: Final = 50
_FEW: Final = 3
_WIDTHS: Final = (60, 300, 600, 1_800, 3_600, 7_200, 21_600, 86_400, 604_800, 2_592_000)
_KEYS: Final = ("workflow", "version", "overlay", "tenant", "step", "queue", "priority", "kind")
