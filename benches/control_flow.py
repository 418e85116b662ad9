"""`python benches/control_flow.py`: what control flow costs on the dispatch path.

A node that only decides, joins or passes on is compared with one bare task of the same run, the
items of a map with `asyncio.gather` of as many tasks. Says which targets are met, and fails where a
ratio is above the recorded one by more than the margin in each of the tries.
"""

import asyncio
import gc
import statistics
import sys
import time
from collections.abc import Awaitable, Callable

import uvloop

import penstock as ps
from table import refuse_debug_build, surroundings

NODES, ITEMS = 100, 1_000
ROUNDS, TRIES, MARGIN = 7, 3, 0.25
MARGIN_3_11 = 1.5  # as for the other shapes: no eager tasks
TARGETS = {
    # 0.5 microseconds a node, where a bare task takes 2.7.
    "switch, case, merge": 0.185,
    "apply": 0.185,
    f"map of {ITEMS:,} items": 0.2,
}
RECORDED = {"switch, case, merge": 0.085, "apply": 0.105, f"map of {ITEMS:,} items": 0.22}


@ps.step
async def one(x: int) -> int:
    return x + 1


def even(x: int) -> bool:
    return x % 2 == 0


def inc(x: int) -> int:
    return x + 1


@ps.workflow
def switches(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
    for _ in range(NODES):
        case = flow.switch(x, key=even)
        x = flow.merge(case[True], case[False])
    return x


@ps.workflow
def applies(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
    for _ in range(NODES):
        x = flow.apply(inc, x)
    return x


@ps.workflow
def bare(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
    return flow.apply(inc, x)


@ps.workflow
def mapped(flow: ps.Flow, xs: ps.Node[list[int]]) -> ps.Node[list[int]]:
    return flow.map(one, xs)


async def seconds(go: Callable[[], Awaitable[object]], times: int) -> float:
    """Of one go, from a collected and frozen heap, as the shapes are timed."""
    gc.collect()
    gc.freeze()
    begin = time.perf_counter()
    for _ in range(times):
        await go()
    taken = time.perf_counter() - begin
    gc.unfreeze()
    return taken / times


async def ratios() -> dict[str, float]:
    """The median ratios of a few rounds, every contender in turn."""
    xs = list(range(ITEMS))
    loop = asyncio.get_running_loop()

    async def tasks() -> None:
        for x in xs:
            await loop.create_task(one.function(x))

    async def gather() -> None:
        await asyncio.gather(*[one.function(x) for x in xs])

    rounds: list[dict[str, float]] = []
    async with ps.Runtime() as rt:
        for _ in range(ROUNDS):
            task = await seconds(tasks, 10) / ITEMS
            alone = await seconds(lambda: rt.run(bare, 1), 200)
            switch = await seconds(lambda: rt.run(switches, 1), 30)
            apply = await seconds(lambda: rt.run(applies, 1), 30)
            begin = time.perf_counter()
            for _ in range(10_000):
                even(1)
            call = (time.perf_counter() - begin) / 10_000
            found = [
                # A switch, two cases and a merge, one of the cases skipped, beyond the predicate.
                ((switch - alone) / NODES - call) / 4 / task,
                ((apply - alone) / NODES - call) / task,
                await seconds(lambda: rt.run(mapped, xs), 50) / await seconds(gather, 20),
            ]
            rounds.append(dict(zip(TARGETS, found, strict=True)))
    return {name: statistics.median(found[name] for found in rounds) for name in TARGETS}


def main() -> None:
    refuse_debug_build()
    print(surroundings(), end="\n\n")
    wider = MARGIN_3_11 if sys.version_info < (3, 12) else 1.0
    slow: dict[str, float] = {}
    for _ in range(TRIES):
        measured = uvloop.run(ratios())
        for name, ratio in measured.items():
            target = TARGETS[name] * wider
            base = "gather" if name.startswith("map") else "a bare task"
            met = "pass" if ratio <= target else "MISS"
            print(f"{met}  {name}: {ratio:.3f}x of {base} (target {target:.3f}x)", flush=True)
        limits = {name: ratio * wider * (1 + MARGIN) for name, ratio in RECORDED.items()}
        slow = {name: ratio for name, ratio in measured.items() if ratio > limits[name]}
        if not slow:
            return
    sys.exit(f"Control flow is slower than recorded by more than the margin: {slow}")


if __name__ == "__main__":
    main()
