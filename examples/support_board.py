"""What `support_tickets.py` shows: how it goes while it runs, and what came of it.

Knows a workflow by its name only. Everything here is read from `Runtime.stats`,
`Runtime.coverage`, what the service counted itself, and what the command line says of its store.
"""

import asyncio
import os
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

import penstock as ps


@dataclass(slots=True)
class Tally:
    """What the service counts.

    Attributes:
        runs: tickets that arrive in all.
        open: ids of the runs under way.
        authors: replies, by who wrote them.
        failures: runs that failed, by the reason.
        undone: failed runs whose effects were undone.
        reviews: answers that people gave.
        began: when the first ticket arrived, by `time.monotonic`.
    """

    runs: int
    open: set[str] = field(default_factory=set[str])
    authors: Counter[str] = field(default_factory=Counter[str])
    failures: Counter[str] = field(default_factory=Counter[str])
    undone: int = 0
    reviews: int = 0
    began: float = field(default_factory=time.monotonic)

    @property
    def done(self) -> int:
        """Runs that have ended."""
        return self.authors.total() + self.failures.total()

    @property
    def seconds(self) -> float:
        """Since the first ticket."""
        return time.monotonic() - self.began


async def watch(rt: ps.Runtime, tally: Tally, console: Console, *, queue: ps.Queue) -> None:
    """Show the state of things until cancelled: live on a terminal, else a line every second."""
    if not console.is_terminal:
        while True:
            await asyncio.sleep(1.0)
            print(*_facts(rt, tally, queue), sep=", ", flush=True)
    with Live(console=console, auto_refresh=False, transient=True) as live:
        while True:
            live.update(_panel(_facts(rt, tally, queue), tally), refresh=True)
            await asyncio.sleep(0.1)


def _facts(rt: ps.Runtime, tally: Tally, queue: ps.Queue) -> list[str]:
    """The state of things, number by number."""
    stats = rt.stats()
    attempts = sum(step.attempts for step in stats.steps.values())
    return [
        f"{tally.done:,} of {tally.runs:,} tickets",
        f"{stats.runs:,} in flight",
        f"{attempts / max(tally.seconds, 0.1):,.0f} attempts/s",
        f"{sum(step.retries for step in stats.steps.values()):,} retries",
        f"{stats.queues[queue.name].waiting:,} queued",
        f"{tally.reviews:,} reviews",
        f"{tally.failures.total():,} failed",
    ]


def _panel(facts: list[str], tally: Tally) -> Group:
    """The state of things, as a bar with the numbers under it."""
    done, *others = facts
    bar = Table.grid(padding=(0, 1))
    bar.add_row(
        ProgressBar(total=tally.runs, completed=tally.done, width=56),
        Text(done, "bold"),
        Text(f"{tally.seconds:.1f} s", "dim"),
    )
    return Group(bar, Text(" · ".join(others), "dim"))


def summary(rt: ps.Runtime, tally: Tally, workflow: ps.Workflow[..., Any]) -> Group:
    """What came out: the runs, the steps, why runs failed, and how much of the graph they took."""
    stats, seconds = rt.stats(), tally.seconds
    runs = stats.workflows[workflow.name]
    attempts = sum(step.attempts for step in stats.steps.values())
    answered = Text.assemble(
        (f"{runs.succeeded:,} of {tally.runs:,} tickets answered", "bold green"),
        f" in {seconds:.1f} s: {runs.succeeded / seconds:,.0f} runs/s, "
        f"{attempts / seconds:,.0f} attempts/s",
    )
    authors = " · ".join(f"{name} {count:,}" for name, count in tally.authors.most_common())
    parts: list[RenderableType] = [
        answered,
        Text(f"answered by: {authors or 'nobody'}", "dim"),
        _figures(stats, runs),
        _reasons(tally),
        _covered(rt.coverage(workflow)),
    ]
    return Group(*(piece for part in parts for piece in ("", part)))


def answers(store: Path) -> Text:
    """The scorecard of a store, and a line for each question that a team decides by."""
    told = Text("\n")
    told.append("\n".join(_asked("scorecard", store, "--since", "1h", "--by", "step")))
    told.append("\n\nthe questions, a line each\n", "bold")
    for question, line, *command in (
        ("most spend, most value", "most spend", "value", store),
        ("storms and spaghetti", "storm", "storms", store),
        ("what predicts success", "  ", "predictors", store, "--workflow", "support"),
        ("another model", "re-priced", "impact", store, "--model", "large", "--to", "small"),
    ):
        lines = _asked(*command)
        found = next((each.strip() for each in lines if line in each), lines[0])
        told.append(f"  {question:<24}{found}\n")
    return told


def _asked(*command: object) -> list[str]:
    """What the command line says."""
    asked = [sys.executable, "-m", "penstock", *map(str, command)]
    width = {**os.environ, "COLUMNS": "100"}
    ran = subprocess.run(  # noqa: S603  # our own program
        asked, check=True, capture_output=True, text=True, env=width
    )
    return ran.stdout.splitlines()


def commands(program: str, store: Path | None, coverage: Path | None) -> Text:
    """What to try next, as one would type it here.

    Args:
        program: the file with the workflow.
        store: the file with its runs, if they were kept.
        coverage: the file with what its runs have shown, if that was written.
    """
    penstock, file = _near(Path(sys.executable).with_name("penstock")), _near(Path(program))
    told = Text("\ntry next\n", "bold")
    for command in (
        f"lint {file}",
        f"graph {file}:support -o support.svg",
        f"coverage {coverage}" if coverage else "",
        f"graph {file}:support --coverage {coverage} -o seen.svg" if coverage else "",
        f"scorecard {store} --html scorecard.html" if store else "",
        f"explain {store} ticket-7" if store else "",
    ):
        told.append(f"  {penstock} {command}\n" if command else "", "not bold")
    return told


def _near(path: Path) -> Path:
    """The same path, from here."""
    with suppress(ValueError):
        return path.absolute().relative_to(Path.cwd())
    return path


def _figures(stats: ps.Stats, runs: Any) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim")  # fits 80 columns
    table.add_column("step")
    for name in ("attempts", "retries", "failed", "timeouts"):
        table.add_column(name, justify="right")
    for name in ("queue delay", "duration"):
        table.add_column(f"{name}, ms\n{'p50':>6}{'p95':>6}{'p99':>6}", no_wrap=True)
    for name, step in stats.steps.items():
        delay, duration = step.queue_delay, step.duration
        table.add_row(
            name,
            *map(_count, (step.attempts, step.retries, step.failed, step.timeouts)),
            _times(delay.p50, delay.p95, delay.p99),
            _times(duration.p50, duration.p95, duration.p99),
        )
    row = ["run", *[""] * 5, _times(runs.latency.p50, runs.latency.p95, runs.latency.p99)]
    table.add_row(*row, style="bold")
    return table


def _reasons(tally: Tally) -> Table:
    table = Table.grid(padding=(0, 2))
    total = tally.failures.total()
    failed = Text("runs failed", "bold")
    if tally.undone:
        failed.append(f", and the refunds of {tally.undone:,} were taken back", "not bold")
    table.add_row(f"[bold red]{total:,}[/]" if total else "no", failed)
    for reason, count in tally.failures.most_common():
        table.add_row(f"{count:,}", escape(reason))
    table.columns[0].justify = "right"
    return table


def _covered(coverage: ps.Coverage) -> Text:
    """How much of the graph the runs have taken."""
    told = Text.assemble(("graph coverage", "bold"))
    for name in ("nodes", "edges", "outcomes", "exceptions"):
        seen, declared = coverage.counts(name)
        told.append(f"  {seen}/{declared} {name}", "green" if seen == declared else "yellow")
    return told


def _count(number: int) -> str:
    return f"{number:,}" if number else "-"


def _times(*seconds: float) -> str:
    return "".join(f"{1000 * t:6.1f}" if t < 1 else f"{1000 * t:6.0f}" for t in seconds)
