"""`python benches/limits.py`: what a queue costs on the dispatch path with everything it can have.

The same steps in no queue and in one that has a limit of each kind, none of which is ever reached:
what is measured is the asking. Says which targets are met, and fails where a ratio is above the
recorded one by more than the margin in each of the tries.
"""

import asyncio
import statistics
import sys
from collections.abc import Awaitable, Callable
from typing import Final

import uvloop

import penstock as ps
from control_flow import seconds
from table import refuse_debug_build, surroundings

STEPS, ITEMS, RUNS, IN_FLIGHT = 100, 1_000, 2_000, 256
ROUNDS, TRIES, MARGIN = 9, 3, 0.1
TARGET: Final = 1.15
RECORDED = {
    f"chain of {STEPS}": 1.22,
    f"fan-out of {ITEMS:,}": 1.25,
    f"runs of one step, {IN_FLIGHT} in flight": 1.02,
}

FULL = ps.Queue(
    "full",
    concurrency=100_000,
    capacity=1_000_000,
    rate_limit=(
        ps.RateLimit(1e8, burst=10_000_000),
        ps.RateLimit(1e8, burst=10_000_000, unit="tokens"),
    ),
    fairness=ps.Fairness(weights={"acme": 2.0}),
    retry_budget=ps.RetryBudget(),
    breaker=ps.Breaker(),
    shed=ps.CoDel(target=10.0, interval=20.0),
)


@ps.step
async def plain(x: int) -> int:
    return x + 1


@ps.step(queue=FULL, estimate=ps.Cost(tokens=1))
async def limited(x: int) -> int:
    return x + 1


def chain(step: ps.AsyncStep[[int], int], name: str) -> ps.Workflow[[int], int]:
    @ps.workflow(name=f"chain-{name}")
    def drawn(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        for _ in range(STEPS):
            x = flow.call(step, x)
        return x

    return drawn


def fan_out(step: ps.AsyncStep[[int], int], name: str) -> ps.Workflow[[int], int]:
    @ps.workflow(name=f"fan-{name}")
    def drawn(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        return flow.apply(len, flow.collect(*(flow.call(step, x) for _ in range(ITEMS))))

    return drawn


async def ratios() -> dict[str, float]:
    """The median ratios of a few rounds, both in turn."""
    steps = {"plain": plain, "limited": limited}
    chains = {name: chain(step, name) for name, step in steps.items()}
    fans = {name: fan_out(step, name) for name, step in steps.items()}
    rounds: list[dict[str, float]] = []
    async with ps.Runtime(concurrency=100_000) as rt:

        async def many(workflow: ps.Workflow[[int], int]) -> None:
            for first in range(0, RUNS, IN_FLIGHT):
                count = min(IN_FLIGHT, RUNS - first)
                await asyncio.gather(*(rt.run(workflow, x) for x in range(count)))

        def goes(name: str) -> dict[str, tuple[Callable[[], Awaitable[object]], int]]:
            single = steps[name].as_workflow(1)
            return {
                f"chain of {STEPS}": (lambda: rt.run(chains[name], 1), 200),
                f"fan-out of {ITEMS:,}": (lambda: rt.run(fans[name], 1), 20),
                f"runs of one step, {IN_FLIGHT} in flight": (lambda: many(single), 3),
            }

        plain_goes, limited_goes = goes("plain"), goes("limited")
        for _ in range(ROUNDS):
            found: dict[str, float] = {}
            for shape, (go, times) in plain_goes.items():
                without = await seconds(go, times)
                found[shape] = await seconds(limited_goes[shape][0], times) / without
            rounds.append(found)
    return {shape: statistics.median(it[shape] for it in rounds) for shape in rounds[0]}


def main() -> None:
    refuse_debug_build()
    print(surroundings(), end="\n\n")
    slow: dict[str, float] = {}
    for _ in range(TRIES):
        measured = uvloop.run(ratios())
        for shape, ratio in measured.items():
            met = "pass" if ratio <= TARGET else "MISS"
            print(f"{met}  {shape}: {ratio:.3f}x with all limits (target {TARGET}x)", flush=True)
        limits = {shape: ratio * (1 + MARGIN) for shape, ratio in RECORDED.items()}
        slow = {shape: ratio for shape, ratio in measured.items() if ratio > limits[shape]}
        if not slow:
            return
    sys.exit(f"A queue costs more than recorded by more than the margin: {slow}")


if __name__ == "__main__":
    main()
