"""Contracts: which values satisfy an annotation, and which annotations fit together on an edge."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import (
    Annotated,
    Any,
    Generic,
    Literal,
    NamedTuple,
    NewType,
    Protocol,
    TypeVar,
    runtime_checkable,
)

import pytest
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

import penstock as ps
from penstock._contracts import assignable

T = TypeVar("T")


class Animal: ...


class Dog(Animal): ...


class Doc(BaseModel):
    id: str


class Invoice(Doc): ...


class Page(BaseModel, Generic[T]):
    items: list[T]


@dataclass
class Point:
    x: int


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Text(StrEnum):
    HIGH = "high"


class Row(TypedDict):
    id: int


class Pair(NamedTuple):
    left: int
    right: int


class Closes(Protocol):
    def close(self) -> None: ...


@runtime_checkable
class Shuts(Protocol):
    def shut(self) -> None: ...


class Box(Generic[T]): ...


UserId = NewType("UserId", str)
dog, doc = Dog(), Doc(id="1")


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (int, 3),
        (str, Text.HIGH),
        (float, 2.5),
        (None, None),
        (Any, object()),
        (object, 3),
        (Animal, dog),
        (Doc, doc),
        (Point, Point(1)),
        (Colour, Colour.RED),
        (int | None, None),
        (Doc | str, "text"),
        (list[Doc], [doc]),
        (list[Animal], [dog]),
        (Sequence[int], [1, 2]),
        (dict[str, int], {"a": 1}),
        (tuple[int, ...], (1, 2)),
        (list[Doc] | None, None),
        (Literal["a", "b"], "b"),
        (Annotated[int, Field(gt=0)], 3),
        (UserId, "u1"),
        (Row, {"id": 1}),
        (Pair, Pair(1, 2)),
        (Page[Doc], Page[Doc](items=[doc])),
        (Closes, object()),
        (T, object()),
    ],
)
def test_value_that_satisfies_is_passed_on(annotation: Any, value: Any) -> None:
    """What the annotation allows reaches the next step unchanged."""
    assert ps.Contract.of(annotation).validate(value) == value


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (int, True),
        (int, "3"),
        (int, 3.0),
        (float, True),
        (float, 10**400),
        (str, b"bytes"),
        (None, 0),
        (Dog, Animal()),
        (Doc, {"id": "1"}),
        (Point, {"x": 1}),
        (Colour, "red"),
        (int | None, "3"),
        (list[Doc], [{"id": "1"}]),
        (list[int], (1, 2)),
        (list[int], ["1"]),
        (dict[str, int], {"a": "1"}),
        (tuple[int, int], (1, 2, 3)),
        (Literal["a", "b"], "c"),
        (Annotated[int, Field(gt=0)], -3),
        (UserId, 3),
        (Row, {"id": "1"}),
        (Page[Doc], {"items": []}),
        (Shuts, object()),
        (list[Box[int]], [3]),
    ],
)
def test_value_that_does_not_is_refused(annotation: Any, value: Any) -> None:
    """Nothing is coerced: a string of digits for an int is somebody's bug."""
    with pytest.raises(ps.ContractError, match="expected"):
        ps.Contract.of(annotation).validate(value)


def test_instances_of_a_model_pass_as_the_same_object() -> None:
    """A model is not validated or copied again at every handoff."""
    assert ps.Contract.of(Doc).validate(doc) is doc
    assert ps.Contract.of(Doc | None).instances == (Doc,)


def test_int_goes_for_float() -> None:
    """`return 3` from a step that promises a float is right, as in any type checker."""
    value = ps.Contract.of(float).validate(3)
    assert (value, type(value)) == (3.0, float)


def test_message_tells_the_place_inside_the_value() -> None:
    """Of a list of a thousand documents the user wants to know which one is wrong, and why."""
    with pytest.raises(ps.ContractError) as caught:
        ps.Contract.of(list[int]).validate([1, "secret", 3])
    assert "expected list[int], got list" in str(caught.value)
    assert "at 1: Input should be a valid integer" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_type_that_pydantic_can_not_describe_is_tested_by_its_class() -> None:
    """A handle of a foreign library in an annotation must not make the step unusable."""
    contract = ps.Contract.of(Box[int])
    box = Box[int]()
    assert contract.validate(box) is box
    with pytest.raises(ps.ContractError):
        contract.validate(3)


@pytest.mark.parametrize(
    ("annotation", "name"),
    [
        (list[Doc], "list[Doc]"),
        (Doc | None, "Doc | None"),
        (dict[str, list[int]], "dict[str, list[int]]"),
        (Literal["a", 1], "Literal['a', 1]"),
        (Callable[[int], str], "Callable[[int], str]"),
        (tuple[int, ...], "tuple[int, ...]"),
        (Annotated[int, Field(gt=0)], "int"),
        (UserId, "UserId"),
        (Any, "Any"),
        (None, "None"),
    ],
)
def test_name_reads_as_it_is_written(annotation: Any, name: str) -> None:
    """The name stands in messages and in the digest of a graph."""
    assert ps.Contract.of(annotation).name == name


@pytest.mark.parametrize(
    ("source", "target"),
    [
        (Dog, Animal),
        (Dog, object),
        (Any, Dog),
        (Dog, Any),
        (bool, int),
        (int, float),
        (bool, float),
        (float, complex),
        (Dog, Animal | None),
        (Dog | None, Animal | None),
        (list[Dog], list[Animal]),
        (list[Dog], Sequence[Animal]),
        (list[Dog], list),
        (list, list[Dog]),
        (dict[str, Dog], Mapping[str, Animal]),
        (dict[str, Dog], Iterable[str]),
        (tuple[int, int], tuple[int, ...]),
        (tuple[int, bool], tuple[float, int]),
        (tuple[Dog, Dog], Sequence[Animal]),
        (Literal["a"], Literal["a", "b"]),
        (Literal["a", 1], str | int),
        (Literal["a", 1], Literal["a"] | int),
        (bool, Literal[True, False]),
        (Colour, Literal[Colour.RED, Colour.BLUE]),
        (Literal[Colour.RED], Colour),
        (Annotated[int, Field(gt=0)], int),
        (int, Annotated[int, Field(gt=0)]),
        (UserId, UserId),
        (UserId, str),
        (T, Dog),
        (Dog, T),
        (Dog, Closes),
        (Row, Mapping),
        (Page[Invoice], Page[Doc]),
        (Page[Doc], Page),
        (type[Dog], type[Animal]),
        (Pair, tuple),
    ],
)
def test_edges_that_fit(source: Any, target: Any) -> None:
    """A workflow that is right is never refused."""
    assert assignable(source, target)


@pytest.mark.parametrize(
    ("source", "target"),
    [
        (Animal, Dog),
        (str, int),
        (float, int),
        (int, bool),
        (Dog | None, Dog),
        (None, Dog),
        (Dog, None),
        (list[Animal], list[Dog]),
        (list[str], Sequence[int]),
        (Sequence[int], list[int]),
        (dict[str, str], Mapping[str, int]),
        (dict[int, str], Iterable[str]),
        (tuple[int, str], tuple[int, ...]),
        (tuple[int, ...], tuple[int, int]),
        (tuple[int], tuple[int, int]),
        (Literal["c"], Literal["a", "b"]),
        (str, Literal["a"]),
        (Literal[1], Literal[True]),
        (Colour, Literal[Colour.RED]),
        (Annotated[str, "note"], int),
        (str, UserId),
        (Row, int),
        (Doc, Row),
        (Page[str], Page[int]),
        (list[Doc], Doc),
    ],
)
def test_edges_that_clearly_do_not_fit(source: Any, target: Any) -> None:
    """The mistakes that a workflow must not be defined with."""
    assert not assignable(source, target)
