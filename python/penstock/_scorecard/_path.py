"""Paths: which nodes of a run waited for which, from its records and its graph.

A node of a map's body stands in the graph once, as `flow/pages[]/read`; its instances have records,
as `flow/pages[3]/read`. A node without records of its own (a join, a decision) ends when the last
one that it waits for does.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

Ended = tuple[float, str | None]
"""When, and the instance that was the last one; None for the run's start."""


class Paths:
    """What waited for what.

    Args:
        records: of the run.
        graph: its canonical JSON.
        accepted: when the run was accepted.
    """

    def __init__(
        self, records: Sequence[Mapping[str, Any]], graph: Mapping[str, Any] | None, accepted: float
    ) -> None:
        self._accepted = accepted
        nodes: list[dict[str, Any]] = [] if graph is None else graph["nodes"]
        self._nodes = nodes
        self._names: list[str] = [node["path"] for node in nodes]
        self._known: dict[str, dict[str, Any]] = {node["path"]: node for node in nodes}
        self.records: dict[str, list[Mapping[str, Any]]] = {}
        self._signals: dict[str, float] = {}
        for record in records:
            if path := record.get("node"):
                self.records.setdefault(path, []).append(record)
            elif record["kind"] == "signal":
                self._signals.setdefault(record["facts"].get("signal", ""), float(record["at"]))
        self._children: dict[str, list[str]] = {}
        self.instances = self._found()
        for path in self.instances:
            for match in _INDEX.finditer(path):
                self._children.setdefault(path[: match.start()], []).append(path)
        self._ends: dict[str, Ended] = {}
        self.rejected = self._rejected()

    def waits(self, path: str) -> str | None:
        """What only waits says for what: "signal" or "sleep"."""
        kind = self._node(path).get("kind")
        return kind if kind in _WAITS else None

    def end(self, path: str) -> float | None:
        """When an instance ended; None if it has not."""
        self._resolve(path)
        return self._own_end(path)

    def state(self, path: str) -> str:
        """How an instance ended, or "open"."""
        if self.end(path) is None:
            return "open"
        records = self.records.get(path, ())
        return str(records[-1]["kind"]) if records else "done"

    def outcome(self, path: str, attempt: int) -> str | None:
        """How an attempt ended, by the kind of its record; None if that is not known."""
        found = [it for it in self.records.get(path, ()) if it["kind"] in _OUTCOMES]
        own = [it for it in found if int(it.get("attempt") or 0) == attempt]
        return str((own or found)[-1]["kind"]) if found else None

    def eligible(self, path: str) -> Ended:
        """When what an instance needs was there, and the instance that came last."""
        self._resolve(path)
        return self._latest(self._needs(path), self._own_end(path))

    def last(self) -> str | None:
        """The instance that ended last; of a run under way the one that is still open."""
        ends = [(self.end(path), path) for path in self.instances]
        if open_ones := [path for end, path in ends if end is None]:
            return max(open_ones, key=lambda it: (self.eligible(it)[0], it))
        known = [(end, path) for end, path in ends if end is not None]
        return max(known)[1] if known else None

    def scores(self) -> dict[str, float]:
        """Scores of the instances whose value was judged by a threshold."""
        found: dict[str, float] = {}
        for path, records in self.records.items():
            given = [it["facts"]["score"] for it in records if "score" in it["facts"]]
            judged = self._source(path) if given else None
            if judged is not None:
                found[judged] = float(given[-1])
        return found

    def _source(self, path: str) -> str | None:
        """The instance that the value of a node without time of its own comes from."""
        stack, seen = self._inputs(path), set[str]()
        ends: list[tuple[float, str]] = []
        while stack:
            top = stack.pop()
            if top not in self.instances:
                stack += [it for it in self._inputs(top) if it not in seen]
                seen.update(stack)
            elif (end := self.end(top)) is not None and self.state(top) == "done":
                ends.append((end, top))
        return max(ends)[1] if ends else None

    def _found(self) -> dict[str, None]:
        """What has time of its own: steps with records, and waits that were reached."""
        found: dict[str, None] = {}
        for path, records in self.records.items():
            kind = self._node(path).get("kind", "step")
            if kind in _WAITS or any(it["kind"] in _TIMED for it in records):
                found[path] = None
        for node in self._nodes:
            if node["kind"] == "signal" and "[]" not in node["path"]:
                name = node["detail"]["signal"]["name"]
                if name in self._signals:
                    found[node["path"]] = None
        return found

    def _rejected(self) -> set[str]:
        """Instances whose answer a cascade did not accept."""
        found: set[str] = set()
        for path, records in self.records.items():
            node = self._node(path)
            refused = any(it["facts"].get("outcome") == 0 for it in records)
            if node.get("kind") == "accept" and refused:
                found.update(self._inputs(path))
        return found

    def _resolve(self, path: str) -> None:
        """Find the ends of all that a path waits for; graphs may be deeper than the stack."""
        stack, begun = [path], set[str]()
        while stack:
            top = stack[-1]
            missing = [it for it in self._needs(top) if it not in self._ends and it not in begun]
            if missing and top not in begun:
                begun.add(top)
                stack.extend(missing)
                continue
            stack.pop()
            if top not in self._ends:
                own = self._own_end(top)
                needs = self._latest(self._needs(top), None)
                self._ends[top] = needs if own is None else (own, top)

    def _latest(self, needs: Sequence[str], before: float | None) -> Ended:
        """The last of the ends that are not after `before`."""
        known = [self._ends[it] for it in needs if it in self._ends]
        fitting = [it for it in known if before is None or it[0] <= before]
        return max(fitting, key=lambda it: it[0], default=(self._accepted, None))

    def _own_end(self, path: str) -> float | None:
        if path not in self.instances:
            return None
        records = self.records.get(path, [])
        if self.waits(path) == "signal":
            known = [float(it["at"]) for it in records if it["kind"] in _OVER]
            name = self._node(path)["detail"]["signal"]["name"]
            if name in self._signals:
                known.append(self._signals[name])
            # A signal may come before somebody waits for it.
            return max(min(known), self._latest(self._needs(path), None)[0]) if known else None
        last = records[-1]
        goes_on = last["kind"] == "failed" and last["facts"].get("then") in ("retry", "park")
        return None if goes_on or last["kind"] not in _OVER else float(last["at"])

    def _needs(self, path: str) -> list[str]:
        """The nodes that a node waits for; a map without a record of its own, for its items."""
        children = () if path in self.instances else self._children.get(path, ())
        return [*self._inputs(path), *children]

    def _inputs(self, path: str) -> list[str]:
        """Likewise by the graph."""
        node = self._node(path)
        if node.get("kind") == "input" and not node.get("inputs"):
            return self._before_body(path)
        places: list[int] = [
            *node.get("inputs", ()),
            *node.get("after", ()),
            *node.get("gates", ()),
        ]
        return [self._concrete(self._names[int(place)], path) for place in places]

    def _before_body(self, path: str) -> list[str]:
        """What an input of a body waits for: what its map does, or the iteration before."""
        matches = list(_INDEX.finditer(path))
        if not matches:
            return []
        last = matches[-1]
        owner, number = path[: last.start()], int(last[1])
        if self._node(owner).get("kind") == "map" or not number:
            return self._inputs(owner)
        before = f"{owner}[{number - 1}]"
        return [it for it in self._children.get(owner, ()) if it.startswith(before)]

    def _node(self, path: str) -> dict[str, Any]:
        return self._known.get(_INDEX.sub("[]", path), _UNKNOWN)

    def _concrete(self, template: str, path: str) -> str:
        """The instance of a template that stands beside `path`, in the same items."""
        beside = _INDEX.sub("[]", path)
        indices = iter(_INDEX.findall(path))
        parts = template.split("[]")
        made = parts[0]
        for place in range(1, len(parts)):
            prefix = "[]".join(parts[:place]) + "[]"
            index = next(indices, None)
            if index is None or not beside.startswith(prefix):
                return template
            made += f"[{index}]{parts[place]}"
        return made


_INDEX: Final = re.compile(r"\[(\d+)\]")
_UNKNOWN: Final[dict[str, Any]] = {}
_WAITS: Final = ("signal", "sleep")
_OVER: Final = ("done", "failed", "withdrawn", "fired")
_OUTCOMES: Final = (*_OVER, "interrupted", "abandoned")
_TIMED: Final = ("done", "failed", "started", "parked", "withdrawn", "abandoned", "unknown")
