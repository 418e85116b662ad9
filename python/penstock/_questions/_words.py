"""Words: the answers as people read them."""

from __future__ import annotations

from collections.abc import Sequence

from penstock._evidence import Compared
from penstock._evidence._outcomes import parted
from penstock._evidence._words import amount


def value_of(metric: str, value: float | None, *, signed: bool = False) -> str:
    """A value of a metric in its own unit, costs in dollars; "-" without data."""
    if value is None:
        return "-"
    base = parted(metric)[0]
    # What sums are rounded by is no difference.
    value = 0.0 if abs(value) < 1e-12 else value
    return amount(base, value * 1e9 if base == "cost" else value, signed=signed)


def differences(found: Compared) -> tuple[str, str, str, str]:
    """Both values, the difference, and between what it lies."""
    metric = found.metric
    low, high = (value_of(metric, edge, signed=True) for edge in (found.low, found.high))
    return (
        value_of(metric, found.baseline),
        value_of(metric, found.version),
        value_of(metric, found.difference, signed=True),
        "-" if found.difference is None else f"{low} to {high}",
    )


def columns(
    head: Sequence[str], rows: Sequence[Sequence[str]], *, left: Sequence[str] = ()
) -> list[str]:
    """A table as lines, the first its head.

    Numbers stand to the right; the first and the last column, and those in `left`, to the left.

    >>> for line in columns(("step", "spend", "owner"), [("draft", "$12.00", "ml")]):
    ...     print(line)
    step    spend  owner
    draft  $12.00  ml
    """
    table = [head, *rows]
    widths = [max(len(row[place]) for row in table) for place in range(len(head))]
    texts = {0, len(head) - 1, *(place for place, name in enumerate(head) if name in left)}
    return [
        "  ".join(
            f"{cell:<{width}}" if place in texts else f"{cell:>{width}}"
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in table
    ]
