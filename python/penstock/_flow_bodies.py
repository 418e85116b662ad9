"""The part of `Flow` that repeats a stage: map, loop and recurse."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any, Required, Unpack, get_args, overload

from ._bodies import draw_loop, draw_map
from ._calls import After, OnFailure, contained, stage_call
from ._context import Context
from ._contracts import Contract
from ._drawing import Draws
from ._edges import check_inputs, either, indices_of, list_of, producers_of, waits_of
from ._failures import Failure
from ._flow_calls import Overrides
from ._graph import Map, OnExhausted, Recurse
from ._nodes import Node
from ._policies import whole
from ._stages import (
    A1,
    A2,
    A3,
    A4,
    A5,
    A6,
    R,
    Takes1,
    Takes2,
    Takes3,
    Takes4,
    Takes5,
    Takes6,
)


class MapOptions(Overrides, total=False):
    """How a map runs; what it has of `Overrides` goes to the body's steps.

    Attributes:
        concurrency: items under way at once; all of them unless given.
        need: how many successes are enough; the result has these, and failures are contained.
        cancel_rest: whether the other items are cancelled then.
    """

    concurrency: int | None
    need: int | None
    cancel_rest: bool


class LoopOptions(Overrides, total=False):
    """How a loop ends; what it has of `Overrides` goes to the body's steps.

    Attributes:
        max_iterations: 1 or more.
        on_exhausted: "fail", or "last" for the value of the last iteration.
    """

    max_iterations: Required[int]
    on_exhausted: OnExhausted


class Bodies(Draws):
    """`map`, `loop` and `recurse`."""

    __slots__ = ()

    @overload
    def map(
        self,
        stage: Takes1[A1, R],
        items: Node[Sequence[A1]],
        /,
        *,
        tolerated_failures: None = None,
        **options: Unpack[MapOptions],
    ) -> Node[list[R]]: ...
    @overload
    def map(
        self,
        stage: Takes2[A1, A2, R],
        items: Node[Sequence[A1]],
        a2: Node[A2],
        /,
        *,
        tolerated_failures: None = None,
        **options: Unpack[MapOptions],
    ) -> Node[list[R]]: ...
    @overload
    def map(
        self,
        stage: Takes3[A1, A2, A3, R],
        items: Node[Sequence[A1]],
        a2: Node[A2],
        a3: Node[A3],
        /,
        *,
        tolerated_failures: None = None,
        **options: Unpack[MapOptions],
    ) -> Node[list[R]]: ...
    @overload
    def map(
        self,
        stage: Takes4[A1, A2, A3, A4, R],
        items: Node[Sequence[A1]],
        a2: Node[A2],
        a3: Node[A3],
        a4: Node[A4],
        /,
        *,
        tolerated_failures: None = None,
        **options: Unpack[MapOptions],
    ) -> Node[list[R]]: ...
    @overload
    def map(
        self,
        stage: Takes5[A1, A2, A3, A4, A5, R],
        items: Node[Sequence[A1]],
        a2: Node[A2],
        a3: Node[A3],
        a4: Node[A4],
        a5: Node[A5],
        /,
        *,
        tolerated_failures: None = None,
        **options: Unpack[MapOptions],
    ) -> Node[list[R]]: ...
    @overload
    def map(
        self,
        stage: Takes6[A1, A2, A3, A4, A5, A6, R],
        items: Node[Sequence[A1]],
        a2: Node[A2],
        a3: Node[A3],
        a4: Node[A4],
        a5: Node[A5],
        a6: Node[A6],
        /,
        *,
        tolerated_failures: None = None,
        **options: Unpack[MapOptions],
    ) -> Node[list[R]]: ...
    @overload
    def map(
        self,
        stage: Callable[[Context, *tuple[A1, ...]], Coroutine[Any, Any, R]],
        items: Node[Sequence[A1]],
        /,
        *shared: Node[A1],
        tolerated_failures: None = None,
        **options: Unpack[MapOptions],
    ) -> Node[list[R]]: ...
    @overload
    def map(
        self,
        stage: Callable[[*tuple[A1, ...]], Coroutine[Any, Any, R]],
        items: Node[Sequence[A1]],
        /,
        *shared: Node[A1],
        tolerated_failures: None = None,
        **options: Unpack[MapOptions],
    ) -> Node[list[R]]: ...
    @overload
    def map(
        self,
        stage: Callable[[Context, *tuple[A1, ...]], R],
        items: Node[Sequence[A1]],
        /,
        *shared: Node[A1],
        tolerated_failures: None = None,
        **options: Unpack[MapOptions],
    ) -> Node[list[R]]: ...
    @overload
    def map(
        self,
        stage: Callable[[*tuple[A1, ...]], R],
        items: Node[Sequence[A1]],
        /,
        *shared: Node[A1],
        tolerated_failures: None = None,
        **options: Unpack[MapOptions],
    ) -> Node[list[R]]: ...
    @overload
    def map(
        self,
        stage: Takes1[A1, R],
        items: Node[Sequence[A1]],
        /,
        *,
        tolerated_failures: int,
        **options: Unpack[MapOptions],
    ) -> Node[list[R | Failure]]: ...
    @overload
    def map(
        self,
        stage: Takes2[A1, A2, R],
        items: Node[Sequence[A1]],
        a2: Node[A2],
        /,
        *,
        tolerated_failures: int,
        **options: Unpack[MapOptions],
    ) -> Node[list[R | Failure]]: ...
    @overload
    def map(
        self,
        stage: Takes3[A1, A2, A3, R],
        items: Node[Sequence[A1]],
        a2: Node[A2],
        a3: Node[A3],
        /,
        *,
        tolerated_failures: int,
        **options: Unpack[MapOptions],
    ) -> Node[list[R | Failure]]: ...
    @overload
    def map(
        self,
        stage: Takes4[A1, A2, A3, A4, R],
        items: Node[Sequence[A1]],
        a2: Node[A2],
        a3: Node[A3],
        a4: Node[A4],
        /,
        *,
        tolerated_failures: int,
        **options: Unpack[MapOptions],
    ) -> Node[list[R | Failure]]: ...
    @overload
    def map(
        self,
        stage: Takes5[A1, A2, A3, A4, A5, R],
        items: Node[Sequence[A1]],
        a2: Node[A2],
        a3: Node[A3],
        a4: Node[A4],
        a5: Node[A5],
        /,
        *,
        tolerated_failures: int,
        **options: Unpack[MapOptions],
    ) -> Node[list[R | Failure]]: ...
    @overload
    def map(
        self,
        stage: Takes6[A1, A2, A3, A4, A5, A6, R],
        items: Node[Sequence[A1]],
        a2: Node[A2],
        a3: Node[A3],
        a4: Node[A4],
        a5: Node[A5],
        a6: Node[A6],
        /,
        *,
        tolerated_failures: int,
        **options: Unpack[MapOptions],
    ) -> Node[list[R | Failure]]: ...
    @overload
    def map(
        self,
        stage: Callable[[Context, *tuple[A1, ...]], Coroutine[Any, Any, R]],
        items: Node[Sequence[A1]],
        /,
        *shared: Node[A1],
        tolerated_failures: int,
        **options: Unpack[MapOptions],
    ) -> Node[list[R | Failure]]: ...
    @overload
    def map(
        self,
        stage: Callable[[*tuple[A1, ...]], Coroutine[Any, Any, R]],
        items: Node[Sequence[A1]],
        /,
        *shared: Node[A1],
        tolerated_failures: int,
        **options: Unpack[MapOptions],
    ) -> Node[list[R | Failure]]: ...
    @overload
    def map(
        self,
        stage: Callable[[Context, *tuple[A1, ...]], R],
        items: Node[Sequence[A1]],
        /,
        *shared: Node[A1],
        tolerated_failures: int,
        **options: Unpack[MapOptions],
    ) -> Node[list[R | Failure]]: ...
    @overload
    def map(
        self,
        stage: Callable[[*tuple[A1, ...]], R],
        items: Node[Sequence[A1]],
        /,
        *shared: Node[A1],
        tolerated_failures: int,
        **options: Unpack[MapOptions],
    ) -> Node[list[R | Failure]]: ...
    def map(
        self,
        stage: Any,
        items: Node[Any],
        /,
        *shared: Node[Any],
        concurrency: int | None = None,
        need: int | None = None,
        tolerated_failures: int | None = None,
        cancel_rest: bool = False,
        **overrides: Any,
    ) -> Node[list[Any]]:
        """Run a stage for each item; the results come in the order of the items, `[]` for none.

        Args:
            stage: a step or a workflow; its first input is the item.
            items: gives a list or another sequence.
            shared: the other inputs, the same for every item.
            concurrency: items under way at once; all of them unless given.
            need: how many successes are enough; the result has these only, and failures of items
                are contained as long as so many can be reached.
            tolerated_failures: up to so many failed items have a `Failure` in the result.
            cancel_rest: whether the other items are cancelled when `need` is reached.
            overrides: as for `call`; they go to the steps of the body.
        """
        drawing = self._opened()
        given = stage_call(drawing, "map", stage, (items, *shared), overrides)
        path, contract = given.path, given.stage.contract
        for what, number in (("concurrency", concurrency), ("need", need)):
            if number is not None:
                drawing.tried(path, partial(whole, number, what), 1)
        tolerated = tolerated_failures
        if tolerated is not None and (type(tolerated) is not int or tolerated < 0):
            drawing.problem(path, f"tolerated_failures is {tolerated!r}; give 0 or more")
        if cancel_rest and need is None:
            drawing.problem(path, "cancel_rest goes with need=; give it, or leave both out")
        item = contract if tolerated is None else either([contract, Contract.of(Failure)])

        def detail(body: int) -> Map:
            return Map(
                body=body,
                concurrency=concurrency or 0,
                need=need or 0,
                tolerated=tolerated,
                cancel_rest=cancel_rest,
            )

        return contained(
            drawing,
            path,
            given.on_failure,
            lambda: draw_map(drawing, given, result=list_of(item), detail=detail),
        )

    @overload
    def loop(
        self,
        body: Takes1[A1, A1],
        initial: Node[A1],
        /,
        *,
        until: Callable[[A1], bool],
        **options: Unpack[LoopOptions],
    ) -> Node[A1]: ...
    @overload
    def loop(
        self,
        body: Takes2[A1, A2, A1],
        initial: Node[A1],
        a2: Node[A2],
        /,
        *,
        until: Callable[[A1], bool],
        **options: Unpack[LoopOptions],
    ) -> Node[A1]: ...
    @overload
    def loop(
        self,
        body: Takes3[A1, A2, A3, A1],
        initial: Node[A1],
        a2: Node[A2],
        a3: Node[A3],
        /,
        *,
        until: Callable[[A1], bool],
        **options: Unpack[LoopOptions],
    ) -> Node[A1]: ...
    @overload
    def loop(
        self,
        body: Takes4[A1, A2, A3, A4, A1],
        initial: Node[A1],
        a2: Node[A2],
        a3: Node[A3],
        a4: Node[A4],
        /,
        *,
        until: Callable[[A1], bool],
        **options: Unpack[LoopOptions],
    ) -> Node[A1]: ...
    @overload
    def loop(
        self,
        body: Takes5[A1, A2, A3, A4, A5, A1],
        initial: Node[A1],
        a2: Node[A2],
        a3: Node[A3],
        a4: Node[A4],
        a5: Node[A5],
        /,
        *,
        until: Callable[[A1], bool],
        **options: Unpack[LoopOptions],
    ) -> Node[A1]: ...
    @overload
    def loop(
        self,
        body: Takes6[A1, A2, A3, A4, A5, A6, A1],
        initial: Node[A1],
        a2: Node[A2],
        a3: Node[A3],
        a4: Node[A4],
        a5: Node[A5],
        a6: Node[A6],
        /,
        *,
        until: Callable[[A1], bool],
        **options: Unpack[LoopOptions],
    ) -> Node[A1]: ...
    def loop(
        self,
        body: Any,
        initial: Node[Any],
        /,
        *shared: Node[Any],
        until: Callable[[Any], bool],
        max_iterations: int,
        on_exhausted: OnExhausted = "fail",
        **overrides: Any,
    ) -> Node[Any]:
        """Run a stage on its own result, at least once, until a function of the result says so.

        Args:
            body: a step or a workflow; its first input takes what it gives.
            initial: that input, the first time.
            shared: the other inputs, the same in every iteration.
            until: a quick, pure function of the result; True ends the loop.
            max_iterations: 1 or more.
            on_exhausted: what happens after these: "fail", or "last" to go on with the last result.
            overrides: as for `call`; they go to the steps of the body.
        """
        drawing = self._opened()
        given = stage_call(drawing, "loop", body, (initial, *shared), overrides)
        drawing.tried(given.path, lambda: whole(max_iterations, "max_iterations"), 1)
        if on_exhausted not in get_args(OnExhausted):
            drawing.problem(given.path, f"on_exhausted is {on_exhausted!r}; give 'fail' or 'last'")
        return contained(
            drawing,
            given.path,
            given.on_failure,
            lambda: draw_loop(
                drawing,
                given,
                until=until,
                max_iterations=max_iterations,
                on_exhausted=on_exhausted,
            ),
        )

    def recurse(
        self,
        /,
        *nodes: Node[object],
        max_depth: int,
        name: str | None = None,
        after: After = None,
        on_failure: OnFailure | None = None,
    ) -> Node[R]:  # pyright: ignore[reportInvalidTypeVarUse]  # the caller knows what R is
        """Run this workflow inside itself.

        A checker can't know what the workflow gives, so it takes what you annotate:
        `again: ps.Node[int] = flow.recurse(n, max_depth=10)`. The type is checked when the workflow
        is defined.

        Args:
            nodes: one for each input of the workflow.
            max_depth: runs of the workflow inside each other, 1 or more; one more is a failure.
            name: the node's label; "recurse" unless given.
            after: nodes to wait for without taking their value.
            on_failure: "skip" makes a failure a skip.
        """
        drawing = self._opened()
        path = drawing.path(name, "recurse")
        producers = producers_of(drawing, nodes, path)
        waits = waits_of(drawing, after, path)
        drawing.tried(path, lambda: whole(max_depth, "max_depth"), 1)
        check_inputs(drawing, drawing.name, drawing.inputs, producers, path)

        def draw() -> int:
            detail = Recurse(body=0, max_depth=max_depth)
            inputs = indices_of(producers)
            contract = drawing.result
            return drawing.add(path, "recurse", contract, inputs=inputs, after=waits, detail=detail)

        return contained(drawing, path, on_failure, draw)
