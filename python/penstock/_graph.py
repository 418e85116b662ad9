"""Graph: a workflow, compiled to data. `_flow` draws it; what runs it looks no further."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

from ._contracts import Contract
from ._options import OptionName, Options
from ._stages import Step

NodeKind: TypeAlias = Literal["input", "constant", "step", "apply"]


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphNode:
    """One place in a graph.

    Attributes:
        path: readable and unique, such as "support/draft"; the nodes of a sub-workflow are part of
            the graph, as "support/billing/charge".
        kind: "input", "constant", "step" or "apply".
        inputs: indices of the producers, in argument order; may repeat.
        after: indices of nodes waited for without taking their value.
        contract: of the value this node carries.
        step: of kind "step".
        function: of kind "apply".
        value: of kind "constant".
        overrides: options of the call, stronger than the step's.
        defaults: options of the workflow, weaker than the step's.
    """

    path: str
    kind: NodeKind
    contract: Contract
    inputs: tuple[int, ...] = ()
    after: tuple[int, ...] = ()
    step: Step[..., Any] | None = None
    function: Callable[..., object] | None = None
    value: object = None
    overrides: Options = field(default_factory=Options)
    defaults: Options = field(default_factory=Options)

    def option(self, name: OptionName) -> Any:
        """What the call, else the step, else the workflow says; None if none of them does."""
        value = self.overrides.get(name)
        if value is None and self.step is not None:
            value = self.step.options.get(name)
        return self.defaults.get(name) if value is None else value


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """A compiled workflow: nodes in an order in which producers come first.

    Attributes:
        name: of the workflow; every path begins with it.
        version: of the workflow.
        nodes: the inputs first.
        output: index of the node whose value is the result.
        input_count: how many of the nodes are inputs.
    """

    name: str
    version: str
    nodes: tuple[GraphNode, ...]
    output: int
    input_count: int

    def digest(self) -> str:
        """What a pinned run needs to find again: sha256 in hex, whatever the order of the nodes.

        Over paths, kinds, edges, step names and versions, and contract names. O(nodes + edges).
        """
        paths = [node.path for node in self.nodes]
        facts = sorted(
            (
                node.path,
                node.kind,
                [paths[i] for i in node.inputs],
                sorted({paths[i] for i in node.after}),
                [node.step.name, node.step.version] if node.step else [],
                node.contract.name,
            )
            for node in self.nodes
        )
        text = json.dumps([facts, paths[self.output]], separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def to_json(self) -> str:
        """Canonical JSON: sorted keys, no spaces. Equal graphs give equal text."""
        content = {
            "name": self.name,
            "version": self.version,
            "nodes": [_node_json(node) for node in self.nodes],
            "output": self.output,
        }
        return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)

    def to_mermaid(self) -> str:
        """A mermaid flowchart; a dotted arrow is an `after`, a double frame the result."""
        lines = ["flowchart TD"]
        for index, node in enumerate(self.nodes):
            opening, closing = _SHAPES[node.kind]
            label = _escaped(node.path.partition("/")[2])
            lines.append(f'    n{index}{opening}"{label}"{closing}')
        for index, node in enumerate(self.nodes):
            lines += [f"    n{i} --> n{index}" for i in dict.fromkeys(node.inputs)]
            lines += [f"    n{i} -.-> n{index}" for i in node.after]
        lines.append(f'    n{self.output} --> result[["{_escaped(self.name)}"]]')
        return "\n".join(lines) + "\n"


def _node_json(node: GraphNode) -> dict[str, object]:
    content: dict[str, object] = {
        "path": node.path,
        "kind": node.kind,
        "contract": node.contract.name,
        "inputs": node.inputs,
        "after": node.after,
    }
    if node.step is not None:
        content["step"] = {"name": node.step.name, "version": node.step.version}
    elif node.function is not None:
        content["function"] = getattr(node.function, "__qualname__", repr(node.function))
    elif node.kind == "constant":
        content["value" if _is_json(node.value) else "repr"] = (
            node.value if _is_json(node.value) else repr(node.value)
        )
    return content


def _is_json(value: object) -> bool:
    """Whether JSON gives the same value back."""
    try:
        again: object = json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError, RecursionError):
        return False
    return type(again) is type(value) and again == value


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")


_SHAPES: Final[Mapping[NodeKind, tuple[str, str]]] = {
    "input": ("([", "])"),
    "constant": ("[/", "/]"),
    "step": ("[", "]"),
    "apply": ("(", ")"),
}
