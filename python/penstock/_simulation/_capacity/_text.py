"""Text: how many it takes, as a table and sentences."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf
from typing import TYPE_CHECKING

from penstock._questions._words import columns
from penstock._scorecard._words import percent, span
from penstock._simulation._figures import label, told, told_about

if TYPE_CHECKING:
    from ._capacity import Capacity, Trial


def lines(found: Capacity) -> Iterator[str]:
    """What comes, what was looked at, and how many it takes."""
    load, desk = found.load, found.what == "desk"
    unit = "people" if desk else "slots"
    wanted = " and ".join(map(str, found.require))
    each = "case" if desk else "attempt"
    rate = f"{load.first * load.attempts:.3g} {each}s/s"
    if not desk:
        rate += f" ({load.first:.3g} first ones, {load.attempts:.3g} attempts for each)"
    yield f"{found.what} {found.name}: {rate} of {span(load.service)} (cs² {load.cs2:.2g})"
    yield f"so {load.offered:.3g} {unit} are busy on the average, however many there are"
    yield ""
    metrics = [each.metric for each in found.require]
    names = [label(name) for name in metrics]
    head = (
        unit,
        "utilisation",
        *(f"{name}, formula" for name in names),
        *(f"{name}, simulated" for name in names),
        "",
    )
    yield from columns(head, [_row(found, trial, metrics) for trial in found.trials])
    yield ""
    yield _by_formula(found, wanted, unit)
    yield _by_simulation(found, wanted, unit)
    if found.warnings:
        yield "The formula is known to be off here:"
        yield from (f"  - {warning}" for warning in found.warnings)
    yield from (f"Note: {note}." for note in found.notes)


def _row(found: Capacity, trial: Trial, metrics: list[str]) -> tuple[str, ...]:
    busy = found.load.line(trial.servers).utilisation
    marks = (
        ("present", trial.servers == found.present),
        ("by formula", trial.servers == found.formula),
        ("by simulation", trial.servers == found.simulated),
    )
    return (
        f"{trial.servers}",
        percent(busy) if busy < 1 else "overloaded",
        *(_formula(name, trial.formula.get(name)) for name in metrics),
        *(told_about(name, found.figure(trial, name)) for name in metrics),
        ", ".join(name for name, holds in marks if holds),
    )


def _formula(metric: str, value: float | None) -> str:
    if value is None:
        return "-"
    return "grows" if value == inf else told(metric, value)


def _by_formula(found: Capacity, wanted: str, unit: str) -> str:
    if found.formula is None:
        return f"By formula: it says nothing of {wanted}; it knows wait_p50, p95, p99, utilisation."
    return f"By formula {found.formula} {unit} have {wanted}."


def _by_simulation(found: Capacity, wanted: str, unit: str) -> str:
    if found.simulated is None:
        if all(trial.forecast is None for trial in found.trials):
            return "It was not simulated."
        return f"By simulation no number of {unit} has {wanted}: something else is in the way."
    return (
        f"By simulation {found.simulated} {unit} have {wanted}, as sure as the intervals are, in "
        f"{found.runs:,} runs and on a fresh seed."
    )
