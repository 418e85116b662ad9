"""A graph as canonical JSON, and the digest of what a pinned run needs to find again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import fields
from typing import Final, cast

from ._contracts import Contract
from ._graph import (
    Accept,
    Cancel,
    Case,
    Detail,
    Graph,
    GraphNode,
    Loop,
    Map,
    Recurse,
    Shield,
    Spawn,
    Switch,
    Wait,
)
from ._policies import canonical
from ._signals import Signal
from ._stages import Stage


def written(graph: Graph) -> str:
    """The graph as canonical JSON: sorted keys, no spaces. Equal graphs give equal text.

    What a node or a graph without control flow does not need is left out.
    """
    content: dict[str, object] = {
        "name": graph.name,
        "version": graph.version,
        "nodes": [_node(node) for node in graph.nodes],
        "output": graph.output,
    }
    if len(graph.regions) > 1:
        bodies = graph.regions[1:]
        content["bodies"] = [{"prefix": body.prefix, "output": body.output} for body in bodies]
    if len(graph.calls) > 1:
        calls = zip(graph.calls[1:], graph.outputs[1:], strict=True)
        content["calls"] = [{"parent": parent, "output": output} for parent, output in calls]
    if graph.scopes:
        content["scopes"] = [{"path": scope.path, "parent": scope.parent} for scope in graph.scopes]
    return canonical(content)


def digest(graph: Graph) -> str:
    """What a pinned run needs to find again: sha256 in hex, whatever the order of the nodes.

    Over paths, kinds, edges, step names and versions, contract names, and what outcomes, bodies and
    containments are; not over policies and bounds. O(nodes + edges).
    """
    paths = [node.path for node in graph.nodes]
    facts = sorted(
        (
            node.path,
            node.kind,
            [paths[i] for i in node.inputs],
            sorted({paths[i] for i in node.gates}),
            sorted({paths[i] for i in node.after}),
            "" if node.holds is None else paths[node.holds],
            "" if node.scope is None else graph.scopes[node.scope].path,
            [node.step.name, node.step.version] if node.step else [],
            node.contract.name,
            _structure(graph, node.detail),
        )
        for node in graph.nodes
    )
    outputs = [paths[region.output] for region in graph.regions]
    text = json.dumps([facts, outputs[0], sorted(outputs)], separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _structure(graph: Graph, detail: Detail | None) -> list[str]:
    match detail:
        case Switch():
            return [*detail.labels, str(detail.default)]
        case Case():
            return [str(outcome) for outcome in detail.taken]
        case Accept() | Shield():
            return [graph.nodes[graph.outputs[detail.contains]].path]
        case Map() | Loop() | Recurse():
            return [graph.regions[detail.body].prefix]
        case Wait():
            return [detail.signal.name]
        case Spawn():
            return [detail.workflow.name, detail.workflow.version]
        case Cancel():
            return [graph.scopes[detail.scope].path]
        case _:
            return []


def _node(node: GraphNode) -> dict[str, object]:
    content: dict[str, object] = {
        "path": node.path,
        "kind": node.kind,
        "contract": node.contract.name,
        "inputs": node.inputs,
        "after": node.after,
    }
    for name, usual in _RARE.items():
        value = getattr(node, name)
        if value != usual:
            content[name] = value
    if node.detail is not None:
        pairs = ((f.name, getattr(node.detail, f.name)) for f in fields(node.detail))
        content["detail"] = {name: _plain(v) for name, v in pairs if (name, v) != ("tier", False)}
    if node.step is not None:
        content["step"] = {"name": node.step.name, "version": node.step.version}
    elif node.function is not None:
        content["function"] = getattr(node.function, "__qualname__", repr(node.function))
    elif node.kind == "constant":
        content["value" if _is_json(node.value) else "repr"] = (
            node.value if _is_json(node.value) else repr(node.value)
        )
    return content


def _plain(value: object) -> object:
    """A field of a detail as JSON has it."""
    if isinstance(value, tuple):
        return [_plain(item) for item in cast("tuple[object, ...]", value)]
    if isinstance(value, Signal):
        return {"name": value.name, "contract": value.contract.name}
    if isinstance(value, Stage):
        return {"name": value.name, "version": value.version}
    if isinstance(value, type):
        return Contract.of(value).name
    return value if _is_json(value) else repr(value)


def _is_json(value: object) -> bool:
    """Whether JSON gives the same value back."""
    try:
        again: object = json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError, RecursionError):
        return False
    return type(again) is type(value) and again == value


_RARE: Final[Mapping[str, object]] = {
    "region": 0,
    "gates": (),
    "call": 0,
    "scope": None,
    "holds": None,
}
