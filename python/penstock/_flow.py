"""Flow: what a workflow's function draws its graph with.

Mistakes in an edge or a name are collected, so that one `DefinitionError` tells them all; only what
leaves nothing to go on with is raised at once.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar, Unpack, cast, overload

from ._context import Context
from ._contracts import Contract, assignable
from ._errors import DefinitionError
from ._graph import Graph, GraphNode
from ._nodes import Node
from ._options import Options, checked
from ._signatures import annotations_of
from ._stages import (
    A1,
    A2,
    A3,
    A4,
    A5,
    A6,
    R,
    Stage,
    Step,
    Takes0,
    Takes1,
    Takes2,
    Takes3,
    Takes4,
    Takes5,
    Takes6,
    label,
)

T = TypeVar("T")


class Overrides(Options, total=False):
    """What one call changes: its label, what it waits for, and any option of the step.

    Attributes:
        name: the node's label; the stage's name, numbered if it is taken, unless given.
        after: nodes to wait for without taking their value.
    """

    name: str | None
    after: Node[object] | Sequence[Node[object]]


class Flow:
    """Draws the graph of one workflow. The workflow's function gets it and returns a `Node`.

    - nodes: `call`, `apply`, `constant`

    Args:
        name: of the workflow; opens every path.
        defaults: options for the steps that do not say otherwise.
    """

    __slots__ = ("_counts", "_defaults", "_labels", "_name", "_nodes", "_open", "_problems")

    def __init__(self, name: str, defaults: Options) -> None:
        self._name = name
        self._defaults = defaults
        self._nodes: list[GraphNode] = []
        self._labels: set[str] = set()
        self._counts: dict[str, int] = {}
        self._problems: list[str] = []
        self._open = True

    @overload
    def call(self, stage: Takes0[R], /, **overrides: Unpack[Overrides]) -> Node[R]: ...
    @overload
    def call(
        self, stage: Takes1[A1, R], a1: Node[A1], /, **overrides: Unpack[Overrides]
    ) -> Node[R]: ...
    @overload
    def call(
        self,
        stage: Takes2[A1, A2, R],
        a1: Node[A1],
        a2: Node[A2],
        /,
        **overrides: Unpack[Overrides],
    ) -> Node[R]: ...
    @overload
    def call(
        self,
        stage: Takes3[A1, A2, A3, R],
        a1: Node[A1],
        a2: Node[A2],
        a3: Node[A3],
        /,
        **overrides: Unpack[Overrides],
    ) -> Node[R]: ...
    @overload
    def call(
        self,
        stage: Takes4[A1, A2, A3, A4, R],
        a1: Node[A1],
        a2: Node[A2],
        a3: Node[A3],
        a4: Node[A4],
        /,
        **overrides: Unpack[Overrides],
    ) -> Node[R]: ...
    @overload
    def call(
        self,
        stage: Takes5[A1, A2, A3, A4, A5, R],
        a1: Node[A1],
        a2: Node[A2],
        a3: Node[A3],
        a4: Node[A4],
        a5: Node[A5],
        /,
        **overrides: Unpack[Overrides],
    ) -> Node[R]: ...
    @overload
    def call(
        self,
        stage: Takes6[A1, A2, A3, A4, A5, A6, R],
        a1: Node[A1],
        a2: Node[A2],
        a3: Node[A3],
        a4: Node[A4],
        a5: Node[A5],
        a6: Node[A6],
        /,
        **overrides: Unpack[Overrides],
    ) -> Node[R]: ...
    @overload
    def call(
        self,
        stage: Callable[[Context, *tuple[A1, ...]], Coroutine[Any, Any, R]],
        /,
        *parents: Node[A1],
        **overrides: Unpack[Overrides],
    ) -> Node[R]: ...
    @overload
    def call(
        self,
        stage: Callable[[*tuple[A1, ...]], Coroutine[Any, Any, R]],
        /,
        *parents: Node[A1],
        **overrides: Unpack[Overrides],
    ) -> Node[R]: ...
    @overload
    def call(
        self,
        stage: Callable[[Context, *tuple[A1, ...]], R],
        /,
        *parents: Node[A1],
        **overrides: Unpack[Overrides],
    ) -> Node[R]: ...
    @overload
    def call(
        self,
        stage: Callable[[*tuple[A1, ...]], R],
        /,
        *parents: Node[A1],
        **overrides: Unpack[Overrides],
    ) -> Node[R]: ...
    def call(self, stage: Any, /, *nodes: Node[Any], **overrides: Any) -> Node[Any]:
        """Run a step or a workflow once all its inputs are there.

        A workflow becomes part of this graph: its nodes' paths begin with the label of this call.
        The overrides of such a call go to each of its steps that has none of its own, and `after`
        to those that would start at once.

        Args:
            stage: a step, or a workflow.
            nodes: one for each input, in order.
            overrides: `name` (the label), `after`, and any option of a step.
        """
        self._require_open()
        if not isinstance(cast("object", stage), Stage):
            problem = f"flow.call takes a step or a workflow, not {stage!r}"
            raise DefinitionError(problem, remedy="decorate it with @ps.step, or use flow.apply")
        name, after = overrides.pop("name", None), overrides.pop("after", ())
        path = self._path(name, stage.name)
        producers = self._producers(nodes, path)
        self._check_edges(stage, producers, path)
        waits = self._indices(self._after(after, path))
        options = self._options(overrides, path)
        inputs = self._indices(producers)
        if stage.graph is not None:
            return self._inline(stage, stage.graph, path, inputs, waits, options=options)
        step: Step[..., Any] = stage
        self._check_once(step, options, path)
        return self._add(
            GraphNode(
                path=path,
                kind="step",
                contract=step.contract,
                inputs=inputs,
                after=waits,
                step=step,
                overrides=options,
                defaults=self._defaults,
            )
        )

    @overload
    def apply(
        self, function: Callable[[A1], R], a1: Node[A1], /, *, name: str | None = None
    ) -> Node[R]: ...
    @overload
    def apply(
        self,
        function: Callable[[A1, A2], R],
        a1: Node[A1],
        a2: Node[A2],
        /,
        *,
        name: str | None = None,
    ) -> Node[R]: ...
    @overload
    def apply(
        self,
        function: Callable[[A1, A2, A3], R],
        a1: Node[A1],
        a2: Node[A2],
        a3: Node[A3],
        /,
        *,
        name: str | None = None,
    ) -> Node[R]: ...
    @overload
    def apply(
        self,
        function: Callable[[A1, A2, A3, A4], R],
        a1: Node[A1],
        a2: Node[A2],
        a3: Node[A3],
        a4: Node[A4],
        /,
        *,
        name: str | None = None,
    ) -> Node[R]: ...
    @overload
    def apply(
        self,
        function: Callable[[A1, A2, A3, A4, A5], R],
        a1: Node[A1],
        a2: Node[A2],
        a3: Node[A3],
        a4: Node[A4],
        a5: Node[A5],
        /,
        *,
        name: str | None = None,
    ) -> Node[R]: ...
    @overload
    def apply(
        self,
        function: Callable[[A1, A2, A3, A4, A5, A6], R],
        a1: Node[A1],
        a2: Node[A2],
        a3: Node[A3],
        a4: Node[A4],
        a5: Node[A5],
        a6: Node[A6],
        /,
        *,
        name: str | None = None,
    ) -> Node[R]: ...
    @overload
    def apply(
        self,
        function: Callable[[*tuple[A1, ...]], R],
        /,
        *nodes: Node[A1],
        name: str | None = None,
    ) -> Node[R]: ...
    def apply(
        self, function: Callable[..., Any], /, *nodes: Node[Any], name: str | None = None
    ) -> Node[Any]:
        """Evaluate a pure function inline, in the event loop: never queued, never retried.

        Its annotations, as far as it has any, are the contract; a lambda may take and give
        anything. An exception fails the node.

        Args:
            function: quick, without side effects; not a coroutine function.
            nodes: its arguments.
            name: the node's label; the function's name unless given.
        """
        self._require_open()
        usual = getattr(function, "__name__", "apply")
        path = self._path(name, "apply" if usual == "<lambda>" else usual)
        producers = self._producers(nodes, path)
        contract = self._check_function(function, producers, path)
        return self._add(
            GraphNode(
                path=path,
                kind="apply",
                contract=contract,
                inputs=self._indices(producers),
                function=function,
            )
        )

    def constant(self, value: T, /, *, name: str | None = None) -> Node[T]:
        """A node that carries `value` in every run. All runs share it: do not change it.

        Args:
            value: of any type.
            name: the node's label; "constant" unless given.
        """
        self._require_open()
        path = self._path(name, "constant")
        contract = Contract.of(type(value))
        return self._add(GraphNode(path=path, kind="constant", contract=contract, value=value))

    def _inline(
        self,
        stage: Stage[..., Any],
        graph: Graph,
        path: str,
        inputs: tuple[int, ...],
        after: tuple[int, ...],
        *,
        options: Options,
    ) -> Node[Any]:
        """Copy a workflow's nodes into this graph, with its inputs replaced by `inputs`."""
        places = list(inputs[: graph.input_count])
        places += [0] * (graph.input_count - len(places))  # a wrong count is a problem by now
        prefix = len(graph.name)
        for node in graph.nodes[graph.input_count :]:
            waits = tuple(places[i] for i in node.after)
            if not any(graph.nodes[i].kind in _WORK for i in (*node.inputs, *node.after)):
                waits += after if node.kind in _WORK else ()
            merged = cast("Options", {**options, **node.overrides})
            if node.step is not None:
                self._check_once(node.step, merged, path + node.path[prefix:])
            places.append(len(self._nodes))
            self._nodes.append(
                GraphNode(
                    path=path + node.path[prefix:],
                    kind=node.kind,
                    contract=node.contract,
                    inputs=tuple(places[i] for i in node.inputs),
                    after=tuple(dict.fromkeys(waits)),
                    step=node.step,
                    function=node.function,
                    value=node.value,
                    overrides=merged,
                    defaults=cast("Options", {**self._defaults, **node.defaults}),
                )
            )
        output = places[graph.output]
        known = self._nodes[output].path if output < len(self._nodes) else path
        return Node(self, output, known, stage.contract)

    def _add(self, node: GraphNode) -> Node[Any]:
        self._nodes.append(node)
        return Node(self, len(self._nodes) - 1, node.path, node.contract)

    def _path(self, name: str | None, usual: str) -> str:
        """The path of a new node: labelled `name`, else `usual`, else `usual-2` and so on."""
        if name is None:
            count = self._counts.get(usual, 0) + 1
            chosen = usual if count == 1 else f"{usual}-{count}"
            while chosen in self._labels:
                count += 1
                chosen = f"{usual}-{count}"
            self._counts[usual] = count
        else:
            chosen = self._named(name)
        self._labels.add(chosen)
        return f"{self._name}/{chosen}"

    def _named(self, name: str) -> str:
        try:
            label(name, "a node's name")
        except DefinitionError as error:
            self._problems.append(str(error))
        if name in self._labels:
            self._problem(f"{self._name}/{name}", "two nodes have this name; rename one of them")
        return name

    def _producers(self, nodes: Sequence[Any], path: str) -> list[Node[Any]]:
        good: list[Node[Any]] = []
        for node in nodes:
            if not isinstance(cast("object", node), Node):
                self._problem(
                    path, f"its input {node!r} is no node; wrap it: flow.constant({node!r})"
                )
                good.append(Node(self, 0, path, Contract.of(Any)))
            elif node.flow is not self:
                self._problem(
                    path,
                    f"its input {node.path!r} belongs to another workflow; pass the value in as an "
                    "input of this one",
                )
                good.append(Node(self, 0, path, Contract.of(Any)))
            else:
                good.append(node)
        return good

    def _after(self, after: Node[object] | Sequence[Node[object]], path: str) -> list[Node[Any]]:
        if isinstance(after, Node):
            after = [after]
        if not isinstance(after, list | tuple):
            self._problem(path, f"after is {after!r}; give a node, or a list of nodes")
            return []
        return list({node.index: node for node in self._producers(after, path)}.values())

    def _check_edges(self, stage: Stage[..., Any], producers: list[Node[Any]], path: str) -> None:
        inputs = stage.inputs
        if stage.variadic:
            inputs = inputs * len(producers)
        if len(inputs) != len(producers):
            names = ", ".join(name for name, _ in inputs)
            self._problem(
                path,
                f"{stage.name} takes ({names}), but was given {len(producers)}; pass one node for "
                "each, in order",
            )
        for producer, (name, wanted) in zip(producers, inputs, strict=False):
            self._check_edge(producer, name, wanted, path)

    def _check_edge(self, producer: Node[Any], name: str, wanted: Contract, path: str) -> None:
        given = producer.contract
        if given is wanted or given.anything or wanted.anything:
            return
        source = self._nodes[producer.index] if producer.index < len(self._nodes) else None
        if source is not None and source.kind == "constant":
            fits = wanted.accepts(source.value)
        else:
            fits = assignable(given.annotation, wanted.annotation)
        if not fits:
            self._problem(
                path,
                f"input {name!r} takes {wanted.name}, but {producer.path!r} gives {given.name}; "
                "pass another node, or convert the value with flow.apply",
            )

    def _check_function(self, function: Any, producers: list[Node[Any]], path: str) -> Contract:
        """Check a function for `apply` against its inputs, and return its result's contract."""
        if isinstance(function, Stage):
            self._problem(path, "flow.apply takes a function; use flow.call for a step or workflow")
            return Contract.of(Any)
        if not callable(function) or inspect.iscoroutinefunction(function):
            self._problem(path, f"flow.apply takes a plain function, not {function!r}; use a step")
            return Contract.of(Any)
        if not inspect.isroutine(function):
            return Contract.of(function if isinstance(function, type) else Any)
        try:
            bound = inspect.signature(function).bind(*producers)
        except ValueError:  # a builtin that does not tell its signature
            return Contract.of(Any)
        except TypeError as error:
            self._problem(path, f"was given {len(producers)} inputs: {error}; pass what it takes")
            return Contract.of(Any)
        hints = annotations_of(function, f"node {path!r}")
        for name, given in bound.arguments.items():
            for producer in cast("Sequence[Any]", given if isinstance(given, tuple) else (given,)):
                self._check_edge(producer, name, Contract.of(hints.get(name, Any)), path)
        return Contract.of(hints.get("return", Any))

    def _check_once(self, step: Step[..., Any], options: Options, path: str) -> None:
        retry = options.get("retry")
        if step.effects == "once" and retry is not None and retry.max_attempts > 1:
            self._problem(
                path,
                f"step {step.name!r} has effects='once' and can't have {retry.max_attempts} "
                "attempts; give RetryPolicy(max_attempts=1)",
            )

    def _options(self, overrides: dict[str, object], path: str) -> Options:
        if not overrides:
            return _NONE
        try:
            return checked(overrides)
        except DefinitionError as error:
            for problem in error.problems:
                self._problem(path, problem)
            return _NONE

    def _indices(self, nodes: list[Node[Any]]) -> tuple[int, ...]:
        return tuple([node.index for node in nodes])

    def _problem(self, path: str, text: str) -> None:
        self._problems.append(f"node {path!r}: {text}")

    def _require_open(self) -> None:
        if not self._open:
            raise DefinitionError(
                f"the flow of workflow {self._name!r} was used after its function returned",
                remedy="draw every node inside the function",
            )

    def _compile(
        self,
        draw: Callable[..., object],
        inputs: Sequence[tuple[str, Contract]],
        result: Contract,
        version: str,
    ) -> Graph:
        """Let `draw` draw into this flow, once, and return what came of it.

        Raises:
            DefinitionError: with every problem that was found while drawing.
        """
        nodes = [
            self._add(GraphNode(path=self._path(name, name), kind="input", contract=contract))
            for name, contract in inputs
        ]
        output = None
        try:
            output = draw(self, *nodes)
        except DefinitionError as error:
            self._problems += error.problems
        except Exception as error:
            if not self._problems:
                raise
            self._problems.append(f"its function then raised {error!r}; see the cause")
            raise DefinitionError.of(f"workflow {self._name!r}", self._problems) from error
        else:
            self._check_inputs_used(output, len(nodes))
            self._check_output(output, result)
        finally:
            self._open = False
        if self._problems:
            raise DefinitionError.of(f"workflow {self._name!r}", self._problems)
        return Graph(
            name=self._name,
            version=version,
            nodes=tuple(self._nodes),
            output=cast("Node[Any]", output).index,
            input_count=len(nodes),
        )

    def _check_inputs_used(self, output: object, count: int) -> None:
        used = {i for node in self._nodes for i in (*node.inputs, *node.after)}
        if isinstance(output, Node):
            used.add(output.index)
        for index, node in enumerate(self._nodes[:count]):
            if index not in used:
                self._problem(node.path, "this input is not used; use it or remove the parameter")

    def _check_output(self, output: object, result: Contract) -> None:
        if not isinstance(output, Node):
            self._problems.append(f"it returned {output!r}; return the node of its result")
        elif output.flow is not self:
            self._problems.append(
                f"it returned {output.path!r}, a node of another workflow; return one of its own"
            )
        elif output.contract is not result and not assignable(
            output.contract.annotation, result.annotation
        ):
            self._problem(
                output.path,
                f"it is returned and gives {output.contract.name}, but the workflow's annotation "
                f"says {result.name}; correct one of them",
            )


_NONE = Options()
_WORK = frozenset({"step", "apply"})
