"""What a user sees of a run in virtual time: which nodes ran, when, and what was withdrawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, TypeAlias

import penstock as ps

Durations: TypeAlias = Mapping[ps.AsyncStep[..., Any], float | Sequence[float]]


@dataclass(frozen=True, slots=True)
class Trace:
    """The times are in seconds since the run was accepted; the paths lack the workflow's name.

    Attributes:
        spans: when the steps that were done began and ended.
        withdrawn: when those that ran were told to stop.
        ended: when the run ended.
    """

    spans: dict[str, tuple[float, float]]
    withdrawn: dict[str, float]
    ended: float


async def trace(run: ps.Run[Any]) -> Trace:
    """What happened to a run that has ended."""
    history = await run.history()
    accepted = history[0].at

    def since(at: float) -> float:
        return round(at - accepted, 6)

    return Trace(
        spans={
            _below(event.node): (since(event.started or event.at), since(event.at))
            for event in history
            if event.kind == "done"
        },
        withdrawn={
            _below(event.node): since(event.at) for event in history if event.kind == "withdrawn"
        },
        ended=since(history[-1].at),
    )


def taking(durations: Durations) -> AbstractContextManager[None]:
    """Let steps take so many seconds: in every attempt, or in one after the other."""
    return ps.testing.faults(
        {
            step: [
                ps.testing.Slow(each)
                for each in (times if isinstance(times, Sequence) else [times] * _MANY)
            ]
            for step, times in durations.items()
        }
    )


def _below(path: str) -> str:
    return path.partition("/")[2]


_MANY = 100
