"""penstock simulate: what a workflow would come to under another policy."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from penstock._errors import DefinitionError
from penstock._simulation import Change, Forecast, Model, World, predict
from penstock._simulation import simulate as forecast
from penstock._simulation._beside import lines
from penstock._simulation._forecast import LEVEL
from penstock._simulation._predict import REPLICATES
from penstock._simulation._simulate import WARM_UP

from ._load import AnyWorkflow, fail, queues, workflow
from ._store import AsJson

Target = Annotated[
    str, typer.Argument(metavar="WORKFLOW", help="module:workflow or file.py:workflow.")
]
ModelFile = Annotated[
    Path, typer.Option("--model", metavar="FILE", help="How it behaves: a TOML or JSON file.")
]
Seed = Annotated[int, typer.Option(min=0, help="The same seed gives the same figures.")]
Deadline = Annotated[
    float | None, typer.Option(min=0.001, help="Seconds that each run has; no limit by default.")
]
Concurrency = Annotated[
    int, typer.Option(min=1, help="Attempts that run at once, as Runtime(concurrency=).")
]


def simulate(
    target: Target,
    *,
    model: ModelFile,
    changed: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="What to change: step.draft.retry.max_attempts=2, queue.gpt.concurrency=32, "
            "cascade.PATH.at=0.8, arrivals.rate=50; may be given several times.",
        ),
    ] = None,
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
        played = runs if of_runs is None else of_runs * REPLICATES
        with simulated(f"simulating {flow.name}", len(policies) * played) as progress:
            found = _forecasts(
                flow,
                behaviour,
                policies,
                runs=runs,
                of_runs=of_runs,
                seed=seed,
                level=level,
                world=world,
                progress=progress,
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


@contextmanager
def simulated(what: str, runs: int) -> Generator[Callable[[int], object] | None]:
    """A bar on a terminal that shows how many runs came, with those that do not count."""
    console = Console(stderr=True)
    if not sys.stderr.isatty():
        yield None
        return
    parts = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(
        TextColumn("{task.description}"), *parts, console=console, transient=True
    ) as progress:
        task = progress.add_task(what, total=runs * (100 + WARM_UP) // 100)
        yield lambda came: progress.update(task, completed=came)
