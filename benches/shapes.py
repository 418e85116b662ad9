"""The shapes that are measured: as layers of steps, and as the plain coroutines they stand for.

Every contender runs the very same step functions. `Layer`s are what the engines draw their graph
from: each step of a layer takes the values of the whole layer before it. `plain` is what one would
write without any engine, with one task per step.
"""

import asyncio
import itertools
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

Step: TypeAlias = Callable[..., Coroutine[Any, Any, int]]
Spawn: TypeAlias = Callable[[Coroutine[Any, Any, int]], Awaitable[int]]
Plain: TypeAlias = Callable[[Spawn, int], Awaitable[int]]
Suspending = Literal["none", "tenth", "all"]


class UnavailableError(Exception):
    """The dependency is down: what a step that is to be retried raises."""


@dataclass(frozen=True, slots=True)
class Steps:
    """The step functions of a shape."""

    one: Step
    two: Step
    total: Step


async def one(x: int) -> int:
    return x + 1


async def two(x: int, y: int) -> int:
    return x + y


async def total(*parts: int) -> int:
    return sum(parts)


def pausing(every: int) -> Steps:
    """The same steps, but each `every`th call waits for one turn of the loop."""
    pauses = itertools.cycle([True] + [False] * (every - 1))

    async def one(x: int) -> int:
        if next(pauses):
            await asyncio.sleep(0)
        return x + 1

    async def two(x: int, y: int) -> int:
        if next(pauses):
            await asyncio.sleep(0)
        return x + y

    async def total(*parts: int) -> int:
        if next(pauses):
            await asyncio.sleep(0)
        return sum(parts)

    return Steps(one, two, total)


def failing(step: Step, failures: int) -> Step:
    """`step` for which each run fails `failures` times before it succeeds."""
    attempts: Counter[int] = Counter()

    async def fragile(x: int) -> int:
        result = await step(x)
        attempts[x] += 1
        if attempts[x] % (failures + 1):
            raise UnavailableError
        return result

    return fragile


@dataclass(frozen=True, slots=True)
class Layer:
    """`width` calls of one step, each of which takes all values of the layer before."""

    step: Step
    width: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """A graph, how many runs of it are made, and how many of these are in flight together."""

    name: str
    suspending: Suspending
    layers: tuple[Layer, ...]
    plain: Plain
    gathered: Plain | None = (
        None  # the same with asyncio.gather, where there is something to gather
    )
    runs: int
    in_flight: int = 1
    failures: int = 0  # of each step, before it succeeds
    backoff: float = 0.0  # seconds between two attempts

    @property
    def attempts(self) -> int:
        """Step attempts in all runs together: the unit that times are given in."""
        return self.runs * (self.failures + 1) * sum(layer.width for layer in self.layers)

    def scaled(self, share: float) -> "Shape":
        """The same shape with fewer runs, for a contender that is slow."""
        runs = max(1, round(self.runs * share))
        return replace(self, runs=runs, in_flight=min(self.in_flight, runs))

    def __str__(self) -> str:
        return f"{self.name}, {self.suspending} suspend"


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How large the shapes are."""

    chain: int = 100
    chains: int = 20
    fan: int = 1_000
    fans: int = 5
    diamonds: int = 10_000
    in_flight: int = 256
    waiting: int = 100_000
    backoff: float = 2.0
    flaky: int = 5_000


FULL = Size()
QUICK = Size(diamonds=2_000, waiting=10_000, backoff=0.25, flaky=1_000)
TINY = Size(
    chain=3, chains=2, fan=4, fans=2, diamonds=5, in_flight=2, waiting=5, backoff=1e-3, flaky=5
)


def shapes(size: Size = FULL) -> Iterator[Shape]:
    """Every shape: with steps that never suspend, that suspend once in ten calls, and always."""
    for suspending, steps in families():
        yield chain(size, suspending, steps)
        yield fan_out(size, suspending, steps)
        yield diamonds(size, suspending, steps)
        yield waiting(size, suspending, steps)
        yield flaky(size, suspending, steps)


def families() -> Iterator[tuple[Suspending, Steps]]:
    yield "none", Steps(one, two, total)
    yield "tenth", pausing(every=10)
    yield "all", pausing(every=1)


def chain(size: Size, suspending: Suspending, steps: Steps) -> Shape:
    async def plain(spawn: Spawn, x: int) -> int:
        for _ in range(size.chain):
            x = await spawn(steps.one(x))
        return x

    return Shape(
        name="chain",
        suspending=suspending,
        layers=(Layer(steps.one),) * size.chain,
        plain=plain,
        runs=size.chains,
    )


def fan_out(size: Size, suspending: Suspending, steps: Steps) -> Shape:
    async def plain(spawn: Spawn, x: int) -> int:
        parts = [spawn(steps.one(x)) for _ in range(size.fan)]
        return await spawn(steps.total(*[await part for part in parts]))

    async def gathered(spawn: Spawn, x: int) -> int:
        parts = await asyncio.gather(*[steps.one(x) for _ in range(size.fan)])
        return await spawn(steps.total(*parts))

    return Shape(
        name="fan-out",
        suspending=suspending,
        layers=(Layer(steps.one, width=size.fan), Layer(steps.total)),
        plain=plain,
        gathered=gathered,
        runs=size.fans,
    )


def diamonds(size: Size, suspending: Suspending, steps: Steps) -> Shape:
    async def plain(spawn: Spawn, x: int) -> int:
        a = await spawn(steps.one(x))
        b, c = spawn(steps.one(a)), spawn(steps.one(a))
        d = await spawn(steps.two(await b, await c))
        return await spawn(steps.one(d))

    async def gathered(spawn: Spawn, x: int) -> int:
        a = await spawn(steps.one(x))
        b, c = await asyncio.gather(steps.one(a), steps.one(a))
        d = await spawn(steps.two(b, c))
        return await spawn(steps.one(d))

    return Shape(
        name="diamonds",
        suspending=suspending,
        layers=(Layer(steps.one), Layer(steps.one, width=2), Layer(steps.two), Layer(steps.one)),
        plain=plain,
        gathered=gathered,
        runs=size.diamonds,
        in_flight=size.in_flight,
    )


def waiting(size: Size, suspending: Suspending, steps: Steps) -> Shape:
    step = failing(steps.one, failures=1)
    return Shape(
        name="waiting",
        suspending=suspending,
        layers=(Layer(step),),
        plain=persistent(step, size.backoff),
        runs=size.waiting,
        in_flight=size.waiting,
        failures=1,
        backoff=size.backoff,
    )


def flaky(size: Size, suspending: Suspending, steps: Steps) -> Shape:
    step = failing(steps.one, failures=2)
    return Shape(
        name="flaky",
        suspending=suspending,
        layers=(Layer(step),),
        plain=persistent(step, 0.0),
        runs=size.flaky,
        in_flight=min(size.in_flight, size.flaky),
        failures=2,
    )


def persistent(step: Step, backoff: float) -> Plain:
    """One step, tried until it succeeds."""

    async def plain(spawn: Spawn, x: int) -> int:
        while True:
            try:
                return await spawn(step(x))
            except UnavailableError:
                if backoff:
                    await asyncio.sleep(backoff)

    return plain
