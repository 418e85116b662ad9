"""Terms: what a success of a workflow is worth, and what takes a release of it back.

They are part of a version, and of its interface; not of its graph, so that changing them strands no
run.
"""

from __future__ import annotations

import json
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from typing import Any, Final, Protocol, runtime_checkable

from ._errors import DefinitionError


@runtime_checkable
class Criteria(Protocol):
    """What takes a release back, as far as a workflow looks at it: something JSON can have."""

    def to_json(self) -> str:
        """All of it as JSON."""
        ...


def worth(value: object, name: str) -> int:
    """A sum of US dollars as whole nano-dollars, half of one to the even side.

    Args:
        value: an int, a float (as it is written) or a Decimal; more than 0.
        name: what it is; opens the error message.

    Raises:
        DefinitionError: it is none, not finite, not more than 0, or more than a store can count.
    """
    remedy = "give dollars as a finite number above 0, such as 1.20"
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise DefinitionError(f"{name} is {value!r}", remedy=remedy)
    try:
        exact = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
        nano = int((exact * _NANO).to_integral_value(ROUND_HALF_EVEN))
    except (InvalidOperation, OverflowError, ValueError):
        raise DefinitionError(f"{name} is {value!r}", remedy=remedy) from None
    if not 0 < nano < 2**63:
        raise DefinitionError(f"{name} is {value!r}", remedy=remedy)
    return nano


def dollars(nano: int) -> str:
    """Nano-dollars as people write them: "$1.20", "$0.0035"."""
    whole, rest = divmod(nano, 10**9)
    cents = f"{rest:09}".rstrip("0").ljust(2, "0")
    return f"${whole:,}.{cents}"


def checked_criteria(value: object, name: str) -> Criteria:
    """Check that `value` can be kept as JSON, and return it.

    Raises:
        DefinitionError: it can't.
    """
    remedy = "give the criteria of a release, which have to_json()"
    if not isinstance(value, Criteria):
        raise DefinitionError(f"{name} is {value!r}", remedy=remedy)
    try:
        json.loads(value.to_json())
    except (TypeError, ValueError) as error:
        raise DefinitionError(f"{name} gives no JSON: {error}", remedy=remedy) from None
    return value


def plain_criteria(criteria: Criteria | None) -> Any:
    """The criteria as plain data; None for none."""
    return None if criteria is None else json.loads(criteria.to_json())


_NANO: Final = Decimal(10**9)
