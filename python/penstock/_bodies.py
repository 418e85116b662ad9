"""Bodies: what `map` and `loop` repeat, and the ladder of a `cascade`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, get_args, get_origin

from ._calls import StageCall, draw_call, draw_shield, without_structure
from ._contracts import Contract, assignable, is_union
from ._drawing import Drawing
from ._edges import ANYTHING, check_function, check_inputs, either, indices_of, inputs_of
from ._graph import Loop, Map, OnExhausted
from ._inlining import body
from ._judging import draw_accept, draw_case
from ._nodes import Node
from ._options import Options
from ._stages import Stage


def draw_map(
    drawing: Drawing, given: StageCall, *, result: Contract, detail: Callable[[int], Map]
) -> int:
    """Draw a map over the items of the first node; `detail` gets the number of the body."""
    path, stage, (items, *shared) = given.path, given.stage, given.producers
    item = Node[Any](drawing, _NOWHERE, items.path, _item(drawing, items, path))
    wanted = inputs_of(stage, len(given.producers))
    check_inputs(drawing, stage.name, wanted, [item, *shared], path)
    body = _draw_body(drawing, given)
    inputs = indices_of(given.producers)
    return drawing.add(path, "map", result, inputs=inputs, after=given.after, detail=detail(body))


def draw_loop(
    drawing: Drawing,
    given: StageCall,
    *,
    until: Callable[..., object],
    max_iterations: int,
    on_exhausted: OnExhausted,
) -> int:
    """Draw a loop that begins with the first node."""
    path, stage = given.path, given.stage
    wanted = inputs_of(stage, len(given.producers))
    check_inputs(drawing, stage.name, wanted, given.producers, path)
    again = Node[Any](drawing, _NOWHERE, stage.name, stage.contract)
    if wanted:
        name, first = wanted[0]
        if not assignable(stage.contract.annotation, first.annotation):
            drawing.problem(
                path,
                f"{stage.name} gives {stage.contract.name}, but its input {name!r} takes "
                f"{first.name} in the next iteration; let it take what it gives",
            )
    check_function(drawing, until, [again], path, what="until= takes", remedy=_PLAIN)
    detail = Loop(
        body=_draw_body(drawing, given), max_iterations=max_iterations, on_exhausted=on_exhausted
    )
    return drawing.add(
        path,
        "loop",
        stage.contract,
        inputs=indices_of(given.producers),
        after=given.after,
        detail=detail,
        function=until,
    )


def draw_cascade(
    drawing: Drawing,
    tiers: Sequence[Stage[..., Any]],
    producers: Sequence[Node[Any]],
    path: str,
    *,
    accept: Callable[..., object],
    at: float | None,
    explore: float,
    after: tuple[int, ...],
) -> int:
    """Draw a ladder: what is not accepted goes to the next tier.

    With `at`, what `accept` gives is a score, and good enough from there on.

    With `explore`, a copy of the next tier follows an accepted value now and then. It is a copy, so
    that a failure of the tier itself stays one, while one of the exploration is contained.
    """
    results: list[int] = []
    gates: tuple[int, ...] = ()
    for number, tier in enumerate(tiers[:-1], 1):
        below = drawing.below(path, tier.name)
        draw = partial(draw_call, drawing, tier, producers, below, _NONE, gates=gates, after=after)
        value, call = drawing.apart(draw)
        given = [drawing.node(value)]
        check_function(drawing, accept, given, below, what="accept= takes", remedy=_PLAIN)
        judged = drawing.below(path, f"accept-{number}")
        yes, no = draw_accept(
            drawing,
            value,
            call,
            judged,
            gates=gates,
            explore=explore,
            at=at,
            function=accept,
            tier=True,
        )
        if explore > 0:
            accepted = drawing.part.nodes[yes].inputs[0]
            _draw_exploration(drawing, tiers[number], producers, path, number, accepted)
        results.append(yes)
        gates, after = (no,), ()
    last = drawing.below(path, tiers[-1].name)
    results.append(draw_call(drawing, tiers[-1], producers, last, _NONE, gates=gates, after=after))
    contract = either([tier.contract for tier in tiers])
    return drawing.add(path, "merge", contract, inputs=tuple(results))


def _draw_exploration(
    drawing: Drawing,
    tier: Stage[..., Any],
    producers: Sequence[Node[Any]],
    path: str,
    number: int,
    accept: int,
) -> None:
    """Draw the next tier once more, after a value that was accepted; nobody takes its result."""
    contract = drawing.node(accept).contract
    gate = draw_case(drawing, accept, contract, "explore", (2,))
    below = drawing.below(path, f"explore-{number}")
    draw = partial(draw_call, drawing, tier, producers, below, _NONE, gates=(gate,))
    value, call = drawing.apart(draw)
    draw_shield(drawing, value, call, below)


def _draw_body(drawing: Drawing, given: StageCall) -> int:
    """Draw a stage as a region of its own, and return its number."""
    stage, path, options = given.stage, given.path, given.options
    prefix, count = f"{path}[]", len(given.producers)
    if stage.graph is not None:
        options = without_structure(drawing, stage, options, path, of_item=True)
        return body(drawing, stage.graph, prefix, options)
    names = stage.inputs
    if stage.variadic:
        names = tuple((f"{name}-{i}", c) for i in range(1, count + 1) for name, c in names)
    with drawing.body(prefix) as part:
        inputs = [
            drawing.node(drawing.add(drawing.below(prefix, name), "input", contract))
            for name, contract in names
        ]
        part.input_count = len(inputs)
        part.output = draw_call(drawing, stage, inputs, prefix, options)
    return part.number


def _item(drawing: Drawing, items: Node[Any], path: str) -> Contract:
    """The contract of one of the items, as far as the annotation tells."""
    annotation = items.contract.annotation
    if items.contract.anything:
        return ANYTHING
    if annotation in (str, bytes) or not assignable(annotation, Sequence):
        drawing.problem(
            path, f"its items, {items.path!r}, are {items.contract.name}; give a list, or a tuple"
        )
        return ANYTHING
    return _inside(annotation)


def _inside(annotation: Any) -> Contract:
    arguments = get_args(annotation)
    if is_union(annotation):
        return either([_inside(member) for member in arguments])
    if get_origin(annotation) is tuple and arguments:
        return either([Contract.of(each) for each in arguments if each is not Ellipsis])
    return Contract.of(arguments[0]) if len(arguments) == 1 else ANYTHING


_NONE = Options()
_NOWHERE = 2**31  # the place of a value that no node gives, such as one item
_PLAIN = "give a plain function"
