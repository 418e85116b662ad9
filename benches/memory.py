"""`python benches/memory.py [--quick]`: what a waiting run takes, beside a sleeping task.

A figure is the slope of resident memory between 100,000 and 1,000,000 waiting runs, each measured
in a process of its own. The run is a graph of five nodes whose first waits for a retry that is far
away: default run ids, no tags, no live handle, one context for all, and `None` as input.

A stored run waits for a signal in a runtime with a store. It was given a kilobyte, and a step of it
has given another; both are in the store only by the time that is measured.
"""

import argparse
import asyncio
import gc
import os
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import uvloop

import penstock as ps
from table import refuse_debug_build, surroundings

FEW, MANY, BATCH = 100_000, 1_000_000, 10_000
SETTLING = 0.1
COOLED = 2.5  # a run is let go of after a second, and looked for once a second
FAR = 7 * 24 * 3600.0
TARGET = 512


class UnavailableError(Exception):
    """What the first step always raises."""


class Waiting:
    """Penstock runs that wait for their retry."""

    def __init__(self) -> None:
        self._failed = 0
        self._goal = 0
        self._all_failed = asyncio.Event()
        far = ps.RetryPolicy(max_attempts=2, initial_interval=FAR, max_interval=FAR, jitter="none")

        @ps.step(effects="pure", retry=far)
        async def fail(_: None) -> None:
            self._failed += 1
            if self._failed == self._goal:
                self._all_failed.set()
            raise UnavailableError

        @ps.step(effects="pure")
        async def one(_: None) -> None: ...

        @ps.step(effects="pure")
        async def two(_: None, __: None) -> None: ...

        @ps.workflow
        def diamond(flow: ps.Flow, x: ps.Node[None]) -> ps.Node[None]:
            a = flow.call(fail, x)
            b, c = flow.call(one, a), flow.call(one, a)
            return flow.call(one, flow.call(two, b, c))

        self._diamond = diamond
        self._runtime = ps.Runtime(workflows=[diamond])

    async def grow(self, count: int) -> None:
        """Start so many more runs, and wait until each of them waits."""
        if not self._goal:
            await self._runtime.__aenter__()
        self._goal += count
        self._all_failed.clear()
        for _ in range(0, count, BATCH):
            await self._runtime.start_many(self._diamond, [None] * BATCH)
        await self._all_failed.wait()
        await asyncio.sleep(SETTLING)


class Stored:
    """Penstock runs in a store that wait for a signal, with values that they will need."""

    def __init__(self) -> None:
        @ps.step(effects="pure")
        async def echo(text: str) -> str:
            return text[::-1]

        @ps.step(effects="pure")
        async def join(text: str, other: str, by: str) -> str:
            return text + other + by

        @ps.workflow
        def letter(flow: ps.Flow, text: ps.Node[str]) -> ps.Node[str]:
            other = flow.call(echo, text)
            by = flow.signal(ps.Signal("approval", str), after=other)
            return flow.call(join, text, other, by)

        self._letter = letter
        self._folder = tempfile.TemporaryDirectory()
        self._runtime = ps.Runtime(Path(self._folder.name) / "a.db", workflows=[letter])
        self._count = 0

    async def grow(self, count: int) -> None:
        """Start so many more runs, and wait until each waits and has been let go of."""
        if not self._count:
            await self._runtime.__aenter__()
        for start in range(0, count, BATCH):
            texts = [f"{start + number:01024}" for number in range(BATCH)]
            await self._runtime.start_many(self._letter, texts)
            self._count += BATCH
            while self._runtime.stats().steps["echo"].succeeded < self._count:  # noqa: ASYNC110
                await asyncio.sleep(SETTLING)
            # Runs come over time: what one lets go of, the next takes.
            await asyncio.sleep(COOLED)

    def leave(self) -> None:
        """Remove the store."""
        self._folder.cleanup()


class Sleeping:
    """Tasks that sleep."""

    def __init__(self) -> None:
        self._tasks: list[asyncio.Task[None]] = []

    async def grow(self, count: int) -> None:
        """Start so many more tasks, and wait until each of them sleeps."""
        loop = asyncio.get_running_loop()
        self._tasks += [loop.create_task(asyncio.sleep(FAR)) for _ in range(count)]
        await asyncio.sleep(SETTLING)


MEASURED: dict[str, type[Waiting | Stored | Sleeping]] = {
    "waiting": Waiting,
    "stored": Stored,
    "sleeping": Sleeping,
}


async def slope(grow: Callable[[int], Awaitable[None]], few: int, many: int) -> float:
    """Bytes of resident memory for each thing between `few` and `many`."""
    await grow(few)
    before = resident()
    await grow(many - few)
    return (resident() - before) / (many - few)


def resident() -> int:
    """Resident bytes of this process, after a collection."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def child(what: str, few: int, many: int) -> None:
    """Measure in this process, and leave without winding up a million runs."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        subject = MEASURED[what]()
        print(runner.run(slope(subject.grow, few, many)), flush=True)
        if isinstance(subject, Stored):
            subject.leave()
        os._exit(0)


def measured(what: str, few: int, many: int) -> float:
    """The slope of `what`, from a process of its own."""
    command = [sys.executable, __file__, "--child", what, str(few), str(many)]
    return float(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--quick", action="store_true", help="a tenth of the runs")
    arguments.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    options = arguments.parse_args()
    if not Path("/proc/self/statm").exists():
        sys.exit("Resident memory is read from /proc, which only Linux has: measure there.")
    if options.child:
        what, few, many = options.child
        child(what, int(few), int(many))
    refuse_debug_build()
    print(surroundings(), end="\n\n")
    few, many = (FEW // 10, MANY // 10) if options.quick else (FEW, MANY)
    run, task = measured("waiting", few, many), measured("sleeping", few, many)
    met = "pass" if run <= TARGET else "MISS"
    print(f"{met}  a waiting run takes {run:.0f} bytes (target {TARGET})")
    stored = measured("stored", few, many)
    print(f"      a run that waits in a store, with 2 KiB of values, takes {stored:.0f} bytes")
    print(f"      an asyncio.sleep task takes {task:.0f} bytes, {task / run:.1f}x as much")


if __name__ == "__main__":
    main()
