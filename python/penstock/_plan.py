"""Plan: a graph as the native side takes it, and what that side finds wrong with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
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
