"""R6.2 and R6.4: retries that nothing pays for, and queues that they can keep overloaded.

R6.4 needs to know how many attempts a queue serves at once, when they are given up and how long
they take. Where it can tell, it stands in place of R6.2, which knows the number of attempts alone.
"""

from __future__ import annotations

from typing import Final

from penstock._demands import (
    Demand,
    advised,
    attempts_when_late,
    budget_in_words,
    demand,
    estimated,
    percent,
    retry_ratio,
    safe_up_to,
    told,
)
from penstock._errors import DefinitionError
from penstock._graph import GraphNode
from penstock._policies import Queue, RetryBudget
from penstock._stability import stability

from ._subject import Found, Subject, attempts, places


def check(subject: Subject) -> Found:
    """Findings about retries that feed themselves. O(nodes)."""
    solvable: dict[Queue, list[int]] = {}
    for nodes in subject.steps.values():
        for index in nodes:
            queue = _solvable_queue(subject.graph.nodes[index])
            if queue is not None:
                solvable.setdefault(queue, []).append(index)
    for queue, nodes in solvable.items():
        yield from _storm(subject, queue, sorted(nodes))
    judged = {index for nodes in solvable.values() for index in nodes}
    yield from _unbudgeted(subject, judged)


def _solvable_queue(node: GraphNode) -> Queue | None:
    """The queue of a node that tells all that its storms follow from."""
    queue: Queue | str | None = node.option("queue")
    if not isinstance(queue, Queue) or type(queue.concurrency) is not int:
        return None
    if node.option("timeout") is None or estimated(node) is None:
        return None
    return queue if attempts(node) > 1 and attempts_when_late(node) > 1 else None


def _storm(subject: Subject, queue: Queue, nodes: list[int]) -> Found:
    asked = demand(queue.name, [subject.graph.nodes[index] for index in nodes])
    if asked.at_once is None or asked.service is None:
        return
    capacity, budget = asked.at_once / asked.service, queue.retry_budget
    safe = safe_up_to(asked.attempts, budget, capacity)
    if safe >= _FILLED:
        return
    better, how = advised(asked.attempts, capacity)
    remedy = f"{'lower its' if budget else 'give it a'} ps.RetryBudget: with {how} it is safe up to"
    yield subject.finding(
        "R6.4",
        nodes[0],
        f"queue {queue.name!r} can stay in a retry storm above {percent(safe)} of what it can "
        f"serve, {told(safe * capacity)} first attempts a second (up to {asked.attempts} attempts, "
        f"{budget_in_words(budget)}){_below(asked, budget, safe * capacity)}{places(nodes)}",
        f"{remedy} {percent(safe_up_to(asked.attempts, better, capacity))}",
    )


def _below(asked: Demand, budget: RetryBudget | None, arrivals: float) -> str:
    """What is said of lower loads: nothing if waits alone can hold the queue up there.

    They can where the timeout is not much longer than the service, and with few servers.
    """
    if asked.at_once is None or asked.service is None or asked.timeout is None:
        return ""
    try:
        tried = [
            stability(
                arrivals=share * arrivals,
                concurrency=asked.at_once,
                service_time=asked.service,
                timeout=asked.timeout,
                max_attempts=asked.attempts,
                retry_ratio=retry_ratio(budget, share * arrivals),
            )
            for share in _BELOW
        ]
    except DefinitionError:  # more than can be solved for
        return ""
    return "" if any(found.vulnerable for found in tried) else "; below that it is safe"


def _unbudgeted(subject: Subject, judged: set[int]) -> Found:
    """R6.2 for the nodes that R6.4 can't judge."""
    for step, nodes in subject.steps.items():
        free = [
            index
            for index in nodes
            if index not in judged
            and attempts(subject.graph.nodes[index]) > 1
            and _budget_of(subject.graph.nodes[index])
        ]
        if free:
            most = max(attempts(subject.graph.nodes[index]) for index in free)
            yield subject.finding(
                "R6.2",
                free[0],
                f"step {step.name!r} has up to {most} attempts and "
                f"{_budget_of(subject.graph.nodes[free[0]])}: when what it calls is down, that "
                f"gets up to {most} times the calls{places(free)}",
            )


def _budget_of(node: GraphNode) -> str:
    """Why nothing limits the retries of a node; empty if something does, or may."""
    queue: Queue | str | None = node.option("queue")
    if queue is None:
        return "waits in no queue of its own"
    if isinstance(queue, Queue) and queue.retry_budget is None:
        return f"its queue {queue.name!r} has no retry budget"
    return ""


_FILLED: Final = 0.7
"""Queues are commonly planned to be filled so far: a budget that is safe up to there is let be."""
_BELOW: Final = (0.8, 0.85, 0.9, 0.95)
