"""Reading: what the questions take from a store: rows of figures, and samples of its runs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from penstock._figures import open_rows, rows_of
from penstock._scorecard import Row

from ._runs import Plan, Record, RunTold

if TYPE_CHECKING:
    from penstock._stored import RunFilter, RunInfo, StoredRecord, StoreView


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a version of a workflow is, as far as the store knows.

    Attributes:
        workflow: its name.
        version: of it.
        owner: who answers for it; None if nobody is named.
        value: of a success, in nano-dollars; None if it does not say.
        nodes: by path, the facts of each node that runs a step.
        graph: canonical JSON; None if the store does not have it.
    """

    workflow: str
    version: str
    owner: str | None = None
    value: int | None = None
    nodes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]])
    graph: Mapping[str, Any] | None = None


def terms_of(view: StoreView) -> dict[tuple[str, str], Terms]:
    """By workflow and version, what the store knows of it; the last registered of each."""
    graphs = {
        (name, version): json.loads(content)["graph"]
        for name, version, _, content in view.reader.interfaces("graph")
    }
    found = {
        key: Terms(workflow=key[0], version=key[1], graph=graph) for key, graph in graphs.items()
    }
    for name, version, _, content in view.reader.interfaces("terms"):
        told = json.loads(content)
        found[name, version] = Terms(
            workflow=name,
            version=version,
            owner=told.get("owner"),
            value=told.get("value"),
            nodes=told.get("nodes", {}),
            graph=graphs.get((name, version)),
        )
    return found


def rows_of_kinds(view: StoreView, since: float, until: float, *kinds: str) -> list[Row]:
    """The store's rows of these kinds, of windows that start in [since, until)."""
    found = view.reader.metrics(since, until)
    return rows_of((row for row in found if row[1] in kinds), since, until)


def stuck(
    view: StoreView,
    workflow: str,
    since: float,
    until: float,
    *,
    now: float,
    horizon: float | None,
) -> list[Row]:
    """Rows of a workflow's runs that are open for longer than the horizon: they are failures."""
    if horizon is None:
        return []

    def runs_of(wanted: RunFilter) -> Iterator[RunInfo]:
        wanted["workflow"] = workflow
        return view.every(**wanted)

    return open_rows(runs_of, (), since, until, now=now, horizon=horizon)


def settled(
    view: StoreView,
    workflow: str,
    since: float,
    until: float,
    *,
    now: float,
    horizon: float | None,
) -> float:
    """The end of the last minute whose runs are all over, or too old to wait for; `until` at most.

    Else runs that fail early would be seen before those that take their time to succeed.
    """
    late = since if horizon is None else max(since, now - horizon)
    oldest = view.oldest(status=OPEN, workflow=workflow, accepted_after=late, accepted_before=until)
    return until if oldest is None else oldest.accepted // 60 * 60


def told(
    view: StoreView,
    runs: Iterable[RunInfo],
    terms: Mapping[tuple[str, str], Terms],
    *,
    scores: bool = False,
) -> Iterator[RunTold]:
    """Runs by their records; those that have not ended are left out. O(records).

    Args:
        view: of the store.
        runs: whose records are read.
        terms: of their versions.
        scores: whether their scores are read as well.
    """
    plans: dict[int, Plan] = {}
    for info in runs:
        if info.ended is None:
            continue
        records = _until_the_end(view.records(info.run_id))
        if not records:
            continue
        graph = view.graph(info.run_id)
        plan = plans.get(id(graph))
        if plan is None:
            known = terms.get((info.workflow, info.version))
            own = {} if known is None else {"owner": known.owner, "nodes": known.nodes}
            plan = plans[id(graph)] = Plan.of(graph, own)
        yield RunTold(
            run_id=info.run_id,
            accepted=info.accepted,
            ended=float(records[-1]["at"]),
            records=records,
            plan=plan,
            scores=_scores(view, info.run_id) if scores else {},
        )


def _until_the_end(records: Sequence[StoredRecord]) -> list[Record]:
    """Up to the first end; none if there is none. A run that was tried again has several."""
    found: list[Record] = []
    for record in records:
        facts = record.facts
        found.append(
            {
                "at": record.at,
                "kind": record.kind,
                "node": record.node or None,
                "attempt": record.attempt or None,
                # The facts that a record is given by others stand beside its own.
                "facts": {**facts["facts"], **facts} if "facts" in facts else facts,
                "value": record.value if record.kind == "failed" else None,
            }
        )
        if record.kind == "ended":
            return found
    return []


def _scores(view: StoreView, run_id: str) -> dict[str, float]:
    """By kind, the last score."""
    notes = (json.loads(body) for *_, body in view.reader.notes("score", run_id))
    return {note["kind"]: float(note["value"]) for note in notes}


OPEN: Final = ("running", "paused", "held", "compensating")
