"""R5 and R6: how long a run can take, and how often it can try.

The worst case: every attempt fails but the last, every timeout is used up, every loop and recursion
goes to its bound, every branch is taken. Waits in queues, and those that a step asks for with
`RetryAfter`, come on top; so do compensations, and runs that are spawned. What a run can cost is
not known before estimates have prices.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, inf, isfinite
from typing import Final

from penstock._graph import GraphNode, Loop, Map, Recurse, Sleep, Wait
from penstock._options import OptionName
from penstock._policies import RetryPolicy

from ._subject import Found, Subject, attempts, places, producers


@dataclass(frozen=True, slots=True, kw_only=True)
class Worst:
    """What one run can come to.

    Attributes:
        attempts: of all steps together.
        seconds: on its longest path; `inf` if something on it has no limit.
        items: how many items each map was taken to have.
        unlimited: paths of the nodes that have no limit in time.
    """

    attempts: int
    seconds: float
    items: int
    unlimited: tuple[str, ...]


def worst(subject: Subject) -> Worst:
    """The worst case of a run. O(nodes + edges), and the bound of each recursion."""
    attempted, seconds = _Bounds(subject).region(0)
    nodes = subject.graph.nodes
    unlimited = [node.path for node in nodes if node.kind != "undo" and longest(node) == inf]
    return Worst(
        attempts=attempted, seconds=seconds, items=subject.items, unlimited=tuple(unlimited)
    )


def check(subject: Subject) -> Found:
    """Findings about time and repetition."""
    yield from _hangs(subject)
    for index, node in enumerate(subject.graph.nodes):
        yield from _timeouts(subject, index, node)
        tries, repeats = attempts(node), subject.repeats(index)
        if node.kind == "step" and tries > 1 and tries * repeats > _MOST_TRIES:
            around = f", in bodies that repeat {repeats} times" if repeats > 1 else ""
            yield subject.finding(
                "R6.1",
                index,
                f"it can be tried {tries * repeats} times in one run: {tries} attempts{around}",
            )
    if subject.deadline is not None:
        case = worst(subject)
        if case.seconds > subject.deadline:
            yield subject.finding(
                "R5.3",
                None,
                f"a run can take {_told(case.seconds)}, and its deadline is "
                f"{_told(subject.deadline)}",
                _unlimited(case),
            )


def longest(node: GraphNode) -> float:
    """Seconds that a node by itself can take: all attempts and the waits between them."""
    if isinstance(node.detail, Sleep):
        return node.detail.seconds
    if isinstance(node.detail, Wait):
        return node.detail.timeout or inf
    if node.step is None:
        return 0.0
    total = node.option("total_timeout")
    return min(_all_attempts(node), inf if total is None else total)


def _all_attempts(node: GraphNode) -> float:
    timeout = node.option("timeout")
    retry: RetryPolicy | None = node.option("retry")
    return (inf if timeout is None else timeout) * attempts(node) + _waits(retry)


def _waits(retry: RetryPolicy | None) -> float:
    """Seconds between all attempts, where jitter draws the longest. O(attempts until the cap)."""
    if retry is None:
        return 0.0
    total, wait = 0.0, retry.initial_interval
    for done in range(1, retry.max_attempts):
        if wait >= retry.max_interval or wait == 0.0 or retry.backoff_coefficient == 1.0:
            return total + min(wait, retry.max_interval) * (retry.max_attempts - done)
        total += wait
        wait *= retry.backoff_coefficient
    return total


def _hangs(subject: Subject) -> Found:
    if subject.deadline is not None:
        return
    for step, nodes in (*subject.steps.items(), *subject.undoing.items()):
        endless = [
            index
            for index in nodes
            if all(subject.graph.nodes[index].option(name) is None for name in _LIMITS)
        ]
        if endless:
            what = f"step {step.name!r} has no timeout: an attempt may hang for ever"
            yield subject.finding("R5.1", endless[0], what + places(endless))


def _timeouts(subject: Subject, index: int, node: GraphNode) -> Found:
    if isinstance(node.detail, Wait) and not node.detail.timeout:
        what = f"it waits for signal {node.detail.signal.name!r} without a timeout"
        yield subject.finding("R5.5", index, what)
    if node.step is None:
        return
    timeout, total = node.option("timeout"), node.option("total_timeout")
    heartbeat = node.option("heartbeat_timeout")
    if heartbeat is not None and timeout is not None and heartbeat >= timeout:
        what = f"its heartbeat_timeout of {_told(heartbeat)} never ends an attempt before its "
        yield subject.finding("R5.4", index, f"{what}timeout of {_told(timeout)}")
    needed = _all_attempts(node)
    if total is not None and isfinite(needed) and needed > total:
        what = f"{attempts(node)} attempts and their waits can take {_told(needed)}, and its "
        yield subject.finding("R5.2", index, f"{what}total_timeout is {_told(total)}")


class _Bounds:
    """Adds the worst cases of nodes up to that of a region: (attempts, seconds)."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._deeper: dict[int, tuple[int, float]] = {}

    def region(self, number: int) -> tuple[int, float]:
        """All frames that one opening of a region can come to."""
        depth = min(self._subject.depths.get(number, 0), _MOST_LEVELS)
        if not depth:
            return self._once(number)
        case = (0, 0.0)
        for _ in range(depth):
            self._deeper[number] = case
            case = self._once(number)
        return case

    def _once(self, number: int) -> tuple[int, float]:
        region = self._subject.graph.regions[number]
        tried = 0
        over: dict[int, float] = {}
        for index in range(region.start, region.stop):
            node = self._subject.graph.nodes[index]
            if node.kind == "undo":
                continue
            count, seconds = self._node(node)
            tried += count
            over[index] = seconds + max((over[i] for i in producers(node)), default=0.0)
        return tried, max(over.values(), default=0.0)

    def _node(self, node: GraphNode) -> tuple[int, float]:
        detail = node.detail
        if isinstance(detail, Map):
            tried, seconds = self.region(detail.body)
            items = self._subject.items
            turns = ceil(items / detail.concurrency) if detail.concurrency else min(items, 1)
            return tried * items, seconds * turns if turns else 0.0
        if isinstance(detail, Loop):
            tried, seconds = self.region(detail.body)
            return tried * detail.max_iterations, seconds * detail.max_iterations
        if isinstance(detail, Recurse):
            inside = detail.max_depth and detail.body in self._deeper
            return self._deeper[detail.body] if inside else self.region(detail.body)
        return attempts(node) if node.kind == "step" else 0, longest(node)


def _unlimited(case: Worst) -> str | None:
    if not case.unlimited:
        return None
    named = ", ".join(repr(path) for path in case.unlimited[:3])
    more = len(case.unlimited) - 3
    return f"give a timeout to {named}" + (f" and {more} more" if more > 0 else "")


def _told(seconds: float) -> str:
    return f"{seconds:.6g} s" if isfinite(seconds) else "any time"


_LIMITS: Final[tuple[OptionName, ...]] = ("timeout", "total_timeout", "heartbeat_timeout")
_MOST_TRIES: Final = 10
_MOST_LEVELS: Final = 1000
