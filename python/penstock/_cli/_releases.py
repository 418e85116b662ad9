"""penstock releases: what became of a store's releases, and on what evidence."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from penstock._releases import NOTE, ReleaseRecord, records_of

from ._load import fail
from ._store import AsJson, StorePath, clock, opened, print_line


def releases(
    store: StorePath,
    name: Annotated[
        str | None, typer.Argument(metavar="[RELEASE]", help="This one, with all of it.")
    ] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """List releases, with their evidence; or tell all of one."""
    with opened(store) as view:
        found = records_of(view.reader.notes(NOTE))
    if name is not None:
        found = [record for record in found if record.name == name]
        if not found:
            fail(f"{store} has no release {name!r}; `penstock releases {store}` lists them")
    if as_json:
        content = [record.to_dict() for record in found]
        typer.echo(json.dumps(content if name is None else content[0], indent=2))
        return
    if name is not None:
        _tell(found[0])
        return
    if not found:
        print_line("no release yet")
        return
    for it in reversed(found):
        told = f"{it.state.replace('_', ' ')}, {100 * it.share:g} %, {it.owner or 'nobody'}"
        print_line(f"{clock(it.began)}  {it.name}  {told}")
        print_line(f"  {it.reason or 'its runs are being judged'}")


def _tell(record: ReleaseRecord) -> None:
    print_line(f"{record.name}  {record.state.replace('_', ' ')}")
    print_line(f"  {record.workflow} {record.baseline.name} -> {record.candidate.name}")
    print_line(f"  owner {record.owner or 'nobody'}, share {100 * record.share:g} %")
    for at, event, reason in record.events:
        print_line(f"  {clock(at)}  {event.replace('_', ' ')}{f': {reason}' if reason else ''}")
    if record.evidence:
        print_line("evidence")
    for said in record.evidence:
        print_line(f"  {said}")
    if record.overlay:
        print_line("changes")
        print_line(f"  {record.overlay}")
    if record.risks:
        print_line("")
        print_line(record.risks)
