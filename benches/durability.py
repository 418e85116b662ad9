"""`python benches/durability.py [--quick] [--seconds N]`: durable runs, beside the bare disk.

Throughput is compared with a loop in Rust (`rust/journal/examples/recorded.rs`) that writes the
very rows of the store again, in the same transactions, with the same tables, indexes and pragmas;
the latency of a step with bare commits on the same disk, taken in turn. Says which targets are met.
"""

import argparse
import asyncio
import gc
import itertools
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import uvloop

import penstock as ps
from penstock._durability import Durability
from table import refuse_debug_build, surroundings

ROOT = Path(__file__).parent.parent
RECORDED = ROOT / "target" / "release" / "examples" / "recorded"
IN_FLIGHT, TEXT, ROUNDS = 1_000, "x" * 200, 3
STEPS = 5
UNFINISHED = 100_000
MIB = 2**20


@ps.step(effects="idempotent")
async def pass_on(text: str) -> str:
    return text


@ps.workflow
def chain(flow: ps.Flow, text: ps.Node[str]) -> ps.Node[str]:
    for _ in range(STEPS):
        text = flow.call(pass_on, text)
    return text


GO = ps.Signal("go", str)


@ps.workflow
def waiting(flow: ps.Flow, text: ps.Node[str]) -> ps.Node[str]:
    """Five nodes, of which two have a result when the process ends."""
    text = flow.call(pass_on, flow.call(pass_on, text))
    return flow.call(pass_on, flow.call(pass_on, flow.signal(GO, after=text)))


async def load(rt: ps.Runtime, each: int, in_flight: int = IN_FLIGHT) -> None:
    """So many callers, each of which makes so many runs one after the other."""

    async def caller() -> None:
        for _ in range(each):
            await rt.run(chain, TEXT)

    async with asyncio.TaskGroup() as callers:
        for _ in range(in_flight):
            callers.create_task(caller())


async def throughput(store: Path, each: int, durability: Durability) -> float:
    """Seconds that the runs took; leaves the ends of the transactions beside the store."""
    async with ps.Runtime(store, workflows=[chain], durability=durability) as rt:
        await load(rt, 1)  # warms up, and fills the caches of statements
        await rt.join()
        rt._core.trace_commits()  # noqa: SLF001
        gc.collect()
        gc.freeze()
        begin = time.perf_counter()
        await load(rt, each)
        took = time.perf_counter() - begin
        gc.unfreeze()
        commits = rt._core.trace_commits()  # noqa: SLF001
    store.with_suffix(".commits").write_text("\n".join(map(str, commits)))
    return took


def steps_per_second(folder: Path, each: int) -> None:
    """Steps a second with a thousand runs in flight, beside a bare loop that writes the same."""
    rates: list[float] = []
    ratios: list[float] = []
    store = folder / "sync.db"
    sizes: list[float] = []
    for number in range(ROUNDS):
        store = folder / f"sync-{number}.db"
        took = uvloop.run(throughput(store, each, "sync"))
        commits, raw = store.with_suffix(".commits"), folder / f"raw-{number}.db"
        seconds, rows = recorded("batches", store, commits, raw).split()
        # The bare loop also writes what the warming up wrote, in one transaction less than a tenth.
        measured = (each + 1) / each
        rates.append(IN_FLIGHT * each * STEPS / took)
        ratios.append(float(seconds) / measured / took)
        sizes.append(int(rows) / max(1, len(commits.read_text().split())))
    ratio = statistics.median(ratios)
    told_target(
        ratio >= 0.5,
        f"durable steps, sync, {IN_FLIGHT:,} runs in flight: {statistics.median(rates):,.0f} a "
        f"second, {ratio:.2f}x of the same rows written by a bare loop (target 0.50x)",
    )
    told(f"{statistics.median(sizes):,.0f} records in a transaction")
    told(f"{store.stat().st_size / (IN_FLIGHT * (each + 1) * STEPS):,.0f} bytes of store a step")
    for durability in ("async", "exit"):
        took = uvloop.run(throughput(folder / f"{durability}.db", each, durability))
        rate = IN_FLIGHT * each * STEPS / took
        told(f"with durability={durability!r}: {rate:,.0f} steps a second")
    took = uvloop.run(in_memory(each))
    told(f"in memory: {IN_FLIGHT * each * STEPS / took:,.0f} steps a second")


async def in_memory(each: int) -> float:
    async with ps.Runtime(workflows=[chain]) as rt:
        await load(rt, 1)
        begin = time.perf_counter()
        await load(rt, each)
        return time.perf_counter() - begin


def latency(folder: Path, rounds: int) -> None:
    """The time from one step to the next at one run in flight, beside a bare commit."""
    began: list[float] = []
    times = 20

    @ps.step(effects="idempotent")
    async def note(text: str) -> str:
        began.append(time.perf_counter())
        return text

    @ps.workflow
    def long(flow: ps.Flow, text: ps.Node[str]) -> ps.Node[str]:
        for _ in range(times + 1):
            text = flow.call(note, text)
        return text

    steps: list[float] = []
    commits: list[float] = []

    async def measure() -> None:
        async with ps.Runtime(folder / "latency.db", workflows=[long]) as rt:
            for _ in range(rounds):
                began.clear()
                await rt.run(long, TEXT)
                steps.extend(b - a for a, b in itertools.pairwise(began))
                commits.extend(bare(times))

    with bare_commits(folder / "commits.db") as bare:
        uvloop.run(measure())
    step, commit = statistics.median(steps), statistics.median(commits)
    told_target(
        step <= 1.6 * commit,
        f"latency of a durable step, one in flight: p50 {1e6 * step:.0f} us, {step / commit:.2f}x "
        f"of a bare commit of {1e6 * commit:.0f} us (target 1.60x)",
    )


@contextmanager
def bare_commits(store: Path) -> Generator["Bare"]:
    """A process that commits when it is told to."""
    command = [str(RECORDED), "commits", str(store)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    ) as process:
        yield Bare(process)
        assert process.stdin is not None
        process.stdin.close()


class Bare:
    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def __call__(self, count: int) -> list[float]:
        """Seconds that each of so many commits of one row took."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{count}\n")
        self._process.stdin.flush()
        return [int(word) / 1e9 for word in self._process.stdout.readline().split()]


def recovery(folder: Path, runs: int) -> None:
    """Opening a store with so many unfinished runs."""
    store = folder / "unfinished.db"
    child("--fill", str(store), str(runs))
    seconds, least, final, most = map(float, child("--open", str(store), str(runs)).split())
    told_target(
        seconds <= 5.0 * runs / UNFINISHED,
        f"recovery of {runs:,} unfinished five-node runs: {seconds:.2f} s "
        f"(target {5.0 * runs / UNFINISHED:.1f} s)",
    )
    told_target(
        most <= final + 64,
        f"memory meanwhile: at most {most:,.0f} MiB, {final:,.0f} MiB when open, {least:,.0f} MiB "
        f"before (target {final:,.0f} + 64 MiB)",
    )


async def fill(store: Path, runs: int) -> None:
    """Leave so many runs behind that wait for a signal."""
    async with ps.Runtime(store, workflows=[waiting], durability="async") as rt:
        left = runs
        while left > 0:
            batch = await rt.start_many(waiting, [TEXT] * min(left, 5_000))
            left -= len(batch)
            while not await batch[-1].awaiting():  # noqa: ASYNC110  # it is the last
                await asyncio.sleep(0.01)


async def reopen(store: Path, runs: int) -> None:
    """Open a store, and print what that took."""
    before = memory("VmRSS")
    begin = time.perf_counter()
    async with ps.Runtime(store, workflows=[waiting]) as rt:
        took = time.perf_counter() - begin
        assert rt.stats().runs == runs, rt.stats().runs
        most = memory("VmHWM")
        gc.collect()
        print(took, before, memory("VmRSS"), most, flush=True)
        os._exit(0)


def memory(what: str) -> float:
    """MiB of this process, by a line of /proc."""
    status = Path("/proc/self/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith(what))
    return int(line.split()[1]) / 1024


def log_size(folder: Path, seconds: float) -> None:
    """How long the write-ahead log becomes under full load."""
    store = folder / "load.db"
    log, most, over = Path(f"{store}-wal"), [0], threading.Event()

    def watch() -> None:
        while not over.wait(0.01):
            if log.exists():
                most[0] = max(most[0], log.stat().st_size)

    watcher = threading.Thread(target=watch)
    watcher.start()

    async def go() -> int:
        runs = 0
        async with ps.Runtime(store, workflows=[chain]) as rt:
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                await load(rt, 5)
                runs += 5 * IN_FLIGHT
        return runs

    try:
        runs = uvloop.run(go())
    finally:
        over.set()
        watcher.join()
    told_target(
        most[0] <= 256 * MIB,
        f"write-ahead log during {seconds:.0f} s of full load ({runs * STEPS:,} steps, "
        f"{store.stat().st_size / MIB:,.0f} MiB of store): at most {most[0] / MIB:.0f} MiB "
        "(target 256 MiB)",
    )


def recorded(*arguments: str | Path) -> str:
    """What the bare loop says."""
    ran = subprocess.run([RECORDED, *arguments], check=True, stdout=subprocess.PIPE, text=True)
    return ran.stdout


def child(*arguments: str) -> str:
    """What this program says in a process of its own."""
    command = [sys.executable, __file__, *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def told_target(met: bool, what: str) -> None:  # noqa: FBT001
    print(f"{'pass' if met else 'MISS'}  {what}", flush=True)


def told(what: str) -> None:
    print(f"      {what}", flush=True)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--quick", action="store_true", help="a tenth of everything")
    arguments.add_argument("--seconds", type=float, default=60.0, help="of full load (60)")
    arguments.add_argument("--only", help="one of: steps, latency, recovery, log")
    arguments.add_argument("--fill", nargs=2, help=argparse.SUPPRESS)
    arguments.add_argument("--open", nargs=2, help=argparse.SUPPRESS)
    options = arguments.parse_args()
    if options.fill:
        uvloop.run(fill(Path(options.fill[0]), int(options.fill[1])))
        return
    if options.open:
        uvloop.run(reopen(Path(options.open[0]), int(options.open[1])))
        return
    refuse_debug_build()
    print(surroundings(), end="\n\n")
    share = 10 if options.quick else 1
    with tempfile.TemporaryDirectory(prefix="penstock-bench-", dir=ROOT / "target") as name:
        folder = Path(name)
        parts: dict[str, Callable[[], None]] = {
            "steps": lambda: steps_per_second(folder, 20 // share),
            "latency": lambda: latency(folder, 200 // share),
            "recovery": lambda: recovery(folder, UNFINISHED // share),
            "log": lambda: log_size(folder, options.seconds / share),
        }
        for part, measure in parts.items():
            if options.only in (None, part):
                measure()


if __name__ == "__main__":
    main()
