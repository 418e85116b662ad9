"""R9 and R10: decisions without a consequence, repetitions without progress."""

from __future__ import annotations

from typing import Any, Final

from penstock._cases import members_of
from penstock._coverage_graph import outcome_labels
from penstock._errors import DefinitionError
from penstock._graph import Case, GraphNode, Loop, Recurse, Switch
from penstock._signatures import annotations_of

from ._subject import Found, Subject


def check(subject: Subject) -> Found:
    """Findings about decisions and repetitions."""
    for index, node in enumerate(subject.graph.nodes):
        if isinstance(node.detail, Switch) and _never_defaults(node, node.detail):
            yield subject.finding(
                "R9.1",
                index,
                f"its cases {', '.join(node.detail.labels[:-1])} are all there can be, so its "
                "default is never taken",
            )
        elif isinstance(node.detail, Case):
            yield from _loose_end(subject, index, node, node.detail)
        elif isinstance(node.detail, Loop):
            yield from _idle_loop(subject, index, node.detail)
        elif isinstance(node.detail, Recurse) and node.detail.max_depth:
            yield from _idle_recursion(subject, index, node, node.detail)


def _never_defaults(node: GraphNode, switch: Switch) -> bool:
    if not switch.default or switch.by_type or node.function is None:
        return False
    try:
        annotation = annotations_of(node.function, node.path).get("return", Any)
    except (DefinitionError, TypeError):
        return False
    values = members_of(annotation)
    return values is not None and all(value in switch.keys for value in values)


def _loose_end(subject: Subject, index: int, node: GraphNode, case: Case) -> Found:
    if subject.consumers[index] or index == subject.graph.regions[node.region].output:
        return
    decision = subject.graph.nodes[node.inputs[0]]
    labels = outcome_labels(decision)
    told = " or ".join(repr(labels[outcome]) for outcome in case.taken if outcome < len(labels))
    yield subject.finding("R9.2", index, f"nothing follows when {decision.path!r} is {told}")


def _idle_loop(subject: Subject, index: int, loop: Loop) -> Found:
    region = subject.graph.regions[loop.body]
    behind = subject.before(region.output) | {region.output}
    moves = any(_can_change(subject.graph.nodes[place]) for place in behind)
    if region.start not in behind and not moves:
        yield subject.finding(
            "R10.1",
            index,
            "its body neither uses the value it is given nor calls a step that is not pure, so "
            "every iteration gives the same",
        )


def _can_change(node: GraphNode) -> bool:
    """Whether a node may give another value for the same inputs."""
    if node.step is not None:
        return node.step.effects != "pure"
    return node.kind not in _FIXED


def _idle_recursion(subject: Subject, index: int, node: GraphNode, recurse: Recurse) -> Found:
    region = subject.graph.regions[recurse.body]
    given = tuple(_origin(subject, i) for i in node.inputs)
    if given == tuple(range(region.start, region.start + region.input_count)):
        yield subject.finding(
            "R10.2",
            index,
            "it passes on the inputs it was given, so that each level is like the one before",
        )


def _origin(subject: Subject, index: int) -> int:
    """The node that made a value, before decisions passed it on."""
    while subject.graph.nodes[index].kind in _PASSING:
        index = subject.graph.nodes[index].inputs[0]
    return index


_PASSING: Final = frozenset({"switch", "case", "when", "accept", "shield"})
_FIXED: Final = frozenset(
    {
        "input",
        "constant",
        "apply",
        "switch",
        "case",
        "when",
        "merge",
        "collect",
        "optional",
        "accept",
        "shield",
    }
)
