"""Places: what a node's figures need to know of where it stands in its graph."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from ._graph import Graph, Wait
from ._handoffs import makers_of, owner_of
from ._policies import Queue, RetryPolicy
from ._scorecard import NodeFacts


class Judge(NamedTuple):
    """What tells what becomes of a node whose attempt raised.

    Attributes:
        retry: its policy.
        givers: the owners of the work it was handed.
        owners: by step of its workflow, the owner.
    """

    retry: RetryPolicy
    givers: frozenset[str]
    owners: Mapping[str, str | None]


class Place(NamedTuple):
    """Where a node stands.

    Attributes:
        replaced: another takes its place when it fails.
        stands_in: it takes the place of another that has failed.
        handoffs: how many of its inputs are the work of other steps or people, and how many of
            them that of another owner.
        givers: the owners of the work it is handed.
    """

    replaced: bool
    stands_in: bool
    handoffs: tuple[int, int]
    givers: frozenset[str]


def places_of(graph: Graph, default: str | None = None) -> list[Place]:
    """Where each node of a graph stands. O(nodes + edges).

    Args:
        graph: of a workflow.
        default: the owner of the workflow.
    """
    judges = {i for i in range(len(graph.nodes)) if _is_fallback(graph, i)}
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
                givers=frozenset[str]().union(*(makers[i] for i in given)),
            )
        )
    return places


def facts_of(graph: Graph, default: str | None = None) -> dict[str, NodeFacts]:
    """By path, what figures are told of a node that runs a step, or that people see to.

    O(nodes + edges).

    Args:
        graph: of a workflow.
        default: the owner of the workflow.
    """
    tiers = _tiers(graph)
    found: dict[str, NodeFacts] = {}
    for index, node in enumerate(graph.nodes):
        step = node.step
        if step is None:
            if isinstance(node.detail, Wait):
                name, owner = node.path.rpartition("/")[2], owner_of(node, default)
                found[node.path] = NodeFacts(step=name, version="", owner=owner)
            continue
        queue: Queue | str | None = node.option("queue")
        retry: RetryPolicy | None = node.option("retry")
        found[node.path] = NodeFacts(
            step=step.name,
            version=step.version,
            owner=owner_of(node, default),
            queue=queue.name if isinstance(queue, Queue) else queue,
            effects=step.effects,
            playbook=step.playbook,
            tier=tiers.get(index),
            attempts=None if retry is None or retry.max_attempts == 1 else retry.max_attempts,
        )
    return found


def _tiers(graph: Graph) -> dict[int, int]:
    """Of a cascade's nodes, their places in it, from 0."""
    tiers: dict[int, int] = {}
    judged: dict[int, int] = {}  # by the case that rejects: the place of what comes then
    for index, node in enumerate(graph.nodes):
        before = [judged[gate] for gate in (*node.gates, *node.inputs) if gate in judged]
        if node.kind == "accept" and node.function is not None:
            place = max(before, default=0)
            tiers[node.inputs[0]] = place
            for case, other in enumerate(graph.nodes):
                if other.kind == "case" and index in other.inputs and other.path.endswith("[no]"):
                    judged[case] = place + 1
        elif before and node.step is not None:
            tiers[index] = max(before)
    return tiers


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
