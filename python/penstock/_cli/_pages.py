"""penstock interfaces, contracts and risks: what a team shows of its workflows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Final, cast

import typer
from rich.table import Table
from rich.text import Text

from penstock._coverage_report import read
from penstock._errors import PenstockError
from penstock._interfaces import Interface
from penstock._pages import (
    Outcomes,
    contract_page,
    covered,
    declared,
    kept,
    risk_page,
    stored,
)
from penstock._pages import risks as risks_of

from ._load import AnyWorkflow, fail, settings, workflows
from ._store import AsJson, clock, opened, out

Targets = Annotated[
    list[str], typer.Argument(help="module:workflow, or a module for all of its workflows.")
]


def interfaces(
    target: Annotated[
        str, typer.Argument(metavar="MODULE|STORE", help="module:workflow, a module, or a store.")
    ],
    *,
    as_json: AsJson = False,
) -> None:
    """List what runs run under: graphs, policies, terms, state machines, queues and settings.

    Each with version, digest and owner; of a store also when a run used it first and last.
    """
    if _is_store(target):
        with opened(target) as view:
            found = kept(view)
    else:
        found = declared(workflows(target), settings(target))
    if as_json:
        content = [row.to_dict() for row in found]
        typer.echo(json.dumps(content, indent=2, ensure_ascii=False))
    else:
        out.print(_table(found))


def contracts(targets: Targets) -> None:
    """Print one page a workflow, in Markdown: what it takes, gives and needs, and who answers."""
    pages = [contract_page(workflow) for target in targets for workflow in workflows(target)]
    typer.echo("\n".join(pages), nl=False)


def risks(
    target: Annotated[str, typer.Argument(help="module:workflow, or a module for all of them.")],
    seen: Annotated[
        str | None,
        typer.Argument(
            metavar="[REPORT|STORE]",
            help="A coverage report, or a store, for the outcomes that were seen.",
        ),
    ] = None,
    *,
    reviews: Annotated[
        Path | None,
        typer.Option(help="JSON: by node, the date on which somebody last looked at it."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print the risks of workflows, in Markdown: each with evidence, owner, playbook and review."""
    found = workflows(target)
    outcomes = {} if seen is None else _outcomes(found, seen)
    known = _reviews(reviews)
    if as_json:
        content = [
            {
                "name": workflow.name,
                "version": workflow.version,
                "risks": [
                    asdict(risk)
                    for risk in risks_of(workflow, outcomes.get(workflow.name), reviews=known)
                ],
            }
            for workflow in found
        ]
        typer.echo(json.dumps(content, indent=2, ensure_ascii=False))
        return
    pages = [risk_page(w, outcomes.get(w.name), reviews=known) for w in found]
    typer.echo("\n".join(pages), nl=False)


def _outcomes(found: list[AnyWorkflow], seen: str) -> dict[str, Outcomes]:
    """What a coverage report or a store says of workflows, by name."""
    if seen.endswith(".json"):
        try:
            report = read(seen)
        except PenstockError as error:
            fail(str(error))
        told = [(workflow.name, covered(workflow, report)) for workflow in found]
    else:
        with opened(seen) as view:
            told = [(workflow.name, stored(workflow, view)) for workflow in found]
    return {name: outcomes for name, outcomes in told if outcomes is not None}


def _reviews(path: Path | None) -> Mapping[str, str]:
    if path is None:
        return {}
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        fail(f"{path} can't be read: {error.strerror}")
    except ValueError as error:
        fail(f"{path} is no JSON: {error}")
    wrong: dict[str, Any] = {"": None}
    dates = cast("dict[str, Any]", content) if isinstance(content, dict) else wrong
    if not all(isinstance(date, str) for date in dates.values()):
        fail(f'{path} has no dates by node; write it as {{"shop/pay": "2026-03-01"}}')
    return dates


def _is_store(target: str) -> bool:
    """Whether a target is a store: a file that is no Python, or an address."""
    path = Path(target)
    return "://" in target or (path.suffix != ".py" and path.is_file())


def _table(found: list[Interface]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in _COLUMNS:
        least = 18 if name == "name" else None
        table.add_column(
            name, no_wrap=name not in ("name", "owner"), overflow="fold", min_width=least
        )
    for row in found:
        times = ["-" if at is None else clock(at)[:16] for at in (row.first, row.last)]
        cells = (row.kind, row.name, row.version, row.digest[:12], row.owner or "-", *times)
        table.add_row(*map(Text, cells))
    return table


_COLUMNS: Final = ("kind", "name", "version", "digest", "owner", "first use", "last use")
