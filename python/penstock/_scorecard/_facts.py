"""Facts: what a scorecard is told beside the rows: of nodes, of releases, of budgets.

A `Notes` holds what the store knows about changes; whoever reads the store fills it in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeFacts:
    """What a node of a workflow's version is.

    Attributes:
        step: its name.
        version: of the step.
        owner: of the step; None if nobody is named.
        queue: what it waits in; None if in none of its own.
        effects: "pure", "idempotent" or "once".
        playbook: what a person does when it fails.
        tier: its place in a cascade, from 0; None outside of one.
        attempts: how many it may have; None for one.
    """

    step: str
    version: str = "1"
    owner: str | None = None
    queue: str | None = None
    effects: str | None = None
    playbook: str | None = None
    tier: int | None = None
    attempts: int | None = None


Nodes: TypeAlias = Mapping[tuple[str, str, str], NodeFacts]
"""By workflow, version and the node's path, with `[]` for the items of a map."""

Outcome: TypeAlias = Literal["promoted", "rolled_back", "held", "void", "running"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseNote:
    """One release; times in seconds since 1970, None for what has not happened.

    Attributes:
        workflow: what was released.
        version: its candidate.
        overlay: likewise; empty for none.
        registered: when the version was first seen.
        full: when it had 100 % of the runs.
        ended: when the outcome was known.
        outcome: "rolled_back" without `full` is a canary's: the gate has worked.
        undone: when a full release was rolled back or reverted.
        first_bad: the first start that went wrong.
        alarm: when that was told.
        last_bad: the last start on the bad version.
    """

    workflow: str
    version: str
    overlay: str = ""
    registered: float | None = None
    full: float | None = None
    ended: float | None = None
    outcome: Outcome = "running"
    undone: float | None = None
    first_bad: float | None = None
    alarm: float | None = None
    last_bad: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """How far a metric has moved from its baseline.

    Attributes:
        workflow: whose.
        version: of it.
        metric: by name.
        baseline: what it was.
        now: what it is.
        alarm: when the drift alarm was raised; None if it was not.
    """

    workflow: str
    version: str
    metric: str
    baseline: float
    now: float
    alarm: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Overrun:
    """Spend above a budget's limit.

    Attributes:
        at: when it was booked.
        workflow: whose run did it.
        version: of it.
        tenant: whom the run was for.
        nanos: nano-dollars above the limit.
    """

    at: float
    workflow: str
    version: str
    tenant: str | None = None
    nanos: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Notes:
    """What the store knows beside the rows. What is None is not known, and shows as no data.

    Attributes:
        releases: all, whenever they were.
        coverage: share of the branches seen, by workflow and version.
        drift: of what runs now.
        overruns: of budgets.
    """

    releases: Sequence[ReleaseNote] | None = None
    coverage: Mapping[tuple[str, str], float] = field(default_factory=dict[tuple[str, str], float])
    drift: Sequence[Drift] = ()
    overruns: Sequence[Overrun] | None = None
