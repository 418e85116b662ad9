"""Seen: which outcomes of a workflow's decisions tests or runs have shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from penstock._coverage import Coverage, Measure
from penstock._coverage_graph import outcome_labels, outcomes_of
from penstock._picture import node_of
from penstock._workflows import Workflow

if TYPE_CHECKING:
    from penstock._stored import StoreView


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcomes:
    """How often each outcome of a workflow's decisions was seen.

    Attributes:
        runs: how many were looked at.
        source: where: "of tests" or "in the store".
        measure: the outcomes; "support/triage = high".
    """

    runs: int
    source: str
    measure: Measure

    def __str__(self) -> str:
        return f"{self.runs} run{'' if self.runs == 1 else 's'} {self.source}"


def covered(workflow: Workflow[..., Any], coverage: Coverage) -> Outcomes | None:
    """What a coverage report says; None if it has nothing of this graph."""
    part = coverage.find(workflow.name, workflow.version, workflow.digest)
    if part is None:
        return None
    return Outcomes(runs=part.runs, source="of tests", measure=part.measures["outcomes"])


def stored(
    workflow: Workflow[..., Any], view: StoreView, *, most: int | None = None
) -> Outcomes | None:
    """What the newest runs in a store have shown; None if it has none of this version.

    Args:
        workflow: whose decisions.
        view: of the store.
        most: how many runs are read; 500 unless given.
    """
    graph = workflow.graph
    counts = [[0] * len(outcome_labels(node)) for node in graph.nodes]
    places = {node.path: index for index, node in enumerate(graph.nodes)}
    runs = 0
    wanted = view.every(workflow=workflow.name, version=workflow.version, limit=most or _MOST)
    for info in wanted:
        runs += 1
        for record in view.records(info.run_id):
            node = node_of(graph, record.node) if record.kind == "chosen" else None
            outcome: int = record.facts.get("outcome", 0)
            if node is not None and outcome < len(counts[places[node.path]]):
                counts[places[node.path]][outcome] += 1
    if not runs:
        return None
    return Outcomes(runs=runs, source="in the store", measure=outcomes_of(graph, counts))


_MOST: Final = 500
