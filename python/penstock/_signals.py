"""Signals: named, typed values that a run waits for and that come from outside."""

from __future__ import annotations

from typing import Generic, TypeVar

from ._contracts import Contract
from ._errors import DefinitionError
from ._stages import label

T = TypeVar("T")


class Signal(Generic[T]):
    """What `Flow.signal` and `Flow.review` wait for, and `Run.signal` delivers.

    Two of the same name and type are equal. A value is checked when it is sent: one of another type
    is refused there, and the run goes on waiting.

    Args:
        name: a run knows the signal by it. No "/", "[" or "]".
        kind: the type of the values.

    Attributes:
        name: as given.
        contract: of the values.

    Raises:
        DefinitionError: the name or the type is none.

    >>> import penstock as ps
    >>> approval = ps.Signal("approval", bool)
    >>> @ps.workflow
    ... def ask(flow: ps.Flow) -> ps.Node[bool]:
    ...     return flow.signal(approval, timeout=3600)
    """

    __slots__ = ("contract", "name")

    def __init__(self, name: str, kind: type[T]) -> None:
        self.name = label(name, "a signal's name")
        if isinstance(kind, str):
            raise DefinitionError(
                f"signal {name!r} is of type {kind!r}", remedy="give the type, not its name"
            )
        self.contract = Contract.of(kind)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Signal):
            return NotImplemented
        same = self.contract.annotation == other.contract.annotation
        return self.name == other.name and same

    def __hash__(self) -> int:
        return hash(self.name)

    def __repr__(self) -> str:
        return f"Signal({self.name!r}, {self.contract.name})"
