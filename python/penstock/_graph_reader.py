"""Reads a graph from the JSON that `_graph_json` writes, or from one written by hand.

The text comes from outside, so every mistake in it is told, all of them at once, before anything is
built from it. Here are the nodes and their edges; what their kinds need is in `_graph_details`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from graphlib import CycleError, TopologicalSorter
from typing import Any, cast, get_args

from ._contracts import Contract, assignable
from ._edges import ANYTHING
from ._errors import DefinitionError
from ._graph import Graph, GraphNode, NodeKind, Region, Scope, Undo
from ._graph_details import Definitions, Sizes, contract_of, definitions_of, detail_of
from ._hedges import wrong_hedges
from ._json_fields import Fields
from ._stages import Stage, Step, label


def read(text: str, stages: Iterable[Stage[..., Any]]) -> Graph:
    """The graph in `text`; see `Workflow.from_json`. O(nodes + edges).

    Raises:
        DefinitionError: with every problem that was found.
    """
    reader = _Reader(_content(text), definitions_of(stages))
    graph = reader.graph()
    reader.require_right()
    return graph


@dataclass(slots=True)
class _Reader:
    content: dict[str, Any]
    known: Definitions
    name: str = "?"
    problems: list[str] = field(default_factory=list[str])
    outputs: list[int] = field(default_factory=list[int])

    def graph(self) -> Graph:
        top = Fields(self.content, "the workflow", self.problems)
        name, version = top.text("name"), top.text("version", "1")
        self.name = name or "?"
        entries, output = top.items("nodes"), top.integer("output")
        bodies = list(top.each("bodies", "body", 1))
        instances = list(top.each("calls", "call", 1))
        scopes = list(top.each("scopes", "scope", 0))
        sizes = Sizes(
            nodes=len(entries),
            regions=len(bodies) + 1,
            calls=len(instances) + 1,
            scopes=len(scopes),
        )
        if not 0 <= output < sizes.nodes:
            top.problem(f"output {output} is no index of its {sizes.nodes} nodes")
        nodes = [self._node(entry, index, sizes) for index, entry in enumerate(entries)]
        prefixes = [name, *(body.text("prefix") for body in bodies)]
        self.outputs = [output, *(body.index("output", sizes.nodes) for body in bodies)]
        calls = [(0, output)]
        calls += [
            (each.index("parent", sizes.calls), each.index("output", sizes.nodes))
            for each in instances
        ]
        drawn = [
            Scope(path=each.text("path"), parent=each.maybe_index("parent", sizes.scopes))
            for each in scopes
        ]
        self._check_paths(nodes)
        self.require_right()  # edges can't be followed before
        self._check_regions(nodes)
        self.require_right()
        order = self._order(nodes)
        nodes = self._with_contracts(nodes, order)
        for node in nodes:
            self._check_edges(node, nodes)
        self.problems += [f"node {path!r}: {text}" for path, text in wrong_hedges(nodes)]
        arranged, regions = _arranged(nodes, order, prefixes, self.outputs)
        place = {old: new for new, old in enumerate(arranged)}
        return Graph(
            name=name,
            version=version,
            nodes=tuple(_moved(nodes[old], place) for old in arranged),
            regions=regions,
            calls=tuple(parent for parent, _ in calls),
            outputs=tuple(place[output] for _, output in calls),
            scopes=tuple(drawn),
        )

    def require_right(self) -> None:
        """Go no further if there are problems.

        Raises:
            DefinitionError: with every problem so far.
        """
        if self.problems:
            raise DefinitionError.of(f"workflow {self.name!r} in JSON", self.problems)

    def _node(self, given: Any, index: int, sizes: Sizes) -> GraphNode:
        entry = Fields.of(given, f"node {index}", self.problems)
        path = entry.text("path")
        entry.place = f"node {path!r}" if path else entry.place
        kind = entry.text("kind")
        if kind and kind not in get_args(NodeKind):
            known = ", ".join(get_args(NodeKind))
            entry.problem(f"kind {kind!r} can't be read from JSON; give one of {known}")
            kind = ""
        edges = {key: entry.indices(key, sizes.nodes) for key in ("inputs", "gates", "after")}
        if kind in ("input", "constant") and any(edges.values()):
            entry.problem(f"is of kind {kind!r} and waits for nothing; remove its inputs")
        if kind == "constant" and "value" not in entry.content:
            entry.problem("has no 'value' that JSON can carry; make it an input")
        return GraphNode(
            path=path,
            kind=cast("NodeKind", kind or "input"),
            contract=self._input_contract(entry) if kind == "input" else ANYTHING,
            region=entry.index("region", sizes.regions, 0),
            inputs=edges["inputs"],
            gates=edges["gates"],
            after=edges["after"],
            call=entry.index("call", sizes.calls, 0),
            scope=entry.maybe_index("scope", sizes.scopes),
            holds=entry.maybe_index("holds", sizes.nodes),
            detail=detail_of(kind, entry, self.known, sizes),
            step=self._step(entry) if kind in ("step", "undo") else None,
            value=entry.content.get("value"),
        )

    def _step(self, entry: Fields) -> Step[..., Any] | None:
        name, version = entry.reference("step")
        step = self.known.steps.get((name, version))
        if step is None and name:
            known = sorted(f"{name!r} version {version!r}" for name, version in self.known.steps)
            entry.problem(
                f"step {name!r} version {version!r} is unknown; pass it in stages (known: "
                f"{', '.join(known) or 'none'})"
            )
        return step

    def _input_contract(self, entry: Fields) -> Contract:
        name = entry.text("contract")
        contract = self.known.contracts.get(name or "Any")
        if contract is None:
            entry.problem(f"contract {name!r} is unknown; pass a step that uses it in stages")
        return contract or ANYTHING

    def _check_paths(self, nodes: list[GraphNode]) -> None:
        try:
            label(self.name, "the workflow's name")
        except DefinitionError as error:
            self.problems += error.problems
        seen: set[str] = set()
        for node in nodes:
            if node.path in seen:
                self._problem(node, "two nodes have this path; rename one")
            seen.add(node.path)
            if node.path and not node.path.startswith(f"{self.name}/"):
                self._problem(node, f"its path does not begin with '{self.name}/'; add that")

    def _check_regions(self, nodes: list[GraphNode]) -> None:
        for node in nodes:
            for other in _producers(node):
                if nodes[other].region != node.region:
                    self._problem(node, f"{nodes[other].path!r} is in another body; pass it in")
        for region, output in enumerate(self.outputs):
            if nodes[output].region != region:
                self._problem(nodes[output], f"is the output of body {region}, but not in it")

    def _order(self, nodes: list[GraphNode]) -> list[int]:
        """The nodes' indices: producers before consumers, as written where that is so already."""
        producers = {i: tuple(_producers(node)) for i, node in enumerate(nodes)}
        if all(producer < i for i, each in producers.items() for producer in each):
            return list(range(len(nodes)))
        try:
            return list(TopologicalSorter(producers).static_order())
        except CycleError as error:
            cycle: list[int] = error.args[1]
            paths = " -> ".join(nodes[i].path for i in cycle)
            self.problems.append(f"there is a cycle: {paths}; remove one of these edges")
        self.require_right()
        return []

    def _with_contracts(self, nodes: list[GraphNode], order: list[int]) -> list[GraphNode]:
        """The nodes with the contract of what each gives, which follows from what it takes."""
        found = list(nodes)
        regions = sorted({node.region for node in nodes}, reverse=True)  # bodies before owners
        for region in regions:
            for index in order:
                if found[index].region == region:
                    name = self.content["nodes"][index].get("contract")
                    declared = self.known.contracts.get(name, ANYTHING)
                    contract = contract_of(found[index], found, self.outputs, declared)
                    found[index] = replace(found[index], contract=contract)
        return found

    def _check_edges(self, node: GraphNode, nodes: list[GraphNode]) -> None:
        if node.step is None or node.kind != "step":
            return
        inputs = node.step.inputs * (len(node.inputs) if node.step.variadic else 1)
        if len(inputs) != len(node.inputs):
            self._problem(
                node,
                f"{node.step.name} takes ({', '.join(name for name, _ in inputs)}), but was given "
                f"{len(node.inputs)}; list one node for each",
            )
        for index, (name, wanted) in zip(node.inputs, inputs, strict=False):
            given = nodes[index]
            if not (
                wanted.accepts(given.value)
                if given.kind == "constant"
                else assignable(given.contract.annotation, wanted.annotation)
            ):
                self._problem(
                    node,
                    f"input {name!r} takes {wanted.name}, but {given.path!r} gives "
                    f"{given.contract.name}; list another node",
                )

    def _problem(self, node: GraphNode, text: str) -> None:
        self.problems.append(f"node {node.path!r}: {text}")


def _producers(node: GraphNode) -> Iterator[int]:
    yield from (*node.inputs, *node.gates, *node.after)
    if node.holds is not None:
        yield node.holds


def _arranged(
    nodes: Sequence[GraphNode], order: list[int], prefixes: list[str], outputs: list[int]
) -> tuple[list[int], tuple[Region, ...]]:
    """The nodes' indices region by region, the inputs of each first; and the regions."""
    members: list[list[int]] = [[] for _ in prefixes]
    for index in order:
        members[nodes[index].region].append(index)
    arranged: list[int] = []
    regions: list[Region] = []
    for prefix, output, inside in zip(prefixes, outputs, members, strict=True):
        first = sorted(i for i in inside if nodes[i].kind == "input")
        start = len(arranged)
        arranged += first + [i for i in inside if nodes[i].kind != "input"]
        regions.append(
            Region(
                prefix=prefix,
                start=start,
                stop=len(arranged),
                input_count=len(first),
                output=arranged.index(output, start),
            )
        )
    return arranged, tuple(regions)


def _moved(node: GraphNode, place: Mapping[int, int]) -> GraphNode:
    detail = node.detail
    return replace(
        node,
        inputs=tuple(place[i] for i in node.inputs),
        gates=tuple(place[i] for i in node.gates),
        after=tuple(place[i] for i in node.after),
        holds=None if node.holds is None else place[node.holds],
        detail=Undo(of=place[detail.of]) if isinstance(detail, Undo) else detail,
    )


def _content(text: str) -> dict[str, Any]:
    try:
        content: Any = json.loads(text)
    except ValueError as error:
        raise DefinitionError(f"the workflow is no JSON: {error}", remedy="correct it") from error
    if not isinstance(content, dict):
        raise DefinitionError(
            "the workflow's JSON is no object", remedy='write {"name": ..., "nodes": [...]}'
        )
    return cast("dict[str, Any]", content)
