"""Spend: what an attempt used, checked and priced where it is booked."""

from __future__ import annotations

from datetime import timedelta
from fractions import Fraction
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Any, Final, NamedTuple, NoReturn, Protocol, TypeAlias, cast

from ._errors import DefinitionError, NonRetryable, PenstockError
from ._money import NANOS_MAX, Money, cost, exact
from ._money import nanos as nano_dollars
from ._prices import TOKENS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from decimal import Decimal

    from ._prices import Kind, Rates, Snapshot, Tariff

Number: TypeAlias = "float | Decimal | str"

RESOURCES: Final = frozenset(
    {
        "input",
        "cached",
        "cache_write",
        "output",
        "request",
        "retrieval",
        "tool",
        "gpu_seconds",
        "gpu_gib_seconds",
        "human_minutes",
        "context",
    }
)
"""The resources that have a meaning of their own; others are the user's."""


class SpendLine(NamedTuple):
    """One quantity of one resource: what is journaled.

    Attributes:
        resource: one of `RESOURCES`, or the user's own. A line of "context" says by how much it has
            grown, so that an attempt's largest one is their sum; it costs nothing.
        name: of the model, tool, role and so on; empty for an amount of the user's own.
        units: tokens, calls or units. Seconds, GiB-seconds and minutes are in millionths. Of an
            amount of the user's own it is 1.
        nanos: what they cost in nano-dollars; None if they have no price.
        mode: such as "batch"; empty for the usual one.
        rate: digest of the snapshot that the amount is computed from; empty if there is none.
    """

    resource: str
    name: str
    units: int
    nanos: int | None
    mode: str
    rate: str


class Teller(Protocol):
    """Where spend is booked, and what it is priced with: a context's host, or a desk of people."""

    @property
    def rates(self) -> Rates:
        """What it is priced with."""
        ...

    def spend(self, attempt: int, lines: Sequence[SpendLine], /) -> None:
        """One entry of what was used, priced; from any thread."""
        ...

    def now(self) -> float:
        """Seconds since 1970."""
        ...


class SpendRefused(DefinitionError, NonRetryable):
    """What was booked can't be meant, or has no price.

    It is not retried: the work is done, and doing it again would be paid for again.
    """


class Spend:
    """Books what an attempt uses: `ctx.spend`. Each call is one entry, and thread-safe.

    What has no price is refused, unless `unpriced=True` or `PriceBook(unknown="unpriced")` says to
    book the quantity without an amount. A refused call books nothing.

    >>> import penstock as ps
    >>> book = ps.PriceBook(rates={"models": {"gpt-5": {"input": 1.25, "output": 10}}})
    >>> ctx = ps.testing.context(prices=book)
    >>> ctx.spend.tokens("gpt-5", input=1_000, output=200)
    >>> [(line.resource, line.units, line.nanos) for line in ctx.spend.lines]
    [('input', 1000, 1250000), ('output', 200, 2000000)]
    """

    __slots__ = ("_host", "_key", "_lines", "_peak", "_rates", "_taken")

    def __init__(self, host: Teller, key: int) -> None:
        self._host = host
        self._key = key
        self._rates = host.rates
        self._lines: list[SpendLine] = []
        self._taken: list[tuple[Tariff, int, int, int, int]] = []
        self._peak = 0

    @property
    def lines(self) -> tuple[SpendLine, ...]:
        """What this attempt has booked so far."""
        return tuple(self._told())

    def tokens(
        self,
        model: str,
        *,
        input: int = 0,  # noqa: A002
        output: int = 0,
        cached: int = 0,
        cache_write: int = 0,
        mode: str | None = None,
        unpriced: bool = False,
    ) -> None:
        """Book one request to a model. Call it once per request: prices may hang on its size.

        Args:
            model: as the price book or the provider names it.
            input: all tokens that were sent, `cached` and `cache_write` among them.
            output: tokens that came back.
            cached: input tokens that were read from a cache.
            cache_write: input tokens that were written to one.
            mode: such as "batch" or "flex"; None for the usual one.
            unpriced: whether to book it without an amount if it has no price.

        Raises:
            DefinitionError: a number can't be meant, or there is no price.
        """
        # The straight way first, as services do this for every request.
        try:
            take, since, until, tariff = self._rates.tariffs[model, mode]
        except (KeyError, TypeError):  # what is no string is told below
            pass
        else:
            if since is None or since <= self._host.now() < until:
                try:
                    known = take(self._key, input, cached, cache_write, output)
                except OverflowError as error:
                    refuse_sum(error)
                if known:
                    self._taken.append((tariff, input, cached, cache_write, output))
                    return
                if known is False:
                    refuse_late()
        if not (
            type(input) is type(output) is type(cached) is type(cache_write) is int
            and cached >= 0
            and cache_write >= 0
            and cached + cache_write <= input <= NANOS_MAX
            and 0 <= output <= NANOS_MAX
        ):
            _refuse_tokens(input, output, cached, cache_write)
        mode = mode or ""
        _name(model, "model")
        at = self._host.now()
        try:
            rate = self._rates.resolved.get(("model", model, mode))
        except TypeError:  # one of them is no string, and can't be looked up
            _name(model, "model")
            _mode(mode)
            raise
        if rate is None or not rate.since <= at < rate.until:
            rate = self._rates.find("model", _name(model, "model"), at, _mode(mode))
        tiers = rate.tiers
        snapshot = None if not tiers else tiers[0] if len(tiers) == 1 else rate.tier(input)
        used: tuple[tuple[str, int], ...] = (
            ("input", input - cached - cache_write),
            ("cached", cached),
            ("cache_write", cache_write),
            ("output", output),
        )
        if snapshot is not None and "request" in snapshot.prices:
            used = (*used, ("request", 1))
        self._book(self._lines_of(model, used, snapshot, mode, unpriced))
        self._rates.tariff(model, mode, rate)

    def retrieval(self, n: int = 1, name: str | None = None, *, unpriced: bool = False) -> None:
        """Book retrievals, from an index of that name or from the "default" one.

        Raises:
            DefinitionError: a number can't be meant, or there is no price.
        """
        self._simple("retrieval", "retrieval", name or "default", _count(n, "n"), unpriced)

    def tool(self, name: str, calls: int = 1, *, unpriced: bool = False) -> None:
        """Book calls of a tool.

        Raises:
            DefinitionError: a number can't be meant, or there is no price.
        """
        self._simple("tool", "tool", name, _count(calls, "calls"), unpriced)

    def gpu(
        self,
        seconds: Number | timedelta,
        gib: Number = 0.0,
        name: str | None = None,
        *,
        unpriced: bool = False,
    ) -> None:
        """Book the time of a GPU of that name, or of the "default" one.

        Args:
            seconds: how long it was held.
            gib: how much of its memory, in GiB: booked as GiB-seconds. 0 books none.
            name: as the price book names it.
            unpriced: whether to book it without an amount if it has no price.

        Raises:
            DefinitionError: a number can't be meant, or there is no price.
        """
        held = _amount(seconds, "seconds")
        used = held * _amount(gib, "gib")
        name = _name(name or "default", "gpu")
        snapshot = self._find("gpu", name)
        counts = (
            ("gpu_seconds", _millionths(held, "seconds")),
            ("gpu_gib_seconds", _millionths(used, "GiB-seconds")),
        )
        self._book(self._lines_of(name, counts, snapshot, "", unpriced))

    def human(self, minutes: Number, role: str, *, unpriced: bool = False) -> None:
        """Book the minutes of a person.

        Raises:
            DefinitionError: a number can't be meant, or there is no price.
        """
        units = _millionths(_amount(minutes, "minutes"), "minutes")
        self._simple("human", "human_minutes", role, units, unpriced)

    def units(self, resource: str, count: int = 1, *, unpriced: bool = False) -> None:
        """Book units of a resource of one's own, priced by `resources` of the price book.

        Raises:
            DefinitionError: a number can't be meant, or there is no price.
        """
        self._simple("resource", _own(resource), resource, _count(count, "count"), unpriced)

    def usd(self, amount: Money, resource: str) -> None:
        """Book an amount that is known already, such as one that a provider tells.

        Args:
            amount: dollars; what is finer than a nano-dollar is rounded, a half to the even one.
            resource: a name of one's own for what was bought.

        Raises:
            DefinitionError: the amount or the name can't be meant.
        """
        try:
            dollars = nano_dollars(amount, "amount")
        except DefinitionError as error:
            raise SpendRefused(error.what, remedy=error.remedy) from None
        self._book([SpendLine(_own(resource), "", 1, dollars, "", "")])

    def context(self, tokens: int) -> None:
        """Say how large a context was; the largest one of the attempt counts.

        Raises:
            DefinitionError: the number can't be meant.
        """
        _count(tokens, "tokens")
        with _PEAKS:
            grown = tokens - self._peak
            if grown > 0:
                self._book([SpendLine("context", "", grown, 0, "", "")])
                self._peak = tokens

    def _told(self) -> list[SpendLine]:
        """The lines so far, in their order."""
        for tariff, sent, cached, cache_write, output in self._taken:
            counts = (sent - cached - cache_write, cached, cache_write, output)
            self._lines += _lines_of_tariff(tariff, counts)
        self._taken.clear()
        return self._lines

    def _simple(self, kind: Kind, resource: str, name: str, units: int, unpriced: bool) -> None:  # noqa: FBT001
        snapshot = self._find(kind, _name(name, kind))
        self._book(self._lines_of(name, ((resource, units),), snapshot, "", unpriced))

    def _find(self, kind: Kind, name: str) -> Snapshot | None:
        tiers = self._rates.find(kind, name, self._host.now()).tiers
        return tiers[0] if tiers else None

    def _lines_of(
        self,
        name: str,
        used: Iterable[tuple[str, int]],
        snapshot: Snapshot | None,
        mode: str,
        unpriced: bool,  # noqa: FBT001
    ) -> list[SpendLine]:
        """A line for each resource that was used."""
        lines: list[SpendLine] = []
        for resource, units in used:
            if not units:
                continue
            price = snapshot.prices.get(resource) if snapshot is not None else None
            if snapshot is None or price is None:
                if not unpriced and self._rates.unknown == "refuse":
                    _refuse_unknown(resource, name, mode, known=snapshot is not None)
                lines.append(SpendLine(resource, name, units, None, mode, ""))
                continue
            # `_money.cost`, written out as this is done for every line.
            rate, per = price
            nanos, rest = divmod(units * rate, per)
            rest += rest
            if rest > per or (rest == per and nanos & 1):
                nanos += 1
            if nanos > NANOS_MAX:
                _refuse(f"{units} of {resource!r} cost {nanos} nano-dollars", "book smaller parts")
            lines.append(_line((resource, name, units, nanos, mode, snapshot.digest)))
        return lines

    def _book(self, lines: Sequence[SpendLine]) -> None:
        if lines:
            self._host.spend(self._key, lines)
            self._told().extend(lines)

    def __repr__(self) -> str:
        return f"<Spend of {len(self._told())} lines>"


def _lines_of_tariff(tariff: Tariff, counts: Sequence[int]) -> Iterator[SpendLine]:
    """What was booked by a tariff, as lines."""
    snapshot = tariff.snapshot
    for resource, units, (_, price, per) in zip(TOKENS, counts, tariff.parts, strict=True):
        if units:
            nanos = cost(units, price, per)
            yield SpendLine(resource, snapshot.name, units, nanos, snapshot.mode, snapshot.digest)


def _count(value: object, name: str) -> int:
    if type(value) is not int or not 0 <= value <= NANOS_MAX:
        _refuse(f"{name} is {value!r}", "give a whole number from 0")
    return value


def _amount(value: object, name: str) -> Fraction:
    if isinstance(value, timedelta):
        if value < timedelta(0):
            _refuse(f"{name} is {value!r}", "give 0 or more")
        return Fraction(value // timedelta(microseconds=1), 10**6)
    try:
        return exact(value, name, remedy="give a number, 0 or more and finite")
    except DefinitionError as error:
        raise SpendRefused(error.what, remedy=error.remedy) from None


def _millionths(value: Fraction, name: str) -> int:
    units = round(value * 10**6)
    if units > NANOS_MAX:
        _refuse(f"{name} is {float(value)!r}", "book it in smaller parts")
    return units


def _name(value: object, kind: str) -> str:
    if not isinstance(value, str) or not value.strip():
        _refuse(f"the name of the {kind} is {value!r}", "give a string that is not empty")
    return value


def _mode(value: object) -> str:
    if not isinstance(value, str):
        _refuse(f"mode is {value!r}", 'give a string, such as "batch", or leave it out')
    return value


def _own(resource: object) -> str:
    name = _name(resource, "resource")
    if name in RESOURCES:
        _refuse(
            f"resource is {name!r}, which is counted by the methods of ctx.spend",
            "give it a name of your own",
        )
    return name


def _refuse_tokens(sent: object, output: object, cached: object, cache_write: object) -> NoReturn:
    _count(sent, "input")
    _count(output, "output")
    _count(cached, "cached")
    _count(cache_write, "cache_write")
    _refuse(
        f"cached ({cached}) and cache_write ({cache_write}) are more than input ({sent})",
        "give input with both of them in it",
    )


def _refuse_unknown(resource: str, name: str, mode: str, *, known: bool) -> NoReturn:
    of = f"in mode {mode!r} " if mode else ""
    what = f"{resource!r} of {name!r} has no price {of}" if known else f"{name!r} has no price {of}"
    section = _SECTIONS.get(resource, "resources")
    _refuse(
        what.rstrip() + f", so that {resource} can't be booked" * (not known),
        f"give it one in PriceBook(rates={{{section!r}: ...}}), or say unpriced=True",
    )


def refuse_late() -> NoReturn:
    """Refuse what is booked for an attempt that is over."""
    raise PenstockError(
        "the attempt has ended, so that nothing can be booked for it",
        remedy="book before the step returns, and wait for what it has started",
    )


def refuse_sum(error: OverflowError) -> NoReturn:
    """Refuse what no total can hold."""
    raise SpendRefused(f"spend: {error}", remedy="book smaller parts") from None


def _refuse(what: str, remedy: str) -> NoReturn:
    raise SpendRefused(f"spend: {what}", remedy=remedy)


_PEAKS: Final = Lock()
_line: Final[Callable[[tuple[object, ...]], SpendLine]] = partial(
    cast("Any", tuple).__new__, SpendLine
)
_SECTIONS: Final = {
    **dict.fromkeys(("input", "cached", "cache_write", "output", "request"), "models"),
    "retrieval": "retrieval",
    "tool": "tools",
    "gpu_seconds": "gpu",
    "gpu_gib_seconds": "gpu",
    "human_minutes": "humans",
}
