"""Distributions: what a number of a model is drawn from: seconds, units, minutes, items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import exp, inf, lgamma, log, log1p, sqrt
from statistics import NormalDist
from typing import Any, ClassVar, Final, Self, cast

from penstock._errors import DefinitionError
from penstock._policies import number

from ._parts import Part, nearest, table, tried


@dataclass(frozen=True, slots=True, init=False, repr=False)
class Distribution(Part):
    """What a number is drawn from; none of them is negative.

    Made by the methods named for the kinds, or read by `from_dict`.

    Attributes:
        kind: "constant", "uniform", "exponential", "lognormal", "gamma" or "samples".
        values: its parameters, in the order of `KINDS`; of "samples" the values themselves, sorted.

    >>> latency = Distribution.lognormal(0.4, 0.6)
    >>> latency.to_dict()
    {'kind': 'lognormal', 'median': 0.4, 'sigma': 0.6}
    >>> round(latency.mean(), 3), round(latency.cv2(), 3), round(latency.quantile(0.95), 3)
    (0.479, 0.433, 1.073)
    """

    kind: str
    values: tuple[float, ...]

    _WORD: ClassVar[str] = "distribution"

    def __init__(self, kind: str, values: Sequence[float]) -> None:
        if kind not in KINDS:
            raise DefinitionError(f"kind is {kind!r}", remedy=nearest(kind, KINDS, "kinds"))
        names = KINDS[kind]
        if kind == "samples":
            numbers = _samples(values)
        else:
            if len(values) != len(names):
                raise DefinitionError(
                    f"{kind} has {len(values)} parameters", remedy=f"give {', '.join(names)}"
                )
            pairs = zip(names, values, strict=True)
            numbers = tuple(number(value, name, **_RANGES[name]) for name, value in pairs)
        if kind == "uniform" and numbers[0] > numbers[1]:
            raise DefinitionError(
                f"low is {numbers[0]:g}, above high, {numbers[1]:g}", remedy="change them about"
            )
        self._keep(kind=kind, values=numbers)

    @classmethod
    def constant(cls, value: float) -> Self:
        """Always the same."""
        return cls("constant", (value,))

    @classmethod
    def uniform(cls, low: float, high: float) -> Self:
        """Anything from `low` to `high` alike."""
        return cls("uniform", (low, high))

    @classmethod
    def exponential(cls, mean: float) -> Self:
        """Without a memory."""
        return cls("exponential", (mean,))

    @classmethod
    def lognormal(cls, median: float, sigma: float) -> Self:
        """One whose logarithm is normal, with a standard deviation of `sigma`."""
        return cls("lognormal", (median, sigma))

    @classmethod
    def gamma(cls, mean: float, cv: float) -> Self:
        """A gamma distribution with a coefficient of variation of `cv`."""
        return cls("gamma", (mean, cv))

    @classmethod
    def samples(cls, values: Sequence[float]) -> Self:
        """Quantiles at equal distances, the least and the largest among them.

        What is drawn lies anywhere between two neighbours.
        """
        return cls("samples", values)

    @classmethod
    def read_at(cls, data: Any, place: str, problems: list[str]) -> Self | None:
        """As `Part.read_at`; the keys hang on the kind."""
        found = len(problems)
        given = table(data, place, problems)
        if len(problems) > found:
            return None
        kind = given.get("kind")
        if not isinstance(kind, str) or kind not in KINDS:
            told = f"kind is {kind!r}" if "kind" in given else "has no 'kind'"
            problems.append(f"{place}: {told}; {nearest(str(kind), KINDS, 'kinds')}")
            return None
        names = KINDS[kind]
        problems += [
            f"{place}: a {kind} has no key {name!r}; {nearest(name, list(names))}"
            for name in given
            if name not in ("kind", *names)
        ]
        problems += [
            f"{place}: a {kind} has no {name!r}; add it" for name in names if name not in given
        ]
        if len(problems) > found:
            return None
        values = given["values"] if kind == "samples" else [given[name] for name in names]
        return tried(lambda: cls(kind, values), place, problems)

    def to_dict(self) -> dict[str, Any]:
        """As plain data, ready for JSON and TOML."""
        if self.kind == "samples":
            return {"kind": self.kind, "values": list(self.values)}
        return {"kind": self.kind, **dict(zip(KINDS[self.kind], self.values, strict=True))}

    def native(self) -> tuple[str, list[float]]:
        """As the native side takes it."""
        return self.kind, list(self.values)

    def mean(self) -> float:
        """What is drawn on the average. O(values)."""
        first, *rest = self.values
        match self.kind:
            case "uniform":
                return (first + rest[0]) / 2
            case "lognormal":
                return first * exp(rest[0] ** 2 / 2)
            case "samples" if rest:
                return sum(low + high for low, high in pairwise(self.values)) / 2 / len(rest)
            case _:
                return first

    def cv2(self) -> float:
        """The squared coefficient of variation: variance by the square of the mean. O(values)."""
        first, *rest = self.values
        match self.kind:
            case "exponential":
                return 1.0 if first else 0.0
            case "lognormal":
                return exp(rest[0] ** 2) - 1 if first else 0.0
            case "gamma":
                return rest[0] ** 2 if first else 0.0
            case "uniform" | "samples" if rest and self.mean():
                squares = sum(a * a + a * b + b * b for a, b in pairwise(self.values))
                return max(squares / 3 / len(rest) / self.mean() ** 2 - 1, 0.0)
            case _:
                return 0.0

    def quantile(self, q: float) -> float:
        """What a share `q` of the draws stays below; infinite where nothing bounds them.

        Raises:
            DefinitionError: `q` is no share.
        """
        number(q, "q", least=0, most=1)
        first, *rest = self.values
        match self.kind:
            case "uniform":
                return first + (rest[0] - first) * q
            case "exponential":
                return first * -log1p(-q) if q < 1 else inf
            case "lognormal":
                if not first or not rest[0]:
                    return first
                if q in (0.0, 1.0):
                    return inf if q else 0.0
                return first * exp(rest[0] * NormalDist().inv_cdf(q))
            case "gamma":
                return _gamma_quantile(first, rest[0], q)
            case "samples" if rest:
                place = q * len(rest)
                below = min(int(place), len(rest) - 1)
                low, high = self.values[below : below + 2]
                part = place - below
                return min(low * (1 - part) + high * part, high)
            case _:
                return first

    def scaled(self, factor: float) -> Distribution:
        """What is drawn times a factor, 0 or more."""
        shape = 1 if self.kind in ("lognormal", "gamma") else len(self.values)
        scaled = [value * factor for value in self.values[:shape]]
        return Distribution(self.kind, (*scaled, *self.values[shape:]))

    def __repr__(self) -> str:
        told = ", ".join(f"{value:g}" for value in self.values[:_SHOWN])
        more = ", ..." if len(self.values) > _SHOWN else ""
        brackets = f"[{told}{more}]" if self.kind == "samples" else told
        return f"Distribution.{self.kind}({brackets})"


def sample_numbers(values: object, name: str, *, least: float = 0.0) -> tuple[float, ...]:
    """Sorted numbers, one or more.

    Raises:
        DefinitionError: they are not.
    """
    if not isinstance(values, list | tuple) or not values:
        raise DefinitionError(f"{name} is {values!r}", remedy="give a list of one number or more")
    given = cast("Sequence[object]", values)
    numbers = tuple(number(each, f"{name}[{i}]", least=least) for i, each in enumerate(given, 1))
    for place, (low, high) in enumerate(pairwise(numbers), 2):
        if low > high:
            raise DefinitionError(
                f"{name}[{place}] is {high:g}, after {low:g}", remedy="sort them, the least first"
            )
    return numbers


def _samples(values: Sequence[float]) -> tuple[float, ...]:
    return sample_numbers(values, "values")


def _gamma_quantile(mean: float, cv: float, q: float) -> float:
    if not cv or not mean:
        return mean
    if q in (0.0, 1.0):
        return inf if q else 0.0
    shape = 1 / cv**2
    low, high = 0.0, 1.0
    while _gamma_below(shape, high * shape) < q:
        low, high = high, 2 * high
    while high - low > _CLOSE * high:
        middle = (low + high) / 2
        low, high = (middle, high) if _gamma_below(shape, middle * shape) < q else (low, middle)
    return mean * (low + high) / 2


def _gamma_below(shape: float, x: float) -> float:
    """The regularised lower incomplete gamma function.

    By its series below `shape` + 1 and by Lentz's continued fraction above (Numerical Recipes,
    section 6.2).
    """
    if x <= 0:
        return 0.0
    scale = exp(shape * log(x) - x - lgamma(shape))
    if x < shape + 1:
        term = total = 1 / shape
        place = shape
        while term > total * _EXACT:
            place += 1
            term *= x / place
            total += term
        return total * scale
    b = x + 1 - shape
    c, d = 1 / _TINY, 1 / b
    value = d
    for i in range(1, 200 + int(10 * sqrt(shape))):
        a = -i * (i - shape)
        b += 2
        d = 1 / (a * d + b or _TINY)
        c = b + a / c or _TINY
        value *= c * d
        if abs(c * d - 1) < _EXACT:
            break
    return 1 - scale * value


KINDS: Final[Mapping[str, tuple[str, ...]]] = {
    "constant": ("value",),
    "uniform": ("low", "high"),
    "exponential": ("mean",),
    "lognormal": ("median", "sigma"),
    "gamma": ("mean", "cv"),
    "samples": ("values",),
}
"""The kinds of distributions, and what they are called by."""
_RANGES: Final[Mapping[str, Mapping[str, Any]]] = {
    **{name: {"least": 0.0} for name in ("value", "low", "high", "mean", "median")},
    # Beyond these a mean can't be told apart from infinity or a single draw would decide it.
    "sigma": {"least": 0.0, "most": 10.0},
    "cv": {"least": 0.0, "most": 100.0},
}
_SHOWN: Final = 4
_CLOSE: Final = 1e-12
_EXACT: Final = 1e-14
_TINY: Final = 1e-300
