"""Inlining: a workflow's graph becomes part of the graph that is drawn."""

from __future__ import annotations

from dataclasses import replace
from typing import Final, cast

from ._drawing import Drawing, Instance, Part
from ._graph import (
    Accept,
    Cancel,
    Detail,
    Graph,
    GraphNode,
    Loop,
    Map,
    NodeKind,
    Recurse,
    Scope,
    Shield,
    Undo,
)
from ._options import Options
from ._stages import Step


def is_recursive(graph: Graph) -> bool:
    """Whether the workflow is inside itself: then it is a region of its own, and never inlined."""
    return any(isinstance(node.detail, Recurse) and node.detail.body == 0 for node in graph.nodes)


def inline(
    drawing: Drawing,
    graph: Graph,
    path: str,
    *,
    inputs: tuple[int, ...],
    gates: tuple[int, ...],
    after: tuple[int, ...],
    options: Options,
) -> int:
    """Draw a workflow's nodes in a new call instance, and return the place of its result.

    The whole call is skipped if one of its inputs is, so the nodes that would not be skipped by
    themselves then get the inputs for gates.
    """
    places = list(inputs[: graph.input_count])
    places += [0] * (graph.input_count - len(places))  # a wrong count is a problem by now
    nodes = drawing.part.nodes
    doubtful = [i for i in places if i < len(nodes) and nodes[i].kind not in _CERTAIN]
    gates = tuple(dict.fromkeys((*gates, *doubtful)))
    with drawing.instance() as call:
        copy = _Copy(drawing, graph, path, options, places)
        copy.draw(gates, after)
        output = copy.places[graph.output]
        if gates and graph.nodes[graph.output].kind in _CERTAIN:  # a gate would not reach it
            contract = graph.nodes[graph.output].contract
            result = drawing.below(path, "result")
            output = drawing.add(result, "merge", contract, inputs=(output,), gates=gates)
        drawing.instances[call].output = output
    return output


def body(drawing: Drawing, graph: Graph, prefix: str, options: Options) -> int:
    """Draw a workflow as a region of its own, and return its number."""
    with drawing.body(prefix) as part:
        for node in graph.nodes[: graph.input_count]:
            drawing.add(_moved_path(node.path, graph, prefix), "input", node.contract)
        part.input_count = graph.input_count
        copy = _Copy(drawing, graph, prefix, options, list(range(graph.input_count)))
        copy.draw((), ())
        part.output = copy.places[graph.output]
    return part.number


def check_once(drawing: Drawing, step: Step[..., object], options: Options, path: str) -> None:
    """Check that a step with effects "once" is not tried twice."""
    retry = options.get("retry")
    if step.effects == "once" and retry is not None and retry.max_attempts > 1:
        drawing.problem(
            path,
            f"step {step.name!r} has effects='once' and can't have {retry.max_attempts} attempts; "
            "give RetryPolicy(max_attempts=1)",
        )


class _Copy:
    """Copies a graph into what is drawn, with every number in it replaced.

    Attributes:
        places: of the graph's nodes, each in its new region; those of the inputs are given.
    """

    def __init__(
        self, drawing: Drawing, graph: Graph, path: str, options: Options, places: list[int]
    ) -> None:
        self._drawing = drawing
        self._graph = graph
        self._path = path
        self._options = options
        self.places = places
        self._parts = [drawing.part]
        for region in graph.regions[1:]:
            part = Part(len(drawing.parts), _moved_path(region.prefix, graph, path))
            part.input_count = region.input_count
            part.output = region.output - region.start
            drawing.parts.append(part)
            self._parts.append(part)
        self._calls = [drawing.call]
        for number, parent in enumerate(graph.calls[1:], 1):
            part = self._parts[graph.nodes[graph.outputs[number]].region]
            self._calls.append(len(drawing.instances))
            drawing.instances.append(Instance(self._calls[parent], part))
        self._scopes = self._new_scopes()

    def _new_scopes(self) -> list[int]:
        drawing, graph = self._drawing, self._graph
        region_of: dict[int | None, int] = {node.scope: node.region for node in graph.nodes}
        numbers: list[int] = []
        for number, scope in enumerate(graph.scopes):
            outer = drawing.scope if region_of.get(number, 0) == 0 else None
            parent = outer if scope.parent is None else numbers[scope.parent]
            numbers.append(len(drawing.scopes))
            path = _moved_path(scope.path, graph, self._path)
            drawing.scopes.append(Scope(path=path, parent=parent))
        return numbers

    def draw(self, gates: tuple[int, ...], after: tuple[int, ...]) -> None:
        """Draw the nodes; `gates` and `after` are for the whole, so for those that start it."""
        graph, drawing = self._graph, self._drawing
        for node in graph.nodes[graph.input_count : graph.regions[0].stop]:
            copy = self._moved(node)
            if node.kind not in _UNGATED:
                if gates and (node.kind in _JOINS or self._starts(node, ())):
                    known = copy.gates if node.kind in _JOINS else (*copy.gates, *copy.inputs)
                    copy = replace(copy, gates=(*copy.gates, *(g for g in gates if g not in known)))
                if after and self._starts(node, node.after):
                    copy = replace(copy, after=tuple(dict.fromkeys((*copy.after, *after))))
            self.places.append(drawing.append(copy))
        for region, part in zip(graph.regions[1:], self._parts[1:], strict=True):
            self.places += range(region.stop - region.start)
            for node in graph.nodes[region.start : region.stop]:
                drawing.append(self._moved(node), part)
        for number, output in zip(self._calls[1:], graph.outputs[1:], strict=True):
            drawing.instances[number].output = self.places[output]

    def _starts(self, node: GraphNode, after: tuple[int, ...]) -> bool:
        """Whether a node waits for nothing but the workflow's inputs."""
        nodes = self._graph.nodes
        return all(nodes[i].kind in _CERTAIN for i in (*node.inputs, *node.gates, *after))

    def _moved(self, node: GraphNode) -> GraphNode:
        places, drawing = self.places, self._drawing
        path = _moved_path(node.path, self._graph, self._path)
        overrides = node.overrides
        if node.kind == "step" and node.step is not None:
            overrides = cast("Options", {**self._options, **overrides})
            check_once(drawing, node.step, overrides, path)
        outer = drawing.scope if node.region == 0 else None
        return GraphNode(
            path=path,
            kind=node.kind,
            contract=node.contract,
            region=self._parts[node.region].number,
            inputs=tuple([places[i] for i in node.inputs]),
            gates=tuple([places[i] for i in node.gates]),
            after=tuple([places[i] for i in node.after]),
            call=self._calls[node.call],
            scope=outer if node.scope is None else self._scopes[node.scope],
            holds=None if node.holds is None else places[node.holds],
            detail=self._moved_detail(node.detail),
            step=node.step,
            function=node.function,
            value=node.value,
            overrides=overrides,
            defaults=cast("Options", {**drawing.defaults, **node.defaults}),
        )

    def _moved_detail(self, detail: Detail | None) -> Detail | None:
        match detail:
            case Accept() | Shield():
                return replace(detail, contains=self._calls[detail.contains])
            case Map() | Loop() | Recurse():
                return replace(detail, body=self._parts[detail.body].number)
            case Cancel():
                return Cancel(scope=self._scopes[detail.scope])
            case Undo():
                return Undo(of=self.places[detail.of])
            case _:
                return detail


def _moved_path(path: str, graph: Graph, to: str) -> str:
    return to + path[len(graph.name) :]


_CERTAIN: Final[frozenset[NodeKind]] = frozenset({"input", "constant"})
_UNGATED: Final[frozenset[NodeKind]] = frozenset({"constant", "undo"})
_JOINS: Final[frozenset[NodeKind]] = frozenset({"collect", "merge", "optional", "race", "accept"})
