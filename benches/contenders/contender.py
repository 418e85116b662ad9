"""What a contender is, and how its runs are driven."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Literal, TypeAlias

from shapes import Shape

Go: TypeAlias = Callable[[], Awaitable[Sequence[int]]]
RunOne: TypeAlias = Callable[[int], Awaitable[int]]
Prepare: TypeAlias = Callable[[Shape], AbstractAsyncContextManager[Go]]


class UnsupportedError(Exception):
    """The contender can't run the shape; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """A way to run a shape, on one kind of loop."""

    name: str
    prepare: Prepare
    loop: Literal["asyncio", "uvloop"] = "uvloop"
    share: float = 1.0  # the part of a shape's runs that it makes: less for those that are slow
    missing: str | None = None  # why it can't be measured here

    def __str__(self) -> str:
        return self.name


def one_by_one(runner: Callable[[Shape], RunOne]) -> Prepare:
    """For a contender that is called once for each run, with nothing to open or close."""

    @asynccontextmanager
    async def prepared(shape: Shape) -> AsyncGenerator[Go, None]:
        run = runner(shape)
        yield lambda: drive(run, shape)

    return prepared


def missing(module: str, remedy: str) -> str | None:
    """Why a contender can't be measured here, if it can't."""
    return None if find_spec(module) else f"not installed: {remedy}"


async def drive(run: RunOne, shape: Shape) -> Sequence[int]:
    """Make all runs as a service would: so many callers, each awaiting one run at a time."""
    results = [0] * shape.runs
    numbers = iter(range(shape.runs))

    async def caller() -> None:
        for x in numbers:
            results[x] = await run(x)

    await asyncio.gather(*[caller() for _ in range(shape.in_flight)])
    return results
