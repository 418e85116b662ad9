"""JSON: policies as plain data and back, and the digest that two of them are told apart by."""

from __future__ import annotations

import builtins
import hashlib
import inspect
import json
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import Any, ClassVar, Final, Self, cast

from penstock._errors import DefinitionError
from penstock._money import Usd


class Policy:
    """What all policies share. Each is a frozen dataclass with slots and an `__init__` that checks.

    `_READERS` has, by field, how a policy or a type inside of it is read back.
    """

    __slots__ = ()

    _READERS: ClassVar[Mapping[str, Callable[[Any], object]]] = {}

    def to_dict(self) -> dict[str, Any]:
        """All fields as plain data, ready for JSON; `from_dict` reads it."""
        return {field.name: plain(getattr(self, field.name)) for field in fields(cast("Any", self))}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The policy of `to_dict`; a field that is left out has its usual value.

        Raises:
            DefinitionError: a field is unknown, missing or out of its range.
        """
        kind = cls.__name__
        if not isinstance(cast("Any", data), Mapping):
            raise DefinitionError(
                f"{kind}.from_dict was given {data!r}", remedy="give a dict, as to_dict writes it"
            )
        known = inspect.signature(cls).parameters
        unknown = [name for name in data if name not in known]
        if unknown:
            raise DefinitionError(
                f"{kind} has no field {unknown[0]!r}",
                remedy=f"take it out; the fields are {', '.join(known)}",
            )
        for name, parameter in known.items():
            if parameter.default is parameter.empty and name not in data:
                raise DefinitionError(f"{kind} lacks {name!r}", remedy="give it")
        return cls(**{name: _read(value, cls._READERS.get(name)) for name, value in data.items()})

    @property
    def digest(self) -> str:
        """sha256, in hex, of its kind and `to_dict`: equal policies have equal ones."""
        text = canonical([type(self).__name__, self.to_dict()])
        return hashlib.sha256(text.encode()).hexdigest()

    def _keep(self, **values: object) -> None:
        """Set the fields, once, in `__init__`."""
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def __repr__(self) -> str:
        told: list[str] = []
        for name, parameter in inspect.signature(type(self)).parameters.items():
            value = getattr(self, name)
            if parameter.kind is parameter.POSITIONAL_OR_KEYWORD:
                told.append(_told(value))
            elif value != self._usual(name, parameter.default):
                told.append(f"{name}={_told(value)}")
        return f"{type(self).__name__}({', '.join(told)})"

    def _usual(self, name: str, default: object) -> object:  # noqa: ARG002
        """What a field is if nobody says, which may hang on the others."""
        return default


def plain(value: Any) -> Any:
    """A policy, or what is in one, as plain data."""
    if isinstance(value, Policy):
        return value.to_dict()
    if isinstance(value, Usd):
        return value.text
    if isinstance(value, tuple):
        return [plain(item) for item in cast("Sequence[Any]", value)]
    if isinstance(value, Mapping):
        return dict(cast("Mapping[str, Any]", value))
    return type_name(cast("type[object]", value)) if isinstance(value, type) else value


def canonical(content: object) -> str:
    """JSON with sorted keys and without spaces: equal content gives equal text."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def type_name(kind: type[object]) -> str:
    """Module and name of a type; of a built-in one its name."""
    builtin = kind.__module__ == "builtins"
    return kind.__qualname__ if builtin else f"{kind.__module__}.{kind.__qualname__}"


def exception_type(name: object) -> type[Exception]:
    """The exception type that `type_name` wrote.

    Its module is imported if need be, so this is for data that one would run as well.

    Raises:
        DefinitionError: there is none of that name.
    """
    try:
        found: Any = None
        if isinstance(name, str):
            found = pkgutil.resolve_name(name) if "." in name else getattr(builtins, name, None)
    except (AttributeError, ImportError, ValueError):
        found = None
    if not isinstance(found, type) or not issubclass(found, Exception):
        raise DefinitionError(
            f"{name!r} is no exception type that can be imported", remedy=_NAMED_SO
        )
    return found


def _read(value: object, reader: Callable[[Any], object] | None) -> object:
    if reader is None:
        return value
    if isinstance(value, list):
        return tuple(reader(item) for item in cast("Sequence[object]", value))
    return reader(value) if isinstance(value, Mapping) else value


def _told(value: object) -> str:
    return repr(plain(value)) if isinstance(value, Mapping) else repr(value)


_NAMED_SO: Final = (
    "write a built-in one as 'TimeoutError', another as 'shop.errors.CardStolen', at module level"
)
