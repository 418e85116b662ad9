"""Fields: a JSON object that came from outside, read field by field."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, cast


class Needed:
    """Stands for the usual value of a field that has none."""


@dataclass(slots=True)
class Fields:
    """An object of the JSON. What is wrong with a field is noted, and an empty value stands in.

    Attributes:
        content: the object.
        place: what it describes; opens each problem.
        problems: found so far.
    """

    content: dict[str, Any]
    place: str
    problems: list[str]

    @classmethod
    def of(cls, given: Any, place: str, problems: list[str]) -> Fields:
        """The fields of what should be an object."""
        if isinstance(given, dict):
            return cls(cast("dict[str, Any]", given), place, problems)
        problems.append(f'{place}: is no JSON object; write {{"path": ..., "kind": ...}}')
        return cls({}, place, problems)

    def problem(self, text: str) -> None:
        """Note what is wrong here, and the remedy."""
        self.problems.append(f"{self.place}: {text}")

    def text(self, key: str, usual: str | type[Needed] = Needed) -> str:
        """A string."""
        return cast("str", self._value(key, str, usual))

    def integer(self, key: str, usual: int | type[Needed] = Needed) -> int:
        """A whole number."""
        return cast("int", self._value(key, int, usual))

    def number(self, key: str, usual: float | type[Needed] = Needed) -> float:
        """A number."""
        if type(self.content.get(key)) is int:
            return float(self.content[key])
        return cast("float", self._value(key, float, usual))

    def flag(self, key: str) -> bool:
        """True or false; false if it is not there."""
        return cast("bool", self._value(key, bool, False))  # noqa: FBT003

    def items(self, key: str, usual: type[Needed] | None = Needed) -> list[Any]:
        """A list; empty if it need not be there and is not."""
        return cast("list[Any]", self._value(key, list, Needed if usual is Needed else []))

    def inner(self, key: str, place: str) -> Fields | None:
        """The fields of an object inside; None if it is missing or none, which is noted."""
        if key not in self.content or not isinstance(self.content[key], dict):
            self._value(key, dict, Needed)
            return None
        return Fields(self.content[key], f"{self.place}: {place}", self.problems)

    def each(self, key: str, what: str, first: int) -> Iterator[Fields]:
        """The objects in a list that need not be there, numbered from `first`."""
        for number, given in enumerate(self.items(key, None), first):
            yield Fields.of(given, f"{what} {number}", self.problems)

    def index(self, key: str, count: int, usual: int | type[Needed] = Needed) -> int:
        """An index below `count`."""
        value = self.integer(key, usual)
        if not 0 <= value < count:
            self.problem(f"{key} {value} is no index from 0 to {count - 1}; correct it")
            return 0
        return value

    def maybe_index(self, key: str, count: int) -> int | None:
        """An index below `count`, or None if there is none."""
        return None if self.content.get(key) is None else self.index(key, count)

    def indices(self, key: str, count: int) -> tuple[int, ...]:
        """Indices of nodes, in a list that need not be there."""
        values = self.items(key, None)
        bad = [v for v in values if type(v) is not int or not 0 <= v < count]
        if bad:
            told = ", ".join(map(repr, bad))
            self.problem(f"{key} has {told}; give indices of nodes, from 0 to {count - 1}")
        return () if bad else tuple(values)

    def reference(self, key: str) -> tuple[str, str]:
        """Name and version of a definition; the name is empty if it is missing."""
        inner = self.inner(key, f"its {key}")
        return ("", "1") if inner is None else (inner.text("name"), inner.text("version", "1"))

    def _value(self, key: str, kind: type, usual: Any) -> Any:
        empty = kind() if usual is Needed else usual
        if key not in self.content:
            if usual is Needed:
                self.problem(f"has no {key!r}; add it")
            return empty
        value = self.content[key]
        if type(value) is not kind:
            self.problem(f"{key!r} is {value!r}; give {_KINDS[kind]}")
            return empty
        return value


_KINDS: Final[Mapping[type, str]] = {
    bool: "true or false",
    dict: "an object",
    float: "a number",
    int: "a whole number",
    list: "a list",
    str: "a string",
}
