"""Stored: what a store knows of its runs, for the owner and for other processes alike.

Nothing here imports a user's module: readable paths come from the graph that the store keeps with
its runs. Python's own `sqlite3` is not used: a second copy of SQLite in a process drops the locks
of the first one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypedDict, cast, get_args

from typing_extensions import Unpack

from . import _engine
from ._errors import DefinitionError
from ._events import Event
from ._plan import plan_of_json
from ._run import RunStatus

if TYPE_CHECKING:
    from ._durability import Durability


RecordRow: TypeAlias = tuple[
    int, int, float, str, int | None, str | None, int, str | None, str | None
]
"""As the reader gives it: lsn, seq, at, kind, place, path, attempt, body, value."""


class RunFilter(TypedDict, total=False):
    """Which runs are asked for; every part that is given must hold.

    Attributes:
        status: one of these, or this one.
        workflow: by name.
        version: of the workflow.
        tenant: whom the run is for.
        tags: that it has, all of them.
        accepted_after: seconds since 1970; then or later.
        accepted_before: seconds since 1970; before then.
        limit: how many at most, the newest; None for all.
    """

    status: RunStatus | Sequence[RunStatus] | None
    workflow: str | None
    version: str | None
    tenant: str | None
    tags: Mapping[str, str] | None
    accepted_after: float | None
    accepted_before: float | None
    limit: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunInfo:
    """What is known of a run.

    Attributes:
        run_id: its id.
        workflow: its name.
        version: of the workflow.
        status: where the run is.
        accepted: when, in seconds since 1970.
        ended: likewise; None if it has not ended.
        tenant: whom it is for.
        tags: what it is found by; kept by a store only.
        priority: its own, if it has one.
        durability: what is on disk before what; None in memory.
        generation: how often it was retried as a whole.
        recoveries: how often the process went down under it.
        held: why it is kept aside; None if it is not.
        parent: id of the run it was made from.
    """

    run_id: str
    workflow: str
    version: str
    status: RunStatus
    accepted: float
    ended: float | None = None
    tenant: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict[str, str])
    priority: int | None = None
    durability: Durability | None = None
    generation: int = 0
    recoveries: int = 0
    held: str | None = None
    parent: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRecord:
    """A record of a run.

    Attributes:
        lsn: its place in the store.
        seq: its place in the run.
        at: when, in seconds since 1970.
        kind: what it records; see `Event.kind`.
        node: the node's path; "node 7" where that is not known, empty where it is about the run.
        attempt: from 1; 0 where there is none.
        facts: what it says beyond that.
        value: JSON of the value, error or input; None if there is none.
    """

    lsn: int
    seq: int
    at: float
    kind: str
    node: str
    attempt: int
    facts: Mapping[str, Any]
    value: str | None

    def event(self) -> Event:
        """What `Run.history` has for it."""
        facts = self.facts
        number = facts.get("outcome" if self.kind == "chosen" else "count")
        return Event(
            at=self.at,
            kind=self.kind,
            node=self.node,
            attempt=self.attempt,
            detail=facts.get("cause") or facts.get("status") or facts.get("denial") or "",
            parked=facts.get("denial") or "",
            started=facts["started"] / 1e9 if self.kind == "done" else None,
            due=facts["due"] / 1e9 if "due" in facts else None,
            value=number if self.kind in ("chosen", "opened") else None,
            score=facts.get("score"),
        )


class StoreView:
    """Reads a store, and leaves commands for its owner. Safe in any thread.

    Args:
        path: of a store that is there.

    Raises:
        StoreError: there is none, or it can't be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.reader = _engine.StoreReader(path)
        self._plans: dict[str, _engine.Plan] = {}
        self._graphs: dict[tuple[str, str, str], dict[str, Any]] = {}

    def runs(self, **wanted: Unpack[RunFilter]) -> list[RunInfo]:
        """The runs that the filter lets through, newest first."""
        limit = wanted.get("limit")
        return [info_of(row) for row in self.reader.runs(**_filter(wanted), limit=limit or 0)]

    def every(self, **wanted: Unpack[RunFilter]) -> Iterator[RunInfo]:
        """Likewise, page by page: no read holds up the owner's upkeep for long."""
        left = wanted.get("limit") or _ALL
        before: int | None = None
        while left > 0:
            page = min(left, _PAGE)
            rows = self.reader.runs(**_filter(wanted), before_run=before, limit=page)
            yield from map(info_of, rows)
            if len(rows) < page:
                return
            left -= page
            before = rows[-1]["number"]

    def oldest(self, **wanted: Unpack[RunFilter]) -> RunInfo | None:
        """The oldest run that the filter lets through; a look-up for each doubling of the runs."""
        found = self._oldest(_filter(wanted))
        return None if found is None else info_of(found)

    def rising(self, **wanted: Unpack[RunFilter]) -> Iterator[RunInfo]:
        """The runs that the filter lets through, oldest first, page by page; without a limit."""
        asked = _filter(wanted)
        oldest, newest = self._oldest(asked), self.reader.runs(**asked, limit=1)
        low, page = 0 if oldest is None else oldest["number"], _PAGE
        while newest and low <= newest[0]["number"]:
            rows = self.reader.runs(**asked, before_run=low + page, limit=page)
            inside = [row for row in rows if row["number"] >= low]
            yield from map(info_of, reversed(inside))
            low += page
            # Where runs of others lie between, a page may span more of them.
            page = min(2 * page, _PAGE_MAX) if len(inside) < page // 4 else page

    def _oldest(self, asked: dict[str, Any]) -> dict[str, Any] | None:
        rows = self.reader.runs(**asked, limit=1)
        if not rows:
            return None
        found, above = rows[0], 0  # none is below number `above`, and `found` is the oldest so far
        while (middle := (above + found["number"] + 1) // 2) > above:
            rows = self.reader.runs(**asked, before_run=middle, limit=1)
            if rows:
                found = rows[0]
            else:
                above = middle
        return found

    def run(self, run_id: str) -> RunInfo | None:
        """A run by its id."""
        row = self.reader.run(run_id)
        return None if row is None else info_of(row)

    def records(self, run_id: str) -> list[StoredRecord]:
        """A run's records in their order; none if there is no such run.

        Raises:
            StoreCorrupt: one is damaged or missing.
        """
        plan, graph = self._plan(run_id), self.graph(run_id)
        waits = (node for node in (graph or {}).get("nodes", ()) if node["kind"] == "signal")
        # A record knows a signal by its number among those that the graph waits for.
        signals = list(dict.fromkeys(node["detail"]["signal"]["name"] for node in waits))
        rows = self.reader.records(run_id, plan) or []
        return [_record(row, signals) for row in rows]

    def unpaid(self, run_id: str) -> list[str]:
        """Paths of the run's nodes whose retry nobody pays for until somebody resumes it."""
        unpaid: dict[str, None] = {}
        for record in self.records(run_id):
            if record.facts.get("denial") == "dead_letter":
                unpaid[record.node] = None
            elif record.kind == "resumed":
                unpaid.clear()
        return list(unpaid)

    def nodes(self, run_id: str, states: Sequence[str]) -> list[tuple[str, str]]:
        """Paths of the run's nodes that are in one of these states, and the state.

        Empty if the store does not have the run's graph.
        """
        plan = self._plan(run_id)
        return [] if plan is None else self.reader.nodes(run_id, plan, list(states))

    def graph(self, run_id: str) -> dict[str, Any] | None:
        """The graph that a run was started with, as JSON has it; None if it is not there."""
        row = self.reader.run(run_id)
        if row is None:
            return None
        identity = (row["workflow"], row["version"], row["graph"])
        if identity not in self._graphs:
            # A graph never changes, and a new one comes with its first run.
            for name, version, digest, content in self.reader.interfaces("graph"):
                if (name, version, digest) == identity:
                    self._graphs[identity] = json.loads(content)["graph"]
        return self._graphs.get(identity)

    def close(self) -> None:
        """Let go of the file."""
        self.reader.close()

    def _plan(self, run_id: str) -> _engine.Plan | None:
        row = self.reader.run(run_id)
        if row is None:
            return None
        plan = self._plans.get(row["graph"])
        if plan is None:
            graph = self.graph(run_id)
            if graph is None:
                return None
            plan = self._plans[row["graph"]] = plan_of_json(graph)
        return plan


def statuses(value: RunStatus | Sequence[RunStatus] | None) -> list[RunStatus]:
    """One or several statuses as a list; none stands for all.

    Raises:
        DefinitionError: one of them is none.
    """
    given: list[RunStatus] = [value] if isinstance(value, str) else list(value or ())
    for status in given:
        if status not in get_args(RunStatus):
            known = ", ".join(get_args(RunStatus))
            raise DefinitionError(f"no status is {status!r}", remedy=f"give one of {known}")
    return given


def info_of(row: Mapping[str, Any]) -> RunInfo:
    """A run as the native side has it."""
    given = {name: row[name] for name in RunInfo.__slots__ if name != "tags"}
    return RunInfo(**given, tags=MappingProxyType(dict(row["tags"])))


def remembered(
    core: _engine.Core, workflows: Sequence[tuple[str, str]], wanted: RunFilter
) -> list[RunInfo]:
    """Likewise of a runtime without a store: runs under way, and the last that have ended.

    Args:
        core: of the runtime.
        workflows: (name, version) by the engine's number.
        wanted: the filter.

    Raises:
        DefinitionError: tags are asked for, which are kept by stores only.
    """
    if wanted.get("tags"):
        raise DefinitionError(
            "a runtime without a store does not keep tags", remedy="give it a store"
        )
    among, limit = statuses(wanted.get("status")), wanted.get("limit")
    after, before = wanted.get("accepted_after"), wanted.get("accepted_before")
    found: list[RunInfo] = []
    for run_id, plan, status, accepted, ended, tenant in core.known_runs():
        workflow, version = ("", "") if plan is None else workflows[plan]
        if (
            (not among or status in among)
            and wanted.get("workflow") in (None, workflow)
            and wanted.get("version") in (None, version)
            and wanted.get("tenant") in (None, tenant)
            and (after is None or accepted >= after)
            and (before is None or accepted < before)
        ):
            info = RunInfo(
                run_id=run_id,
                workflow=workflow,
                version=version,
                status=cast("RunStatus", status),
                accepted=accepted,
                ended=ended,
                tenant=tenant,
            )
            found.append(info)
    return found[:limit]


def _filter(wanted: RunFilter) -> dict[str, Any]:
    return {
        "statuses": statuses(wanted.get("status")),
        "workflow": wanted.get("workflow"),
        "version": wanted.get("version"),
        "tenant": wanted.get("tenant"),
        "tags": list((wanted.get("tags") or {}).items()),
        "accepted_after": wanted.get("accepted_after"),
        "accepted_before": wanted.get("accepted_before"),
    }


def _record(row: RecordRow, signals: Sequence[str]) -> StoredRecord:
    lsn, seq, at, kind, place, path, attempt, body, value = row
    facts: dict[str, Any] = json.loads(body) if body else {}
    number = facts.get("signal")
    if number is not None and number < len(signals):
        facts["signal"] = signals[number]
    return StoredRecord(
        lsn=lsn,
        seq=seq,
        at=at,
        kind=kind,
        node="" if place is None else path or f"node {place}",
        attempt=attempt,
        facts=facts,
        value=value,
    )


_PAGE: Final = 1_000
_PAGE_MAX: Final = 64_000
_ALL: Final = 2**62
