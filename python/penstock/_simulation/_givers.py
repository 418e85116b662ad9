"""Givers: the steps and the people one of whom gives a run's value, as far as its graph tells."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from penstock._graph import Loop, Map, Recurse, Wait

if TYPE_CHECKING:
    from penstock._graph import Graph, GraphNode


def givers_of(graph: Graph) -> list[int]:
    """The nodes one of which gives a run's value: those that its last choice is between. O(nodes).

    Where nothing is chosen, those that the output takes its value from.
    """
    return list(dict.fromkeys(_back(graph, [_last_choice(graph)], lambda _: True)))


def giver_of(graph: Graph, taken: Callable[[int], bool]) -> int | None:
    """The node that gave the value of one run; None if it can't be told.

    Args:
        graph: of the run.
        taken: whether a node carried a value.
    """
    return next(_back(graph, [_last_choice(graph)], taken), None)


def is_answer(node: GraphNode) -> bool:
    """Whether somebody's answer is the node's value."""
    return isinstance(node.detail, Wait)


def _last_choice(graph: Graph) -> int:
    """The merge next to the output, else the output."""
    seen = line = [graph.output]
    while line:
        for place in line:
            if graph.nodes[place].kind == "merge":
                return place
        line = list(dict.fromkeys(i for place in line for i in graph.nodes[place].inputs))
        line = [place for place in line if place not in seen]
        seen = [*seen, *line]
    return graph.output


def _back(graph: Graph, line: list[int], taken: Callable[[int], bool]) -> Iterator[int]:
    """From some nodes back to the steps and answers whose values they pass on."""
    for place in line:
        node = graph.nodes[place]
        if not taken(place):
            continue
        if node.step is not None or is_answer(node):
            yield place
        elif isinstance(node.detail, Map | Loop | Recurse):
            # What is inside gave it, whatever became of one frame or another.
            yield from _back(graph, [graph.regions[node.detail.body].output], lambda _: True)
        else:
            yield from _back(graph, list(node.inputs), taken)
