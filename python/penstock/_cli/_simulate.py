"""penstock simulate: what a workflow would come to under another policy."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated, Any

import typer

from penstock._errors import DefinitionError
from penstock._simulation import Change, Forecast, Model, World, predict
from penstock._simulation import simulate as forecast
from penstock._simulation._beside import lines
from penstock._simulation._forecast import LEVEL
from penstock._simulation._predict import REPLICATES
from penstock._simulation._simulate import WARM_UP

from ._forecasting import Changed, Concurrency, Deadline, ModelFile, Seed, Target, progress
from ._load import AnyWorkflow, fail, queues, workflow
from ._store import AsJson


def simulate(
    target: Target,
    *,
    model: ModelFile,
    changed: Changed = None,
    runs: Annotated[int, typer.Option(min=1, help="Runs that are simulated.")] = 20_000,
    seed: Seed = 0,
    of_runs: Annotated[
        int | None,
        typer.Option(min=1, help="Tell where the figures of so many real runs will lie."),
    ] = None,
    level: Annotated[
        float, typer.Option(min=0.5, max=0.999, help="How likely the intervals are to hold.")
    ] = LEVEL,
    deadline: Deadline = None,
    concurrency: Concurrency = 1_024,
    as_json: AsJson = False,
) -> None:
    """Forecast what a workflow comes to as it is, and with some changes."""
    flow = workflow(target)
    try:
        behaviour = Model.read(model)
        warnings = behaviour.check(flow)
        own = tuple(queues(target))
        change = Change.parse(flow, changed or [], queues=own)
        policies = [Change(flow, queues=own), *([change] if change else [])]
        world = World(queues=own, deadline=deadline, concurrency=concurrency)
        played = runs * (100 + WARM_UP) // 100 if of_runs is None else of_runs * REPLICATES
        total = played * len(policies)
        with progress("runs") as told:
            found = _forecasts(
                flow,
                behaviour,
                policies,
                runs=runs,
                of_runs=of_runs,
                seed=seed,
                level=level,
                world=world,
                progress=None if told is None else partial(_tell, told, total),
            )
    except KeyboardInterrupt:
        fail("interrupted; give fewer --runs")
    except DefinitionError as error:
        fail(str(error))
    done = list(zip(policies, found, strict=True))
    if as_json:
        content: list[dict[str, Any]] = [
            {"set": list(it.texts), **forecast.to_dict()} for it, forecast in done
        ]
        typer.echo(json.dumps(content, indent=2, ensure_ascii=False))
        return
    title = f"{flow.name} {flow.version}, by {model.name}: {of_runs or runs:,} runs"
    for line in lines(title, done, warnings=warnings):
        typer.echo(line)


def _tell(told: Callable[[int, int | None], None], total: int, came: int) -> None:
    told(came, total)


def _forecasts(
    flow: AnyWorkflow,
    behaviour: Model,
    policies: Sequence[Change],
    *,
    runs: int,
    of_runs: int | None,
    **options: Any,
) -> list[Forecast]:
    if of_runs is None:
        return forecast(flow, behaviour, policies, runs=runs, **options)
    return predict(flow, behaviour, policies, of_runs=of_runs, **options)
