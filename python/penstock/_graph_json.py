"""Reads a graph from the JSON that `Graph.to_json` writes, or from one written by hand.

The text comes from outside, so every mistake in it is told, all of them at once, before anything is
built from it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from typing import Any, Final, cast

from ._contracts import Contract, assignable
from ._errors import DefinitionError
from ._graph import Graph, GraphNode
from ._stages import Stage, Step, label


def read(text: str, stages: Iterable[Stage[..., Any]]) -> Graph:
    """The graph in `text`; see `Workflow.from_json`. O(nodes + edges).

    Raises:
        DefinitionError: with every problem that was found.
    """
    reader = _Reader(_content(text), _steps(stages))
    graph = reader.graph()
    if reader.problems:
        raise DefinitionError.of(f"workflow {reader.name!r} in JSON", reader.problems)
    return graph


@dataclass(slots=True)
class _Reader:
    content: dict[str, Any]
    steps: Mapping[tuple[str, str], Step[..., Any]]
    name: str = "?"
    problems: list[str] = field(default_factory=list[str])
    known: dict[str, Contract] = field(default_factory=dict[str, Contract])

    def graph(self) -> Graph:
        name = self._field(self.content, "name", str, "the workflow", "")
        self.name = name or "?"
        version = self._field(self.content, "version", str, "the workflow", "1", needed=False)
        entries = self._field(self.content, "nodes", list, "the workflow", [])
        output = self._field(self.content, "output", int, "the workflow", 0)
        self.known = _known_contracts(self.steps.values())
        nodes = [self._node(entry, index, len(entries)) for index, entry in enumerate(entries)]
        if not 0 <= output < len(nodes):
            self._problem("the workflow", f"output {output} is no index of its {len(nodes)} nodes")
        self._check_paths(nodes)
        if self.problems:  # edges can't be followed safely
            raise DefinitionError.of(f"workflow {self.name!r} in JSON", self.problems)
        for node in nodes:
            self._check_edges(node, nodes)
        order = self._order(nodes)
        place = {old: new for new, old in enumerate(order)}
        return Graph(
            name=name,
            version=version,
            nodes=tuple(_moved(nodes[old], place) for old in order),
            output=place.get(output, 0),
            input_count=sum(node.kind == "input" for node in nodes),
        )

    def _node(self, given: Any, index: int, count: int) -> GraphNode:
        place = f"node {index}"
        entry: dict[str, Any] = cast("dict[str, Any]", given) if isinstance(given, dict) else {}
        if not isinstance(given, dict):
            self._problem(place, 'is no JSON object; write {"path": ..., "kind": ...}')
        path = self._field(entry, "path", str, place, "")
        place = f"node {path!r}" if path else place
        kind = self._field(entry, "kind", str, place, "")
        inputs = self._indices(entry, "inputs", place, count)
        after = self._indices(entry, "after", place, count)
        if kind == "step":
            step = self._step(entry, place)
            contract = step.contract if step else _ANY
            return GraphNode(
                path=path, kind=kind, contract=contract, inputs=inputs, after=after, step=step
            )
        if kind and kind not in ("input", "constant"):
            remedy = "; make the function a step" if kind == "apply" else ""
            self._problem(place, f"kind {kind!r} can't be read from JSON{remedy}")
        elif inputs or after:
            self._problem(place, f"is of kind {kind!r} and waits for nothing; remove its inputs")
        if kind == "constant":
            if "value" not in entry:
                self._problem(place, "has no 'value' that JSON can carry; make it an input")
            value = entry.get("value")
            return GraphNode(path=path, kind=kind, contract=Contract.of(type(value)), value=value)
        return GraphNode(path=path, kind="input", contract=self._input_contract(entry, place))

    def _step(self, entry: dict[str, Any], place: str) -> Step[..., Any] | None:
        reference = self._field(entry, "step", dict, place, None)
        if reference is None:
            return None
        name = self._field(reference, "name", str, f"{place}: its step", "")
        version = self._field(reference, "version", str, f"{place}: its step", "1", needed=False)
        step = self.steps.get((name, version))
        if step is None and name:
            known = ", ".join(sorted(f"{n!r} version {v!r}" for n, v in self.steps)) or "none"
            self._problem(
                place,
                f"step {name!r} version {version!r} is unknown; pass it in stages (known: {known})",
            )
        return step

    def _input_contract(self, entry: dict[str, Any], place: str) -> Contract:
        name = self._field(entry, "contract", str, place, "Any")
        contract = self.known.get(name)
        if contract is None:
            self._problem(
                place, f"contract {name!r} is unknown; pass a step that uses it in stages"
            )
        return contract or _ANY

    def _indices(self, entry: dict[str, Any], key: str, place: str, count: int) -> tuple[int, ...]:
        values = self._field(entry, key, list, place, [], needed=False)
        bad = [v for v in values if type(v) is not int or not 0 <= v < count]
        if bad:
            told = ", ".join(map(repr, bad))
            self._problem(place, f"{key} has {told}; give indices of nodes, from 0 to {count - 1}")
        return () if bad else tuple(values)

    def _field(
        self,
        entry: dict[str, Any],
        key: str,
        kind: type,
        place: str,
        usual: Any,
        *,
        needed: bool = True,
    ) -> Any:
        if key not in entry:
            if needed:
                self._problem(place, f"has no {key!r}; add it")
            return usual
        if type(entry[key]) is not kind:
            self._problem(place, f"{key!r} is {entry[key]!r}; give {_KINDS[kind]}")
            return usual
        return entry[key]

    def _check_paths(self, nodes: list[GraphNode]) -> None:
        try:
            label(self.name, "the workflow's name")
        except DefinitionError as error:
            self.problems += error.problems
        seen: set[str] = set()
        for node in nodes:
            if node.path in seen:
                self._problem(f"node {node.path!r}", "two nodes have this path; rename one")
            seen.add(node.path)
            if node.path and not node.path.startswith(f"{self.name}/"):
                self._problem(
                    f"node {node.path!r}", f"its path does not begin with '{self.name}/'; add that"
                )

    def _check_edges(self, node: GraphNode, nodes: list[GraphNode]) -> None:
        if node.step is None:
            return
        inputs = node.step.inputs * (len(node.inputs) if node.step.variadic else 1)
        place = f"node {node.path!r}"
        if len(inputs) != len(node.inputs):
            self._problem(
                place,
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
                    place,
                    f"input {name!r} takes {wanted.name}, but {given.path!r} gives "
                    f"{given.contract.name}; list another node",
                )

    def _order(self, nodes: list[GraphNode]) -> list[int]:
        """The nodes' indices: inputs first, then producers before consumers."""
        producers = {i: (*node.inputs, *node.after) for i, node in enumerate(nodes)}
        first = [i for i, node in enumerate(nodes) if node.kind == "input"]
        rest = [i for i, node in enumerate(nodes) if node.kind != "input"]
        try:
            sorted_order = list(TopologicalSorter(producers).static_order())
        except CycleError as error:
            cycle: list[int] = error.args[1]
            paths = " -> ".join(nodes[i].path for i in cycle)
            self.problems.append(f"there is a cycle: {paths}; remove one of these edges")
            return first + rest
        position = {old: new for new, old in enumerate(first + rest)}
        if all(position[p] < position[i] for i in rest for p in producers[i]):
            return first + rest  # as written, so that reading and writing gives the same text
        return first + [i for i in sorted_order if nodes[i].kind != "input"]

    def _problem(self, place: str, text: str) -> None:
        self.problems.append(f"{place}: {text}")


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


def _steps(stages: Iterable[Stage[..., Any]]) -> dict[tuple[str, str], Step[..., Any]]:
    steps: dict[tuple[str, str], Step[..., Any]] = {}
    for stage in stages:
        for step in _steps_of(stage):
            if steps.setdefault((step.name, step.version), step) is not step:
                raise DefinitionError(
                    f"two stages have step {step.name!r} version {step.version!r}",
                    remedy="pass one of them, or change a version",
                )
    return steps


def _steps_of(stage: Any) -> list[Step[..., Any]]:
    if isinstance(stage, Step):
        return [stage]
    if isinstance(stage, Stage) and stage.graph is not None:
        return [node.step for node in stage.graph.nodes if node.step is not None]
    raise DefinitionError(f"stages has {stage!r}", remedy="pass steps and workflows")


def _known_contracts(steps: Iterable[Step[..., Any]]) -> dict[str, Contract]:
    found = [Contract.of(kind) for kind in _BUILTIN]
    for step in steps:
        found += [contract for _, contract in step.inputs]
        found.append(step.contract)
    return {contract.name: contract for contract in found}


def _moved(node: GraphNode, place: Mapping[int, int]) -> GraphNode:
    return GraphNode(
        path=node.path,
        kind=node.kind,
        contract=node.contract,
        inputs=tuple(place[i] for i in node.inputs),
        after=tuple(place[i] for i in node.after),
        step=node.step,
        value=node.value,
    )


_ANY: Final = Contract.of(Any)
_BUILTIN: Final = (Any, bool, bytes, complex, dict, float, int, list, None, object, str)
_KINDS: Final[Mapping[type, str]] = {
    dict: "an object",
    int: "a whole number",
    list: "a list",
    str: "a string",
}
