"""Package: rates of models from `genai-prices`, which is looked at once per model and time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, time, timedelta
from fractions import Fraction
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from math import floor, inf
from typing import Any, Final, cast

from ._rates import MILLION, Kind, Price, Rate, Snapshot, Unknown, price

_RESOURCES: Final[Mapping[str, tuple[str, int]]] = {
    "input_mtok": ("input", MILLION),
    "cache_read_mtok": ("cached", MILLION),
    "cache_write_mtok": ("cache_write", MILLION),
    "output_mtok": ("output", MILLION),
    "requests_kcount": ("request", 1000),
}
_MODES: Final[tuple[str, ...]] = ("processing", "service_tier", "speed")
"""By what providers tell modes apart; no two of these share a word."""


class GenaiPrices:
    """The rates of the package as it was when this was made: later updates of it change nothing.

    A model is named as its provider does, or as "openai:gpt-5" where several have it. A mode that
    the package has no price for has none: it is not the usual one.
    """

    __slots__ = ("_data", "source")

    unknown: Final[Unknown] = "refuse"

    def __init__(self, data: Any, version: str) -> None:
        self._data = data
        self.source = f"genai-prices {version}"

    def rate(self, kind: Kind, name: str, at: float, mode: str = "") -> Rate:
        """What a model costs at an instant, and how long before and after it that is so.

        Args:
            kind: "model"; other things have no price here.
            name: of the model.
            at: seconds since 1970.
            mode: such as "batch"; empty for the usual one.
        """
        found = self._model(name) if kind == "model" else None
        if found is None:
            return Rate()
        provider, model = found
        moment = datetime.fromtimestamp(floor(at), UTC)
        since, until = _interval(model, moment)
        context = dict.fromkeys(_MODES, mode) if mode else None
        if context is not None and not _has_mode(provider, model, moment, context):
            return Rate((), since, until)
        chosen: Any = model.get_prices(moment, context)
        given = cast("dict[str, Any]", vars(chosen))
        prices: dict[tuple[str, int], Any] = {
            resource: given[key]
            for key, resource in _RESOURCES.items()
            if given.get(key) is not None
        }
        source = f"{self.source} {provider.id}:{model.id}"
        tiers = tuple(
            Snapshot.of("model", name, priced, source=source, mode=mode, above=above)
            for above, priced in _tiers(prices)
        )
        return Rate(tiers, since, until)

    def _model(self, name: str) -> tuple[Any, Any] | None:
        provider, colon, rest = name.partition(":")
        known = colon and any(each.id == provider for each in self._data.providers)
        reference = (rest, None, provider, None) if known else (name, None, None, None)
        try:
            found: tuple[Any, Any] = self._data.find_provider_model(*reference)
        except LookupError:
            return None
        return found


@cache
def installed() -> GenaiPrices | None:
    """The package's rates, or None where it is not installed. The first call takes half a second.

    Raises:
        ImportError: it is installed, but lacks something itself.
    """
    if find_spec("genai_prices") is None:
        return None
    package: Any = import_module("genai_prices")
    return GenaiPrices(package.data_snapshot.get_snapshot(), package.__version__)


def _has_mode(provider: Any, model: Any, moment: datetime, context: Mapping[str, str]) -> bool:
    """Whether the model has prices for a mode at that time; another provider's model never has."""
    return any(each is model for each in provider.models) and any(
        (variant.constraint is None or variant.constraint.active(moment))
        and all(context.get(key) == value for key, value in variant.when.items())
        for variant in model.price_variants or ()
    )


def _tiers(prices: Mapping[tuple[str, int], Any]) -> Iterator[tuple[int, dict[str, Price]]]:
    """For each tier where it starts and all its prices; what has no tiers is the same in all."""
    starts = {tier.start for value in prices.values() for tier in getattr(value, "tiers", ())}
    if not prices:
        return
    for above in (None, *sorted(starts)):
        priced = {
            resource: price(Fraction(_of_tier(value, above)), units)
            for (resource, units), value in prices.items()
        }
        if "input" in priced:
            # The package counts what has no price of its own among the input tokens.
            priced = {"cached": priced["input"], "cache_write": priced["input"], **priced}
        yield above or 0, priced


def _of_tier(value: Any, above: int | None) -> Any:
    """What requests pay that are in the tier which starts at `above`; None for the lowest."""
    reached = getattr(value, "base", value)
    for tier in getattr(value, "tiers", ()):
        if above is not None and tier.start <= above:
            reached = tier.price
    return reached


def _interval(model: Any, moment: datetime) -> tuple[float, float]:
    """From when to when nothing changes; no time at all for a constraint that is not known."""
    dated: list[Any] = [*(model.price_variants or ())]
    prices: Any = model.prices
    if type(prices) is list:
        dated += prices
    now, since, until = moment.timestamp(), -inf, inf
    for each in dated:
        for edge in _edges(each.constraint, moment):
            if edge is None:
                return now, now
            if edge <= moment:
                since = max(since, edge.timestamp())
            else:
                until = min(until, edge.timestamp())
    return since, until


def _edges(constraint: Any, moment: datetime) -> Iterator[datetime | None]:
    """The instants near `moment` at which a constraint begins or ends to hold."""
    if constraint is None:
        return
    if hasattr(constraint, "start_date"):
        yield datetime.combine(constraint.start_date, time(), UTC)
    elif hasattr(constraint, "start_time"):
        for edge in (constraint.start_time, constraint.end_time):
            zoned = edge if edge.tzinfo is not None else edge.replace(tzinfo=UTC)
            for days in (-2, -1, 0, 1, 2):
                yield datetime.combine(moment + timedelta(days), zoned).astimezone(UTC)
    else:
        yield None
