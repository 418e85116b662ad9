"""Text of an explanation: the critical path, and a line of time for each node. Needs rich."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from . import _words as words
from ._explain import Doing, Explanation, NodeAccount, Stretch
from ._figures import Spend

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text


def report(
    told: Explanation, *, title: str = "", width: int = 100, colour: bool = False, most: int = 30
) -> str:
    """The whole explanation.

    Args:
        told: of a run.
        title: such as the run's id.
        width: of the terminal, in columns.
        colour: whether to colour it.
        most: how many nodes to list; the costliest and longest are.
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
    console.print(_head(told, title))
    if told.path:
        console.print()
        console.print(_totals(told))
        console.print()
        console.print(_critical(told))
    console.print()
    console.print(_nodes(told, width, most))
    rest = len(told.nodes) - most
    if rest > 0:
        console.print(f"and {rest} more nodes; --json has all of them", style="dim")
    if told.cost.lines:
        console.print()
        console.print(_money(told))
    lines = (line.rstrip() for line in file.getvalue().splitlines())
    return "\n".join(lines) + "\n"


def _head(told: Explanation, title: str) -> Text:
    from rich.text import Text

    head = Text(title, style="bold")
    verb = f"{told.status} for" if told.status == "running" else f"{told.status} after"
    head.append(f"  {verb} {words.span(told.ended - told.accepted)}")
    if told.cost.lines:
        head.append(f"  {words.spent(told.cost)}")
        if told.waste.share is not None:
            head.append(f", {words.percent(told.waste.share)} of it waste")
    return head


def _totals(told: Explanation) -> Text:
    """Where the time of the run went, by its critical path."""
    from rich.text import Text

    seconds, whole = told.seconds, told.ended - told.accepted
    line = Text("time: ", style="bold")
    parts = sorted(seconds.items(), key=lambda item: -item[1])
    for place, (doing, spent) in enumerate(parts):
        line.append(", " if place else "")
        line.append(f"{_LABELS[doing]} {words.span(spent)}", style=_COLOURS[doing])
        line.append(f" ({words.percent(spent / whole if whole else 0)})", style="dim")
    return line


def _critical(told: Explanation) -> RenderableType:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(overflow="fold")
    table.add_column(justify="right", no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row(Text("critical path", style="bold"))
    for node, found in _by_node(told.path):
        seconds = sum(it.seconds for it in found)
        by: dict[Doing, float] = {}
        for it in found:
            by[it.doing] = by.get(it.doing, 0.0) + it.seconds
        parts = [f"{_LABELS[doing]} {words.span(spent)}" for doing, spent in by.items()]
        table.add_row(
            Text(f"  {node or '(the run itself)'}", style="cyan"),
            words.span(seconds),
            Text(", ".join(parts), style="dim"),
        )
    return table


def _nodes(told: Explanation, width: int, most: int) -> RenderableType:
    from rich.table import Table
    from rich.text import Text

    nodes = told.nodes
    if len(nodes) > most:
        weighty = sorted(nodes, key=_weight, reverse=True)[:most]
        kept = {it.path for it in weighty}
        nodes = tuple(it for it in nodes if it.path in kept)
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("node", overflow="fold")
    bar = width >= _ROOM_FOR_BAR
    if bar:
        table.add_column(_legend(nodes), no_wrap=True)
    table.add_column("tries", justify="right")
    for doing in ("queue", "running"):
        table.add_column(_LABELS[doing], justify="right", no_wrap=True)
    money = told.cost.lines > 0
    if money:
        table.add_column("spend", justify="right", no_wrap=True)
        table.add_column("waste", justify="right", no_wrap=True)
    length = max(min(width // 3, 48), 12)
    for node in nodes:
        seconds = node.seconds
        name = Text(f"{'* ' if node.critical else '  '}{node.path}", style="cyan")
        if node.state not in ("done", "fired"):
            name.append(f" {node.state}", style="yellow")
        if node.score is not None:
            name.append(f" score {node.score:.4g}", style="dim")
        row: list[RenderableType] = [name]
        if bar:
            row.append(_bar(node.stretches, told.accepted, told.ended, length))
        row.append(str(node.attempts or ""))
        row += [_seconds(seconds.get("queue")), _seconds(seconds.get("running"))]
        if money:
            cost = node.cost
            least = "≥ " if cost.unpriced else ""
            row.append(f"{least}{words.usd(cost.usd)}" if cost.lines else "")
            row.append(words.percent(node.waste.share) if node.waste.total else "")
        table.add_row(*row)
    return table


def _money(told: Explanation) -> RenderableType:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(overflow="fold")
    table.add_column(justify="right")
    table.add_column(overflow="fold")
    table.add_row(Text("spend by resource", style="bold"))
    for name, spend in told.spend.items():
        table.add_row(f"  {name}", words.spent(spend), Text(_units(spend), style="dim"))
    wasted = [(name, label) for name, label in words.WASTE.items() if getattr(told.waste, name)]
    if told.waste.total:
        table.add_row()
        table.add_row(Text("what became of it", style="bold"))
    for name, label in wasted:
        nanos = getattr(told.waste, name)
        share = words.percent(nanos / told.waste.total)
        table.add_row(f"  {label}", words.usd(nanos / 1e9), Text(share, style="dim"))
    return table


def _units(spend: Spend) -> str:
    return "" if not spend.units else f"{spend.units:,.10g} units"


def _by_node(path: Sequence[tuple[str, Stretch]]) -> list[tuple[str, list[Stretch]]]:
    """The critical path by node, in order."""
    found: list[tuple[str, list[Stretch]]] = []
    for node, stretch in path:
        if found and found[-1][0] == node:
            found[-1][1].append(stretch)
        else:
            found.append((node, [stretch]))
    return found


def _bar(stretches: Sequence[Stretch], start: float, end: float, length: int) -> Text:
    """A line of time; each cell tells what most of it was."""
    from rich.text import Text

    line = Text()
    cell = (end - start) / length or 1.0
    for place in range(length):
        low, high = start + place * cell, start + (place + 1) * cell
        within: dict[Doing, float] = {}
        for it in stretches:
            shared = min(it.end, high) - max(it.start, low)
            if shared > 0:
                within[it.doing] = within.get(it.doing, 0.0) + shared
        if not within:
            line.append(" ")
            continue
        doing = max(within, key=lambda it: within[it])
        line.append(_MARKS[doing], style=_COLOURS[doing])
    return line


def _legend(nodes: Sequence[NodeAccount]) -> Text:
    from rich.text import Text

    seen = {it.doing for node in nodes for it in node.stretches}
    legend = Text()
    for doing, mark in _MARKS.items():
        if doing in seen:
            legend.append("  " if legend.plain else "")
            legend.append(mark, style=_COLOURS[doing])
            legend.append(f" {_LABELS[doing]}", style="dim")
    return legend


def _weight(node: NodeAccount) -> tuple[bool, int, float]:
    return node.critical, node.cost.nanos, sum(it.seconds for it in node.stretches)


def _seconds(spent: float | None) -> str:
    return words.span(spent) if spent else ""


_ROOM_FOR_BAR: Final = 84
_LABELS: Final[Mapping[Doing, str]] = {
    "queue": "queue",
    "running": "running",
    "backoff": "backoff",
    "parked": "parked",
    "people": "people",
    "asleep": "asleep",
    "other": "other",
}
_MARKS: Final[Mapping[Doing, str]] = {
    "queue": "░",
    "running": "█",
    "backoff": "-",
    "parked": "=",
    "people": "~",
    "asleep": ".",
    "other": "?",
}
_COLOURS: Final[Mapping[Doing, str]] = {
    "queue": "yellow",
    "running": "green",
    "backoff": "magenta",
    "parked": "bold yellow",
    "people": "blue",
    "asleep": "dim",
    "other": "dim",
}
