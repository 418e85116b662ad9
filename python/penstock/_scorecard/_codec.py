"""The codec: frozen dataclasses as plain data and back, by their annotations."""

from __future__ import annotations

import types
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, Union, cast, get_args, get_origin, get_type_hints


def written(value: Any) -> Any:
    """A value as JSON has it; what a class derives is written beside its fields."""
    if is_dataclass(value) and not isinstance(value, type):
        names = [it.name for it in fields(value)]
        names += getattr(value, "DERIVED", ())
        return {name: written(getattr(value, name)) for name in names}
    if isinstance(value, Mapping):
        return {key: written(it) for key, it in cast("Mapping[str, Any]", value).items()}
    if isinstance(value, tuple):
        return [written(it) for it in cast("Sequence[Any]", value)]
    return value


def read(kind: Any, content: Any) -> Any:
    """The value of `kind` that `written` wrote.

    Raises:
        KeyError, TypeError, ValueError: it is none.
    """
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        if content is None:
            return None
        kind = next(it for it in get_args(kind) if it is not type(None))
        return read(kind, content)
    if is_dataclass(kind):
        hints = get_type_hints(kind)
        return cast("Any", kind)(
            **{it.name: read(hints[it.name], content[it.name]) for it in fields(kind)}
        )
    if origin is tuple:
        return tuple(read(get_args(kind)[0], it) for it in content)
    if origin is not None and issubclass(origin, Mapping):
        return {key: read(get_args(kind)[1], it) for key, it in content.items()}
    if kind is float:
        return float(content)
    if not isinstance(content, kind):
        raise TypeError(f"{content!r} is no {kind.__name__}")
    return content
