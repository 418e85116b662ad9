"""States: what became of each node of a graph, out of a run's events or a coverage report."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

from penstock._coverage import WorkflowCoverage
from penstock._events import Event, EventsLost
from penstock._graph import (
    Accept,
    Case,
    Collect,
    Graph,
    GraphNode,
    Recurse,
    Switch,
    Undo,
    Wait,
)
from penstock._handoffs import body_of

from ._drawing import picture


def states_of(graph: Graph, events: Iterable[Event | EventsLost]) -> dict[str, str]:
    """What became of each node in one run, by its path in the graph: the `states` of a picture.

    Of the frames of a body the worst counts: failed, then unfinished, cancelled, succeeded,
    skipped. What leaves no event, such as a merge, follows from the nodes around it; a node that
    the run has not come to is left out. O(nodes + edges + events).

    Args:
        graph: of the run's workflow.
        events: the run's history, from the first.
    """
    told: dict[str, str] = {}
    outcomes: dict[str, set[int]] = {}
    ended = False
    paths = _Paths(graph)
    for event in events:
        if isinstance(event, EventsLost):
            continue
        # A run that ended otherwise tells which nodes it withdrew; the others it never came to.
        ended = ended or (event.kind == "ended" and event.detail == "succeeded")
        node = paths.known.get(paths.template(event.node)) if event.node else None
        if node is None:
            continue
        if event.kind == "chosen" and isinstance(event.value, int):
            outcomes.setdefault(node.path, set()).add(event.value)
        state = _state(event, node)
        if state is not None:
            told[event.node] = state
    states: dict[str, str] = {}
    for path, state in told.items():
        template = paths.template(path)
        states[template] = min(state, states.get(template, state), key=_SEVERITY.index)
    return _Inference(graph, states, outcomes, ended=ended).complete()


def node_of(graph: Graph, path: str) -> GraphNode | None:
    """The node of the graph that a path in a run is of, such as "shop/pages[3]/draft"."""
    paths = _Paths(graph)
    return paths.known.get(paths.template(path))


def coverage_picture(graph: Graph, coverage: WorkflowCoverage) -> str:
    """The graph as SVG, with what tests or runs came to in green and the rest in red.

    Args:
        graph: of the workflow that the coverage is of.
        coverage: how often each node and edge was seen.
    """
    nodes = coverage.measures["nodes"].declared
    edges: dict[tuple[str, str], int] = {}
    for name, count in coverage.measures["edges"].declared.items():
        start, _, end = name.partition(" -> ")
        edges[start, end.removesuffix(" (gate)").removesuffix(" (after)")] = count
    states = {path: "covered" if count else "missed" for path, count in nodes.items()}
    undone = coverage.measures["exceptions"].declared
    for node in graph.nodes:
        if node.kind in ("input", "constant"):
            states[node.path] = "covered" if coverage.runs else "missed"
        elif isinstance(node.detail, Undo):
            count = undone.get(f"{graph.nodes[node.detail.of].path}: compensate", 0)
            states[node.path] = "covered" if count else "missed"
    return picture(graph, states, counts=nodes, edges=edges)


class _Paths:
    """Finds the path in the graph of a path in a run."""

    def __init__(self, graph: Graph) -> None:
        self.known = {node.path: node for node in graph.nodes}
        self._repeated = {region.prefix for region in graph.regions}
        self._levels = sorted(
            (
                (node.path, graph.regions[node.detail.body].prefix)
                for node in graph.nodes
                if isinstance(node.detail, Recurse)
            ),
            key=lambda pair: -len(pair[0]),
        )

    def template(self, path: str) -> str:
        """The path with indices left empty and levels of recursion folded into one."""
        if path in self.known:
            return path
        parts = _INDEX.split(path)
        found = parts[0]
        for index, rest in zip(parts[1::2], parts[2::2], strict=True):
            repeated = f"{self._folded(found)}[]"
            # A case may be labelled with a number as well: "triage[3]".
            found = (repeated if repeated in self._repeated else found + index) + rest
        return self._folded(found)

    def _folded(self, path: str) -> str:
        while path not in self.known:
            for owner, prefix in self._levels:
                if path.startswith(f"{owner}/") and not path.startswith(f"{prefix}/{owner}"):
                    path = prefix + path[len(owner) :]
                    break
            else:
                return path
        return path


class _Inference:
    """Fills in the nodes that leave no event."""

    def __init__(
        self,
        graph: Graph,
        states: dict[str, str],
        outcomes: Mapping[str, set[int]],
        *,
        ended: bool,
    ) -> None:
        self.graph = graph
        self.states = states
        self.outcomes = outcomes
        self.ended = ended
        self.consumers: dict[int, list[GraphNode]] = {}
        for node in graph.nodes:
            for producer in {*node.inputs, *node.gates}:
                self.consumers.setdefault(producer, []).append(node)

    def complete(self) -> dict[str, str]:
        """Bodies before their owners, producers before consumers."""
        self._region(0, reached=True)
        return self.states

    def _region(self, number: int, *, reached: bool) -> None:
        region = self.graph.regions[number]
        for index in range(region.start, region.stop):
            node = self.graph.nodes[index]
            body = body_of(node)
            if body is not None and body != node.region:
                self._body(node, body)
            if node.path not in self.states:
                state = self._inferred(index, node, reached=reached)
                if state is not None:
                    self.states[node.path] = state
            if body is not None and self.states.get(node.path) == "skipped":
                self._skip(body)

    def _body(self, node: GraphNode, body: int) -> None:
        place = self.graph.regions[body]
        inner = self.graph.nodes[place.start : place.stop]
        reached = any(other.path in self.states for other in inner)
        self._region(body, reached=reached)
        if reached and node.path not in self.states:
            output = self.states.get(self.graph.nodes[place.output].path)
            self.states[node.path] = "running" if output is None else output

    def _skip(self, body: int) -> None:
        """What a skipped node would have repeated is skipped with it."""
        place = self.graph.regions[body]
        for node in self.graph.nodes[place.start : place.stop]:
            inner = body_of(node)
            known = node.path in self.states
            self.states.setdefault(node.path, "skipped")
            if inner is not None and not known:
                self._skip(inner)

    def _inferred(self, index: int, node: GraphNode, *, reached: bool) -> str | None:
        if node.kind in ("input", "constant"):
            return "succeeded" if reached else None
        if not reached or node.kind == "undo":
            return None
        if node.kind in ("case", "when"):
            return self._choice(index, node)
        before = [self.states.get(self.graph.nodes[i].path) for i in (*node.inputs, *node.gates)]
        taken = [state in _TAKEN for state in before]
        if any(state in _OPEN for state in before) and not self.ended:
            return None
        settled = self.ended or _FAILED.isdisjoint(before)
        if node.kind == "optional" or (isinstance(node.detail, Collect) and not node.detail.need):
            return "succeeded" if settled else None
        if node.kind in _JOINS and any(taken):
            return "succeeded"
        if not all(taken) or node.kind in _JOINS:
            # In a run that failed, what follows a failure was not skipped: it was not reached.
            return "skipped" if self.ended or "skipped" in before else None
        if node.step is not None:
            return None
        if node.kind in ("signal", "sleep") and not self.ended:
            return "waiting"
        return "succeeded"

    def _choice(self, index: int, node: GraphNode) -> str | None:
        """A case or a when: by the outcome, or else by whether anything behind it was reached."""
        source = self.graph.nodes[node.inputs[0]].path
        if self.states.get(source) not in _TAKEN:
            return "skipped" if self.ended else None
        taken = node.detail.taken if isinstance(node.detail, Case) else (1,)
        outcomes = self.outcomes.get(source if node.kind == "case" else node.path)
        if outcomes:
            return "skipped" if outcomes.isdisjoint(taken) else "succeeded"
        after = [self.states.get(other.path) for other in self.consumers.get(index, [])]
        if any(state not in (None, "skipped") for state in after):
            return "succeeded"
        return "skipped" if self.ended else None


def _state(event: Event, node: GraphNode) -> str | None:
    """The state that an event leaves its node in; None if that follows from its surroundings."""
    match event.kind:
        case "failed" if event.due is not None:
            return "waiting"
        case "chosen":
            return "succeeded" if isinstance(node.detail, Switch | Accept) else None
        case "fired" if isinstance(node.detail, Wait):
            return "skipped" if node.detail.on_timeout == "skip" else "failed"
        case kind:
            return _BY_EVENT.get(kind)


_INDEX: Final = re.compile(r"(\[\d+\])")
_TAKEN: Final = frozenset({"succeeded", "compensated", "compensation_failed"})
_JOINS: Final = frozenset({"merge", "race", "collect"})
_FAILED: Final = frozenset({"failed", "cancelled"})
_OPEN: Final = frozenset({None, "running", "waiting"})
_SEVERITY: Final = (
    "compensation_failed",
    "failed",
    "running",
    "waiting",
    "cancelled",
    "compensated",
    "succeeded",
    "skipped",
)
_BY_EVENT: Final[Mapping[str, str]] = {
    "started": "running",
    "begun": "running",
    "done": "succeeded",
    "decided": "succeeded",
    "fired": "succeeded",
    "acquired": "succeeded",
    "failed": "failed",
    "interrupted": "waiting",
    "withdrawn": "cancelled",
}
