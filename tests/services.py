"""A service that the steps of tests call and that can be down, and what was seen of it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import NamedTuple

import penstock as ps
from penstock._events import Event


def now() -> float:
    return asyncio.get_running_loop().time()


class Call(NamedTuple):
    """A call of the service.

    Attributes:
        at: when.
        who: the caller.
        attempt: of the caller's node.
        was_down: what came of it.
    """

    at: float
    who: object
    attempt: int
    was_down: bool


class Down(Exception):
    """The service is down."""


class Service:
    """What a queue stands for. It takes so long to answer, and can be down."""

    def __init__(self, *, takes: float = 0.0, down: bool = False) -> None:
        self.takes = takes
        self.down = down
        self.calls: list[Call] = []
        self.inside = 0
        self.most = 0

    async def call(self, who: object = None, ctx: ps.Context | None = None) -> object:
        attempt = 1 if ctx is None else ctx.attempt
        self.calls.append(Call(now(), who, attempt, self.down))
        self.inside += 1
        self.most = max(self.most, self.inside)
        try:
            await asyncio.sleep(self.takes)
        finally:
            self.inside -= 1
        if self.down:
            raise Down(f"call {len(self.calls)}")
        return who

    @property
    def starts(self) -> list[float]:
        return [call.at for call in self.calls]

    @property
    def order(self) -> list[object]:
        return [call.who for call in self.calls]

    def count(self, since: float = 0.0, until: float = float("inf")) -> int:
        """Calls from `since` on, before `until`."""
        return sum(since <= at < until for at in self.starts)


async def kinds_of(run: ps.Run[object]) -> list[str]:
    """What was recorded of a run, with the details of what was denied."""
    return [f"{it.kind} {it.detail}".strip() for it in await run.history()]


async def events_of(run: ps.Run[object], kind: str) -> list[Event]:
    return [event for event in await run.history() if event.kind == kind]


async def outcomes(runs: Iterable[ps.Run[object]]) -> list[str]:
    """How runs end: "succeeded", or the name of the error."""
    seen = await asyncio.gather(*(run.result() for run in runs), return_exceptions=True)
    return [type(it).__name__ if isinstance(it, BaseException) else "succeeded" for it in seen]
