"""Outcomes: what is known of a run, and what each metric reads from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, Literal, NamedTuple, TypeAlias, TypeVar, get_args

from penstock._policies import Policy, number, seconds, whole
from penstock._policies._checks import one_of

from ._margins import Margin

N = TypeVar("N", int, float)

Result: TypeAlias = Literal["succeeded", "failed", "cancelled"]
NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True, init=False, repr=False)
class Outcome(Policy):
    """What is known of a run, with the runs that it has started folded in.

    Attributes:
        result: "cancelled" is by a user: such a run counts nowhere. What was compensated, or ended
            by its deadline or budget, has failed.
        cost: nano-dollars, as far as its spend has a price.
        unpriced: whether some of its spend has none.
        retries: attempts beyond the first ones.
        first_attempts: by queue.
        handoffs: deliveries between steps that were accepted or refused.
        accepted: those that were accepted at the first delivery.
        slot_seconds: that its attempts held a slot, by queue.
        queue_delay: the longest that one of its attempts waited for its slot, in seconds.
        degraded: whether a budget made it do less; it then says nothing of scores.

    Raises:
        DefinitionError: a value is out of its range.
    """

    result: Result
    cost: int
    unpriced: bool
    retries: int
    first_attempts: Mapping[str, int] = field(hash=False)
    handoffs: int
    accepted: int
    slot_seconds: Mapping[str, float] = field(hash=False)
    queue_delay: float
    degraded: bool

    def __init__(
        self,
        *,
        result: Result,
        cost: int = 0,
        unpriced: bool = False,
        retries: int = 0,
        first_attempts: Mapping[str, int] = NOTHING,
        handoffs: int = 0,
        accepted: int = 0,
        slot_seconds: Mapping[str, float] = NOTHING,
        queue_delay: float = 0.0,
        degraded: bool = False,
    ) -> None:
        handoffs = whole(handoffs, "Outcome.handoffs", least=0)
        self._keep(
            result=one_of(result, "Outcome.result", get_args(Result)),
            cost=whole(cost, "Outcome.cost", least=0, most=2**63 - 1),
            unpriced=bool(unpriced),
            retries=whole(retries, "Outcome.retries", least=0),
            first_attempts=MappingProxyType(
                {
                    queue: whole(count, f"Outcome.first_attempts[{queue!r}]", least=0)
                    for queue, count in first_attempts.items()
                }
            ),
            handoffs=handoffs,
            accepted=whole(accepted, "Outcome.accepted", least=0, most=handoffs),
            slot_seconds=MappingProxyType(
                {
                    queue: number(held, f"Outcome.slot_seconds[{queue!r}]", least=0)
                    for queue, held in slot_seconds.items()
                }
            ),
            queue_delay=seconds(queue_delay, "Outcome.queue_delay", zero=True),
            degraded=bool(degraded),
        )

    def with_part(self, part: Outcome) -> Outcome:
        """The same run, with what a run that it has started did counted as its own."""
        return Outcome(
            result=self.result,
            cost=self.cost + part.cost,
            unpriced=self.unpriced or part.unpriced,
            retries=self.retries + part.retries,
            first_attempts=_summed(self.first_attempts, part.first_attempts),
            handoffs=self.handoffs + part.handoffs,
            accepted=self.accepted + part.accepted,
            slot_seconds=_summed(self.slot_seconds, part.slot_seconds),
            queue_delay=max(self.queue_delay, part.queue_delay),
            degraded=self.degraded or part.degraded,
        )

    def __reduce__(self) -> tuple[object, ...]:
        return Outcome.from_dict, (self.to_dict(),)


def _summed(own: Mapping[str, N], other: Mapping[str, N]) -> dict[str, N]:
    found = dict(own)
    for name, value in other.items():
        found[name] = found[name] + value if name in found else value
    return found


class Seen(NamedTuple):
    """A run as it is judged: when it has ended, or is older than the horizon.

    Attributes:
        succeeded: within the horizon.
        elapsed: seconds from its start to its end, or to now.
        outcome: None if nothing is known of a run that has not ended.
        scores: by kind.
    """

    succeeded: bool
    elapsed: float
    outcome: Outcome | None
    scores: Mapping[str, float]


class Metric(NamedTuple):
    """What a metric is.

    Attributes:
        direction: of its margins.
        form: "share" of runs that do badly, "ratio" of two means, or "limit" for all runs.
        phrase: what is counted or measured, for the sentence of the evidence.
    """

    direction: Literal["drop", "rise", "at_most"]
    form: Literal["share", "ratio", "limit"]
    phrase: str


METRICS: Final[Mapping[str, Metric]] = MappingProxyType(
    {
        "success": Metric("drop", "share", "failed"),
        "cost": Metric("rise", "ratio", "cost per success"),
        "retry_burden": Metric("rise", "ratio", "retries per first attempt"),
        "handoff": Metric("drop", "ratio", "handoffs accepted"),
        "first_attempts": Metric("rise", "ratio", "first attempts per run"),
        "load": Metric("rise", "ratio", "slot-seconds per run"),
        "latency": Metric("rise", "share", "took longer than"),
        "queue_delay": Metric("at_most", "limit", "waited longer than"),
        "score": Metric("drop", "ratio", "score"),
        "scored": Metric("drop", "share", "were not scored"),
    }
)
"""By the name, or by what stands before its colon: "score:judge", "load:gpt"."""
NAMED: Final = frozenset({"score", "scored"})
"""Metrics that are nothing without what comes after the colon."""
BY_QUEUE: Final = frozenset({"first_attempts", "load"})

Pair: TypeAlias = tuple[float, float]
"""A run's numerator and denominator; for a share, its weight as a failure and 1."""
Reader: TypeAlias = Callable[[Seen], Pair | None]


def parted(metric: str) -> tuple[str, str]:
    """What a metric is and what of: "score:judge" is ("score", "judge"), "cost" ("cost", "")."""
    base, _, detail = metric.partition(":")
    return base, detail


def reader(metric: str, margin: Margin | None = None) -> Reader:
    """What reads a metric from a run; it gives None where the run says nothing of it."""
    base, detail = parted(metric)
    over = margin.over if margin is not None and margin.over is not None else float("inf")
    if base == "success":
        return lambda seen: _GOOD if seen.succeeded else _BAD
    if base == "latency":
        return lambda seen: _BAD if seen.elapsed > over else _GOOD
    if base == "score":
        return lambda seen: _score(seen, detail)
    if base == "scored":
        return lambda seen: _scored(seen, detail)
    if base == "cost":
        return lambda seen: (
            None if seen.outcome is None else (seen.outcome.cost, float(seen.succeeded))
        )
    if base == "queue_delay":
        return lambda seen: (
            None if seen.outcome is None else _BAD if seen.outcome.queue_delay > over else _GOOD
        )
    read = _FROM_OUTCOME[base]
    return lambda seen: None if seen.outcome is None else read(seen.outcome, detail)


_GOOD: Final[Pair] = (0.0, 1.0)
_BAD: Final[Pair] = (1.0, 1.0)


def _score(seen: Seen, kind: str) -> Pair | None:
    value = seen.scores.get(kind)
    return None if value is None or not _to_score(seen) else (value, 1.0)


def _scored(seen: Seen, kind: str) -> Pair | None:
    if not _to_score(seen):
        return None
    return _GOOD if kind in seen.scores else _BAD


def _to_score(seen: Seen) -> bool:
    return seen.succeeded and not (seen.outcome is not None and seen.outcome.degraded)


def _of_queue(values: Mapping[str, float], queue: str) -> float:
    return values.get(queue, 0.0) if queue else sum(values.values())


_FROM_OUTCOME: Final[Mapping[str, Callable[[Outcome, str], Pair | None]]] = {
    "retry_burden": lambda outcome, _: (outcome.retries, sum(outcome.first_attempts.values())),
    "handoff": lambda outcome, _: (
        (outcome.accepted, outcome.handoffs) if outcome.handoffs else None
    ),
    "first_attempts": lambda outcome, queue: (_of_queue(outcome.first_attempts, queue), 1.0),
    "load": lambda outcome, queue: (_of_queue(outcome.slot_seconds, queue), 1.0),
}
