"""What the commands that forecast have in common: their options, and how far they are."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

from ._load import errors

Target = Annotated[
    str, typer.Argument(metavar="WORKFLOW", help="module:workflow or file.py:workflow.")
]
ModelFile = Annotated[
    Path, typer.Option("--model", metavar="FILE", help="How it behaves: a TOML or JSON file.")
]
Changed = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="What to change: step.draft.retry.max_attempts=2, queue.gpt.concurrency=32, "
        "cascade.PATH.at=0.8, arrivals.rate=50; may be given several times.",
    ),
]
Seed = Annotated[int, typer.Option(min=0, help="The same seed gives the same figures.")]
Deadline = Annotated[
    float | None, typer.Option(min=0.001, help="Seconds that each run has; no limit by default.")
]
Concurrency = Annotated[
    int, typer.Option(min=1, help="Attempts that run at once, as Runtime(concurrency=).")
]


@contextmanager
def progress(what: str) -> Generator[Callable[[int, int | None], None] | None]:
    """A bar on the terminal while something takes long; None where there is no terminal.

    It is told how many of how many are done.
    """
    if not errors.is_terminal:
        yield None
        return
    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress("{task.description}", *columns, console=errors, transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
