"""Reads coverage off a graph and what the engine has counted for its nodes.

The graph says what can be seen, the counters say how often it was; both go by template node, so
that the iterations of a loop and the items of a map add up.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, Literal, TypeAlias, TypedDict

from ._coverage import Measure, WorkflowCoverage
from ._coverage_moves import can_retry, node_moves, run_moves
from ._graph import Accept, Graph, GraphNode, Loop, Shield, Switch, Undo, Wait
from ._workflows import Workflow

ExceptionEdge: TypeAlias = Literal[
    "retry", "exhausted", "timeout", "cancel", "compensate", "reject", "skip"
]
Pair: TypeAlias = tuple[int, int, int, int]


class Counters(TypedDict):
    """What the engine counts for a plan; lists are by node.

    Attributes:
        runs: that have ended.
        nodes: ends as succeeded, failed, cancelled, skipped.
        edges: how often each was taken: inputs, gates, after.
        outcomes: how often a decision had each; empty for other nodes.
        pairs: (decision, outcome, later decision, outcome) seen in one run of a region.
        exceptions: how often a node left the straight way, by how.
        loops: bits of a map or loop: 1 no item, 2 one, 4 several, 8 the bound.
        moves: of nodes, as (state before, state after).
        run_moves: of runs.
    """

    runs: int
    nodes: Sequence[tuple[int, int, int, int]]
    edges: Sequence[Sequence[int]]
    outcomes: Sequence[Sequence[int]]
    pairs: Iterable[Pair]
    exceptions: Sequence[dict[ExceptionEdge, int]]
    loops: Sequence[int]
    moves: Iterable[tuple[str, str]]
    run_moves: Iterable[tuple[str, str]]


def coverage_of(workflow: Workflow[..., Any], counters: Counters | None = None) -> WorkflowCoverage:
    """What the runs behind `counters` have shown of a workflow; None for no run at all.

    O(nodes + edges + pairs).
    """
    pairs = workflow.plan.branch_pairs()
    return measured(workflow.graph, counters, digest=workflow.digest, pairs=pairs)


def measured(
    graph: Graph, counters: Counters | None, *, digest: str, pairs: Iterable[Pair] | None
) -> WorkflowCoverage:
    """As `coverage_of`.

    Args:
        graph: what can be seen.
        counters: what was seen.
        digest: of the graph.
        pairs: the branch pairs that its guards allow; None if they are not known.
    """
    counted = _none(graph) if counters is None else counters
    return WorkflowCoverage(
        name=graph.name,
        version=graph.version,
        digest=digest,
        runs=counted["runs"],
        measures={
            "nodes": _nodes(graph, counted),
            "edges": _edges(graph, counted),
            "outcomes": outcomes_of(graph, counted["outcomes"]),
            "pairs": _pairs(graph, counted, pairs),
            "exceptions": _exceptions(graph, counted),
            "loops": _loops(graph, counted),
            "moves": _moves(graph, counted),
        },
    )


def edge(graph: Graph, source: int, target: int, role: str = "") -> str:
    """An edge in words: "support/triage -> support/draft"."""
    return f"{graph.nodes[source].path} -> {graph.nodes[target].path}{role}"


def outcome_labels(node: GraphNode) -> tuple[str, ...]:
    """The outcomes of a decision that the graph declares, in order; none for other nodes."""
    match node.detail:
        case Switch(labels=labels):
            return labels
        case Accept(explore=explore):
            return _ACCEPT if explore else _ACCEPT[:2]
        case _:
            return ("no", "yes") if node.kind == "when" else ()


def outcomes_of(graph: Graph, counted: Sequence[Sequence[int]]) -> Measure:
    """The outcomes of decisions, and how often each was seen; `counted` is by node and outcome."""
    measure = _Counts()
    for node, counts in zip(graph.nodes, counted, strict=True):
        labels = outcome_labels(node)
        measure.declare(_outcome(node, outcome) for outcome in range(len(labels)))
        for outcome, count in enumerate(counts):
            measure.see(_outcome(node, outcome), count)
    return measure.measure()


def _nodes(graph: Graph, counted: Counters) -> Measure:
    """Executed: it came to an end of its own. What only carries a value has nothing to execute."""
    return Measure(
        declared={
            node.path: succeeded + failed
            for node, (succeeded, failed, _, _) in zip(graph.nodes, counted["nodes"], strict=True)
            if node.kind not in ("input", "constant", "undo")
        }
    )


def _edges(graph: Graph, counted: Counters) -> Measure:
    declared: dict[str, int] = {}
    for index, (node, counts) in enumerate(zip(graph.nodes, counted["edges"], strict=True)):
        if node.kind == "undo":
            continue
        sources = [(source, "") for source in node.inputs]
        sources += [(source, " (gate)") for source in node.gates]
        sources += [(source, " (after)") for source in node.after]
        for (source, role), count in zip(sources, counts, strict=True):
            name = edge(graph, source, index, role)
            # A node that takes a value twice has one edge for it.
            declared[name] = max(count, declared.get(name, 0))
    return Measure(declared=declared)


def _pairs(graph: Graph, counted: Counters, possible: Iterable[Pair] | None) -> Measure:
    measure = _Counts()
    for first, one, second, other in possible or ():
        decisions = graph.nodes[first], graph.nodes[second]
        # An outcome that the graph does not declare meets no other.
        if one < len(outcome_labels(decisions[0])) and other < len(outcome_labels(decisions[1])):
            measure.declare([_pair(graph, (first, one, second, other))])
    for pair in counted["pairs"]:
        measure.see(_pair(graph, pair), 1)
    return measure.measure(complete=possible is not None)


def _exceptions(graph: Graph, counted: Counters) -> Measure:
    measure = _Counts()
    undone = {node.detail.of for node in graph.nodes if isinstance(node.detail, Undo)}
    for index, (node, counts) in enumerate(zip(graph.nodes, counted["exceptions"], strict=True)):
        declared = _declared_exceptions(node)
        if index in undone:
            declared.append("compensate")
        measure.declare(f"{node.path}: {name}" for name in declared)
        for name, count in counts.items():
            measure.see(f"{node.path}: {name}", count)
    return measure.measure()


def _declared_exceptions(node: GraphNode) -> list[ExceptionEdge]:
    names: list[ExceptionEdge] = []
    retried: tuple[ExceptionEdge, ...] = ("retry", "exhausted")
    if node.step is not None:
        if can_retry(node):
            names += retried
        if any(node.option(name) is not None for name in _TIMEOUTS):
            names.append("timeout")
    match node.detail:
        case Accept():
            names.append("reject")
        case Shield():
            names.append("skip")
        case Wait(timeout=timeout, on_timeout=on_timeout) if timeout:
            names.append("timeout")
            if on_timeout == "skip":
                names.append("skip")
        case _:
            pass
    return names


def _loops(graph: Graph, counted: Counters) -> Measure:
    measure = _Counts()
    for node, mask in zip(graph.nodes, counted["loops"], strict=True):
        if node.kind == "map":
            declared = [0, 1, 2]
        elif isinstance(node.detail, Loop):
            declared = [1, 2, 3] if node.detail.max_iterations > 1 else [1]
        else:
            declared = []
        parts = [f"{node.path}: {words}" for words in _LOOPS]
        measure.declare(parts[bit] for bit in declared)
        for bit, part in enumerate(parts):
            measure.see(part, mask >> bit & 1)
    return measure.measure()


def _moves(graph: Graph, counted: Counters) -> Measure:
    measure = _Counts()
    for subject, possible, seen in (
        ("run", run_moves(graph), counted["run_moves"]),
        ("node", node_moves(graph), counted["moves"]),
    ):
        measure.declare(f"{subject}: {before} -> {after}" for before, after in possible)
        for before, after in seen:
            measure.see(f"{subject}: {before} -> {after}", 1)
    return measure.measure()


def _outcome(node: GraphNode, outcome: int) -> str:
    labels = _ACCEPT if isinstance(node.detail, Accept) else outcome_labels(node)
    return f"{node.path} = {labels[outcome] if outcome < len(labels) else outcome}"


def _pair(graph: Graph, pair: Pair) -> str:
    first, one, second, other = pair if pair[0] < pair[2] else (*pair[2:], *pair[:2])
    return f"{_outcome(graph.nodes[first], one)}, {_outcome(graph.nodes[second], other)}"


def _none(graph: Graph) -> Counters:
    """The counters of a plan that never ran."""
    nodes = graph.nodes
    return Counters(
        runs=0,
        nodes=[(0, 0, 0, 0)] * len(nodes),
        edges=[[0] * (len(n.inputs) + len(n.gates) + len(n.after)) for n in nodes],
        outcomes=[()] * len(nodes),
        pairs=(),
        exceptions=[dict[ExceptionEdge, int]()] * len(nodes),
        loops=[0] * len(nodes),
        moves=(),
        run_moves=(),
    )


class _Counts:
    """A measure in the making."""

    def __init__(self) -> None:
        self._declared: dict[str, int] = {}
        self._others: dict[str, int] = {}

    def declare(self, parts: Iterable[str]) -> None:
        self._declared.update(dict.fromkeys(parts, 0))

    def see(self, part: str, count: int) -> None:
        if part in self._declared:
            self._declared[part] += count
        elif count:
            self._others[part] = self._others.get(part, 0) + count

    def measure(self, *, complete: bool = True) -> Measure:
        return Measure(declared=self._declared, others=self._others, complete=complete)


_ACCEPT: Final = ("rejected", "accepted", "explored")
_LOOPS: Final = ("no item", "one", "several", "the bound")
_TIMEOUTS: Final = ("timeout", "total_timeout", "queue_timeout", "heartbeat_timeout")
