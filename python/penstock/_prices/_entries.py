"""Entries: own rates as people write them, checked, in one canonical form, and as rates.

What is read and what is written is the same plain data: by section and name a list of entries, each
from an instant on. Amounts become decimal text, so that 1.25, "1.250" and Decimal("1.25") are one.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from fractions import Fraction
from math import inf
from typing import Any, Final, cast

from penstock._errors import DefinitionError
from penstock._money import NANOS_MAX, decimal_text, exact

from ._rates import MILLION, Kind, Price, Rate, Snapshot, price

Path = tuple[str | int, ...]


class RateError(DefinitionError):
    """A rate is wrong, and this is where.

    Attributes:
        path: the keys that lead to it, and places in lists.
    """

    def __init__(self, path: Path, what: str, *, remedy: str) -> None:
        super().__init__(f"{dotted(path)} {what}" if path else what, remedy=remedy)
        self.path = path


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the rates, such as "tools".

    Attributes:
        kind: what its names are.
        fields: by the key that people write: the resource, and how many units the price is for.
        short: the key that a plain number stands for, or None.
    """

    kind: Kind
    fields: Mapping[str, tuple[str, int]]
    short: str | None = None


@dataclass(frozen=True, slots=True)
class Dated:
    """The tiers of one entry.

    Attributes:
        since: seconds since 1970.
        modes: the tiers by mode.
    """

    since: float
    modes: Mapping[str, tuple[Snapshot, ...]]


SECTIONS: Final[Mapping[str, Section]] = {
    "models": Section(
        "model",
        {
            "input": ("input", MILLION),
            "cached": ("cached", MILLION),
            "cache_write": ("cache_write", MILLION),
            "output": ("output", MILLION),
            "request": ("request", 1),
        },
    ),
    "retrieval": Section("retrieval", {"usd": ("retrieval", 1)}, "usd"),
    "tools": Section("tool", {"usd": ("tool", 1)}, "usd"),
    # Seconds and minutes are counted in millionths.
    "gpu": Section(
        "gpu",
        {
            "second": ("gpu_seconds", MILLION),
            "hour": ("gpu_seconds", 3600 * MILLION),
            "gib_second": ("gpu_gib_seconds", MILLION),
            "gib_hour": ("gpu_gib_seconds", 3600 * MILLION),
        },
        "second",
    ),
    "humans": Section(
        "human",
        {"minute": ("human_minutes", MILLION), "hour": ("human_minutes", 60 * MILLION)},
        "minute",
    ),
    "resources": Section("resource", {"usd": ("", 1)}, "usd"),
}


def read(rates: object, source: str) -> tuple[dict[str, Any], dict[tuple[Kind, str], list[Dated]]]:
    """Own rates in the canonical form, and by kind and name the entries by time.

    Args:
        rates: as people write them.
        source: what snapshots say where they are from.

    Raises:
        RateError: something in it is wrong.
    """
    written: dict[str, Any] = {}
    entries: dict[tuple[Kind, str], list[Dated]] = {}
    for name, names in _table(rates, (), "by section").items():
        section = SECTIONS.get(name)
        if section is None:
            raise RateError((name,), "is no section of rates", remedy=f"give {_names(SECTIONS)}")
        for each, given in _table(names, (name,), "by name").items():
            path: Path = (name, each)
            if not each.strip():
                raise RateError(path, "has no name", remedy="give a name that is not empty")
            forms, dated = _entries(section, each, given, path, source)
            written.setdefault(name, {})[each] = forms
            entries[section.kind, each] = dated
    return written, entries


def rate_at(entries: Sequence[Dated], at: float, mode: str) -> Rate:
    """What holds at an instant; without tiers if nothing does."""
    place = bisect_right(entries, at, key=_since)
    until = entries[place].since if place < len(entries) else inf
    if place == 0:
        return Rate(until=until)
    return Rate(entries[place - 1].modes.get(mode, ()), entries[place - 1].since, until)


def dotted(path: Path) -> str:
    """A path as TOML writes it: `models."gpt-4.1".input`."""
    told = ""
    for key in path:
        if isinstance(key, int):
            told += f"[{key}]"
        else:
            plain = key.replace("-", "").replace("_", "").isalnum() and key.isascii()
            told += f".{key}" if plain else f'."{key}"'
    return told.removeprefix(".")


def _entries(
    section: Section, name: str, given: object, path: Path, source: str
) -> tuple[list[dict[str, Any]], list[Dated]]:
    """The entries of one name, by rising time: as data, and with their snapshots."""
    several = isinstance(given, list | tuple)
    every = cast("Sequence[object]", given) if several else [given]
    found: list[tuple[float, dict[str, Any], Dated]] = []
    for place, one in enumerate(every):
        at: Path = (*path, place) if several else path
        form, dated = _entry(section, name, one, at, source)
        if any(since == dated.since for since, _, _ in found):
            raise RateError(
                (*at, "from") if "from" in form else at,
                "begins when another entry of the name does",
                remedy="give each a `from` of its own; one may have none, and holds before",
            )
        found.append((dated.since, form, dated))
    if not found:
        raise RateError(path, "has no entry", remedy="give one, or take it out")
    found.sort(key=lambda one: one[0])
    return [form for _, form, _ in found], [dated for _, _, dated in found]


def _entry(
    section: Section, name: str, given: Any, path: Path, source: str
) -> tuple[dict[str, Any], Dated]:
    short: dict[str, object] = {}
    if section.short is not None and not _is_table(given):
        short = {section.short: given}
    table = short or _table(given, path, "of prices")
    extra = ("from", "tiers", "modes") if section.kind == "model" else ("from",)
    form, base = _prices(section, name, table, path, extra)
    since = -inf
    if "from" in table:
        since, form["from"] = _instant(table["from"], (*path, "from"))

    def snapshots(mode: str, tiers: Sequence[tuple[int, dict[str, Fraction]]]) -> Any:
        return tuple(_snapshot(section, name, mode, tier, source, path) for tier in tiers)

    forms, usual = _tiers(section, name, table, base, path)
    if forms:
        form["tiers"] = forms
    modes = {"": snapshots("", usual)}
    for mode, of_mode in _table(table.get("modes", {}), (*path, "modes"), "by mode").items():
        at: Path = (*path, "modes", mode)
        if not mode.strip():
            raise RateError(at, "has no name", remedy='give one, such as "batch"')
        if isinstance(of_mode, Mapping):
            own = cast("Mapping[str, object]", of_mode)
            written, base = _prices(section, name, own, at, ("tiers",))
            forms, tiers = _tiers(section, name, own, base, at)
            form.setdefault("modes", {})[mode] = {**written, "tiers": forms} if forms else written
        else:
            factor = _number(of_mode, at, "give a factor, 0 or more, or a table of prices")
            tiers = [(above, _scaled(prices, factor)) for above, prices in usual]
            form.setdefault("modes", {})[mode] = decimal_text(factor)
        modes[mode] = snapshots(mode, tiers)
    return form, Dated(since, modes)


def _prices(
    section: Section, name: str, table: Mapping[str, object], path: Path, extra: Sequence[str]
) -> tuple[dict[str, Any], dict[str, Fraction]]:
    """The prices in a table, as data and as dollars for a million units by resource."""
    form: dict[str, Any] = {}
    prices: dict[str, Fraction] = {}
    for key, value in table.items():
        if key in extra:
            continue
        if key not in section.fields:
            known = _names([*section.fields, *extra])
            raise RateError((*path, key), "is no key of this rate", remedy=f"give {known}")
        resource, units = section.fields[key]
        resource = resource or name
        if resource in prices:
            raise RateError((*path, key), "is a second price of the same", remedy="give one")
        dollars = _number(value, (*path, key), "give US dollars, 0 or more and finite")
        form[key] = decimal_text(dollars)
        prices[resource] = dollars * MILLION / units
    if not prices:
        raise RateError(path, "has no price", remedy=f"give {_names(section.fields)}")
    return form, prices


def _tiers(
    section: Section,
    name: str,
    table: Mapping[str, object],
    base: Mapping[str, Fraction],
    path: Path,
) -> tuple[list[dict[str, Any]], list[tuple[int, dict[str, Fraction]]]]:
    """The tiers of a table, as data and with all their prices; the lowest is `base`."""
    forms: list[dict[str, Any]] = []
    tiers: list[tuple[int, dict[str, Fraction]]] = [(0, dict(base))]
    given = table.get("tiers", ())
    if not isinstance(given, list | tuple):
        raise RateError((*path, "tiers"), f"is {given!r}", remedy="give a list of tables")
    for place, one in enumerate(cast("Sequence[object]", given)):
        at: Path = (*path, "tiers", place)
        tier = _table(one, at, "of prices")
        above = tier.get("above")
        if type(above) is not int or not tiers[-1][0] < above <= NANOS_MAX:
            raise RateError(
                (*at, "above") if "above" in tier else at,
                f"has above={above!r}",
                remedy="give a whole number of input tokens, in each tier more than in the last",
            )
        form, prices = _prices(section, name, tier, at, ("above",))
        forms.append({"above": above, **form})
        tiers.append((above, {**base, **prices}))
    return forms, tiers


def _snapshot(
    section: Section,
    name: str,
    mode: str,
    tier: tuple[int, Mapping[str, Fraction]],
    source: str,
    path: Path,
) -> Snapshot:
    above, dollars = tier
    prices: dict[str, Price] = {key: price(each, MILLION) for key, each in dollars.items()}
    if section.kind == "model" and "input" in prices:
        # Without a price of their own they are input tokens as any others.
        prices = {"cached": prices["input"], "cache_write": prices["input"], **prices}
    if any(rate > NANOS_MAX * MILLION * MILLION for rate, _ in prices.values()):
        raise RateError(path, "has a price that is too high", remedy="give a lower one")
    return Snapshot.of(section.kind, name, prices, source=source, mode=mode, above=above)


def _scaled(prices: Mapping[str, Fraction], factor: Fraction) -> dict[str, Fraction]:
    return {resource: dollars * factor for resource, dollars in prices.items()}


def _number(value: object, path: Path, remedy: str) -> Fraction:
    try:
        return exact(value, "", remedy=remedy)
    except DefinitionError as error:
        raise RateError(path, f"is {value!r}", remedy=error.remedy or remedy) from None


def _table(value: object, path: Path, of: str) -> Mapping[str, object]:
    table: Any = value
    if not isinstance(value, Mapping) or not all(map(_is_text, table)):
        raise RateError(path or ("rates",), f"is {value!r}", remedy=f"give a table {of}")
    return cast("Mapping[str, object]", table)


def _is_table(value: object) -> bool:
    return isinstance(value, Mapping)


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _instant(value: object, path: Path) -> tuple[float, str]:
    """An instant in seconds since 1970 and as text in UTC; a date is its midnight in UTC."""
    if isinstance(value, str):
        read: Callable[[str], date] = date.fromisoformat if len(value) == 10 else _datetime
        try:
            value = read(value)
        except ValueError:
            raise RateError(path, f"is {value!r}", remedy=_INSTANT) from None
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise RateError(path, f"is {value.isoformat()!r}, in no time zone", remedy=_INSTANT)
        moment = value.astimezone(UTC)
    elif isinstance(value, date):
        moment = datetime(value.year, value.month, value.day, tzinfo=UTC)
    else:
        raise RateError(path, f"is {value!r}", remedy=_INSTANT)
    return moment.timestamp(), moment.isoformat().replace("+00:00", "Z")


def _datetime(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _since(entry: Dated) -> float:
    return entry.since


def _names(names: Sequence[str] | Mapping[str, object]) -> str:
    *others, last = names
    return f"{', '.join(others)} or {last}" if others else last


_INSTANT: Final = (
    'give a date (its midnight in UTC) or a time with its zone, such as "2026-12-01T00:00:00Z"'
)
