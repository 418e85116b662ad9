"""penstock runs and dead-letters: which runs a store has."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Annotated, Any, Final

import typer
from rich import box
from rich.table import Table
from rich.text import Text

from penstock._scorecard._words import span
from penstock._stored import RunInfo

from ._store import (
    AsJson,
    Since,
    Statuses,
    StorePath,
    Tags,
    Tenant,
    Until,
    Version,
    Wait,
    Workflow,
    answered,
    clock,
    coloured,
    filtered,
    leave,
    named,
    opened,
    out,
    print_line,
    refused,
    short,
)


def runs(
    store: StorePath,
    *,
    status: Statuses = None,
    workflow: Workflow = None,
    version: Version = None,
    tag: Tags = None,
    tenant: Tenant = None,
    since: Since = None,
    until: Until = None,
    limit: Annotated[int, typer.Option(min=1, help="The newest so many.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List the runs of a store, newest first, also while a runtime has it open."""
    wanted = filtered(
        status=status,
        workflow=workflow,
        version=version,
        tags=tag,
        tenant=tenant,
        since=since,
        until=until,
        limit=limit,
    )
    with opened(store) as view:
        found = view.runs(**wanted)
        counts = dict(view.reader.counts())
        is_open, process = view.reader.owner()
    if as_json:
        typer.echo(json.dumps([plain(info) for info in found], indent=2, ensure_ascii=False))
        return
    _print(found)
    told = ", ".join(f"{count:,} {name}" for name, count in counts.items()) or "none"
    by = f"open in process {process}" if process else "open" if is_open else "not open"
    print_line(Text(f"{len(found)} shown; in the store: {told}; {by}", style="dim"))


def dead_letters(
    store: StorePath,
    *,
    release: Annotated[
        str | None, typer.Option(metavar="RUN", help="Let this one go on at the next open.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="The newest so many.")] = 50,
    wait: Wait = 5.0,
    as_json: AsJson = False,
) -> None:
    """List the runs that somebody has to see to, with the reasons, and let one go on.

    A run is held if its workflow is not registered, or if it brought the process down too often;
    one whose retry nobody pays for is paused until it is resumed.
    """
    with opened(store) as view:
        if release is None:
            held = [(info, info.held) for info in view.runs(status="held", limit=limit)]
            held.extend(
                (info, _UNPAID.format(", ".join(unpaid)))
                for info in view.runs(status="paused", limit=limit)
                if (unpaid := view.unpaid(info.run_id))
            )
            held.sort(key=lambda found: -found[0].accepted)
            del held[limit:]
            if as_json:
                rows = [{**plain(info), "held": why} for info, why in held]
                typer.echo(json.dumps(rows, indent=2, ensure_ascii=False))
                return
            for info, why in held:
                head = Text(info.run_id, style="bold")
                head.append(f"  {info.workflow} {info.version}", style="cyan")
                head.append(f"  accepted {clock(info.accepted)}", style="dim")
                print_line(head)
                print_line(f"  {why or 'for a reason that is not recorded'}")
            if not held:
                print_line(Text("no run is held", style="green"))
            return
        info = named(view, release)
        if info.status != "held":
            hint = "; see penstock resume" if view.unpaid(release) else ""
            refused(f"run {release!r} is {info.status}, not held{hint}")
        what = f"release of run {release!r}"
        if view.reader.owner()[0]:
            answered(view, leave(view, "release", release, {}), what, wait=wait)
        else:
            view.reader.release(release)
            print_line(f"{what}: it goes on when the store is opened next")


def plain(info: RunInfo) -> dict[str, Any]:
    """A run as JSON has it."""
    fields = {name: getattr(info, name) for name in RunInfo.__slots__}
    return {**fields, "tags": dict(info.tags)}


def _print(found: Sequence[RunInfo]) -> None:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("run", no_wrap=True, overflow="fold")
    for name in ("workflow", "status", "accepted"):
        table.add_column(name, no_wrap=True)
    table.add_column("took", justify="right", no_wrap=True)
    table.add_column("tenant, tags, notes", overflow="fold")
    now = time.time()
    for info in found:
        took = (info.ended or now) - info.accepted
        notes = [info.tenant or "", *(f"{key}={value}" for key, value in info.tags.items())]
        if info.generation:
            notes.append(f"retried {info.generation}x")
        if info.recoveries:
            notes.append(f"recovered {info.recoveries}x")
        if info.parent:
            notes.append(f"from {info.parent}")
        if info.held:
            notes.append(short(info.held))
        table.add_row(
            Text(info.run_id),
            Text(f"{info.workflow} {info.version}"),
            coloured(info.status),
            clock(info.accepted),
            span(took) if info.ended is not None else f"{span(took)} …",
            Text(" ".join(filter(None, notes))),
        )
    out.print(table)


_UNPAID: Final = "the retry budget of its queue pays for no further attempt of {}; penstock resume"
