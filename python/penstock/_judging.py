"""Judging: what accepts a value or not, with its two cases, and the threshold of a step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ._contracts import Contract, assignable
from ._drawing import Drawing
from ._edges import check_function
from ._errors import ThresholdError
from ._graph import Accept, Case, Wait
from ._options import OnReject, OptionName, Options
from ._policies import Threshold
from ._signals import Signal
from ._stages import GIVE_ACCEPT, NOTHING_JUDGED, Stage, Step


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """What the value of a step has to reach.

    Attributes:
        step: that step.
        threshold: what it has to reach.
        review: the signal that stands in for a value that does not; None without a review.
    """

    step: Step[..., Any]
    threshold: Threshold[Any]
    review: Signal[Any] | None


def bar_of(
    drawing: Drawing,
    stage: Stage[..., Any],
    options: Options,
    path: str,
    *,
    fallback: Stage[..., Any] | None,
) -> Bar | None:
    """The bar of a call, with what is wrong with it noted; None if it has none, or is no step's."""
    if not isinstance(stage, Step):
        return None
    step: Step[..., Any] = stage
    threshold: Threshold[Any] | None = option_of(step, options, "accept")
    on_reject: OnReject | None = option_of(step, options, "on_reject")
    if threshold is None:
        if on_reject is not None:
            drawing.problem(path, f"{NOTHING_JUDGED}; {GIVE_ACCEPT}")
        return None
    if on_reject == "fallback" and fallback is None:
        drawing.problem(path, "on_reject='fallback', and it has none; give fallback=")
    if on_reject == "review":
        on_reject = Signal[Any](f"{step.name}-review", step.contract.annotation)
    review = on_reject if isinstance(on_reject, Signal) else None
    if review is not None:
        if step.owner is None:
            drawing.problem(path, f"nobody reviews what {step.name} gives; give the step owner=")
        if not assignable(review.contract.annotation, step.contract.annotation):
            drawing.problem(
                path,
                f"signal {review.name!r} stands in for what {step.name} gives, and carries "
                f"{review.contract.name}, not {step.contract.name}; give one of that type",
            )
    return Bar(step=step, threshold=threshold, review=review)


def checked_bar(drawing: Drawing, bar: Bar, value: int, path: str) -> Bar:
    """The bar, with it noted if its score does not take the value."""
    given = [drawing.node(value)]
    check_function(drawing, bar.threshold.score, given, path, what="accept= takes", remedy=_PLAIN)
    return bar


def draw_bar(drawing: Drawing, value: int, bar: Bar, path: str) -> int:
    """Draw what judges a value that is there, and return what is taken in the end.

    A failure of the step is none of its business: the value is passed on once, in a call instance
    of its own, so that the node that judges contains nothing else.
    """
    checked_bar(drawing, bar, value, path)
    contract, threshold = drawing.node(value).contract, bar.threshold
    scored = drawing.below(path, "scored")
    passed, call = drawing.apart(lambda: drawing.add(scored, "merge", contract, inputs=(value,)))
    judged = drawing.below(path, "threshold")
    yes, no = draw_accept(
        drawing, passed, call, judged, gates=(), at=threshold.at, function=threshold.score
    )
    if bar.review is None:
        refused = drawing.below(path, "rejected")
        other = drawing.add(refused, "apply", contract, inputs=(no,), function=_refuse(bar))
    else:
        detail = Wait(signal=bar.review, timeout=0.0, on_timeout="fail", owner=bar.step.owner)
        asked, answer = drawing.below(path, "review"), bar.review.contract
        other = drawing.add(asked, "signal", answer, inputs=(no,), detail=detail)
    return drawing.add(drawing.below(path, "judged"), "merge", contract, inputs=(yes, other))


def draw_accept(
    drawing: Drawing,
    value: int,
    contains: int,
    path: str,
    *,
    gates: tuple[int, ...],
    explore: float = 0.0,
    at: float | None = None,
    function: Callable[..., object] | None = None,
    tier: bool = False,
) -> tuple[int, int]:
    """Draw what judges a value, and return its cases: accepted, not accepted."""
    contract = drawing.node(value).contract
    detail = Accept(contains=contains, explore=explore, at=at, tier=tier)
    accept = drawing.add(
        path, "accept", contract, inputs=(value,), gates=gates, detail=detail, function=function
    )
    yes = draw_case(drawing, accept, contract, "yes", (1, 2))
    return yes, draw_case(drawing, accept, contract, "no", (0,))


def draw_case(
    drawing: Drawing, decision: int, contract: Contract, label: str, taken: tuple[int, ...]
) -> int:
    """Draw a case of a switch or an accept node."""
    path = drawing.case_path(drawing.node(decision).path, label)
    return drawing.add(path, "case", contract, inputs=(decision,), detail=Case(taken=taken))


def option_of(stage: Stage[..., Any], options: Options, name: OptionName) -> Any:
    """What the call, else the step, says; None if neither does."""
    value = options.get(name)
    return stage.options.get(name) if value is None and isinstance(stage, Step) else value


def _refuse(bar: Bar) -> Callable[[object], object]:
    """What fails the run for a value below the threshold."""
    step, threshold = bar.step, bar.threshold

    def rejected(value: object) -> object:
        score = float(threshold.score(value))
        told = f"the score of {score:g}" if score < threshold.at else "a score"  # it may be impure
        raise ThresholdError(
            f"step {step.name!r} gave a value with {told} below the threshold of {threshold.at:g}",
            remedy=f"see {step.playbook}" if step.playbook else _NOT_GOOD_ENOUGH,
        )

    return rejected


_PLAIN = "give a plain function"
_NOT_GOOD_ENOUGH = "lower the threshold, or give the step a fallback or on_reject='review'"
