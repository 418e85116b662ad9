"""Interface: a workflow as plain data, with all that a change of it can be told by.

It is the JSON of `Workflow.to_json`, which has the graph, with schemas, policies and owners added.
A file of it is what a later version is compared with.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final, cast

from penstock._errors import DefinitionError
from penstock._graph import GraphNode, Wait
from penstock._graph_json import written
from penstock._options import OptionName
from penstock._policies import plain
from penstock._workflows import Workflow

from ._schemas import schema_of


def interface(workflow: Workflow[..., Any]) -> dict[str, Any]:
    """The graph, schemas, policies, owners and terms of a workflow, ready for JSON."""
    graph = workflow.graph
    content: dict[str, Any] = json.loads(written(graph))
    content["owner"] = workflow.owner
    content["value"] = workflow.value
    content["rollback"] = workflow.rollback and workflow.rollback.to_dict()
    contracts = [node.contract for node in graph.nodes]
    contracts += [n.detail.signal.contract for n in graph.nodes if isinstance(n.detail, Wait)]
    known = {contract.name: contract for contract in contracts}
    content["schemas"] = {name: schema_of(contract) for name, contract in known.items()}
    for entry, node in zip(content["nodes"], graph.nodes, strict=True):
        if node.step is not None:
            entry["owner"] = node.step.owner
            entry["effects"] = node.step.effects
            entry["policy"] = _policy(node)
    return content


def parsed(text: str, source: str) -> dict[str, Any]:
    """The interface in a text; one from `Workflow.to_json` has no schemas, policies and owners.

    Args:
        text: JSON.
        source: what it is called in an error.

    Raises:
        DefinitionError: it is no workflow.
    """
    try:
        content: Any = json.loads(text)
    except ValueError as error:
        raise DefinitionError(
            f"{source} is no JSON: {error}", remedy="write it with 'penstock graph --format json'"
        ) from error
    if not _is_workflow(content):
        raise DefinitionError(
            f"{source} is no workflow", remedy="write it with 'penstock graph --format json'"
        )
    return cast("dict[str, Any]", content)


def _is_workflow(content: Any) -> bool:
    if not isinstance(content, dict):
        return False
    entry = cast("dict[str, Any]", content)
    nodes: Any = entry.get("nodes")
    if not isinstance(entry.get("name"), str) or not isinstance(nodes, list):
        return False
    entries = cast("Sequence[Any]", nodes)
    output: Any = entry.get("output")
    named = all(_is_node(node, len(entries)) for node in entries)
    return named and type(output) is int and 0 <= output < len(entries)


def _is_node(node: Any, count: int) -> bool:
    if not isinstance(node, dict):
        return False
    entry = cast("dict[str, Any]", node)
    edges: list[Any] = [i for role in ("inputs", "gates", "after") for i in entry.get(role, ())]
    return (
        isinstance(entry.get("path"), str)
        and isinstance(entry.get("kind"), str)
        and all(type(i) is int and 0 <= i < count for i in edges)
    )


def _policy(node: GraphNode) -> dict[str, object]:
    """The options in force at a node, as far as anything sets them."""
    values = {name: plain(node.option(name)) for name in _OPTIONS}
    return {name: value for name, value in values.items() if value is not None}


_OPTIONS: Final[tuple[OptionName, ...]] = (
    "retry",
    "hedge",
    "timeout",
    "total_timeout",
    "heartbeat_timeout",
    "queue_timeout",
    "queue",
    "estimate",
    "priority",
    "task",
)
"""What becomes of the others is nodes of the graph."""
