"""Money: US dollars as whole nano-dollars, and what a number of units costs. Nothing is a float.

A nano-dollar is 10^-9 of a dollar. Amounts fit into 64 bits (9.2 thousand million dollars): what
does not is an error, and never wraps.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Context, Decimal, InvalidOperation
from fractions import Fraction
from typing import Final, TypeAlias

from ._errors import DefinitionError

NANOS_MAX: Final = 2**63 - 1


@dataclass(frozen=True, slots=True, order=True, repr=False)
class Usd:
    """An amount of US dollars, exact.

    Attributes:
        nanos: the amount in nano-dollars.
    """

    nanos: int

    @property
    def text(self) -> str:
        """The dollars as a plain decimal number, without trailing zeros."""
        whole, part = divmod(self.nanos, 10**9)
        return f"{whole}.{part:09d}".rstrip("0").rstrip(".")

    def __repr__(self) -> str:
        return f"usd({self.text!r})"

    def __str__(self) -> str:
        whole, _, part = self.text.partition(".")
        return f"${int(whole):,}.{part:0<2}"


Money: TypeAlias = Usd | Decimal | float | str
"""An amount of dollars as it may be given; an int is a float here."""


def usd(amount: Money) -> Usd:
    """An amount of US dollars, such as what a success is worth.

    Args:
        amount: dollars, 0 or more; a float counts as the decimal number it is written as. What is
            finer than a nano-dollar is rounded, a half to the even one.

    Raises:
        DefinitionError: no number, negative, not finite, or too large.

    >>> import penstock as ps
    >>> ps.usd(1.20), str(ps.usd("0.0000025"))
    (usd('1.2'), '$0.0000025')
    """
    return dollars(amount, "usd")


def dollars(value: object, name: str) -> Usd:
    """Check that `value` is what `usd` takes, and return it as an amount.

    Args:
        value: what is checked.
        name: what it is; opens the error message.

    Raises:
        DefinitionError: it is not.
    """
    return value if isinstance(value, Usd) else Usd(nanos(value, name))


def nanos(value: object, name: str) -> int:
    """Convert dollars to nano-dollars.

    Args:
        value: what `usd` takes.
        name: what it is; opens the error message.

    Raises:
        DefinitionError: no number, negative, not finite, or too large.
    """
    if isinstance(value, Usd):
        return value.nanos
    number = _checked(value, name, _DOLLARS)
    amount = int(number.scaleb(9, _EXACT).to_integral_value(ROUND_HALF_EVEN, _EXACT))
    if amount > NANOS_MAX:
        raise DefinitionError(f"{name} is {value!r}", remedy="give at most 9,223,372,036 dollars")
    return amount


def exact(value: object, name: str, *, remedy: str) -> Fraction:
    """A number that is not negative, exactly as it is written.

    Args:
        value: an int, a Decimal, a float or a str with a decimal number in it.
        name: what it is; opens the error message.
        remedy: what to give instead.

    Raises:
        DefinitionError: it is none of these, negative or not finite, or of more than 60 places.
    """
    return Fraction(_checked(value, name, remedy))


def cost(units: int, rate: int, per: int) -> int:
    """What `units` cost at `rate` nano-dollars for `per` units; a half goes to the even one.

    >>> cost(3, 500_000, 1_000_000), cost(5, 500_000, 1_000_000)
    (2, 2)
    """
    amount, rest = divmod(units * rate, per)
    return amount + (2 * rest > per or (2 * rest == per and amount & 1))


def total(amounts: Iterable[int]) -> int:
    """The sum of amounts in nano-dollars.

    Raises:
        OverflowError: it does not fit into 64 bits.
    """
    found = sum(amounts)
    if not -NANOS_MAX - 1 <= found <= NANOS_MAX:
        raise OverflowError(f"a total of {found} nano-dollars does not fit into 64 bits")
    return found


def decimal_text(value: Fraction) -> str:
    """A number of finitely many places, as `exact` gives it, in one way only: "1.25"."""
    places = 0
    while value.denominator > 1:
        value *= 10
        places += 1
    digits = str(value.numerator).rjust(places + 1, "0")
    return f"{digits[:-places]}.{digits[-places:]}" if places else digits


def _checked(value: object, name: str, remedy: str) -> Decimal:
    number = _decimal(value)
    if number is None or not number.is_finite() or (number.is_signed() and number):
        raise DefinitionError(f"{name} is {value!r}", remedy=remedy)
    digits, exponent = number.as_tuple()[1:]
    # The powers of ten that it takes must not fill the memory.
    if number and not (-60 <= int(exponent) <= 60 and len(digits) <= 60):
        raise DefinitionError(f"{name} is {value!r}", remedy="give fewer places")
    return number or Decimal(0)


def _decimal(value: object) -> Decimal | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, float):
        return Decimal(float.__repr__(value))  # a subclass may write itself in another way
    if isinstance(value, Decimal | int):
        return Decimal(value)
    try:
        return Decimal(value) if isinstance(value, str) else None
    except InvalidOperation:
        return None


_EXACT: Final = Context(prec=200)
_DOLLARS: Final = "give US dollars as a number, 0 or more and finite"
