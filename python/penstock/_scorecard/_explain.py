"""Explain: where one run's money and time went, from its records and its graph.

Each node's time from the moment that what it needs was there, to its end, is parted into waiting in
a queue, running, backing off, being parked, waiting for people and sleeping. The critical path is
the chain of nodes that the run's end waited for; its parts add up to the run's time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from ._codec import written
from ._figures import Spend, Waste
from ._path import Paths
from ._rows import Body, add

Doing: TypeAlias = Literal["queue", "running", "backoff", "parked", "people", "asleep", "other"]
Record: TypeAlias = Mapping[str, Any]
"""As `penstock show --json` has it: "at", "kind", "node", "attempt" and "facts"."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """A stretch of time that a node spent in one way."""

    start: float
    end: float
    doing: Doing

    @property
    def seconds(self) -> float:
        """How long."""
        return self.end - self.start


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeAccount:
    """Where a node's money and time went.

    Attributes:
        path: of the node.
        attempts: that were made.
        state: "done", "failed", "withdrawn", "open"...
        stretches: its time, in order, without gaps.
        spend: by resource.
        waste: the same by what became of it.
        critical: whether the run's end waited for it.
        score: of its value, if a threshold judged it.
    """

    path: str
    attempts: int
    state: str
    stretches: tuple[Stretch, ...]
    spend: Mapping[str, Spend]
    waste: Waste
    critical: bool
    score: float | None = None

    @property
    def cost(self) -> Spend:
        """All of its spend."""
        return _total(self.spend)

    @property
    def seconds(self) -> dict[Doing, float]:
        """Its time by what it did."""
        return _by_doing(self.stretches)


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Where a run's money and time went.

    Attributes:
        status: of the run; "running" if it has not ended.
        accepted: when, in seconds since 1970.
        ended: likewise, or the time up to which it is explained.
        nodes: in the order they became eligible.
        path: the critical path: the node of each stretch (empty for the run itself), in order.
        spend: by resource.
        waste: the same by what became of it.
    """

    DERIVED = ("seconds",)

    status: str
    accepted: float
    ended: float
    nodes: tuple[NodeAccount, ...]
    path: tuple[tuple[str, Stretch], ...]
    spend: Mapping[str, Spend]
    waste: Waste

    @property
    def cost(self) -> Spend:
        """All spend."""
        return _total(self.spend)

    @property
    def seconds(self) -> dict[Doing, float]:
        """The run's time by what its critical path did."""
        return _by_doing([stretch for _, stretch in self.path])

    def to_dict(self) -> dict[str, Any]:
        """As plain data."""
        content: dict[str, Any] = written(self)
        content["path"] = [{"node": node, **written(stretch)} for node, stretch in self.path]
        return content


def explain(
    records: Sequence[Record], graph: Mapping[str, Any] | None, *, now: float | None = None
) -> Explanation:
    """Explain a run.

    Args:
        records: of the run, in their order; the first is that it was accepted.
        graph: its canonical JSON, as the store keeps it; without one the order is not known, and
            each node counts as eligible from the start.
        now: where the explanation ends if the run has not.
    """
    accepted = float(records[0]["at"]) if records else 0.0
    last = next((it for it in reversed(records) if it["kind"] == "ended"), None)
    latest = max((float(it["at"]) for it in records), default=accepted)
    until = float(last["at"]) if last is not None else max(now or latest, latest)
    status = "running" if last is None else str(last["facts"].get("status", "ended"))
    paths = Paths(records, graph, accepted)
    spends, scores = _spends(records, paths, status), paths.scores()
    critical = _critical(paths, accepted, until)
    on_path = {node for node, _ in critical}
    nodes = [
        _account(
            paths, path, until, spends.get(path, {}), score=scores.get(path), on=path in on_path
        )
        for path in dict.fromkeys([*paths.instances, *spends])
        if path
    ]
    nodes.sort(key=lambda it: (it.stretches[0].start if it.stretches else accepted, it.path))
    every: Body = {}
    for body in spends.values():
        add(every, body)
    return Explanation(
        status=status,
        accepted=accepted,
        ended=until,
        nodes=tuple(nodes),
        path=tuple(critical),
        spend=_priced(every),
        waste=_wasted(every),
    )


def _account(
    paths: Paths, path: str, until: float, spend: Body, *, score: float | None, on: bool
) -> NodeAccount:
    records = paths.records.get(path, ())
    attempts = max((int(it.get("attempt") or 0) for it in records), default=0)
    return NodeAccount(
        path=path,
        attempts=attempts,
        state=paths.state(path),
        stretches=tuple(stretches(paths, path, until)),
        spend=_priced(spend),
        waste=_wasted(spend),
        critical=on,
        score=score,
    )


def stretches(paths: Paths, path: str, until: float) -> list[Stretch]:
    """A node's time from eligible to its end, or to `until`."""
    if path not in paths.instances:
        return []
    eligible, _ = paths.eligible(path)
    end = paths.end(path)
    waits = paths.waits(path)
    if waits is not None:
        doing: Doing = "people" if waits == "signal" else "asleep"
        return _tidy([Stretch(eligible, until if end is None else end, doing)])
    found: list[Stretch] = []
    waiting: Doing = "queue"
    at, due = eligible, eligible

    def wait_until(time: float) -> None:
        nonlocal at
        back = min(max(due, at), time)
        found.append(Stretch(at, back, "backoff" if waiting == "queue" else waiting))
        found.append(Stretch(back, time, waiting))
        at = time

    running = False
    for record in paths.records.get(path, ()):
        kind, facts = record["kind"], record["facts"]
        time = max(float(record["at"]), at)
        if kind in _ENDS_ATTEMPT and "started" in facts:
            if not running:
                wait_until(min(max(facts["started"] / 1e9, at), time))
            found.append(Stretch(at, time, "running"))
            at, running, waiting = time, False, "queue"
            due = facts.get("due", 0) / 1e9
            if facts.get("denial"):
                waiting = "parked"
        elif kind in _MOVES:
            if running:
                found.append(Stretch(at, time, "running"))
                at = time
            else:
                wait_until(time)
            running = kind == "started"
            waiting = "parked" if kind == "parked" else "queue"
    if end is None:
        if running:
            found.append(Stretch(at, max(until, at), "running"))
        else:
            wait_until(max(until, at))
    return _tidy(found)


def _critical(paths: Paths, accepted: float, until: float) -> list[tuple[str, Stretch]]:
    """The chain of nodes that the end waited for, from the start; without gaps."""
    path = paths.last()
    chain: list[tuple[str, Stretch]] = []
    at = until
    while path is not None:
        eligible, before = paths.eligible(path)
        own = [it for it in stretches(paths, path, until) if it.start < at]
        end = min(own[-1].end, at) if own else eligible
        if at > end:
            chain.append((path if chain else "", Stretch(end, at, "other")))
        chain += [(path, Stretch(it.start, min(it.end, end), it.doing)) for it in reversed(own)]
        at, path = min(eligible, at), before
    if at > accepted:
        chain.append(("", Stretch(accepted, at, "other")))
    return [it for it in reversed(chain) if it[1].seconds > 0]


def _spends(records: Sequence[Record], paths: Paths, status: str) -> dict[str, Body]:
    """By node: nano-dollars and units by resource, and nano-dollars by what became of them."""
    found: dict[str, Body] = {}
    for record in records:
        if record["kind"] != "spent":
            continue
        path, facts = record.get("node") or "", record["facts"]
        nanos = facts.get("nanos")
        line = {
            "nanos": nanos or 0,
            "lines": 1,
            "unpriced": int(nanos is None),
            "units": facts.get("units", 0),
        }
        name = " ".join(filter(None, (facts.get("name"), facts["resource"])))
        became = _became(record, paths, status)
        body: Body = {"spend": {name: line}, "waste": {became: nanos or 0}}
        add(found.setdefault(path, {}), body)
    return found


def _became(record: Record, paths: Paths, status: str) -> str:
    """The class of waste, by economics' order: the first that matches."""
    facts, path = record["facts"], record.get("node") or ""
    if told := facts.get("waste"):
        return str(told)
    if status == "running":
        return "unsettled"
    if status != "succeeded":
        return "failed_run"
    if facts.get("kind") == "compensation":
        return "compensation"
    outcome = paths.outcome(path, int(record.get("attempt") or 0))
    if outcome in ("failed", "interrupted", "abandoned"):
        return "failed_attempt"
    if outcome not in ("done", None):
        return "lost"
    return "escalation" if path in paths.rejected else "useful"


def _priced(body: Body) -> dict[str, Spend]:
    found = {name: Spend.of(line) for name, line in body.get("spend", {}).items()}
    return dict(sorted(found.items(), key=lambda item: (-item[1].nanos, item[0])))


def _wasted(body: Body) -> Waste:
    waste = body.get("waste", {})
    return Waste.of(waste, sum(waste.values()))


def _total(spend: Mapping[str, Spend]) -> Spend:
    return Spend(
        nanos=sum(it.nanos for it in spend.values()),
        lines=sum(it.lines for it in spend.values()),
        unpriced=sum(it.unpriced for it in spend.values()),
    )


def _by_doing(found: Sequence[Stretch]) -> dict[Doing, float]:
    seconds: dict[Doing, float] = {}
    for it in found:
        seconds[it.doing] = seconds.get(it.doing, 0.0) + it.seconds
    return seconds


def _tidy(found: Sequence[Stretch]) -> list[Stretch]:
    """Without empty ones, and neighbours that do the same as one."""
    tidy: list[Stretch] = []
    for it in found:
        if it.seconds <= 0:
            continue
        if tidy and tidy[-1].doing == it.doing and tidy[-1].end == it.start:
            it = Stretch(tidy.pop().start, it.end, it.doing)  # noqa: PLW2901
        tidy.append(it)
    return tidy


_ENDS_ATTEMPT: Final = ("done", "failed", "interrupted", "abandoned", "unknown", "withdrawn")
_MOVES: Final = (*_ENDS_ATTEMPT, "started", "parked")
