"""Beside: forecasts of a workflow as it is and as it is changed, side by side, as a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from penstock._questions._words import columns

from ._changes import Change
from ._figures import LABELS, SHARES, TIMES, told, told_about
from ._forecast import Estimate, Forecast


def lines(
    title: str, policies: Sequence[tuple[Change, Forecast]], *, warnings: Sequence[str] = ()
) -> Iterator[str]:
    """The figures of the present policy and of a changed one, and what is to be said of them.

    Args:
        title: of the table.
        policies: what they change, and what they would come to; one or two.
        warnings: of the model.
    """
    forecasts = [forecast for _, forecast in policies]
    yield title
    for change, _ in policies[1:]:
        yield f"changed: {' '.join(change.texts)}"
    yield ""
    head = ("", "as it is", "changed", "difference")[: len(policies) * 2]
    rows: list[tuple[str, ...]] = []
    for metric in dict.fromkeys(name for forecast in forecasts for name in forecast.metrics):
        figures = [forecast.figure(metric) for forecast in forecasts]
        if all(_is_nothing(metric, figure) for figure in figures):
            continue
        row = (_label(metric), *(told_about(metric, figure) for figure in figures))
        rows.append((*row, _difference(metric, *figures)) if len(figures) > 1 else row)
    yield from columns(head, rows)
    yield ""
    luck = "; both policies have the same luck" if len(policies) > 1 else ""
    first = forecasts[0]
    of = f"what {first.of_runs:,} runs come to" if first.of_runs else f"{first.runs:,} runs"
    yield f"Intervals are of {100 * first.level:g} %, of {of}{luck}."
    for queue in dict.fromkeys(it for forecast in forecasts for it in _overloaded(forecast)):
        yield f"Queue {queue} can't keep up: its line grows, and waits are those of so many runs."
    yield from (f"Of the model: {warning}." for warning in warnings)
    for why in dict.fromkeys(why for forecast in forecasts for why in forecast.extrapolated):
        yield f"More than was seen: {why}."


def _is_nothing(metric: str, figure: Estimate) -> bool:
    """Whether a figure is not worth a line: what may not be at all, and is not."""
    base, _, of = metric.partition(":")
    value = figure.value
    if of and base.startswith("queue_delay"):
        return value is None or value < _SHORT_WAIT
    return value is None or (base in _SELDOM and not value)


def _overloaded(forecast: Forecast) -> Iterator[str]:
    for metric, figure in forecast.metrics.items():
        base, _, queue = metric.partition(":")
        if base == "utilisation" and (figure.high or 0.0) >= 1.0:
            yield queue


def _label(metric: str) -> str:
    base, _, of = metric.partition(":")
    if base == "cost" and of:
        return f"  of it, {of}"
    return f"{LABELS.get(base, base)} {of}".rstrip()


def _difference(metric: str, one: Estimate, two: Estimate) -> str:
    """How much more the second is: of shares in points, of times in seconds, else in percent."""
    if one.value is None or two.value is None:
        return "-"
    more = two.value - one.value
    if not more:
        return "none"
    base, sign = metric.partition(":")[0], "+" if more > 0 else "-"
    if base in SHARES:
        return f"{100 * more:+.1f} points"
    if base.startswith(TIMES):
        return f"{sign}{told(metric, abs(more))}"
    return f"{100 * more / one.value:+.1f} %" if one.value else "new"


_SHORT_WAIT = 1e-3
_SELDOM = frozenset({"refused", "unfinished", "human_minutes"})
