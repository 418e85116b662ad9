"""How long a command of another process takes to land: 100 ms is the target under full load.

    python benches/commands.py [--commands N] [--flight N] [--json]

The runtime has as many runs in flight as it is told, each a chain of five steps with a result on
disk before the next one starts. Another process leaves commands for a run that waits, one after the
other: `left` is until a command is on disk, `landed` until its outcome is.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import quantiles
from typing import TypeAlias

import penstock as ps
from penstock import _engine
from penstock._commands import Outcome
from penstock._stored import StoreView

Times: TypeAlias = dict[str, list[float]]
go = ps.Signal("go", str)


@ps.step(effects="pure")
async def work(text: str) -> str:
    return text


@ps.workflow
def chain(flow: ps.Flow, text: ps.Node[str]) -> ps.Node[str]:
    for _ in range(5):
        text = flow.call(work, text)
    return text


@ps.workflow
def target(flow: ps.Flow) -> ps.Node[str]:
    return flow.signal(go)


def command(store: Path, count: int) -> None:
    """Another process: leave commands, one after the other, and print the seconds they took."""
    view, times = StoreView(store), Times(left=[], landed=[])
    for number in range(count):
        begun = time.perf_counter()
        verb = "resume" if number % 2 else "pause"
        at = view.reader.command(f"bench {number}", "target", verb, "{}", "bench", time.time())
        times["left"].append(time.perf_counter() - begun)
        while (text := view.reader.outcome(at)) is None:
            time.sleep(0.001)
        times["landed"].append(time.perf_counter() - begun)
        if not Outcome.of_json(text).done:
            sys.exit(text)
        time.sleep(0.007)
    print(json.dumps(times))


async def measure(store: Path, count: int, flight: int) -> tuple[Times, float]:
    """The times, and the steps a second that the runtime did meanwhile."""
    async with ps.Runtime(store, workflows=[chain, target], grace=0.0) as rt:
        await rt.start(target, run_id="target")
        text, done, over = "x" * 200, 0, False

        async def keep_busy() -> None:
            nonlocal done
            while not over:
                await rt.run(chain, text)
                done += 5

        workers = [asyncio.create_task(keep_busy()) for _ in range(flight)]
        begun = time.perf_counter()
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, __file__, "--of", str(store), "--commands", str(count)),
            stdout=subprocess.PIPE,
        )
        told, _ = await process.communicate()
        rate = done / (time.perf_counter() - begun)
        over = True
        await asyncio.gather(*workers)
    if process.returncode != 0:
        sys.exit(f"the commanding process failed: {told.decode()}")
    times: Times = json.loads(told)
    return times, rate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--commands", type=int, default=200)
    parser.add_argument("--flight", type=int, default=1_000)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--of", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.of is not None:
        return command(options.of, options.commands)
    if _engine.BUILD_PROFILE != "release":
        sys.exit("build in release profile first: make build")
    results: dict[str, dict[str, float]] = {}
    for name, flight in (("under load", options.flight), ("idle", 0)):
        with tempfile.TemporaryDirectory() as folder:
            times, rate = asyncio.run(measure(Path(folder) / "s.db", options.commands, flight))
        row = results[name] = {"steps/s": round(rate)}
        for what, taken in times.items():
            cuts = quantiles(taken, n=100)
            for quantile, cut in (("p50", cuts[49]), ("p99", cuts[98]), ("max", max(taken))):
                row[f"{what} {quantile} ms"] = round(1e3 * cut, 1)
    if options.json:
        print(json.dumps(results, indent=2))
        return None
    for name, row in results.items():
        print(f"{name:<10}", *(f"{what} {value:g}" for what, value in row.items()), sep="  ")
    return None


if __name__ == "__main__":
    main()
