"""Handoffs: which edges of a graph carry a value from one owner to another."""

from __future__ import annotations

from dataclasses import dataclass

from ._graph import Graph, GraphNode, Loop, Map, Recurse, Wait


@dataclass(frozen=True, slots=True, kw_only=True)
class Handoff:
    """An edge on which work goes from one owner to another.

    Attributes:
        start: index of the producer; what passes values on (a case, a merge, an apply) may be one.
        end: index of the node that works on it.
        givers: the owners of what made the value, other than the taker.
        taker: the owner of `end`.
    """

    start: int
    end: int
    givers: tuple[str, ...]
    taker: str


def owner_of(node: GraphNode, default: str | None = None) -> str | None:
    """Who answers for the work of `node`; None for what only passes values on.

    Args:
        node: of a graph.
        default: the owner of its workflow, for a step that has none of its own.
    """
    if node.step is not None:
        return node.step.owner or default
    return node.detail.owner if isinstance(node.detail, Wait) else None


def handoffs(graph: Graph, default: str | None = None) -> list[Handoff]:
    """Every edge between two owners, whatever passes the value on in between. O(nodes + edges).

    Args:
        graph: of a workflow.
        default: the owner of the workflow.
    """
    makers = makers_of(graph, default)
    found: list[Handoff] = []
    for index, node in enumerate(graph.nodes):
        taker = owner_of(node, default)
        if taker is None or node.kind == "undo":
            continue
        for producer in dict.fromkeys(node.inputs):
            givers = tuple(sorted(makers[producer] - {taker}))
            if givers:
                found.append(Handoff(start=producer, end=index, givers=givers, taker=taker))
    return found


def makers_of(graph: Graph, default: str | None) -> list[frozenset[str]]:
    """For each node, the owners whose work its value is. O(nodes + edges).

    Args:
        graph: of a workflow.
        default: the owner of the workflow.
    """
    makers: list[frozenset[str]] = [frozenset()] * len(graph.nodes)
    bodies: set[int] = set()

    def fill(region: int, given: list[frozenset[str]]) -> frozenset[str]:
        bodies.add(region)
        place = graph.regions[region]
        for index in range(place.start, place.stop):
            node = graph.nodes[index]
            owner = owner_of(node, default)
            if node.kind == "input":
                position = index - place.start
                makers[index] |= given[position] if position < len(given) else frozenset()
            elif owner is not None:
                makers[index] = frozenset({owner})
            else:
                arriving = [makers[i] for i in node.inputs]
                makers[index] = frozenset[str]().union(*arriving)
                body = body_of(node)
                if body is not None and body not in bodies:
                    makers[index] = fill(body, arriving)
        return makers[place.output]

    fill(0, [])
    return makers


def body_of(node: GraphNode) -> int | None:
    """The region that `node` repeats, or None."""
    return node.detail.body if isinstance(node.detail, Map | Loop | Recurse) else None
