"""Visits: how often a run comes to each node on the average, by what the model says of choices.

Branches are taken as told, and as independent of each other but for what one is inside of. It is an
estimate for formulas: the simulator plays the graph as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from penstock import _judging
from penstock._graph import Accept, Case, Graph, GraphNode, Loop, Map, Recurse, Switch
from penstock._simulation._model import Model
from penstock._simulation._subject import judged_step

Succeeds = Callable[[GraphNode], float]


def visits_of(
    graph: Graph, model: Model, succeeds: Succeeds, at: Callable[[GraphNode], float | None]
) -> list[float]:
    """By node, how often a run comes to it. O(nodes).

    Args:
        graph: of a workflow.
        model: of it.
        succeeds: the probability that a node with a step gives a value, retries included.
        at: the least score that a node accepts.
    """
    reached = [0.0] * len(graph.nodes)
    given = [0.0] * len(graph.nodes)
    times = [1.0] + [0.0] * (len(graph.regions) - 1)
    for index, node in enumerate(graph.nodes):
        reach = _reach(graph, index, reached, given, model, at)
        reached[index] = reach
        given[index] = reach * (1.0 if node.step is None else succeeds(node))
        if _refuses(node):
            given[index] = 0.0
        body = _body(node)
        if body is not None and body != node.region:
            times[body] += times[node.region] * reach * _times(node, model)
    return [reach * times[node.region] for reach, node in zip(reached, graph.nodes, strict=True)]


def _reach(
    graph: Graph,
    index: int,
    reached: list[float],
    given: list[float],
    model: Model,
    at: Callable[[GraphNode], float | None],
) -> float:
    """How likely a node is reached, in a frame of its region."""
    node = graph.nodes[index]
    gates = min((given[gate] for gate in node.gates), default=1.0)
    values = [given[source] for source in node.inputs]
    if isinstance(node.detail, Case):
        return min(gates, _case(graph, node, reached, given, model, at))
    match node.kind:
        case "undo":
            return 0.0
        case "merge":
            return min(gates, sum(values), 1.0)
        case "race":
            return min(gates, max(values, default=1.0))
        case "collect" | "optional":
            return gates
        case "accept":  # what fails is judged too: it is rejected
            return min(gates, reached[node.inputs[0]])
        case "when":
            choice = model.choices.get(node.path)
            taken = 1.0 if choice is None else choice.outcomes.get("taken", 0.0)
            return min(gates, *values) * taken
        case _:
            return min(gates, *values) if values else gates


def _case(
    graph: Graph,
    node: GraphNode,
    reached: list[float],
    given: list[float],
    model: Model,
    at: Callable[[GraphNode], float | None],
) -> float:
    """How likely a case of a decision is taken."""
    (source,) = node.inputs
    decision, detail = graph.nodes[source], node.detail
    taken = detail.taken if isinstance(detail, Case) else ()
    choice = model.choices.get(decision.path)
    if isinstance(decision.detail, Switch):
        labels = [decision.detail.labels[outcome] for outcome in taken]
        if choice is None:
            return 0.0
        return given[source] * sum(choice.outcomes.get(label, 0.0) for label in labels)
    judged = decision.inputs[0]
    accepted = 1.0
    if decision.function is not None:
        step = judged_step(graph, decision)
        known = model.steps.get(step) if step is not None else None
        found = None if known is None else known.accepts(at(decision))
        if found is None:
            found = choice.outcomes.get("accepted", 0.0) if choice is not None else 1.0
        accepted = found
    explore = decision.detail.explore if isinstance(decision.detail, Accept) else 0.0
    # A copy of the same call: what is reached is of the value that is judged.
    yes = min(given[judged], reached[source]) * accepted
    shares_of = {0: reached[source] - yes, 1: yes * (1 - explore), 2: yes * explore}
    return sum(shares_of[outcome] for outcome in taken)


def _refuses(node: GraphNode) -> bool:
    """Whether a node fails what a step's threshold has rejected."""
    return node.kind == "apply" and getattr(node.function, "__module__", "") == _judging.__name__


def _body(node: GraphNode) -> int | None:
    detail: Any = node.detail
    return detail.body if isinstance(detail, Map | Loop | Recurse) else None


def _times(node: GraphNode, model: Model) -> float:
    """How often the body of a map or a loop runs."""
    choice = model.choices.get(node.path)
    if isinstance(node.detail, Map):
        return 1.0 if choice is None or choice.count is None else choice.count.mean()
    if not isinstance(node.detail, Loop) or choice is None or not choice.until:
        return 1.0
    total, still = 0.0, 1.0
    for iteration in range(node.detail.max_iterations):
        total += still
        still *= 1 - choice.until[min(iteration, len(choice.until) - 1)]
        if still < 1e-12:
            break
    return total
