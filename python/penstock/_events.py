"""Events: what happened to a run, one by one, and the feed that hands them to a follower."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Generic, TypeAlias, TypeVar

from ._money import Usd

Row: TypeAlias = tuple[float, str, str, int, str, float, int, float | None]
"""As the engine gives it: at, kind, node, attempt, detail, when, number, score."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened to a run.

    Attributes:
        at: when, in seconds since 1970 (in virtual time: of the virtual clock).
        kind: "accepted", "started", "done", "failed", "decided", "chosen", "opened", "fired",
            "signal", "acquired", "parked", "withdrawn", "interrupted", "abandoned",
            "cancel_requested", "deadline_passed", "paused", "resumed", "compensating", "ended",
            "budgeted", "denied", "degraded", or "emitted" for one of a step's own.
        node: the node's path; empty where it is about the run.
        attempt: from 1; 0 where there is none.
        detail: the cause of a failure ("error", "timeout", ...), why a step is parked ("budget",
            "breaker", "money"), who did not pay for it, or how the run ended.
        parked: why the step is parked, or the attempt after a failure: "budget", "breaker",
            "dead_letter" or "money".
        started: when the attempt was dispatched, for "done".
        due: when the next attempt is, for a "failed" that is retried.
        value: what the step emitted; the outcome of a decision, by number, for "chosen"; how many
            items a map has, for "opened"; as an amount of dollars, what was to be reserved in
            vain, for "denied" (`detail` says of whose budget), and what may be spent, for
            "budgeted".
        score: of a value that was judged by a `Threshold`, for "chosen".
    """

    at: float
    kind: str
    node: str = ""
    attempt: int = 0
    detail: str = ""
    parked: str = ""
    started: float | None = None
    due: float | None = None
    value: object = None
    score: float | None = None

    @classmethod
    def of(cls, row: Row) -> Event:
        """The event of an engine's row."""
        at, kind, node, attempt, detail, when, number, score = row
        return cls(
            at=at,
            kind=kind,
            node=node,
            attempt=attempt,
            detail=detail,
            parked=detail if kind == "parked" else _PARKED[number] if kind == "failed" else "",
            started=when if when and kind == "done" else None,
            due=when if when and kind == "failed" else None,
            value=Usd(number) if kind in _MONEY else number if kind in _NUMBERS else None,
            score=score,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueEvent:
    """Something that happened to a queue.

    Attributes:
        at: when, in seconds since 1970 (in virtual time: of the virtual clock).
        kind: "storm_started" and "storm_ended", "breaker_opened" and "breaker_closed", or
            "configured".
        queue: its name.
        demand_ratio: attempts and denied retries by first attempts, of the last five seconds.
        goodput: attempts that succeeded in time by first attempts, of the last five seconds.
        parked: nodes that are parked.
        owners: of the steps that wait in it.
        playbooks: what to do when one of these fails, by step.
    """

    at: float
    kind: str
    queue: str
    demand_ratio: float
    goodput: float
    parked: int
    owners: tuple[str, ...] = ()
    playbooks: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class EventsLost:
    """In place of events that a slow follower missed.

    Attributes:
        count: how many.
    """

    count: int


_MONEY: Final = ("denied", "budgeted")
_NUMBERS: Final = ("chosen", "opened")
_PARKED: Final = ("", "budget", "breaker", "dead_letter", "money")
E = TypeVar("E")
RING: Final = 1024


class Feed(Generic[E]):
    """A follower's ring of events: bounded, so that a slow one never holds the engine up."""

    __slots__ = ("_closed", "_events", "_lost", "_waiter")

    def __init__(self) -> None:
        self._events: deque[E] = deque()
        self._lost = 0
        self._waiter: asyncio.Future[None] | None = None
        self._closed = False

    def push(self, event: E) -> None:
        """Add an event; the oldest gives way if the ring is full."""
        if len(self._events) == RING:
            self._events.popleft()
            self._lost += 1
        self._events.append(event)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def close(self) -> None:
        """No more events come; those that are there can still be had."""
        self._closed = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def next(self) -> E | EventsLost | None:
        """The next event, as soon as there is one; None once no more come."""
        while not self._events:
            if self._closed:
                return None
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        if self._lost:
            lost, self._lost = self._lost, 0
            return EventsLost(lost)
        return self._events.popleft()
