"""Plots: SVG for the HTML report: trends, a partition, stacked bars. Colours are CSS classes.

Every mark has a title, so that a pointer over it tells the figure; every series is labelled where
it ends, so that nothing hangs on telling colours apart.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, log10
from typing import Final

from . import _words as words

Points = Sequence[float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One line of a plot.

    Attributes:
        label: told where the line ends; empty for a plot with one line.
        points: one for each window.
        paint: the number of its colour.
        quiet: whether it is drawn thin.
    """

    label: str = ""
    points: Points
    paint: int = 1
    quiet: bool = False


@dataclass(frozen=True, slots=True)
class Scale:
    """From values to pixels."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """The place of a value."""
        share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)


def trend(
    series: Sequence[Series],
    windows: Sequence[float],
    width: int,
    tell: Callable[[float | None], str],
    *,
    most: float | None = None,
    name: str,
) -> str:
    """Lines over time; gaps where there is no data.

    Args:
        series: the first is the most important one.
        windows: starts, in seconds since 1970.
        width: of a window, in seconds.
        tell: a value as text.
        most: what the axis never goes beyond.
        name: what is shown, for those who can't see it.
    """
    known = [it for one in series for it in one.points if it is not None]
    if not known or not windows:
        middle = f'<text class="quiet" x="{_WIDE / 2}" y="{_HIGH / 2}" text-anchor="middle">'
        return _svg(f"{middle}no data</text>", _WIDE, _HIGH, name)
    ticks = _ticks(min(known), max(known), most)
    labelled = any(it.label for it in series)
    told = _told(ticks, tell)
    left = 12.0 + 6.4 * max(map(len, told))
    right = _WIDE - (34.0 if labelled else 10.0)
    down = Scale(ticks[0], ticks[-1], _HIGH - 26.0, 12.0)
    along = Scale(windows[0], windows[-1] + width, left, right)
    parts = list(_axes(dict(zip(ticks, told, strict=True)), down, along))
    centres = [along(start + width / 2) for start in windows]
    # An area that does not begin at 0 would exaggerate.
    filled = series[0] if ticks[0] == 0 and len(series) < 3 else None
    parts += [_line(it, centres, down, area=it is filled) for it in reversed(series)]
    if labelled:
        parts += _labels(series, down, right)
    parts += _touch(series, windows, width, along, tell)
    return _svg("".join(parts), _WIDE, _HIGH, name)


def spark(points: Points, name: str) -> str:
    """A small trend without axes."""
    known = [it for it in points if it is not None]
    if len(known) < 2:
        return ""
    low, high = min(known), max(known)
    down = Scale(low, high if high > low else low + 1, 25.0, 3.0)
    if high == low:
        down = Scale(low - 1, low + 1, 25.0, 3.0)
    along = Scale(0, len(points) - 1, 1.0, 119.0)
    centres = [along(place) for place in range(len(points))]
    drawn = _line(Series(points=points), centres, down, area=True, floor=28.0)
    return _svg(drawn, 120, 28, name, kind="spark")


def stack(
    parts: Sequence[tuple[str, int, str]], whole: int, name: str, *, kind: str = "bar"
) -> str:
    """A stacked bar, as long as its share of a whole.

    Args:
        parts: label, nano-dollars and CSS class of each.
        whole: nano-dollars of the full length.
        name: what is shown, for those who can't see it.
        kind: CSS class of the bar.
    """
    drawn: list[str] = []
    at = 0.0
    for label, nanos, paint in parts:
        size = nanos / whole * _LONG if whole else 0.0
        told = f"{label}: {words.usd(nanos / 1e9)}, {words.percent(nanos / (whole or 1))}"
        drawn.append(
            f'<rect class="{paint}" x="{at:.1f}" width="{max(size - _GAP, _GAP / 2):.1f}" '
            f'height="10"><title>{escape(told)}</title></rect>'
        )
        at += size
    return (
        f'<svg class="{kind}" viewBox="0 0 {_LONG} 10" preserveAspectRatio="none" role="img" '
        f'aria-label="{escape(name)}">{"".join(drawn)}</svg>'
    )


def _axes(ticks: Mapping[float, str], down: Scale, along: Scale) -> Iterator[str]:
    for tick, told in ticks.items():
        y = down(tick)
        yield (
            f'<line class="grid" x1="{along.start:.1f}" x2="{along.end:.1f}" '
            f'y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<text class="tick" x="{along.start - 7:.1f}" y="{y + 3.5:.1f}" '
            f'text-anchor="end">{escape(told)}</text>'
        )
    for at, label in _times(along.low, along.high):
        yield (
            f'<text class="tick" x="{along(at):.1f}" y="{_HIGH - 8:.1f}" '
            f'text-anchor="middle">{label}</text>'
        )


def _told(ticks: Sequence[float], tell: Callable[[float | None], str]) -> list[str]:
    """What the ticks are called, without the zeros that all of them end with."""
    split = [_NUMBER.fullmatch(tell(tick)) for tick in ticks]
    if not all(split):
        return ["0" if tick == 0 else tell(tick) for tick in ticks]
    needed = max(len((it[2] or "").rstrip("0")) for it in split if it)
    return [
        f"{it[1]}{(it[2] or '').ljust(needed, '0')[:needed] if needed > 1 else ''}{it[3]}"
        for it in split
        if it
    ]


def _line(
    one: Series, centres: Sequence[float], down: Scale, *, area: bool, floor: float | None = None
) -> str:
    """A line in as many pieces as the gaps make."""
    pieces: list[list[tuple[float, float]]] = [[]]
    for x, value in zip(centres, one.points, strict=True):
        if value is not None:
            pieces[-1].append((x, down(value)))
        elif pieces[-1]:
            pieces.append([])
    base = down.start if floor is None else floor
    drawn: list[str] = []
    for piece in filter(None, pieces):
        path = " L".join(f"{x:.1f} {y:.1f}" for x, y in piece)
        if len(piece) == 1:
            (x, y), *_ = piece
            drawn.append(f'<circle class="f{one.paint}" cx="{x:.1f}" cy="{y:.1f}" r="2"/>')
            continue
        if area:
            closed = f"M{piece[0][0]:.1f} {base:.1f} L{path} L{piece[-1][0]:.1f} {base:.1f}Z"
            drawn.append(f'<path class="area f{one.paint}" d="{closed}"/>')
        thin = " thin" if one.quiet else ""
        drawn.append(f'<path class="line s{one.paint}{thin}" d="M{path}"/>')
    return "".join(drawn)


def _labels(series: Sequence[Series], down: Scale, x: float) -> Iterator[str]:
    """Names at the ends of the lines, kept apart."""
    ends: list[tuple[float, Series]] = []
    for one in series:
        last = next((it for it in reversed(one.points) if it is not None), None)
        if last is not None and one.label:
            ends.append((down(last), one))
    at = float("inf")
    for y, one in sorted(ends, key=lambda end: -end[0]):
        at = min(y, at - 12)
        yield (
            f'<text class="label t{one.paint}" x="{x + 5:.1f}" y="{at + 3.5:.1f}">'
            f"{escape(one.label)}</text>"
        )


def _touch(
    series: Sequence[Series],
    windows: Sequence[float],
    width: int,
    along: Scale,
    tell: Callable[[float | None], str],
) -> Iterator[str]:
    """What a pointer over a window tells."""
    for place, start in enumerate(windows):
        told = [words.moment(start)]
        for one in series:
            name = f"{one.label} " if one.label else ""
            told.append(f"{name}{tell(one.points[place])}")
        x, end = along(start), along(start + width)
        yield (
            f'<rect class="touch" x="{x:.1f}" y="8" width="{end - x:.1f}" '
            f'height="{_HIGH - 34:.0f}"><title>{escape(chr(10).join(told))}</title></rect>'
        )


def _ticks(low: float, high: float, most: float | None) -> list[float]:
    """Three to six round values around the data."""
    if high <= low:
        low, high = (low - abs(low) * 0.1, high + abs(high) * 0.1) if low else (0.0, 1.0)
    if low > 0 and low < (high - low):
        low = 0.0
    rough = (high - low) / 4
    power = 10.0 ** floor(log10(rough))
    step = next(it for it in (1, 2, 2.5, 5, 10) if it * power >= rough) * power
    first, last = floor(low / step), ceil(high / step)
    ticks = [round(number * step, 12) for number in range(first, last + 1)]
    return [tick for tick in ticks if most is None or tick <= most + step / 1e6] or ticks


def _times(since: float, until: float) -> Iterator[tuple[float, str]]:
    """Round times to write under a plot."""
    step = next((it for it in _ROUND if (until - since) / it <= 6), _ROUND[-1])
    number = ceil(since / step)
    if step == _ROUND[-1]:
        step = ceil((until - since) / 6 / step) * step
        number = ceil(since / step)
    while number * step <= until:
        at = number * step
        if (until - since) * 0.03 < at - since < (until - since) * 0.97:
            text = words.moment(at)
            yield at, text[5:10] if step >= 86_400 else text[11:]
        number += 1


def _svg(content: str, wide: float, high: float, name: str, kind: str = "plot") -> str:
    return (
        f'<svg class="{kind}" viewBox="0 0 {wide:g} {high:g}" role="img" '
        f'aria-label="{escape(name)}">{content}</svg>'
    )


_NUMBER: Final = re.compile(r"([$>]*[\d,]+)(\.\d+)?( %|)")
_WIDE: Final = 480.0
_HIGH: Final = 196.0
_LONG: Final = 1_000
_GAP: Final = 2.0
_ROUND: Final = (60, 300, 600, 900, 1_800, 3_600, 7_200, 14_400, 21_600, 43_200, 86_400)
