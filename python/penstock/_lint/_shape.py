"""R14: how tangled a graph is, in the measures of process modelling.

Control-flow complexity after Cardoso (2005); 50 nodes after the seven process modelling guidelines
of Mendling, Reijers and van der Aalst (2010); the limit of complexity after Sanchez-Gonzalez et al.
(46 exclusive, 14 inclusive and 7 parallel branches are very hard to follow).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Final

from penstock._coverage_graph import outcome_labels
from penstock._handoffs import handoffs

from ._subject import Found, Subject, producers


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """How tangled a graph is.

    Attributes:
        nodes: of the whole graph.
        edges: between different nodes, each pair once.
        largest: nodes of the largest workflow in it, without those of the workflows that it calls.
        complexity: control-flow complexity: a decision counts its outcomes, several `when` on one
            value 2^n - 1, and a fork 1.
        density: edges / (nodes x (nodes - 1)).
        degree: most edges on one side of a node.
        crossings: edges from one owner to another.
        loose_joins: joins that do not match the fork they come from.
        score: 1.0 where the worst of `largest`, `complexity`, `degree` and `loose_joins` is as
            much as one can follow; above that it is called spaghetti.
    """

    nodes: int
    edges: int
    largest: int
    complexity: int
    density: float
    degree: int
    crossings: int
    loose_joins: int
    score: float


def shape(subject: Subject) -> Shape:
    """Measure a graph. O(nodes² / 64 + edges)."""
    graph = subject.graph
    count = len(graph.nodes)
    edges = sum(len(producers(node)) for node in graph.nodes)
    degree = max((max(_degrees(subject, i)) for i in range(count)), default=0)
    largest = max(_sizes(subject).values(), default=0)
    complexity = _complexity(subject)
    joins = len(_loose_joins(subject))
    worst = (
        largest / LARGEST,
        complexity / MOST_COMPLEX,
        degree / MOST_EDGES,
        joins / MOST_LOOSE_JOINS,
    )
    return Shape(
        nodes=count,
        edges=edges,
        largest=largest,
        complexity=complexity,
        density=edges / (count * (count - 1)) if count > 1 else 0.0,
        degree=degree,
        crossings=len(handoffs(graph, subject.owner)),
        loose_joins=joins,
        score=round(max(worst), 3),
    )


def check(subject: Subject) -> Found:
    """Findings about size and tangle."""
    for call, size in sorted(_sizes(subject).items()):
        if size > LARGEST:
            called = "it" if call == 0 else f"the workflow or body around {_example(subject, call)}"
            yield subject.finding("R14.1", None, f"{called} has {size} nodes of its own")
    complexity = _complexity(subject)
    if complexity > MOST_COMPLEX:
        what = f"its control-flow complexity is {complexity}, above {MOST_COMPLEX}"
        yield subject.finding("R14.2", None, what)
    for index in range(len(subject.graph.nodes)):
        coming, going = _degrees(subject, index)
        if max(coming, going) > MOST_EDGES:
            yield subject.finding("R14.3", index, f"it has {coming} edges in and {going} out")
    loose = _loose_joins(subject)
    if len(loose) >= MOST_LOOSE_JOINS:
        named = ", ".join(repr(subject.graph.nodes[index].path) for index in loose[:3])
        more = f" and {len(loose) - 3} more" if len(loose) > 3 else ""
        what = f"the joins {named}{more} take in branches of different forks"
        yield subject.finding("R14.4", loose[0], what)


def _degrees(subject: Subject, index: int) -> tuple[int, int]:
    return len(producers(subject.graph.nodes[index])), len(subject.consumers[index])


def _sizes(subject: Subject) -> Counter[int]:
    """Nodes by call instance; cases belong to their decision, compensations to their step."""
    nodes = subject.graph.nodes
    return Counter(node.call for node in nodes if node.kind not in ("case", "undo", "input"))


def _example(subject: Subject, call: int) -> str:
    return repr(next(node.path for node in subject.graph.nodes if node.call == call))


def _complexity(subject: Subject) -> int:
    total = 0
    for index, node in enumerate(subject.graph.nodes):
        consumers = [subject.graph.nodes[i] for i in subject.consumers[index]]
        options = sum(consumer.kind == "when" for consumer in consumers)
        if node.kind in ("switch", "accept"):
            total += len(outcome_labels(node))
        else:
            total += min(2**options - 1, _CAP) if options else 0
            total += len(consumers) - options > 1 and _forks(subject, index)
    return total


def _forks(subject: Subject, index: int) -> bool:
    """Whether two of a node's consumers run side by side, rather than one after the other."""
    after = set(subject.consumers[index])
    return len(_reduced(subject, after)) > 1


def _reduced(subject: Subject, nodes: set[int]) -> set[int]:
    """Those that come after no other of them."""
    bits = sum(1 << node for node in nodes)
    return {node for node in nodes if not subject.bits_before[node] & bits}


def _loose_joins(subject: Subject) -> list[int]:
    """Joins whose nearest common fork does not come back together in them.

    Values that are merely passed along, which are known earlier by another way, are no branches.
    """
    loose: list[int] = []
    before = subject.bits_before
    dominators: dict[int, int] = {}
    after = _bits_after(subject)
    for index, node in enumerate(subject.graph.nodes):
        given = producers(node)
        around = 0
        for producer in given:
            around |= before[producer]
        branches = [p for p in given if not around >> p & 1]
        common = -1 if not branches else dominators[branches[0]] | 1 << branches[0]
        for branch in branches:
            common &= dominators[branch] | 1 << branch
        dominators[index] = 0 if not branches else common
        if len(branches) > 1 and node.kind != "undo":
            fork = common.bit_length() - 1
            between = before[index] & (after[fork] if fork >= 0 else -1)
            if not _comes_back(subject, between, fork, index, after):
                loose.append(index)
    return loose


def _comes_back(subject: Subject, between: int, fork: int, join: int, after: list[int]) -> bool:
    """Whether all that lies between a fork and a join leads to that join before anywhere else.

    Without a common fork (-1) the branches begin with the region.
    """
    inside = between | after[join] | 1 << join
    left = between & ~(1 << fork) if fork >= 0 else between
    while left:
        lowest = left & -left
        if any(not inside >> c & 1 for c in subject.consumers[lowest.bit_length() - 1]):
            return False
        left ^= lowest
    return True


def _bits_after(subject: Subject) -> list[int]:
    after = [0] * len(subject.graph.nodes)
    for index in reversed(range(len(after))):
        for consumer in subject.consumers[index]:
            after[index] |= after[consumer] | 1 << consumer
    return after


LARGEST: Final = 50
MOST_COMPLEX: Final = 67
MOST_EDGES: Final = 10
MOST_LOOSE_JOINS: Final = 3
_CAP: Final = 1_000_000
