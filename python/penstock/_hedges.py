"""Hedges: which nodes may not have one. A hedge runs a step twice, and not every step may.

A hedge may come from the call, the step or any workflow around it, and a compensation from the step
or the call: it takes the finished nodes to tell.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ._graph import GraphNode, Undo


def wrong_hedges(nodes: Sequence[GraphNode]) -> Iterator[tuple[str, str]]:
    """The path of each node that may not have the hedge it has, and what is wrong. O(nodes).

    Args:
        nodes: of a region or of a graph; `Undo.of` counts in them.
    """
    undone = {node.detail.of for node in nodes if isinstance(node.detail, Undo)}
    for index, node in enumerate(nodes):
        if node.step is None or node.option("hedge") is None:
            continue
        if node.step.effects == "once":
            why = "has effects='once'"
        elif index in undone:
            why = "is compensated"
        else:
            continue
        what = f"step {node.step.name!r} {why} and can't have a hedge, which runs it twice"
        yield node.path, f"{what}; {_remedy(node)}"


def _remedy(node: GraphNode) -> str:
    if "hedge" in node.overrides:
        return "call it without hedge="
    if node.step is not None and "hedge" in node.step.options:
        return "define the step without hedge=, or call it without compensate="
    return "give hedge= to the steps that may run twice, and not to their workflow"
