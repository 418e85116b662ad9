"""penstock coverage: what tests have shown of workflows, beside what production has seen."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from penstock._coverage_report import read, report
from penstock._errors import PenstockError

from ._load import fail


def coverage(
    tested: Annotated[Path, typer.Argument(help="A report of pytest --penstock-cov-json.")],
    *,
    seen: Annotated[
        Path | None,
        typer.Option(help="A report from production: list what it has and the tests have not."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print branch coverage of workflows, and what was never seen."""
    try:
        left = read(tested)
        right = None if seen is None else read(seen)
    except PenstockError as error:
        fail(str(error))
    if as_json:
        typer.echo(left.to_json())
        return
    console = Console()
    typer.echo(report(left, seen=right, width=console.width, colour=console.is_terminal), nl=False)
