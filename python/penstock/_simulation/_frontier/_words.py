"""Words: what is said of a frontier and its points, in text and HTML alike."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from penstock._scorecard._words import counted, usd
from penstock._simulation._figures import told
from penstock._simulation._forecast import Estimate, Forecast

if TYPE_CHECKING:
    from ._frontier import Frontier, Point


def standing(front: Frontier, point: Point) -> str:
    """What a point is: "present", "knee, cheapest"; empty for one that is nothing."""
    cheapest, knee = front.cheapest, front.knee
    parts = (
        ("present", point.number == 0),
        ("knee", knee is not None and point.number == knee.number),
        ("cheapest", cheapest is not None and point.number == cheapest.number),
    )
    named = [name for name, holds in parts if holds]
    if not named and point.number in front.chosen.front:
        named = ["frontier"]
    return ", ".join(named)


def saved(front: Frontier, point: Point) -> str:
    """Dollars a day that a point saves, "-" for the present one."""
    found = front.saved_a_day(point)
    return "-" if point.number == 0 or found.value is None else day(found)


def day(found: Estimate) -> str:
    """Dollars a day with half their interval: "$412 ± 28"."""
    if found.value is None:
        return "-"
    if found.low is None or found.high is None or found.high <= found.low:
        return dollars(found.value)
    return f"{dollars(found.value)} ± {_short((found.high - found.low) / 2)}"


def dollars(value: float) -> str:
    """Dollars without cents, where there are many: "$412", "$1.30", "-$3,100"."""
    if abs(value) >= 100:
        return f"{'-' if value < 0 else ''}${abs(value):,.0f}"
    return usd(round(value, 4) or 0.0)


def against(front: Frontier) -> str:
    """Where the present point stands."""
    present = front.present
    if present.extrapolated:
        return "The present point is extrapolated itself, and is held against nothing."
    if present.forecast.figure("cost").value is None:
        return "Nothing succeeds at the present point."
    if front.chosen.better is None:
        return "The present point is on the frontier: no policy is better in everything."
    better = front.points[front.chosen.better]
    parts = [
        f"costs {_less('cost', front, better)} less",
        f"has a p95 {_less('latency_p95', front, better)} lower",
    ]
    kept = [part for part in parts if " 0.0 %" not in part] or ["is better"]
    third = better.forecast.figure(front.third).value
    now = present.forecast.figure(front.third).value
    return (
        f"The present point is not on the frontier: policy #{better.number} {' and '.join(kept)}, "
        f"at a {front.third} of {told(front.third, third)} against {told(front.third, now)}."
    )


def cheapest_told(front: Frontier) -> str:
    """The cheapest policy that meets what is required."""
    wanted = " and ".join(map(str, front.require))
    cheapest = front.cheapest
    if cheapest is None:
        none = [str(it) for it in front.require if not any(map(it.holds, _forecasts(front)))]
        why = f"; none of them has {' or '.join(none)}" if none else "; not all at once"
        return f"No policy has {wanted}, as sure as the intervals are{why}."
    found = front.saved_a_day(cheapest)
    if cheapest.number == 0:
        return f"The cheapest with {wanted} is the present one."
    if found.value is None:
        return f"The cheapest with {wanted}: policy #{cheapest.number}."
    how = "less" if found.value >= 0 else "more"
    span = ""
    if found.low is not None and found.high is not None:
        low, high = sorted((found.low, found.high)) if how == "less" else (-found.high, -found.low)
        span = f" ({dollars(low)} to {dollars(high)})"
    return (
        f"The cheapest with {wanted}: policy #{cheapest.number}, for {dollars(abs(found.value))} "
        f"{how} a day{span} at the present load."
    )


def missing(front: Frontier) -> Iterator[str]:
    """What is not known."""
    if not front.knows_quality:
        yield "Quality: no data, so it may be anything; score runs to see it."
    hollow = [point for point in front.points if point.extrapolated]
    if hollow:
        reasons = dict.fromkeys(why for point in hollow for why in point.extrapolated)
        first = "; ".join(list(reasons)[:3])
        yield (
            f"{counted(len(hollow), 'policy').replace('policys', 'policies')} say more than the "
            f"model has seen, and stand out nowhere: {first}{'; ...' if len(reasons) > 3 else ''}."
        )
    dead = sum(point.forecast.figure("cost").value is None for point in front.points)
    if dead:
        yield f"Under {dead} of the policies nothing succeeds."
    if front.stopped:
        yield "It was interrupted: figures are of the first seed, and better policies may be left."
    elif front.chosen.front:
        yield "Figures of what stands out are of a fresh seed; intervals are of 95 %."


def left_out_told(front: Frontier) -> Iterator[str]:
    """Which combinations can't be."""
    if front.left_out:
        first, *others = front.left_out
        more = f" (and {len(others)} more)" if others else ""
        yield f"Combinations that can't be were left out: {first}{more}."


def _less(metric: str, front: Frontier, point: Point) -> str:
    now = front.present.forecast.figure(metric).value or 0.0
    then = point.forecast.figure(metric).value or 0.0
    return f"{100 * (now - then) / now:.1f} %" if now else "0.0 %"


def _forecasts(front: Frontier) -> Iterator[Forecast]:
    return (point.forecast for point in front.points if not point.extrapolated)


def _short(value: float) -> str:
    """A number to two digits, without an exponent."""
    return f"{float(f'{value:.2g}'):,.0f}" if value >= 10 else f"{value:.2g}"
