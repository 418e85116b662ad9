"""Workflows: a function draws the graph once, when it is decorated, and never runs again."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterable
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, get_args, get_origin, overload

from ._contracts import Contract
from ._drawing import Drawing
from ._durability import Durability, refuse_exit
from ._durability import durability as checked_durability
from ._errors import DefinitionError
from ._evidence import Criteria
from ._flow import Flow
from ._graph import Graph
from ._graph_json import digest, written
from ._graph_reader import read
from ._mermaid import mermaid
from ._money import Money
from ._money import nanos as nano_dollars
from ._nodes import Node
from ._options import STRUCTURAL, Options, Task, checked
from ._plan import plan_of
from ._policies import Budget, Cost, Hedge, Queue, RetryPolicy, Seconds, word
from ._policies._budgets import run_budget
from ._signatures import annotations_of
from ._stages import A1, A2, A3, A4, A5, A6, P, R, R_co, Stage, Step, label

if TYPE_CHECKING:
    from ._lint import Report


class Workflow(Stage[P, R_co]):
    """A versioned, immutable graph of steps; a stage as well. Made by `workflow`.

    Attributes:
        plan: the graph as the engine has it.
        digest: what a pinned run needs to find again; see `_graph_json.digest`.
        durability: of its runs, unless they say otherwise; None leaves it to the runtime.
        value: what a success is worth in nano-dollars, or None.
        budget: what each run may spend, unless it says otherwise; None for no limit.
        rollback: what takes a release of it back, or None.
    """

    def __init__(
        self,
        graph: Graph,
        *,
        contract: Contract,
        owner: str | None = None,
        durability: Durability | None = None,
        value: int | None = None,
        budget: Budget | None = None,
        rollback: Criteria | None = None,
    ) -> None:
        if durability == "exit":
            refuse_exit(graph)
        self.durability: Durability | None = durability
        self.value = value
        self.budget = budget
        self.rollback = rollback
        self.name = graph.name
        self.version = graph.version
        self.owner = owner
        self.contract = contract
        self._graph = graph
        self.plan = plan_of(graph)
        self.digest = digest(graph)
        inputs = graph.nodes[: graph.input_count]
        self.inputs = tuple((node.path.partition("/")[2], node.contract) for node in inputs)

    @property
    def graph(self) -> Graph:
        """The compiled graph."""
        return self._graph

    def as_workflow(self, count: int | None = None) -> Workflow[P, R_co]:  # noqa: ARG002
        """The workflow itself."""
        return self

    def to_json(self) -> str:
        """The graph as canonical JSON: sorted keys, no spaces.

        It has no policies: `from_json` takes those from the steps. Constants that JSON can't give
        back as they are go in by their repr, which `from_json` refuses; so it does `apply`.
        """
        return written(self.graph)

    @staticmethod
    def from_json(text: str, *, stages: Iterable[Stage[..., Any]]) -> Workflow[..., Any]:
        """A workflow from the JSON of `to_json`, or from one written by hand.

        Args:
            text: the nodes may come in any order.
            stages: the steps that it names, or workflows that have them.

        Raises:
            DefinitionError: with every problem: no JSON, a missing field, a bad index, an unknown
                step, an edge that does not fit, a cycle.

        >>> import penstock as ps
        >>> @ps.step
        ... async def shout(text: str) -> str:
        ...     return text.upper()
        >>> text = shout.as_workflow().to_json()
        >>> ps.Workflow.from_json(text, stages=[shout])
        <Workflow 'shout' version '1'>
        """
        graph = read(text, stages)
        return Workflow(graph, contract=graph.nodes[graph.output].contract)

    def to_mermaid(self) -> str:
        """The graph as a mermaid flowchart."""
        return mermaid(self.graph)

    def lint(
        self, *, deadline: float | None = None, items: int = 1, ignore: Collection[str] = ()
    ) -> Report:
        """What is likely to cause trouble, and how tangled and how patient the graph is.

        Args:
            deadline: seconds that a run has, to compare its worst case with.
            items: how many items a map is taken to have, for the worst case.
            ignore: codes to leave out; "R1" stands for R1.1, R1.2 and so on.
        """
        from ._lint import lint

        return lint(
            self.graph,
            owner=self.owner,
            rollback=self.rollback,
            deadline=deadline,
            items=items,
            ignore=ignore,
        )

    if not TYPE_CHECKING:

        def __call__(self, *_: object, **__: object) -> NoReturn:
            raise DefinitionError(
                f"workflow {self.name!r} was called",
                remedy="run it with Runtime.run, or put it into a graph with flow.call",
            )


def single(step: Step[P, R_co], count: int) -> Workflow[P, R_co]:
    """A workflow of one node, with the name and version of its step.

    One that takes any number of inputs is another workflow for each number, so its version says
    which: "1/3" for three.

    Args:
        step: the step.
        count: how many inputs, if the step takes any number.
    """
    wanted, version = step.inputs, step.version
    if step.variadic:
        version = f"{step.version}/{count}"
        wanted = tuple((f"{name}-{i}", c) for i in range(1, count + 1) for name, c in step.inputs)
    drawing = Drawing(step.name, Options(), wanted, step.contract)
    flow: Any = Flow(drawing)
    graph = drawing.compile(lambda nodes: flow.call(step, *nodes), version)
    return Workflow(graph, contract=step.contract, owner=step.owner)


class WorkflowDecorator(Protocol):
    """What `workflow` with options gives."""

    @overload
    def __call__(self, function: Callable[[Flow], Node[R]], /) -> Workflow[[], R]: ...
    @overload
    def __call__(self, function: Callable[[Flow, Node[A1]], Node[R]], /) -> Workflow[[A1], R]: ...
    @overload
    def __call__(
        self, function: Callable[[Flow, Node[A1], Node[A2]], Node[R]], /
    ) -> Workflow[[A1, A2], R]: ...
    @overload
    def __call__(
        self, function: Callable[[Flow, Node[A1], Node[A2], Node[A3]], Node[R]], /
    ) -> Workflow[[A1, A2, A3], R]: ...
    @overload
    def __call__(
        self, function: Callable[[Flow, Node[A1], Node[A2], Node[A3], Node[A4]], Node[R]], /
    ) -> Workflow[[A1, A2, A3, A4], R]: ...
    @overload
    def __call__(
        self,
        function: Callable[[Flow, Node[A1], Node[A2], Node[A3], Node[A4], Node[A5]], Node[R]],
        /,
    ) -> Workflow[[A1, A2, A3, A4, A5], R]: ...
    @overload
    def __call__(
        self,
        function: Callable[
            [Flow, Node[A1], Node[A2], Node[A3], Node[A4], Node[A5], Node[A6]], Node[R]
        ],
        /,
    ) -> Workflow[[A1, A2, A3, A4, A5, A6], R]: ...


@overload
def workflow(function: Callable[[Flow], Node[R]], /) -> Workflow[[], R]: ...
@overload
def workflow(function: Callable[[Flow, Node[A1]], Node[R]], /) -> Workflow[[A1], R]: ...
@overload
def workflow(
    function: Callable[[Flow, Node[A1], Node[A2]], Node[R]], /
) -> Workflow[[A1, A2], R]: ...
@overload
def workflow(
    function: Callable[[Flow, Node[A1], Node[A2], Node[A3]], Node[R]], /
) -> Workflow[[A1, A2, A3], R]: ...
@overload
def workflow(
    function: Callable[[Flow, Node[A1], Node[A2], Node[A3], Node[A4]], Node[R]], /
) -> Workflow[[A1, A2, A3, A4], R]: ...
@overload
def workflow(
    function: Callable[[Flow, Node[A1], Node[A2], Node[A3], Node[A4], Node[A5]], Node[R]], /
) -> Workflow[[A1, A2, A3, A4, A5], R]: ...
@overload
def workflow(
    function: Callable[[Flow, Node[A1], Node[A2], Node[A3], Node[A4], Node[A5], Node[A6]], Node[R]],
    /,
) -> Workflow[[A1, A2, A3, A4, A5, A6], R]: ...
@overload
def workflow(
    *,
    name: str | None = None,
    version: str = "1",
    owner: str | None = None,
    retry: RetryPolicy | None = None,
    hedge: Hedge | None = None,
    timeout: Seconds | None = None,
    total_timeout: Seconds | None = None,
    heartbeat_timeout: Seconds | None = None,
    queue_timeout: Seconds | None = None,
    queue: Queue | str | None = None,
    estimate: Cost | None = None,
    task: Task | None = None,
    durability: Durability | None = None,
    value: Money | None = None,
    budget: Budget | None = None,
    rollback: Criteria | None = None,
) -> WorkflowDecorator: ...
def workflow(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    version: str = "1",
    owner: str | None = None,
    durability: Durability | None = None,
    value: Money | None = None,
    budget: Budget | None = None,
    rollback: Criteria | None = None,
    **options: Any,
) -> Any:
    """Make a workflow of a function that draws its graph; bare, or with options.

    The function takes a `Flow` and a `Node` for each input, and returns the `Node` of the
    result. It runs once, now.

    Args:
        function: annotated with `Node[...]` throughout.
        name: its identity; the function's name unless given. No "/", "[" or "]".
        version: changes when the graph does.
        owner: the team that answers for it.
        durability: "sync", "async" or "exit": what of its runs is on disk before what.
        value: what a success is worth, in US dollars.
        budget: what each run of it may spend, unless `start(budget=)` says so; what all of its
            runs together may spend is for `Runtime(budgets=)` to say.
        rollback: what takes a release of it back.
        **options: what its steps do unless they say otherwise: retry, hedge, the timeouts, queue,
            estimate, task.

    Raises:
        DefinitionError: with every problem of the graph, each naming its node and the remedy.

    >>> import penstock as ps
    >>> @ps.step
    ... async def shout(text: str) -> str:
    ...     return text.upper()
    >>> @ps.workflow(version="1.0.0")
    ... def twice(flow: ps.Flow, text: ps.Node[str]) -> ps.Node[str]:
    ...     return flow.call(shout, flow.call(shout, text))
    >>> print(twice.to_mermaid())
    flowchart TD
        n0(["text"])
        n1["shout"]
        n2["shout-2"]
        n0 --> n1
        n1 --> n2
        n2 --> result[["twice"]]
    <BLANKLINE>
    """

    def make(function: Callable[..., Any]) -> Workflow[..., Any]:
        if not inspect.isfunction(function) or inspect.iscoroutinefunction(function):
            raise DefinitionError(
                f"{function!r} can't draw a workflow", remedy="decorate a plain 'def'"
            )
        chosen = label(function.__name__ if name is None else name, "a workflow's name")
        word(version, f"the version of workflow {chosen!r}")
        if durability is not None:
            checked_durability(durability, f"the durability of workflow {chosen!r}")
        try:
            success = None if value is None else _worth(value)
            limit = None if budget is None else run_budget(budget, "budget")
            criteria = None if rollback is None else _criteria(rollback)
            _check_defaults(options)
            defaults = checked(options)
        except DefinitionError as error:
            raise DefinitionError.of(f"workflow {chosen!r}", error.problems) from None
        subject = f"workflow {chosen!r}"
        inputs, result = _node_annotations(function, subject)
        drawing = Drawing(chosen, defaults, inputs, result)
        flow = Flow(drawing)
        graph = drawing.compile(lambda nodes: function(flow, *nodes), version)
        drawn: Workflow[..., Any] = Workflow(
            graph,
            contract=result,
            owner=owner,
            durability=durability,
            value=success,
            budget=limit,
            rollback=criteria,
        )
        drawn.__doc__ = function.__doc__
        return drawn

    return make if function is None else make(function)


def _worth(value: Money) -> int:
    worth = nano_dollars(value, "value")
    if worth == 0:
        raise DefinitionError("value is 0", remedy="give more than a nano-dollar, or leave it out")
    return worth


def _criteria(rollback: Any) -> Criteria:
    if not isinstance(rollback, Criteria):
        raise DefinitionError(
            f"rollback is {rollback!r}", remedy="give the criteria of a release: ps.Criteria(...)"
        )
    return rollback


def _check_defaults(options: dict[str, object]) -> None:
    if "priority" in options:
        raise DefinitionError("it has a priority", remedy="give it to the run, or to a step")
    for name in STRUCTURAL:
        if name in options:
            raise DefinitionError(f"it has {name}=", remedy="give it to a step, or to a call")


def _node_annotations(
    function: Callable[..., Any], subject: str
) -> tuple[list[tuple[str, Contract]], Contract]:
    """The inputs and the result of a workflow's function, out of their `Node[...]`."""
    hints = annotations_of(function, subject)
    first, *others = inspect.signature(function).parameters.values() or (None,)
    problems: list[str] = []
    if first is None or hints.get(first.name, Flow) is not Flow:
        problems.append("its first parameter is no Flow; write 'flow: ps.Flow'")
    for parameter in others:
        if parameter.kind not in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
            problems.append(f"parameter {parameter.name!r} is not positional; name each input")
        elif parameter.default is not parameter.empty:
            problems.append(f"parameter {parameter.name!r} has a default; remove it")
        elif get_origin(hints.get(parameter.name)) is not Node:
            problems.append(f"parameter {parameter.name!r} is not annotated as ps.Node[...]")
    if get_origin(hints.get("return")) is not Node:
        problems.append("its return is not annotated; write '-> ps.Node[...]'")
    if problems:
        raise DefinitionError.of(subject, problems)
    inputs = [(p.name, _inside(hints[p.name])) for p in others]
    return inputs, _inside(hints["return"])


def _inside(annotation: Any) -> Contract:
    return Contract.of(get_args(annotation)[0])
