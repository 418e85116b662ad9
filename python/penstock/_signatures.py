"""Signatures: what a function's parameters and annotations say, and what is wrong with them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from inspect import Parameter
from typing import Any, Literal, TypeAlias, get_type_hints

from ._context import Context
from ._contracts import Contract
from ._errors import DefinitionError

Side: TypeAlias = Literal["first", "last"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """What a step takes and gives.

    Attributes:
        inputs: name and contract of each input, without the context.
        variadic: the one input is `*parents` and takes any number of nodes.
        takes_context: where the `Context` goes, or None.
        contract: of the value it returns.
    """

    inputs: tuple[tuple[str, Contract], ...]
    variadic: bool
    takes_context: Side | None
    contract: Contract


def step_signature(function: Callable[..., object], subject: str) -> Signature:
    """Read the signature of a step's function.

    Raises:
        DefinitionError: it breaks a rule for steps; all that is wrong with it at once.
    """
    hints = annotations_of(function, subject)
    parameters = list(inspect.signature(function).parameters.values())
    problems = [problem for p in parameters for problem in _parameter_problems(p, hints)]
    if "return" not in hints:
        problems.append("its return is not annotated; write '-> ...': it is the step's contract")
    contexts = [i for i, p in enumerate(parameters) if hints.get(p.name) is Context]
    variadic = any(p.kind is Parameter.VAR_POSITIONAL for p in parameters)
    problems += _context_problems(contexts, len(parameters), variadic=variadic)
    inputs = [p for i, p in enumerate(parameters) if i not in contexts]
    if variadic and len(inputs) > 1:
        problems.append("it takes '*' beside other inputs; let '*' be its only input")
    if problems:
        raise DefinitionError.of(subject, problems)
    side: Side | None = None
    if contexts:
        side = "first" if contexts == [0] else "last"
    return Signature(
        inputs=tuple((p.name, Contract.of(hints[p.name])) for p in inputs),
        variadic=variadic,
        takes_context=side,
        contract=Contract.of(hints["return"]),
    )


def annotations_of(function: Callable[..., object], subject: str) -> dict[str, Any]:
    """The annotations of a function, resolved; local names are looked up where it is defined.

    Raises:
        DefinitionError: a name in them is not defined there.
    """
    try:
        return get_type_hints(function, include_extras=True)
    except NameError:
        pass
    except Exception as error:
        raise _unresolved(subject, error) from error
    try:
        return get_type_hints(function, localns=_caller_locals(), include_extras=True)
    except Exception as error:
        raise _unresolved(subject, error) from error


def _unresolved(subject: str, error: Exception) -> DefinitionError:
    return DefinitionError(
        f"{subject}: its annotations can't be resolved: {error}",
        remedy="define or import the name before it, outside of 'if TYPE_CHECKING'",
    )


def _caller_locals() -> dict[str, Any]:
    frame = inspect.currentframe()
    while frame is not None and frame.f_globals.get("__name__", "").startswith(_PACKAGE):
        frame = frame.f_back
    return dict(frame.f_locals) if frame is not None else {}


def _parameter_problems(parameter: Parameter, hints: dict[str, Any]) -> list[str]:
    name, problems = parameter.name, list[str]()
    if parameter.kind is Parameter.KEYWORD_ONLY:
        problems.append(f"parameter {name!r} is keyword-only; move it in front of the '*'")
    if parameter.kind is Parameter.VAR_KEYWORD:
        return [f"it takes '**{name}'; inputs travel by position: name each one, or use '*parents'"]
    if parameter.default is not Parameter.empty:
        problems.append(
            f"parameter {name!r} has a default; remove it, and pass flow.constant(...) or read a "
            "module constant"
        )
    if name not in hints:
        problems.append(f"parameter {name!r} is not annotated; annotate it: it is the edge's type")
    return problems


def _context_problems(contexts: list[int], count: int, *, variadic: bool) -> list[str]:
    if len(contexts) > 1:
        return ["it takes more than one Context; keep one"]
    if variadic and contexts not in ([], [0]):
        return ["its Context stands beside '*'; put it first"]
    if contexts and contexts[0] not in (0, count - 1):
        return ["its Context stands between inputs; put it first or last"]
    return []


_PACKAGE = "penstock."
