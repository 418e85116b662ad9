"""HTML: a frontier as one page that needs nothing from outside, light and dark."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from html import escape
from typing import TYPE_CHECKING, Any, Final

from penstock._errors import DefinitionError
from penstock._scorecard._style import sheet
from penstock._simulation._figures import label, told, told_about

from ._assets import SCRIPT, STYLE
from ._plot import least_third, plot, scale
from ._text import headline, sentences
from ._words import day, dollars, standing

if TYPE_CHECKING:
    from ._frontier import Frontier, Point


def page(front: Frontier) -> str:
    """The page."""
    title = f"Frontier of {front.workflow} {front.version}"
    told = headline(front).partition(": ")[2]
    picture = plot(front)
    said = "".join(f"<p>{escape(it)}</p>" for it in sentences(front))
    drawn = picture or '<p class="quiet">Under no policy any run succeeds.</p>'
    legend = f'<div class="legend">{scale(front)}{_legend(front)}</div>' if picture else ""
    parts = (
        f'<header><h1>{escape(title)}</h1><p class="quiet">{escape(told)}</p></header>',
        _tiles(front),
        f'<section class="picture"><div class="card">{drawn}{legend}</div>{_PANEL}</section>',
        f'<section class="said">{said}</section>',
        _table(front),
    )
    body = "\n".join(parts)
    data = json.dumps(_data(front), ensure_ascii=False).replace("<", "\\u003c")
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8"/>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1"/>\n'
        f"<title>{escape(title)}</title>\n<style>{sheet()}{STYLE}</style>\n</head>\n"
        f"<body>\n<main>\n{body}\n</main>\n"
        f'<script type="application/json" id="data">{data}</script>\n'
        f"<script>{SCRIPT}</script>\n</body>\n</html>\n"
    )


def _tiles(front: Frontier) -> str:
    """The three points that matter, side by side."""
    wanted = ", ".join(map(str, front.require))
    tiles = [
        ("Present", "what runs now", front.present),
        ("Knee", "where the frontier bends most", front.knee),
    ]
    if front.require:
        tiles.append(("Cheapest", f"with {wanted}", front.cheapest))
    return f'<section class="tiles three">{"".join(_tile(front, *it) for it in tiles)}</section>'


def _tile(front: Frontier, name: str, note: str, point: Point | None) -> str:
    head = f'<h2>{name}</h2><p class="note">{escape(note)}</p>'
    if point is None:
        missing = "no policy meets it" if name == "Cheapest" else "the frontier has no bend"
        return f'<div class="card tile">{head}<b class="none">{missing}</b></div>'
    figures = " · ".join(
        f"{label(metric)} {told(metric, point.forecast.figure(metric).value)}"
        for metric in ("latency_p95", front.third)
    )
    return (
        f'<div class="card tile {name.lower()}" data-n="{point.number}">{head}'
        f"<b>{told('cost', point.forecast.figure('cost').value)} <small>a success</small></b>"
        f"<p>{escape(figures)}</p><p>{_a_day(front, point)}</p></div>"
    )


def _a_day(front: Frontier, point: Point) -> str:
    """What a policy costs or saves a day, in a tile."""
    saving = front.saved_a_day(point).value
    if saving is None:
        return ""
    if point.number == 0:
        cost, many = (point.forecast.figure(name).value for name in ("cost", "throughput"))
        return f"{dollars(_DAY * (cost or 0.0) * (many or 0.0))} a day at the present load"
    return f"<strong>{dollars(abs(saving))} {'less' if saving >= 0 else 'more'} a day</strong>"


def _legend(front: Frontier) -> str:
    least = told(front.third, least_third(front))
    parts = [
        '<span><i class="mark ringed"></i>present</span>',
        f'<span><i class="mark line"></i>frontier with {front.third} from {least} on</span>',
        '<span><i class="mark line thin"></i>all of it</span>',
    ]
    if any(point.extrapolated for point in front.points):
        parts.append('<span><i class="mark empty"></i>more than the model has seen</span>')
    if not front.knows_quality:
        parts.append('<span><i class="mark band"></i>quality: not known, 0 to 100 %</span>')
    return "".join(parts)


def _table(front: Frontier) -> str:
    """The frontier, for those who would rather read."""
    head = "".join(
        f'<th class="n">{name}</th>' for name in ("cost per success", "p95", front.third)
    )
    rows = "".join(_rows(front))
    return (
        '<section><h2 class="part">The frontier</h2><div class="card scroll"><table><tr><th></th>'
        f'<th>policy</th>{head}<th class="n">saved a day</th><th>changes</th></tr>{rows}</table>'
        "</div></section>"
    )


def _rows(front: Frontier) -> Iterator[str]:
    special = (front.present, front.knee, front.cheapest, *front.front)
    listed = {point.number: point for point in special if point is not None}
    for point in sorted(
        listed.values(), key=lambda it: it.forecast.figure("cost").value or float("inf")
    ):
        figures = "".join(
            f'<td class="n">{escape(told_about(name, point.forecast.figure(name)))}</td>'
            for name in ("cost", "latency_p95", front.third)
        )
        changes = "<br/>".join(escape(text) for text in point.change.texts) or "as it is"
        saved = "-" if point.number == 0 else day(front.saved_a_day(point))
        yield (
            f'<tr data-n="{point.number}"><td class="name">{standing(front, point)}</td>'
            f'<td>#{point.number}</td>{figures}<td class="n">{saved}</td>'
            f'<td class="changes">{changes}</td></tr>'
        )


def _data(front: Frontier) -> dict[str, Any]:
    """What the page's own script tells of each point."""
    first = front.cheapest or front.knee or front.present
    return {"first": first.number, "points": [_told(front, point) for point in front.points]}


def _told(front: Frontier, point: Point) -> dict[str, Any]:
    metrics = point.forecast.metrics
    first = ["cost", "latency_p95", front.third]
    figures: list[tuple[str, str | None]] = [
        (label(name), told_about(name, metrics[name]))
        for name in dict.fromkeys((*first, *metrics))
        if name in metrics and metrics[name].value is not None
    ]
    if not front.knows_quality:
        figures.append(("quality", None))
    return {
        "name": standing(front, point),
        "changes": list(point.change.texts),
        "set": " \\\n".join(f"--set {shlex.quote(text)}" for text in point.change.texts),
        "release": _release(point),
        "figures": figures,
        "saved": None if point.number == 0 else day(front.saved_a_day(point)),
        "extrapolated": list(point.extrapolated),
        "fresh": point.again is not None,
    }


def _release(point: Point) -> str:
    """How a policy is put in service."""
    if not point.change:
        return ""
    try:
        point.change.overlay()
    except DefinitionError as error:
        return str(error)
    return "can be released as an overlay"


_PANEL: Final = '<aside class="card" id="panel" aria-live="polite"></aside>'
_DAY: Final = 86_400
