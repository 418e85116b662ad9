"""Schemas: what contracts demand, as JSON schema, and whether one admits all that another does."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, Literal, TypeAlias, cast

from pydantic import ConfigDict, TypeAdapter
from pydantic.errors import PydanticSchemaGenerationError, PydanticUserError

from penstock._contracts import Contract

Schema: TypeAlias = Mapping[str, Any]
Relation: TypeAlias = Literal["same", "wider", "narrower", "other"]


def schema_of(contract: Contract) -> Schema:
    """The JSON schema of what a contract admits; for what has none, the class by name."""
    for config in (ConfigDict(arbitrary_types_allowed=True), None):
        try:
            return TypeAdapter[Any](contract.annotation, config=config).json_schema()
        except (PydanticUserError, PydanticSchemaGenerationError, NameError):
            continue
    kind = contract.annotation
    module = getattr(kind, "__module__", None)
    name = getattr(kind, "__qualname__", contract.name)
    return {_CLASS: f"{module}.{name}" if module else contract.name}


def relation(old: Schema, new: Schema) -> Relation:
    """How what `new` admits compares with what `old` does.

    Where it can't be told, as with patterns that differ, "other".
    """
    wider, narrower = _Pair(new, old).admits(), _Pair(old, new).admits()
    if wider and narrower:
        return "same"
    if wider:
        return "wider"
    return "narrower" if narrower else "other"


class _Pair:
    """Two schemas, each with its own definitions: does the wide one admit all of the narrow one?"""

    def __init__(self, wide: Schema, narrow: Schema) -> None:
        self._wide = wide
        self._narrow = narrow
        self._assumed: set[str] = set()

    def admits(self) -> bool:
        return self._admits(self._wide, self._narrow)

    def _admits(self, wide: Schema, narrow: Schema) -> bool:
        question = json.dumps([wide, narrow], sort_keys=True, default=str)
        if question in self._assumed:
            return True  # recursive: holds if nothing else speaks against it
        self._assumed.add(question)
        wide, narrow = _resolved(self._wide, wide), _resolved(self._narrow, narrow)
        if not _essence(wide):
            return True
        members = _members(narrow)
        if members is not None:
            return all(self._admits(wide, member) for member in members)
        members = _members(wide)
        if members is not None:
            return any(self._admits(member, narrow) for member in members)
        return self._fits(wide, narrow)

    def _fits(self, wide: Schema, narrow: Schema) -> bool:
        if _CLASS in wide or _CLASS in narrow:
            return wide.get(_CLASS) == narrow.get(_CLASS)
        values, wanted = _values(narrow), _values(wide)
        if values is not None:
            if wanted is not None:
                return all(value in wanted for value in values)
            return all(_type_of(value) in _types(wide) for value in values)
        if wanted is not None or not _types(narrow) <= _types(wide):
            return False
        return (
            _bounds_fit(wide, narrow)
            and self._objects_fit(wide, narrow)
            and self._items_fit(wide, narrow)
        )

    def _objects_fit(self, wide: Schema, narrow: Schema) -> bool:
        if "object" not in _types(narrow):
            return True
        given, wanted = _part(narrow, "properties"), _part(wide, "properties")
        if not set(wide.get("required", ())) <= set(narrow.get("required", ())):
            return False
        if any(name in given and not self._admits(wanted[name], given[name]) for name in wanted):
            return False
        rest: Any = wide.get("additionalProperties", True)
        others: Any = narrow.get("additionalProperties", True)
        if rest is False:
            return others is False and set(given) <= set(wanted)
        if isinstance(rest, dict):
            return isinstance(others, dict) and self._admits(
                cast("Schema", rest), cast("Schema", others)
            )
        return True

    def _items_fit(self, wide: Schema, narrow: Schema) -> bool:
        if "array" not in _types(narrow):
            return True
        given, wanted = narrow.get("prefixItems", ()), wide.get("prefixItems", ())
        if len(given) < len(wanted):
            return False
        if not all(map(self._admits, wanted, given)):
            return False
        items = wide.get("items")
        if not isinstance(items, dict):
            return True
        left: list[Any] = [*given[len(wanted) :]]
        left += [] if given and "items" not in narrow else [narrow.get("items", {})]
        return all(self._admits(cast("Schema", items), item) for item in left)


def _resolved(root: Schema, schema: Schema) -> Schema:
    while "$ref" in schema:
        name = str(schema["$ref"]).rpartition("/")[2]
        schema = root.get("$defs", {}).get(name, {})
    return schema


def _essence(schema: Schema) -> dict[str, Any]:
    """Without what only describes."""
    return {key: value for key, value in schema.items() if key not in _DESCRIBING}


def _members(schema: Schema) -> list[Schema] | None:
    """The alternatives of a union; None if it is none."""
    for key in ("anyOf", "oneOf"):
        if key in schema:
            return list(schema[key])
    kinds: Any = schema.get("type")
    if isinstance(kinds, list):
        return [{**schema, "type": kind} for kind in cast("list[str]", kinds)]
    return None


def _values(schema: Schema) -> list[Any] | None:
    """The values of an enumeration; None if it is none."""
    if "const" in schema:
        return [schema["const"]]
    return list(schema["enum"]) if "enum" in schema else None


def _types(schema: Schema) -> frozenset[str]:
    """The JSON types that a schema without alternatives admits; an integer is a number too."""
    kind = schema.get("type")
    if kind == "number":
        return frozenset({"integer", "number"})
    return frozenset({str(kind)}) if kind is not None else _ALL_TYPES


def _type_of(value: Any) -> str:
    return "null" if value is None else _NAMES.get(type(cast("object", value)), "object")


def _bounds_fit(wide: Schema, narrow: Schema) -> bool:
    for keys, sign in ((_LEAST, 1), (_MOST, -1)):
        for key in keys:
            if key in wide and not (key in narrow and sign * narrow[key] >= sign * wide[key]):
                return False
    if any(wide.get(key) != narrow.get(key) for key in _KINDS):
        return False  # a datetime is a string in JSON, and none in Python
    return all(key not in wide or wide[key] == narrow.get(key) for key in _EXACT)


def _part(schema: Schema, key: str) -> dict[str, Any]:
    part: dict[str, Any] = schema.get(key, {})
    return part


_CLASS: Final = "x-class"
_DESCRIBING: Final = frozenset({"$defs", "default", "description", "examples", "title"})
_LEAST: Final = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
_MOST: Final = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
_EXACT: Final = ("pattern", "multipleOf", "uniqueItems")
_KINDS: Final = ("format", "contentMediaType")
_ALL_TYPES: Final = frozenset({"array", "boolean", "integer", "null", "number", "object", "string"})
_NAMES: Final[Mapping[type, str]] = {
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
    list: "array",
}
