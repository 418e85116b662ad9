"""Cases: the outcomes of a switch or a match, drawn when they are asked for."""

from __future__ import annotations

from enum import Enum
from typing import (
    TYPE_CHECKING,
    Any,
    Generic,
    Literal,
    TypeVar,
    cast,
    get_args,
    get_origin,
    overload,
)

from ._contracts import Contract, assignable, is_union, plain
from ._drawing import Drawing
from ._edges import either
from ._errors import DefinitionError
from ._graph import Case, Switch
from ._judging import draw_case
from ._nodes import Node

T = TypeVar("T")
K = TypeVar("K")
X = TypeVar("X")


class _Choice:
    """What switch and match share: the node, and the cases that were asked for."""

    __slots__ = ("_call", "_contract", "_default", "_drawing", "_keys", "_place", "_scope")

    def __init__(self, drawing: Drawing, place: int) -> None:
        self._drawing = drawing
        self._place = place
        self._call = drawing.call
        self._scope = drawing.scope
        self._contract = drawing.node(place).contract
        self._keys: dict[Any, tuple[str, Node[Any]]] = {}
        self._default: Node[Any] | None = None
        drawing.endings.append(self._end)

    def _path(self) -> str:
        return self._drawing.node(self._place).path

    def _case(self, key: object, label: str, contract: Contract) -> Node[Any]:
        """The node of a case; asked for twice it is the same."""
        if key not in self._keys:
            self._keys[key] = label, self._draw(label, contract, len(self._keys))
        return self._keys[key][1]

    def _default_case(self) -> Node[Any]:
        if self._default is None:
            self._default = self._draw("default", self._contract, _LATER)
        return self._default

    def _draw(self, label: str, contract: Contract, outcome: int) -> Node[Any]:
        drawing = self._drawing
        drawing.require_open()
        with drawing.at(self._call, self._scope):
            return drawing.node(draw_case(drawing, self._place, contract, label, (outcome,)))

    def _end(self) -> None:
        """When all is drawn: number the default, and tell which cases are missing."""
        drawing, keys = self._drawing, tuple(self._keys)
        labels = [label for label, _ in self._keys.values()]
        if self._default is not None:
            labels.append("default")
            drawing.change(self._default.index, detail=Case(taken=(len(keys),)))
        detail = Switch(
            labels=tuple(labels),
            keys=keys,
            default=self._default is not None,
            by_type=isinstance(self, TypeCases),
        )
        drawing.change(self._place, detail=detail)
        missing = self._missing(keys)
        if missing and self._default is None:
            drawing.problem(self._path(), missing)

    def _missing(self, keys: tuple[Any, ...]) -> str:
        raise NotImplementedError

    if not TYPE_CHECKING:

        def __iter__(self) -> Any:
            raise DefinitionError(
                "the cases of a switch were iterated",
                node=self._path(),
                remedy="take each by its key: case[value], or case.default",
            )


class Cases(_Choice, Generic[T, K]):
    """The outcomes of a `Flow.switch`: `case[value]` and `case.default`.

    Each is a node that carries the switch's value, and is skipped when another case is taken.
    """

    __slots__ = ("_members",)

    def __init__(self, drawing: Drawing, place: int, key: Contract) -> None:
        super().__init__(drawing, place)
        self._members = None if key.anything else members_of(key.annotation)

    def __getitem__(self, value: K) -> Node[T]:
        try:
            hash(value)
        except TypeError:
            raise DefinitionError(
                f"case {value!r} is no key", node=self._path(), remedy="give what the key gives"
            ) from None
        if self._members is not None and not _is_among(value, self._members):
            self._drawing.problem(
                self._path(),
                f"case {value!r} is never taken; the key gives {_told(self._members)}",
            )
        return self._case(value, _label(value), self._contract)

    @property
    def default(self) -> Node[T]:
        """What is taken for every other key."""
        return self._default_case()

    def _missing(self, keys: tuple[Any, ...]) -> str:
        if self._members is None:
            return (
                "its key may give anything; add case.default, or annotate the key function with a "
                "Literal, an Enum or bool"
            )
        missing = [member for member in self._members if not _is_among(member, keys)]
        return f"nobody takes case {_told(missing)}; take it, or case.default" if missing else ""


class TypeCases(_Choice, Generic[T]):
    """The outcomes of a `Flow.match`: `case[Invoice]` and `case.default`.

    Classes are tested in the order in which they were asked for.
    """

    __slots__ = ()

    @overload
    def __getitem__(self, kind: type[X]) -> Node[X]: ...
    @overload
    def __getitem__(self, kind: None) -> Node[None]: ...
    def __getitem__(self, kind: Any) -> Node[Any]:
        kind = type(None) if kind is None else kind
        if get_origin(kind) is not None or not _testable(kind):
            raise DefinitionError(
                f"case {Contract.of(kind).name} can't be tested",
                node=self._path(),
                remedy="give a class, such as case[Invoice] or case[list]",
            )
        if kind not in self._keys:
            self._check(kind)
        return self._case(kind, cast("type", kind).__name__, narrowed(self._contract, kind))

    @property
    def default(self) -> Node[T]:
        """What is taken for every other type."""
        return self._default_case()

    def _check(self, kind: type) -> None:
        wider = next((known for known in self._keys if issubclass(kind, known)), None)
        if wider is not None:
            self._drawing.problem(
                self._path(),
                f"case {kind.__name__} is never taken, since case {wider.__name__} is tested "
                "before; ask for the narrower one first",
            )
        elif not any(_overlap(kind, member) for member in _alternatives(self._contract)):
            self._drawing.problem(
                self._path(),
                f"case {kind.__name__} is never taken; the value is {self._contract.name}",
            )

    def _missing(self, keys: tuple[Any, ...]) -> str:
        open_ones = [
            member
            for member in _alternatives(self._contract)
            if not any(_covers(key, member) for key in keys)
        ]
        names = ", ".join(Contract.of(member).name for member in open_ones)
        return f"nobody takes case {names}; take it, or case.default" if open_ones else ""


def narrowed(contract: Contract, kind: type) -> Contract:
    """The contract of the values of `contract` that are instances of `kind`."""
    alternatives = _alternatives(contract)
    inside = [member for member in alternatives if _covers(kind, member)]
    if any(_overlap(kind, member) for member in alternatives if member not in inside):
        inside.append(kind)
    return either([Contract.of(member) for member in inside or [kind]])


def members_of(annotation: Any) -> tuple[Any, ...] | None:
    """The values of an annotation that has few: Literal, Enum, bool, None; None if it has many."""
    annotation = plain(annotation)
    if annotation is bool:
        return False, True
    if annotation is type(None):
        return (None,)
    if get_origin(annotation) is Literal:
        return get_args(annotation)
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return tuple(annotation)
    if not is_union(annotation):
        return None
    members: list[Any] = []
    for each in get_args(annotation):
        inside = members_of(each)
        if inside is None:
            return None
        members += inside
    return tuple(members)


def _alternatives(contract: Contract) -> list[Any]:
    """The types that a value may have, unions taken apart."""
    annotation = plain(contract.annotation)
    if is_union(annotation):
        return [a for each in get_args(annotation) for a in _alternatives(Contract.of(each))]
    return [annotation]


def _covers(kind: type, member: Any) -> bool:
    """Whether every value of `member` is an instance of `kind`."""
    if kind is object:
        return True
    if get_origin(member) is Literal:
        return all(isinstance(value, kind) for value in get_args(member))
    base = get_origin(member) or member
    return isinstance(base, type) and issubclass(base, kind)


def _overlap(kind: type, member: Any) -> bool:
    base = get_origin(member) or member
    if get_origin(member) is Literal:
        return any(isinstance(value, kind) for value in get_args(member))
    if Contract.of(member).anything or not isinstance(base, type):
        return True
    return issubclass(base, kind) or issubclass(kind, base) or assignable(kind, member)


def _testable(kind: Any) -> bool:
    try:
        isinstance(None, kind)
    except TypeError:
        return False
    return isinstance(kind, type)


def _is_among(value: object, members: tuple[Any, ...]) -> bool:
    return any(type(value) is type(member) and value == member for member in members)


def _label(value: object) -> str:
    if isinstance(value, Enum):
        return value.name
    return value if isinstance(value, str) else repr(value)


def _told(members: tuple[Any, ...] | list[Any]) -> str:
    return ", ".join(repr(member) for member in members)


_LATER = 0
