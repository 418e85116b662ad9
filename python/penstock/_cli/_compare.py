"""penstock baseline and compare: what is kept to compare with, and what has changed since."""

from __future__ import annotations

import json
import time
from typing import Annotated, Final

import typer
from rich.text import Text

from penstock._evidence import Compared
from penstock._questions import (
    Baseline,
    Contest,
    Part,
    baseline_named,
    baseline_of,
    baselines,
    compare_now,
    compare_versions,
    newest,
    save,
)
from penstock._questions._words import columns, differences, value_of
from penstock._scorecard._words import counted
from penstock._scorecard._words import moment as told_at

from ._load import fail
from ._store import AsJson, StorePath, Version, Workflow, clock, moment, opened, print_line

baseline = typer.Typer(
    name="baseline", help="Keep what is known of a store's runs, to compare with later."
)
Until = Annotated[
    str | None, typer.Option(help="Started before this; as for --since. Now by default.")
]


@baseline.command(name="save")
def baseline_save(
    store: StorePath,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of the baseline.")],
    *,
    workflow: Workflow = None,
    version: Version = None,
    since: Annotated[
        str, typer.Option(help="Started in this time: 15m, 24h, 7d; or since: 2026-03-01T10:30.")
    ] = "7d",
    until: Until = None,
    as_json: AsJson = False,
) -> None:
    """Keep the metrics of a window, and all that a comparison needs, also when its runs are gone.

    Of the baselines of one name the last one counts.
    """
    start, end = _window(since, until)
    with opened(store) as view:
        found = baseline_of(
            view,
            name,
            since=start,
            until=end,
            now=time.time(),
            workflow=workflow,
            version=version,
        )
        save(view, found)
    if as_json:
        typer.echo(json.dumps(_content(found), indent=2, ensure_ascii=False))
        return
    print_line(Text(f"baseline {name} saved", style="bold"))
    for part in found.parts:
        _tell(part)


@baseline.command(name="list")
def baseline_list(store: StorePath, *, as_json: AsJson = False) -> None:
    """List the baselines of a store."""
    with opened(store) as view:
        found = baselines(view)
    if as_json:
        typer.echo(json.dumps([_content(each) for each in found], indent=2, ensure_ascii=False))
        return
    last = newest(found)
    rows = [
        (
            each.name if last[each.name] is each else f"{each.name} (replaced)",
            clock(each.at)[:16],
            part.workflow,
            f"{part.runs:,}",
            *(value_of(metric, part.values.get(metric)) for metric in _SHOWN),
            ", ".join(part.versions),
        )
        for each in reversed(found)
        for part in each.parts
    ]
    head = ("name", "saved", "workflow", "runs", *_SHOWN, "versions")
    lines = columns(head, rows, left=("saved", "workflow"))
    for place, line in enumerate(lines if found else ()):
        print_line(Text(line, style="" if place else "bold"))
    if not found:
        print_line(Text("there is none; `penstock baseline save` keeps one", style="dim"))


def compare(
    store: StorePath,
    names: Annotated[
        list[str],
        typer.Argument(metavar="BASELINE | VERSION VERSION", help="A baseline, or two versions."),
    ],
    *,
    workflow: Workflow = None,
    version: Version = None,
    since: Annotated[
        str | None,
        typer.Option(
            help="Runs started from then on: 24h, 7d, 2026-03-01. By default from the end of the "
            "baseline; for two versions, 30d."
        ),
    ] = None,
    until: Until = None,
    alpha: Annotated[
        float, typer.Option(help="The risk, of each metric, that its interval is wrong.")
    ] = 0.05,
    as_json: AsJson = False,
) -> None:
    """Compare what runs now with a baseline, or two versions with each other.

    Each metric with its difference and an interval that stays valid however often you look.
    """
    if len(names) > 2:
        fail("compare takes a baseline, or two versions of a workflow")
    now = time.time()
    with opened(store) as view:
        if len(names) == 1:
            start = None if since is None else moment(since, "--since")
            contests = compare_now(
                view,
                baseline_named(view, names[0]),
                now=now,
                since=start,
                until=None if until is None else moment(until, "--until"),
                workflow=workflow,
                version=version,
                alpha=alpha,
            )
        else:
            if workflow is None:
                fail("two versions need --workflow NAME, which they are of")
            if version is not None:
                fail("--version goes with a baseline; name two versions, or one baseline")
            start, end = _window(since or "30d", until)
            pair = names[0], names[1]
            contests = [
                compare_versions(view, workflow, pair, since=start, until=end, now=now, alpha=alpha)
            ]
    if not contests:
        fail(f"baseline {names[0]!r} has no workflow {workflow!r}")
    if as_json:
        told = [each.to_dict() for each in contests]
        typer.echo(json.dumps(told, indent=2, ensure_ascii=False))
        return
    for place, each in enumerate(contests):
        if place:
            print_line("")
        _print(each)


def _print(found: Contest) -> None:
    print_line(Text(found.workflow, style="bold"))
    _tell(found.baseline, "baseline")
    _tell(found.version, "now")
    metrics = found.comparison.metrics
    rows = [(each.metric, *differences(each), each.judgement) for each in metrics]
    lines = columns(("metric", "baseline", "now", "difference", "between", "verdict"), rows)
    print_line(Text(f"  {lines[0]}", style="bold"))
    for each, line in zip(metrics, lines[1:], strict=True):
        print_line(_coloured(line, each))
        if needed := _needed(each):
            print_line(Text(f"    it takes {needed} to know", style="dim"))
    print_line(
        Text(
            "The intervals hold however often you look, if both sides had work alike; only a "
            "release that draws lots makes sure of that.",
            style="dim",
        )
    )


def _tell(part: Part, what: str | None = None) -> None:
    versions = ", ".join(part.versions) or "no version"
    times = f"{told_at(part.since)} to {told_at(part.until)} UTC"
    head = part.workflow if what is None else f"{what:<8}"
    print_line(Text(f"  {head}  {versions}  {counted(part.runs, 'run')}, {times}", style="dim"))


def _coloured(line: str, found: Compared) -> Text:
    text = Text(f"  {line}")
    text.stylize(_COLOURS.get(found.judgement, ""), len(text) - len(found.judgement))
    return text


def _needed(found: Compared) -> str:
    if found.judgement != "not enough data" or found.runs is None:
        return ""
    dollars = "" if found.dollars is None else f", about ${found.dollars:,.2f} more"
    return f"{found.runs:,} runs of each{dollars},"


def _content(found: Baseline) -> dict[str, object]:
    parts = [part.to_dict() for part in found.parts]
    for part in parts:
        del part["sample"]
    return {"name": found.name, "at": found.at, "parts": parts}


def _window(since: str, until: str | None) -> tuple[float, float]:
    start = moment(since, "--since")
    end = time.time() if until is None else moment(until, "--until")
    if start >= end:
        fail(f"--since {since!r} is not before --until {until or 'now'!r}; give an earlier time")
    return start, end


_SHOWN: Final = ("success", "cost", "retry_burden")
_COLOURS: Final = {"better": "green", "worse": "bold red", "no difference shown": "cyan"}
