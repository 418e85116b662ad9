"""Demands: what the steps of workflows ask of a queue, as far as the model says so.

Each number is the one that makes a retry storm the likeliest to be seen: the most attempts, and of
the timeouts the longest. How often work arrives is in no model.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from ._graph import Graph, GraphNode, Spawn
from ._policies import Adaptive, Cost, Queue, RetryBudget, RetryPolicy
from ._stability import MOST_ATTEMPTS


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """What steps ask of one queue.

    Attributes:
        queue: its name.
        models: the different queues of that name; none if steps know it by its name only.
        steps: names of the steps that wait in it.
        attempts: how often a late attempt is made at most; a hedge's copy counts.
        timeout: the longest of its steps, in seconds; None if none has one.
        service: seconds that an attempt takes, the mean of the steps; None if one does not say.
        unestimated: names of the steps that do not say how long they take.
    """

    queue: str
    models: tuple[Queue, ...]
    steps: tuple[str, ...]
    attempts: int
    timeout: float | None
    service: float | None
    unestimated: tuple[str, ...]

    @property
    def model(self) -> Queue | None:
        """The queue, if there is exactly one."""
        return self.models[0] if len(self.models) == 1 else None

    @property
    def at_once(self) -> int | None:
        """Attempts that run at once at most; None if that is not said."""
        concurrency = None if self.model is None else self.model.concurrency
        return concurrency.max_limit if isinstance(concurrency, Adaptive) else concurrency


def demands(graphs: Iterable[Graph]) -> list[Demand]:
    """What the workflows, and those they spawn, ask of each queue, by name. O(nodes)."""
    waiting: dict[str, list[GraphNode]] = {}
    for graph in _reached(graphs):
        for node in graph.nodes:
            queue: Queue | str | None = node.option("queue")
            if node.kind == "step" and queue is not None:
                waiting.setdefault(queue if isinstance(queue, str) else queue.name, []).append(node)
    return [demand(name, waiting[name]) for name in sorted(waiting)]


def demand(queue: str, nodes: Iterable[GraphNode]) -> Demand:
    """What nodes that wait in a queue ask of it."""
    models: dict[Queue, None] = {}
    service: dict[tuple[str, str, float], None] = {}
    steps, unestimated = dict[str, None](), dict[str, None]()
    attempts, timeouts = 1, list[float]()
    for node in nodes:
        if node.step is None:
            continue
        name, model, timeout = node.step.name, node.option("queue"), node.option("timeout")
        steps[name] = None
        if isinstance(model, Queue):
            models[model] = None
        if timeout is not None:
            timeouts.append(timeout)
            attempts = max(attempts, attempts_when_late(node))
        seconds = estimated(node)
        if seconds is None:
            unestimated[name] = None
        else:
            service[name, node.step.version, seconds] = None
    known = [seconds for _, _, seconds in service]
    return Demand(
        queue=queue,
        models=tuple(models),
        steps=tuple(steps),
        attempts=attempts,
        timeout=max(timeouts, default=None),
        service=sum(known) / len(known) if known and not unestimated else None,
        unestimated=tuple(unestimated),
    )


def attempts_when_late(node: GraphNode) -> int:
    """How often a node is attempted if every attempt is late; twice as often with a hedge."""
    retry: RetryPolicy | None = node.option("retry")
    retried = retry is not None and retry.retries(TimeoutError())
    tries = retry.max_attempts if retry is not None and retried else 1
    return min(tries if node.option("hedge") is None else 2 * tries, MOST_ATTEMPTS)


def estimated(node: GraphNode) -> float | None:
    """Seconds that an attempt of a node is expected to take; None if it does not say."""
    estimate: Cost | None = node.option("estimate")
    return None if estimate is None else estimate.seconds


def retry_ratio(budget: RetryBudget | None, arrivals: float) -> float | None:
    """Retries for each of so many first attempts per second; None without a budget."""
    return None if budget is None else budget.ratio + budget.floor / arrivals


def safe_up_to(attempts: int, budget: RetryBudget | None, capacity: float) -> float:
    """The utilisation above which a storm can last.

    That is where first attempts and all retries together are as much as can be served. What is
    free in a budget does not grow with the load, so it takes a fixed part of it away.

    Args:
        attempts: of a step, at most.
        budget: what the retries are paid from, if anything.
        capacity: attempts per second that can be served.
    """
    if budget is None:
        return 1 / attempts
    return max(1 / attempts, (1 - budget.floor / capacity) / (1 + budget.ratio))


def advised(attempts: int, capacity: float) -> tuple[RetryBudget, str]:
    """A budget that leaves most of the capacity usable, and in words what is special about it.

    One retry a second that is free is nothing to a queue that serves hundreds; where it is much,
    the budget has none.
    """
    usual = RetryBudget()
    strict = RetryBudget(floor=0)
    lost = safe_up_to(attempts, strict, capacity) - safe_up_to(attempts, usual, capacity)
    if lost <= _LITTLE:
        return usual, f"ratio {usual.ratio:g}"
    return strict, f"ratio {strict.ratio:g} and floor 0"


def budget_in_words(budget: RetryBudget | None) -> str:
    """Such as "no retry budget", or "a retry budget of ratio 0.1 and 1 a second"."""
    if budget is None:
        return "no retry budget"
    free = f" and {budget.floor:g} a second" if budget.floor else ""
    return f"a retry budget of ratio {budget.ratio:g}{free}"


def percent(share: float) -> str:
    """A share as people write it: "33 %", "0.4 %"."""
    return f"{100 * share:.0f} %" if share >= 0.01 or share == 0 else f"{100 * share:.1g} %"


def told(number: float) -> str:
    """A number in a sentence: "0.5", "33.3", "1,234"."""
    return f"{number:.3g}" if number < 100 else f"{number:,.0f}"


def _reached(graphs: Iterable[Graph]) -> Iterator[Graph]:
    """The graphs, and those of what they spawn; each once."""
    seen: set[int] = set()
    open_ones = list(graphs)[::-1]
    while open_ones:
        graph = open_ones.pop()
        if id(graph) in seen:
            continue
        seen.add(id(graph))
        yield graph
        details = (node.detail for node in graph.nodes)
        open_ones += [detail.workflow.graph for detail in details if isinstance(detail, Spawn)]


_LITTLE: Final = 0.02
