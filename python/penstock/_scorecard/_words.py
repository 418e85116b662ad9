"""Words: figures as people read them, in text and HTML alike. None is "no data"."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from math import floor, isfinite, log10
from typing import Final

from ._figures import Score, Share, Spend, Spread

NO_DATA: Final = "no data"


def percent(share: float | None) -> str:
    """A share: "96.8 %", "0.42 %"; it says 100 % or 0 % only where it is that.

    Examples:
        >>> percent(0.9684), percent(0.99996), percent(1.0), percent(None)
        ('96.8 %', '>99.9 %', '100 %', 'no data')
    """
    if share is None:
        return NO_DATA
    if share in (0, 1):
        return f"{100 * share:.0f} %"
    if share > 0.9995 and share < 1:
        return ">99.9 %"
    if 0 < share < 0.0001:
        return "<0.01 %"
    return f"{100 * share:.2f} %" if share < 0.01 else f"{100 * share:.1f} %"


def ratio(share: Share) -> str:
    """A share with what it is of: "96.8 % (13,802 of 14,251)"."""
    told = percent(share.value)
    return f"{told} ({share.part:,} of {share.whole:,})" if share.whole else told


def usd(dollars: float | None) -> str:
    """Dollars, to three digits below one: "$1,234.50", "$0.0136".

    Examples:
        >>> usd(1234.5), usd(0.013591), usd(0.0000021), usd(0)
        ('$1,234.50', '$0.0136', '$0.00000210', '$0')
    """
    if dollars is None:
        return NO_DATA
    if dollars == 0:
        return "$0"
    sign = "-" if dollars < 0 else ""
    size = abs(dollars)
    if size >= 1:
        return f"{sign}${size:,.2f}"
    digits = min(2 - floor(log10(size)), 9)
    return f"{sign}${size:.{digits}f}"


def spent(spend: Spend) -> str:
    """Money that is at least this much if something has no price: "≥ $1.20, 4 % unpriced"."""
    if not spend.lines and not spend.nanos:
        return NO_DATA
    if not spend.unpriced:
        return usd(spend.usd)
    return f"≥ {usd(spend.usd)}, {percent(spend.unpriced_share)} unpriced"


def seconds(duration: float | None) -> str:
    """A duration: "85 ms", "1.43 s", "2 h 5 min"."""
    return NO_DATA if duration is None else span(duration)


def span(duration: float) -> str:
    """A duration in its two largest units: "1.20 ms", "3.1 s", "2 h 5 min", "3 d 4 h"."""
    if duration < 0.0005:
        return f"{max(duration, 0.0) * 1e6:.0f} µs"
    if duration < 1:
        return f"{duration * 1e3:.3g} ms"
    if duration < 60:
        return f"{duration:.3g} s"
    for unit, name, smaller, rest in _SPANS:
        if duration >= unit:
            left = int(duration % unit // smaller)
            return f"{int(duration // unit)} {name}" + (f" {left} {rest}" if left else "")
    return f"{duration:g} s"


def spread(times: Spread | None) -> str:
    """Quantiles in a line."""
    if times is None:
        return NO_DATA
    return f"{span(times.p50)}, {span(times.p95)}, {span(times.p99)}"


def number(value: float | None, unit: str = "") -> str:
    """A number: "1.07x", "14,251"."""
    if value is None:
        return NO_DATA
    text = f"{value:,}" if isinstance(value, int) else f"{value:.3g}"
    return f"{text}{unit}"


def counted(count: int, one: str) -> str:
    """A count with its noun: "1 run", "14,251 runs"."""
    return f"{count:,} {one}" if count == 1 else f"{count:,} {one}s"


def score(found: Score) -> str:
    """A mean with how many it is of."""
    give = "" if found.deviation is None else f" ± {found.deviation:.2g}"
    return f"{found.mean:.3g}{give} ({found.count:,})"


def moment(at: float, *, date: bool = True) -> str:
    """A time in UTC, as the windows are."""
    return datetime.fromtimestamp(at, tz=UTC).strftime("%Y-%m-%d %H:%M" if date else "%H:%M")


def sparkline(points: Sequence[float | None], width: int = 24) -> str:
    """A trend in a line of blocks, from its least to its most; a gap where there is no data.

    Examples:
        >>> sparkline([1, 2, None, 8], width=4)
        '▁▂ █'
    """
    packed = _packed(points, width)
    known = [it for it in packed if it is not None and isfinite(it)]
    if not known:
        return ""
    low, high = min(known), max(known)
    room = high - low
    return "".join(
        " " if it is None else _BLOCKS[round((it - low) / room * 7) if room else 3] for it in packed
    )


def _packed(points: Sequence[float | None], width: int) -> list[float | None]:
    """At most `width` points: each the mean of its share of them."""
    if len(points) <= width:
        return list(points)
    packed: list[float | None] = []
    for place in range(width):
        part = points[place * len(points) // width : (place + 1) * len(points) // width]
        known = [it for it in part if it is not None]
        packed.append(sum(known) / len(known) if known else None)
    return packed


CAUSES: Final = {
    "failed": "failed",
    "deadline": "past its deadline",
    "budget": "budget spent",
    "compensated": "failed, undone",
    "compensated_deadline": "past its deadline, undone",
    "compensation_failed": "undoing failed",
    "unresolved": "unresolved",
}
WASTE: Final = {
    "useful": "useful",
    "failed_run": "failed runs",
    "compensation": "undone work",
    "failed_attempt": "failed attempts",
    "lost": "hedges and races lost",
    "superseded": "superseded by forks",
    "escalation": "escalation",
    "exploration": "exploration",
    "unsettled": "not settled yet",
}
REFUSED: Final = {
    "contract": "broke the contract",
    "threshold": "below the threshold",
    "rejected": "rejected",
    "timeout": "timed out",
    "wrong_owner": "wrong owner",
}
_BLOCKS: Final = "▁▂▃▄▅▆▇█"
_SPANS: Final = (
    (86_400, "d", 3_600, "h"),
    (3_600, "h", 60, "min"),
    (60, "min", 1, "s"),
)
