"""Subject: what a workflow needs a model to know: steps, decisions, judges, signals and queues."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from penstock._graph import Acquire, Graph, GraphNode, Switch, Wait
from penstock._policies import Queue

DEFAULT: Final = "default"
"""The queue of steps that name none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What a graph needs a model to know.

    Attributes:
        steps: by name, the first node that runs it.
        decisions: by path, what its choice gives: "outcomes", "until", "count" or "keys".
        labels: by path, the outcomes there are.
        judged: by the path of the node that judges, the step whose value that is; None for the
            value of a workflow.
        signals: by name, the first node that waits for it.
        queues: that steps wait in.
    """

    steps: dict[str, GraphNode] = field(default_factory=dict[str, GraphNode])
    decisions: dict[str, str] = field(default_factory=dict[str, str])
    labels: dict[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    judged: dict[str, str | None] = field(default_factory=dict[str, str | None])
    signals: dict[str, GraphNode] = field(default_factory=dict[str, GraphNode])
    queues: set[str] = field(default_factory=set[str])


def subject_of(graph: Graph) -> Subject:
    """What a graph needs. O(nodes)."""
    found = Subject()
    for node in graph.nodes:
        if node.step is not None:
            found.steps.setdefault(node.step.name, node)
            found.queues.add(queue_of(node))
        elif isinstance(node.detail, Wait):
            found.signals.setdefault(node.detail.signal.name, node)
        gives = _GIVES.get(node.kind)
        if node.kind == "accept":
            step = judged_step(graph, node)
            # What has no function takes what does not fail.
            if node.function is not None:
                found.judged[node.path] = step
                gives = "outcomes" if step is None else None
            found.labels[node.path] = JUDGED
        elif node.kind == "when":
            found.labels[node.path] = TAKEN
        elif isinstance(node.detail, Switch):
            found.labels[node.path] = node.detail.labels
        elif isinstance(node.detail, Acquire) and node.detail.key is not None:
            gives = None
        if gives is not None:
            found.decisions[node.path] = gives
    return found


def judged_step(graph: Graph, node: GraphNode) -> str | None:
    """The step whose value a node judges; None if it is the value of something else."""
    given = graph.nodes[node.inputs[0]]
    while given.kind == "merge" and len(given.inputs) == 1:
        given = graph.nodes[given.inputs[0]]
    return None if given.step is None else given.step.name


def queue_of(node: GraphNode) -> str:
    """The queue that a node waits in."""
    queue: Queue | str | None = node.option("queue")
    return queue.name if isinstance(queue, Queue) else queue or DEFAULT


TAKEN: Final = ("skipped", "taken")
"""The outcomes of a `when`, in their order."""
JUDGED: Final = ("rejected", "accepted")
"""The outcomes of what judges a value, in their order."""
_GIVES: Final[Mapping[str, str]] = {
    "switch": "outcomes",
    "when": "outcomes",
    "loop": "until",
    "map": "count",
    "acquire": "keys",
}
