"""Subject: the workflow under lint, with what several rules ask about its graph."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

from penstock._graph import (
    Accept,
    Collect,
    Graph,
    GraphNode,
    Loop,
    Map,
    Race,
    Recurse,
    Shield,
    Undo,
)
from penstock._handoffs import body_of
from penstock._policies import RetryPolicy
from penstock._stages import Step

from ._findings import RULES, Finding

Found: TypeAlias = Iterator[Finding]


@dataclass(kw_only=True)
class Subject:
    """What the rules look at.

    Attributes:
        graph: of the workflow.
        owner: of the workflow, or None.
        has_rollback: whether the workflow says what takes a release of it back.
        deadline: seconds that a run has, or None.
        items: how many items a map is taken to have.
    """

    graph: Graph
    owner: str | None = None
    has_rollback: bool = False
    deadline: float | None = None
    items: int = 1

    def finding(self, code: str, node: int | None, what: str, remedy: str | None = None) -> Finding:
        """A finding of the rule with that code; `node` None is the workflow."""
        rule = RULES[code]
        return Finding(
            code=code,
            severity=rule.severity,
            node=self.graph.name if node is None else self.graph.nodes[node].path,
            what=what,
            remedy=remedy or rule.remedy,
        )

    @cached_property
    def steps(self) -> dict[Step[..., Any], list[int]]:
        """Each step that does work, with its nodes; compensations are not among them."""
        return self._by_step("step")

    @cached_property
    def undoing(self) -> dict[Step[..., Any], list[int]]:
        """Each compensation, with its nodes."""
        return self._by_step("undo")

    @cached_property
    def compensated(self) -> set[int]:
        """The nodes that have a compensation."""
        return {node.detail.of for node in self.graph.nodes if isinstance(node.detail, Undo)}

    @cached_property
    def consumers(self) -> list[list[int]]:
        """For each node, those that take its value or wait for it; compensations are not."""
        consumers: list[list[int]] = [[] for _ in self.graph.nodes]
        for index, node in enumerate(self.graph.nodes):
            if node.kind != "undo":
                for producer in producers(node):
                    consumers[producer].append(index)
        return consumers

    @cached_property
    def owners(self) -> dict[int, int]:
        """For each body, the node that repeats it."""
        return {
            body: index
            for index, node in enumerate(self.graph.nodes)
            if (body := body_of(node)) is not None and body != node.region
        }

    def around(self, index: int) -> Iterator[int]:
        """The node itself, then the node whose body it is in, and so on outwards."""
        seen: set[int] = set()
        region = self.graph.nodes[index].region
        yield index
        while region in self.owners and region not in seen:
            seen.add(region)
            index = self.owners[region]
            region = self.graph.nodes[index].region
            yield index

    def is_before(self, first: int, second: int) -> bool:
        """Whether `first` is over before `second` starts, in any run that has both."""
        nodes = self.graph.nodes
        by_region = {nodes[i].region: i for i in self.around(first)}
        for index in self.around(second):
            other = by_region.get(nodes[index].region)
            if other is not None:
                return bool(self.bits_before[index] >> other & 1)
        return False

    def before(self, index: int) -> set[int]:
        """The nodes of its region that a node comes after."""
        region = self.graph.regions[self.graph.nodes[index].region]
        bits = self.bits_before[index]
        return {place for place in range(region.start, region.stop) if bits >> place & 1}

    @cached_property
    def bits_before(self) -> list[int]:
        """For each node, the nodes of its region that it comes after, as bits."""
        before: list[int] = []
        for node in self.graph.nodes:
            bits = 0
            for producer in producers(node):
                bits |= before[producer] | 1 << producer
            before.append(bits)
        return before

    def is_contained(self, index: int) -> bool:
        """Whether something takes a failure of this node without failing the run."""
        graph = self.graph
        return any(
            self._in_contained_call(graph.nodes[place].call)
            or _tolerates(graph.nodes[place], index == place)
            or self._feeds_races_only(place)
            for place in self.around(index)
        )

    def repeats(self, index: int) -> int:
        """How often at most the bodies around a node run in one run, maps aside."""
        product = 1
        for place in self.around(index):
            detail = self.graph.nodes[place].detail
            if place != index and isinstance(detail, Loop):
                product *= detail.max_iterations
            if place != index and isinstance(detail, Recurse):
                product *= max(self.depths.get(detail.body, 1), 1)
        return product * max(self.depths.get(0, 1), 1)

    @cached_property
    def depths(self) -> dict[int, int]:
        """For each region that repeats itself, how many of its frames may be inside each other."""
        depths: dict[int, int] = {}
        for node in self.graph.nodes:
            if isinstance(node.detail, Recurse) and node.detail.max_depth:
                body = node.detail.body
                depths[body] = max(depths.get(body, 0), node.detail.max_depth)
        return depths

    def _by_step(self, kind: str) -> dict[Step[..., Any], list[int]]:
        found: dict[Step[..., Any], list[int]] = {}
        for index, node in enumerate(self.graph.nodes):
            if node.step is not None and node.kind == kind:
                found.setdefault(node.step, []).append(index)
        return found

    @cached_property
    def _contained(self) -> set[int]:
        details = [node.detail for node in self.graph.nodes]
        return {d.contains for d in details if isinstance(d, Accept | Shield)}

    def _in_contained_call(self, call: int) -> bool:
        while call not in self._contained:
            parent = self.graph.calls[call]
            if parent == call:
                return False
            call = parent
        return True

    def _feeds_races_only(self, index: int) -> bool:
        after = [self.graph.nodes[i].detail for i in self.consumers[index]]
        return bool(after) and all(
            isinstance(detail, Race) or (isinstance(detail, Collect) and detail.need > 0)
            for detail in after
        )


def producers(node: GraphNode) -> set[int]:
    """All that a node comes after."""
    return {*node.inputs, *node.gates, *node.after}


def attempts(node: GraphNode) -> int:
    """How many attempts a node has at most."""
    retry: RetryPolicy | None = node.option("retry")
    return 1 if retry is None else retry.max_attempts


def places(nodes: list[int]) -> str:
    """How many other nodes there are: "" or " (and at 3 more nodes)"."""
    more = len(nodes) - 1
    return f" (and at {more} more node{'s' if more > 1 else ''})" if more else ""


def _tolerates(node: GraphNode, itself: bool) -> bool:  # noqa: FBT001
    detail = node.detail
    return not itself and isinstance(detail, Map) and bool(detail.tolerated or detail.need)
