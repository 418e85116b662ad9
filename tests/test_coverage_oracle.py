"""Coverage against a naive count: what every run did, written down by its steps and keys."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest

import penstock as ps
from loops import virtual
from penstock._coverage import Coverage, MeasureName
from penstock._graph import Case, Graph, GraphNode

Script = list[int]
"""The outcome of each decision of a workflow, by its number; it travels on every edge."""


@dataclass
class Naive:
    """What its steps and keys have told, run by run.

    Attributes:
        steps: labels of the steps that ran.
        chosen: by run, the outcome of each decision that was made.
    """

    steps: set[str] = field(default_factory=set[str])
    chosen: list[dict[str, int]] = field(default_factory=list[dict[str, int]])

    def outcomes(self) -> set[str]:
        return {f"w/{d} = {_word(d, o)}" for run in self.chosen for d, o in run.items()}

    def pairs(self) -> set[frozenset[str]]:
        return {
            frozenset({f"w/{d} = {_word(d, run[d])}", f"w/{e} = {_word(e, run[e])}"})
            for run in self.chosen
            for d, e in itertools.combinations(run, 2)
        }


def walked(graph: Graph, script: Script) -> tuple[set[str], set[str]]:
    """Paths of the nodes that carry a value in the run of a script, and its taken edges."""
    taken: list[bool] = []
    edges: set[str] = set()
    for node in graph.nodes:
        carried = [taken[i] for i in node.inputs]
        if node.kind in ("case", "when"):
            decision = graph.nodes[node.inputs[0]] if node.kind == "case" else node
            chosen = script[int("".join(filter(str.isdigit, decision.path)))]
            if isinstance(node.detail, Case):
                carried = [carried[0] and chosen in node.detail.taken]
            edges |= _edges(graph, node, carried)
            taken.append(carried[0] and (node.kind == "case" or chosen == 1))
            continue
        edges |= _edges(graph, node, carried)
        some = node.kind == "merge"
        taken.append(node.kind == "optional" or (any if some else all)(carried))
    return {node.path for node, yes in zip(graph.nodes, taken, strict=True) if yes}, edges


def _edges(graph: Graph, node: GraphNode, carried: list[bool]) -> set[str]:
    pairs = zip(node.inputs, carried, strict=True)
    return {f"{graph.nodes[i].path} -> {node.path}" for i, yes in pairs if yes}


def _word(decision: str, outcome: int) -> str:
    return ("no", "yes")[outcome] if decision.startswith("when") else str(outcome)


class Author:
    """Draws a random workflow of steps, switches, whens and parallel branches.

    Attributes:
        fanout: the number of outcomes of each decision.
    """

    def __init__(self, seed: int, decisions: int) -> None:
        self._random = random.Random(seed)
        self._most = decisions
        self._names = itertools.count()
        self.fanout: list[int] = []
        self.naive = Naive()
        self.workflow = self._drawn()

    def scripts(self) -> list[Script]:
        """Every way the decisions can come out."""
        return [list(script) for script in itertools.product(*map(range, self.fanout))]

    def _drawn(self) -> ps.Workflow[[Script], Script]:
        @ps.workflow
        def w(flow: ps.Flow, script: ps.Node[Script]) -> ps.Node[Script]:
            return self._block(flow, self._step(flow, script), 3)

        return w

    def _block(self, flow: ps.Flow, node: ps.Node[Script], depth: int) -> ps.Node[Script]:
        for _ in range(self._random.randint(1, 2)):
            room = depth > 0 and len(self.fanout) < self._most
            draw = self._random.choice([self._switch, self._when, self._both]) if room else None
            node = draw(flow, node, depth - 1) if draw else self._step(flow, node)
        return node

    def _step(self, flow: ps.Flow, node: ps.Node[Script]) -> ps.Node[Script]:
        label = f"step{next(self._names)}"

        @ps.step(name=label)
        async def work(script: Script) -> Script:
            self.naive.steps.add(f"w/{label}")
            return script

        return flow.call(work, node)

    def _switch(self, flow: ps.Flow, node: ps.Node[Script], depth: int) -> ps.Node[Script]:
        count = self._random.choice([2, 3])
        case = flow.switch(node, key=self._key("switch", count))
        return flow.merge(*(self._block(flow, case[o], depth) for o in range(count)))

    def _when(self, flow: ps.Flow, node: ps.Node[Script], depth: int) -> ps.Node[Script]:
        branch = flow.optional(self._block(flow, flow.when(node, self._key("when", 2)), depth))
        return flow.apply(_first, node, branch)

    def _both(self, flow: ps.Flow, node: ps.Node[Script], depth: int) -> ps.Node[Script]:
        return flow.apply(_first, *(self._block(flow, node, depth) for _ in range(2)))

    def _key(self, kind: str, count: int) -> Callable[[Script], Any]:
        number = len(self.fanout)
        self.fanout.append(count)
        name = f"{kind}{number}"

        def key(script: Script) -> Any:
            self.naive.chosen[-1][name] = script[number]
            return script[number] if kind == "switch" else script[number] == 1

        key.__name__ = key.__qualname__ = name
        key.__annotations__["return"] = (
            bool if kind == "when" else Literal[0, 1] if count == 2 else Literal[0, 1, 2]
        )
        return key


def _first(script: Script, _branch: Script | None) -> Script:
    return script


async def _tested(author: Author, scripts: list[Script]) -> Coverage:
    """The coverage of one runtime that has run the scripts; what they did is in `author.naive`."""
    async with ps.Runtime() as rt:
        for script in scripts:
            author.naive.chosen.append({})
            assert await rt.run(author.workflow, script) == script
        return rt.coverage()


def _parts(coverage: Coverage, measure: MeasureName, *, seen: bool) -> set[str]:
    (workflow,) = coverage.workflows
    declared = workflow.measures[measure].declared
    return {part for part, count in declared.items() if count or not seen}


def _pairs(coverage: Coverage, *, seen: bool) -> set[frozenset[str]]:
    return {frozenset(pair.split(", ")) for pair in _parts(coverage, "pairs", seen=seen)}


def _steps(coverage: Coverage, *, seen: bool) -> set[str]:
    return {path for path in _parts(coverage, "nodes", seen=seen) if path.startswith("w/step")}


SEEDS = range(40)


@pytest.mark.parametrize("seed", SEEDS)
@virtual
async def test_every_way_through_a_workflow_is_all_that_it_declares(seed: int) -> None:
    """The universe is exact: nothing is declared that no run can show, and nothing is left out."""
    author = Author(seed, decisions=5)
    coverage = await _tested(author, author.scripts())
    assert [
        part for part in coverage.missing() if part.measure not in ("exceptions", "moves")
    ] == []
    for seen in (True, False):
        assert _steps(coverage, seen=seen) == author.naive.steps
        assert _parts(coverage, "outcomes", seen=seen) == author.naive.outcomes()
        assert _pairs(coverage, seen=seen) == author.naive.pairs()
    assert not [part for m in coverage.workflows[0].measures.values() for part in m.others]


@pytest.mark.parametrize("seed", SEEDS)
@virtual
async def test_some_ways_are_covered_as_a_naive_count_has_it(seed: int) -> None:
    author = Author(seed, decisions=8)
    draws = random.Random(seed)
    scripts = [[draws.randrange(n) for n in author.fanout] for _ in range(draws.randint(0, 6))]
    coverage = await _tested(author, scripts)
    if not scripts:
        assert coverage.workflows == ()
        return
    walks = [walked(author.workflow.graph, script) for script in scripts]
    nodes = set[str]().union(*(nodes for nodes, _ in walks))
    assert coverage.workflows[0].runs == len(scripts)
    assert _parts(coverage, "nodes", seen=True) == nodes & _parts(coverage, "nodes", seen=False)
    assert _parts(coverage, "edges", seen=True) == set[str]().union(*(edges for _, edges in walks))
    assert _steps(coverage, seen=True) == author.naive.steps
    assert _parts(coverage, "outcomes", seen=True) == author.naive.outcomes()
    assert _pairs(coverage, seen=True) == author.naive.pairs()


@pytest.mark.parametrize("seed", SEEDS)
@virtual
async def test_coverage_of_two_runtimes_is_that_of_one(seed: int) -> None:
    author = Author(seed, decisions=6)
    scripts = random.Random(seed).sample(author.scripts(), k=min(4, len(author.scripts())))
    whole = await _tested(author, scripts)
    halves = await _tested(author, scripts[:2]) + await _tested(author, scripts[2:])
    for measure in ("nodes", "edges", "outcomes", "pairs"):
        assert _parts(halves, measure, seen=True) == _parts(whole, measure, seen=True)
    assert halves.missing(whole) == whole.missing(halves) == []
