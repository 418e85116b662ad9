"""Which moves of the state machines the runs of a graph can make, when nothing interferes.

What an operator, a budget, a breaker, a crash or the end of a runtime does to a run belongs to no
graph, so no test of a workflow has to show it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, TypeAlias

from . import _engine
from ._graph import Collect, Graph, GraphNode, NodeKind, Wait

Move: TypeAlias = tuple[str, str]


def run_moves(graph: Graph) -> Iterator[Move]:
    """The rows of the runs' table that the graph can make."""
    states = _states(graph)
    for before, after, cause in _engine.RUN_TABLE:
        if {before, after} <= states and cause not in ("retry", "resume"):
            yield before, after


def node_moves(graph: Graph) -> Iterator[Move]:
    """The rows of the nodes' table that the graph can make."""
    states = _states(graph)
    kinds = {node.kind for node in graph.nodes}
    for before, after, _ in _engine.NODE_TABLE:
        move = (before, after)
        possible = not kinds.isdisjoint(_ONLY_BY.get(move, kinds))
        if possible and {before, after} <= states and move not in _INTERFERENCE:
            yield move


def can_retry(node: GraphNode) -> bool:
    """Whether a failed attempt may be repeated."""
    retry = None if node.step is None else node.option("retry")
    return retry is not None and retry.max_attempts > 1


def _states(graph: Graph) -> set[str]:
    kinds = {node.kind for node in graph.nodes}
    states = {"waiting", "ready", "running", "succeeded", "failed", "cancelled"}
    if "undo" in kinds:
        states |= {"compensating", "compensated", "compensation_failed"}
    if kinds & {"signal", "sleep"}:
        states.add("awaiting")
    if "acquire" in kinds:
        states.add("parked")
    if any(map(can_retry, graph.nodes)):
        states.add("backoff")
    if any(node.step is not None and node.step.effects == "once" for node in graph.nodes):
        states.add("unknown")
    if any(map(_can_skip, graph.nodes)):
        states.add("skipped")
    return states


def _can_skip(node: GraphNode) -> bool:
    """Whether the node starts a dead path."""
    match node.detail:
        case Collect(need=need):
            return need > 0
        case Wait(on_timeout=on_timeout):
            return on_timeout == "skip"
        case _:
            return node.kind in ("switch", "when", "accept", "shield", "race", "cancel")


_PASSING: Final = frozenset[NodeKind](
    {"case", "merge", "race", "optional", "accept", "shield", "cancel"}
)
_ONLY_BY: Final[Mapping[Move, frozenset[NodeKind]]] = {
    ("waiting", "succeeded"): _PASSING,
    ("waiting", "failed"): frozenset({"collect", "race"}),
    ("waiting", "running"): frozenset({"loop", "recurse"}),
    ("running", "skipped"): frozenset({"when"}),
}
_INTERFERENCE: Final = frozenset[Move](
    {
        ("running", "ready"),
        ("ready", "parked"),
        ("backoff", "parked"),
        ("parked", "ready"),
        ("parked", "failed"),
        ("compensation_failed", "compensating"),
        ("failed", "ready"),
    }
)
