"""HTML: a scorecard as one page that needs nothing from outside, light and dark."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from html import escape
from typing import Final

from . import _words as words
from ._layers import Line, layers
from ._metrics import Card, Economics
from ._plots import Series, spark, stack, trend
from ._scorecard import Scorecard
from ._style import sheet


def page(scorecard: Scorecard, *, title: str = "Scorecard", most: int = 40) -> str:
    """The page.

    Args:
        scorecard: of a window.
        title: its heading, such as the service's name.
        most: how many groups to list.
    """
    card = scorecard.whole
    span = f"{words.moment(scorecard.since)} to {words.moment(scorecard.until)} UTC"
    trends = f"trends by {words.span(scorecard.width)}"
    told = f"{span} · {words.counted(card.accepted, 'run')} · {trends}"
    head = f'<header><h1>{escape(title)}</h1><p class="quiet">{told}</p></header>'
    parts = (
        head,
        _tiles(card),
        _trends(scorecard),
        _money(card.economics),
        _groups(scorecard, most),
        _figures(card),
        _FOOTER,
    )
    body = "\n".join(parts)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8"/>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1"/>\n'
        f"<title>{escape(title)}, {span}</title>\n<style>{sheet()}</style>\n</head>\n"
        f"<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def _tiles(card: Card) -> str:
    quality, system, money = card.quality, card.reliability, card.economics
    delay = system.queue_delay
    least = "≥ " if money.cost.unpriced and money.cost_per_success is not None else ""
    tiles = (
        ("Success rate", words.percent(quality.success.value), "success"),
        ("First-pass yield", words.percent(quality.first_pass.value), "first_pass"),
        ("Cost per success", f"{least}{words.usd(money.cost_per_success)}", "cost_per_success"),
        ("Waste", words.percent(money.waste.share), "waste"),
        ("Retry burden", words.percent(system.retry_burden.value), "retry_burden"),
        ("Queue delay p95", words.seconds(None if delay is None else delay.p95), "queue_delay_p95"),
    )
    drawn = "".join(
        f'<div class="card tile"><h2>{name}</h2>'
        f"<b{_none(value)}>{escape(value)}</b>{spark(card.trend[metric], f'{name}, trend')}</div>"
        for name, value, metric in tiles
    )
    return f'<section class="tiles">{drawn}</section>'


def _trends(scorecard: Scorecard) -> str:
    lines, windows, width = scorecard.whole.trend, scorecard.windows, scorecard.width

    def plot(
        name: str,
        note: str,
        series: list[Series],
        tell: Callable[[float | None], str],
        most: float | None = None,
    ) -> str:
        drawn = trend(series, windows, width, tell, most=most, name=name)
        return f'<div class="card"><h2>{name}</h2><p class="note">{note}</p>{drawn}</div>'

    plots = (
        plot(
            "Success rate",
            "succeeded of all that are over; dotted: at first pass",
            [
                Series(points=lines["success"], paint=2),
                Series(points=lines["first_pass"], paint=2, quiet=True),
            ],
            words.percent,
            most=1.0,
        ),
        plot(
            "Cost per success",
            "all spend, failed runs included, by successes",
            [Series(points=lines["cost_per_success"])],
            words.usd,
        ),
        plot(
            "Retry burden",
            "retries to first attempts",
            [Series(points=lines["retry_burden"], paint=3)],
            words.percent,
        ),
        plot(
            "Queue delay",
            "from eligible to dispatched",
            [
                Series(label="p50", points=lines["queue_delay_p50"], paint=7),
                Series(label="p95", points=lines["queue_delay_p95"]),
                Series(label="p99", points=lines["queue_delay_p99"], paint=4),
            ],
            words.seconds,
        ),
    )
    return (
        f'<section><h2 class="part">Over time</h2><div class="two">{"".join(plots)}</div></section>'
    )


def _money(money: Economics) -> str:
    cost = money.cost
    parts = [
        (label, getattr(money.waste, name), f"w-{name}")
        for name, label in words.WASTE.items()
        if getattr(money.waste, name) > 0
    ]
    total = money.waste.total
    legend = "".join(
        f'<span><i class="swatch {paint}"></i>{label}<em>{words.usd(nanos / 1e9)}, '
        f"{words.percent(nanos / total)}</em></span>"
        for label, nanos, paint in parts
    )
    drawn = stack(parts, total, "spend by what became of it", kind="partition") if parts else ""
    unpriced = (
        f"; {words.percent(cost.unpriced_share)} of the bookings have no price"
        if cost.unpriced
        else ""
    )
    told = escape(words.spent(cost) if not cost.unpriced else f"≥ {words.usd(cost.usd)}")
    return (
        '<section><h2 class="part">Where the money went</h2><div class="card">'
        f"<h2>{told}</h2><p class='note'>by what became of it{unpriced}</p>"
        f'{drawn}<div class="legend">{legend}</div></div>'
        f"{_steps(money)}</section>"
    )


def _steps(money: Economics) -> str:
    """Spend by step and resource."""
    totals = {step: sum(spend.nanos for spend in by.values()) for step, by in money.steps.items()}
    steps = sorted((it for it in totals if totals[it] > 0), key=lambda it: (-totals[it], it))
    if not steps:
        return ""
    named = list(money.resources)[: _COLOURS - 1]
    whole = totals[steps[0]]
    rows: list[str] = []
    for step in steps[:_BARS]:
        by = money.steps[step]
        parts = [
            (name, by[name].nanos, f"f{place}")
            for place, name in enumerate(named, 1)
            if name in by and by[name].nanos
        ]
        rest = totals[step] - sum(nanos for _, nanos, _ in parts)
        if rest:
            parts.append(("other resources", rest, f"f{_COLOURS}"))
        drawn = stack(parts, whole, f"spend of {step} by resource")
        paid = words.usd(totals[step] / 1e9)
        rows.append(f'<span>{escape(step)}</span>{drawn}<span class="n">{paid}</span>')
    legend = "".join(
        f'<span><i class="swatch b{place}"></i>{escape(name)}'
        f"<em>{escape(words.spent(money.resources[name]))}</em></span>"
        for place, name in enumerate(named, 1)
    )
    if len(money.resources) > len(named):
        rest = sum(it.nanos for it in list(money.resources.values())[len(named) :])
        legend += (
            f'<span><i class="swatch b{_COLOURS}"></i>other resources'
            f"<em>{words.usd(rest / 1e9)}</em></span>"
        )
    more = f"; {len(steps) - _BARS} more steps are not shown" if len(steps) > _BARS else ""
    return (
        '<div class="card" style="margin-top:14px"><h2>By step and resource</h2>'
        f"<p class='note'>runs by their start{more}</p>"
        f'<div class="rows">{"".join(rows)}</div><div class="legend">{legend}</div></div>'
    )


def _groups(scorecard: Scorecard, most: int) -> str:
    if scorecard.by is None or not scorecard.groups:
        return ""
    cards = scorecard.groups[:most]
    shown = [
        (title, tell)
        for title, tell in _COLUMNS
        if any(tell(card) != words.NO_DATA for card in cards)
    ]
    unit = cards[0].unit
    head = "".join(f'<th class="n">{title or unit}</th>' for title, _ in shown)
    rows = "".join(
        f'<tr><td class="name">{escape(card.name)}</td>'
        + "".join(_number(tell(card)) for _, tell in shown)
        + f'<td class="n">{spark(card.trend["success"], f"success rate of {card.name}")}</td></tr>'
        for card in cards
    )
    rest = len(scorecard.groups) - len(cards)
    more = f'<p class="note">{rest} more are not shown</p>' if rest else ""
    return (
        f'<section><h2 class="part">By {scorecard.by}</h2><div class="card scroll"><table>'
        f'<thead><tr><th>{scorecard.by}</th>{head}<th class="n">success, trend</th></tr></thead>'
        f"<tbody>{rows}</tbody></table>{more}</div></section>"
    )


def _figures(card: Card) -> str:
    """All figures of the four layers, in two columns of about one length."""
    drawn = "".join(
        f'<div class="card"><h2>{title}</h2><table class="figures"><tbody>'
        f"{''.join(map(_row, lines))}</tbody></table></div>"
        for title, lines in layers(card)
    )
    return f'<section><h2 class="part">All figures</h2><div class="two">{drawn}</div></section>'


def _row(line: Line) -> str:
    kind = ' class="inner"' if line.inner else ""
    return (
        f"<tr{kind}><td>{escape(line.label)}</td>{_number(line.value)}"
        f"<td>{escape(line.note)}</td></tr>"
    )


def _number(text: str) -> str:
    none = " none" if text == words.NO_DATA else ""
    return f'<td class="n{none}">{escape(text)}</td>'


def _none(text: str) -> str:
    return ' class="none"' if text == words.NO_DATA else ""


def _spend(card: Card) -> str:
    cost = card.economics.cost
    if not cost.lines and not cost.nanos:
        return words.NO_DATA
    return f"{'≥ ' if cost.unpriced else ''}{words.usd(cost.usd)}"


def _delay(card: Card) -> str:
    times = card.reliability.queue_delay
    return words.seconds(None if times is None else times.p95)


def _columns() -> Iterator[tuple[str, Callable[[Card], str]]]:
    yield "", lambda card: f"{card.accepted:,}"
    yield "success", lambda card: words.percent(card.quality.success.value)
    yield "first pass", lambda card: words.percent(card.quality.first_pass.value)
    yield "handoffs", lambda card: words.percent(card.quality.handoffs.accuracy)
    yield "retries", lambda card: words.percent(card.reliability.retry_burden.value)
    yield "delay p95", _delay
    yield "spend", _spend
    yield "per success", lambda card: words.usd(card.economics.cost_per_success)
    yield "waste", lambda card: words.percent(card.economics.waste.share)


_COLUMNS: Final = tuple(_columns())
_COLOURS: Final = 8
_BARS: Final = 12
_FOOTER: Final = """<footer>
Success, cost and waste are of the runs that <em>started</em> in the window; “booked in the
window” is money by the time it was spent. Runs that a user cancelled count neither way; runs
open for longer than the horizon count as failures. “No data” is never zero. Windows are
UTC, from their start to just before their end.
</footer>"""
