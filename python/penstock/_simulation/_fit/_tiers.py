"""Tiers: the later tiers of cascades, and what explores them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from penstock._graph import Accept, Case

if TYPE_CHECKING:
    from penstock._graph import Graph, GraphNode


@dataclass(frozen=True, slots=True, kw_only=True)
class Tier:
    """A tier that runs only if the one before was not accepted, or to explore it.

    Attributes:
        cascade: the path of its cascade.
        step: that it runs.
        path: of its node.
        judge: the path of what judges its values; None for the last tier.
        at: the least score that is accepted.
        explorer: the path of the node that explores it; None if the cascade does not explore.
        share: of the runs that do not need it, how many are sent there.
    """

    cascade: str
    step: str
    path: str
    judge: str | None
    at: float | None
    explorer: str | None
    share: float


def tiers_of(graph: Graph) -> list[Tier]:
    """The later tiers of a graph's cascades that are steps. O(nodes)."""
    judges = {
        node.inputs[0]: node
        for node in graph.nodes
        if node.kind == "accept" and node.function is not None
    }
    explorers: dict[str, str] = {}
    for node, before, taken in _gated(graph):
        if taken == (2,):
            explorers[before.path] = node.path
    places = {node.path: place for place, node in enumerate(graph.nodes)}
    found: list[Tier] = []
    for node, before, taken in _gated(graph):
        if taken != (0,) or node.step is None:
            continue
        judge = judges.get(places[node.path])
        found.append(
            Tier(
                cascade=before.path.rpartition("/")[0],
                step=node.step.name,
                path=node.path,
                judge=None if judge is None else judge.path,
                at=None if judge is None else _detail(judge).at,
                explorer=explorers.get(before.path),
                share=_detail(before).explore,
            )
        )
    return found


def _detail(judge: GraphNode) -> Accept:
    return cast("Accept", judge.detail)


def _gated(graph: Graph) -> Iterator[tuple[GraphNode, GraphNode, tuple[int, ...]]]:
    """Nodes that run on some outcomes of a judge: the node, the judge and the outcomes."""
    for node in graph.nodes:
        for gate in node.gates:
            case = graph.nodes[gate]
            if not isinstance(case.detail, Case):
                continue
            judge = graph.nodes[case.inputs[0]]
            if judge.kind == "accept" and judge.function is not None:
                yield node, judge, case.detail.taken
