"""Price book: own rates, and behind them those of a package."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, Self, TypeAlias, get_args

from penstock._policies import Policy, canonical, word
from penstock._policies._checks import one_of

from . import _package
from ._entries import Dated, rate_at, read
from ._files import read_file
from ._rates import Kind, Rate, Unknown

Package: TypeAlias = Literal["genai-prices"]


@dataclass(frozen=True, slots=True, kw_only=True, init=False, repr=False)
class PriceBook(Policy):
    """What a unit costs, and from when on. Own rates come before those of the package.

    Rates are plain data, the same in code and in a TOML file; amounts are US dollars:

    - `models`: `input`, `cached`, `cache_write` and `output` for a million tokens, `request` for
      each call; `tiers`, each `above` so many input tokens of one request, with prices for *all*
      its tokens; `modes`, such as "batch", each a factor or prices of its own;
    - `retrieval` and `tools`: for each call; `humans`: for each `minute` or `hour` of a role;
    - `gpu`: for each `second` or `hour`, and `gib_second` or `gib_hour`;
    - `resources`: for each unit of anything else.

    An entry with `from` holds from that date (UTC) or time on; a name may have several. A cached
    or cache-write token without a price of its own costs what an input token does.

    Attributes:
        rates: by section and name; amounts as decimal text.
        version: changes when the rates do.
        unknown: what becomes of a name without a price: "refuse", or "unpriced", which books the
            quantity without an amount.
        package: where models are looked up that have no own rate, when it is installed; or None.

    Raises:
        DefinitionError: a rate is out of its range, or a key unknown.

    >>> import penstock as ps
    >>> ps.PriceBook(
    ...     rates={
    ...         "models": {"gpt-5": {"input": 1.25, "cached": 0.125, "output": 10}},
    ...         "tools": {"search": [0.005, {"usd": 0.006, "from": "2026-12-01"}]},
    ...         "humans": {"reviewer": {"hour": 45}},
    ...     },
    ...     version="2026-11",
    ... )
    <PriceBook 2026-11: 1 of humans, 1 of models, 1 of tools, others from genai-prices>
    """

    rates: Mapping[str, Any]
    version: str
    unknown: Unknown
    package: Package | None
    _entries: Mapping[tuple[Kind, str], list[Dated]] = field(init=False, compare=False)

    def __init__(
        self,
        *,
        rates: Mapping[str, Any] = MappingProxyType({}),
        version: str = "1",
        unknown: Unknown = "refuse",
        package: Package | None = "genai-prices",
    ) -> None:
        word(version, "PriceBook.version")
        written, entries = read(rates, f"prices {version}")
        self._keep(
            rates=Table(canonical(written)),
            version=version,
            unknown=one_of(unknown, "PriceBook.unknown", get_args(Unknown)),
            package=package and one_of(package, "PriceBook.package", get_args(Package)),
            _entries=entries,
        )

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Self:
        """The price book of a TOML file, which has the fields of this class but `rates` as tables.

        Raises:
            DefinitionError: it is no TOML, or a rate is wrong; the message has file and line.
            OSError: it can't be read.
        """
        return read_file(Path(path), cls.from_dict)

    @property
    def prices_models(self) -> bool:
        """Whether any model may have a price: by its own rates, or by the package behind them."""
        behind = self.package is not None and _package.installed() is not None
        return behind or bool(self.rates.get("models"))

    @property
    def source(self) -> str:
        """Name and version, for people."""
        return f"prices {self.version}"

    def rate(self, kind: Kind, name: str, at: float, mode: str = "") -> Rate:
        """What a name costs at an instant, and how long before and after it that is so.

        Args:
            kind: what it is.
            name: such as a model.
            at: seconds since 1970.
            mode: such as "batch"; empty for the usual one.
        """
        entries = self._entries.get((kind, name))
        own = Rate() if entries is None else rate_at(entries, at, mode)
        before_own = entries is None or at < entries[0].since
        if kind != "model" or self.package is None or not before_own:
            return own
        package = _package.installed()
        return (
            own
            if package is None
            else package.rate(kind, name, at, mode).within(own.since, own.until)
        )

    def to_dict(self) -> dict[str, Any]:
        """All fields as plain data, ready for JSON; `from_dict` reads it."""
        return {
            "rates": dict(self.rates),
            "version": self.version,
            "unknown": self.unknown,
            "package": self.package,
        }

    def __reduce__(self) -> tuple[object, ...]:
        return type(self).from_dict, (self.to_dict(),)

    def __repr__(self) -> str:
        told = [f"{len(names)} of {section}" for section, names in self.rates.items()]
        told += [f"others from {self.package}"] if self.package else []
        return f"<PriceBook {self.version}: {', '.join(told) or 'empty'}>"


class Table(Mapping[str, Any]):
    """Plain data that can't be changed: each look at it is a copy."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def __getitem__(self, key: str) -> Any:
        return json.loads(self._text)[key]

    def __iter__(self) -> Iterator[str]:
        return iter(json.loads(self._text))

    def __len__(self) -> int:
        return len(json.loads(self._text))

    def __hash__(self) -> int:
        return hash(self._text)

    def __repr__(self) -> str:
        return self._text
