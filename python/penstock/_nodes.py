"""Node: the handle of a place in a workflow's graph, while the graph is drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypeVar

from ._contracts import Contract
from ._errors import DefinitionError

T_co = TypeVar("T_co", covariant=True)


class Node(Generic[T_co]):
    """A place in a workflow's graph that carries a value of type T in each run.

    There is no value while the graph is drawn, so a node can't be tested, iterated or compared with
    one. `Node` is covariant: let steps take `Sequence[Doc]` rather than `list[Doc]`, and a
    `Node[list[Invoice]]` goes in where `Invoice` is a `Doc`.

    Attributes:
        path: readable and unique, such as "support/draft".
        contract: of the value.
    """

    __slots__ = ("contract", "flow", "index", "path")

    def __init__(self, flow: object, index: int, path: str, contract: Contract) -> None:
        self.flow = flow
        self.index = index
        self.path = path
        self.contract = contract

    def __repr__(self) -> str:
        return f"Node({self.path!r}, {self.contract.name})"

    if not TYPE_CHECKING:  # checkers refuse these by themselves, as long as they are not declared

        def __bool__(self) -> NoReturn:
            raise self._refusal("tested for truth", "decide inside a step or in flow.apply")

        def __iter__(self) -> NoReturn:
            raise self._refusal("iterated", "take the whole value as one input of a step")

        def __len__(self) -> NoReturn:
            raise self._refusal("measured", "use flow.apply(len, node)")

        def __getitem__(self, key: object) -> NoReturn:
            raise self._refusal("indexed", f"use flow.apply(lambda value: value[{key!r}], node)")

        def __eq__(self, other: object) -> bool:
            if isinstance(other, Node):
                return self is other
            raise self._refusal("compared with a value", "compare inside a step or in flow.apply")

        def __hash__(self) -> int:
            return id(self)

        def __getattr__(self, name: str) -> Any:
            raise AttributeError(
                f"node {self.path!r} has no attribute {name!r}: its value exists in a run only; "
                f"use flow.apply(lambda value: value.{name}, node)"
            )

    def _refusal(self, done: str, remedy: str) -> DefinitionError:
        return DefinitionError(
            f"was {done} while the workflow is drawn, but its value exists in a run only",
            node=self.path,
            remedy=remedy,
        )
