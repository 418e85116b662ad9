"""Calls: the nodes that a step or a workflow becomes, with its key, compensation and fallback."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, cast

from ._contracts import Contract, assignable
from ._drawing import Drawing
from ._edges import (
    check_function,
    check_inputs,
    either,
    indices_of,
    inputs_of,
    producers_of,
    waits_of,
)
from ._errors import DefinitionError
from ._graph import Acquire, Recurse, Shield, Undo
from ._inlining import body, check_once, inline, is_recursive
from ._judging import bar_of, checked_bar, draw_accept, draw_bar, option_of
from ._nodes import Node
from ._options import STRUCTURAL, ConcurrencyKey, Options
from ._stages import Stage, Step

After: TypeAlias = Node[object] | Sequence[Node[object]] | None
OnFailure: TypeAlias = Literal["fail", "skip"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StageCall:
    """What a method of `Flow` was given to run, and how, as far as it could be made out."""

    stage: Stage[..., Any]
    path: str
    producers: list[Node[Any]]
    after: tuple[int, ...]
    options: Options
    on_failure: OnFailure | None


def stage_call(
    drawing: Drawing,
    method: str,
    stage: object,
    nodes: Sequence[object],
    overrides: dict[str, Any],
) -> StageCall:
    """Read the arguments of a method of `Flow`.

    Raises:
        DefinitionError: the first is no stage.
    """
    stage = stage_of(stage, method)
    path = drawing.path(overrides.pop("name", None), stage.name)
    after, on_failure = overrides.pop("after", None), overrides.pop("on_failure", None)
    return StageCall(
        stage=stage,
        path=path,
        producers=producers_of(drawing, nodes, path),
        after=waits_of(drawing, after, path),
        options=drawing.options(overrides, path),
        on_failure=on_failure,
    )


def stage_of(stage: object, method: str) -> Stage[..., Any]:
    """What a method of `Flow` was given to run.

    Raises:
        DefinitionError: it is no stage.
    """
    if not isinstance(stage, Stage):
        raise DefinitionError(
            f"flow.{method} takes a step or a workflow, not {stage!r}",
            remedy="decorate it with @ps.step, or use flow.apply",
        )
    return cast("Stage[..., Any]", stage)


def draw_call(
    drawing: Drawing,
    stage: Stage[..., Any],
    producers: Sequence[Node[Any]],
    path: str,
    options: Options,
    *,
    gates: tuple[int, ...] = (),
    after: tuple[int, ...] = (),
) -> int:
    """Draw a stage, its inputs checked, and return the place of its result."""
    check_inputs(drawing, stage.name, inputs_of(stage, len(producers)), producers, path)
    fallback = option_of(stage, options, "fallback")
    bar = bar_of(drawing, stage, options, path, fallback=fallback)
    if "fallback" in options:
        options = cast("Options", {k: v for k, v in options.items() if k != "fallback"})

    def draw() -> int:
        return _draw_plain(drawing, stage, producers, path, options, gates=gates, after=after)

    if fallback is None:
        return draw() if bar is None else draw_bar(drawing, draw(), bar, path)
    first, call = drawing.apart(draw)
    bar = None if bar is None else checked_bar(drawing, bar, first, path)
    below = drawing.below(path, "fallback")
    if not assignable(fallback.contract.annotation, stage.contract.annotation):
        drawing.problem(
            path,
            f"its fallback {fallback.name} gives {fallback.contract.name}, but {stage.name} gives "
            f"{stage.contract.name}; choose one that gives the same, or use flow.cascade",
        )
    judge = bar if bar is not None and bar.review is None else None
    yes, no = draw_accept(
        drawing,
        first,
        call,
        drawing.below(path, "accepted"),
        gates=gates,
        at=None if judge is None else judge.threshold.at,
        function=None if judge is None else judge.threshold.score,
    )
    second = draw_call(drawing, fallback, producers, below, Options(), gates=(no,))
    if bar is not None and judge is None:
        yes = draw_bar(drawing, yes, bar, path)
    return drawing.add(drawing.below(path, "result"), "merge", stage.contract, inputs=(yes, second))


def contained(
    drawing: Drawing, path: str, on_failure: OnFailure | None, draw: Callable[[], int]
) -> Node[Any]:
    """What `draw` draws; with on_failure="skip" its failure is contained."""
    if on_failure not in (None, "fail", "skip"):
        drawing.problem(path, f"on_failure is {on_failure!r}; give 'skip', or leave it out")
    if on_failure != "skip":
        return drawing.node(draw())
    output, call = drawing.apart(draw)
    return drawing.node(draw_shield(drawing, output, call, path))


def draw_shield(drawing: Drawing, value: int, call: int, path: str) -> int:
    """Draw what turns the failure of a call instance into a skip."""
    return drawing.add(
        drawing.below(path, "shield"),
        "shield",
        drawing.node(value).contract,
        inputs=(value,),
        detail=Shield(contains=call),
    )


def without_structure(
    drawing: Drawing, stage: Stage[..., Any], options: Options, path: str, *, of_item: bool = False
) -> Options:
    """The options of a workflow's call; those that would become nodes are problems."""
    given = [name for name in STRUCTURAL if name in options and (of_item or name != "fallback")]
    for name in given:
        drawing.problem(
            path,
            f"{name}= does not go with the workflow {stage.name}; "
            + ("use flow.scope" if name == "concurrency_key" else "give it to the steps in it"),
        )
    return cast("Options", {k: v for k, v in options.items() if k not in STRUCTURAL})


def _draw_plain(
    drawing: Drawing,
    stage: Stage[..., Any],
    producers: Sequence[Node[Any]],
    path: str,
    options: Options,
    *,
    gates: tuple[int, ...],
    after: tuple[int, ...],
) -> int:
    if stage.graph is None:
        step = cast("Step[..., Any]", stage)
        return _draw_step(drawing, step, producers, path, options, gates=gates, after=after)
    inputs = indices_of(producers)
    graph, options = stage.graph, without_structure(drawing, stage, options, path)
    if not is_recursive(graph):
        return inline(
            drawing, graph, path, inputs=inputs, gates=gates, after=after, options=options
        )
    detail = Recurse(body=body(drawing, graph, path, options), max_depth=0)
    return drawing.add(
        path, "recurse", stage.contract, inputs=inputs, gates=gates, after=after, detail=detail
    )


def _draw_step(
    drawing: Drawing,
    step: Step[..., Any],
    producers: Sequence[Node[Any]],
    path: str,
    options: Options,
    *,
    gates: tuple[int, ...],
    after: tuple[int, ...],
) -> int:
    check_once(drawing, step, options, path)
    inputs = indices_of(producers)
    key: ConcurrencyKey | None = option_of(step, options, "concurrency_key")
    holds = None
    if key is not None:
        holds = draw_key(drawing, key, producers, path, gates=gates, after=after)
        gates = (*gates, holds)
    undo = option_of(step, options, "compensate")
    place = drawing.add(
        path,
        "step",
        step.contract,
        inputs=inputs,
        gates=gates,
        after=after,
        holds=holds,
        step=step,
        overrides=cast("Options", {k: v for k, v in options.items() if k not in STRUCTURAL}),
    )
    if undo is not None:
        _check_compensate(drawing, step, undo, path, len(producers))
        drawing.add(
            drawing.below(path, "compensate"),
            "undo",
            undo.contract,
            inputs=(*inputs, place),
            detail=Undo(of=place),
            step=undo,
        )
    return place


def draw_key(
    drawing: Drawing,
    key: ConcurrencyKey,
    producers: Sequence[Node[Any]],
    path: str,
    *,
    gates: tuple[int, ...],
    after: tuple[int, ...],
) -> int:
    """Draw what waits for a step's concurrency key, once the step could start."""
    below, inputs = drawing.below(path, "key"), indices_of(producers)
    if isinstance(key, str):
        gates = tuple(dict.fromkeys((*gates, *inputs)))
        detail = Acquire(key=key)
        return drawing.add(below, "acquire", KEY, gates=gates, after=after, detail=detail)
    check_function(drawing, key, producers, path, what="concurrency_key takes", remedy=_PLAIN)
    return drawing.add(
        below,
        "acquire",
        KEY,
        inputs=inputs,
        gates=gates,
        after=after,
        detail=Acquire(key=None),
        function=key,
    )


def _check_compensate(
    drawing: Drawing, step: Step[..., Any], undo: Step[..., Any], path: str, count: int
) -> None:
    """A compensation takes the step's inputs, then its result or None."""
    given = [*(step.inputs * count if step.variadic else step.inputs)]
    result = either([step.contract, Contract.of(None)])
    given.append(("result", result))
    wanted = undo.inputs * len(given) if undo.variadic else undo.inputs
    if len(wanted) != len(given):
        names = ", ".join(name for name, _ in given)
        drawing.problem(
            path,
            f"its compensation {undo.name} takes {len(wanted)} inputs; let it take the step's "
            f"inputs and the result: ({names})",
        )
        return
    for (name, source), (parameter, target) in zip(given, wanted, strict=True):
        if not assignable(source.annotation, target.annotation):
            why = " (None if the step was interrupted)" if name == "result" else ""
            drawing.problem(
                path,
                f"input {parameter!r} of its compensation {undo.name} takes {target.name}, but "
                f"gets {source.name}{why}; annotate it so",
            )


KEY = Contract.of(str)
_PLAIN = "give a name, or a plain function of the inputs"
