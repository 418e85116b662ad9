"""`python benches/load.py --rate 2000 --seconds 10`: latency under an open-loop load.

Runs are started when they are meant to be, at random times, whether or not those before have
ended, and each latency counts from the *intended* start. So a stall of the service shows in all
that should have started meanwhile. A closed loop, which starts the next run when one has ended,
hides it: that is coordinated omission (Tene). Both are shown, `--stall` puts a stall in.
"""

import argparse
import asyncio
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import penstock as ps

WORKERS = 16  # of the closed loop


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """How runs arrive.

    Attributes:
        rate: starts per second.
        seconds: for how long.
        stall: seconds for which the loop is blocked, in the middle.
        seed: of the arrival times.
        block: what blocks it.
    """

    rate: float
    seconds: float
    stall: float = 0.0
    seed: int = 1
    block: Callable[[float], object] = time.sleep

    def arrivals(self) -> Iterator[float]:
        """The intended starts, in seconds from the beginning: a Poisson process."""
        dice = random.Random(self.seed)
        at = dice.expovariate(self.rate)
        while at < self.seconds:
            yield at
            at += dice.expovariate(self.rate)


@ps.step
async def call(x: int) -> int:
    await asyncio.sleep(0.002)
    return x


async def open_loop(rt: ps.Runtime, stage: ps.AsyncStep[[int], int], load: Load) -> list[float]:
    """The latencies of all runs from their intended starts, in seconds."""
    loop = asyncio.get_running_loop()
    latencies: list[float] = []

    async def follow(run: ps.Run[int], intended: float) -> None:
        await run.result()
        latencies.append(loop.time() - intended)

    begin = loop.time()
    stall = asyncio.ensure_future(_stall(load))
    async with asyncio.TaskGroup() as group:
        for number, at in enumerate(load.arrivals()):
            if begin + at > loop.time():
                await asyncio.sleep(begin + at - loop.time())
            run = await rt.start(stage, number)
            group.create_task(follow(run, begin + at))
    await stall
    return latencies


async def closed_loop(rt: ps.Runtime, stage: ps.AsyncStep[[int], int], load: Load) -> list[float]:
    """The latencies that workers see who start the next run when one has ended: for comparison."""
    loop = asyncio.get_running_loop()
    latencies: list[float] = []
    until = loop.time() + load.seconds

    async def work() -> None:
        while loop.time() < until:
            begin = loop.time()
            await rt.run(stage, 1)
            latencies.append(loop.time() - begin)

    stall = asyncio.ensure_future(_stall(load))
    await asyncio.gather(*(work() for _ in range(WORKERS)))
    await stall
    return latencies


async def _stall(load: Load) -> None:
    """Block the loop, as a step would that computes instead of waiting."""
    await asyncio.sleep(load.seconds / 2)
    load.block(load.stall)


def quantile(values: Sequence[float], share: float) -> float:
    """The value that a share of all is not above; 0 of none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


async def compare(load: Load) -> dict[str, list[float]]:
    """The latencies of both loops, one after the other."""
    async with ps.Runtime() as rt:
        opened = await open_loop(rt, call, load)
    async with ps.Runtime() as rt:
        closed = await closed_loop(rt, call, load)
    return {"open loop": opened, "closed loop": closed}


def main() -> None:
    parser = argparse.ArgumentParser(description="Latency under an open-loop load.")
    parser.add_argument("--rate", type=float, default=2_000.0, help="starts per second")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--stall", type=float, default=0.0, help="seconds to block the loop for")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    load = Load(**vars(options))
    print(f"{'':12} {'runs':>7} {'p50':>9} {'p95':>9} {'p99':>9} {'longest':>9}   ms")
    for name, latencies in asyncio.run(compare(load)).items():
        shares = [quantile(latencies, share) * 1_000 for share in (0.5, 0.95, 0.99, 1.0)]
        told = " ".join(f"{share:>9.2f}" for share in shares)
        print(f"{name:12} {len(latencies):>7,} {told}")


if __name__ == "__main__":
    main()
