"""Parts: what a change inside of a queue, a hedge or an estimate means.

A part is compared field by field: of each field the tables say what follows when it is raised, and
what when it is lowered. A field that one side does not have is passed over: an earlier version of
penstock wrote that side.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any, Final, TypeAlias, cast

from ._changes import Verdict

Told: TypeAlias = tuple[Verdict, str, str]
"""Verdict, what changed, why it matters."""
Fields: TypeAlias = Mapping[str, tuple[str, str]]
"""By name: what follows when it is raised, and when it is lowered."""


@dataclass(frozen=True, slots=True)
class Part:
    """A policy inside of another.

    Attributes:
        noun: what it is called.
        gained: what follows when it is new.
        lost: what follows when it is gone.
        fields: what follows when one of them changes.
        compatible: those of them that change nothing about how runs go.
    """

    noun: str
    gained: str
    lost: str
    fields: Fields
    compatible: frozenset[str] = frozenset()

    def compared(self, whose: str, old: Any, new: Any) -> Iterator[Told]:
        """The differences between two of it, of which one may be None."""
        if new is None:
            yield "risky", f"{whose} {self.noun} is gone", self.lost
        elif old is None:
            yield "risky", f"{whose} {self.noun} is new", self.gained
        else:
            for name, before, after in changed(old, new):
                what = f"{name} of {whose} {self.noun} {told(before)} -> {told(after)}"
                verdict: Verdict = "compatible" if name in self.compatible else "risky"
                yield verdict, what, _follows(self.fields, name, before, after)


def queues(name: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Told]:
    """The differences between two models of the queue of that name."""
    whose = f"{name}'s"
    for field, before, after in changed(old, new):
        if field in _PARTS:
            yield from _PARTS[field].compared(whose, before, after)
        elif field == "rate_limit":
            yield from _rate_limits(whose, before, after)
        elif field == "fairness":
            yield from _fairness(whose, before, after)
        elif isinstance(before, dict) and isinstance(after, dict):
            yield from _ADAPTIVE.compared(whose, before, after)
        elif field != "version":
            what = f"{field} of queue {name} {_limit(before)} -> {_limit(after)}"
            verdict: Verdict = "compatible" if field in _ORDER else "risky"
            yield verdict, what, _follows(_QUEUE, field, before, after)


def changed(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """What differs of the fields that both have: name, before, after."""
    for name, after in new.items():
        if name in old and old[name] != after:
            yield name, old[name], after


def told(value: Any) -> str:
    """A value from JSON, in a sentence."""
    if isinstance(value, list):
        return f"({', '.join(str(item) for item in cast('list[object]', value))})"
    if isinstance(value, dict):
        return " ".join(str(part) for part in cast("dict[str, object]", value).values())
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _limit(value: Any) -> str:
    return "adaptive" if isinstance(value, dict) else told(value)


def _follows(fields: Fields, name: str, before: Any, after: Any) -> str:
    raised, lowered = fields.get(name, (_OTHER, _OTHER))
    if isinstance(before, dict) or isinstance(after, dict):
        return _FOLLOWING
    if isinstance(before, str) or isinstance(after, str):
        return raised
    return raised if _size(after) > _size(before) else lowered


def _size(value: float | None) -> float:
    return inf if value is None else value


def _rate_limits(whose: str, old: Any, new: Any) -> Iterator[Told]:
    before, after = _by_unit(old), _by_unit(new)
    for unit in dict.fromkeys((*before, *after)):
        if before.get(unit) != after.get(unit):
            part = Part(f"rate limit of {unit}", _LESS, _MORE, _RATE)
            yield from part.compared(whose, before.get(unit), after.get(unit))


def _by_unit(limits: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {limit["unit"]: limit for limit in limits}


def _fairness(whose: str, old: Any, new: Any) -> Iterator[Told]:
    if old is None or new is None:
        yield from _FAIRNESS.compared(whose, old, new)
        return
    before, after = old["weights"], new["weights"]
    yield from _FAIRNESS.compared(whose, {**old, "weights": None}, {**new, "weights": None})
    for tenant in dict.fromkeys((*before, *after)):
        was, now = before.get(tenant, 1.0), after.get(tenant, 1.0)
        if was != now:
            what = f"weight of {tenant} in {whose} fairness {told(was)} -> {told(now)}"
            reason = "other tenants wait longer" if now > was else "this tenant waits longer"
            yield "risky", what, reason


def _both(reason: str) -> tuple[str, str]:
    return reason, reason


_MORE: Final = "more of it reaches the dependency at once"
_LESS: Final = "work waits longer, or is refused, under the same load"
_OTHER: Final = "it runs under another rule"
_FOLLOWING: Final = "how much of it reaches the dependency at once is decided in another way"
_ORDER: Final = frozenset({"aging", "aging_share"})
"""Only whose turn it is changes with these."""

_LATER: Final = ("work goes to a failing dependency for longer", "work waits for it sooner")
_OPEN: Final = ("work waits longer until it is tried again", "what is down is tried again sooner")
_EARNED: Final = ("an outage is met with more retries", "more retries wait, or fail")
_REFUSED: Final = ("runs wait longer before new ones are refused", "new runs are refused sooner")
_SHARED: Final = _both("other tenants get more of it than before")
_QUEUE: Final[Fields] = {
    "concurrency": (_MORE, _LESS),
    "capacity": ("more work waits before any is refused", _LESS),
    "aging": ("work of low priority waits longer", "work of low priority gets its turn sooner"),
    "aging_share": ("low priorities get more turns", "low priorities get fewer turns"),
}
_RATE: Final[Fields] = {"limit": (_MORE, _LESS), "per": (_LESS, _MORE), "burst": (_MORE, _LESS)}
_ADAPTIVE: Final = Part(
    "adaptive concurrency",
    _FOLLOWING,
    _FOLLOWING,
    dict.fromkeys(("initial", "min_limit", "max_limit"), (_MORE, _LESS)),
)
_FAIRNESS: Final = Part(
    "fairness",
    "tenants take turns, whatever each of them has waiting",
    "a tenant's backlog stands before the others",
    {"key": _SHARED, "by": _SHARED},
)
_PARTS: Final[Mapping[str, Part]] = {
    "retry_budget": Part(
        "retry budget",
        "retries that it does not cover wait, or fail",
        "an outage is met with all the retries that policies allow",
        {
            "ratio": _EARNED,
            "floor": _EARNED,
            "stored": _EARNED,
            "window": _EARNED,
            "on_denial": _both("retries that it does not cover end in another way"),
        },
    ),
    "breaker": Part(
        "breaker",
        "work waits, or fails, while it is open",
        "a dependency that is down gets all the work there is",
        {
            "failure_ratio": _LATER,
            "min_calls": _LATER,
            "window": ("it judges by more of the past", "it judges by less of the past"),
            "open_for": _OPEN,
            "max_open": _OPEN,
            "probes": ("more attempts go to what may still be down", "fewer attempts decide"),
        },
    ),
    "shed": Part(
        "shedding",
        "new runs are refused while others wait for too long",
        "new runs are taken in, however long others wait",
        {"target": _REFUSED, "interval": _REFUSED},
    ),
}
HEDGE: Final = Part(
    "hedge",
    "slow attempts run twice, and use twice as much",
    "slow attempts are waited for",
    dict.fromkeys(
        ("after", "quantile"), ("slow attempts are waited for longer", "more attempts run twice")
    ),
)
ESTIMATE: Final = Part(
    "estimate",
    "a limit of tokens counts it",
    "a limit of tokens counts it as nothing until it is over",
    {
        "tokens": (
            "fewer attempts fit into a limit of tokens",
            "more attempts fit into it at once",
        ),
        "seconds": _both("lint and `penstock stability` judge its queue by another time"),
    },
    compatible=frozenset({"seconds"}),
)
