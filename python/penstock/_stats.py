"""Stats: what a runtime has counted since it was opened."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from ._policies import Queue


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """Durations in seconds, to 1 % (an HDR histogram).

    Attributes:
        count: how many.
        p50: half of them are not longer.
        p95: 95 % are not longer.
        p99: 99 % are not longer.
        longest: the longest one.
    """

    count: int
    p50: float
    p95: float
    p99: float
    longest: float


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowStats:
    """Runs of one workflow; `latency` is from accepted to ended."""

    accepted: int
    succeeded: int
    failed: int
    cancelled: int
    latency: Times


@dataclass(frozen=True, slots=True, kw_only=True)
class StepStats:
    """Attempts: of one step, one queue or one priority.

    Attributes:
        attempts: dispatched, the first of each node included.
        retries: those that were not the first of their node.
        succeeded: those that returned a value.
        failed: those that raised or ran too long.
        timeouts: those that ran too long.
        hedges: those that were a second copy of a slow one.
        queue_delay: from eligible to dispatched.
        duration: from dispatched to ended.
    """

    attempts: int
    retries: int
    succeeded: int
    failed: int
    timeouts: int
    hedges: int
    queue_delay: Times
    duration: Times


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """What was asked of a queue, and what came of it.

    Attributes:
        first: first attempts (F).
        attempts: attempts sent, those included (A).
        denied: retries that were denied (D).
        good: attempts that succeeded in time (G).
        late: attempts that succeeded when nobody needed them any more (X).
    """

    first: int
    attempts: int
    denied: int
    good: int
    late: int

    @property
    def demand_ratio(self) -> float:
        """(A + D) / F: above 1 by what is asked for again. 1 if nothing was asked for."""
        return _ratio(self.attempts + self.denied, self.first)

    @property
    def amplification(self) -> float:
        """A / F: what reaches the dependency, by what was asked for first."""
        return _ratio(self.attempts, self.first)

    @property
    def goodput(self) -> float:
        """G / F: what succeeded in time, by what was asked for first."""
        return _ratio(self.good, self.first)

    @property
    def waste(self) -> float:
        """X / (G + X): of what succeeded, how much nobody needed any more."""
        done = self.good + self.late
        return self.late / done if done else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueStats:
    """A queue: how it stands now, and what was counted of it.

    Attributes:
        concurrency: attempts that may run at once now; None for no limit of its own.
        running: attempts that run now.
        waiting: nodes that wait in it.
        parked: nodes that wait for it to be well again.
        tokens: retries that could be paid for now; None without a retry budget.
        breaker: "closed", "open" or "half_open"; None without one.
        storm: whether there is a retry storm.
        shedding: whether new runs are refused because others wait for too long.
        total: what was asked of it and what came of it, since the runtime was opened.
        last: the same, of the last five seconds.
        attempts: its attempts.
    """

    concurrency: int | None
    running: int
    waiting: int
    parked: int
    tokens: float | None
    breaker: Literal["closed", "open", "half_open"] | None
    storm: bool
    shedding: bool
    total: Demand
    last: Demand
    attempts: StepStats

    @property
    def demand_ratio(self) -> float:
        """That of the last five seconds."""
        return self.last.demand_ratio

    @property
    def goodput(self) -> float:
        """That of the last five seconds."""
        return self.last.goodput


@dataclass(frozen=True, slots=True, kw_only=True)
class PriorityStats:
    """Attempts of a priority, and how long runs of it took."""

    attempts: StepStats
    latency: Times


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantStats:
    """What one tenant got.

    Attributes:
        attempts: dispatched.
        held: seconds that its attempts held a slot.
        queue_delay: from eligible to dispatched.
        duration: from dispatched to ended.
        latency: of its runs, from accepted to ended.
    """

    attempts: int
    held: float
    queue_delay: Times
    duration: Times
    latency: Times


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """What a runtime has counted since it was opened.

    Attributes:
        runs: under way now.
        running: attempts under way now.
        workflows: by name; by "name version" where several versions are registered.
        steps: likewise.
        queues: by name.
        priorities: 1 to 5.
        tenants: by name, of the first thousand that came; the others are together under "".
    """

    runs: int
    running: int
    workflows: Mapping[str, WorkflowStats]
    steps: Mapping[str, StepStats]
    queues: Mapping[str, QueueStats]
    priorities: Mapping[int, PriorityStats]
    tenants: Mapping[str, TenantStats]


def stats_of(
    counts: dict[str, Any],
    workflows: list[tuple[str, str]],
    steps: list[tuple[str, str]],
    queues: list[Queue],
) -> Stats:
    """The engine's counts under the names they were registered by."""
    return Stats(
        runs=counts["runs"],
        running=counts["running"],
        workflows={
            label: WorkflowStats(
                accepted=accepted,
                succeeded=succeeded,
                failed=failed,
                cancelled=cancelled,
                latency=_times(latency),
            )
            for label, ((accepted, succeeded, failed, cancelled), latency) in zip(
                _labels(workflows), counts["workflows"], strict=True
            )
        },
        steps={
            label: _attempts(row)
            for label, row in zip(_labels(steps), counts["steps"], strict=False)
        },
        queues={
            queue.name: counted(row) for queue, row in zip(queues, counts["queues"], strict=True)
        },
        priorities={
            priority: PriorityStats(attempts=_attempts(row), latency=_times(latency))
            for priority, (row, latency) in enumerate(counts["priorities"], 1)
        },
        tenants={
            name or "": TenantStats(
                attempts=attempts,
                held=held,
                queue_delay=_times(delay),
                duration=_times(duration),
                latency=_times(latency),
            )
            for name, attempts, held, delay, duration, latency in counts["tenants"]
        },
    )


def counted(row: Any) -> QueueStats:
    """A queue as the engine counts it."""
    load, (storm, shedding, breaker), total, last, attempts = row
    concurrency, running, waiting, parked, tokens = load
    return QueueStats(
        concurrency=None if concurrency == _UNLIMITED else concurrency,
        running=running,
        waiting=waiting,
        parked=parked,
        tokens=tokens,
        breaker=breaker,
        storm=storm,
        shedding=shedding,
        total=_demand(total),
        last=_demand(last),
        attempts=_attempts(attempts),
    )


def _demand(row: tuple[int, int, int, int, int, int]) -> Demand:
    first, attempts, denied, good, late, _ = row
    return Demand(first=first, attempts=attempts, denied=denied, good=good, late=late)


def _attempts(row: Any) -> StepStats:
    (attempts, retries, succeeded, failed, timeouts, hedges), delay, duration = row
    return StepStats(
        attempts=attempts,
        retries=retries,
        succeeded=succeeded,
        failed=failed,
        timeouts=timeouts,
        hedges=hedges,
        queue_delay=_times(delay),
        duration=_times(duration),
    )


def _ratio(part: int, whole: int) -> float:
    if whole:
        return part / whole
    return float("inf") if part else 1.0


def _labels(identities: list[tuple[str, str]]) -> list[str]:
    names = [name for name, _ in identities]
    return [name if names.count(name) == 1 else f"{name} {version}" for name, version in identities]


def _times(quantiles: tuple[int, float, float, float, float]) -> Times:
    count, p50, p95, p99, longest = quantiles
    return Times(count=count, p50=p50, p95=p95, p99=p99, longest=longest)


_UNLIMITED: Final = 2**32 - 1
