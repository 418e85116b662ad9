"""Reading: what the records of a run tell, fact by fact.

Runs that are still open count as well: their attempts have been made, and leaving them out would
leave out what takes long.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from math import isfinite
from statistics import median
from typing import TYPE_CHECKING, Any, Final

from penstock._graph import Wait
from penstock._questions._graphs import graph_of
from penstock._questions._runs import template
from penstock._scorecard._path import Paths
from penstock._simulation._subject import DEFAULT, subject_of

from ._seen import Answer, Attempt, How, Judged, Key, Line, Seen
from ._taken import Taken
from ._tiers import tiers_of

if TYPE_CHECKING:
    from penstock._questions._reading import Terms
    from penstock._stored import RunInfo, StoredRecord


class Reader:
    """Reads the records of runs of one workflow into what was seen.

    Args:
        content: the graph, canonical JSON.
        terms: of its version; None if the store does not have them.
        seen: what is added to.
    """

    def __init__(self, content: Mapping[str, Any], terms: Terms | None, seen: Seen) -> None:
        self._content = content
        self._seen = seen
        self._graph = graph_of(content, {})
        self._subject = subject_of(self._graph)
        facts: Mapping[str, Mapping[str, Any]] = {} if terms is None else terms.nodes
        self._queues = {path: told.get("queue") or DEFAULT for path, told in facts.items()}
        self._steps = {node.path: node.step.name for node in self._graph.nodes if node.step}
        self._kinds = {node.path: node.kind for node in self._graph.nodes}
        self._places = {node.path: place for place, node in enumerate(self._graph.nodes)}
        self._signals = {
            node.path: node.detail.signal.name
            for node in self._graph.nodes
            if isinstance(node.detail, Wait)
        }
        self._delays: dict[str, deque[float]] = {}
        self._explored = {it.explorer: it for it in tiers_of(self._graph) if it.explorer}

    def read(self, info: RunInfo, records: Sequence[StoredRecord], *, scored: bool = False) -> None:
        """Add a run. O(records), and O(nodes) where something was waited for or scored.

        Args:
            info: of the run.
            records: one or more.
            scored: whether somebody said how good its value was.
        """
        seen = self._seen
        run = len(seen.accepted)
        seen.accepted.append(info.accepted)
        told = until_retried(records)
        self._attempts_of(run, told)
        rounds: dict[str, int] = {}
        for record in told:
            match record.kind:
                case "chosen":
                    self._choice(record, rounds)
                case "opened":
                    path = self._template(record.node)
                    seen.counts.setdefault(path, []).append(int(record.facts["count"]))
                case "spent":
                    self._spent(run, record)
                case "done" if "score" in record.facts:
                    self._explores(record)
                case _:
                    pass
        if self._signals:
            self._answers(info, told)
        if scored and (name := Taken(self._graph, told).giver()) is not None:
            seen.values[info.run_id] = name

    def _attempts_of(self, run: int, records: Sequence[StoredRecord]) -> None:
        before: dict[str, How] = {}
        known: dict[Key, float] = {}
        ended: dict[Key, StoredRecord] = {}
        cut: list[tuple[StoredRecord, str]] = []
        for record in records:
            step = self._steps.get(self._template(record.node)) if record.attempt else None
            if step is None:
                continue
            key = (record.node, record.attempt, bool(record.facts.get("copy")))
            if record.kind in ("started", "spent"):
                known.setdefault(key, record.at)
            if record.kind not in _ENDS:
                continue
            ended[key] = record
            self._seen.ends.setdefault(step, {})[(run, *key)] = _how(record)[0]
            if "started" in record.facts:
                start = record.facts["started"] / 1e9
            elif key in known:
                # It has run for so long at least, which is all that what is cut off has to tell.
                start = known[key]
            else:
                cut.append((record, step))
                continue
            how, last, error = _how(record)
            attempt = self._attempt(run, step, record, start, how)
            attempt.after, attempt.last, attempt.error = before.get(record.node), last, error
            before[record.node] = how
        self._lost(run, known, ended, cut)
        if cut:
            self._cut(run, cut, records)

    def _lost(
        self,
        run: int,
        known: Mapping[Key, float],
        ended: Mapping[Key, StoredRecord],
        cut: list[tuple[StoredRecord, str]],
    ) -> None:
        """Of two copies of an attempt the one that lost, which has no record of its own.

        It was cut off when the other one ended. Of a copy that has spent nothing nobody knows.
        """
        for (node, number, copy), record in ended.items():
            other = (node, number, not copy)
            if other in ended or record.kind not in ("done", "failed"):
                continue
            step = self._steps[self._template(node)]
            if other in known:
                self._attempt(run, step, record, known[other], "cut")
            elif copy:
                self._seen.ends[step][(run, *other)] = "cut"
                cut.append((record, step))

    def _cut(
        self,
        run: int,
        cut: Iterable[tuple[StoredRecord, str]],
        records: Sequence[StoredRecord],
    ) -> None:
        """Attempts that were cut off, and whose start is not journaled.

        They started when they could have, and when others of their step had waited by then.
        """
        paths = Paths(plain(records), self._content, records[0].at)
        due: dict[str, float] = {}
        for record in records:
            if record.kind == "failed" and "due" in record.facts:
                due[record.node] = record.facts["due"] / 1e9
            if record.kind == "done" and "started" in record.facts and record.node not in due:
                waited = record.facts["started"] / 1e9 - paths.eligible(record.node)[0]
                step = self._steps.get(self._template(record.node))
                if step is not None:
                    self._delays.setdefault(step, deque(maxlen=_LATELY)).append(max(waited, 0.0))
        for record, step in cut:
            delay = median(self._delays.get(step) or (0.0,))
            start = due.get(record.node, paths.eligible(record.node)[0]) + delay
            self._attempt(run, step, record, min(start, record.at), "cut")

    def _attempt(
        self, run: int, step: str, record: StoredRecord, start: float, how: How
    ) -> Attempt:
        path = self._template(record.node)
        attempt = Attempt(
            run=run,
            step=step,
            path=path,
            queue=self._queues.get(path, DEFAULT),
            number=record.attempt,
            after=None,
            start=start,
            end=max(record.at, start),
            how=how,
        )
        self._seen.attempts.append(attempt)
        return attempt

    def _choice(self, record: StoredRecord, rounds: dict[str, int]) -> None:
        seen, path = self._seen, self._template(record.node)
        kind, outcome = self._kinds.get(path), int(record.facts["outcome"])
        score = record.facts.get("score")
        if kind == "loop":
            number = rounds[record.node] = rounds.get(record.node, 0) + 1
            seen.iterations.setdefault(path, []).append((number, outcome == 1))
        elif kind == "acquire":
            keys = seen.keys.setdefault(path, {})
            keys[outcome] = keys.get(outcome, 0) + 1
        elif kind == "accept":
            given = None if score is None or not isfinite(float(score)) else float(score)
            seen.judged.setdefault(path, []).append(Judged(outcome, given))
        elif kind in ("switch", "when"):
            counts = seen.chosen.setdefault(path, {})
            counts[outcome] = counts.get(outcome, 0) + 1

    def _explores(self, record: StoredRecord) -> None:
        """The score of a value that was made to explore a tier: it stands for those that were not.

        Each run that did not need the tier was sent there with the same probability (Horvitz and
        Thompson 1952).
        """
        tier = self._explored.get(self._template(record.node))
        if tier is None or tier.judge is None or tier.at is None or not tier.share:
            return
        score = float(record.facts["score"])
        judged = Judged(int(score >= tier.at), score, 1 / tier.share)
        self._seen.judged.setdefault(tier.judge, []).append(judged)

    def _spent(self, run: int, record: StoredRecord) -> None:
        facts = record.facts
        told: Mapping[str, Any] = facts.get("facts", facts)
        resource = str(told.get("resource", ""))
        if resource == "context":  # the size of one, and no money
            return
        path = self._template(record.node)
        key = (run, record.node, record.attempt, bool(facts.get("copy")))
        line = Line(
            key,
            resource,
            str(told.get("name", "")),
            str(told.get("mode", "")),
            int(facts.get("units", 0)),
            facts.get("nanos"),
        )
        step = self._steps.get(path)
        if step is not None:
            self._seen.spend.setdefault(step, []).append(line)
            self._seen.ends.setdefault(step, {}).setdefault(key, "cut")
        elif self._kinds.get(path) == "signal":
            self._seen.human.setdefault(self._signals[path], []).append(line)

    def _answers(self, info: RunInfo, records: Sequence[StoredRecord]) -> None:
        """How long each signal was waited for, where the run came so far."""
        taken = Taken(self._graph, records)
        paths = Paths(plain(records), self._content, info.accepted)
        came: dict[str, float] = {}
        over: dict[str, float] = {}
        for record in records:
            if record.kind == "signal":
                came.setdefault(str(record.facts.get("signal", "")), record.at)
            elif record.kind in ("fired", "failed", "withdrawn"):
                over.setdefault(record.node, record.at)
        told = {record.node for record in records}
        for path, name in self._signals.items():
            node = self._graph.nodes[self._places[path]]
            # In a body, only those with a record of their own are known.
            waited = {it for it in told if self._template(it) == path}
            if not waited and node.region == 0 and taken.reached(node):
                waited = {path}
            for each in waited:
                asked, _ = paths.eligible(each)
                came_at = None if each in over else came.get(name)
                until = over.get(each, records[-1].at) if came_at is None else came_at
                answer = Answer(max(until - asked, 0.0), came_at is not None)
                self._seen.answers.setdefault(name, []).append(answer)

    def _template(self, path: str) -> str:
        return path if path in self._places else template(path)


def intervals(records: Sequence[StoredRecord]) -> Iterable[tuple[str, float, float]]:
    """By node, when attempts whose start is journaled started and ended."""
    for record in records:
        if record.attempt and record.kind in _ENDS and "started" in record.facts:
            yield template(record.node), record.facts["started"] / 1e9, record.at


def until_retried(records: Sequence[StoredRecord]) -> Sequence[StoredRecord]:
    """Up to where the run was tried again by somebody: late spend of the first time is in it."""
    for place, record in enumerate(records):
        if record.kind == "retried":
            return records[:place]
    return records


def plain(records: Sequence[StoredRecord]) -> list[dict[str, Any]]:
    """As `Paths` takes them."""
    return [
        {
            "at": it.at,
            "kind": it.kind,
            "node": it.node or None,
            "attempt": it.attempt or None,
            "facts": it.facts,
        }
        for it in records
    ]


def _how(record: StoredRecord) -> tuple[How, bool, str]:
    """How an attempt ended, whether it was the last one, and the type of what it raised."""
    facts = record.facts
    if record.kind == "done":
        return "done", True, ""
    if record.kind != "failed":
        return "cut", False, ""
    last = facts.get("then") == "final"
    if facts.get("cause") in _TIMEOUTS:
        return "timeout", last, ""
    error: Mapping[str, Any] = json.loads(record.value or "{}")
    return "error", last, str(facts.get("refusal") or error.get("type", ""))


_LATELY: Final = 99
_ENDS: Final = ("done", "failed", "interrupted", "abandoned", "unknown", "withdrawn")
_TIMEOUTS: Final = frozenset({"timeout", "total_timeout", "heartbeat_timeout"})
