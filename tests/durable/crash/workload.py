"""The workflows of a crash test: each construct that has to survive, with effects outside.

A step appends a line for each execution of it to the log. What a run must give is known beforehand
by its number. Runs keep to different modes of durability.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import penstock as ps
from durable.crash.log import Log
from penstock._durability import Durability

LONG = ps.RetryPolicy(max_attempts=4, initial_interval=0.06, max_interval=0.06, jitter="none")
NAP = 0.7
APPROVAL = ps.Signal("approval", str)


class World:
    """Where effects go, and where this process is to end by its own hand.

    Attributes:
        log: of effects.
        points: at which call of a point the process kills itself, by the name of the point.
    """

    def __init__(self) -> None:
        self.log: Log
        self.points: dict[str, int] = {}
        self.dice = random.Random()

    def effect(self, ctx: ps.Context) -> None:
        """Something happens outside, once for each call."""
        self.point("before an effect")
        self.log.write("effect", key=ctx.idempotency_key, run=ctx.run_id, attempt=ctx.attempt)
        self.point("after an effect")

    def point(self, name: str) -> None:
        """A place where a process may go down."""
        if (left := self.points.get(name)) is not None:
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            self.points[name] = left - 1

    async def work(self) -> None:
        """Take no time, a turn of the loop, or a few milliseconds."""
        match self.dice.randrange(4):
            case 0:
                await asyncio.sleep(0)
            case 1:
                await asyncio.sleep(self.dice.uniform(0.0, 0.01))
            case _:
                pass


WORLD: Final = World()


@ps.step(effects="idempotent")
async def add(x: int, ctx: ps.Context) -> int:
    WORLD.effect(ctx)
    await WORLD.work()
    return x + 1


@ps.step(effects="idempotent")
def add_in_thread(x: int, ctx: ps.Context) -> int:
    WORLD.effect(ctx)
    return x + 1


@ps.step(effects="idempotent")
async def total(xs: list[int], ctx: ps.Context) -> int:
    WORLD.effect(ctx)
    await WORLD.work()
    return sum(xs)


PROVIDER = ps.Queue(
    "provider",
    concurrency=64,
    rate_limit=ps.RateLimit(5_000),
    fairness=ps.Fairness(),
    # Some retries are parked, and all are after a kill: a budget starts empty then.
    retry_budget=ps.RetryBudget(ratio=0.5, floor=100.0, stored=5.0, window=1.0),
)


@ps.step(effects="idempotent", retry=LONG, queue=PROVIDER)
async def flaky(x: int, ctx: ps.Context) -> int:
    WORLD.effect(ctx)
    await WORLD.work()
    if ctx.attempt < 3:
        raise TimeoutError(f"attempt {ctx.attempt}")
    return x + 1


@ps.step(effects="idempotent")
async def combine(x: int, word: str, ctx: ps.Context) -> str:
    WORLD.effect(ctx)
    return f"{x} {word}"


@ps.step(effects="idempotent", retry=LONG)
async def refund(x: int, charged: int | None, ctx: ps.Context) -> None:
    WORLD.effect(ctx)
    await WORLD.work()


@ps.step(effects="idempotent", compensate=refund)
async def charge(x: int, ctx: ps.Context) -> int:
    WORLD.effect(ctx)
    await WORLD.work()
    return x + 1


@ps.step(effects="idempotent")
async def refuse(x: int, ctx: ps.Context) -> int:
    WORLD.effect(ctx)
    await WORLD.work()
    raise ps.NonRetryable("no")


@ps.step(effects="once")
async def pay(x: int, ctx: ps.Context) -> int:
    WORLD.effect(ctx)
    WORLD.point("after a payment")
    await asyncio.sleep(WORLD.dice.uniform(0.0, 0.03))
    return x + 1


def numbers(x: int) -> list[int]:
    return [x + i for i in range(5)]


def is_even(x: int) -> bool:
    return x % 2 == 0


def large(x: int) -> bool:
    return x % 10 >= 4


@ps.workflow
def chain(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
    for number in range(5):
        x = flow.call(add, x, name=f"n{number}")
    return x


@ps.workflow
def parallel(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
    first = flow.call(add, x)
    branches = [flow.call(add, first) for _ in range(3)]
    branches.append(flow.call(add_in_thread, first))
    return flow.call(total, flow.collect(*branches))


@ps.workflow
def mapped(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
    return flow.call(total, flow.map(add, flow.apply(numbers, x), concurrency=3))


@ps.workflow
def looped(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
    return flow.call(add, flow.loop(add, x, until=large, max_iterations=9))


@ps.workflow
def napping(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
    return flow.call(add, flow.sleep(flow.call(add, x, name="n0"), NAP), name="n1")


@ps.workflow
def retried(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
    return flow.call(add, flow.call(flaky, x))


@ps.workflow
def approved(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[str]:
    first = flow.call(add, x)
    return flow.call(combine, first, flow.signal(APPROVAL, after=first))


@ps.workflow
def undone(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
    return flow.call(refuse, flow.call(charge, flow.call(charge, x)))


@ps.workflow
def child(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
    return flow.call(add, flow.call(add, x))


@ps.workflow
def spawning(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[str]:
    return flow.spawn(child, flow.call(add, x))


@ps.workflow
def paying(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
    return flow.call(add, flow.call(pay, flow.call(add, x, name="n0"), name="n1"), name="n2")


@ps.workflow
def chosen(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
    case = flow.switch(flow.call(add, x), key=is_even)
    even = flow.call(add, case[True])
    odd = flow.race(flow.call(add, case[False]), flow.call(add, case[False]))
    return flow.merge(even, odd)


class Kind(NamedTuple):
    """A workflow of the mix.

    Attributes:
        workflow: it.
        gives: what a run of a number gives; None if it is undone.
        chain: paths of steps of which each depends on the one before.
        may_exit: whether it may run with nothing kept in between.
    """

    workflow: ps.Workflow[[int], Any]
    gives: Callable[[int], object]
    chain: Sequence[str] = ()
    may_exit: bool = False


def _looped(x: int) -> int:
    x += 1
    while not large(x):
        x += 1
    return x + 1


KINDS: Final[dict[str, Kind]] = {
    "chain": Kind(chain, lambda x: x + 5, [f"chain/n{i}" for i in range(5)], may_exit=True),
    "parallel": Kind(parallel, lambda x: 4 * (x + 2), may_exit=True),
    "mapped": Kind(mapped, lambda x: sum(numbers(x)) + 5, may_exit=True),
    "looped": Kind(looped, _looped, may_exit=True),
    "napping": Kind(napping, lambda x: x + 2, ["napping/n0", "napping/n1"]),
    "retried": Kind(retried, lambda x: x + 2, ["retried/flaky", "retried/add"]),
    "approved": Kind(approved, lambda x: f"{x + 1} yes {x}", ["approved/add", "approved/combine"]),
    "undone": Kind(undone, lambda _: None, ["undone/charge", "undone/charge-2", "undone/refuse"]),
    "spawning": Kind(spawning, lambda x: f"spawning-{x}/child"),
    "paying": Kind(paying, lambda x: x + 3, [f"paying/n{i}" for i in range(3)]),
    "chosen": Kind(chosen, lambda x: x + 2, may_exit=True),
}
"""The mix, by the name of the workflow."""


def kind_of(number: int) -> str:
    """Of which workflow a run is."""
    return list(KINDS)[number % len(KINDS)]


def run_id_of(number: int) -> str:
    """Its id."""
    return f"{kind_of(number)}-{number}"


def durability_of(number: int) -> Durability:
    """Its mode: six in ten sync, three async, one exit if its workflow allows that."""
    digit = number // len(KINDS) % 10
    if digit == 9 and KINDS[kind_of(number)].may_exit:
        return "exit"
    return "sync" if digit < 6 else "async"
