"""`python -m durable.crash [--kills N] [--seed N]`: a service that is killed again and again.

A process serves runs of a mix of workflows out of one store. It is killed with SIGKILL: at random
moments from outside, or by its own hand at a chosen point, such as between an effect and its
record. It is started again until everything has ended, and then the log that the steps have left
outside is held against the store. The seed chooses the runs and the moments; what a moment hits is
up to the machine.
"""

from __future__ import annotations

import argparse
import asyncio
import faulthandler
import json
import os
import random
import shutil
import signal
import sqlite3
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from durable.crash.log import Line, Log
from durable.crash.verdict import Verdict
from durable.crash.worker import Known, audit, run
from durable.crash.workload import WORLD

POINTS = {
    "before an effect": 30,
    "after an effect": 30,
    "after a payment": 2,
    "before a start": 8,
    "after a start": 8,
    "after a signal": 2,
    "after an end": 10,
}
"""Where a process may kill itself, and at which call of it at the latest."""

STUCK = 60.0
"""Seconds after which a process that nobody kills has hung."""


@dataclass
class Ordeal:
    """The service's whole story.

    Attributes:
        folder: with the store and the log.
        seed: of the choices.
        kills: how many there are to be.
        runs: how many runs are started while there are kills.
        births: when each process was started.
        killed: how often one was.
        failures: what went wrong with the processes themselves.
    """

    folder: Path
    seed: int
    kills: int
    runs: int
    births: list[float] = field(default_factory=list[float])
    killed: int = 0
    failures: list[str] = field(default_factory=list[str])

    def __post_init__(self) -> None:
        self.dice = random.Random(self.seed)
        self.log = Log(self.folder / "log")
        self.known = Known()
        self.lines: list[Line] = []

    @property
    def store(self) -> Path:
        """Where the runs are."""
        return self.folder / "store.db"

    def endure(self, progress: Callable[[int], None]) -> None:
        """Live until there were enough kills, and then once more until everything is done."""
        while self.killed < self.kills and not self.failures:
            # A share of the runs for each kill, and what an earlier life has not come to.
            due = round(self.runs * (self.killed + 1) / self.kills)
            new = [number for number in range(due) if number not in self.known.asked]
            self._live(new, last=False)
            progress(self.killed)
        if not self.failures:
            self._live([], last=True)
        progress(self.killed)

    def _live(self, new: list[int], *, last: bool) -> None:
        dice, life = self.dice, len(self.births)
        seed = dice.randrange(2**32)
        how = dice.random()
        points: dict[str, int] = {}
        after_fork, after_open = 2.0, 2.0
        if how < 0.2:
            after_fork = dice.uniform(0.0, 0.12)
        elif how < 0.6:
            after_open = dice.expovariate(1 / 0.2)
        else:
            point = dice.choice(list(POINTS))
            points = {point: dice.randrange(POINTS[point])}
        self.births.append(time.time())
        pid = os.fork()
        if pid == 0:
            self.log.life = life
            WORLD.points = {} if last else points
            self._child(lambda: run(self.store, self.log, self.known, seed, new))
        until = time.monotonic() + (STUCK if last else after_fork)
        status = None
        while status is None:
            if time.monotonic() > until:
                os.kill(pid, signal.SIGKILL)
                if last:
                    self.failures.append(f"the last process has hung: see {self.folder}")
            ended, code = os.waitpid(pid, os.WNOHANG)
            status = code if ended else None
            if self._read() and not last and how >= 0.2:
                until = time.monotonic() + after_open
            time.sleep(0.001)
        self._read()
        if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
            self.killed += 1
        elif status != 0:
            self.failures.append(f"process {life} failed: {os.waitstatus_to_exitcode(status)}")

    def _read(self) -> bool:
        """Take in what the log says; whether a process has opened the store."""
        news = list(self.log.news())
        self.lines += news
        self.known.take(news)
        return any(line.what == "open" for line in news)

    def _child(self, work: Callable[[], None]) -> None:
        code = 1
        try:
            faulthandler.dump_traceback_later(STUCK - 5.0)
            work()
            code = 0
        except BaseException:  # told in the output, and by the exit code
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def judge(self) -> Verdict:
        """The verdict, by what a new process finds in the store."""
        answer = self.folder / "found.json"

        def ask() -> None:
            found = asyncio.run(audit(self.store, sorted(self.known.asked)))
            answer.write_text(json.dumps(found), "utf-8")

        pid = os.fork()
        if pid == 0:
            self._child(ask)
        if os.waitpid(pid, 0)[1] != 0:
            self.failures.append("the store can't be read in the end")
            return Verdict(self.lines, {}, self.births)
        # No runtime is open any more, so that another copy of SQLite may look.
        with closing(sqlite3.connect(self.store)) as connection:
            said = connection.execute("PRAGMA integrity_check").fetchall()
        if said != [("ok",)]:
            self.failures.append(f"SQLite finds the store damaged: {said[:3]}")
        return Verdict(self.lines, json.loads(answer.read_text("utf-8")), self.births)


def told(ordeal: Ordeal, verdict: Verdict, seconds: float) -> str:
    """The summary."""
    it = verdict.figures()
    lost, kept = it.unacknowledged
    median, most = it.opening
    return "\n".join(
        (
            (
                f"{ordeal.killed:,} kills in {len(ordeal.births):,} lives, {seconds:.0f} s, "
                f"seed {ordeal.seed}"
            ),
            (
                f"{it.runs:,} runs ended exactly once; {it.steps:,} results on record, none of "
                "which was computed again"
            ),
            (
                f"{it.executions:,} executions of {it.keys:,} idempotency keys; {it.again:,} of "
                "them repeat an attempt that a kill cut off"
            ),
            f"{it.unknown:,} outcomes of effects='once' were found out; none happened twice",
            f"{lost:,} starts were cut off and not repeated: {kept:,} of these were accepted",
            (
                f"from a process's start to its runs going on: {1e3 * median:.0f} ms, at most "
                f"{1e3 * most:.0f} ms"
            ),
        )
    )


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--kills", type=int, default=200, help="how many (200)")
    arguments.add_argument("--runs", type=int, help="runs in all (10 for each kill)")
    arguments.add_argument("--seed", type=int, help="of the runs and the moments")
    options = arguments.parse_args()
    seed = random.randrange(10**9) if options.seed is None else options.seed
    runs = options.runs or 10 * options.kills
    folder = Path(tempfile.mkdtemp(prefix="penstock-crash-"))
    ordeal = Ordeal(folder, seed, options.kills, runs)
    print(f"seed {seed}", flush=True)
    began = time.monotonic()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeRemainingColumn(), auto_refresh=False) as bar:
        task = bar.add_task("kills", total=options.kills)

        def progress(killed: int) -> None:
            bar.update(task, completed=killed)
            if bar.console.is_terminal:
                bar.refresh()

        ordeal.endure(progress)
    verdict = ordeal.judge()
    problems = ordeal.failures + verdict.problems()
    if not problems:
        print(told(ordeal, verdict, time.monotonic() - began))
        shutil.rmtree(folder)
        return 0
    print(*problems[:20], sep="\n")
    print(f"{len(problems):,} promises broken, {ordeal.killed:,} kills, seed {seed}")
    print(f"what is left: {folder}")
    print(f"again: make chaos ARGS='--kills={options.kills} --runs={runs} --seed={seed}'")
    return 1


if __name__ == "__main__":
    sys.exit(main())
