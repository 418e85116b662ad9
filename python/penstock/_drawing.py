"""Drawing: a graph while it is drawn, and what is wrong with it so far.

Mistakes in an edge or a name are collected, so that one `DefinitionError` tells them all; only what
leaves nothing to go on with is raised at once. What a method of `Flow` adds to the graph is said in
`_calls`, `_bodies`, `_cases` and `_scopes`; here is what they share.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from ._contracts import Contract, assignable
from ._errors import DefinitionError
from ._graph import Detail, Graph, GraphNode, NodeKind, Region, Scope, Undo
from ._hedges import wrong_hedges
from ._nodes import Node
from ._options import Options, checked
from ._stages import Step, label

T = TypeVar("T")


@dataclass(slots=True)
class Part:
    """A region while it is drawn. Its nodes know each other by their place in it."""

    number: int
    prefix: str
    nodes: list[GraphNode] = field(default_factory=list[GraphNode])
    input_count: int = 0
    output: int = 0


@dataclass(slots=True)
class Instance:
    """A call instance while it is drawn; its own parent if it is a region's root."""

    parent: int
    part: Part
    output: int = 0


class Drawing:
    """The graph of one workflow while its function runs.

    Attributes:
        name: of the workflow; opens every path.
        defaults: options for the steps that do not say otherwise.
        inputs: name and contract of each input of the workflow.
        result: contract of the workflow's result.
        part: the region that is drawn in.
        call: the call instance that is drawn in.
        scope: the scope that is drawn in.
        parts, instances, scopes: all of them.
        endings: called when the function has returned; they tell what is missing.
        problems: found so far.
    """

    def __init__(
        self,
        name: str,
        defaults: Options,
        inputs: Sequence[tuple[str, Contract]],
        result: Contract,
    ) -> None:
        self.name = name
        self.defaults = defaults
        self.inputs = inputs
        self.result = result
        self.part = Part(0, name)
        self.call = 0
        self.scope: int | None = None
        self.parts = [self.part]
        self.instances = [Instance(0, self.part)]
        self.scopes: list[Scope] = []
        self.endings: list[Callable[[], None]] = []
        self.problems: list[str] = []
        self._paths: set[str] = set()
        self._counts: dict[str, int] = {}
        self._open = True

    # Nodes.

    def add(
        self,
        path: str,
        kind: NodeKind,
        contract: Contract,
        *,
        inputs: tuple[int, ...] = (),
        gates: tuple[int, ...] = (),
        after: tuple[int, ...] = (),
        holds: int | None = None,
        detail: Detail | None = None,
        step: Step[..., Any] | None = None,
        function: Callable[..., object] | None = None,
        value: object = None,
        overrides: Options | None = None,
    ) -> int:
        """Add a node to the region that is drawn in, and return its place there."""
        return self.append(
            GraphNode(
                path=path,
                kind=kind,
                contract=contract,
                region=self.part.number,
                inputs=inputs,
                gates=gates,
                after=after,
                call=self.call,
                scope=self.scope,
                holds=holds,
                detail=detail,
                step=step,
                function=function,
                value=value,
                overrides=overrides or _NONE,
                defaults=self.defaults if step is not None else _NONE,
            )
        )

    def append(self, node: GraphNode, part: Part | None = None) -> int:
        """Add a finished node, to the region that is drawn in unless told, and return its place."""
        nodes = (part or self.part).nodes
        self._paths.add(node.path)
        nodes.append(node)
        return len(nodes) - 1

    def change(self, index: int, **changes: Any) -> None:
        """Replace fields of a node of region 0 that were not known when it was drawn."""
        nodes = self.parts[0].nodes
        nodes[index] = replace(nodes[index], **changes)

    def node(self, index: int) -> Node[Any]:
        """The handle of a node of the region that is drawn in."""
        node = self.part.nodes[index] if index < len(self.part.nodes) else None
        if node is None:  # stands in for one that could not be drawn, which is a problem by now
            return Node(self, index, self.name, Contract.of(Any))
        return Node(self, index, node.path, node.contract)

    # Paths.

    def path(self, name: str | None, usual: str) -> str:
        """The path of a new node: labelled `name`, else `usual`, else `usual-2` and so on."""
        if name is None:
            return self._numbered(f"{self.name}/{usual}")
        path = f"{self.name}/{name}"
        try:
            label(name, "a node's name")
        except DefinitionError as error:
            self.problems.append(str(error))
        if path in self._paths:
            self.problem(path, "two nodes have this name; rename one of them")
        self._paths.add(path)
        return path

    def below(self, path: str, part: str) -> str:
        """The path of a node that belongs to the one at `path`: "support/draft/fallback"."""
        return self._numbered(f"{path}/{part}")

    def case_path(self, path: str, case: str) -> str:
        """The path of an outcome of the node at `path`: "support/severity[high]"."""
        plain = "".join("_" if c in "/[]" or not c.isprintable() else c for c in case)
        return self._numbered(f"{path}[{plain or '_'}]", suffix="]")

    def _numbered(self, path: str, suffix: str = "") -> str:
        count = self._counts.get(path, 0) + 1
        stem = path.removesuffix(suffix)
        chosen = path if count == 1 else f"{stem}-{count}{suffix}"
        while chosen in self._paths:
            count += 1
            chosen = f"{stem}-{count}{suffix}"
        self._counts[path] = count
        self._paths.add(chosen)
        return chosen

    # Regions and call instances.

    @contextmanager
    def instance(self) -> Generator[int]:
        """Draw in a new call instance; whoever opens it sets its output."""
        around, number = self.call, len(self.instances)
        self.instances.append(Instance(around, self.part))
        self.call = number
        try:
            yield number
        finally:
            self.call = around

    def apart(self, draw: Callable[[], int]) -> tuple[int, int]:
        """Let `draw` draw in a new call instance; the place of its result, and the instance."""
        with self.instance() as call:
            place = self.instances[call].output = draw()
        return place, call

    @contextmanager
    def body(self, prefix: str) -> Generator[Part]:
        """Draw in a new region, which is a call instance too; whoever opens it sets its output."""
        around = self.part, self.call, self.scope
        part = Part(len(self.parts), prefix)
        self.parts.append(part)
        with self.instance() as root:
            self.part, self.scope = part, None
            self.instances[root] = Instance(root, part)
            try:
                yield part
            finally:
                self.instances[root].output = part.output
                self.part, self.call, self.scope = around

    @contextmanager
    def at(self, call: int, scope: int | None) -> Generator[None]:
        """Draw in region 0 as it was when an earlier node was drawn there."""
        around = self.part, self.call, self.scope
        self.part, self.call, self.scope = self.parts[0], call, scope
        try:
            yield
        finally:
            self.part, self.call, self.scope = around

    # Problems.

    def problem(self, path: str, text: str) -> None:
        """Note what is wrong with the node at `path`, and the remedy."""
        self.problems.append(f"node {path!r}: {text}")

    def tried(self, path: str, check: Callable[[], T], usual: T) -> T:
        """What `check` gives; what it raises is a problem of the node, and `usual` stands in."""
        try:
            return check()
        except DefinitionError as error:
            for problem in error.problems:
                self.problem(path, problem)
            return usual

    def options(self, overrides: dict[str, object], path: str) -> Options:
        """The overrides of a call, checked."""
        return self.tried(path, lambda: checked(overrides), _NONE) if overrides else _NONE

    def require_open(self) -> None:
        """Refuse to draw when the workflow's function has returned.

        Raises:
            DefinitionError: it has.
        """
        if not self._open:
            raise DefinitionError(
                f"the flow of workflow {self.name!r} was used after its function returned",
                remedy="draw every node inside the function",
            )

    # The whole.

    def compile(self, draw: Callable[[Sequence[Node[Any]]], object], version: str) -> Graph:
        """Let `draw` draw, once, and return what came of it.

        Raises:
            DefinitionError: with every problem that was found while drawing.
        """
        nodes = [
            self.node(self.add(self.path(name, name), "input", contract))
            for name, contract in self.inputs
        ]
        self.part.input_count = len(nodes)
        try:
            output = draw(nodes)
        except DefinitionError as error:
            self.problems += error.problems
        except Exception as error:
            if not self.problems:
                raise
            self.problems.append(f"its function then raised {error!r}; see the cause")
            raise self._error() from error
        else:
            for ending in self.endings:
                ending()
            self._check_inputs_used(output)
            self._check_output(output)
            self._check_hedges()
        finally:
            self._open = False
        if self.problems:
            raise self._error()
        return self._graph(version)

    def _error(self) -> DefinitionError:
        return DefinitionError.of(f"workflow {self.name!r}", self.problems)

    def _check_inputs_used(self, output: object) -> None:
        used = {i for node in self.part.nodes for i in (*node.inputs, *node.gates, *node.after)}
        if isinstance(output, Node):
            used.add(output.index)
        for index, node in enumerate(self.part.nodes[: self.part.input_count]):
            if index not in used:
                self.problem(node.path, "this input is not used; use it or remove the parameter")

    def _check_output(self, output: object) -> None:
        if not isinstance(output, Node):
            self.problems.append(f"it returned {output!r}; return the node of its result")
        elif output.flow is not self:
            self.problems.append(
                f"it returned {output.path!r}, a node of another workflow; return one of its own"
            )
        else:
            self.part.output = self.instances[0].output = output.index
            result = self.result
            if output.contract is not result and not assignable(
                output.contract.annotation, result.annotation
            ):
                self.problem(
                    output.path,
                    f"it is returned and gives {output.contract.name}, but the workflow's "
                    f"annotation says {result.name}; correct one of them",
                )

    def _check_hedges(self) -> None:
        for part in self.parts:
            for path, text in wrong_hedges(part.nodes):
                self.problem(path, text)

    def _graph(self, version: str) -> Graph:
        starts: list[int] = []
        nodes: list[GraphNode] = []
        regions: list[Region] = []
        for part in self.parts:
            start = len(nodes)
            starts.append(start)
            nodes += (
                part.nodes if start == 0 else (_shifted_node(node, start) for node in part.nodes)
            )
            regions.append(
                Region(
                    prefix=part.prefix,
                    start=start,
                    stop=len(nodes),
                    input_count=part.input_count,
                    output=start + part.output,
                )
            )
        return Graph(
            name=self.name,
            version=version,
            nodes=tuple(nodes),
            regions=tuple(regions),
            calls=tuple(instance.parent for instance in self.instances),
            outputs=tuple(starts[each.part.number] + each.output for each in self.instances),
            scopes=tuple(self.scopes),
        )


class Draws:
    """What the parts of `Flow` share: the drawing they add to."""

    __slots__ = ("_drawing",)

    def __init__(self, drawing: Drawing) -> None:
        self._drawing = drawing

    def _opened(self) -> Drawing:
        """The drawing, as long as the workflow's function runs."""
        self._drawing.require_open()
        return self._drawing


def _shifted_node(node: GraphNode, by: int) -> GraphNode:
    return replace(
        node,
        inputs=_shifted(node.inputs, by),
        gates=_shifted(node.gates, by),
        after=_shifted(node.after, by),
        holds=None if node.holds is None else node.holds + by,
        detail=Undo(of=node.detail.of + by) if isinstance(node.detail, Undo) else node.detail,
    )


def _shifted(indices: Iterable[int], by: int) -> tuple[int, ...]:
    return tuple([index + by for index in indices])


_NONE = Options()
