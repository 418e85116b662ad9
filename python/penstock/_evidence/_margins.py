"""Margins: how much worse a candidate may be. `drop`, `rise` and `at_most` make them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from penstock._errors import DefinitionError
from penstock._policies import Policy, Seconds, number, seconds
from penstock._policies._checks import one_of

Direction: TypeAlias = Literal["drop", "rise", "at_most"]


@dataclass(frozen=True, slots=True, init=False, repr=False)
class Margin(Policy):
    """How much worse a metric of a candidate may be; made by `drop`, `rise` or `at_most`.

    Attributes:
        direction: "drop" for what should be high, "rise" for what should be low, "at_most" for a
            bound that holds whatever the baseline does.
        by: how much, from 0: in the metric's own unit, or of the baseline's value.
        relative: whether `by` is a share of the baseline's value.
        over: seconds, of a metric that counts the runs that take longer; None for others.

    Raises:
        DefinitionError: a value is out of its range, or two contradict each other.
    """

    direction: Direction
    by: float
    relative: bool
    over: float | None

    def __init__(
        self,
        direction: Direction,
        by: float,
        *,
        relative: bool = False,
        over: Seconds | None = None,
    ) -> None:
        one_of(direction, "Margin.direction", get_args(Direction))
        if type(relative) is not bool:
            raise DefinitionError(
                f"relative of {direction}() is {relative!r}", remedy="give True or False"
            )
        limit = None if over is None else seconds(over, f"over of {direction}()")
        if direction == "at_most":
            by = number(by, "the share of at_most()", above=0, below=1)
            if limit is None or relative:
                raise DefinitionError(
                    "at_most() is a share of runs over a limit",
                    remedy="give it over= and no relative=, such as at_most(0.01, over=5.0)",
                )
        elif relative and direction == "drop":
            by = number(by, "drop()", least=0, below=1)
        else:
            by = number(by, f"{direction}()", least=0)
        self._keep(direction=direction, by=by, relative=relative, over=limit)

    def __repr__(self) -> str:
        relative = ", relative=True" if self.relative else ""
        over = "" if self.over is None else f", over={self.over}"
        return f"{self.direction}({self.by}{relative}{over})"


def drop(by: float, *, relative: bool = False) -> Margin:
    """How far something that should be high may drop: success, handoffs, scores.

    Args:
        by: 0.01 is one point of a share; with `relative` one per cent of the baseline's value.
        relative: whether it is a share of the baseline's value.

    Raises:
        DefinitionError: `by` is negative or not finite, or a relative one not below 1.

    >>> drop(0.01)
    drop(0.01)
    """
    return Margin("drop", by, relative=relative)


def rise(by: float, *, relative: bool = False, over: Seconds | None = None) -> Margin:
    """How far something that should be low may rise: cost, retries, load, slow runs.

    Args:
        by: in the unit of the metric; with `relative` a share of the baseline's value.
        relative: whether it is a share of the baseline's value.
        over: seconds; for "latency", which counts the runs that take longer.

    Raises:
        DefinitionError: a value is negative or not finite.

    >>> rise(0.05, relative=True), rise(0.02, over=10.0)
    (rise(0.05, relative=True), rise(0.02, over=10.0))
    """
    return Margin("rise", by, relative=relative, over=over)


def at_most(share: float, *, over: Seconds) -> Margin:
    """The share of all runs, of both arms, that may be over a limit. For "queue_delay".

    Args:
        share: more than 0, below 1.
        over: seconds.

    Raises:
        DefinitionError: a value is out of its range.

    >>> at_most(0.01, over=5.0)
    at_most(0.01, over=5.0)
    """
    return Margin("at_most", share, over=over)
