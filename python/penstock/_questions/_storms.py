"""Storms and spaghetti: where they are, by what they were found, and who sees to them.

A storm is counted by the engine as it happens, second by second. Where its count is not in the rows
of a queue, their windows are judged by the same rule: much more is asked for than was asked for the
first time, and little of it succeeds, or most of what is asked for again is denied.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, Literal, TypeAlias

from penstock._lint._shape import (
    LARGEST,
    MOST_COMPLEX,
    MOST_EDGES,
    MOST_LOOSE_JOINS,
    Shape,
    shape,
)
from penstock._lint._subject import Subject
from penstock._scorecard import NodeFacts, Row, merge
from penstock._scorecard._rows import Body

from ._graphs import graph_of
from ._reading import Terms
from ._runs import DEFAULT

Found: TypeAlias = Literal["engine", "windows", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StormStep:
    """A step that waits in a queue.

    Attributes:
        step: its name.
        workflow: that it belongs to.
        owner: who answers for it; None if nobody is named.
        playbook: what a person does; None if there is none.
        attempts: in the windows that are looked at.
        retries: of these.
    """

    step: str
    workflow: str
    owner: str | None
    playbook: str | None
    attempts: int = 0
    retries: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class StormWindow:
    """A window in which a queue was in a storm.

    Attributes:
        start: in seconds since 1970.
        width: in seconds.
        demand: attempts and denied retries for each first attempt.
        goodput: successes for each first attempt.
        denied: retries that nobody paid for.
    """

    start: float
    width: int
    demand: float
    goodput: float
    denied: int


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueStorms:
    """What a queue went through.

    Attributes:
        queue: its name.
        found: by what a storm was found: "engine" counted it, "windows" look like one, or "none".
        storms: that the engine counted; None if the rows do not say.
        seconds: that they lasted; None likewise.
        demand: attempts and denied retries for each first attempt, over all; None without any.
        peak: the highest demand of a window; None likewise.
        denied: retries that nobody paid for.
        windows: those in a storm, in order.
        steps: those that wait in it, the one with most retries in these windows first.
    """

    DERIVED: ClassVar = ("rule",)

    queue: str
    found: Found
    storms: int | None
    seconds: float | None
    demand: float | None
    peak: float | None
    denied: int
    windows: tuple[StormWindow, ...]
    steps: tuple[StormStep, ...]

    @property
    def rule(self) -> str:
        """How it was found, in words."""
        return _RULES[self.found]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tangle:
    """How tangled a workflow is.

    Attributes:
        workflow: its name.
        version: of it, the newest.
        owner: who answers for it; None if nobody is named.
        shape: what lint measures; a score above 1.0 is called spaghetti.
        worst: which measure says so: "nodes", "complexity", "degree" or "loose joins".
    """

    DERIVED: ClassVar = ("spaghetti",)

    workflow: str
    version: str
    owner: str | None
    shape: Shape
    worst: str

    @property
    def spaghetti(self) -> bool:
        """Whether it is more than one can follow."""
        return self.shape.score > 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Storms:
    """Where a store's storms and tangles are.

    Attributes:
        queues: those with storms first, then by demand.
        tangles: the most tangled first.
    """

    queues: tuple[QueueStorms, ...]
    tangles: tuple[Tangle, ...]


def storms(rows: Sequence[Row], terms: Iterable[Terms]) -> Storms:
    """Find storms in rows, and tangles in graphs.

    O(numbers in the rows), and O(nodes² / 64 + edges) for each graph.

    Args:
        rows: of a window.
        terms: of the versions that run; of a workflow's versions the last one counts.
    """
    last = {each.workflow: each for each in terms}
    queues = _queues(rows, last.values())
    tangles = [_tangle(each) for each in last.values() if each.graph is not None]
    return Storms(
        queues=tuple(sorted(queues, key=_by_storms)),
        tangles=tuple(sorted(tangles, key=lambda it: (-it.shape.score, it.workflow))),
    )


def is_stormy(body: Mapping[str, float]) -> bool:
    """Whether a queue's window looks like a storm."""
    first, sent, denied = (body.get(name, 0) for name in ("first", "attempts", "denied"))
    asked = sent + denied
    if asked < VOLUME or asked <= DEMAND_HIGH * first:
        return False
    again = asked - first
    return body.get("succeeded", 0) < GOODPUT_LOW * first or denied > DENIED_HIGH * again


def _queues(rows: Sequence[Row], terms: Iterable[Terms]) -> list[QueueStorms]:
    windows: dict[str, dict[tuple[float, int], list[Body]]] = {}
    delays: dict[tuple[str, str, str], list[tuple[float, Mapping[str, float]]]] = {}
    for row in rows:
        queue = row.key.get("queue") or DEFAULT
        if row.kind == "queues":
            span = (row.window, row.width)
            windows.setdefault(queue, {}).setdefault(span, []).append(dict(row.body))
        elif row.kind == "delays":
            key = (queue, row.key["step"], row.key.get("workflow") or "")
            delays.setdefault(key, []).append((row.window, row.body))
    known: dict[tuple[str, str], NodeFacts] = {}
    for each in terms:
        for facts in each.nodes.values():
            known[facts["step"], each.workflow] = NodeFacts(**facts)
    found: list[QueueStorms] = []
    for queue, spans in windows.items():
        sums = {span: merge(*bodies) for span, bodies in sorted(spans.items())}
        stormy = {span: body for span, body in sums.items() if _in_storm(body)}
        whole = merge(*sums.values())
        inside = {start for start, _ in stormy} or {start for start, _ in sums}
        steps = [
            _step(step, workflow, known.get((step, workflow)), bodies, inside)
            for (of, step, workflow), bodies in delays.items()
            if of == queue
        ]
        counted = whole.get("storms") if _tells_storms(sums.values()) else None
        demands = [it for it in map(_demand, sums.values()) if it is not None]
        by: Found = "engine" if counted else "windows" if stormy else "none"
        found.append(
            QueueStorms(
                queue=queue,
                found=by,
                storms=None if counted is None else int(counted),
                seconds=None if counted is None else whole.get("storm_ns", 0) / 1e9,
                demand=_demand(whole),
                peak=max(demands, default=None),
                denied=int(whole.get("denied", 0)),
                windows=tuple(_window(*span, body) for span, body in stormy.items()),
                steps=tuple(sorted(steps, key=lambda it: (-it.retries, -it.attempts, it.step))),
            )
        )
    return found


def _in_storm(body: Mapping[str, float]) -> bool:
    return bool(body.get("storms") or body.get("storm_ns")) or is_stormy(body)


def _tells_storms(bodies: Iterable[Mapping[str, float]]) -> bool:
    """Whether the engine's own count is in the rows: what is 0 may be left out of single ones."""
    return any("storms" in body or "storm_ns" in body for body in bodies)


def _demand(body: Mapping[str, float]) -> float | None:
    first = body.get("first", 0)
    return (body.get("attempts", 0) + body.get("denied", 0)) / first if first else None


def _window(start: float, width: int, body: Mapping[str, float]) -> StormWindow:
    first = body.get("first", 0)
    return StormWindow(
        start=start,
        width=width,
        demand=_demand(body) or 0.0,
        goodput=body.get("succeeded", 0) / first if first else 0.0,
        denied=int(body.get("denied", 0)),
    )


def _step(
    step: str,
    workflow: str,
    facts: NodeFacts | None,
    bodies: Iterable[tuple[float, Mapping[str, float]]],
    inside: set[float],
) -> StormStep:
    """A step by its rows of the windows that are looked at."""
    seen = [body for window, body in bodies if window in inside]
    return StormStep(
        step=step,
        workflow=workflow,
        owner=None if facts is None else facts.owner,
        playbook=None if facts is None else facts.playbook,
        attempts=int(sum(body.get("attempts", 0) for body in seen)),
        retries=int(sum(body.get("retries", 0) for body in seen)),
    )


def _tangle(terms: Terms) -> Tangle:
    owners = {path: facts.get("owner") for path, facts in terms.nodes.items()}
    found = shape(Subject(graph=graph_of(terms.graph or {}, owners), owner=terms.owner))
    parts = {
        "nodes": found.largest / LARGEST,
        "complexity": found.complexity / MOST_COMPLEX,
        "degree": found.degree / MOST_EDGES,
        "loose joins": found.loose_joins / MOST_LOOSE_JOINS,
    }
    return Tangle(
        workflow=terms.workflow,
        version=terms.version,
        owner=terms.owner,
        shape=found,
        worst=max(parts, key=parts.__getitem__),
    )


def _by_storms(found: QueueStorms) -> tuple[float, ...]:
    rank = {"engine": 0, "windows": 1, "none": 2}[found.found]
    return rank, -len(found.windows), -(found.peak or 0.0)


VOLUME: Final = 20
DEMAND_HIGH: Final = 1.5
GOODPUT_LOW: Final = 0.9
DENIED_HIGH: Final = 0.5
_RULES: Final[Mapping[Found, str]] = {
    "engine": "the engine counted it: demand above 1.5 in 3 of 5 seconds, and goodput below 0.9 or "
    "most retries denied",
    "windows": "windows with demand above 1.5, and goodput below 0.9 or most retries denied",
    "none": "no window with demand above 1.5 and goodput below 0.9",
}
