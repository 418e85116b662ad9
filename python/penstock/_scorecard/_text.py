"""Text: a scorecard for a terminal of any width, readable without colour. Needs rich."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from . import _words as words
from ._layers import layers
from ._metrics import Card
from ._scorecard import Scorecard

if TYPE_CHECKING:
    from rich.console import RenderableType


def report(scorecard: Scorecard, *, width: int = 100, colour: bool = False, most: int = 20) -> str:
    """The groups in a table, and the four layers of the whole.

    Args:
        scorecard: of a window.
        width: of the terminal, in columns; columns that matter less go first.
        colour: whether to colour it.
        most: how many groups to list.
    """
    from rich.console import Console

    file = io.StringIO()
    console = Console(
        file=file,
        width=width,
        force_terminal=colour,
        no_color=not colour,
        legacy_windows=False,
        highlight=False,
    )
    console.print(_head(scorecard))
    console.print()
    console.print(_layers(scorecard.whole, width))
    if scorecard.by is not None:
        console.print()
        console.print(_groups(scorecard, width, most))
        rest = len(scorecard.groups) - most
        if rest > 0:
            console.print(f"and {rest} more; --json has all of them", style="dim")
    lines = (line.rstrip() for line in file.getvalue().splitlines())
    return "\n".join(lines) + "\n"


def _head(scorecard: Scorecard) -> RenderableType:
    from rich.text import Text

    head = Text("Scorecard", style="bold")
    head.append(f"  {words.moment(scorecard.since)} to {words.moment(scorecard.until)} UTC")
    head.append(f"  {words.counted(scorecard.whole.accepted, 'run')}", style="cyan")
    return head


def _layers(card: Card, width: int) -> RenderableType:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(overflow="fold")
    table.add_column(justify="right", no_wrap=True)
    trend, notes = width >= _ROOM_FOR_TREND, width >= _ROOM_FOR_NOTES
    for place, (title, lines) in enumerate(layers(card)):
        if place:
            table.add_row()
        table.add_row(Text(title, style="bold"))
        for line in lines:
            quiet = "dim" if line.inner or line.value == words.NO_DATA else ""
            row = [
                Text(f"  {'  ' if line.inner else ''}{line.label}", style=quiet),
                Text(line.value, style=quiet),
            ]
            if trend:
                points = card.trend.get(line.trend, ())
                row.append(Text(words.sparkline(points, _SPARK), style="cyan"))
            if notes:
                row.append(Text(line.note, style="dim"))
            table.add_row(*row)
    return table


def _groups(scorecard: Scorecard, width: int, most: int) -> RenderableType:
    from rich.table import Table
    from rich.text import Text

    cards = scorecard.groups[:most]
    if not cards:
        return Text(f"no {scorecard.by} has data in this window", style="dim")
    shown = _fitting(cards, width)
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column(str(scorecard.by), overflow="fold", min_width=6)
    for title in shown:
        left = title == "trend"
        table.add_column(
            cards[0].unit if title == "count" else title,
            justify="left" if left else "right",
            no_wrap=not _long(title),
        )
    for card in cards:
        cells = [_COLUMNS[title](card) for title in shown]
        table.add_row(
            Text(card.name, style="cyan"),
            *(Text(cell, style="dim" if cell == _NONE else "") for cell in cells),
        )
    return table


def _fitting(cards: Sequence[Card], width: int) -> list[str]:
    """The columns that fit, in their usual order."""
    left = width - min(max(len(card.name) for card in cards), width // 3)
    fitting: list[str] = []
    for title in _BY_WEIGHT:
        needed = max(len(title), *(len(_COLUMNS[title](card)) for card in cards)) + 2
        if needed <= left:
            left -= needed
            fitting.append(title)
    return [title for title in _COLUMNS if title in fitting]


def _long(title: str) -> bool:
    return title == "spend"


def _cell(text: str) -> str:
    return _NONE if text == words.NO_DATA else text


def _delay(card: Card) -> str:
    times = card.reliability.queue_delay
    return _NONE if times is None else words.span(times.p95)


def _spend(card: Card) -> str:
    cost = card.economics.cost
    if not cost.lines and not cost.nanos:
        return _NONE
    return f"{'≥ ' if cost.unpriced else ''}{words.usd(cost.usd)}"


_NONE: Final = "-"
_SPARK: Final = 24
_ROOM_FOR_TREND: Final = 72
_ROOM_FOR_NOTES: Final = 96
_COLUMNS: Final[Mapping[str, Callable[[Card], str]]] = {
    "count": lambda card: f"{card.accepted:,}",
    "success": lambda card: _cell(words.percent(card.quality.success.value)),
    "first pass": lambda card: _cell(words.percent(card.quality.first_pass.value)),
    "handoffs": lambda card: _cell(words.percent(card.quality.handoffs.accuracy)),
    "retries": lambda card: _cell(words.percent(card.reliability.retry_burden.value)),
    "delay p95": _delay,
    "spend": _spend,
    "per success": lambda card: _cell(words.usd(card.economics.cost_per_success)),
    "waste": lambda card: _cell(words.percent(card.economics.waste.share)),
    "trend": lambda card: words.sparkline(card.trend["success"], 16),
}
_BY_WEIGHT: Final = (
    "success",
    "spend",
    "per success",
    "waste",
    "retries",
    "delay p95",
    "count",
    "handoffs",
    "trend",
    "first pass",
)
