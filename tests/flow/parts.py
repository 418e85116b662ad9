"""Steps that the tests of control flow share, and what they ask of a run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

import penstock as ps

ONCE = ps.RetryPolicy(max_attempts=1)
"""No retry."""


class Oops(Exception):
    """What a step raises here."""


class Worse(Exception):
    """What another one raises."""


@ps.step
async def same(x: int) -> int:
    return x


@ps.step
async def double(x: int) -> int:
    await asyncio.sleep(0)
    return 2 * x


@ps.step
async def more(x: int) -> int:
    return x + 1


@ps.step
async def add(a: int, b: int) -> int:
    return a + b


@ps.step
async def nap(seconds: float) -> float:
    await asyncio.sleep(seconds)
    return seconds


@ps.step(retry=ONCE)
async def oops(x: int) -> int:
    raise Oops(f"no {x}")


@ps.step(retry=ONCE)
async def no_threes(x: int) -> int:
    if x == 3:
        raise Oops(f"no {x}")
    return 10 * x


@ps.step
def in_a_thread(x: int) -> int:
    return x + 100


@dataclass
class Till:
    """Books orders, and takes them back.

    Attributes:
        log: what happened, in order: "book 1", "undo 1: b1".
        seconds: how long booking takes.
        undo_seconds: how long taking back takes.
        refuses: the orders that are not booked, as half of that time shows.
        keeps: the orders that can't be taken back.
    """

    log: list[str] = field(default_factory=list[str])
    seconds: float = 0.0
    undo_seconds: float = 0.0
    refuses: set[int] = field(default_factory=set[int])
    keeps: set[int] = field(default_factory=set[int])
    undo_retry: ps.RetryPolicy = ONCE
    book: ps.Stage[[int], str] = field(init=False)

    def __post_init__(self) -> None:
        @ps.step(retry=self.undo_retry)
        async def undo(order: int, result: str | None) -> None:
            await asyncio.sleep(self.undo_seconds)
            if order in self.keeps:
                self.log.append(f"kept {order}")
                raise Worse(f"can't undo {order}")
            self.log.append(f"undo {order}: {result}")

        @ps.step(compensate=undo, retry=ONCE)
        async def book(order: int) -> str:
            self.log.append(f"book {order}")
            await asyncio.sleep(self.seconds / 2)
            if order in self.refuses:
                raise Oops(f"no {order}")
            await asyncio.sleep(self.seconds / 2)
            return f"b{order}"

        self.book = book

    @property
    def undone(self) -> list[str]:
        return [line for line in self.log if line.startswith("undo")]


async def failure(rt: ps.Runtime, stage: ps.Stage[..., Any], *inputs: Any) -> ps.RunFailed:
    """How a run fails, after which nothing of it is left."""
    with pytest.raises(ps.RunFailed) as caught:
        await rt.run(stage, *inputs)
    assert rt._core.object_count() == 0
    return caught.value


async def done(run: ps.Run[Any]) -> list[str]:
    """Paths of the steps that gave a value, in order."""
    return [event.node for event in await run.history() if event.kind == "done"]


async def kinds(run: ps.Run[Any]) -> list[str]:
    return [event.kind for event in await run.history()]


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop turn until something is so, a thousand times at most."""
    for _ in range(1_000):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("it did not come to that")


def status(run: ps.Run[Any]) -> str:
    """Where a run is now, which is not where it was when a checker last saw it."""
    return run.status


def now() -> float:
    return asyncio.get_running_loop().time()
