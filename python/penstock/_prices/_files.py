"""Files: own rates in TOML, and the line that is wrong."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, TypeVar, cast

from penstock._errors import DefinitionError

from ._entries import Path as Keys
from ._entries import RateError

B = TypeVar("B")
_FIELDS: Final[tuple[str, ...]] = ("version", "unknown", "package")


def read_file(path: Path, make: Callable[[dict[str, Any]], B]) -> B:
    """What `make` makes of a price book's fields in a file.

    Raises:
        DefinitionError: it is no TOML, or something in it is wrong.
        OSError: it can't be read.
    """
    try:
        text = path.read_text(encoding="utf-8")
        # A float would not be what is written there.
        data = tomllib.loads(text, parse_float=Decimal)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DefinitionError(f"{path}: {error}", remedy="write it as TOML") from error
    fields = {name: data.pop(name) for name in _FIELDS if name in data}
    if fields.get("package") == "":
        fields["package"] = None
    try:
        return make({**fields, "rates": data})
    except RateError as error:
        line = line_of(text, error.path)
        raise DefinitionError(f"{path}, line {line}: {error.what}", remedy=error.remedy) from None
    except DefinitionError as error:
        raise DefinitionError(f"{path}: {error.what}", remedy=error.remedy) from None


def line_of(text: str, path: Keys) -> int:
    """The line that sets `path`, or what is nearest above it: a table may be written in many ways.

    Values are not read, so a line of a text over several lines may be taken for a key.
    """
    best, found = 0, 1
    table: tuple[str, ...] = ()
    counts: dict[tuple[str, ...], int] = {}
    inside: Keys = ()
    for number, line in enumerate(text.splitlines(), start=1):
        stripped = line.strip()
        if stripped.startswith("["):
            table = _keys(stripped.partition("#")[0].strip().strip("[]"))
            if stripped.startswith("[["):
                counts[table] = counts.get(table, -1) + 1
            inside = _placed(table, counts)
            reached = inside
        else:
            reached = (*inside, *_keys(stripped.partition("=")[0]))
        matching = _matching(reached, path)
        if matching > best:
            best, found = matching, number
    return found


def _placed(table: tuple[str, ...], counts: dict[tuple[str, ...], int]) -> Keys:
    """A table's keys with the place in each list of tables on the way."""
    placed: list[str | int] = []
    for depth, key in enumerate(table, start=1):
        placed.append(key)
        if table[:depth] in counts:
            placed.append(counts[table[:depth]])
    return tuple(placed)


def _matching(reached: Keys, path: Keys) -> int:
    """How many keys of `path` a line has, 0 if it leads elsewhere."""
    return len(reached) if path[: len(reached)] == reached else 0


def _keys(text: str) -> tuple[str, ...]:
    """The parts of a dotted key; none if it is no key."""
    try:
        data: Any = tomllib.loads(f"{text} = 0")
    except tomllib.TOMLDecodeError:
        return ()
    keys: list[str] = []
    while isinstance(data, dict) and data:  # a comment is no key
        ((key, data),) = cast("dict[str, Any]", data).items()
        keys.append(key)
    return tuple(keys)
