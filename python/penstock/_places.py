"""Places: what a node's figures need to know of where it stands in its graph."""

from __future__ import annotations

from typing import NamedTuple

from ._graph import Graph
from ._handoffs import makers_of, owner_of


class Place(NamedTuple):
    """Where a node stands.

    Attributes:
        replaced: another takes its place when it fails.
        stands_in: it takes the place of another that has failed.
        handoffs: how many of its inputs are the work of other steps or people, and how many of
            them that of another owner.
    """

    replaced: bool
    stands_in: bool
    handoffs: tuple[int, int]


def places_of(graph: Graph, default: str | None = None) -> list[Place]:
    """Where each node of a graph stands. O(nodes + edges).

    Args:
        graph: of a workflow.
        default: the owner of the workflow.
    """
    judges = {i for i, node in enumerate(graph.nodes) if _is_fallback(graph, i)}
    replaced = {graph.nodes[judge].inputs[0] for judge in judges}
    rejected = {
        index
        for index, node in enumerate(graph.nodes)
        if node.kind == "case" and node.inputs[0] in judges
    }
    makers = makers_of(graph, default)
    works = _works(graph)
    places: list[Place] = []
    for index, node in enumerate(graph.nodes):
        taker = owner_of(node, default)
        given = [i for i in node.inputs if works[i]]
        cross = [i for i in given if taker is not None and makers[i] - {taker}]
        places.append(
            Place(
                replaced=index in replaced,
                stands_in=bool(rejected.intersection((*node.gates, *node.inputs))),
                handoffs=(min(len(given), _MOST), min(len(cross), _MOST)),
            )
        )
    return places


def _is_fallback(graph: Graph, index: int) -> bool:
    """Whether a node judges a step that has a fallback."""
    node = graph.nodes[index]
    return node.kind == "accept" and node.function is None


def _works(graph: Graph) -> list[bool]:
    """For each node, whether its value is a step's work, whatever passed it on."""
    works = [False] * len(graph.nodes)
    for index, node in enumerate(graph.nodes):
        opens = node.kind in ("map", "loop", "recurse")
        works[index] = node.step is not None or opens or any(works[i] for i in node.inputs)
    return works


_MOST = 255
