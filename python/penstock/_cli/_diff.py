"""penstock diff: what a change of a workflow means."""

from __future__ import annotations

from typing import Annotated, Final, Literal

import typer
from rich.console import Console
from rich.text import Text

from penstock._diff import Difference, compare

from ._load import side

Threshold = Literal["breaking", "risky", "compatible", "never"]


def diff(
    old: Annotated[str, typer.Argument(help="module:workflow, or a file from 'penstock graph'.")],
    new: Annotated[str, typer.Argument(help="module:workflow, or a file from 'penstock graph'.")],
    *,
    fail_on: Annotated[
        Threshold, typer.Option(help="Exit with 1 for changes as bad as this.")
    ] = "breaking",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Compare two versions of a workflow, and class each change: breaking, risky or compatible."""
    difference = compare(side(old), side(new))
    if as_json:
        typer.echo(difference.to_json())
    else:
        _print(Console(soft_wrap=True, highlight=False), difference)
    if fail_on != "never" and difference.at_least(fail_on):
        raise typer.Exit(1)


def _print(console: Console, difference: Difference) -> None:
    console.print(Text(f"{difference.old} -> {difference.new}", style="bold"))
    for change in difference.changes:
        head = Text("  ")
        head.append(f"{change.verdict:<11}", style=_STYLES[change.verdict])
        head.append(f"{change.subject:<9}")
        head.append(change.place, style="cyan")
        console.print(head)
        console.print(Text(f"             {change.what}"))
        console.print(Text(f"             {change.reason}", style="dim"))
    for missing in difference.unknown:
        console.print(Text(f"  note: {missing}", style="dim"))
    if not difference.changes:
        console.print(Text("  nothing differs", style="green"))
    if difference.strands_runs:
        told = "  the graph differs: keep the old version registered until its runs have ended"
        console.print(Text(told, style="dim"))


_STYLES: Final = {"breaking": "bold red", "risky": "yellow", "compatible": "green"}
