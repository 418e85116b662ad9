"""TOML: a model as a file that people read: tables for what has a name, one line for what is small.

Only what a model is made of is written: tables, lists, strings, numbers and booleans.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, cast

WIDTH: Final = 100


def written(content: Mapping[str, Any], comments: Sequence[str] = ()) -> str:
    """Plain data as TOML: `tomllib` gives the same back.

    >>> print(written({"format": 1, "steps": {"draft": {"latency": {"value": 1e-07}}}}))
    format = 1
    <BLANKLINE>
    [steps.draft]
    latency = { value = 0.0000001 }
    <BLANKLINE>

    Args:
        content: of the file.
        comments: lines that stand before it.
    """
    lines = [f"# {line}" for line in comments]
    plain = {name: value for name, value in content.items() if not _is_table(value)}
    lines += [_pair(name, value) for name, value in plain.items()]
    for name, value in content.items():
        if name not in plain:
            lines += _section(name, value)
    return "\n".join(lines) + "\n"


def _section(name: str, value: Any) -> Iterator[str]:
    """A table, a table of tables, or a list of tables."""
    heading = _key(name)
    if isinstance(value, list):
        for row in cast("list[Mapping[str, Any]]", value):
            yield from _table(f"[[{heading}]]", row)
        return
    table = cast("Mapping[str, Any]", value)
    if table and all(isinstance(part, Mapping) for part in table.values()):
        for inner, part in table.items():
            yield from _table(f"[{heading}.{_key(inner)}]", part)
    else:
        yield from _table(f"[{heading}]", table)


def _table(heading: str, content: Mapping[str, Any]) -> Iterator[str]:
    yield from ("", heading)
    for name, value in content.items():
        yield _pair(name, value)


def _is_table(value: Any) -> bool:
    if isinstance(value, list):
        rows = cast("Sequence[Any]", value)
        return bool(rows) and all(isinstance(row, Mapping) for row in rows)
    return isinstance(value, Mapping)


def _pair(name: str, value: Any) -> str:
    start = f"{_key(name)} = "
    text = _value(value)
    return start + (text if len(start) + len(text) <= WIDTH else _wrapped(value))


def _value(value: Any) -> str:
    """On one line."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, Mapping):
        table = cast("Mapping[str, Any]", value)
        pairs = [f"{_key(name)} = {_value(part)}" for name, part in table.items()]
        return f"{{ {', '.join(pairs)} }}" if pairs else "{}"
    return f"[{', '.join(_value(item) for item in cast('Sequence[Any]', value))}]"


def _wrapped(value: Any) -> str:
    """Over several lines, where a list allows it: an inline table may not be broken elsewhere."""
    if isinstance(value, Mapping):
        table = cast("Mapping[str, Any]", value)
        pairs = [f"{_key(name)} = {_wrapped(part)}" for name, part in table.items()]
        return f"{{ {', '.join(pairs)} }}"
    if not isinstance(value, list):
        return _value(value)
    items = cast("Sequence[Any]", value)
    if any(isinstance(item, Mapping) for item in items):
        rows = [_value(item) for item in items]
        rows = [
            row if len(row) < WIDTH else _wrapped(item)
            for row, item in zip(rows, items, strict=True)
        ]
        return "[\n" + "".join(f"  {row},\n" for row in rows) + "]"
    lines, line = ["["], " "
    for item in items:
        text = f" {_value(item)},"
        if line.strip() and len(line) + len(text) > WIDTH:
            lines.append(line)
            line = " "
        line += text
    return "\n".join([*lines, line, "]"])


def _number(value: float) -> str:
    """A float that reads back the same, without an exponent where that is not long."""
    text = repr(value)
    if "e" not in text:
        return text
    plain = f"{Decimal(text):f}"
    plain = plain if "." in plain else f"{plain}.0"
    return plain if len(plain) <= _LONG else text


def _string(value: str) -> str:
    """A basic string: JSON's escapes are TOML's, except for that of DEL."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _string(name)


_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")
_LONG: Final = 20
