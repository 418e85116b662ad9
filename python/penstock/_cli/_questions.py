"""penstock value, storms, predictors and impact: the questions that a team decides by."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from penstock._prices import PriceBook
from penstock._questions import (
    Change,
    foretold_of_store,
    impact_of_store,
    storms_of_store,
    values_of_store,
)
from penstock._questions._features import MOST_RUNS
from penstock._questions._text import of_foretold, of_impact, of_storms, of_values
from penstock._scorecard._codec import written

from ._load import fail
from ._store import AsJson, StorePath, Workflow, moment, opened

Since = Annotated[
    str, typer.Option(help="Of this time: 15m, 24h, 7d; or since a time: 2026-03-01T10:30.")
]
Until = Annotated[
    str | None, typer.Option(help="Up to then; as for --since. Up to now by default.")
]
Runs = Annotated[int, typer.Option(min=1, help="The newest so many runs are looked at.")]


def value(
    store: StorePath,
    *,
    workflow: Workflow = None,
    since: Since = "30d",
    until: Until = None,
    runs: Runs = MOST_RUNS,
    as_json: AsJson = False,
) -> None:
    """Tell which steps carry the most spend, and what a run is worth with and without each."""
    start, end = _window(since, until)
    with opened(store) as view:
        found = values_of_store(view, since=start, until=end, workflow=workflow, most=runs)
    if as_json:
        _json([written(each) for each in found])
        return
    if not found:
        typer.echo("no run started in the window")
    for place, each in enumerate(found):
        _lines(["", *of_values(each)] if place else of_values(each))


def storms(
    store: StorePath, *, since: Since = "30d", until: Until = None, as_json: AsJson = False
) -> None:
    """Tell where retry storms were and how they were found, and how tangled the workflows are."""
    start, end = _window(since, until)
    with opened(store) as view:
        found = storms_of_store(view, since=start, until=end)
    if as_json:
        _json(written(found))
    else:
        _lines(of_storms(found))


def predictors(
    store: StorePath,
    *,
    workflow: Annotated[str, typer.Option(help="Of this workflow.")],
    outcome: Annotated[
        str, typer.Option(help="success, or score:KIND: a score above the median is good.")
    ] = "success",
    since: Annotated[
        str | None, typer.Option(help="Runs started from then on: 24h, 7d, 2026-03-01.")
    ] = None,
    until: Until = None,
    runs: Runs = MOST_RUNS,
    as_json: AsJson = False,
) -> None:
    """Tell what predicts success, of all that was known before a run was decided; or "none"."""
    start = None if since is None else moment(since, "--since")
    end = None if until is None else moment(until, "--until")
    with opened(store) as view:
        found = foretold_of_store(
            view, workflow, outcome=outcome, most=runs, since=start, until=end
        )
    if as_json:
        _json(found.to_dict())
    else:
        _lines(of_foretold(found))


def impact(
    store: StorePath,
    *,
    model: Annotated[
        str | None, typer.Option(help="A model; with * and ?, all that match: 'claude-*'.")
    ] = None,
    to: Annotated[
        str | None, typer.Option(metavar="MODEL", help="The model that would take its place.")
    ] = None,
    queue: Annotated[str | None, typer.Option(help="A queue.")] = None,
    prices: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A price book in TOML: the new rates.")
    ] = None,
    at: Annotated[
        str | None, typer.Option(help="The time whose rates are meant: 2026-12-01. Now by default.")
    ] = None,
    since: Since = "30d",
    until: Until = None,
    share: Annotated[
        float, typer.Option(help="Of the runs, what a release would give to the candidate.")
    ] = 0.1,
    as_json: AsJson = False,
) -> None:
    """Tell what a change of model, queue or prices would touch and cost, before it is made."""
    start, end = _window(since, until)
    if model is None and queue is None and prices is None:
        fail("name what would change: --model, --queue or --prices")
    with opened(store) as view:
        change = Change(model=model, to=to, queue=queue, prices=_book(prices))
        rates = time.time() if at is None else moment(at, "--at")
        found = impact_of_store(view, change, since=start, until=end, at=rates, share=share)
    if as_json:
        _json(written(found))
    else:
        _lines(of_impact(found))


def _book(path: Path | None) -> PriceBook | None:
    """The price book of a file; what is wrong with it is an error of penstock."""
    if path is None:
        return None
    try:
        return PriceBook.load(path)
    except OSError as error:
        fail(f"{path} can't be read: {error.strerror}")


def _window(since: str, until: str | None) -> tuple[float, float]:
    start = moment(since, "--since")
    end = time.time() if until is None else moment(until, "--until")
    if start >= end:
        fail(f"--since {since!r} is not before --until {until or 'now'!r}; give an earlier time")
    return start, end


def _json(content: Any) -> None:
    typer.echo(json.dumps(content, indent=2, ensure_ascii=False))


def _lines(lines: Iterable[str]) -> None:
    for line in lines:
        typer.echo(line)
