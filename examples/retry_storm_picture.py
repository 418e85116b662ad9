"""The picture of `retry_storm.py`: a page with a chart for each service, and the figures.

One file that needs nothing else: SVG inside HTML, which is well-formed XML as well. The colours are
those of Okabe and Ito, and each line has its own dashes, too.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

from retry_storm_board import COLUMNS, rows, verdict
from retry_storm_dependency import CAPACITY, Outage
from retry_storm_figures import Figures, Record, Second, figures

WIDTH, HEIGHT = 1160, 232
LEFT, RIGHT, TOP, BOTTOM = 58, 100, 12, 34
INK, DIM, GRID = "#1b1b1b", "#5c5c5c", "#e4e4e4"
DOWN: Final = "#f6d9d3"
OFFERED, ATTEMPTS, GOODPUT = "#1b1b1b", "#d55e00", "#0072b2"
ROOM: Final = 2  # outages beside which there is room to tell what they did
SMOOTH: Final = 2  # seconds that a point of a line is the mean of
OUTAGE: Final = {"fails": "calls fail at once", "hangs": "calls hang"}

STYLE: Final = f"""
body {{ margin: 0 auto; padding: 14px 20px; max-width: {WIDTH}px; background: #fff; color: {INK};
       font: 14px/1.4 system-ui, "Segoe UI", "DejaVu Sans", sans-serif; }}
h1 {{ margin: 0; font-size: 21px; }}
h2 {{ margin: 8px 0 0; font-size: 15px; font-weight: 400; }}
p {{ margin: 0; color: {DIM}; font-size: 13px; }}
svg {{ display: block; width: 100%; height: auto; }}
.bad {{ color: #a32a00; font-weight: 700; }}
.good {{ color: #00568a; font-weight: 700; }}
table {{ margin-top: 8px; width: 100%; border-collapse: collapse; font-size: 13px; }}
th {{ padding: 2px 8px; text-align: right; vertical-align: bottom; font-weight: 400;
     color: {DIM}; }}
td {{ padding: 2px 8px; text-align: right; border-top: 1px solid {GRID}; }}
th.word, td.word {{ text-align: left; white-space: nowrap; }}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """Where a second and a rate are in a chart."""

    seconds: int
    top: float

    def x(self, second: float) -> float:
        """From the left."""
        return round(LEFT + (WIDTH - LEFT - RIGHT) * second / self.seconds, 1)

    def y(self, rate: float) -> float:
        """From above."""
        return round(HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * rate / self.top, 1)


def page(records: Sequence[Record], outages: Sequence[Outage], *, rate: float, caption: str) -> str:
    """The whole page."""
    highest = max(s.attempts for record in records for s in record.seconds)
    scale = Scale(seconds=len(records[0].seconds), top=max(150, 50 * -(-highest // 50)))
    charts = "".join(
        f"<h2>{_heading(record)}</h2>{_chart(record, outages, rate, scale)}" for record in records
    )
    return (
        "<!DOCTYPE html>"
        '<html lang="en" xmlns="http://www.w3.org/1999/xhtml"><head><meta charset="utf-8"/>'
        f"<title>A retry storm</title><style>{STYLE}</style></head><body>"
        "<h1>The same outages, met by two services</h1>"
        f"<p>{escape(caption)}</p>{_legend()}{charts}"
        f"{_table(records, outages, rate)}</body></html>\n"
    )


def _heading(record: Record) -> str:
    offered, good = record.last(10)
    mood = "good" if good >= 0.9 * offered else "bad"
    return (
        f"<b>{escape(record.name)}</b> ({escape(record.about)}): "
        f'<span class="{mood}">{escape(verdict(record))}</span>'
    )


def _legend() -> str:
    """What the lines are."""
    entries = (
        ("offered: tickets that arrive", _stroke(OFFERED, 1.5, "5 3")),
        ("attempts: calls sent to the provider", _stroke(ATTEMPTS, 2)),
        ("goodput: answers in time", f'{_stroke(GOODPUT, 2)} fill="{GOODPUT}" fill-opacity="0.3"'),
        ("the provider is down", f'fill="{DOWN}"'),
    )
    drawn: list[str] = []
    x = LEFT
    for number, (told, paint) in enumerate(entries):
        swatch = (
            f'<path d="M{x} 12H{x + 26}" {paint}/>'
            if number < 2  # lines; the others are areas
            else f'<path d="M{x} 19V6H{x + 26}V19Z" {paint}/>'
        )
        drawn.append(f'{swatch}<text x="{x + 33}" y="16">{escape(told)}</text>')
        x += 60 + 8 * len(told)
    return _svg("Legend", 24, "".join(drawn))


def _chart(record: Record, outages: Sequence[Outage], rate: float, scale: Scale) -> str:
    """Offered load, attempts and goodput of a service, second by second."""
    seconds = record.seconds
    offered = _line(seconds, [second.offered for second in seconds], scale)
    attempts = _line(seconds, [second.attempts for second in seconds], scale)
    goodput = _line(seconds, [second.good for second in seconds], scale)
    floor = f"L{scale.x(len(seconds))} {scale.y(0)}L{scale.x(0)} {scale.y(0)}Z"
    drawn = [
        *(
            _outage(outage, did, scale, told=len(outages) <= ROOM)
            for outage, did in figures(record, list(outages), rate)
        ),
        *_axes(scale),
        f'<path d="{goodput}{floor}" fill="{GOODPUT}" fill-opacity="0.3"/>',
        f'<path d="{goodput}" fill="none" {_stroke(GOODPUT, 2)}/>',
        f'<path d="{attempts}" fill="none" {_stroke(ATTEMPTS, 2)}/>',
        f'<path d="{offered}" fill="none" {_stroke(OFFERED, 1.5, "5 3")}/>',
        *_names(seconds, scale),
    ]
    label = f"{record.name}: offered load, attempts and goodput per second over time"
    return _svg(label, HEIGHT, "".join(drawn))


def _line(seconds: Sequence[Second], values: Sequence[int], scale: Scale) -> str:
    """A path through the means of a few seconds each."""
    points = [f"M{scale.x(0)} {scale.y(values[0])}"]
    for number, second in enumerate(seconds, 1):
        near = values[max(0, number - SMOOTH) : number]
        points.append(f"L{scale.x(second.ends - 0.5)} {scale.y(sum(near) / len(near))}")
    points.append(f"L{scale.x(len(seconds))} {scale.y(values[-1])}")
    return "".join(points)


def _outage(outage: Outage, did: Figures, scale: Scale, *, told: bool) -> str:
    """When it was, and what it did, if that is to be told."""
    left, right = scale.x(outage.starts), scale.x(outage.ends)
    drawn = (
        f'<rect x="{left}" y="{TOP}" width="{right - left:.1f}" height="{HEIGHT - TOP - BOTTOM}" '
        f'fill="{DOWN}"/><text x="{right + 5}" y="{TOP + 12}">{OUTAGE[outage.kind]}</text>'
    )
    effect = f'<text x="{right + 5}" y="{TOP + 28}" font-weight="700">{_effect(did)}</text>'
    return drawn + effect if told else drawn


def _effect(did: Figures) -> str:
    """What an outage did, in a few words."""
    if did.recovered is None:
        return f"does not recover: a line of {did.backlog:,} calls, most of them given up"
    if did.lost:
        return f"{did.lost:,} runs lost"
    gone = "not gone" if did.drained is None else f"gone after {did.drained} s"
    return f"a backlog of {did.backlog:,}, {gone}"


def _axes(scale: Scale) -> Iterator[str]:
    left, right, bottom = LEFT, WIDTH - RIGHT, HEIGHT - BOTTOM
    for rate in range(0, round(scale.top) + 1, 50):
        y = scale.y(rate)
        yield f'<path d="M{left} {y}H{right}" stroke="{INK if rate == 0 else GRID}"/>'
        yield f'<text x="{left - 6}" y="{y + 4}" text-anchor="end">{rate}</text>'
    step = 20 if scale.seconds <= 400 else 60  # else the numbers would touch
    for second in range(0, scale.seconds + 1, step):
        x = scale.x(second)
        yield f'<path d="M{x} {bottom}v4" stroke="{INK}"/>'
        yield f'<text x="{x}" y="{bottom + 17}" text-anchor="middle">{second}</text>'
    yield f'<text x="{right + 24}" y="{bottom + 17}">time, s</text>'
    middle = (TOP + bottom) / 2
    yield (
        f'<text x="14" y="{middle}" text-anchor="middle" transform="rotate(-90 14 {middle})">'
        "calls per second</text>"
    )
    y = scale.y(CAPACITY)
    yield f'<path d="M{left} {y}H{right}" {_stroke(DIM, 1, "1 4")}/>'
    yield f'<text x="{left + 6}" y="{y - 4}" fill="{DIM}">capacity</text>'


def _names(seconds: Sequence[Second], scale: Scale) -> Iterator[str]:
    """The lines' names beside their ends, and far enough apart."""
    last = seconds[-10:]
    ends = [
        ("offered", sum(s.offered for s in last) / len(last), OFFERED),
        ("attempts", sum(s.attempts for s in last) / len(last), ATTEMPTS),
        ("goodput", sum(s.good for s in last) / len(last), GOODPUT),
    ]
    ends.sort(key=lambda end: -end[1])
    wanted = [scale.y(rate) + 4 for _, rate, _ in ends]
    apart: list[float] = []
    for y in wanted:
        apart.append(max(y, apart[-1] + 14) if apart else y)
    up = (sum(apart) - sum(wanted)) / len(ends)
    for (name, _, colour), y in zip(ends, apart, strict=True):
        x = WIDTH - RIGHT + 8
        yield f'<text x="{x}" y="{y - up:.1f}" fill="{colour}">{name}</text>'


def _stroke(colour: str, width: float, dashes: str = "") -> str:
    dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
    return f'stroke="{colour}" stroke-width="{width}" stroke-linejoin="round"{dashed}'


def _svg(label: str, height: int, drawn: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'aria-label="{escape(label)}" font-size="12" fill="{INK}" '
        f'font-family="system-ui, Segoe UI, DejaVu Sans, sans-serif">{drawn}</svg>'
    )


def _table(records: Sequence[Record], outages: Sequence[Outage], rate: float) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in COLUMNS.values())
    body = "".join(
        f'<tr><td class="word">{escape(row.outage)}</td>'
        f'<td class="word"><b>{escape(row.service)}</b></td>'
        + "".join(f"<td>{escape(figure)}</td>" for figure in row.figures)
        + "</tr>"
        for row in rows(records, outages, rate)
    )
    return (
        '<table><thead><tr><th class="word">outage</th><th class="word">service</th>'
        f"{head}</tr></thead><tbody>{body}</tbody></table>"
    )
