"""penstock scorecard and explain: a store's metrics, and where one run's money and time went."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from penstock._run import RunStatus
from penstock._scorecard import By, NodeFacts, Nodes, Row, unresolved
from penstock._scorecard import scorecard as scorecard_of
from penstock._scorecard._explain import explain as explanation_of
from penstock._scorecard._explain_text import report as explained
from penstock._scorecard._histogram import quantiles
from penstock._scorecard._html import page
from penstock._scorecard._rows import merge
from penstock._scorecard._text import report
from penstock._stored import StoreView

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
        rows = rows_of(view, start, end)
        rows += _unresolved(
            view, rows, start, end, None if horizon is None else duration(horizon, "--horizon")
        )
        nodes = nodes_of(view, rows)
    found = scorecard_of(rows, since=start, until=end, by=by, nodes=nodes)
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


def rows_of(view: StoreView, since: float, until: float) -> list[Row]:
    """The store's rollups whose windows start in [since, until)."""
    read: Any = getattr(view.reader, "metrics", None)
    if read is None:
        fail(f"{view.path} keeps no rollups; open it with a runtime that does")
    return [
        Row(window, kind, _read(key), _read(body)) for window, kind, key, body in read(since, until)
    ]


def nodes_of(view: StoreView, rows: list[Row]) -> Nodes:
    """What is known of the nodes of each version that the rows are of: their steps and queues."""
    queues = {row.key["step"]: row.key["queue"] for row in rows if row.kind == "delays"}
    found: dict[tuple[str, str, str], NodeFacts] = {}
    versions = {(row.key["workflow"], row.key["version"]) for row in rows if row.kind == "runs"}
    for workflow, version in sorted(versions):
        newest = view.runs(workflow=workflow, version=version, limit=1)
        graph = view.graph(newest[0].run_id) if newest else None
        for node in (graph or {}).get("nodes", ()):
            if step := node.get("step"):
                found[workflow, version, node["path"]] = NodeFacts(
                    step=step["name"], version=step["version"], queue=queues.get(step["name"])
                )
    return found


def _unresolved(
    view: StoreView, rows: list[Row], since: float, until: float, horizon: float | None
) -> list[Row]:
    """Rows of the runs that are open for longer than the horizon."""
    if horizon is None:
        latency = merge(*(row.body["latency"] for row in rows if "latency" in row.body))
        slowest = quantiles(latency, 0.999)
        if slowest is None:
            return []
        horizon = 2 * slowest[0]
    late = min(until, time.time() - horizon)
    open_ones = view.every(status=_OPEN, accepted_after=since, accepted_before=late)
    return [
        unresolved(info.accepted, info.workflow, info.version, tenant=info.tenant)
        for info in open_ones
    ]


def _read(content: Any) -> Mapping[str, Any]:
    found: Mapping[str, Any] = json.loads(content) if isinstance(content, str) else content
    return found


_OPEN: Final[Sequence[RunStatus]] = ("running", "paused", "held", "compensating")
