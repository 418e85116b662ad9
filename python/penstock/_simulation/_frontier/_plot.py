"""Plot: the picture of a frontier as SVG: cost across, p95 up, success as colour.

Scales are logarithmic where the values are far apart: one overloaded policy would else press all
others into a corner.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from math import exp, floor, isclose, log, log10
from typing import TYPE_CHECKING, Final, TypeAlias

from penstock._simulation._figures import told

if TYPE_CHECKING:
    from ._frontier import Frontier, Point

Place: TypeAlias = tuple[float, float]
Box: TypeAlias = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Axis:
    """From values to pixels.

    Attributes:
        low: the least value.
        high: the most.
        start: where the least is.
        end: where the most is.
        is_log: whether equal steps are equal factors.
    """

    low: float
    high: float
    start: float
    end: float
    is_log: bool

    @classmethod
    def around(cls, values: Sequence[float], start: float, end: float) -> Axis:
        """One with room around values; values are above 0."""
        low, high = min(values), max(values)
        is_log = low > 0 and high / low > _FAR
        if is_log:
            room = (high / low) ** 0.06
            return cls(low / room, high * room, start, end, is_log=True)
        room = 0.07 * (high - low) or 0.1 * high or 1.0
        return cls(max(low - room, 0.0), high + room, start, end, is_log=False)

    def __call__(self, value: float) -> float:
        """The place of a value."""
        if self.is_log:
            share = log(max(value, self.low) / self.low) / log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)

    def ticks(self, *, of_time: bool = False) -> list[float]:
        """Round values to write at the axis; those of a clock for seconds of a minute and more."""
        if self.is_log and of_time and self.high > 60:
            return self._times()
        if self.is_log:
            wide = self.high / self.low > 3_000
            found = [
                factor * 10.0**power
                for power in range(floor(log10(self.low)), floor(log10(self.high)) + 1)
                for factor in ((1,) if wide else (1, 2, 5))
            ]
            return [tick for tick in found if self.low <= tick <= self.high]
        rough = (self.high - self.low) / 5
        power = 10.0 ** floor(log10(rough))
        step = next(it for it in (1, 2, 2.5, 5, 10) if it * power >= rough) * power
        first = floor(self.low / step) + (0 if isclose(self.low % step, 0, abs_tol=1e-12) else 1)
        return [round(n * step, 12) for n in range(first, floor(self.high / step) + 1)]

    def _times(self) -> list[float]:
        least = 10.0 ** floor(log10(self.low))
        below = [factor * least * 10**n for n in range(12) for factor in (1, 2, 5)]
        found = [*(tick for tick in below if tick < _CLOCK[0] / 2), *_CLOCK]
        found = [tick for tick in found if self.low <= tick <= self.high]
        return found[:: (len(found) + 7) // 8] if len(found) > 9 else found


@dataclass(frozen=True, slots=True)
class Shades:
    """From a share to a colour: warm for the least, blue for the most.

    Where the failures are far apart in size equal steps are equal factors of the failure rate.

    Attributes:
        low: the least share.
        high: the most.
        is_log: whether it goes by factors of what is missing to 1.
    """

    low: float
    high: float
    is_log: bool

    @classmethod
    def over(cls, values: Sequence[float]) -> Shades:
        """Those for some values."""
        low, high = min(values), max(values)
        return cls(low, high, (1 - low) / max(1 - high, _SURE) > _FAR)

    def share(self, value: float) -> float:
        """How far up the scale a value is, from 0 to 1."""
        if self.high <= self.low:
            return 1.0
        if not self.is_log:
            return min(max((value - self.low) / (self.high - self.low), 0.0), 1.0)
        least, most, own = (max(1 - it, _SURE) for it in (self.low, self.high, value))
        return min(max(log(least / own) / log(least / most), 0.0), 1.0)

    def at(self, share: float) -> float:
        """The value at a share of the scale."""
        if not self.is_log:
            return self.low + share * (self.high - self.low)
        least, most = max(1 - self.low, _SURE), max(1 - self.high, _SURE)
        return 1 - least * exp(share * log(most / least))

    def __call__(self, value: float) -> str:
        """The colour of a value."""
        return _mixed(self.share(value))


def plot(front: Frontier) -> str:
    """The picture; empty if no policy has any success."""
    placed = _placed(front)
    if not placed:
        return ""
    costs = [front.points[number].forecast.figure("cost").value or 0.0 for number in placed]
    slows = [front.points[number].forecast.figure("latency_p95").value or 0.0 for number in placed]
    bounds = {each.metric: each.bound for each in front.require if each.sign == "<="}
    slow_bound, cost_bound = bounds.get("latency_p95"), bounds.get("cost")
    up = Axis.around(slows, _FLOOR, _TOP)
    names = [told("latency_p95", tick) for tick in up.ticks(of_time=True)]
    left = _LEFT + max(_TICK * max(map(len, names), default=0) - _ROOM, 0.0)
    along = Axis.around(costs, left, _WIDE - _RIGHT)
    shades = shades_of(front)
    places = {
        number: (along(cost), up(slow))
        for number, cost, slow in zip(placed, costs, slows, strict=True)
    }
    parts = [*_axes(along, up)]
    if slow_bound is not None and up.low < slow_bound < up.high:
        parts.append(
            _bound_across(left, up(slow_bound), f"p95 ≤ {told('latency_p95', slow_bound)}")
        )
    if cost_bound is not None and along.low < cost_bound < along.high:
        parts.append(_bound_up(along(cost_bound), f"cost ≤ {told('cost', cost_bound)}"))
    parts += _lines(front, places)
    parts += [
        _dot(front, front.points[number], places[number], shades)
        for number in _order(front, placed)
    ]
    parts += _labels(front, places)
    return (
        f'<svg id="plot" class="frontier" viewBox="0 0 {_WIDE:g} {_HIGH:g}" role="img" '
        f'aria-label="Policies by cost per success and p95">{"".join(parts)}</svg>'
    )


def shades_of(front: Frontier) -> Shades:
    """The colours of the third axis."""
    known = [it.forecast.figure(front.third).value for it in front.points if not it.extrapolated]
    return Shades.over([value for value in known if value is not None] or [1.0])


def scale(front: Frontier) -> str:
    """The legend of the colours: a bar with three values."""
    shades = shades_of(front)
    stops = ", ".join(f"{_mixed(place / 8)} {100 * place / 8:g}%" for place in range(9))
    shown = [told(front.third, shades.at(share)) for share in (0.0, 0.5, 1.0)]
    if shades.high <= shades.low:
        shown = ["", told(front.third, shades.high), ""]
    values = "".join(f"<span>{escape(it)}</span>" for it in shown)
    return (
        f'<div class="scale"><b>{front.third}</b><div><i style="background:linear-gradient(90deg, '
        f'{stops})"></i><p>{values}</p></div></div>'
    )


def _placed(front: Frontier) -> list[int]:
    """The numbers of the points that have a place: of some nothing succeeds."""
    return [
        point.number
        for point in front.points
        if point.forecast.figure("cost").value is not None
        and point.forecast.figure("latency_p95").value is not None
    ]


def _order(front: Frontier, placed: Sequence[int]) -> list[int]:
    """What stands out is drawn last, so that nothing covers it."""
    special = _special(front)
    members = set(front.chosen.front)
    return sorted(placed, key=lambda number: (number in special, number in members))


def _special(front: Frontier) -> dict[int, list[str]]:
    """What is written at a point, by its number."""
    found: dict[int, list[str]] = {0: ["present"]}
    for name, point in (("knee", front.knee), ("cheapest", front.cheapest)):
        if point is not None:
            found.setdefault(point.number, []).append(name)
    return found


def _axes(along: Axis, up: Axis) -> Iterator[str]:
    for tick in up.ticks(of_time=True):
        y = up(tick)
        yield (
            f'<line class="grid" x1="{along.start:.1f}" x2="{along.end:.1f}" '
            f'y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<text x="{along.start - 8:.1f}" y="{y + 4:.1f}" text-anchor="end">'
            f"{escape(told('latency_p95', tick))}</text>"
        )
    for tick in along.ticks():
        x = along(tick)
        yield (
            f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{_FLOOR}"/>'
            f'<text x="{x:.1f}" y="{_FLOOR + 18}" text-anchor="middle">'
            f"{escape(_tick_usd(tick))}</text>"
        )
    yield (
        f'<text class="title" x="{_WIDE - _RIGHT}" y="{_HIGH - 6}" text-anchor="end">'
        "cost per success →</text>"
        f'<text class="title" x="8" y="{_TOP - 12}">↑ p95 latency</text>'
    )


def _tick_usd(value: float) -> str:
    text = f"${value:.10f}".rstrip("0")
    return text.rstrip(".") if value < 1 else f"${value:,.2f}".removesuffix(".00")


def _bound_across(left: float, y: float, name: str) -> str:
    x = _WIDE - _RIGHT
    return (
        f'<line class="bound" x1="{left:.1f}" x2="{x}" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<text class="bounded" x="{x - 4}" y="{y - 6:.1f}" text-anchor="end">{escape(name)}</text>'
    )


def _bound_up(x: float, name: str) -> str:
    return (
        f'<line class="bound" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{_FLOOR}"/>'
        f'<text class="bounded" x="{x + 6:.1f}" y="{_TOP + 12}">{escape(name)}</text>'
    )


def _lines(front: Frontier, places: Mapping[int, Place]) -> Iterator[str]:
    """The frontier as steps: of all of it, and of what has as much success as is asked for."""
    members = [number for number in front.chosen.front if number in places]
    yield _steps([places[number] for number in members], "edge all")
    least = least_third(front)
    good = [
        n for n in members if (front.points[n].forecast.figure(front.third).value or 0) >= least
    ]
    yield _steps([places[number] for number in good], "edge")


def least_third(front: Frontier) -> float:
    """The success, or quality, from which on the bold line goes: what is required, or as now.

    "As now" is the lower end of the present point's interval: what differs by noise counts.
    """
    asked = [it.bound for it in front.require if it.metric == front.third and it.sign == ">="]
    now = front.present.forecast.figure(front.third)
    return max(asked) if asked else (now.low if now.low is not None else now.value or 0.0)


def _steps(places: Sequence[Place], kind: str) -> str:
    """The lower left edge of points: a line from each down to the next that is lower."""
    edge: list[Place] = []
    for x, y in sorted(places, key=lambda it: (it[0], -it[1])):
        if not edge or y > edge[-1][1]:  # lower on the page is faster
            edge.append((x, y))
    if len(edge) < 2:
        return ""
    path = f"M{edge[0][0]:.1f} {edge[0][1]:.1f}"
    path += "".join(f"H{x:.1f}V{y:.1f}" for x, y in edge[1:])
    return f'<path class="{kind}" d="{path}"/>'


def _dot(front: Frontier, point: Point, place: Place, shades: Shades) -> str:
    x, y = place
    special = _special(front).get(point.number)
    member = point.number in front.chosen.front
    kind = "dot" + (" member" if member else "") + (" hollow" if point.extrapolated else "")
    radius = 8.0 if special else 6.0 if member else 4.5
    value = point.forecast.figure(front.third).value
    fill = "" if point.extrapolated or value is None else f' style="fill:{shades(value)}"'
    ring = f'<circle class="ring" cx="{x:.1f}" cy="{y:.1f}" r="14"/>' if point.number == 0 else ""
    halo = ""
    if special and special != ["present"]:
        halo = f'<circle class="halo" cx="{x:.1f}" cy="{y:.1f}" r="11"/>'
    return (
        f'{ring}{halo}<circle class="{kind}" data-n="{point.number}" cx="{x:.1f}" cy="{y:.1f}" '
        f'r="{radius:g}"{fill} tabindex="{0 if member or special else -1}"/>'
    )


def _labels(front: Frontier, places: Mapping[int, Place]) -> Iterator[str]:
    """Names of what stands out, moved so that none lies on another or on one of the points."""
    taken: list[Box] = []
    special = {number: names for number, names in _special(front).items() if number in places}
    for number, names in special.items():
        text = " = ".join(names)
        x, y = places[number]
        marks = [places[other] for other in special if other != number]

        costs = {
            offset: _in_the_way(_box(text, (x, y), offset), taken, marks, places.values())
            for offset in _OFFSETS
        }
        offset = min(costs, key=lambda offset: costs[offset])
        taken.append(_box(text, (x, y), offset))
        at, down = x + offset[0], y + offset[1]
        yield (
            f'<line class="lead" x1="{x:.1f}" y1="{y:.1f}" x2="{at:.1f}" y2="{down - 5:.1f}"/>'
            f'<text class="name" x="{at:.1f}" y="{down:.1f}" text-anchor="{_anchor(offset)}">'
            f"{escape(text)}</text>"
        )


def _in_the_way(
    box: Box, taken: Collection[Box], marks: Collection[Place], places: Collection[Place]
) -> float:
    """How bad a place for a name is."""
    inside = box[0] > _LEFT and box[2] < _WIDE - 4 and box[1] > 4 and box[3] < _FLOOR
    return (
        50 * sum(_overlap(box, other) for other in taken)
        + 20 * sum(_holds(box, mark) for mark in marks)
        + sum(_holds(box, place) for place in places)
        + (0 if inside else 200)
    )


def _anchor(offset: Place) -> str:
    return "start" if offset[0] > 0 else "end" if offset[0] < 0 else "middle"


def _box(text: str, place: Place, offset: Place) -> Box:
    """About where a name lies that is moved away from its point."""
    wide = _LETTER * len(text)
    left = place[0] + offset[0] - {"start": 0.0, "end": wide, "middle": wide / 2}[_anchor(offset)]
    down = place[1] + offset[1]
    return left - 2, down - 14, left + wide + 2, down + 5


def _overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _holds(box: Box, place: Place) -> bool:
    return box[0] - 6 < place[0] < box[2] + 6 and box[1] - 6 < place[1] < box[3] + 6


def _mixed(share: float) -> str:
    """A colour of the scale, between two of its stops."""
    place = share * (len(_STOPS) - 1)
    low = min(int(place), len(_STOPS) - 2)
    rest = place - low
    mixed = (round(a + rest * (b - a)) for a, b in zip(_STOPS[low], _STOPS[low + 1], strict=True))
    return "#" + "".join(f"{part:02x}" for part in mixed)


_STOPS: Final = ((178, 58, 46), (222, 124, 62), (226, 181, 90), (92, 166, 164), (38, 106, 158))
_OFFSETS: Final = tuple(
    (dx, dy)
    for far in (22, 40, 64)
    for dx, dy in (
        (far, -far * 0.6),
        (-far, -far * 0.6),
        (far, far * 0.8),
        (-far, far * 0.8),
        (0, -far),
        (0, far * 1.2),
    )
)
_FAR: Final = 12.0
_SURE: Final = 1e-3
_WIDE: Final = 800.0
_HIGH: Final = 500.0
_LEFT: Final = 66.0
_RIGHT: Final = 18.0
_TOP: Final = 34.0
_BOTTOM: Final = 44.0
_FLOOR: Final = _HIGH - _BOTTOM
_LETTER: Final = 8.0
_TICK: Final = 6.6
_ROOM: Final = 46.0
_CLOCK: Final = tuple(
    60.0 * minutes
    for minutes in (1, 2, 5, 10, 20, 30, 60, 120, 300, 720, 1_440, 2_880, 7_200, 14_400, 43_200)
)
