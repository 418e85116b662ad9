"""penstock frontier and forecasts: what policies would cost, and what released ones then did."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated

import typer

from penstock._errors import DefinitionError
from penstock._simulation._frontier import Vary
from penstock._simulation._frontier import frontier as found_frontier
from penstock._simulation._model import Model
from penstock._simulation._record import forecasts_of_store, lines
from penstock._simulation._scene import World

from ._forecasting import Concurrency, Deadline, ModelFile, Seed, Target, progress
from ._load import errors, fail, queues, workflow
from ._store import AsJson, StorePath, opened


def frontier(
    target: Target,
    *,
    model: ModelFile,
    vary: Annotated[Path, typer.Option(metavar="FILE", help="What is varied, in TOML.")],
    runs: Annotated[int, typer.Option(min=1, help="Of each policy.")] = 40_000,
    require: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help='What a policy has to reach: "success>=0.99,p95<=4".'),
    ] = None,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the picture as one page.")
    ] = None,
    seed: Seed = 0,
    deadline: Deadline = None,
    concurrency: Concurrency = 1_024,
    as_json: AsJson = False,
) -> None:
    """Forecast many policies; tell the frontier, its knee and the cheapest that is good enough.

    All are simulated under a model, with the same arrivals and the same luck. Ctrl-C keeps what is
    done. Exits with 1 if no policy reaches what is required.
    """
    subject = workflow(target)
    try:
        behaviour = Model.read(model)
        warnings = behaviour.check(subject)
        own = tuple(queues(target))
        world = World(queues=own, deadline=deadline, concurrency=concurrency)
        with progress("policies") as told:
            found = found_frontier(
                subject,
                behaviour,
                _vary(vary),
                runs=runs,
                require=require,
                seed=seed,
                world=world,
                progress=told,
            )
    except DefinitionError as error:
        fail(str(error))
    except KeyboardInterrupt:
        errors.print("penstock: interrupted before the first policy was done", style="red")
        raise typer.Exit(1) from None
    if html is not None:
        _write(html, found.to_html())
    if as_json:
        typer.echo(json.dumps(found.to_dict(), indent=2, ensure_ascii=False))
    else:
        typer.echo(found.to_text(), nl=False)
        for warning in warnings:
            typer.echo(f"Note: {warning}")
        if html is not None:
            typer.echo(f"The picture is in {html}.")
    if require is not None and found.cheapest is None:
        raise typer.Exit(1)


def forecasts(store: StorePath, *, as_json: AsJson = False) -> None:
    """Hold the forecasts of a store's releases against what was measured since."""
    with opened(store) as view:
        found = forecasts_of_store(view, now=time.time())
    if as_json:
        content = [record.to_dict() for record in found]
        typer.echo(json.dumps(content, indent=2, ensure_ascii=False))
        return
    for line in lines(found):
        typer.echo(line)


def _vary(path: Path) -> Vary:
    try:
        return Vary.read(path)
    except OSError as error:
        fail(f"{path} can't be read: {error.strerror}")


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        fail(f"{path} can't be written: {error.strerror}")
