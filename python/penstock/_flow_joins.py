"""The part of `Flow` that joins branches: merge, collect, race, and optional."""

from __future__ import annotations

from typing import Any, overload

from ._contracts import Contract
from ._drawing import Draws
from ._edges import either, indices_of, list_of, producers_of
from ._graph import Collect, Race
from ._nodes import Node
from ._policies import whole
from ._stages import A1, A2, A3, A4, A5, A6


class Joins(Draws):
    """`merge`, `collect`, `race` and `optional`."""

    __slots__ = ()

    @overload
    def merge(self, a1: Node[A1], /, *, name: str | None = None) -> Node[A1]: ...
    @overload
    def merge(self, a1: Node[A1], a2: Node[A2], /, *, name: str | None = None) -> Node[A1 | A2]: ...
    @overload
    def merge(
        self, a1: Node[A1], a2: Node[A2], a3: Node[A3], /, *, name: str | None = None
    ) -> Node[A1 | A2 | A3]: ...
    @overload
    def merge(
        self, a1: Node[A1], a2: Node[A2], a3: Node[A3], a4: Node[A4], /, *, name: str | None = None
    ) -> Node[A1 | A2 | A3 | A4]: ...
    @overload
    def merge(
        self,
        a1: Node[A1],
        a2: Node[A2],
        a3: Node[A3],
        a4: Node[A4],
        a5: Node[A5],
        /,
        *,
        name: str | None = None,
    ) -> Node[A1 | A2 | A3 | A4 | A5]: ...
    @overload
    def merge(
        self,
        a1: Node[A1],
        a2: Node[A2],
        a3: Node[A3],
        a4: Node[A4],
        a5: Node[A5],
        a6: Node[A6],
        /,
        *,
        name: str | None = None,
    ) -> Node[A1 | A2 | A3 | A4 | A5 | A6]: ...
    @overload
    def merge(self, /, *nodes: Node[A1], name: str | None = None) -> Node[A1]: ...
    def merge(self, /, *nodes: Node[Any], name: str | None = None) -> Node[Any]:
        """The one input that is taken; skipped if none is.

        That at most one is must follow from the graph: from different cases of one switch, say. It
        is proved when the workflow is defined.

        Args:
            nodes: one or more.
            name: the node's label; "merge" unless given.
        """
        drawing = self._opened()
        path = drawing.path(name, "merge")
        producers = producers_of(drawing, nodes, path)
        if not producers:
            drawing.problem(path, "it joins nothing; pass the nodes of the branches")
        contract = either([producer.contract for producer in producers])
        return drawing.node(drawing.add(path, "merge", contract, inputs=indices_of(producers)))

    @overload
    def collect(
        self,
        a1: Node[A1],
        /,
        *,
        need: int | None = None,
        cancel_rest: bool = False,
        name: str | None = None,
    ) -> Node[list[A1]]: ...
    @overload
    def collect(
        self,
        a1: Node[A1],
        a2: Node[A2],
        /,
        *,
        need: int | None = None,
        cancel_rest: bool = False,
        name: str | None = None,
    ) -> Node[list[A1 | A2]]: ...
    @overload
    def collect(
        self,
        a1: Node[A1],
        a2: Node[A2],
        a3: Node[A3],
        /,
        *,
        need: int | None = None,
        cancel_rest: bool = False,
        name: str | None = None,
    ) -> Node[list[A1 | A2 | A3]]: ...
    @overload
    def collect(
        self,
        a1: Node[A1],
        a2: Node[A2],
        a3: Node[A3],
        a4: Node[A4],
        /,
        *,
        need: int | None = None,
        cancel_rest: bool = False,
        name: str | None = None,
    ) -> Node[list[A1 | A2 | A3 | A4]]: ...
    @overload
    def collect(
        self,
        a1: Node[A1],
        a2: Node[A2],
        a3: Node[A3],
        a4: Node[A4],
        a5: Node[A5],
        /,
        *,
        need: int | None = None,
        cancel_rest: bool = False,
        name: str | None = None,
    ) -> Node[list[A1 | A2 | A3 | A4 | A5]]: ...
    @overload
    def collect(
        self,
        a1: Node[A1],
        a2: Node[A2],
        a3: Node[A3],
        a4: Node[A4],
        a5: Node[A5],
        a6: Node[A6],
        /,
        *,
        need: int | None = None,
        cancel_rest: bool = False,
        name: str | None = None,
    ) -> Node[list[A1 | A2 | A3 | A4 | A5 | A6]]: ...
    @overload
    def collect(
        self,
        /,
        *nodes: Node[A1],
        need: int | None = None,
        cancel_rest: bool = False,
        name: str | None = None,
    ) -> Node[list[A1]]: ...
    def collect(
        self,
        /,
        *nodes: Node[Any],
        need: int | None = None,
        cancel_rest: bool = False,
        name: str | None = None,
    ) -> Node[list[Any]]:
        """A list of the inputs that are taken, in argument order.

        Without `need` it waits for all, and is `[]` if all are skipped. With it, it goes on when so
        many are taken, with these; it is skipped if all are, and fails when some are taken but too
        few can be. The failure of a single input is contained.

        Args:
            nodes: one or more.
            need: how many are enough, from 1 to their number.
            cancel_rest: whether what the others still wait for is cancelled then.
            name: the node's label; "collect" unless given.
        """
        drawing = self._opened()
        path = drawing.path(name, "collect")
        producers = producers_of(drawing, nodes, path)
        if not producers:
            drawing.problem(path, "it joins nothing; pass the nodes of the branches")
        elif need is not None:
            drawing.tried(path, lambda: whole(need, "need", most=len(producers)), 0)
        elif cancel_rest:
            drawing.problem(path, "cancel_rest goes with need=; give it, or leave both out")
        contract = list_of(either([producer.contract for producer in producers]))
        detail = Collect(need=need or 0, cancel_rest=cancel_rest)
        inputs = indices_of(producers)
        return drawing.node(drawing.add(path, "collect", contract, inputs=inputs, detail=detail))

    @overload
    def race(
        self, a1: Node[A1], /, *, cancel_rest: bool = True, name: str | None = None
    ) -> Node[A1]: ...
    @overload
    def race(
        self, a1: Node[A1], a2: Node[A2], /, *, cancel_rest: bool = True, name: str | None = None
    ) -> Node[A1 | A2]: ...
    @overload
    def race(
        self,
        a1: Node[A1],
        a2: Node[A2],
        a3: Node[A3],
        /,
        *,
        cancel_rest: bool = True,
        name: str | None = None,
    ) -> Node[A1 | A2 | A3]: ...
    @overload
    def race(
        self,
        a1: Node[A1],
        a2: Node[A2],
        a3: Node[A3],
        a4: Node[A4],
        /,
        *,
        cancel_rest: bool = True,
        name: str | None = None,
    ) -> Node[A1 | A2 | A3 | A4]: ...
    @overload
    def race(
        self,
        a1: Node[A1],
        a2: Node[A2],
        a3: Node[A3],
        a4: Node[A4],
        a5: Node[A5],
        /,
        *,
        cancel_rest: bool = True,
        name: str | None = None,
    ) -> Node[A1 | A2 | A3 | A4 | A5]: ...
    @overload
    def race(
        self,
        a1: Node[A1],
        a2: Node[A2],
        a3: Node[A3],
        a4: Node[A4],
        a5: Node[A5],
        a6: Node[A6],
        /,
        *,
        cancel_rest: bool = True,
        name: str | None = None,
    ) -> Node[A1 | A2 | A3 | A4 | A5 | A6]: ...
    @overload
    def race(
        self, /, *nodes: Node[A1], cancel_rest: bool = True, name: str | None = None
    ) -> Node[A1]: ...
    def race(
        self, /, *nodes: Node[Any], cancel_rest: bool = True, name: str | None = None
    ) -> Node[Any]:
        """The input that succeeds first; skipped if all are skipped, failed if none succeeds.

        Args:
            nodes: one or more; a failure of one is contained.
            cancel_rest: whether the losers are cancelled, and awaited.
            name: the node's label; "race" unless given.
        """
        drawing = self._opened()
        path = drawing.path(name, "race")
        producers = producers_of(drawing, nodes, path)
        if not producers:
            drawing.problem(path, "nothing runs in it; pass the nodes of the branches")
        contract = either([producer.contract for producer in producers])
        detail = Race(cancel_rest=cancel_rest)
        inputs = indices_of(producers)
        return drawing.node(drawing.add(path, "race", contract, inputs=inputs, detail=detail))

    def optional(self, node: Node[A1], /, *, name: str | None = None) -> Node[A1 | None]:
        """The value of `node`, or None if it is skipped.

        Args:
            node: one that may be skipped. To return such a node from a workflow, make it optional.
            name: the node's label; "optional" unless given.
        """
        drawing = self._opened()
        path = drawing.path(name, "optional")
        producers = producers_of(drawing, [node], path)
        contract = either([producers[0].contract, Contract.of(None)])
        return drawing.node(drawing.add(path, "optional", contract, inputs=indices_of(producers)))
