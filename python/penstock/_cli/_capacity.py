"""penstock capacity: how many slots or people it takes to reach an objective."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from penstock._errors import DefinitionError
from penstock._simulation._capacity import capacity as found_capacity
from penstock._simulation._changes import Change
from penstock._simulation._model import Model
from penstock._simulation._scene import World

from ._forecasting import (
    Changed,
    Concurrency,
    Deadline,
    ModelFile,
    Seed,
    Target,
    progress,
)
from ._load import errors, fail, queues, workflow
from ._store import AsJson


def capacity(
    target: Target,
    *,
    model: ModelFile,
    require: Annotated[
        str, typer.Option(metavar="TEXT", help='What is to be reached: "wait_p95<=2".')
    ],
    queue: Annotated[str | None, typer.Option(help="Whose concurrency is asked for.")] = None,
    signal: Annotated[
        str | None, typer.Option(help="Whose desk's staff is asked for, in place of a queue's.")
    ] = None,
    changed: Changed = None,
    runs: Annotated[int, typer.Option(min=1, help="Simulated for each number.")] = 20_000,
    formula: Annotated[
        bool, typer.Option("--formula", help="By formula only; nothing is simulated.")
    ] = False,
    seed: Seed = 0,
    deadline: Deadline = None,
    concurrency: Concurrency = 1_024,
    as_json: AsJson = False,
) -> None:
    """Tell how many slots of a queue, or people at a desk, an objective takes.

    By formula and by simulation, with what the formula is known to be off by. Exits with 1 if no
    number is enough.
    """
    subject = workflow(target)
    if (queue is None) == (signal is None):
        fail("name what is asked for: --queue gpt or --signal approval")
    try:
        behaviour = Model.read(model)
        own = tuple(queues(target))
        with progress("numbers looked at") as told:
            found = found_capacity(
                subject,
                behaviour,
                queue=queue,
                signal=signal,
                require=require,
                change=Change.parse(subject, changed or [], queues=own),
                runs=runs,
                seed=seed,
                world=World(queues=own, deadline=deadline, concurrency=concurrency),
                simulated=not formula,
                progress=None if told is None else lambda done, _: told(done, None),
            )
    except DefinitionError as error:
        fail(str(error))
    except KeyboardInterrupt:
        errors.print("penstock: interrupted; give --formula, or fewer --runs", style="red")
        raise typer.Exit(1) from None
    if as_json:
        typer.echo(json.dumps(found.to_dict(), indent=2, ensure_ascii=False))
    else:
        typer.echo(found.to_text(), nl=False)
    if (found.formula if formula else found.simulated) is None:
        raise typer.Exit(1)
