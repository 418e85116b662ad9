"""Figures: the rows that scorecards are made of, and what a run has spent."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ._money import Usd
from ._scorecard import By, NodeFacts, Notes, Row, Scorecard, merge, scorecard, unresolved
from ._scorecard._histogram import quantiles
from ._scorecard._rows import grid

if TYPE_CHECKING:
    from ._run import RunStatus
    from ._stored import RunFilter, RunInfo, StoreView


@dataclass(frozen=True, slots=True, kw_only=True)
class SpentLine:
    """What one attempt of a run has spent of one resource.

    Attributes:
        node: path of its node.
        attempt: from 1.
        resource: such as "input" or "tool".
        name: of the model, tool and so on.
        units: tokens, calls or units; millionths of seconds and minutes.
        usd: what they cost, as far as it has a price.
        unpriced: how often something was booked that has none.
        mode: such as "batch"; empty for the usual one.
        rate: digest of the rates it was priced at.
        copy: whether the second copy of a hedged attempt has spent it.
        cut: whether the attempt was cut off, so that its work was repeated.
    """

    node: str
    attempt: int
    resource: str
    name: str
    units: int
    usd: Usd
    unpriced: int
    mode: str
    rate: str
    copy: bool
    cut: bool


@dataclass(frozen=True, slots=True)
class RunSpend:
    """What a run has spent so far.

    Attributes:
        lines: by node, attempt and resource.
    """

    lines: tuple[SpentLine, ...]

    @property
    def usd(self) -> Usd:
        """All of it that has a price."""
        return Usd(sum(line.usd.nanos for line in self.lines))

    @property
    def unpriced(self) -> int:
        """How often something was booked that has no price."""
        return sum(line.unpriced for line in self.lines)

    @classmethod
    def of(cls, rows: Iterable[tuple[Any, ...]]) -> RunSpend:
        """Of the native side's rows."""
        lines: list[SpentLine] = []
        for node, attempt, resource, name, mode, rate, units, nanos, unpriced, copy, cut in rows:
            line = SpentLine(
                node=node,
                attempt=attempt,
                resource=resource,
                name=name,
                units=units,
                usd=Usd(nanos),
                unpriced=unpriced,
                mode=mode,
                rate=rate,
                copy=copy,
                cut=cut,
            )
            lines.append(line)
        return cls(tuple(lines))

    def __repr__(self) -> str:
        return f"<RunSpend {self.usd}, {len(self.lines)} lines>"


def rows_of(found: Iterable[tuple[float, str, str, str]], since: float, until: float) -> list[Row]:
    """What windows that start in [since, until) come to, from the native side's rows.

    Rows of one kind and key are added up where a scorecard of that time shows them as one. They
    are read and added up key by key: a million small objects at once would keep the garbage
    collector busy for longer than all the rest takes.
    """
    keys: dict[str, dict[str, Any]] = {}
    inside = [row for row in found if since <= row[0] < until]
    for _, _, key, _ in inside:
        if key not in keys:
            keys[key] = json.loads(key)
    width = grid([Row(since, "", key, {}) for key in keys.values()], since, until)
    alike: dict[tuple[float, str, str], tuple[float, list[str]]] = {}
    for window, kind, key, body in inside:
        cell = alike.setdefault((window // width, kind, key), (window, []))
        cell[1].append(body)
    rows: list[Row] = []
    for (_, kind, key), (window, bodies) in alike.items():
        read = json.loads(f"[{','.join(bodies)}]")
        rows.append(Row(window, kind, keys[key], merge(*read) if len(read) > 1 else read[0]))
    return rows


def rows_of_store(view: StoreView, since: float, until: float) -> list[Row]:
    """What the store's windows that start in [since, until) come to."""
    return rows_of(view.reader.metrics(since, until), since, until)


def scorecard_of_store(
    view: StoreView,
    since: float,
    until: float,
    *,
    by: By | None = None,
    now: float,
    horizon: float | None = None,
    notes: Notes | None = None,
) -> Scorecard:
    """The scorecard of a window of a store. O(rows of the window).

    Args:
        view: of the store.
        since: seconds since 1970.
        until: likewise.
        by: what to group by.
        now: likewise.
        horizon: runs that are open for so many seconds count as failures.
        notes: what is known of branches and budgets; what the store was told last if not given.
    """
    rows = rows_of_store(view, since, until)
    rows += open_rows(
        lambda wanted: view.every(**wanted), rows, since, until, now=now, horizon=horizon
    )
    from ._releases._stored import NOTE, records_of, with_releases  # they are made of rows, too
    from ._seen import STATE, notes_of

    if notes is None:
        notes = notes_of(view.reader.state(STATE))
    notes = with_releases(notes, records_of(view.reader.notes(NOTE)))
    nodes = nodes_of_store(view, rows)
    return scorecard(rows, since=since, until=until, by=by, nodes=nodes, notes=notes)


def nodes_of_store(view: StoreView, rows: Sequence[Row]) -> dict[tuple[str, str, str], NodeFacts]:
    """What the store knows of the nodes of each version that the rows are of."""
    queues = {row.key["step"]: row.key["queue"] for row in rows if row.kind == "delays"}
    versions = {(row.key["workflow"], row.key["version"]) for row in rows if row.kind == "runs"}
    found: dict[tuple[str, str, str], NodeFacts] = {}
    for name, version, _, content in view.reader.interfaces("terms"):
        if (name, version) in versions:
            for path, facts in json.loads(content).get("nodes", {}).items():
                facts.setdefault("queue", queues.get(facts["step"]))
                found[name, version, path] = NodeFacts(**facts)
    return found


def horizon_of(rows: Iterable[Row]) -> float | None:
    """Seconds that a run may be open: twice the time in which 99.9 % of them are over.

    None if none is over.
    """
    latency = merge(*(row.body["latency"] for row in rows if "latency" in row.body))
    slowest = quantiles(latency, 0.999)
    return None if slowest is None else 2 * slowest[0]


def open_rows(
    runs_of: Callable[[RunFilter], Iterable[RunInfo]],
    rows: Iterable[Row],
    since: float,
    until: float,
    *,
    now: float,
    horizon: float | None = None,
) -> list[Row]:
    """Rows of the runs that count as failures, though they are not over.

    These are open for longer than the horizon, or something that they did could not be undone.

    Args:
        runs_of: gives the runs that a filter lets through.
        rows: what is known of those that are over.
        since: seconds since 1970; runs that were accepted then or later.
        until: likewise, before then.
        now: likewise.
        horizon: seconds; `horizon_of` if not given.
    """
    wanted: RunFilter = {"accepted_after": since, "accepted_before": until}
    stuck = runs_of({**wanted, "status": "compensation_failed"})
    found = [failure_of(info, "compensation_failed") for info in stuck]
    horizon = horizon_of(rows) if horizon is None else horizon
    if horizon is not None:
        late = min(until, now - horizon)
        still = runs_of({**wanted, "accepted_before": late, "status": OPEN})
        found += [failure_of(info, "unresolved") for info in still]
    return found


def failure_of(info: RunInfo, cause: str) -> Row:
    """The row of a run that is not over, and counts as a failure."""
    return unresolved(
        info.accepted,
        info.workflow,
        info.version,
        overlay=overlay_of(info),
        tenant=info.tenant,
        cause=cause,
    )


def overlay_of(info: RunInfo) -> str:
    """Digest of the overlay that a run is pinned to; empty if to none."""
    return info.tags.get(OVERLAY_TAG, "")


def score_row(
    at: float, key: Mapping[str, Any], value: float, before: float | None = None
) -> tuple[float, str, str, str]:
    """What a score adds to the figures, in the native side's terms.

    Args:
        at: when the run was accepted.
        key: workflow, version, overlay and kind.
        value: of the score.
        before: the value that it takes the place of.
    """
    body = {"count": 1, "sum": value, "squares": value * value}
    if before is not None:
        body = {"sum": value - before, "squares": value * value - before * before}
    return at, "scores", json.dumps(key, sort_keys=True), json.dumps(body)


OVERLAY_TAG: Final = "penstock.overlay"
OPEN: Final[Sequence[RunStatus]] = ("running", "paused", "held", "compensating")
