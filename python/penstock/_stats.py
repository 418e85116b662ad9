"""Stats: what a runtime has counted since it was opened."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

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
    """Attempts of one step.

    Attributes:
        attempts: dispatched, the first of each node included.
        retries: those that were not the first of their node.
        succeeded: those that returned a value.
        failed: those that raised or ran too long.
        timeouts: those that ran too long.
        queue_delay: from eligible to dispatched.
        duration: from dispatched to ended.
    """

    attempts: int
    retries: int
    succeeded: int
    failed: int
    timeouts: int
    queue_delay: Times
    duration: Times


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueStats:
    """Attempts of one queue that run now, and nodes that wait in it."""

    running: int
    waiting: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """What a runtime has counted since it was opened.

    Attributes:
        runs: under way now.
        running: attempts under way now.
        workflows: by name; by "name version" where several versions are registered.
        steps: likewise.
        queues: by name.
    """

    runs: int
    running: int
    workflows: Mapping[str, WorkflowStats]
    steps: Mapping[str, StepStats]
    queues: Mapping[str, QueueStats]


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
            label: StepStats(
                attempts=attempts,
                retries=retries,
                succeeded=succeeded,
                failed=failed,
                timeouts=timeouts,
                queue_delay=_times(delay),
                duration=_times(duration),
            )
            for label, ((attempts, retries, succeeded, failed, timeouts), delay, duration) in zip(
                _labels(steps), counts["steps"], strict=False
            )
        },
        queues={
            queue.name: QueueStats(running=running, waiting=waiting)
            for queue, (running, waiting) in zip(queues, counts["queues"], strict=True)
        },
    )


def _labels(identities: list[tuple[str, str]]) -> list[str]:
    names = [name for name, _ in identities]
    return [name if names.count(name) == 1 else f"{name} {version}" for name, version in identities]


def _times(quantiles: tuple[int, float, float, float, float]) -> Times:
    count, p50, p95, p99, longest = quantiles
    return Times(count=count, p50=p50, p95=p95, p99=p99, longest=longest)
