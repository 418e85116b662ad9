"""Prices: what a unit costs and since when: own price books, and a package behind them."""

from ._book import PriceBook
from ._cache import TOKENS, Rates, Take, Tariff
from ._package import GenaiPrices, installed
from ._rates import Kind, Price, Prices, Rate, Snapshot, Unknown

__all__ = [
    "TOKENS",
    "GenaiPrices",
    "Kind",
    "Price",
    "PriceBook",
    "Prices",
    "Rate",
    "Rates",
    "Snapshot",
    "Take",
    "Tariff",
    "Unknown",
    "installed",
]
