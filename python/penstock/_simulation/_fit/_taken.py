"""Taken: which nodes of a run carried a value, and whose value that was."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from penstock._graph import Case, Wait
from penstock._simulation._givers import giver_of

if TYPE_CHECKING:
    from penstock._graph import Graph, GraphNode
    from penstock._stored import StoredRecord


class Taken:
    """What became of the nodes of a run that stand outside of bodies. O(nodes + records).

    Args:
        graph: in each region of it, producers come before consumers.
        records: of the run.

    Attributes:
        nodes: by place, whether it carried a value.
    """

    def __init__(self, graph: Graph, records: Iterable[StoredRecord]) -> None:
        self._graph = graph
        done: set[str] = set()
        chosen: dict[str, int] = {}
        for record in records:
            if record.kind == "done":
                done.add(record.node)
            elif record.kind == "chosen":
                chosen[record.node] = int(record.facts["outcome"])
        self.nodes: list[bool] = []
        for node in graph.nodes:
            self.nodes.append(node.region == 0 and self._is_taken(node, done, chosen))

    def reached(self, node: GraphNode) -> bool:
        """Whether what a node needs carried values."""
        return all(self.nodes[place] for place in (*node.inputs, *node.gates))

    def giver(self) -> str | None:
        """The step or the signal whose value the run has given, by name; None if it gave none."""
        if not self.nodes[self._graph.output]:
            return None
        place = giver_of(self._graph, self.nodes.__getitem__)
        node = None if place is None else self._graph.nodes[place]
        if node is None:
            return None
        if isinstance(node.detail, Wait):
            return node.detail.signal.name
        return None if node.step is None else node.step.name

    def _is_taken(self, node: GraphNode, done: set[str], chosen: Mapping[str, int]) -> bool:
        if not all(self.nodes[gate] for gate in node.gates):
            return False
        inputs = [self.nodes[place] for place in node.inputs]
        match node.kind:
            case "step":
                return node.path in done
            case "case":
                by = self._graph.nodes[node.inputs[0]].path
                return isinstance(node.detail, Case) and chosen.get(by) in node.detail.taken
            case "when":
                return chosen.get(node.path) == 1
            case "merge" | "race":
                return any(inputs)
            case "collect" | "optional":
                return True
            case _:
                return all(inputs)
