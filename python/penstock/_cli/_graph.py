"""penstock graph: a workflow as a picture or as data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from penstock._coverage_report import read
from penstock._diff import interface
from penstock._errors import PenstockError
from penstock._picture import coverage_picture, picture

from ._load import AnyWorkflow, fail, workflow

Format = Literal["mermaid", "json", "svg"]


def graph(
    target: Annotated[str, typer.Argument(help="module:workflow.")],
    *,
    form: Annotated[
        Format | None,
        typer.Option("--format", help="Else by the ending of the file; mermaid without one."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A file; else it is printed.")
    ] = None,
    coverage: Annotated[
        Path | None, typer.Option(help="A coverage report, to colour an SVG by.")
    ] = None,
) -> None:
    """Draw a workflow: mermaid, SVG, or JSON with all that `penstock diff` compares."""
    drawn = workflow(target)
    chosen = form or _by_ending(output)
    if coverage is not None and chosen != "svg":
        fail("a coverage report colours SVG only; add --format svg")
    if chosen == "json":
        text = json.dumps(interface(drawn), indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    elif chosen == "svg":
        text = picture(drawn.graph) if coverage is None else _coloured(drawn, coverage)
    else:
        text = drawn.to_mermaid()
    if output is None:
        typer.echo(text, nl=False)
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        fail(f"{output} can't be written: {error.strerror}")


def _by_ending(output: Path | None) -> Format:
    ending = "" if output is None else output.suffix
    return "svg" if ending == ".svg" else "json" if ending == ".json" else "mermaid"


def _coloured(drawn: AnyWorkflow, path: Path) -> str:
    try:
        report = read(path)
    except PenstockError as error:
        fail(str(error))
    covered = report.find(drawn.name, drawn.version, drawn.digest)
    if covered is None:
        fail(f"{path} says nothing of workflow {drawn.name!r} as it is now; run the tests again")
    return coverage_picture(drawn.graph, covered)
