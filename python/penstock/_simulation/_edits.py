"""Edits: policies with some fields changed. They are immutable, so each edit makes another one."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, TypeVar, cast

from penstock._errors import DefinitionError
from penstock._policies import (
    Adaptive,
    Breaker,
    CoDel,
    Fairness,
    Policy,
    Queue,
    RateLimit,
    RetryBudget,
    word,
)

from ._targets import did_you_mean

P = TypeVar("P", bound=Policy)


def is_none(value: object) -> bool:
    """Whether a value takes something away: there is no null in TOML."""
    return value is None or value == "none"


def edited(policy: P, fields: Mapping[str, object]) -> P:
    """A policy with some of its fields changed.

    Raises:
        DefinitionError: a field is unknown, or a value out of its range.
    """
    kind = type(policy)
    known = inspect.signature(kind).parameters
    read: dict[str, object] = {}
    for name, value in fields.items():
        if name not in known:
            raise DefinitionError(
                f"{kind.__name__} has no field {name!r}", remedy=did_you_mean(name, known)
            )
        reader = kind._READERS.get(name)  # noqa: SLF001
        if reader is not None and isinstance(value, list | tuple):
            value = tuple(map(reader, cast("tuple[object, ...]", value)))  # noqa: PLW2901
        elif reader is not None and isinstance(value, Mapping):
            value = reader(value)  # noqa: PLW2901
        read[name] = value
    if isinstance(policy, RateLimit) and "burst" not in fields:
        usual = RateLimit(policy.limit, per=policy.per).burst == policy.burst
        if usual:  # it follows the limit, as nobody has said another one
            read["burst"] = None
    return cast("P", replace(cast("Any", policy), **read))


def changed_queue(queue: Queue, fields: Mapping[tuple[str, ...], object]) -> Queue:
    """A queue with some of its limits changed.

    Args:
        queue: as it is.
        fields: values by their places, ("concurrency",) or ("retry_budget", "ratio").

    Raises:
        DefinitionError: a field is unknown, a value out of its range, or a part is changed that is
            taken away as well.
    """
    whole: dict[str, object] = {}
    inner: dict[str, dict[tuple[str, ...], object]] = {}
    for place, value in fields.items():
        if place[0] in ("name", "version"):
            raise DefinitionError(
                f"its {place[0]} can't be changed", remedy="change its limits; they make it another"
            )
        if len(place) == 1:
            whole[place[0]] = None if is_none(value) else value
        else:
            inner.setdefault(place[0], {})[place[1:]] = value
    for part in inner:
        if part not in _PARTS:
            raise DefinitionError(
                f"{part!r} has no parts" if part in _FIELDS else f"Queue has no field {part!r}",
                remedy=did_you_mean(part, _PARTS),
            )
        if part in whole:
            raise DefinitionError(
                f"{part} is set as a whole and in parts", remedy="set one of the two"
            )
    queue = edited(queue, whole)
    for part, changes in inner.items():
        queue = replace(queue, **cast("Any", {part: _changed_part(queue, part, changes)}))
    return queue


def _changed_part(queue: Queue, part: str, changes: Mapping[tuple[str, ...], object]) -> object:
    if part == "rate_limit":
        return _rate_limits(queue.rate_limit, changes)
    present = getattr(queue, part)
    if not isinstance(present, Policy):
        present = None
    if part == "fairness":
        return _fairness(cast("Fairness | None", present) or Fairness(), changes)
    fields = {_flat(part, place): value for place, value in changes.items()}
    if present is None:  # what is not named is as usual
        return _PARTS[part].from_dict(fields)
    return edited(present, fields)


def _fairness(present: Fairness, changes: Mapping[tuple[str, ...], object]) -> Fairness:
    """Fairness with weights of tenants, whose names may have dots."""
    weights: dict[str, object] = dict(present.weights)
    fields: dict[str, object] = {}
    for place, value in changes.items():
        if place[0] != "weights" or len(place) == 1:
            fields[_flat("fairness", place)] = value
            continue
        tenant = word(".".join(place[1:]), "a tenant of fairness.weights")
        if is_none(value):
            weights.pop(tenant, None)
        else:
            weights[tenant] = value
    return edited(present, {"weights": weights, **fields})


def _rate_limits(
    present: tuple[RateLimit, ...], changes: Mapping[tuple[str, ...], object]
) -> tuple[RateLimit, ...]:
    """Rate limits with one changed: the only one, or that of "requests" or "tokens"."""
    by_unit: dict[str, RateLimit] = {limit.unit: limit for limit in present}
    fields: dict[str, dict[str, object]] = {}
    for place, value in changes.items():
        unit, *inner = place
        if unit in ("requests", "tokens") and inner:
            rest = place[1:]
        elif len(by_unit) > 1:
            raise DefinitionError(
                "it has a rate limit of requests and one of tokens",
                remedy=f"write rate_limit.requests.{place[0]} or rate_limit.tokens.{place[0]}",
            )
        else:
            unit, rest = next(iter(by_unit), "requests"), place
        fields.setdefault(unit, {})[_flat("rate_limit", rest)] = value
    for unit, each in fields.items():
        known = by_unit.get(unit)
        if known is None:
            by_unit[unit] = RateLimit.from_dict({"unit": unit, **each})
        else:
            by_unit[unit] = edited(known, each)
    return tuple(by_unit.values())


def _flat(part: str, place: tuple[str, ...]) -> str:
    name, *inner = place
    if inner:
        raise DefinitionError(f"{part}.{name} has no parts", remedy=f"write {part}.{name} = ...")
    return name


_PARTS: Final[Mapping[str, type[Policy]]] = {
    "concurrency": Adaptive,
    "rate_limit": RateLimit,
    "fairness": Fairness,
    "retry_budget": RetryBudget,
    "breaker": Breaker,
    "shed": CoDel,
}
_FIELDS: Final = frozenset(inspect.signature(Queue).parameters)
