"""Edges: whether what a node gives is what the next one takes."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any, Union, cast

from ._contracts import Contract, assignable
from ._drawing import Drawing
from ._nodes import Node
from ._signatures import annotations_of
from ._stages import Stage

ANYTHING = Contract.of(Any)


def producers_of(drawing: Drawing, nodes: Sequence[Any], path: str) -> list[Node[Any]]:
    """The nodes, each checked to be one of this workflow."""
    return [_producer(drawing, node, path) for node in nodes]


def _producer(drawing: Drawing, node: Node[Any], path: str) -> Node[Any]:
    if not isinstance(cast("object", node), Node):
        drawing.problem(path, f"its input {node!r} is no node; wrap it: flow.constant({node!r})")
    elif node.flow is not drawing:
        drawing.problem(
            path,
            f"its input {node.path!r} belongs to another workflow; pass the value in as an input "
            "of this one",
        )
    else:
        return node
    return Node(drawing, 0, path, ANYTHING)


def indices_of(nodes: Sequence[Node[Any]]) -> tuple[int, ...]:
    """The places of nodes."""
    return tuple([node.index for node in nodes])


def waits_of(drawing: Drawing, after: object, path: str) -> tuple[int, ...]:
    """The places of the nodes in `after`: a node, or a list of nodes."""
    if after is None:
        return ()
    nodes = [cast("object", after)] if isinstance(after, Node) else after
    if not isinstance(nodes, list | tuple):
        drawing.problem(path, f"after is {after!r}; give a node, or a list of nodes")
        return ()
    good = producers_of(drawing, cast("Sequence[object]", nodes), path)
    return tuple(dict.fromkeys(indices_of(good)))


def inputs_of(stage: Stage[..., Any], count: int) -> Sequence[tuple[str, Contract]]:
    """Name and contract of each input of a stage; `count` is for one that takes any number."""
    return stage.inputs * count if stage.variadic else stage.inputs


def check_inputs(
    drawing: Drawing,
    taker: str,
    inputs: Sequence[tuple[str, Contract]],
    producers: Sequence[Node[Any]],
    path: str,
) -> None:
    """Check the number of nodes that a stage is given, and the type of each."""
    if len(inputs) != len(producers):
        names = ", ".join(name for name, _ in inputs)
        drawing.problem(
            path,
            f"{taker} takes ({names}), but was given {len(producers)}; pass one node for each, in "
            "order",
        )
    for producer, (name, wanted) in zip(producers, inputs, strict=False):
        check_edge(drawing, producer, name, wanted, path)


def check_edge(
    drawing: Drawing, producer: Node[Any], name: str, wanted: Contract, path: str
) -> None:
    """Check that what `producer` gives is what input `name` takes."""
    given = producer.contract
    if given is wanted or given.anything or wanted.anything:
        return
    nodes = drawing.part.nodes
    source = nodes[producer.index] if producer.index < len(nodes) else None
    if source is not None and source.kind == "constant":
        fits = wanted.accepts(source.value)
    else:
        fits = assignable(given.annotation, wanted.annotation)
    if not fits:
        drawing.problem(
            path,
            f"input {name!r} takes {wanted.name}, but {producer.path!r} gives {given.name}; "
            "pass another node, or convert the value with flow.apply",
        )


def check_function(
    drawing: Drawing,
    function: Any,
    producers: Sequence[Node[Any]],
    path: str,
    *,
    what: str = "flow.apply takes",
    remedy: str = "use flow.call for a step or workflow",
) -> Contract:
    """Check a plain function against the nodes it is given, and return its result's contract.

    Args:
        drawing: notes the problems.
        function: whatever the user gave.
        producers: of its arguments.
        path: of the node that evaluates it.
        what: who takes it; opens the messages.
        remedy: for a stage in its place.
    """
    if isinstance(function, Stage):
        drawing.problem(path, f"{what} a function, not {function!r}; {remedy}")
        return ANYTHING
    if not callable(function) or inspect.iscoroutinefunction(function):
        drawing.problem(path, f"{what} a plain function, not {function!r}; use a step")
        return ANYTHING
    if not inspect.isroutine(function):
        return Contract.of(function if isinstance(function, type) else Any)
    try:
        bound = inspect.signature(function).bind(*producers)
    except ValueError:  # a builtin that does not tell its signature
        return ANYTHING
    except TypeError as error:
        drawing.problem(path, f"was given {len(producers)} inputs: {error}; pass what it takes")
        return ANYTHING
    none: dict[str, Any] = {}
    hints = drawing.tried(path, lambda: annotations_of(function, "its function"), none)
    for name, given in bound.arguments.items():
        for producer in cast("Sequence[Any]", given if isinstance(given, tuple) else (given,)):
            check_edge(drawing, producer, name, Contract.of(hints.get(name, Any)), path)
    return Contract.of(hints.get("return", Any))


def label_of(function: object, usual: str) -> str:
    """What a node of this function is called, unless it gets a name."""
    name = getattr(function, "__name__", usual)
    return usual if name == "<lambda>" else name


def either(contracts: Sequence[Contract]) -> Contract:
    """The contract of a value that satisfies one of these."""
    first = contracts[0] if contracts else ANYTHING
    if all(contract is first for contract in contracts):
        return first
    if any(contract.annotation is Any for contract in contracts):
        return ANYTHING
    return Contract.of(Union[tuple(each.annotation for each in contracts)])  # noqa: UP007 (built)


def list_of(contract: Contract) -> Contract:
    """The contract of a list of such values."""
    return Contract.of(list.__class_getitem__(contract.annotation))
