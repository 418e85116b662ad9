"""Contracts: an annotation, compiled to a test of values and a test of edges.

A contract is checked twice. When a workflow is defined, `assignable` compares the annotations at
both ends of an edge; when a step returns, the value is tested. The binding tests most values by
itself, with `anything`, `exact` and `instances`, and calls `validate` for the others only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, is_dataclass
from enum import Enum
from functools import lru_cache
from inspect import isclass
from types import GenericAlias, NoneType, UnionType
from typing import (
    Annotated,
    Any,
    Final,
    Literal,
    NewType,
    TypeVar,
    Union,
    get_args,
    get_origin,
)

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from pydantic.errors import PydanticUndefinedAnnotation, PydanticUserError
from pydantic_core.core_schema import CoreSchema, is_instance_schema
from typing_extensions import is_typeddict

from ._errors import ContractError


class Contract:
    """What an annotation demands of a value.

    Attributes:
        annotation: as the function has it, resolved.
        name: readable, such as "list[Doc]"; part of a graph's digest.
        anything: every value passes.
        exact: values of exactly these types pass (a bool is no int).
        instances: instances of these classes pass as they are, without a look inside.
    """

    __slots__ = (
        "_adapter",
        "_deep",
        "_scalars",
        "annotation",
        "anything",
        "exact",
        "instances",
        "name",
    )

    def __init__(self, annotation: Any) -> None:
        members = _members(annotation)
        self.annotation: Any = annotation
        self.name = _name(annotation)
        self.anything = Any in members
        self._scalars: tuple[type, ...] = tuple(m for m in members if m in _SCALARS)
        self.exact: tuple[type, ...] = (
            *self._scalars,
            *(_origin(m) for m in members if _origin(m)),
        )
        self.instances: tuple[type, ...] = tuple(
            m for m in members if isclass(m) and m not in (Any, *_SCALARS)
        )
        self._deep = any(not isclass(m) for m in members)
        self._adapter: Callable[[Any], Any] | None = None

    @staticmethod
    def of(annotation: Any) -> Contract:
        """The contract of `annotation`; equal annotations share one. Cheap: asks no pydantic."""
        try:
            return _contract(annotation)
        except TypeError:  # unhashable: Annotated with a list in it
            return Contract(annotation)

    def validate(self, value: Any) -> Any:
        """Return the value to pass on, as pydantic's strict mode has it; an int passes for a float.

        The first call for an annotation that is no plain class builds a pydantic validator.

        Raises:
            ContractError: the value does not satisfy the contract.
        """
        if self.anything or type(value) in self.exact or isinstance(value, self.instances):
            return value
        if isinstance(value, self._scalars) and not isinstance(value, bool):
            return value  # an IntEnum is an int; only bool is not meant as one
        if float in self.exact and type(value) is int:
            try:
                return float(value)
            except OverflowError:
                raise self._error("an int too large for a float") from None
        if not self._deep:
            raise self._error(type(value).__qualname__)
        if self._adapter is None:
            self._adapter = _adapter(self.annotation)
        try:
            return self._adapter(value)
        except ValidationError as error:
            raise self._error(type(value).__qualname__, error) from error
        except TypeError as error:
            raise self._error(type(value).__qualname__) from error

    def gives_back(self, value: Any) -> bool:
        """Whether a value that satisfies the contract is of a class that the annotation names.

        One of a subclass would come back from JSON as what the annotation names.
        """
        kind = value.__class__
        return (
            self._deep
            or kind in self.exact
            or kind in self.instances
            or any(_is_open(base) for base in self.instances if isinstance(value, base))
        )

    def accepts(self, value: Any) -> bool:
        """Whether `validate` passes `value`."""
        try:
            self.validate(value)
        except ContractError:
            return False
        return True

    def _error(self, found: str, error: ValidationError | None = None) -> ContractError:
        details = ""
        if error is not None:
            problems = error.errors(include_url=False, include_context=False, include_input=False)
            told = [f"at {'.'.join(map(str, p['loc'])) or 'the top'}: {p['msg']}" for p in problems]
            rest = f" and {len(told) - 3} more" if len(told) > 3 else ""
            details = f" ({'; '.join(told[:3])}{rest})"
        return ContractError(
            f"expected {self.name}, got {found}{details}",
            remedy="return what the annotation says, or correct the annotation",
        )

    def __repr__(self) -> str:
        return f"Contract({self.name})"


def assignable(source: Any, target: Any) -> bool:
    """Whether a value annotated `source` may go where `target` is expected.

    Only a clear mismatch is False: what can't be judged without a type checker (protocols, type
    variables, callables) passes here, and the value is still tested at run time. Generics count as
    covariant.
    """
    source, target = plain(source), plain(target)
    if source is target or _unknown(source) or _unknown(target) or target is object:
        return True
    if isinstance(target, NewType):
        return isinstance(source, NewType) and assignable(source.__supertype__, target)
    if isinstance(source, NewType):
        return assignable(source.__supertype__, target)
    if is_union(source):
        return all(assignable(member, target) for member in get_args(source))
    if get_origin(source) is Literal:
        return _all_fit(get_args(source), target)
    if is_union(target):
        return any(assignable(source, member) for member in get_args(target)) or _all_fit(
            _values(source), target
        )
    if get_origin(target) is Literal:
        return _all_fit(_values(source), target)
    return _class_fits(source, target)


def _class_fits(source: Any, target: Any) -> bool:
    (base, given), (wanted_base, wanted) = _parts(source), _parts(target)
    if base is None or wanted_base is None or wanted_base is Callable:
        return True
    if getattr(wanted_base, "_is_protocol", False) and wanted_base.__module__ not in _ABSTRACT:
        return True
    if is_typeddict(wanted_base):
        return is_typeddict(base) or base in (dict, Mapping)
    if is_typeddict(base):
        return issubclass(dict, wanted_base)
    if wanted_base in _PROMOTED.get(base, ()):
        return True
    try:
        if not issubclass(base, wanted_base):
            return False
    except TypeError:
        return True
    if not given or not wanted:
        return True
    if base is tuple:
        return _tuple_fits(given, wanted_base, wanted)
    if base is wanted_base or (_is_builtin(base) and _is_builtin(wanted_base)):
        return all(map(assignable, given, wanted))  # dict[K, V] to Iterable[K]: the shorter decides
    return True


def _tuple_fits(given: tuple[Any, ...], base: Any, wanted: tuple[Any, ...]) -> bool:
    endless = len(given) == 2 and given[1] is Ellipsis
    items = given[:1] if endless else given
    if base is not tuple or (len(wanted) == 2 and wanted[1] is Ellipsis):
        return all(assignable(item, wanted[0]) for item in items)
    return not endless and len(given) == len(wanted) and all(map(assignable, given, wanted))


def _all_fit(values: tuple[Any, ...], target: Any) -> bool:
    return bool(values) and all(_literal_fits(value, target) for value in values)


def _literal_fits(value: Any, target: Any) -> bool:
    target = plain(target)
    if is_union(target):
        return any(_literal_fits(value, member) for member in get_args(target))
    if get_origin(target) is Literal:
        return any(type(value) is type(other) and value == other for other in get_args(target))
    return assignable(type(value), target)


def _values(annotation: Any) -> tuple[Any, ...]:
    """The values of a type that has few: bool and enums."""
    if annotation is bool:
        return True, False
    return tuple(annotation) if isclass(annotation) and issubclass(annotation, Enum) else ()


def _parts(annotation: Any) -> tuple[Any, tuple[Any, ...]]:
    """The class and the arguments of an annotation; the class is None where there is none."""
    origin = _origin(annotation)
    if origin is not None:
        return origin, annotation.__pydantic_generic_metadata__["args"]
    base = get_origin(annotation) or annotation
    return (base, get_args(annotation)) if isclass(base) else (None, ())


def _origin(annotation: Any) -> Any:
    """`Page` of the class that pydantic makes for `Page[Doc]`; else None.

    What a checker takes for a `Page[Doc]` is often a plain `Page(...)` at run time.
    """
    generic = getattr(annotation, "__pydantic_generic_metadata__", None)
    return generic["origin"] if generic else None


def plain(annotation: Any) -> Any:
    """The annotation without `Annotated` or the name of an alias, and with None as its class."""
    while True:
        if annotation is None:
            return NoneType
        if get_origin(annotation) is Annotated:
            annotation = get_args(annotation)[0]
        elif hasattr(annotation, "__value__"):  # a `type X = ...` alias, whichever module made it
            annotation = annotation.__value__
        else:
            return annotation


def _unknown(annotation: Any) -> bool:
    return annotation is Any or isinstance(annotation, TypeVar)


def is_union(annotation: Any) -> bool:
    """Whether the annotation is `A | B`, as it is written: not behind an alias."""
    return get_origin(annotation) in (Union, UnionType)


def _is_builtin(base: type) -> bool:
    return base.__module__ in _ABSTRACT


def _members(annotation: Any) -> tuple[Any, ...]:
    """What a value may be: `Any`, classes to test by, or annotations that take a look inside."""
    if isinstance(annotation, NewType):
        return _members(annotation.__supertype__)
    if hasattr(annotation, "__value__"):
        return _members(annotation.__value__)
    if is_union(annotation):
        return tuple(dict.fromkeys(m for arg in get_args(annotation) for m in _members(arg)))
    if isinstance(annotation, TypeVar):
        return _members(annotation.__bound__ or Any)
    if annotation is None or annotation is Any or annotation is object:
        return (NoneType,) if annotation is None else (Any,)
    if getattr(annotation, "_is_protocol", False) and not _testable(annotation):
        return (Any,)
    if get_args(annotation) or not isclass(annotation) or is_typeddict(annotation):
        return (_Deep(annotation),)
    return (annotation,)


def _is_open(base: type[Any]) -> bool:
    """Whether values come back as their own class although a base of it is named: enums, dates."""
    return not (issubclass(base, BaseModel) or is_dataclass(base))


def _testable(protocol: Any) -> bool:
    return getattr(protocol, "_is_runtime_protocol", False) or protocol.__module__ in _ABSTRACT


class _Deep:
    """Marks an annotation that a value must be looked into for."""

    def __init__(self, annotation: Any) -> None:
        self.annotation = annotation


def _adapter(annotation: Any) -> Callable[[Any], Any]:
    by_instance = _by_instance(annotation)
    for config in (ConfigDict(arbitrary_types_allowed=True), None):
        try:
            adapter = TypeAdapter[Any](by_instance, config=config)
        except (PydanticUserError, PydanticUndefinedAnnotation):
            continue
        if adapter.pydantic_complete:
            return lambda value: adapter.validate_python(value, strict=True)
    return _instance_test(annotation)


def _by_instance(annotation: Any) -> Any:
    """The annotation with models and dataclasses in it taken by instance, not by their fields.

    Pydantic's strict mode would make a model of a dict, and would need each field's type.
    """
    arguments = get_args(annotation)
    if is_union(annotation):
        return Union[tuple(map(_by_instance, arguments))]  # noqa: UP007 (built, not written)
    if get_origin(annotation) is Annotated:
        return Annotated[(_by_instance(arguments[0]), *arguments[1:])]
    if isinstance(annotation, GenericAlias):
        return GenericAlias(get_origin(annotation), tuple(map(_by_instance, arguments)))
    if isclass(annotation) and (issubclass(annotation, BaseModel) or is_dataclass(annotation)):
        return Annotated[Any, _Instance(_origin(annotation) or annotation)]
    return annotation


@dataclass(frozen=True, slots=True)
class _Instance:
    """Tells pydantic to test by isinstance."""

    kind: type

    def __get_pydantic_core_schema__(self, _source: Any, _handler: Any) -> CoreSchema:
        return is_instance_schema(self.kind)


def _instance_test(annotation: Any) -> Callable[[Any], Any]:
    """For what pydantic can't describe: an instance of the outer class will do."""
    base = _parts(plain(annotation))[0] or object
    if is_typeddict(base):
        base = dict

    def test(value: Any) -> Any:
        if not isinstance(value, base):
            raise TypeError
        return value

    return test


def _name(annotation: Any) -> str:
    """Readable, and the same for equal annotations, however their members are ordered."""
    if annotation is None or annotation is NoneType:
        return "None"
    if annotation is Ellipsis:
        return "..."
    if get_origin(annotation) is Annotated:
        return _name(get_args(annotation)[0])
    if is_union(annotation):
        names = sorted(map(_name, get_args(annotation)), key=lambda name: (name == "None", name))
        return " | ".join(names)
    if get_origin(annotation) is Literal:
        return f"Literal[{', '.join(sorted(map(repr, get_args(annotation))))}]"
    if issubclass(type(annotation), list):  # the parameters of a Callable
        return f"[{', '.join(map(_name, annotation))}]"
    arguments = get_args(annotation)
    if arguments:
        return f"{_name(get_origin(annotation))}[{', '.join(map(_name, arguments))}]"
    name = getattr(annotation, "__name__", None)
    return name if isinstance(name, str) else str(annotation).removeprefix("typing.")


@lru_cache(maxsize=4096)
def _contract(annotation: Any) -> Contract:
    return Contract(annotation)


_SCALARS: Final = frozenset({bool, bytes, complex, float, int, NoneType, str})
_PROMOTED: Final[Mapping[Any, tuple[type, ...]]] = {
    bool: (float, complex),
    int: (float, complex),
    float: (complex,),
}
_ABSTRACT: Final = frozenset({"builtins", "collections", "collections.abc", "typing"})
