"""Checks: what the values of policies and options have to be, and what is said if they are not.

Seconds become floats here and nowhere else (`seconds`), so that every other module has the proof
that they are finite and not negative.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from math import inf, isfinite
from sys import float_info
from typing import TypeAlias, TypeVar

from penstock._errors import DefinitionError

Seconds: TypeAlias = float | timedelta
T = TypeVar("T")


def seconds(value: object, name: str, *, zero: bool = False) -> float:
    """Convert a duration to float seconds.

    Args:
        value: an int, a float or a timedelta.
        name: what the duration is for; opens the error message.
        zero: whether 0 is a duration too.

    Raises:
        DefinitionError: not a duration, not finite, negative, or 0 without `zero`.
    """
    if isinstance(value, timedelta):
        duration = value.total_seconds()
    elif isinstance(value, int | float) and not isinstance(value, bool):
        duration = float(value) if abs(value) <= float_info.max else inf
    else:
        raise DefinitionError(
            f"{name} is {value!r}", remedy="give seconds as a number or a timedelta"
        )
    if not isfinite(duration) or duration < 0 or (duration == 0 and not zero):
        least = "0 or more" if zero else "more than 0"
        raise DefinitionError(f"{name} is {value!r}", remedy=f"give {least} seconds, finite")
    return abs(duration)  # -0.0 is written in another way than 0.0


def whole(value: object, name: str, *, least: int = 1, most: int = 2**32 - 1) -> int:
    """Check that `value` is an int (a bool is none) from `least` to `most`, and return it.

    Raises:
        DefinitionError: it is not.
    """
    if type(value) is not int or not least <= value <= most:
        raise DefinitionError(
            f"{name} is {value!r}", remedy=f"give a whole number from {least} to {most}"
        )
    return value


def number(
    value: object,
    name: str,
    *,
    least: float = -inf,
    above: float = -inf,
    most: float = inf,
    below: float = inf,
    remedy: str | None = None,
) -> float:
    """Check that `value` is a finite number (a bool is none), and return it as a float.

    Args:
        value: an int or a float.
        name: what it is; opens the error message.
        least: what it may be and nothing less; or give `above`.
        above: what it has to be more than.
        most: what it may be and nothing more; or give `below`.
        below: what it has to be less than.
        remedy: in place of the range.

    Raises:
        DefinitionError: it is not.
    """
    if (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and abs(value) <= float_info.max
        and least <= value <= most
        and above < value < below
    ):
        return float(value) + 0.0  # -0.0 is written in another way than 0.0
    raise DefinitionError(
        f"{name} is {value!r}", remedy=remedy or f"give {_range(least, above, most, below)}"
    )


def word(value: object, name: str) -> str:
    """Check that `value` is a string with something in it, and return it.

    Raises:
        DefinitionError: it is not.
    """
    if not isinstance(value, str) or not value.strip():
        raise DefinitionError(f"{name} is {value!r}", remedy="give a string that is not empty")
    return value


def one_of(value: T, name: str, known: Sequence[str]) -> T:
    """Check that `value` is one of the words, and return it.

    Raises:
        DefinitionError: it is not.
    """
    if not isinstance(value, str) or value not in known:
        *others, last = map(repr, known)
        told = f"{', '.join(others)} or {last}" if others else last
        raise DefinitionError(f"{name} is {value!r}", remedy=f"give {told}")
    return value


def instance(value: object, name: str, kind: type[T], remedy: str) -> T:
    """Check that `value` is of a type, and return it.

    Raises:
        DefinitionError: it is not.
    """
    if not isinstance(value, kind):
        raise DefinitionError(f"{name} is {value!r}", remedy=remedy)
    return value


def _range(least: float, above: float, most: float, below: float) -> str:
    """A range in words: "a number from 0 to below 1", "a finite number above 0"."""
    low = f" from {least:g}" if least > -inf else f" above {above:g}" if above > -inf else ""
    comma = "," if above > -inf else " to" if low else ""
    if most < inf:
        return f"a number{low}{comma} {'at most ' if above > -inf else ''}{most:g}"
    return f"a number{low}{comma} below {below:g}" if below < inf else f"a finite number{low}"
