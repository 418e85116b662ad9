"""Ledger: books what attempts spend into the engine, and keeps the rates that amounts come from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from . import _engine
from ._errors import DefinitionError
from ._prices import Prices, Rates
from ._spend import SpendLine, SpendRefused, refuse_late, refuse_sum

if TYPE_CHECKING:
    from ._engine import Core
    from ._prices import Take


class Ledger:
    """Where a runtime's attempts book; thread-safe. Booking a line costs a look-up and a crossing.

    Args:
        core: of the runtime.
        prices: what it is priced with.
        stored: whether there is a store that keeps rates.

    Attributes:
        rates: the prices, resolved once for as long as they hold.
    """

    def __init__(self, core: Core, prices: Prices, *, stored: bool) -> None:
        self.rates = Rates(prices)
        self._core = core
        self._stored = stored
        self._numbers: dict[tuple[str, str, str, str], int] = {}
        self.rates.till = self

    def book(self, attempt: int, lines: Sequence[SpendLine]) -> None:
        """Book what an attempt has used; all of it, or nothing.

        Raises:
            PenstockError: the attempt has ended.
            SpendRefused: there are too many names, or totals leave 64 bits.
        """
        booked, tokens = self._numbered(lines)
        try:
            known = self._core.spend(attempt, booked)
        except OverflowError as error:
            refuse_sum(error)
        if not known:
            refuse_late()
        if tokens:
            self._core.used(attempt, min(tokens, _TOKENS_MAX))

    def taker(self, most: int, parts: tuple[tuple[int, int, int], ...]) -> Take:
        """What books tokens at once, by the numbers and prices of a tariff."""
        return _engine.Tariff(self._core, most, parts).book

    def book_on(self, run: int, path: str, lines: Sequence[SpendLine]) -> None:
        """Book what people have used on a node that waits for a signal.

        Raises:
            DefinitionError: it does not wait.
            SpendRefused: as for `book`.
        """
        booked, _ = self._numbered(lines)
        try:
            known = self._core.spend_on(run, path, booked)
        except OverflowError as error:
            raise SpendRefused(f"spend: {error}", remedy="book smaller parts") from None
        if not known:
            raise DefinitionError(f"{path!r} waits for no signal", remedy="send it once it waits")

    def _numbered(
        self, lines: Sequence[SpendLine]
    ) -> tuple[list[tuple[int, int, int | None]], int]:
        """Lines by the numbers of what they are of; and how many tokens they are."""
        numbers, booked, tokens = self._numbers, list[tuple[int, int, int | None]](), 0
        for resource, name, units, nanos, mode, rate in lines:
            number = numbers.get((resource, name, mode, rate))
            if number is None:
                number = self.number(resource, name, mode, rate)
            booked.append((number, units, nanos))
            if resource in _TOKENS:
                tokens += units
        return booked, tokens

    def number(self, resource: str, name: str, mode: str, rate: str) -> int:
        """The number of a resource, given now if it is new; its rate is kept by the store.

        Raises:
            SpendRefused: there are too many.
        """
        known = self._numbers.get((resource, name, mode, rate))
        if known is not None:
            return known
        if len(self._numbers) >= _NAMES_MAX:
            raise SpendRefused(
                f"spend: more than {_NAMES_MAX:,} resources, names, modes and rates",
                remedy="name kinds of things (a model, a tool), not single ones (a request)",
            )
        if rate and self._stored and (snapshot := self.rates.snapshot(rate)) is not None:
            name_of = f"{snapshot.kind}:{snapshot.name}"
            identity = ("rate", name_of, snapshot.mode or "usual", rate)
            self._core.keep_interface(identity, snapshot.to_json())
        number = self._core.resource(resource, name, mode, rate)
        self._numbers[resource, name, mode, rate] = number
        return number


class Desk:
    """Where people's time on a node is booked: what `Spend` speaks to in place of an attempt."""

    def __init__(self, ledger: Ledger, core: Core, path: str) -> None:
        self.rates = ledger.rates
        self._ledger = ledger
        self._core = core
        self._path = path

    def spend(self, run: int, lines: Sequence[SpendLine]) -> None:
        """Book lines on the node."""
        self._ledger.book_on(run, self._path, lines)

    def now(self) -> float:
        """Seconds since 1970."""
        return self._core.now()


_TOKENS: Final = frozenset({"input", "cached", "cache_write", "output"})
_TOKENS_MAX: Final = 2**32 - 1
_NAMES_MAX: Final = 65_536
