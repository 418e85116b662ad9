"""Seen: what runs tell of attempts, spend, decisions and signals, as facts without an order."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from penstock._graph import Graph
    from penstock._simulation._subject import Subject

How: TypeAlias = Literal["done", "error", "fatal", "timeout", "cut"]
Key: TypeAlias = tuple[str, int, bool]
"""Of an attempt in its run: its node and number, and whether it is a second copy."""


@dataclass(slots=True, kw_only=True)
class Attempt:
    """An attempt of a step.

    Attributes:
        run: number of its run among those that were read.
        step: its name.
        path: of its node in the graph.
        queue: that it waited in.
        number: from 1.
        after: how the attempt before failed; None for a first one.
        start: when it started, in seconds since 1970.
        end: likewise; of what was cut off, when that was.
        how: it ended; "cut" if nobody waited for it any more.
        last: whether it was not tried again.
        error: the type of its exception.
        flight: attempts that were under way in its queue when it started, itself among them; of
            those that started at once, half.
        crowd: the same, with all of those.
        outage: whether its queue was out of order when it started.
        alone: seconds that it would have taken alone in its queue.
    """

    run: int
    step: str
    path: str
    queue: str
    number: int
    after: How | None
    start: float
    end: float
    how: How
    last: bool = False
    error: str = ""
    flight: float = 1.0
    crowd: int = 1
    outage: bool = False
    alone: float = 0.0

    @property
    def seconds(self) -> float:
        """How long it took, or was waited for, to the microsecond."""
        return max(round(self.end - self.start, 6), 0.0)


@dataclass(frozen=True, slots=True)
class Line:
    """What an attempt, or a person, has spent on something.

    Attributes:
        key: of the attempt: its run, node and number, and whether it is a second copy.
        resource: what it was.
        name: which one.
        mode: such as "batch".
        units: of it.
        nanos: nano-dollars; None if they have no price.
    """

    key: tuple[int, str, int, bool]
    resource: str
    name: str
    mode: str
    units: int
    nanos: int | None


@dataclass(frozen=True, slots=True)
class Judged:
    """A value that was judged.

    Attributes:
        outcome: 0 rejected, 1 accepted, 2 accepted and explored further.
        score: if it was journaled.
        weight: how many runs it stands for; 0 if it stands for those only that came so far.
    """

    outcome: int
    score: float | None
    weight: float = 0.0


@dataclass(frozen=True, slots=True)
class Answer:
    """A signal that was waited for.

    Attributes:
        seconds: until it came, or for which it was waited.
        came: whether it did.
    """

    seconds: float
    came: bool


@dataclass(slots=True)
class Seen:
    """What runs of one workflow have told.

    Attributes:
        graph: of the newest of them.
        subject: what that needs a model to know.
        accepted: when each run was.
        attempts: of all steps.
        ends: by step, how the attempts ended that are known to be over: for what they cost.
        spend: by step, what its attempts have spent.
        human: by signal, what people have spent.
        chosen: by path, how often each outcome was.
        iterations: by path, the number of an iteration and whether it was the last.
        counts: by path, items of a map.
        keys: by path, how often each key was.
        judged: by the path of what judges.
        answers: by signal.
        values: by the id of a run, the step or the signal whose value it gave.
        others: by queue, attempts of other workflows: their starts and ends.
    """

    graph: Graph
    subject: Subject
    accepted: list[float] = field(default_factory=list[float])
    attempts: list[Attempt] = field(default_factory=list[Attempt])
    ends: dict[str, dict[tuple[int, str, int, bool], How]] = field(
        default_factory=dict[str, dict[tuple[int, str, int, bool], How]]
    )
    spend: dict[str, list[Line]] = field(default_factory=dict[str, list[Line]])
    human: dict[str, list[Line]] = field(default_factory=dict[str, list[Line]])
    chosen: dict[str, dict[int, int]] = field(default_factory=dict[str, dict[int, int]])
    iterations: dict[str, list[tuple[int, bool]]] = field(
        default_factory=dict[str, list[tuple[int, bool]]]
    )
    counts: dict[str, list[int]] = field(default_factory=dict[str, list[int]])
    keys: dict[str, dict[int, int]] = field(default_factory=dict[str, dict[int, int]])
    judged: dict[str, list[Judged]] = field(default_factory=dict[str, list[Judged]])
    answers: dict[str, list[Answer]] = field(default_factory=dict[str, list[Answer]])
    values: dict[str, str] = field(default_factory=dict[str, str])
    others: dict[str, list[tuple[float, float]]] = field(
        default_factory=dict[str, list[tuple[float, float]]]
    )
