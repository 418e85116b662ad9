"""penstock model: how a workflow behaves, as a file: made, fitted to a store, shown and checked."""

from __future__ import annotations

import json
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, cast, get_args

import typer

from penstock._errors import DefinitionError
from penstock._simulation import Model
from penstock._simulation._fit import MOST_RUNS, Wanted, fit_of_store
from penstock._simulation._making import made
from penstock._simulation._model import loader
from penstock._simulation._text import of_model

from ._forecasting import Target, progress
from ._load import errors, fail, workflow
from ._store import AsJson, Since, StorePath, Until, Version, Workflow, moment, opened, print_line

model = typer.Typer(
    name="model", help="Say how a workflow behaves, to simulate it: by hand, or by its journal."
)
ModelPath = Annotated[Path, typer.Argument(metavar="MODEL", help="A file, .toml or .json.")]
Output = Annotated[
    Path | None, typer.Option("--output", "-o", help="A file, .toml or .json; else it is printed.")
]


@model.command(name="new")
def model_new(
    target: Target,
    *,
    latency: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[NAME=]SECONDS",
            help="Of a step or a signal, or of all steps that are not named; repeatable.",
        ),
    ] = None,
    rate: Annotated[float, typer.Option(help="Runs per second.")] = 1.0,
    output: Output = None,
) -> None:
    """Write a model to start from: latencies as given, costs as the steps estimate."""
    named, default = _latencies(latency or [])
    with _told():
        found, granted = made(workflow(target), latency=named, default_latency=default, rate=rate)
        _write(found, output, ["Taken for granted; change what is not so:", *granted])
    if output is not None:
        for each in granted:
            print_line(f"taken for granted: {each}")


@model.command(name="fit")
def model_fit(
    store: StorePath,
    *,
    workflow: Workflow = None,
    version: Version = None,
    since: Since = None,
    until: Until = None,
    arrivals: Annotated[
        str, typer.Option(help=f"How runs start: {', '.join(get_args(Wanted))}.")
    ] = "auto",
    score: Annotated[str, typer.Option(help="The kind of score that tells quality.")] = "quality",
    latency: Annotated[
        float | None, typer.Option(min=0.0, help="Seconds of a step that never ran.")
    ] = None,
    runs: Annotated[int, typer.Option(min=2, help="The newest so many are read.")] = MOST_RUNS,
    output: Output = None,
) -> None:
    """Fit a model to the runs of a store; what they do not tell is said."""
    if arrivals not in get_args(Wanted):
        fail(f"--arrivals {arrivals!r} is not known; give one of {', '.join(get_args(Wanted))}")
    start = None if since is None else moment(since, "--since")
    end = None if until is None else moment(until, "--until")
    with opened(store) as view:
        if output is not None:
            loader(output)  # before the long part
        with progress("reading runs") as told:
            found = fit_of_store(
                view,
                workflow,
                version=version,
                since=start,
                until=end,
                arrivals=cast("Wanted", arrivals),
                score=score,
                default_latency=latency,
                most=runs,
                progress=told,
            )
        _write(found, output, [])
    if output is not None:
        for line in of_model(found):
            typer.echo(line)


@model.command(name="show")
def model_show(path: ModelPath, *, as_json: AsJson = False) -> None:
    """Show what a model says, and what it does not know."""
    with _told():
        found = Model.read(path)
    if as_json:
        typer.echo(json.dumps(found.to_dict(), indent=2, ensure_ascii=False))
        return
    for line in of_model(found):
        typer.echo(line)


@model.command(name="check")
def model_check(path: ModelPath, target: Target) -> None:
    """Check that a model is one of a workflow; 1 if it is not."""
    of = workflow(target)
    with _told():
        found = Model.read(path)
    try:
        warnings = found.check(of)
    except DefinitionError as error:
        errors.print(f"penstock: {error}", markup=False, style="red")
        raise typer.Exit(1) from None
    for warning in warnings:
        errors.print(f"penstock: {warning}", markup=False, style="yellow")
    print_line(f"{path} is a model of {of.name} {of.version}")


def _write(found: Model, output: Path | None, comments: list[str]) -> None:
    if output is None:
        typer.echo(found.to_toml(comments=comments), nl=False)
    else:
        found.write(output, comments=comments)


def _latencies(given: list[str]) -> tuple[dict[str, float], float | None]:
    """By name, and for all others."""
    named: dict[str, float] = {}
    default: float | None = None
    for text in given:
        name, equals, number = text.rpartition("=")
        try:
            seconds = float(number)
        except ValueError:
            fail(f"--latency {text!r} is none; write it as 0.2, or as draft=0.2")
        if equals:
            named[name] = seconds
        else:
            default = seconds
    return named, default


@contextmanager
def _told() -> Generator[None]:
    """What is wrong with a model is told, and exits with 2."""
    try:
        yield
    except DefinitionError as error:
        fail(str(error))
