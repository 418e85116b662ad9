"""The part of `Flow` that waits: signal, review and sleep; and that withdraws: scope and cancel."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TypeVar, cast, get_args

from ._calls import After
from ._drawing import Draws
from ._edges import indices_of, producers_of, waits_of
from ._errors import DefinitionError
from ._graph import Cancel, OnTimeout, Sleep, Wait
from ._nodes import Node
from ._policies import Seconds, seconds, word
from ._scopes import FlowScope, draw_scope
from ._signals import Signal

T = TypeVar("T")


class Waits(Draws):
    """`signal`, `review`, `sleep`, `scope` and `cancel`."""

    __slots__ = ()

    def signal(
        self,
        signal: Signal[T],
        /,
        *,
        timeout: Seconds | None = None,
        on_timeout: OnTimeout = "fail",
        after: After = None,
        name: str | None = None,
    ) -> Node[T]:
        """Wait for `run.signal(signal, value)`. A signal that came earlier is kept.

        Args:
            signal: what is waited for.
            timeout: seconds from when the node could start; without it, it waits for ever.
            on_timeout: "fail", or "skip", which goes with `optional`.
            after: nodes to wait for without taking their value.
            name: the node's label; the signal's name unless given.
        """
        return self._wait(signal, (), timeout, on_timeout, after, name, owner=None)

    def review(
        self,
        node: Node[object],
        signal: Signal[T],
        /,
        *,
        owner: str,
        timeout: Seconds | None = None,
        on_timeout: OnTimeout = "fail",
        name: str | None = None,
    ) -> Node[T]:
        """Hand a value to a person, and wait for the signal with the answer.

        Args:
            node: what is to be judged.
            signal: carries the answer.
            owner: the person or team that answers.
            timeout: seconds from the handoff; without it, it waits for ever.
            on_timeout: "fail", or "skip", which goes with `optional`.
            name: the node's label; the signal's name unless given.
        """
        return self._wait(signal, (node,), timeout, on_timeout, None, name, owner=owner)

    def sleep(self, node: Node[T], duration: Seconds, /, *, name: str | None = None) -> Node[T]:
        """Pass the value of `node` on after `duration`, which outlasts a restart.

        Args:
            node: gives the value; the time begins when it is there.
            duration: seconds, or a timedelta; more than 0.
            name: the node's label; "sleep" unless given.
        """
        drawing = self._opened()
        path = drawing.path(name, "sleep")
        producers = producers_of(drawing, [node], path)
        detail = Sleep(seconds=drawing.tried(path, lambda: seconds(duration, "the sleep"), 0.0))
        given, inputs = producers[0].contract, indices_of(producers)
        return drawing.node(drawing.add(path, "sleep", given, inputs=inputs, detail=detail))

    def scope(
        self, name: str, /, *, concurrency_key: str | Node[str] | None = None
    ) -> AbstractContextManager[FlowScope]:
        """Nodes that `cancel` withdraws as one: those drawn in `with flow.scope("x") as s:`.

        With a key it is a critical section as well: no two runs are in sections of one key at once.
        It is entered when all that its nodes need from outside is there.

        Args:
            name: a label, like a node's.
            concurrency_key: a constant, or a node that gives the key.

        >>> import penstock as ps
        >>> @ps.step
        ... async def pay(order: str) -> str:
        ...     return order
        >>> @ps.workflow
        ... def buy(flow: ps.Flow, order: ps.Node[str]) -> ps.Node[str]:
        ...     with flow.scope("till", concurrency_key="till"):
        ...         return flow.call(pay, order)
        """
        drawing = self._opened()
        path = drawing.path(name, "scope")
        key = concurrency_key
        if isinstance(key, Node):
            key = producers_of(drawing, [key], path)[0]
        elif key is not None:
            given = key
            key = drawing.tried(path, lambda: word(given, "concurrency_key"), None)
        return draw_scope(drawing, path, key)

    def cancel(self, scope: FlowScope, /, *, when: Node[T], name: str | None = None) -> Node[T]:
        """Withdraw a scope when `when` is taken, and pass its value on.

        What has not finished in the scope is cancelled and its out-edges are skipped; what has
        finished is compensated.

        Args:
            scope: what `flow.scope` gave.
            when: any node; nothing happens if it is skipped.
            name: the node's label; "cancel" unless given.

        Raises:
            DefinitionError: `scope` is none of this workflow.
        """
        drawing = self._opened()
        path = drawing.path(name, "cancel")
        producers = producers_of(drawing, [when], path)
        if not isinstance(cast("object", scope), FlowScope) or scope.drawing is not drawing:
            raise DefinitionError(
                f"{scope!r} is no scope of this workflow",
                node=path,
                remedy='make one: with flow.scope("x") as scope',
            )
        given, inputs = producers[0].contract, indices_of(producers)
        detail = Cancel(scope=scope.number)
        return drawing.node(drawing.add(path, "cancel", given, inputs=inputs, detail=detail))

    def _wait(
        self,
        signal: Signal[T],
        nodes: tuple[Node[object], ...],
        timeout: Seconds | None,
        on_timeout: OnTimeout,
        after: After,
        name: str | None,
        *,
        owner: str | None,
    ) -> Node[T]:
        drawing = self._opened()
        if not isinstance(cast("object", signal), Signal):
            raise DefinitionError(
                f"{signal!r} is no signal", remedy='make one: ps.Signal("approval", Approval)'
            )
        path = drawing.path(name, signal.name)
        producers = producers_of(drawing, nodes, path)
        limit = 0.0
        if timeout is not None:
            limit = drawing.tried(path, lambda: seconds(timeout, "timeout"), 0.0)
        if on_timeout not in get_args(OnTimeout):
            drawing.problem(path, f"on_timeout is {on_timeout!r}; give 'fail' or 'skip'")
        if on_timeout == "skip" and timeout is None:
            drawing.problem(path, "on_timeout='skip' goes with a timeout; give timeout=")
        if owner is not None:
            drawing.tried(path, lambda: word(owner, "owner"), owner)
        detail = Wait(signal=signal, timeout=limit, on_timeout=on_timeout, owner=owner)
        return drawing.node(
            drawing.add(
                path,
                "signal",
                signal.contract,
                inputs=indices_of(producers),
                after=waits_of(drawing, after, path),
                detail=detail,
            )
        )
