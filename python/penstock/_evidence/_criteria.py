"""Criteria: what a candidate has to be shown to do, and what it must not be shown to do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar, Final, cast

from penstock._errors import DefinitionError
from penstock._policies import Policy, instance, number, word

from ._margins import Margin, drop, rise
from ._outcomes import BY_QUEUE, METRICS, NAMED, parted


@dataclass(frozen=True, slots=True, kw_only=True, init=False, repr=False)
class Criteria(Policy):
    """What a release is judged by.

    A candidate is promoted when each objective is *shown* to be no worse than its margin, and
    rolled back when an objective or a guardrail is shown to be worse than the baseline and looks
    worse by more than its margin. Both may be looked at after every run.

    The metrics are "success", "cost" (per success), "retry_burden" (retries per first attempt),
    "handoff" (accepted at first delivery), "first_attempts" and "load" (slot-seconds) per run, both
    also of one queue as "load:gpt", "latency" (`rise(0.02, over=10.0)`: runs that take longer),
    "queue_delay" (`at_most(0.01, over=5.0)`: both arms wait in the same line, so that it is a bound
    for all runs and a guardrail only), and "score:<kind>". With a score its scored share,
    "scored:<kind>", is a guardrail too.

    Attributes:
        objectives: margins by metric; success may drop by 0.01 unless given.
        guardrails: margins by metric; unless given cost and first attempts per run may rise by 5
            and 10 %, the retry burden by 0.05, handoffs may drop by 0.01, and so may success if it
            is no objective.
        alpha: the probability that a candidate that is no worse is rolled back, over all criteria.
            Objectives have one half of it, guardrails the other.
        alpha_promote: the probability, for each objective, that a candidate that is worse than its
            margin is shown to be good enough.

    Raises:
        DefinitionError: a metric is unknown, has another direction or stands on both sides, or a
            value is out of its range.

    >>> from penstock._evidence import Criteria, drop, rise
    >>> Criteria(objectives={"success": drop(0.01), "cost": rise(0.05, relative=True)}).objectives
    mappingproxy({'success': drop(0.01), 'cost': rise(0.05, relative=True)})
    """

    objectives: Mapping[str, Margin]
    guardrails: Mapping[str, Margin]
    alpha: float
    alpha_promote: float

    _READERS: ClassVar[Mapping[str, Callable[[Any], object]]] = {
        "objectives": lambda margins: _read(margins),  # noqa: PLW0108  # it stands further down
        "guardrails": lambda margins: _read(margins),  # noqa: PLW0108
    }

    def __init__(
        self,
        *,
        objectives: Mapping[str, Margin] | None = None,
        guardrails: Mapping[str, Margin] | None = None,
        alpha: float = 0.02,
        alpha_promote: float = 0.05,
    ) -> None:
        wanted = dict(_SUCCESS) if objectives is None else _margins(objectives, "objectives")
        if guardrails is None:
            kept = {k: v for k, v in (*_SUCCESS.items(), *_USUAL.items()) if k not in wanted}
        else:
            kept = _margins(guardrails, "guardrails")
        if not wanted:
            raise DefinitionError(
                "Criteria has no objective", remedy="give one, such as {'success': drop(0.01)}"
            )
        for metric in (*wanted, *kept):
            base, kind = parted(metric)
            if base == "score" and f"scored:{kind}" not in wanted:
                kept.setdefault(f"scored:{kind}", drop(0.05))
        for metric, margin in wanted.items():
            _check_objective(metric, margin, kept)
        self._keep(
            objectives=MappingProxyType(wanted),
            guardrails=MappingProxyType(kept),
            alpha=number(alpha, "Criteria.alpha", above=0, most=0.5),
            alpha_promote=number(alpha_promote, "Criteria.alpha_promote", above=0, most=0.5),
        )

    def alpha_of(self, metric: str) -> float:
        """The share of `alpha` that the harm test of a criterion has."""
        if not self.guardrails:
            return self.alpha / len(self.objectives)
        peers = self.objectives if metric in self.objectives else self.guardrails
        return self.alpha / 2 / len(peers)

    @property
    def scores(self) -> tuple[str, ...]:
        """The kinds of scores that are judged."""
        named = (parted(metric) for metric in (*self.objectives, *self.guardrails))
        return tuple(dict.fromkeys(kind for base, kind in named if base in NAMED))

    def to_dict(self) -> dict[str, Any]:
        """All fields as plain data, ready for JSON; `from_dict` reads it."""
        return {
            "objectives": {name: each.to_dict() for name, each in self.objectives.items()},
            "guardrails": {name: each.to_dict() for name, each in self.guardrails.items()},
            "alpha": self.alpha,
            "alpha_promote": self.alpha_promote,
        }

    def __hash__(self) -> int:
        return hash(self.digest)

    def __reduce__(self) -> tuple[object, ...]:
        return Criteria.from_dict, (self.to_dict(),)

    def __repr__(self) -> str:
        told = [f"objectives={dict(self.objectives)!r}", f"guardrails={dict(self.guardrails)!r}"]
        if self.alpha != 0.02:
            told.append(f"alpha={self.alpha}")
        if self.alpha_promote != 0.05:
            told.append(f"alpha_promote={self.alpha_promote}")
        return f"Criteria({', '.join(told)})"


def _margins(value: object, side: str) -> dict[str, Margin]:
    if not isinstance(value, Mapping):
        raise DefinitionError(
            f"Criteria.{side} is {value!r}",
            remedy="give margins by metric, such as {'success': drop(0.01)}",
        )
    margins: dict[str, Margin] = {}
    for metric, margin in cast("Mapping[object, object]", value).items():
        name = word(metric, f"a metric of Criteria.{side}")
        margins[name] = _checked(name, margin, f"Criteria.{side}[{name!r}]")
    return margins


def _checked(metric: str, margin: object, place: str) -> Margin:
    base, detail = parted(metric)
    known = METRICS.get(base)
    if known is None or bool(detail) != (":" in metric) or (detail and base not in _DETAILED):
        raise DefinitionError(f"{place} is no metric", remedy=f"take one of {_ALL}")
    if base in NAMED and not detail:
        raise DefinitionError(
            f"{place} does not say which score", remedy=f"name its kind, as in '{base}:judge'"
        )
    example = _EXAMPLES.get(base, f"{known.direction}(0.05)")
    checked = instance(margin, place, Margin, f"give {example}")
    timed = base in ("latency", "queue_delay")
    if checked.direction != known.direction or (checked.over is not None) != timed:
        raise DefinitionError(f"{place} is {checked!r}", remedy=f"give {example}")
    if known.form == "share" and checked.by >= 1:
        raise DefinitionError(
            f"{place} is {checked!r}: a share can't get that much worse",
            remedy="give a share below 1, such as 0.01 for one point",
        )
    return checked


def _check_objective(metric: str, margin: Margin, guardrails: Mapping[str, Margin]) -> None:
    if metric in guardrails:
        raise DefinitionError(
            f"{metric!r} is an objective and a guardrail", remedy="leave it out of the guardrails"
        )
    if margin.direction == "at_most":
        raise DefinitionError(
            f"{metric!r} can't be an objective: both arms wait in the same line",
            remedy="make it a guardrail",
        )
    if margin.by == 0:
        raise DefinitionError(
            f"the margin of objective {metric!r} is 0, which no number of runs can show",
            remedy="give the loss that would still be acceptable, or make it a guardrail",
        )


def _read(margins: object) -> object:
    if not isinstance(margins, Mapping):
        return margins
    given = cast("Mapping[str, Any]", margins)
    return {name: Margin.from_dict(margin) for name, margin in given.items()}


_DETAILED: Final = NAMED | BY_QUEUE
_SUCCESS: Final[Mapping[str, Margin]] = MappingProxyType({"success": drop(0.01)})
_USUAL: Final[Mapping[str, Margin]] = MappingProxyType(
    {
        "cost": rise(0.05, relative=True),
        "retry_burden": rise(0.05),
        "handoff": drop(0.01),
        "first_attempts": rise(0.10, relative=True),
    }
)
_EXAMPLES: Final[Mapping[str, str]] = {
    "latency": "rise(0.02, over=10.0)",
    "queue_delay": "at_most(0.01, over=5.0): both arms wait in the same line",
}
_ALL: Final = ", ".join(f"{name}:<kind>" if name in NAMED else name for name in METRICS)
