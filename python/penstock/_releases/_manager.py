"""The manager: where runs of released workflows go, and what comes of it. A runtime has one.

All that decides is set down as notes in the store, and the state of the trial is kept with the
figures, in one transaction: after a restart it goes on as if nothing had happened.
"""

from __future__ import annotations

import asyncio
import json
import logging
import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from penstock._errors import DefinitionError
from penstock._evidence import Criteria, DriftAlarm, OnUndecided, Outcome, Trial
from penstock._figures import OPEN, OVERLAY_TAG
from penstock._policies import canonical
from penstock._settings import Changes

from ._arms import ARM_TAG, RELEASE_TAG, Arm, ArmName, Assigned, Assignment, StickyBy
from ._events import ReleaseEvent
from ._outcome import outcome_of
from ._release import Release
from ._stored import NOTE, ReleaseRecord, ReleaseState, records_of

if TYPE_CHECKING:
    from penstock._engine import Core
    from penstock._events import Feed, QueueEvent
    from penstock._registry import Registry
    from penstock._scorecard import NodeFacts
    from penstock._stored import RunInfo, StoreView
    from penstock._workflows import Workflow


class Wanted(NamedTuple):
    """What a release is asked to be; times in seconds."""

    share: float
    criteria: Criteria
    on_undecided: OnUndecided
    max_runs: int
    max_age: float | None
    horizon: float
    sticky_by: StickyBy
    gather: float
    needed: str
    risks: str
    registered: float | None
    forecast: Mapping[str, Any] | None


class Routed(NamedTuple):
    """Where a run goes: the workflow's number, its tags, and what to tell the trial."""

    plan: int
    tags: list[tuple[str, str]]
    active: Active
    assigned: Assigned | None


class Active:
    """A release with what it needs while it runs.

    Attributes:
        record: what is known of it.
        trial: that judges it.
        plans: the engine's number by arm.
        parts: the numbers of what runs of these may start.
        assignment: which run goes where.
        facts: of nodes, by path.
        needed: how many runs and dollars it takes to tell, in a sentence.
        drift: once it is promoted, the alarm.
        newest: when its newest run started, and the ids of those that started then.
        noted: how many notes it has.
        playbooks: what to do when steps of its workflow fail, by step.
        canary_runs: of it, that ended in this process.
        other_runs: of the baseline, likewise.
        held: seconds that runs of the candidate held slots, by queue.
        failed: runs that have, since it was promoted.
    """

    def __init__(self, record: ReleaseRecord, trial: Trial, assignment: Assignment) -> None:
        self.record, self.trial, self.assignment = record, trial, assignment
        self.plans: dict[ArmName, int] = {}
        self.parts: set[int] = set()
        self.facts: Mapping[str, NodeFacts] = {}
        self.needed = ""
        self.drift: DriftAlarm | None = None
        self.newest: tuple[float, list[str]] = (record.began, [])
        self.noted = 0
        self.playbooks: dict[str, str] = {}
        self.canary_runs = self.other_runs = self.failed = 0
        self.held: dict[str, float] = {}

    def weigh(self, outcome: Outcome, *, canary: bool) -> None:
        """What a run has held of queues, in this process."""
        if not canary:
            self.other_runs += 1
            return
        self.canary_runs += 1
        self.weigh_part(outcome)

    def weigh_part(self, outcome: Outcome) -> None:
        """What a run has held of queues that a run of the candidate has started."""
        for queue, seconds in outcome.slot_seconds.items():
            self.held[queue] = self.held.get(queue, 0.0) + seconds

    def started(
        self, run_id: str, arm: ArmName, unit: str, at: float, deadline: float | None
    ) -> None:
        """A run has started."""
        if at > self.newest[0]:
            self.newest = (at, [])
        self.newest[1].append(run_id)
        if self.record.state == "running":
            self.trial.started(run_id, arm, at, unit=unit or None, deadline=deadline)

    def state(self) -> str:
        """What it goes on from, as JSON."""
        drift = None if self.drift is None else self.drift.state()
        trial = self.trial.state()
        content = {"trial": trial, "drift": drift, "failed": self.failed, "newest": self.newest}
        return json.dumps(content)


class Releases:
    """Begins releases, sends runs to their arms, and decides.

    Args:
        core: of the runtime.
        registry: of its workflows.
        feeds: of those who follow the runtime's events.
        stored: whether there is a store.
    """

    def __init__(
        self,
        core: Core,
        registry: Registry,
        feeds: list[Feed[QueueEvent | ReleaseEvent]],
        *,
        stored: bool,
    ) -> None:
        self._core = core
        self._registry = registry
        self._feeds = feeds
        self._stored = stored
        self._by_name: dict[str, Active] = {}
        self._routes: dict[str, Active] = {}
        self._by_plan: dict[int, list[Active]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._saved = 0.0
        self._parted = False
        self.on_disk: Callable[[], Any] = lambda: None

    def now(self) -> float:
        """Seconds since 1970."""
        return self._core.now()

    @property
    def records(self) -> list[ReleaseRecord]:
        """All that are known, in the order they began."""
        return [active.record for active in self._by_name.values()]

    @property
    def busy(self) -> bool:
        """Whether any workflow's runs are sent elsewhere than the code says."""
        return bool(self._routes)

    def routed(self, workflow: str) -> bool:
        """Whether runs of this workflow are."""
        return workflow in self._routes

    # Beginning.

    def find(self, workflow: str, candidate: Arm, sticky_by: StickyBy) -> Release | None:
        """The newest release of a candidate; a function that a store can't keep is given anew."""
        for active in reversed(self._by_name.values()):
            if (active.record.workflow, active.record.candidate) == (workflow, candidate):
                if callable(sticky_by) and active.record.sticky_by == "function":
                    active.assignment.sticky_by = sticky_by
                return Release(self, active)
        return None

    def begin(
        self,
        workflow: Workflow[..., Any],
        changes: Changes | None,
        overlay: str,
        baseline: Arm,
        wanted: Wanted,
    ) -> Release:
        """Begin a release.

        Raises:
            DefinitionError: there is one of this workflow under way.
        """
        route = self._routes.get(workflow.name)
        if route is not None and route.record.state in ("running", "held"):
            raise DefinitionError(
                f"workflow {workflow.name!r} is being released: {route.record.name!r}",
                remedy="wait for its end, or promote it or roll it back; there is one at a time",
            )
        candidate = Arm(workflow.version, "" if changes is None else changes.digest)
        if candidate == baseline:
            raise DefinitionError(
                f"{workflow.name} {candidate.name} is what runs already",
                remedy="give overlay=, or another version of the workflow",
            )
        name = f"{workflow.name}-{candidate.name}"
        again = sum(known == name or known.startswith(f"{name}#") for known in self._by_name)
        name = f"{name}#{again + 1}" if again else name
        options: dict[str, Any] = {
            "horizon": wanted.horizon,
            "max_runs": wanted.max_runs,
            "max_age": wanted.max_age,
            "on_undecided": wanted.on_undecided,
            "gather": wanted.gather,
        }
        trial = Trial(wanted.criteria, began=self.now(), share=wanted.share, **options)
        assignment = Assignment(name, wanted.share, wanted.sticky_by)
        record = ReleaseRecord(
            name=name,
            workflow=workflow.name,
            owner=workflow.owner,
            baseline=baseline,
            candidate=candidate,
            overlay=overlay,
            share=wanted.share,
            criteria=canonical(wanted.criteria.to_dict()),
            options=options,
            sticky_by=assignment.told,
            began=self.now(),
            registered=wanted.registered,
            risks=wanted.risks,
            forecast=wanted.forecast,
        )
        active = Active(record, trial, assignment)
        active.needed = wanted.needed
        self._equip(active, changes)
        self._by_name[name] = active
        self._note(active, record.began_note())
        record.took(record.began, {"event": "began", "reason": wanted.needed})
        self._tell(active, "began", wanted.needed)
        self._route()
        return Release(self, active)

    def _equip(self, active: Active, changes: Changes | None) -> None:
        """Find the engine's numbers of its arms."""
        record, registry = active.record, self._registry
        arms: dict[ArmName, Arm] = {"baseline": record.baseline, "canary": record.candidate}
        for name, arm in arms.items():
            workflow = registry.named(record.workflow, arm.version)
            if workflow is None:
                raise DefinitionError(
                    f"{record.workflow} {arm.version} is not registered",
                    remedy="pass it to Runtime(workflows=[...])",
                )
            parts = changes if changes is not None and changes.digest == arm.overlay else None
            if arm.overlay and parts is None:
                parts = self._changes_of(arm.overlay)
            number = registry.plan(workflow, parts)
            active.plans[name] = number
            active.parts |= registry.started_by(number)
            active.playbooks |= {
                node.step.name: node.step.playbook
                for node in workflow.graph.nodes
                if node.step is not None and node.step.playbook
            }
        facts = registry.facts()
        within = {record.workflow, *(registry.workflows[number][0] for number in active.parts)}
        active.facts = {path: fact for (name, _, path), fact in facts.items() if name in within}

    def _changes_of(self, digest: str) -> Changes:
        for active in self._by_name.values():
            if active.record.candidate.overlay == digest:
                return self._registry.changes(active.record.workflow, active.record.overlay)
        raise DefinitionError(f"overlay {digest[:8]} is not known", remedy="release it first")

    # Routing.

    def baseline_of(self, workflow: Workflow[..., Any]) -> Arm:
        """What runs of a workflow run under now, if the code does not say another version."""
        route = self._routes.get(workflow.name)
        return Arm(workflow.version) if route is None else route.record.candidate

    def route(
        self, workflow: str, run_id: str, tenant: str | None, inputs: tuple[Any, ...]
    ) -> Routed:
        """Where a run of a released workflow goes.

        Raises:
            DefinitionError: `sticky_by` gives no text.
        """
        active = self._routes[workflow]
        record = active.record
        if record.state == "promoted":
            return self._routed(active, "canary", None)
        assigned = active.assignment.of(run_id, tenant, inputs)
        return self._routed(active, assigned.arm, assigned)

    def _routed(self, active: Active, arm: ArmName, assigned: Assigned | None) -> Routed:
        record = active.record
        overlay = (record.candidate if arm == "canary" else record.baseline).overlay
        tags = [(RELEASE_TAG, record.name), (ARM_TAG, arm)]
        if overlay:
            tags.append((OVERLAY_TAG, overlay))
        return Routed(active.plans[arm], tags, active, assigned)

    def started(self, routed: Routed, run_id: str, deadline: float | None) -> None:
        """A run that was sent somewhere has been accepted; its deadline is from its start."""
        if routed.assigned is not None:
            arm, unit = routed.assigned.arm, routed.assigned.unit
            routed.active.started(run_id, arm, unit, self.now(), deadline)

    def closed(
        self,
        run_id: str,
        plan: int,
        accepted: float,
        ended: float,
        body: str,
        root: tuple[str, int] | None,
    ) -> None:
        """A watched run has ended; what comes from another, by spawns, is a part of that one."""
        figures = json.loads(body)
        started = figures.get("spawned", 0)
        for active in self._by_plan.get(plan, ()):
            outcome = outcome_of(figures, active.facts)
            if root is not None:
                self._part_closed(active, root, run_id, outcome, started)
                continue
            if plan not in active.plans.values():
                continue
            if active.record.state == "promoted":
                self._drifts(active, plan, outcome, ended - accepted)
            elif active.record.state == "running":
                active.weigh(outcome, canary=plan == active.plans["canary"])
                active.trial.ended(run_id, ended, outcome, started=started)
                self._look(active)

    def _part_closed(
        self,
        active: Active,
        root: tuple[str, int],
        run_id: str,
        outcome: Outcome,
        started: int,
    ) -> None:
        name, depth = root
        if active.record.state == "running":
            if active.trial.is_canary(name):
                active.weigh_part(outcome)
            active.trial.part_ended(name, run_id, outcome, depth=depth, started=started)
            self._look(active)

    def scored(self, run_id: str, kind: str, value: float) -> None:
        """A run was scored."""
        for active in self._routes.values():
            if active.record.state == "running":
                active.trial.scored(run_id, kind, value, self.now())
                self._look(active)

    # Deciding.

    def _look(self, active: Active) -> None:
        verdict = active.trial.settled(self.now())
        if verdict is None:
            return
        state: ReleaseState = _STATES[verdict.state]
        evidence = [str(each) for each in active.trial.evidence()]
        self._decide(active, state, verdict.reason, evidence, "criteria")

    async def decide(self, active: Active, state: ReleaseState, reason: str, *, by: str) -> None:
        """What a person says."""
        evidence = [str(each) for each in active.trial.evidence()]
        self._decide(active, state, reason, evidence, by)
        await self.on_disk()

    def _decide(
        self, active: Active, state: ReleaseState, reason: str, evidence: list[str], by: str
    ) -> None:
        body = {"event": state, "reason": reason, "evidence": evidence, "by": by}
        active.record.took(self.now(), body)
        self._note(active, body)
        if state == "promoted":
            active.drift = _alarm(active)
        self._route()
        self._tell(active, state, reason)

    async def set_share(self, active: Active, share: float) -> None:
        """Send another share to the candidate."""
        active.assignment.share = share
        active.trial.changed_share(share)
        self._part_retries()
        reason = f"{100 * share:g} % of the runs go to it"
        body = {"event": "share", "share": share, "reason": reason}
        active.record.took(self.now(), body)
        self._note(active, body)
        self._tell(active, "share", reason)
        await self.on_disk()

    def _drifts(self, active: Active, plan: int, outcome: Outcome, seconds: float) -> None:
        drift = active.drift
        if drift is None or drift.alarmed or plan != active.plans["canary"]:
            return
        if outcome.result == "cancelled":
            return
        failure = outcome.result != "succeeded" or seconds > active.trial.horizon
        active.failed += failure
        if drift.ran(failure=failure):
            body = {
                "event": "alarm",
                "reason": drift.evidence,
                "usual": drift.usual,
                "drifted": active.failed / drift.runs,
            }
            active.record.took(self.now(), body)
            self._note(active, body)
            self._tell(active, "alarm", drift.evidence)

    def _tell(self, active: Active, what: str, reason: str) -> None:
        record = active.record
        kind = "drift_alarm" if what == "alarm" else f"release_{what}"
        bad = what in ("rolled_back", "void", "held", "alarm")
        told = f"release {record.name!r} of {record.owner or 'nobody'}"
        _log.log(
            logging.WARNING if bad else logging.INFO,
            "%s: %s: %s",
            told,
            what.replace("_", " "),
            reason,
        )
        event = ReleaseEvent(
            at=self.now(),
            kind=kind,
            release=record.name,
            workflow=record.workflow,
            reason=reason,
            owner=record.owner,
            playbooks=dict(active.playbooks),
        )
        for feed in self._feeds:
            feed.push(event)

    def _route(self) -> None:
        """Let each workflow's runs go where its newest release says."""
        self._routes = {}
        for active in self._by_name.values():
            record = active.record
            if record.in_force and active.plans:
                self._routes[record.workflow] = active
            elif self._routes.get(record.workflow) is active:
                del self._routes[record.workflow]
        plans: dict[int, list[Active]] = {}
        for active in self._routes.values():
            for number in {*active.plans.values(), *active.parts}:
                plans.setdefault(number, []).append(active)
        for number in self._by_plan.keys() | plans.keys():
            self._core.watch_plan(number, number in plans)
        self._by_plan = plans
        self._core.figures_by_hand(bool(plans))
        self._part_retries()
        self._set_timer()

    def _part_retries(self) -> None:
        """Let no candidate use up what pays for retries of others."""
        groups: list[tuple[int, list[int]]] = []
        for active in self._routes.values():
            if active.record.state in ("running", "held"):
                canary, baseline = active.plans["canary"], active.plans["baseline"]
                started_by = self._registry.started_by
                own = [canary, *sorted(started_by(canary) - started_by(baseline))]
                groups.append((round(1e6 * active.assignment.share), own))
        if groups or self._parted:
            self._core.part_retries(groups)
        self._parted = bool(groups)

    # Keeping.

    def _note(self, active: Active, body: Mapping[str, Any]) -> None:
        key = f"release:{active.record.name}:{active.noted}"
        active.noted += 1
        self._core.note(key, NOTE, active.record.name, canonical(dict(body)))

    def save(self) -> None:
        """Keep the figures, and with them what each release goes on from."""
        states = [(f"release {it.record.name}", it.state()) for it in self._routes.values()]
        self._core.keep_figures(states)
        self._saved = self.now()

    def _set_timer(self) -> None:
        if self._timer is None and self._routes:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(_TICK, self._tick)

    def _tick(self) -> None:
        self._timer = None
        for active in list(self._routes.values()):
            if active.record.state == "running":
                active.trial.forecast(self._utilisation(active))
                self._look(active)
        if self._stored and self.now() - self._saved >= _SAVED_EVERY:
            self.save()
        self._set_timer()

    def _utilisation(self, active: Active) -> dict[str, float]:
        """How full queues would be if all runs of the workflow were the candidate's, as these were.

        By what its runs held so far; what other workflows hold is not in it.
        """
        seconds = self.now() - active.record.began
        if seconds < _TICK or not active.canary_runs:
            return {}
        rate = (active.canary_runs + active.other_runs) / seconds
        slots = self._registry.slots()
        return {
            queue: rate * held / active.canary_runs / slots[queue]
            for queue, held in active.held.items()
            if slots.get(queue)
        }

    def close(self) -> None:
        """Keep what is known; nothing is decided from here on."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._routes and self._stored:
            self.save()

    # Opening.

    def read(self, view: StoreView) -> None:
        """Take in the releases of the store, before its runs are."""
        notes = view.reader.notes(NOTE)
        for record in records_of(notes):
            options = dict(record.options)
            trial = Trial(
                Criteria.from_dict(json.loads(record.criteria)),
                began=record.began,
                share=record.share,
                **options,
            )
            sticky_by: StickyBy = "tenant" if record.sticky_by == "tenant" else "run"
            active = Active(record, trial, Assignment(record.name, record.share, sticky_by))
            active.noted = sum(name == record.name for _, name, _, _ in notes)
            self._by_name[record.name] = active
            if record.in_force:
                self._go_on(active)
            elif record.overlay:
                self._keep_pinned(active, view)
        self._route()

    def _keep_pinned(self, active: Active, view: StoreView) -> None:
        """Runs that were started under an overlay go on under it, though it is over."""
        record = active.record
        tags = {OVERLAY_TAG: record.candidate.overlay}
        workflow = self._registry.named(record.workflow, record.candidate.version)
        if workflow is not None and view.runs(status=OPEN, tags=tags, limit=1):
            changes = self._registry.changes(record.workflow, record.overlay, strict=False)
            self._registry.plan(workflow, changes)

    def _go_on(self, active: Active) -> None:
        record = active.record
        try:
            changes = None
            if record.overlay:
                changes = self._registry.changes(record.workflow, record.overlay)
            self._equip(active, changes)
        except DefinitionError as error:
            active.plans = {}
            _log.warning("release %r does not go on: %s", record.name, error)
            return
        kept = self._core.state(f"release {record.name}")
        if kept is not None:
            state = json.loads(kept)
            active.trial = Trial.restored(state["trial"])
            active.drift = state["drift"] and DriftAlarm.restored(state["drift"])
            active.failed = state["failed"]
            active.newest = (state["newest"][0], state["newest"][1])
        if record.state == "promoted" and active.drift is None:
            active.drift = _alarm(active)

    def catch_up(
        self,
        runs: Callable[[ReleaseRecord, float], Iterable[RunInfo]],
        deadline: Callable[[str], float | None],
    ) -> None:
        """Take in what happened after the states were kept, once the store's runs are there.

        Args:
            runs: of a release, accepted at a time or later.
            deadline: of a run, in seconds since 1970; None if it has none.
        """
        for active in self._routes.values():
            since, known = active.newest
            # Forks and what runs have started have the tags, and are no runs of the release's own.
            late = [
                it
                for it in runs(active.record, since)
                if it.run_id not in known and it.parent is None
            ]
            for info in sorted(late, key=lambda it: it.accepted):
                arm: ArmName = "canary" if info.tags.get(ARM_TAG) == "canary" else "baseline"
                unit = (info.tenant or "") if active.record.sticky_by == "tenant" else ""
                until = deadline(info.run_id)
                within = None if until is None else max(until - info.accepted, 0.0)
                active.started(info.run_id, arm, unit, info.accepted, within)
        for row in self._core.recounted():
            self.closed(*row)


def new_run_id() -> str:
    """An id for a run that has none, so that its arm can be told from it."""
    return str(uuid.uuid4())


def _alarm(active: Active) -> DriftAlarm | None:
    """The alarm for failures beyond those that the candidate was promoted with."""
    verdict = active.trial.verdict(active.record.decided or active.record.began)
    found = next((it for it in active.trial.evidence() if it.criterion == "success"), None)
    usual = found.canary if found is not None else None
    if usual is None or verdict.runs == 0:
        return None
    # Of few runs none may have failed.
    return DriftAlarm(min(max(usual, 1 / (verdict.runs + 2)), 0.5))


_log: Final = logging.getLogger("penstock")
_TICK: Final = 1.0
_SAVED_EVERY: Final = 10.0
_STATES: Final[Mapping[str, ReleaseState]] = {
    "rollback": "rolled_back",
    "promote": "promoted",
    "hold": "held",
    "void": "void",
}
