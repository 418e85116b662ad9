"""penstock graph: a workflow as a picture or as data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from penstock._coverage_report import read
from penstock._diff import interface
from penstock._errors import PenstockError
from penstock._picture import coverage_picture, picture, states_of

from ._load import AnyWorkflow, fail, workflow
from ._store import named, opened

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
    store: Annotated[
        str | None, typer.Option(help="A store, to colour an SVG by what a run of it did.")
    ] = None,
    run: Annotated[str | None, typer.Option(help="That run.")] = None,
) -> None:
    """Draw a workflow: mermaid, SVG, or JSON with all that `penstock diff` compares."""
    drawn = workflow(target)
    chosen = form or ("svg" if store is not None and output is None else _by_ending(output))
    if (store is None) != (run is None):
        fail("--store and --run go together; give both")
    if store is not None and (chosen != "svg" or coverage is not None):
        fail("a run colours SVG only, and not together with a coverage report")
    if coverage is not None and chosen != "svg":
        fail("a coverage report colours SVG only; add --format svg")
    if chosen == "json":
        text = json.dumps(interface(drawn), indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    elif chosen == "svg":
        if store is not None and run is not None:
            text = _of_run(drawn, store, run)
        else:
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


def _of_run(drawn: AnyWorkflow, store: str, run: str) -> str:
    with opened(store) as view:
        info, records = named(view, run), view.records(run)
        kept = view.graph(run)
    if (info.workflow, info.version) != (drawn.name, drawn.version):
        fail(
            f"run {run!r} is of {info.workflow!r} version {info.version!r}, and this is "
            f"{drawn.name!r} version {drawn.version!r}; name the workflow that it ran"
        )
    if kept is not None and kept != json.loads(drawn.to_json()):
        fail(f"run {run!r} was started with another graph of {drawn.name!r}; draw the one it ran")
    return picture(drawn.graph, states_of(drawn.graph, [record.event() for record in records]))


def _coloured(drawn: AnyWorkflow, path: Path) -> str:
    try:
        report = read(path)
    except PenstockError as error:
        fail(str(error))
    covered = report.find(drawn.name, drawn.version, drawn.digest)
    if covered is None:
        fail(f"{path} says nothing of workflow {drawn.name!r} as it is now; run the tests again")
    return coverage_picture(drawn.graph, covered)
