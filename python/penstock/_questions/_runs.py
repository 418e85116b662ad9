"""Runs: what the records of one run tell of it, for questions that rollups can't answer."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

from penstock._evidence import Outcome
from penstock._places import Place, places_of

from ._graphs import graph_of

Record: TypeAlias = Mapping[str, Any]
"""As `explain` takes it, with "value": JSON of an error, where there is one."""
Status: TypeAlias = Literal["succeeded", "failed", "cancelled"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What the records of a run are read by: its graph, and what the terms say of its nodes.

    Attributes:
        graph: canonical JSON; None if the store does not have it.
        steps: by the path of a node, the step that it runs; without compensations.
        queues: by path, what a node waits in.
        places: by path, where a node stands.
        tiers: by path, the place of a node in its cascade, from 0.
    """

    graph: Mapping[str, Any] | None
    steps: Mapping[str, str]
    queues: Mapping[str, str]
    places: Mapping[str, Place]
    tiers: Mapping[str, int]
    _before: dict[str, frozenset[str]] = field(
        default_factory=dict[str, frozenset[str]], repr=False, compare=False
    )

    @classmethod
    def of(cls, graph: Mapping[str, Any] | None, terms: Mapping[str, Any]) -> Plan:
        """Of a graph and the terms of its version."""
        nodes: Mapping[str, Mapping[str, Any]] = terms.get("nodes", {})
        places: dict[str, Place] = {}
        steps: dict[str, str] = {}
        if graph is not None:
            owners = {path: facts.get("owner") for path, facts in nodes.items()}
            built = graph_of(graph, owners)
            found = places_of(built, terms.get("owner"))
            places = {
                node.path: place
                for node, place in zip(built.nodes, found, strict=True)
                if node.step is not None
            }
            for node in built.nodes:
                if node.step is not None and node.kind == "step":
                    steps[node.path] = node.step.name
        queues = {path: facts.get("queue") or DEFAULT for path, facts in nodes.items()}
        tiers = {path: int(facts["tier"]) for path, facts in nodes.items() if "tier" in facts}
        return cls(graph=graph, steps=steps, queues=queues, places=places, tiers=tiers)

    def before(self, path: str) -> frozenset[str]:
        """The nodes that are over before a node starts, by its path in the graph. O(nodes) once."""
        found = self._before.get(path)
        if found is None:
            found = self._before[path] = nodes_before(self.graph or {"nodes": []}, path)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class RunTold:
    """A run that has ended, as its records tell it up to its first end.

    Attributes:
        run_id: its id.
        accepted: when, in seconds since 1970.
        ended: likewise.
        records: up to its first end.
        plan: what they are read by.
        scores: by kind, the last one of each.
    """

    run_id: str
    accepted: float
    ended: float
    records: Sequence[Record]
    plan: Plan
    scores: Mapping[str, float]

    @property
    def status(self) -> str:
        """Its first outcome."""
        return str(self.records[-1]["facts"].get("status", ""))

    @property
    def succeeded(self) -> bool:
        """Whether that was a success."""
        return self.status == "succeeded"

    @property
    def by_user(self) -> bool:
        """Whether a user has cancelled it: it then counts nowhere."""
        return self.status == "cancelled" or self.records[-1]["facts"].get("cause") == "cancelled"


def template(path: str) -> str:
    """The path of a node in its graph: the items of a map are one node there.

    >>> template("flow/pages[3]/read")
    'flow/pages[]/read'
    """
    return _INDEX.sub("[]", path)


def nodes_before(graph: Mapping[str, Any], path: str) -> frozenset[str]:
    """The paths of the nodes that are over before another starts. O(nodes + edges).

    Those in a body that is over belong to them, and for a node in a body what that waits for.
    """
    nodes: Sequence[Mapping[str, Any]] = graph["nodes"]
    around: dict[int, int] = {}
    inside: dict[int, list[int]] = {}
    for place, node in enumerate(nodes):
        inside.setdefault(node.get("region", 0), []).append(place)
        body = node.get("detail", {}).get("body")
        if body is not None and body != node.get("region", 0):
            around[body] = place
    start = next((place for place, node in enumerate(nodes) if node["path"] == path), None)
    stack: list[int] = [] if start is None else [start]
    seen: set[int] = set()
    found: set[int] = set()

    def wait_for(places: Iterable[int]) -> None:
        for place in places:
            if place not in found:
                found.add(place)
                stack.append(place)
                body = nodes[place].get("detail", {}).get("body")
                found.update(inside.get(body, ()) if body is not None else ())

    while stack:
        place = stack.pop()
        if place in seen:
            continue
        seen.add(place)
        node = nodes[place]
        wait_for((*node["inputs"], *node["after"], *node.get("gates", ())))
        owner = around.get(node.get("region", 0))
        if owner is not None and owner not in found:
            stack.append(owner)
    return frozenset(nodes[place]["path"] for place in found)


def outcome_of(run: RunTold) -> Outcome:
    """What a comparison needs to know of a run."""
    cost = retries = handoffs = refused = 0
    unpriced = False
    first: dict[str, int] = {}
    held: dict[str, float] = {}
    seen: set[tuple[str, int]] = set()
    for record in run.records:
        kind, facts = record["kind"], record["facts"]
        if kind == "spent":
            nanos = facts.get("nanos")
            cost += nanos or 0
            unpriced = unpriced or nanos is None
        if kind not in ATTEMPT_ENDS or not record.get("attempt"):
            continue
        path, attempt = template(record["node"]), int(record["attempt"])
        queue = run.plan.queues.get(path, DEFAULT)
        refusal = refusal_of(record)
        refused += refusal is not None
        # Only who rejects has been handed something; what breaks its contract reaches nobody.
        handoffs += refusal is not None and refusal != "Reject"
        if "started" in facts:
            time = float(record["at"]) - facts["started"] / 1e9
            held[queue] = held.get(queue, 0.0) + max(time, 0.0)
        key = (record["node"], attempt)
        if key in seen:
            continue
        seen.add(key)
        place = run.plan.places.get(path)
        if attempt > 1:
            retries += 1
        elif place is None or not place.stands_in:
            first[queue] = first.get(queue, 0) + 1
            handoffs += 1 if place is None else place.handoffs[0]
    status: Status = "cancelled" if run.by_user else "succeeded" if run.succeeded else "failed"
    return Outcome(
        result=status,
        cost=cost,
        unpriced=unpriced,
        retries=retries,
        first_attempts=first,
        handoffs=handoffs,
        accepted=max(handoffs - refused, 0),
        slot_seconds=held,
    )


def refusal_of(record: Record) -> str | None:
    """Why an attempt counts as a refused handoff; None if it does not."""
    if record["kind"] != "failed":
        return None
    if record["facts"].get("cause") in _TIMEOUTS:
        return "timeout"
    error: dict[str, Any] = json.loads(record.get("value") or "{}")
    name = str(error.get("type", "")).rpartition(".")[2]
    return name if name in _REFUSALS else None


_INDEX: Final = re.compile(r"\[\d+\]")
_REFUSALS: Final = frozenset({"Reject", "ContractError", "ThresholdError"})
_TIMEOUTS: Final = frozenset({"timeout", "total_timeout", "heartbeat_timeout", "queue_timeout"})
DEFAULT: Final = "default"
"""The queue of steps that name none."""
ATTEMPT_ENDS: Final = ("done", "failed", "interrupted", "abandoned", "unknown", "withdrawn")
