"""Reads: what the code of a step reaches beside its inputs: settings, and state that it shares.

It looks at the names in the function's own code, not into what that calls.
"""

from __future__ import annotations

import dis
import inspect
from collections.abc import Callable, Iterator
from functools import partial
from types import CodeType, FunctionType, ModuleType
from typing import Any, Final

from ._settings import Setting


def settings_read(function: Callable[..., Any]) -> list[Setting[Any]]:
    """The settings that a function names, in the order of its code."""
    found: dict[Setting[Any], None] = {}
    for _, value in _named(function):
        if isinstance(value, Setting):
            found[value] = None
    return list(found)


def state_shared(function: Callable[..., Any]) -> list[str]:
    """What a function shares with other attempts, each in words."""
    found: dict[str, None] = {}
    for name, value in _named(function):
        kind = next((each.__name__ for each in _CHANGEABLE if isinstance(value, each)), None)
        if kind is not None:
            found[f"uses {name}, a {kind} that others see as well"] = None
    plain = _plain(function)
    if plain is not None:
        for part in _codes(plain.__code__):
            for step in dis.get_instructions(part):
                if step.opname == "STORE_GLOBAL":
                    found[f"assigns {step.argval} of its module"] = None
    return list(found)


def _named(function: Callable[..., Any]) -> Iterator[tuple[str, Any]]:
    """What the names in a function's code stand for, with attributes of modules and classes."""
    plain = _plain(function)
    if plain is None:
        return
    cells = _cells(plain)
    for part in _codes(plain.__code__):
        name, value, known = "", None, False
        for step in dis.get_instructions(part):
            if step.opname in _LOADS:
                name = str(step.argval)
                scope = plain.__globals__ if step.opname in _GLOBALS else cells
                known, value = name in scope, scope.get(name)
            elif step.opname in _ATTRIBUTES and known and isinstance(value, ModuleType | type):
                name = f"{name}.{step.argval}"
                known, value = hasattr(value, step.argval), getattr(value, step.argval, None)
            elif step.opname not in _BETWEEN:
                known = False
            if known and step.opname not in _BETWEEN:
                yield name, value


def _plain(function: Any) -> FunctionType | None:
    """The function in what was given; None if it is none that has code."""
    while isinstance(function, partial):
        function = function.func
    function = inspect.unwrap(getattr(function, "__func__", function))
    return function if isinstance(function, FunctionType) else None


def _cells(function: FunctionType) -> dict[str, object]:
    """What a function has of those around it."""
    cells: dict[str, object] = {}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            cells[name] = cell.cell_contents
        except ValueError:  # not assigned yet
            continue
    return cells


def _codes(code: CodeType) -> Iterator[CodeType]:
    """A function's code, and that of the functions in it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


_CHANGEABLE: Final = (list, dict, set, bytearray)
_GLOBALS: Final = frozenset({"LOAD_GLOBAL", "LOAD_NAME"})
_LOADS: Final = _GLOBALS | {"LOAD_DEREF", "LOAD_CLASSDEREF"}
_ATTRIBUTES: Final = frozenset({"LOAD_ATTR", "LOAD_METHOD"})
_BETWEEN: Final = frozenset({"CACHE", "PUSH_NULL", "PRECALL", "EXTENDED_ARG"})
