"""penstock scorecard and explain: a store's metrics, and where one run's money and time went."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated

import typer

from penstock._figures import scorecard_of_store
from penstock._scorecard import By
from penstock._scorecard._explain import explain as explanation_of
from penstock._scorecard._explain_text import report as explained
from penstock._scorecard._html import page
from penstock._scorecard._text import report

from ._load import fail
from ._show import written
from ._store import AsJson, RunId, StorePath, duration, moment, named, opened, out, print_line


def scorecard(
    store: StorePath,
    *,
    since: Annotated[
        str, typer.Option(help="The window: 90s, 15m, 24h, 7d; or since a time: 2026-03-01T10:30.")
    ] = "24h",
    until: Annotated[
        str | None, typer.Option(help="Its end; as for --since. Now by default.")
    ] = None,
    by: Annotated[By | None, typer.Option(help="What to group by.")] = None,
    horizon: Annotated[
        str | None,
        typer.Option(
            help="Runs open for longer count as failures: 15m, 24h. By default twice the time that "
            "99.9 % of the runs take."
        ),
    ] = None,
    as_json: AsJson = False,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a page that a browser opens.")
    ] = None,
) -> None:
    """Show quality, reliability, cost and waste of a store's runs, with their trends."""
    start = moment(since, "--since")
    end = time.time() if until is None else moment(until, "--until")
    if start >= end:
        fail(f"--since {since!r} is not before --until {until or 'now'!r}; give an earlier time")
    with opened(store) as view:
        longest = None if horizon is None else duration(horizon, "--horizon")
        found = scorecard_of_store(view, start, end, by=by, now=time.time(), horizon=longest)
    if html is not None:
        try:
            html.write_text(page(found, title=Path(store).stem), encoding="utf-8")
        except OSError as error:
            fail(f"{html} can't be written: {error.strerror}")
    if as_json:
        typer.echo(found.to_json())
        return
    text = report(found, width=out.width, colour=out.is_terminal and not out.no_color)
    typer.echo(text, nl=False)
    if html is not None:
        print_line(f"\nwritten to {html}")


def explain(store: StorePath, run: RunId, *, as_json: AsJson = False) -> None:
    """Tell where a run's money and time went: critical path, waits, waste."""
    with opened(store) as view:
        info = named(view, run)
        records = [written(record) for record in view.records(run)]
        graph = view.graph(run)
    for record in records:
        # The facts that a record is given by others stand beside its own.
        record["facts"] = {**record["facts"].get("facts", {}), **record["facts"]}
    told = explanation_of(records, graph, now=None if info.ended is not None else time.time())
    if as_json:
        typer.echo(json.dumps(told.to_dict(), indent=2, ensure_ascii=False))
        return
    title = f"{run}  {info.workflow} {info.version}"
    colour = out.is_terminal and not out.no_color
    typer.echo(explained(told, title=title, width=out.width, colour=colour), nl=False)
