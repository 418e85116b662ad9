"""Text: a frontier as a table and sentences, for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from penstock._questions._words import columns
from penstock._scorecard._words import counted
from penstock._simulation._figures import told_about

from ._words import against, cheapest_told, left_out_told, missing, saved, standing

if TYPE_CHECKING:
    from ._frontier import Frontier, Point


def lines(front: Frontier, *, most: int = 20) -> Iterator[str]:
    """The points that stand out in a table, and what is to be said of them.

    Args:
        front: what came of the policies.
        most: how many points of the frontier to list.
    """
    yield headline(front)
    yield ""
    shown = _shown(front, most)
    head = ("", "policy", "cost per success", "p95", front.third, "saved a day", "changes")
    rows = [_row(front, point) for point in shown]
    yield from columns(head, rows, left=("policy",))
    rest = len(front.chosen.front) - sum(1 for it in shown if it.number in front.chosen.front)
    if rest > 0:
        yield f"and {counted(rest, 'point')} of the frontier more; --json has all of them"
    yield ""
    yield from sentences(front)


def headline(front: Frontier) -> str:
    """What was done, in a line."""
    many = f"{front.done} of {front.planned}" if front.done < front.planned else f"{front.done}"
    told = f"{front.workflow} {front.version}: {many} policies, {front.runs:,} runs each"
    return f"{told}; interrupted" if front.stopped else told


def sentences(front: Frontier) -> Iterator[str]:
    """What is to be said of what was found."""
    yield against(front)
    if front.require:
        yield cheapest_told(front)
    chosen = front.chosen
    if chosen.hypervolume > 0:
        all_of_it, present = 100 * chosen.hypervolume, 100 * chosen.present_volume
        yield (
            f"The frontier covers {all_of_it:.0f} % of the room between the best and the worst of "
            f"each axis; the present point {present:.0f} %."
        )
    yield from missing(front)
    yield from left_out_told(front)


def _shown(front: Frontier, most: int) -> list[Point]:
    """The present point, the knee and the cheapest, and as many of the frontier as there is room.

    Of a long frontier each so-manieth, both ends among them.
    """
    special = [front.present, front.knee, front.cheapest]
    numbers = {point.number for point in special if point is not None}
    others = [point for point in front.front if point.number not in numbers]
    if len(others) > most:
        others = [others[place * (len(others) - 1) // (most - 1)] for place in range(most)]
    listed = {it.number: it for it in (*filter(None, special), *others)}
    return sorted(listed.values(), key=lambda it: it.forecast.figure("cost").value or float("inf"))


def _row(front: Frontier, point: Point) -> Sequence[str]:
    forecast = point.forecast
    return (
        standing(front, point),
        f"#{point.number}",
        *(told_about(name, forecast.figure(name)) for name in ("cost", "latency_p95", front.third)),
        saved(front, point),
        " ".join(point.change.texts) or "as it is",
    )
