"""A graph as a mermaid flowchart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from ._graph import Graph, GraphNode, Loop, Map, NodeKind, Recurse, Region


def mermaid(graph: Graph) -> str:
    """The flowchart. O(nodes + edges).

    An arrow carries a value, a thick one only whether it is taken; a dotted one is an `after`, or
    leads to a compensation. A frame is what is repeated; a double frame the result.
    """
    lines = ["flowchart TD", *_boxes(graph, graph.regions[0], "    ")]
    for number, region in enumerate(graph.regions[1:], 1):
        lines.append(f'    subgraph r{number}["{_label(region.prefix)}"]')
        lines += _boxes(graph, region, "        ")
        lines.append("    end")
    for index, node in enumerate(graph.nodes):
        lines += _arrows(index, node)
    lines.append(f'    n{graph.output} --> result[["{_escaped(graph.name)}"]]')
    return "\n".join(lines) + "\n"


def _boxes(graph: Graph, region: Region, indent: str) -> Iterator[str]:
    for index in range(region.start, region.stop):
        node = graph.nodes[index]
        opening, closing = _SHAPES[node.kind]
        yield f'{indent}n{index}{opening}"{_label(node.path)}"{closing}'


def _arrows(index: int, node: GraphNode) -> Iterator[str]:
    if node.kind == "undo":
        yield f"    n{node.inputs[-1]} -. undo .-> n{index}"
        return
    for producer in dict.fromkeys(node.inputs):
        yield f"    n{producer} --> n{index}"
    for gate in dict.fromkeys(node.gates):
        yield f"    n{gate} ==> n{index}"
    for before in node.after:
        yield f"    n{before} -.-> n{index}"
    if isinstance(node.detail, Map | Loop | Recurse) and node.detail.body != node.region:
        yield f"    n{index} --- r{node.detail.body}"


def _label(path: str) -> str:
    return _escaped(path.partition("/")[2])


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")


_SHAPES: Final[Mapping[NodeKind, tuple[str, str]]] = {
    "input": ("([", "])"),
    "constant": ("[/", "/]"),
    "step": ("[", "]"),
    "apply": ("(", ")"),
    "switch": ("{", "}"),
    "case": (">", "]"),
    "when": ("{", "}"),
    "merge": ("((", "))"),
    "collect": ("((", "))"),
    "race": ("((", "))"),
    "optional": ("((", "))"),
    "accept": ("{", "}"),
    "shield": ("(", ")"),
    "map": ("[[", "]]"),
    "loop": ("[[", "]]"),
    "recurse": ("[[", "]]"),
    "signal": ("{{", "}}"),
    "sleep": ("{{", "}}"),
    "spawn": ("[[", "]]"),
    "acquire": ("[(", ")]"),
    "cancel": ("((", "))"),
    "undo": ("[\\", "\\]"),
}
