"""Replay a recorded scientific workflow: any WfFormat 1.5 file, each task as a node of one graph.

The steps sleep as long as the recorded tasks ran, times `--scale`; the makespan is then compared
with what theory allows. Needs rich: `pip install 'penstock[cli]'`. There are hundreds of recorded
workflows in https://github.com/wfcommons/WfInstances.

    python examples/wfformat.py montage.json --concurrency 64
    python examples/wfformat.py montage.json --fail 0.1 --seed 7    # attempts fail and are retried
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Self
from urllib.parse import quote

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

import penstock as ps
from recipe import FormatError, Recipe, Task, bounds, load

__all__ = ["FormatError", "Recipe", "Task", "bounds", "draw", "load", "main", "run", "sleep"]


async def sleep(task: Task, attempt: int) -> None:
    """Stand in for a task: take its time, then fail if this attempt is to."""
    if task.seconds:
        await asyncio.sleep(task.seconds)
    if attempt <= task.failures:
        raise ConnectionError(f"attempt {attempt} of task {task.id} is one that fails")


def draw(
    recipe: Recipe, work: Callable[[Task, int], Awaitable[None]] = sleep
) -> ps.Workflow[[], list[str]]:
    """A workflow with one node for each task; its result is the ids of the tasks nobody waits for.

    Args:
        recipe: what to draw.
        work: what an attempt does, given the task and the number of the attempt.
    """
    tasks: dict[str, Task] = {}

    @ps.step(retry=ps.RetryPolicy(max_attempts=100, initial_interval=0.001, max_interval=0.01))
    async def perform(ctx: ps.Context, *_parents: str) -> str:
        task = tasks[ctx.path]
        await work(task, ctx.attempt)
        return task.id

    @ps.workflow(name=_label(recipe.name))
    def replay(flow: ps.Flow) -> ps.Node[list[str]]:
        nodes: dict[str, ps.Node[str]] = {}
        for task in recipe.tasks:
            parents = [nodes[parent] for parent in task.parents]
            nodes[task.id] = node = flow.call(perform, *parents, name=_label(task.id))
            tasks[node.path] = task
        inner = {parent for task in recipe.tasks for parent in task.parents}
        return flow.apply(_ids, *(node for id_, node in nodes.items() if id_ not in inner))

    return replay


async def run(recipe: Recipe, concurrency: int, bar: Bar) -> tuple[float, int]:
    """Run a workflow; its makespan in seconds, and how many attempts it took.

    Raises:
        penstock.RunFailed: a task failed in all of its attempts.
    """

    async def work(task: Task, attempt: int) -> None:
        await sleep(task, attempt)
        bar.advance()

    workflow = draw(recipe, work)
    loop = asyncio.get_running_loop()
    async with ps.Runtime(workflows=[workflow], concurrency=concurrency) as rt:
        began = loop.time()
        await rt.run(workflow)
        return loop.time() - began, rt.stats().steps["perform"].attempts


class Bar:
    """Shows on stderr how many tasks are done: a bar on a terminal, else a line every second."""

    def __init__(self, total: int, *, quiet: bool) -> None:
        console = Console(stderr=True)
        self._done, self._total = 0, total
        self._lines = not quiet and not console.is_terminal
        self._next = time.monotonic() + 1.0
        columns = (BarColumn(40), MofNCompleteColumn(), TextColumn("tasks"), TimeElapsedColumn())
        self._progress = Progress(*columns, console=console, disable=quiet or self._lines)
        self._row = self._progress.add_task("tasks", total=total)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def advance(self) -> None:
        """Count one task."""
        self._done += 1
        self._progress.advance(self._row)
        if self._lines and (time.monotonic() > self._next or self._done == self._total):
            self._next = time.monotonic() + 1.0
            print(f"{self._done}/{self._total} tasks", file=sys.stderr)


def summary(recipe: Recipe, concurrency: int, makespan: float, attempts: int) -> Table:
    """What came out, beside the bounds."""
    limits = bounds(recipe, concurrency)
    least = max(limits.critical_path, limits.spread)
    rows = [
        ("tasks", f"{len(recipe.tasks):,}", ""),
        ("edges", f"{sum(len(task.parents) for task in recipe.tasks):,}", ""),
        ("depth", f"{limits.depth:,}", "tasks on the longest chain"),
        ("attempts", f"{attempts:,}", f"{attempts - len(recipe.tasks):,} of them failed"),
        ("critical path", _time(limits.critical_path), "the tasks that wait for each other"),
        (
            "work / concurrency",
            _time(limits.spread),
            f"{_time(limits.work)} in {concurrency} places",
        ),
        (
            "makespan",
            _time(makespan),
            f"{makespan / least:.2f} times the longer of these" if least else "",
        ),
        ("Graham's bound", _time(limits.graham), "without failures, if no place idles with work"),
    ]
    table = Table(title=escape(recipe.name), title_justify="left", show_header=False, box=None)
    table.add_column(style="dim")
    table.add_column(justify="right")
    table.add_column(style="dim")
    for row in rows:
        table.add_row(*row, style="bold" if row[0] == "makespan" else None)
    return table


def main(arguments: list[str] | None = None) -> int:
    """Load, run, compare; 0, or 1 if a task failed for good, 2 for a bad file, 130 for Ctrl-C."""
    options = _parser().parse_args(arguments)
    try:
        recipe = load(options.file).scaled(options.scale).failing(options.fail, options.seed)
        with Bar(len(recipe.tasks), quiet=options.quiet) as bar:
            makespan, attempts = asyncio.run(run(recipe, options.concurrency, bar))
    except FormatError as error:
        print(error, file=sys.stderr)
        return 2
    except ps.RunFailed as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped by Ctrl-C before the end", file=sys.stderr)
        return 130
    Console().print(summary(recipe, options.concurrency, makespan, attempts))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Replay a recorded workflow (WfFormat 1.5).")
    add = parser.add_argument
    add("file", type=Path)
    add("--scale", type=_number(float, 0.0, 1e6), default=0.001, help="of the runtimes")
    add("--concurrency", type=_number(int, 1, 100_000), default=32, help="tasks at once")
    add("--fail", type=_number(float, 0.0, 0.9), default=0.0, help="probability of an attempt")
    add("--seed", type=int, default=1, help="of the failures")
    add("--quiet", action="store_true", help="show no progress")
    return parser


def _number(kind: type[float], least: float, most: float) -> Callable[[str], float]:
    def number(text: str) -> float:
        value = kind(text)
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{text} is not between {least:g} and {most:g}")
        return value

    return number


def _time(seconds: float) -> str:
    return f"{seconds:,.3f} s"


def _ids(*ids: str) -> list[str]:
    return list(ids)


def _label(text: str) -> str:
    """`text` as a part of a path; what penstock reserves, and "%", as in a URL, so none collide."""
    return "".join(
        quote(c, safe="") if c in "/[]%" or c.isspace() or not c.isprintable() else c for c in text
    )


if __name__ == "__main__":
    sys.exit(main())
