"""penstock lint: what is likely to cause trouble."""

from __future__ import annotations

import json
from collections import Counter
from math import isfinite
from typing import Annotated, Final, Literal

import typer
from rich.console import Console
from rich.text import Text

from penstock._lint import SEVERITIES, Report, Severity

from ._load import workflows

Threshold = Literal["error", "warning", "info", "never"]


def lint(
    targets: Annotated[
        list[str], typer.Argument(help="module:workflow, or a module for all of its workflows.")
    ],
    *,
    deadline: Annotated[
        float | None,
        typer.Option(min=0, help="Seconds that a run has; compared with its worst case."),
    ] = None,
    items: Annotated[int, typer.Option(min=0, help="Items of a map, for the worst case.")] = 1,
    ignore: Annotated[
        list[str] | None, typer.Option(help="A code to leave out, such as R12 or R12.3.")
    ] = None,
    fail_on: Annotated[
        Threshold, typer.Option(help="Exit with 1 for findings of this severity and above.")
    ] = "error",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Report what is likely to cause trouble: effects, retries, waits, owners, tangles."""
    reports = [
        w.lint(deadline=deadline, items=items, ignore=ignore or ())
        for target in targets
        for w in workflows(target)
    ]
    if as_json:
        typer.echo(json.dumps([json.loads(report.to_json()) for report in reports], indent=2))
    else:
        console = Console(soft_wrap=True, highlight=False)
        for report in reports:
            _print(console, report)
    if fail_on != "never" and any(report.at_least(fail_on) for report in reports):
        raise typer.Exit(1)


def _print(console: Console, report: Report) -> None:
    console.print(Text(f"{report.name} {report.version}", style="bold"))
    for finding in report.findings:
        head = Text("  ")
        head.append(f"{finding.severity:<8}", style=_STYLES[finding.severity])
        head.append(f"{finding.code:<6} ", style="bold")
        head.append(finding.node, style="cyan")
        console.print(head)
        console.print(Text(f"          {finding.what}"))
        console.print(Text(f"          -> {finding.remedy}", style="dim"))
    counts = Counter(finding.severity for finding in report.findings)
    told = [f"{counts[s]} {s}{_plural(s, counts[s])}" for s in SEVERITIES if counts[s]]
    console.print(Text(f"  {', '.join(told) or 'nothing found'}", style="" if told else "green"))
    shape, worst = report.shape, report.worst
    console.print(
        Text(
            f"  shape: {shape.nodes} nodes, {shape.edges} edges, complexity {shape.complexity}, "
            f"density {shape.density:.3f}, degree {shape.degree}, "
            f"{shape.crossings} edges between owners, {shape.loose_joins} loose joins; "
            f"spaghetti {shape.score:.2f} (above 1 is too much)",
            style="dim",
        )
    )
    seconds = f"{worst.seconds:g} s" if isfinite(worst.seconds) else "no limit in time"
    items = "" if worst.items == 1 else f" with {worst.items} items a map"
    console.print(
        Text(
            f"  worst case of a run: {worst.attempts} attempts, {seconds}{items}; cost unknown",
            style="dim",
        )
    )


def _plural(severity: Severity, count: int) -> str:
    return "s" if count > 1 and severity != "info" else ""


_STYLES: Final = {"error": "bold red", "warning": "yellow", "info": "blue"}
