"""Parts: how a model is read from plain data, so that every mistake in it is told at its place."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from difflib import get_close_matches
from typing import Any, ClassVar, Final, Self, TypeAlias, TypeVar, cast

from penstock._errors import DefinitionError
from penstock._policies import Policy

T = TypeVar("T")
Reader: TypeAlias = Callable[[Any, str, list[str]], Any]
"""Reads plain data that stands at a place, and notes what is wrong with it."""


class Part(Policy):
    """A part of a model: a policy whose fields may be left out, and hold parts themselves.

    `_PARTS` has, by field, how a part inside of it is read.
    """

    __slots__ = ()

    _PARTS: ClassVar[Mapping[str, Reader]] = {}

    @classmethod
    def read_at(cls, data: Any, place: str, problems: list[str]) -> Self | None:
        """The part that plain data stands for; None if something is wrong, which is noted.

        Args:
            data: as `to_dict` writes it.
            place: where it stands: "steps.draft.latency".
            problems: found so far.
        """
        found = len(problems)
        given = table(data, place, problems)
        return None if len(problems) > found else cls._read_at(given, place, problems)

    @classmethod
    def _read_at(cls, given: Mapping[str, Any], place: str, problems: list[str]) -> Self | None:
        found = len(problems)
        known = inspect.signature(cls).parameters
        problems += [
            f"{_at(place)}there is no key {name!r}; {nearest(name, known)}"
            for name in given
            if name not in known
        ]
        problems += [
            f"{_at(place)}has no {name!r}; add it"
            for name, parameter in known.items()
            if parameter.default is parameter.empty and name not in given
        ]
        parts: dict[str, Any] = {}
        for name, value in given.items():
            read = cls._PARTS.get(name)
            parts[name] = value if read is None else read(value, inside(place, name), problems)
        if len(problems) > found:
            return None
        return tried(lambda: cls(**parts), place, problems)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The part of `to_dict`.

        Raises:
            DefinitionError: with everything that is wrong in it.
        """
        problems: list[str] = []
        part = cls.read_at(data, "", problems)
        if part is None:
            raise DefinitionError.of(f"the {cls._WORD}", problems)
        return part

    def to_dict(self) -> dict[str, Any]:
        """As plain data, ready for JSON and TOML, without what has its usual value."""
        content: dict[str, Any] = {}
        known = inspect.signature(type(self)).parameters
        for each in fields(cast("Any", self)):
            value = getattr(self, each.name)
            if each.name in self._ALWAYS or value != known[each.name].default:
                content[each.name] = _plain(value)
        return content

    _WORD: ClassVar[str] = "part"
    _ALWAYS: ClassVar[tuple[str, ...]] = ()


def table(data: Any, place: str, problems: list[str]) -> Mapping[str, Any]:
    """What should be a table of keys and values; an empty one if it is none, which is noted."""
    if isinstance(data, Mapping):
        return cast("Mapping[str, Any]", data)
    problems.append(f"{_at(place)}is {data!r}; write a table of keys and values")
    return {}


def tables_of(read: Reader) -> Reader:
    """Reads a list of tables: a tuple of what they stand for."""

    def each(data: Any, place: str, problems: list[str]) -> tuple[Any, ...]:
        if not isinstance(data, list | tuple):
            problems.append(f"{place}: is {data!r}; write a list of tables")
            return ()
        rows = cast("list[Any]", data)
        found = [read(row, f"{place}[{number}]", problems) for number, row in enumerate(rows, 1)]
        return tuple(row for row in found if row is not None)

    return each


def named(read: Reader) -> Reader:
    """Reads a table of tables: by name, what they stand for."""

    def each(data: Any, place: str, problems: list[str]) -> dict[str, Any]:
        content = table(data, place, problems)
        found = {name: read(part, inside(place, name), problems) for name, part in content.items()}
        return {name: part for name, part in found.items() if part is not None}

    return each


def tried(make: Callable[[], T], place: str, problems: list[str]) -> T | None:
    """What is made, or None if it can't be, which is noted."""
    try:
        return make()
    except DefinitionError as error:
        problems.append(f"{_at(place)}{error}")
        return None


def pairs(values: object, name: str, remedy: str) -> list[tuple[object, object]]:
    """What should be a list of pairs.

    Raises:
        DefinitionError: it is none.
    """
    if not isinstance(values, list | tuple):
        raise DefinitionError(f"{name} is {values!r}", remedy=remedy)
    found: list[tuple[object, object]] = []
    for place, value in enumerate(cast("Sequence[object]", values), 1):
        pair = cast("Sequence[object]", value) if isinstance(value, list | tuple) else ()
        if len(pair) != 2:
            raise DefinitionError(f"{name}[{place}] is {value!r}", remedy=remedy)
        found.append((pair[0], pair[1]))
    return found


def nearest(name: str, known: Mapping[str, Any] | list[str], kind: str = "keys") -> str:
    """The remedy for a name that there is not."""
    close = get_close_matches(name, list(known), 1)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"the {kind} are {', '.join(known)}" if known else f"there are no {kind} here"


def inside(place: str, name: str) -> str:
    """The place of a name in a table."""
    quoted = name if name.replace("-", "").replace("_", "").isalnum() else f'"{name}"'
    return f"{place}.{quoted}" if place else quoted


def _at(place: str) -> str:
    return f"{place}: " if place else ""


def _plain(value: Any) -> Any:
    if isinstance(value, Policy):
        return value.to_dict()
    if isinstance(value, tuple):
        return [_plain(item) for item in cast("Sequence[Any]", value)]
    if isinstance(value, Mapping):
        return {name: _plain(part) for name, part in cast("Mapping[str, Any]", value).items()}
    return value


EMPTY: Final[Mapping[str, Any]] = {}
