"""Spending: what an attempt of a step uses, so that the model costs what the runs did."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Any, Final, TypeAlias

from penstock._simulation._distributions import Distribution
from penstock._simulation._steps import DECIMALS, SpendRow

from ._seen import How, Line
from ._survival import rounded, sampled

Key: TypeAlias = tuple[int, str, int, bool]


def spending_of(lines: Sequence[Line], ends: Mapping[Key, How]) -> dict[str, Any]:
    """What an attempt spends that returns, and what part of that others do, for a `StepModel`.

    Where none has returned, what they all spend. O(n log n).

    Args:
        lines: of the attempts of one step.
        ends: how they ended.
    """
    done = [key for key, how in ends.items() if how == "done"]
    if not done:
        return {"spend": spend_rows(lines, len(ends)), "failed_spend": 1.0, "cut_spend": 1.0}
    spent: dict[str, int] = {}
    for line in lines:
        how = ends[line.key]
        spent[how] = spent.get(how, 0) + (line.nanos or 0)
    counts = Counter(ends.values())
    usual = spent.get("done", 0) / len(done)

    def part(*ways: How) -> float | None:
        count = sum(counts[how] for how in ways)
        return rounded(sum(spent.get(how, 0) for how in ways) / count / usual) if count else None

    found: dict[str, Any] = {
        "spend": spend_rows([it for it in lines if ends[it.key] == "done"], len(done))
    }
    if usual:
        failed, cut = part("error", "fatal"), part("timeout", "cut")
        found |= {} if failed is None else {"failed_spend": failed}
        found |= {} if cut is None else {"cut_spend": cut}
    return found


def spend_rows(lines: Iterable[Line], attempts: int) -> list[SpendRow]:
    """What an attempt spends, by resource; those that spent nothing count as well. O(n log n).

    Args:
        lines: of the attempts of one step.
        attempts: how many they are.
    """
    resources: dict[str, list[Line]] = {}
    for line in lines:
        resources.setdefault(resource_of(line), []).append(line)
    return [row_of(name, found, attempts) for name, found in sorted(resources.items())]


def row_of(resource: str, lines: Sequence[Line], attempts: int) -> SpendRow:
    """What an attempt spends on one resource."""
    units, price = _priced(lines)
    used: dict[tuple[int, str, int, bool], int] = {}
    for line, count in zip(lines, units, strict=True):
        used[line.key] = used.get(line.key, 0) + count
    counts = sorted([*used.values(), *[0] * max(attempts - len(used), 0)])
    distribution = sampled([(float(count), 1.0) for count in counts])
    total = sum(line.nanos or 0 for line in lines)
    # What rounding the price has lost is put into the units: the money is to be right.
    wanted = Fraction(total, 10**9) / len(counts) / price if price else Fraction(sum(counts))
    mean = distribution.mean()
    if price and mean:
        distribution = _scaled(distribution, float(wanted) / mean)
    if distribution == Distribution.constant(1.0):
        return SpendRow.fixed(resource, float(price))
    return SpendRow(resource=resource, units=distribution, usd_per_unit=float(price))


def resource_of(line: Line) -> str:
    """As a model calls it: "gpt-4o:input", "gpt-4o:input:batch", "fixed"."""
    return ":".join(filter(None, (line.name, line.resource, line.mode)))


def _priced(lines: Sequence[Line]) -> tuple[list[int], Fraction]:
    """The units of each line, and the dollars of one.

    Amounts that were booked as such are counted in nano-dollars, unless they are all the same, and
    so is what has next to no price.
    """
    nanos = [line.nanos or 0 for line in lines]
    units = [line.units for line in lines]
    exact = Fraction(sum(nanos), max(sum(units), 1)) / 10**9
    price = Fraction(round(exact * 10**DECIMALS), 10**DECIMALS)
    booked = all(count == 1 for count in units) and len(set(nanos)) > 1
    # A price of more decimals than are written would be none.
    if booked or abs(price - exact) > exact * _CLOSE:
        return nanos, Fraction(1, 10**9)
    return units, price


def _scaled(distribution: Distribution, factor: float) -> Distribution:
    """Scaled and rounded, if it is not nearly the same."""
    if abs(factor - 1) < _SAME:
        return distribution
    return Distribution(distribution.kind, [rounded(it * factor) for it in distribution.values])


_SAME: Final = 1e-6
_CLOSE: Final = Fraction(1, 1_000)
