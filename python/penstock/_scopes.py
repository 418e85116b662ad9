"""Scopes: parts of a workflow that are withdrawn as one, or run one at a time."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field

from ._calls import KEY
from ._drawing import Drawing
from ._graph import Acquire, GraphNode, Scope
from ._nodes import Node


@dataclass(frozen=True, slots=True)
class FlowScope:
    """What `flow.scope` gives, for `flow.cancel`.

    Attributes:
        path: such as "support/payment".
    """

    path: str
    number: int = field(repr=False)
    drawing: Drawing = field(repr=False)


@contextmanager
def draw_scope(drawing: Drawing, path: str, key: str | Node[str] | None) -> Generator[FlowScope]:
    """Draw in a new scope; with a key, what is drawn waits for it and holds it."""
    number, around = len(drawing.scopes), drawing.scope
    drawing.scopes.append(Scope(path=path, parent=around))
    drawing.scope = number
    start = len(drawing.part.nodes)
    acquire = None if key is None else _draw_key(drawing, path, key)
    try:
        yield FlowScope(path, number, drawing)
    finally:
        drawing.scope = around
    members = [i for i in range(start, len(drawing.part.nodes)) if _is_inside(drawing, i, number)]
    if not members or members == [acquire]:
        drawing.problem(path, "this scope is empty; draw nodes in it, or remove it")
    if acquire is not None:
        _hold(drawing, acquire, [i for i in members if i != acquire])


def _draw_key(drawing: Drawing, path: str, key: str | Node[str]) -> int:
    """Draw the node that waits for the key; what it waits for first is known in the end."""
    constant = key if isinstance(key, str) else None
    inputs = () if isinstance(key, str) else (key.index,)
    detail = Acquire(key=constant)
    return drawing.add(drawing.below(path, "key"), "acquire", KEY, inputs=inputs, detail=detail)


def _hold(drawing: Drawing, acquire: int, members: list[int]) -> None:
    """Let the members wait for the key and hold it, once all they need from outside is there."""
    inside, nodes = {acquire, *members}, drawing.part.nodes
    outside: dict[int, None] = {}
    for member in members:
        node = nodes[member]
        if node.kind in ("constant", "undo"):
            continue
        if node.holds is not None or node.kind == "acquire":
            drawing.problem(
                node.path,
                f"it needs a concurrency key inside of {nodes[acquire].path!r}, which holds one: "
                "two runs could wait for each other; use one key for both",
            )
        for producer in (*node.inputs, *node.gates, *node.after):
            if producer not in inside:
                outside.update(dict.fromkeys(_before(nodes, producer, acquire)))
        drawing.change(member, gates=(*node.gates, acquire), holds=acquire)
    after = tuple(i for i in outside if nodes[i].kind != "constant")
    drawing.change(acquire, after=after)


def _before(nodes: list[GraphNode], producer: int, acquire: int) -> tuple[int, ...]:
    """The producer; for a case that was first asked for inside the scope, its switch."""
    return (producer,) if producer < acquire else nodes[producer].inputs


def _is_inside(drawing: Drawing, index: int, scope: int) -> bool:
    inner = drawing.part.nodes[index].scope
    while inner is not None and inner != scope:
        inner = drawing.scopes[inner].parent
    return inner == scope
