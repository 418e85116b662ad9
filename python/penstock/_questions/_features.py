"""Features: what was known of a run before the node that decided it.

Each is of one node, and only of runs in which that node was over before the deciding one could
start: sums over a run would tell how far it came, which is its outcome in other words.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

from penstock._errors import DefinitionError
from penstock._evidence import Predictors, Row, predictors
from penstock._scorecard._explain import stretches

from ._deciding import Deciding, deciding
from ._runs import Record, RunTold, refusal_of, template

MOST_RUNS: Final = 5_000
"""The newest runs, whose records are read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Foretold:
    """What predicts the outcome of a workflow's runs.

    Attributes:
        workflow: its name.
        outcome: "success" or "score:<kind>".
        runs: judged by.
        good: of these.
        bar: a score above it is good; None for success.
        predictors: what was found.
    """

    workflow: str
    outcome: str
    runs: int
    good: int
    bar: float | None
    predictors: Predictors

    def to_dict(self) -> dict[str, Any]:
        """As plain data."""
        found = self.predictors
        return {
            "workflow": self.workflow,
            "outcome": self.outcome,
            "runs": self.runs,
            "good": self.good,
            "bar": self.bar,
            "found": [
                {name: getattr(each, name) for name in each.__slots__} for each in found.found
            ],
            "judged": list(found.judged),
            "too_few": list(found.too_few),
        }


def foretold(workflow: str, outcome: str, runs: Iterable[RunTold]) -> Foretold:
    """What predicts the outcome. O(records).

    Args:
        workflow: its name.
        outcome: "success", or "score:<kind>": a score above the median is good.
        runs: a sample of its runs that are over; by their first outcome.

    Raises:
        DefinitionError: the outcome is none of these.
    """
    base, _, kind = outcome.partition(":")
    if outcome != "success" and (base != "score" or not kind):
        raise DefinitionError(
            f"no outcome is {outcome!r}", remedy="give success, or score:KIND of what was scored"
        )
    told: list[tuple[float, float, Mapping[str, float]]] = []
    for run in runs:
        value = float(run.succeeded) if not kind else run.scores.get(kind)
        if value is None or run.by_user:
            continue
        told.append((run.accepted, value, features(run)))
    bar = 0.5 if not kind else _bar([value for _, value, _ in told])
    rows = [Row(at, value > bar, known) for at, value, known in told]
    return Foretold(
        workflow=workflow,
        outcome=outcome,
        runs=len(rows),
        good=sum(row.good for row in rows),
        bar=bar if kind else None,
        predictors=predictors(rows),
    )


def features(run: RunTold) -> dict[str, float]:
    """What was known of a run before its deciding node could start, by name and node.

    "queue delay of X" and "park delay of X", the longest in seconds; "attempts of X", the most;
    "rejections by X"; "failure of X", which was contained; "context of X", the largest, in tokens;
    and "tier of X", of the cascade that begins with X: how far it went.
    """
    end = deciding(run)
    if end is None:
        return {}
    before = run.plan.before(end.node)
    grouped: dict[str, dict[str, list[Record]]] = {}
    for record in run.records:
        path = record.get("node")
        if path and template(path) in run.plan.steps and template(path) in before:
            grouped.setdefault(template(path), {}).setdefault(path, []).append(record)
    found: dict[str, float] = {}
    for node, instances in grouped.items():
        ends = [end.paths.end(path) for path in instances]
        # Items of a map may still be open: what they will tell was not known.
        if any(at is None or at > end.at for at in ends):
            continue
        name = node.partition("/")[2] or node
        for feature, value in _of_node(end, instances).items():
            found[f"{feature} {name}"] = value
    found.update(_tiers(run, before, grouped))
    return found


def _of_node(end: Deciding, instances: Mapping[str, Sequence[Record]]) -> dict[str, float]:
    waits: list[float] = []
    parks: list[float] = []
    attempts = rejections = 0
    context = -1
    for path, records in instances.items():
        parts = stretches(end.paths, path, end.at)
        waits.append(sum(part.seconds for part in parts if part.doing == "queue"))
        parks.append(sum(part.seconds for part in parts if part.doing == "parked"))
        attempts = max(attempts, *(int(it.get("attempt") or 0) for it in records))
        rejections += sum(refusal_of(it) is not None for it in records)
        context = max(context, _context(records))
    found = {
        "queue delay of": max(waits),
        "park delay of": max(parks),
        "attempts of": float(attempts),
        "rejections by": float(rejections),
        "failure of": float(any(end.paths.state(path) == "failed" for path in instances)),
    }
    if context >= 0:
        found["context of"] = float(context)
    return found


def _context(records: Iterable[Record]) -> int:
    """The largest context that was said, or else the largest input; -1 if neither was booked."""
    said, inputs = -1, dict[int, int]()
    for record in records:
        facts = record["facts"]
        if record["kind"] != "spent":
            continue
        if facts.get("resource") == "context":
            said = max(said, int(facts["units"]))
        elif facts.get("resource") in _INPUTS:
            attempt = int(record.get("attempt") or 0)
            inputs[attempt] = inputs.get(attempt, 0) + int(facts["units"])
    return said if said >= 0 else max(inputs.values(), default=-1)


def _tiers(run: RunTold, before: frozenset[str], grouped: Mapping[str, object]) -> dict[str, float]:
    """By cascade: the last tier that was asked, if all of its tiers were over by then."""
    found: dict[str, float] = {}
    cascades: dict[str, list[tuple[int, str]]] = {}
    for path, tier in run.plan.tiers.items():
        if path in run.plan.steps:
            cascades.setdefault(path.rpartition("/")[0], []).append((tier, path))
    for tiers in cascades.values():
        # Whose tiers are whose is not known where two cascades stand side by side.
        one = sum(tier == 0 for tier, _ in tiers) == 1
        if one and len(tiers) > 1 and all(path in before for _, path in tiers):
            asked = [tier for tier, path in tiers if path in grouped]
            if asked:
                name = min(tiers)[1].partition("/")[2]
                found[f"tier of {name}"] = float(max(asked))
    return found


def _bar(values: Sequence[float]) -> float:
    """What a good score is above: the median, or less where none is above that."""
    if not values:
        return 0.0
    middle = median(values)
    lower = [value for value in values if value < middle]
    if max(values) > middle or not lower:
        return middle
    return (max(lower) + middle) / 2


_INPUTS: Final = frozenset({"input", "cached", "cache_write"})
