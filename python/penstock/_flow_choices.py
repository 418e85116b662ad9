"""The part of `Flow` that decides: switch, match, when and cascade."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypedDict, TypeVar, Unpack, overload

from ._bodies import draw_cascade
from ._calls import After, OnFailure, contained, stage_of
from ._cases import Cases, TypeCases
from ._drawing import Draws
from ._edges import check_function, indices_of, label_of, producers_of, waits_of
from ._errors import DefinitionError
from ._nodes import Node
from ._policies import Threshold, number
from ._stages import A1, A2, A3, A4, A5, R, Stage

K = TypeVar("K")
T = TypeVar("T")


class CascadeOptions(TypedDict, total=False):
    """How a cascade runs.

    Attributes:
        explore: the share of accepted values after which the next tier runs all the same, so that
            it can be told what it would have given; 0 or more, less than 1.
        name: the node's label; "cascade" unless given.
        after: nodes to wait for without taking their value.
        on_failure: "skip" makes a failure of the last tier a skip.
    """

    explore: float
    name: str | None
    after: After
    on_failure: OnFailure | None


class Choices(Draws):
    """`switch`, `match`, `when` and `cascade`."""

    __slots__ = ()

    def switch(
        self, node: Node[T], /, *, key: Callable[[T], K], name: str | None = None
    ) -> Cases[T, K]:
        """Choose one of several ways by a key: `case["high"]`, `case.default`.

        Every value of the key's return annotation (a Literal, an Enum, bool) has its case or goes
        to the default; a lambda has no annotation and needs a default.

        Args:
            node: its value goes to the case that is taken.
            key: a quick, pure function of the value.
            name: the node's label; the key function's name unless given.
        """
        drawing = self._opened()
        path = drawing.path(name, label_of(key, "switch"))
        producers = producers_of(drawing, [node], path)
        contract = check_function(drawing, key, producers, path, what="key= takes", remedy=_PLAIN)
        given, inputs = producers[0].contract, indices_of(producers)
        place = drawing.add(path, "switch", given, inputs=inputs, function=key)
        return Cases(drawing, place, contract)

    def match(self, node: Node[T], /, *, name: str | None = None) -> TypeCases[T]:
        """Choose one of several ways by the type of a value: `case[Invoice]`, `case.default`.

        Every type that the value may have has its case or goes to the default.

        Args:
            node: its value goes to the first case whose class it is an instance of.
            name: the node's label; "match" unless given.
        """
        drawing = self._opened()
        path = drawing.path(name, "match")
        producers = producers_of(drawing, [node], path)
        inputs = indices_of(producers)
        place = drawing.add(path, "switch", producers[0].contract, inputs=inputs)
        return TypeCases(drawing, place)

    def when(
        self, node: Node[T], predicate: Callable[[T], bool], /, *, name: str | None = None
    ) -> Node[T]:
        """The value of `node` where the predicate is true of it; else skipped.

        Several may be taken at once, so `merge` can't join them: use `collect`, `race`, or `switch`
        instead.

        Args:
            node: gives the value.
            predicate: a quick, pure function of it.
            name: the node's label; the predicate's name unless given.
        """
        drawing = self._opened()
        path = drawing.path(name, label_of(predicate, "when"))
        producers = producers_of(drawing, [node], path)
        check_function(drawing, predicate, producers, path, what="when takes", remedy=_PLAIN)
        given, inputs = producers[0].contract, indices_of(producers)
        return drawing.node(drawing.add(path, "when", given, inputs=inputs, function=predicate))

    @overload
    def cascade(
        self,
        tiers: tuple[Stage[..., A1], Stage[..., A2]],
        /,
        *nodes: Node[object],
        accept: Callable[[A1], bool] | Threshold[A1],
        **options: Unpack[CascadeOptions],
    ) -> Node[A1 | A2]: ...
    @overload
    def cascade(
        self,
        tiers: tuple[Stage[..., A1], Stage[..., A2], Stage[..., A3]],
        /,
        *nodes: Node[object],
        accept: Callable[[A1 | A2], bool] | Threshold[Any],
        **options: Unpack[CascadeOptions],
    ) -> Node[A1 | A2 | A3]: ...
    @overload
    def cascade(
        self,
        tiers: tuple[Stage[..., A1], Stage[..., A2], Stage[..., A3], Stage[..., A4]],
        /,
        *nodes: Node[object],
        accept: Callable[[A1 | A2 | A3], bool] | Threshold[Any],
        **options: Unpack[CascadeOptions],
    ) -> Node[A1 | A2 | A3 | A4]: ...
    @overload
    def cascade(
        self,
        tiers: tuple[
            Stage[..., A1], Stage[..., A2], Stage[..., A3], Stage[..., A4], Stage[..., A5]
        ],
        /,
        *nodes: Node[object],
        accept: Callable[[A1 | A2 | A3 | A4], bool] | Threshold[Any],
        **options: Unpack[CascadeOptions],
    ) -> Node[A1 | A2 | A3 | A4 | A5]: ...
    @overload
    def cascade(
        self,
        tiers: list[Stage[..., R]],
        /,
        *nodes: Node[object],
        accept: Callable[[R], bool] | Threshold[R],
        **options: Unpack[CascadeOptions],
    ) -> Node[R]: ...
    def cascade(
        self,
        tiers: Sequence[Stage[..., Any]],
        /,
        *nodes: Node[Any],
        accept: Callable[[Any], bool] | Threshold[Any],
        explore: float = 0.0,
        name: str | None = None,
        after: After = None,
        on_failure: OnFailure | None = None,
    ) -> Node[Any]:
        """The quality-cost ladder: a tier that fails or is not accepted goes to the next.

        The last tier's value is taken as it is.

        Args:
            tiers: steps or workflows that take the same inputs, the cheapest first.
            nodes: one for each input.
            accept: a quick, pure function of a tier's value, or a `Threshold`.
            explore: the share of accepted values after which the next tier runs all the same; its
                value is recorded and not used, and the run ends when it has.
            name: the node's label; "cascade" unless given.
            after: nodes to wait for without taking their value.
            on_failure: "skip" makes a failure of the last tier a skip.

        Raises:
            DefinitionError: there is no tier, or one is no stage.
        """
        drawing = self._opened()
        stages = [stage_of(tier, "cascade") for tier in tiers]
        path = drawing.path(name, "cascade")
        if not stages:
            raise DefinitionError(
                "a cascade has no tiers", node=path, remedy="give two or more, the cheapest first"
            )
        if len(stages) == 1:
            drawing.problem(path, "a cascade has two tiers or more; use flow.call for one")
        share = drawing.tried(path, lambda: number(explore, "explore", least=0, below=1), 0.0)
        judge, at = _judge(accept)
        producers, waits = producers_of(drawing, nodes, path), waits_of(drawing, after, path)
        return contained(
            drawing,
            path,
            on_failure,
            lambda: draw_cascade(
                drawing, stages, producers, path, accept=judge, at=at, explore=share, after=waits
            ),
        )


def _judge(
    accept: Callable[[T], bool] | Threshold[T],
) -> tuple[Callable[[T], object], float | None]:
    """The function that judges a tier's value, and the least score if that is what it gives."""
    return (accept, None) if callable(accept) else (accept.score, accept.at)


_PLAIN = "give a plain function"
