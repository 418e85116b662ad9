"""Graphs: a workflow's graph as the store keeps it, for what only looks at its shape.

Here is no code to run: steps are known by name and owner, and values have no contract.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any, cast

from penstock._edges import ANYTHING
from penstock._graph import (
    Accept,
    Acquire,
    Case,
    Detail,
    Graph,
    GraphNode,
    Loop,
    Map,
    Recurse,
    Region,
    Shield,
    Switch,
    Undo,
    Wait,
)
from penstock._options import Options
from penstock._signals import Signal
from penstock._stages import Step


def graph_of(content: Mapping[str, Any], owners: Mapping[str, str | None]) -> Graph:
    """The graph of canonical JSON that penstock has written itself. O(nodes).

    Args:
        content: of the graph.
        owners: of the steps, by the path of their node.
    """
    entries: Sequence[Mapping[str, Any]] = content["nodes"]
    bodies: Sequence[Mapping[str, Any]] = content.get("bodies", ())
    calls: Sequence[Mapping[str, Any]] = content.get("calls", ())
    nodes = tuple(_node(entry, owners) for entry in entries)
    outputs = [int(content["output"]), *(int(body["output"]) for body in bodies)]
    prefixes = [str(content["name"]), *(str(body["prefix"]) for body in bodies)]
    regions = tuple(
        _region(nodes, number, prefix, output)
        for number, (prefix, output) in enumerate(zip(prefixes, outputs, strict=True))
    )
    return Graph(
        name=content["name"],
        version=content["version"],
        nodes=nodes,
        regions=regions,
        calls=(0, *(int(call["parent"]) for call in calls)),
        outputs=(outputs[0], *(int(call["output"]) for call in calls)),
    )


def _node(entry: Mapping[str, Any], owners: Mapping[str, str | None]) -> GraphNode:
    step = entry.get("step")
    return GraphNode(
        path=entry["path"],
        kind=entry["kind"],
        contract=ANYTHING,
        region=entry.get("region", 0),
        inputs=tuple(entry["inputs"]),
        gates=tuple(entry.get("gates", ())),
        after=tuple(entry["after"]),
        call=entry.get("call", 0),
        holds=entry.get("holds"),
        detail=_detail(entry["kind"], entry.get("detail", {})),
        step=None if step is None else _step(step, owners.get(entry["path"])),
        # What judges by a function is a cascade or a threshold; what has none, a fallback.
        function=bool if "function" in entry else None,
    )


def _step(step: Mapping[str, str], owner: str | None) -> Step[..., Any]:
    known = SimpleNamespace(
        name=step["name"], version=step["version"], owner=owner, options=Options()
    )
    return cast("Step[..., Any]", known)


def _detail(kind: str, given: Mapping[str, Any]) -> Detail | None:
    """What tells outcomes, bodies and owners; None where there is nothing of these."""
    match kind:
        case "switch":
            labels = tuple(given["labels"])
            return Switch(labels=labels, keys=(), default=given["default"], by_type=False)
        case "case":
            return Case(taken=tuple(given["taken"]))
        case "acquire":
            return Acquire(key=given["key"])
        case "accept":
            return Accept(contains=given["contains"], explore=given["explore"], at=given["at"])
        case "shield":
            return Shield(contains=given["contains"])
        case "map":
            return Map(
                body=given["body"],
                concurrency=given["concurrency"],
                need=given["need"],
                tolerated=given["tolerated"],
                cancel_rest=given["cancel_rest"],
            )
        case "loop":
            most = given["max_iterations"]
            return Loop(body=given["body"], max_iterations=most, on_exhausted="fail")
        case "recurse":
            return Recurse(body=given["body"], max_depth=given["max_depth"])
        case "signal":
            signal: Signal[Any] = Signal(given["signal"]["name"], object)
            return Wait(
                signal=signal, timeout=0.0, on_timeout="fail", owner=given.get("owner") or None
            )
        case "undo":
            return Undo(of=given["of"])
        case _:
            return None


def _region(nodes: Sequence[GraphNode], number: int, prefix: str, output: int) -> Region:
    places = [place for place, node in enumerate(nodes) if node.region == number]
    inputs = sum(nodes[place].kind == "input" for place in places)
    return Region(
        prefix=prefix,
        start=places[0],
        stop=places[-1] + 1,
        input_count=inputs,
        output=output,
    )
