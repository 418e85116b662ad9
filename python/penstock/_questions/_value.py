"""Value: which steps carry the most spend, and what a run would be worth without each.

Spend is of all runs, from rollups. What a step is worth is known only where there are runs that
went on without it: it was skipped, or failed and that was contained. Those are other runs than the
ones that had it (a router sent them elsewhere, say), so the difference is a hint and no proof.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, Final, Literal, TypeAlias

from penstock._evidence import Outcome, Sample, compare, drop
from penstock._evidence._means import STRATUM_LEAST
from penstock._scorecard import NodeFacts, Nodes, Row, Share, Spend, merge
from penstock._scorecard._groups import finder
from penstock._scorecard._rows import Body

from ._deciding import deciding
from ._runs import Plan, RunTold, template

LEAST: Final = STRATUM_LEAST
"""Runs with and without a step that it takes to say what it is worth."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepValue:
    """What a step costs and what it is worth.

    Attributes:
        step: its name.
        owner: of the step; None if nobody is named.
        spend: of all its attempts in the window.
        share: of the spend of all steps; None if nothing was spent.
        used: first attempts in the window.
        with_step: successes of the sampled runs in which it did its work, or failed them.
        without: likewise of those that went on without it.
        skipped: of the latter, those in which it was never asked.
        difference: of the success rates, with less without; None if it is not known.
        low: the difference is not below, at any look; None with `difference`.
        high: it is not above.
        worth: dollars a run, of the difference; None if it is not known, or nobody said what a
            success is worth.
    """

    DERIVED: ClassVar = ("cost_per_use", "total")

    step: str
    owner: str | None
    spend: Spend
    share: float | None
    used: int
    with_step: Share
    without: Share
    skipped: int
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    worth: float | None = None

    @property
    def cost_per_use(self) -> float | None:
        """Dollars for each first attempt."""
        return self.spend.usd / self.used if self.used else None

    @property
    def total(self) -> float | None:
        """Dollars that it was worth in the window, before its cost; None if that is not known."""
        return None if self.worth is None else self.worth * self.used


@dataclass(frozen=True, slots=True, kw_only=True)
class Values:
    """The steps of a workflow by spend and by value.

    Attributes:
        workflow: its name.
        success: what a success is worth, in dollars; None if nobody said.
        source: who said so: "terms", "scores" or None.
        runs: sampled, whose records were read.
        accepted: in the window.
        steps: the costliest first.
    """

    workflow: str
    success: float | None
    source: str | None
    runs: int
    accepted: int
    steps: tuple[StepValue, ...]


def values(
    workflow: str,
    rows: Sequence[Row],
    runs: Iterable[RunTold],
    nodes: Nodes,
    *,
    value: int | None = None,
) -> Values:
    """What each step of a workflow costs and is worth. O(numbers in the rows + records).

    Args:
        workflow: its name.
        rows: of it, of the window.
        runs: a sample of its runs that are over.
        nodes: what is known of its nodes.
        value: of a success, in nano-dollars; None if its terms do not say.
    """
    spends, used, owners = _spends(rows, nodes)
    scored = merge(*(row.body for row in rows if row.kind == "scores" and row.key["kind"] == VALUE))
    worth, source = (None, None) if value is None else (value / 1e9, "terms")
    if scored.get("count"):
        worth, source = scored["sum"] / scored["count"], "scores"
    counts: dict[str, _Counts] = {}
    count = 0
    for run in runs:
        if run.by_user:
            continue
        count += 1
        for step, state in states(run).items():
            counts.setdefault(step, _Counts()).add(state, good=run.succeeded)
    whole = sum(spend.nanos for spend in spends.values())
    steps: list[StepValue] = []
    for step in dict.fromkeys([*spends, *counts]):
        spend, seen = spends.get(step, Spend()), counts.get(step) or _Counts()
        found = StepValue(
            step=step,
            owner=owners.get(step),
            spend=spend,
            share=spend.nanos / whole if whole else None,
            used=used.get(step, 0),
            with_step=Share(*seen.with_step),
            without=Share(*seen.without),
            skipped=seen.skipped,
        )
        steps.append(_valued(found, seen, worth))
    steps.sort(key=lambda it: (-it.spend.nanos, -it.used, it.step))
    accepted = merge(*(row.body for row in rows if row.kind == "runs")).get("accepted", 0)
    return Values(
        workflow=workflow,
        success=worth,
        source=source,
        runs=count,
        accepted=int(accepted),
        steps=tuple(steps),
    )


def states(run: RunTold) -> dict[str, State]:
    """By step: "with" if the run had its work, "skipped" or "contained" if it went on without.

    Of a run that failed only the steps before the node that decided it are told, and that node: how
    it would have gone on with or without the others, nobody has seen.
    """
    plan = run.plan
    end = None if run.succeeded else deciding(run)
    if end is None and not run.succeeded:
        return {}
    before = None if end is None else plan.before(end.node)
    kinds: dict[str, list[str]] = {}
    for record in run.records:
        if record.get("node") and record["kind"] != "spent":
            kinds.setdefault(template(record["node"]), []).append(record["kind"])
    found: dict[str, State] = {}
    for path, step in plan.steps.items():
        its_end = end is not None and end.node == path
        if before is not None and path not in before and not its_end:
            continue
        state: State | None = "with" if its_end else _state(plan, path, kinds.get(path, ()))
        # A step of several nodes did its work if one of them did.
        if state is not None and _ORDER[state] >= _ORDER[found.get(step, "skipped")]:
            found[step] = state
    return found


def _state(plan: Plan, path: str, kinds: Sequence[str]) -> State | None:
    """What a node did in a run that went past it; None if that does not tell what it is worth."""
    if "done" in kinds:
        return "with"
    if "failed" in kinds:
        return "contained"
    # Who lost a race was not missing, and who stands in for another was not needed.
    place = plan.places.get(path)
    stands_in = (place is not None and place.stands_in) or plan.tiers.get(path, 0) > 0
    return None if kinds or stands_in else "skipped"


@dataclass(slots=True)
class _Counts:
    """Of a step, the runs by what they had of it."""

    with_step: list[int] = field(default_factory=lambda: [0, 0])
    without: list[int] = field(default_factory=lambda: [0, 0])
    skipped: int = 0

    def add(self, state: State, *, good: bool) -> None:
        counts = self.with_step if state == "with" else self.without
        counts[0] += good
        counts[1] += 1
        self.skipped += state == "skipped"


def _valued(found: StepValue, counts: _Counts, worth: float | None) -> StepValue:
    if min(counts.with_step[1], counts.without[1]) < LEAST:
        return found
    samples: list[Sample] = []
    for good, whole in (counts.without, counts.with_step):
        sample = Sample({"success": drop(0.01)})
        for number in range(whole):
            result: Result = "succeeded" if number < good else "failed"
            sample.add(Outcome(result=result), elapsed=0.0)
        samples.append(sample)
    difference = compare(*samples).metrics[0]
    known = difference.difference
    return replace(
        found,
        difference=known,
        low=None if difference.low is None else max(difference.low, -1.0),
        high=None if difference.high is None else min(difference.high, 1.0),
        worth=None if worth is None or known is None else known * worth,
    )


def _spends(
    rows: Iterable[Row], nodes: Nodes
) -> tuple[dict[str, Spend], dict[str, int], dict[str, str | None]]:
    """By step: its spend, its first attempts and its owner."""
    facts = finder(nodes)
    bodies: dict[str, list[Body]] = {}
    owners: dict[str, str | None] = {}
    for row in rows:
        for path, body in row.body.get("nodes", {}).items() if row.kind == "runs" else ():
            known: NodeFacts = facts(row, path)
            owners[known.step] = known.owner or owners.get(known.step)
            bodies.setdefault(known.step, []).append(body)
    sums = {step: merge(*them) for step, them in bodies.items()}
    spends = {step: Spend.total(body.get("spend", {})) for step, body in sums.items()}
    used = {
        step: int(body.get("first", 0) + body.get("fallback", 0)) for step, body in sums.items()
    }
    return spends, used, owners


State: TypeAlias = Literal["with", "contained", "skipped"]
Result: TypeAlias = Literal["succeeded", "failed", "cancelled"]
VALUE: Final = "value"
"""The kind of scores that say, in dollars, what a run was worth."""
_ORDER: Final[Mapping[State, int]] = {"skipped": 0, "contained": 1, "with": 2}
