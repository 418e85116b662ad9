"""Plan: a graph as the native side takes it, and what that side finds wrong with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any, Final

from . import _engine
from ._errors import DefinitionError
from ._graph import (
    Accept,
    Acquire,
    Cancel,
    Case,
    Collect,
    Graph,
    GraphNode,
    Loop,
    Map,
    Race,
    Recurse,
    Shield,
    Sleep,
    Spawn,
    Switch,
    Undo,
    Wait,
)


def plan_of(graph: Graph) -> _engine.Plan:
    """The verified graph.

    Raises:
        DefinitionError: with every problem: a dead node, a join that can't fire, a merge that is
            not proved exclusive, an output that may be skipped, a path used twice.
    """
    nodes = [_node(node) for node in graph.nodes]
    regions = [(r.prefix, r.start, r.stop, r.input_count, r.output) for r in graph.regions]
    calls = list(zip(graph.calls, graph.outputs, strict=True))
    scopes = [scope.parent for scope in graph.scopes]
    try:
        return _engine.Plan(graph.name, graph.version, nodes, regions, calls, scopes)
    except ValueError as error:
        problems: list[str] = error.args[0]
        raise DefinitionError.of(f"workflow {graph.name!r}", problems) from None


def plan_of_json(content: Mapping[str, Any]) -> _engine.Plan:
    """The plan of a graph as `_graph_json` writes it, without the functions of its nodes.

    Raises:
        ValueError: it is none.
    """
    nodes: list[dict[str, Any]] = content["nodes"]
    bodies: list[dict[str, Any]] = [
        {"prefix": content["name"], "output": content["output"]},
        *content.get("bodies", ()),
    ]
    regions: list[tuple[str, int, int, int, int]] = []
    for number, body in enumerate(bodies):
        inside = [i for i, node in enumerate(nodes) if node.get("region", 0) == number]
        inputs = sum(nodes[i]["kind"] == "input" for i in inside)
        regions.append((body["prefix"], inside[0], inside[-1] + 1, inputs, body["output"]))
    calls = [(0, content["output"])]
    calls += [(call["parent"], call["output"]) for call in content.get("calls", ())]
    scopes = [scope["parent"] for scope in content.get("scopes", ())]
    parts = [_stored_node(node) for node in nodes]
    return _engine.Plan(content["name"], content["version"], parts, regions, calls, scopes)


def _stored_node(node: Mapping[str, Any]) -> dict[str, object]:
    kind: str = node["kind"]
    content: dict[str, object] = {
        "kind": kind,
        "path": node["path"],
        "inputs": node["inputs"],
        "gates": node.get("gates", ()),
        "after": node["after"],
        "region": node.get("region", 0),
        "call": node.get("call", 0),
        "scope": node.get("scope"),
        "holds": node.get("holds"),
    }
    if kind == "accept":
        content["computed"] = "function" in node
    if "detail" in node:
        fields = dict(node["detail"])
        if kind == "signal":
            fields["signal"] = SimpleNamespace(**fields["signal"])
        content.update(_PARTICULARS[_DETAILS[kind]](SimpleNamespace(**fields)))
    return content


def _node(node: GraphNode) -> dict[str, object]:
    content: dict[str, object] = {
        "kind": node.kind,
        "path": node.path,
        "inputs": node.inputs,
        "gates": node.gates,
        "after": node.after,
        "region": node.region,
        "call": node.call,
        "scope": node.scope,
        "holds": node.holds,
    }
    if node.kind == "accept":
        content["computed"] = node.function is not None
    if node.detail is not None:
        content.update(_PARTICULARS[type(node.detail)](node.detail))
    return content


def _map(detail: Map) -> dict[str, object]:
    return {
        "body": detail.body,
        "concurrency": detail.concurrency or None,
        "need": detail.need or None,
        "tolerated": detail.tolerated,
        "cancel_rest": detail.cancel_rest,
    }


def _loop(detail: Loop) -> dict[str, object]:
    fail = detail.on_exhausted == "fail"
    return {"body": detail.body, "limit": detail.max_iterations, "fail": fail}


def _wait(detail: Wait) -> dict[str, object]:
    fail = detail.on_timeout == "fail"
    return {"signal": detail.signal.name, "seconds": detail.timeout, "fail": fail}


_PARTICULARS: Final[Mapping[type, Callable[[Any], dict[str, object]]]] = {
    Switch: lambda it: {"outcomes": len(it.labels)},
    Case: lambda it: {"taken": it.taken},
    Accept: lambda it: {"contains": it.contains, "explore": it.explore},
    Shield: lambda it: {"contains": it.contains},
    Collect: lambda it: {"need": it.need or None, "cancel_rest": it.cancel_rest},
    Race: lambda it: {"cancel_rest": it.cancel_rest},
    Map: _map,
    Loop: _loop,
    Recurse: lambda it: {"body": it.body, "limit": it.max_depth or None},
    Wait: _wait,
    Sleep: lambda it: {"seconds": it.seconds},
    Spawn: lambda _: {},
    Acquire: lambda it: {"key": it.key},
    Cancel: lambda it: {"cancels": it.scope},
    Undo: lambda it: {"of": it.of},
}
_DETAILS: Final[Mapping[str, type]] = {
    "switch": Switch,
    "case": Case,
    "accept": Accept,
    "shield": Shield,
    "collect": Collect,
    "race": Race,
    "map": Map,
    "loop": Loop,
    "recurse": Recurse,
    "signal": Wait,
    "sleep": Sleep,
    "spawn": Spawn,
    "acquire": Acquire,
    "cancel": Cancel,
    "undo": Undo,
}
