"""penstock stability: which queues could stay in a retry storm under a load."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Annotated, Final, Literal

import typer
from rich.text import Text

from penstock._demands import percent, told
from penstock._errors import DefinitionError
from penstock._policies import number
from penstock._stability_report import Outlook, outlooks

from ._load import fail, workflows
from ._store import print_line

Format = Literal["text", "json"]


def stability(
    targets: Annotated[
        list[str], typer.Argument(help="module:workflow, or a module for all of its workflows.")
    ],
    *,
    arrivals: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[QUEUE=]NUMBER",
            help="First attempts per second, of one queue or of all others; may be repeated.",
        ),
    ] = None,
    service: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[QUEUE=]SECONDS",
            help="What an attempt takes on average; else the mean of what the steps estimate.",
        ),
    ] = None,
    form: Annotated[Format, typer.Option("--format", help="Print text or JSON.")] = "text",
) -> None:
    """Tell which queues could stay in a retry storm under a load, and what to do about it.

    A storm may last where the retries it brings keep a queue overloaded, when what began it is
    gone. Exits with 1 if one may, or if a queue is overloaded as it is.
    """
    by_queue = _numbers(arrivals or (), "--arrivals", "70")
    taking = _numbers(service or (), "--service", "0.1")
    found = outlooks(
        [workflow.graph for target in targets for workflow in workflows(target)],
        arrivals=by_queue,
        service=taking,
    )
    names = [outlook.demand.queue for outlook in found]
    _known(by_queue, "--arrivals", names)
    _known(taking, "--service", names)
    if form == "json":
        content = [outlook.to_dict() for outlook in found]
        typer.echo(json.dumps(content, indent=2, ensure_ascii=False))
    else:
        _print(found)
    if any(outlook.verdict in _DANGERS for outlook in found):
        raise typer.Exit(1)


def _numbers(given: Sequence[str], option: str, example: str) -> dict[str | None, float]:
    """By queue, or by None for all others."""
    numbers: dict[str | None, float] = {}
    for text in given:
        queue, equals, written = text.rpartition("=")
        remedy = f"write it as {example}, or as gpt={example} for one queue"
        try:
            value = number(float(written), option, above=0)
        except (DefinitionError, ValueError):
            fail(f"{option} {text!r} has no number above 0; {remedy}")
        numbers[queue if equals else None] = value
    return numbers


def _known(given: Mapping[str | None, float], option: str, names: Collection[str]) -> None:
    for queue in given:
        if queue is not None and queue not in names:
            listed = ", ".join(names) or "none"
            fail(f"{option} names queue {queue!r}; the queues of these workflows: {listed}")


def _print(found: Sequence[Outlook]) -> None:
    if not found:
        print_line("no step of these workflows waits in a queue of its own")
        return
    rows = [_HEAD, *map(_row, found)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    _print_row(_HEAD, widths, "bold", "bold")
    for outlook, row in zip(found, rows[1:], strict=True):
        _print_row(row, widths, "cyan", _STYLES[outlook.verdict])
        print_line(Text(f"  {outlook.facts()}", style="dim"))
        for place, remedy in enumerate(outlook.remedies):
            print_line(f"  -> {'or ' if place else ''}{remedy}")
        for missing in outlook.missing:
            print_line(f"  missing: {missing}")


def _row(outlook: Outlook) -> tuple[str, ...]:
    found = outlook.found
    return (
        outlook.demand.queue,
        "-" if outlook.arrivals is None else f"{told(outlook.arrivals)}/s",
        "-" if found is None else percent(found.utilisation),
        "-" if found is None else f"{told(found.amplification)}x",
        "-" if outlook.safe is None else percent(outlook.safe),
        outlook.verdict or "not known",
    )


def _print_row(row: Sequence[str], widths: Sequence[int], first: str, last: str) -> None:
    line = Text(f"{row[0]:<{widths[0]}}", style=first)
    for text, width in zip(row[1:-1], widths[1:-1], strict=True):
        line.append(f"  {text:>{width}}", style="bold" if first == "bold" else "default")
    line.append(f"  {row[-1]}", style=last)
    print_line(line)


_HEAD: Final = ("queue", "arrivals", "utilisation", "amplification", "safe up to", "verdict")
_DANGERS: Final = frozenset({"a storm may last", "overloaded"})
_STYLES: Final = {
    "stable": "green",
    "a storm may last": "bold yellow",
    "overloaded": "bold red",
    None: "dim",
}
