"""The part of `Flow` that runs something once: call, apply, constant and spawn."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar, Unpack, overload

from ._calls import After, OnFailure, contained, draw_call, stage_call
from ._context import Context
from ._contracts import Contract
from ._drawing import Draws
from ._edges import (
    check_function,
    check_inputs,
    indices_of,
    inputs_of,
    label_of,
    producers_of,
)
from ._graph import Spawn
from ._nodes import Node
from ._options import Options
from ._stages import (
    A1,
    A2,
    A3,
    A4,
    A5,
    A6,
    R,
    Takes0,
    Takes1,
    Takes2,
    Takes3,
    Takes4,
    Takes5,
    Takes6,
)

T = TypeVar("T")


class Overrides(Options, total=False):
    """What one call changes: its label, what it waits for, and any option of the step.

    Attributes:
        name: the node's label; the stage's name, numbered if it is taken, unless given.
        after: nodes to wait for without taking their value, whether they are taken or skipped.
        on_failure: "skip" makes a failure of the call a skip; "fail" is the usual.
    """

    name: str | None
    after: After
    on_failure: OnFailure | None


class Calls(Draws):
    """`call`, `apply`, `constant` and `spawn`."""

    __slots__ = ()

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

        It is skipped if an input is. A workflow becomes part of this graph: its nodes' paths begin
        with the label of this call. The overrides of such a call go to each of its steps that has
        none of its own, and `after` to those that would start at once.

        Args:
            stage: a step, or a workflow.
            nodes: one for each input, in order.
            overrides: `name` (the label), `after`, `on_failure`, and any option of a step.
        """
        drawing = self._opened()
        given = stage_call(drawing, "call", stage, nodes, overrides)

        def draw() -> int:
            return draw_call(
                drawing,
                given.stage,
                given.producers,
                given.path,
                given.options,
                after=given.after,
            )

        return contained(drawing, given.path, given.on_failure, draw)

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
        drawing = self._opened()
        path = drawing.path(name, label_of(function, "apply"))
        producers = producers_of(drawing, nodes, path)
        contract = check_function(drawing, function, producers, path)
        inputs = indices_of(producers)
        return drawing.node(drawing.add(path, "apply", contract, inputs=inputs, function=function))

    def constant(self, value: T, /, *, name: str | None = None) -> Node[T]:
        """A node that carries `value` in every run. All runs share it: do not change it.

        Args:
            value: of any type.
            name: the node's label; "constant" unless given.
        """
        drawing = self._opened()
        path = drawing.path(name, "constant")
        return drawing.node(drawing.add(path, "constant", Contract.of(type(value)), value=value))

    @overload
    def spawn(
        self, workflow: Takes0[object], /, *, name: str | None = None, after: After = None
    ) -> Node[str]: ...
    @overload
    def spawn(
        self,
        workflow: Takes1[A1, object],
        a1: Node[A1],
        /,
        *,
        name: str | None = None,
        after: After = None,
    ) -> Node[str]: ...
    @overload
    def spawn(
        self,
        workflow: Takes2[A1, A2, object],
        a1: Node[A1],
        a2: Node[A2],
        /,
        *,
        name: str | None = None,
        after: After = None,
    ) -> Node[str]: ...
    @overload
    def spawn(
        self,
        workflow: Takes3[A1, A2, A3, object],
        a1: Node[A1],
        a2: Node[A2],
        a3: Node[A3],
        /,
        *,
        name: str | None = None,
        after: After = None,
    ) -> Node[str]: ...
    @overload
    def spawn(
        self,
        workflow: Takes4[A1, A2, A3, A4, object],
        a1: Node[A1],
        a2: Node[A2],
        a3: Node[A3],
        a4: Node[A4],
        /,
        *,
        name: str | None = None,
        after: After = None,
    ) -> Node[str]: ...
    @overload
    def spawn(
        self,
        workflow: Takes5[A1, A2, A3, A4, A5, object],
        a1: Node[A1],
        a2: Node[A2],
        a3: Node[A3],
        a4: Node[A4],
        a5: Node[A5],
        /,
        *,
        name: str | None = None,
        after: After = None,
    ) -> Node[str]: ...
    @overload
    def spawn(
        self,
        workflow: Takes6[A1, A2, A3, A4, A5, A6, object],
        a1: Node[A1],
        a2: Node[A2],
        a3: Node[A3],
        a4: Node[A4],
        a5: Node[A5],
        a6: Node[A6],
        /,
        *,
        name: str | None = None,
        after: After = None,
    ) -> Node[str]: ...
    def spawn(
        self, workflow: Any, /, *nodes: Node[Any], name: str | None = None, after: After = None
    ) -> Node[str]:
        """Start a run of its own, which nobody here waits for; the value is its run id.

        It goes on if this run fails or is cancelled, and inherits its tenant, tags and priority.

        Args:
            workflow: a workflow, or a step.
            nodes: one for each input.
            name: the node's label; the workflow's name unless given.
            after: nodes to wait for without taking their value.
        """
        drawing = self._opened()
        given = stage_call(drawing, "spawn", workflow, nodes, {"name": name, "after": after})
        inputs = inputs_of(given.stage, len(nodes))
        check_inputs(drawing, given.stage.name, inputs, given.producers, given.path)
        spawned = given.stage.as_workflow(len(nodes))
        return drawing.node(
            drawing.add(
                given.path,
                "spawn",
                Contract.of(str),
                inputs=indices_of(given.producers),
                after=given.after,
                detail=Spawn(workflow=spawned),
            )
        )
