"""penstock prune, export and verify: what is to be done with a store as a whole."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from penstock._commands import count_of
from penstock._stored import RunInfo, StoreView

from ._load import errors, fail
from ._runs import plain
from ._show import written
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
    duration,
    filtered,
    leave,
    named,
    opened,
    print_line,
)


def prune(
    store: StorePath,
    *,
    older_than: Annotated[
        str | None, typer.Option(help="Forget runs that ended longer ago: 12h, 30d.")
    ] = None,
    keep: Annotated[
        int | None, typer.Option(min=0, help="Keep at most so many that have ended, the last ones.")
    ] = None,
    wait: Wait = 60.0,
) -> None:
    """Forget runs that have ended, with everything that is kept of them."""
    age = None if older_than is None else duration(older_than, "--older-than")
    if age is None and keep is None:
        fail("say which runs: --older-than 30d, --keep 10000, or both")
    with opened(store) as view:
        if view.reader.owner()[0]:
            number = leave(view, "prune", "", {"max_age": age, "max_runs": keep})
            answered(view, number, "prune", wait=wait)
            return
        after = None if age is None else time.time() - age
        with errors.status("forgetting runs"):
            pruned = view.reader.prune(ended_after=after, ended_max=keep)
        print_line(f"prune: forgot {count_of(pruned)}")


def export(
    store: StorePath,
    *,
    run: Annotated[str | None, typer.Option(help="This run alone.")] = None,
    status: Statuses = None,
    workflow: Workflow = None,
    version: Version = None,
    tag: Tags = None,
    tenant: Tenant = None,
    since: Since = None,
    until: Until = None,
    limit: Annotated[int | None, typer.Option(min=1, help="The newest so many.")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A file; else it is printed.")
    ] = None,
) -> None:
    """Write runs as JSON lines: one of type "run", then one of type "record" for each record."""
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
        found: Iterator[RunInfo] = view.every(**wanted)
        if run is not None:
            found = iter([named(view, run)])
        if output is None:
            for line in _lines(view, found):
                typer.echo(line)
            return
        try:
            with output.open("w", encoding="utf-8") as file:
                for line in _lines(view, found):
                    file.write(f"{line}\n")
        except OSError as error:
            fail(f"{output} can't be written: {error.strerror}")


def verify(store: StorePath, *, as_json: AsJson = False) -> None:
    """Check everything in a store: structure, checksums, missing records; 1 if it is unsound."""
    with opened(store) as view:
        with errors.status("reading the store"):
            problems = view.reader.verify()
        counts = dict(view.reader.counts())
    if as_json:
        typer.echo(json.dumps({"problems": problems, "runs": counts}, indent=2))
    else:
        for problem in problems:
            print_line(Text(problem, style="red"))
        if not problems:
            total = count_of(sum(counts.values()))
            print_line(Text(f"{store} is sound: {total} and all records of theirs", style="green"))
        else:
            print_line(f"{len(problems)} found; restore the store from a backup")
    if problems:
        raise typer.Exit(1)


def _lines(view: StoreView, found: Iterator[RunInfo]) -> Iterator[str]:
    for info in found:
        yield _dumped({"type": "run", **plain(info)})
        for record in view.records(info.run_id):
            yield _dumped({"type": "record", "run_id": info.run_id, **written(record)})


def _dumped(content: dict[str, Any]) -> str:
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"))
