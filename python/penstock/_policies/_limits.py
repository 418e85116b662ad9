"""Limits: what holds work back in a queue, and whose turn it is. The parts of a `Queue`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, TypeAlias, cast, get_args

from penstock._errors import DefinitionError

from ._checks import Seconds, number, one_of, seconds, whole, word
from ._json import Policy

Unit: TypeAlias = Literal["requests", "tokens"]
FairnessKey: TypeAlias = Literal["tenant"]
SharedBy: TypeAlias = Literal["time", "tokens", "attempts"]


@dataclass(frozen=True, slots=True, init=False, repr=False)
class RateLimit(Policy):
    """So many attempts, or so many tokens, in so much time.

    Attributes:
        limit: how many; more than 0.
        per: in how many seconds.
        burst: how many may come at once; what is due in one second unless given, and at least 1.
        unit: "requests", or "tokens": what each step estimates, corrected by what it used.

    Raises:
        DefinitionError: a value is out of its range.

    >>> import penstock as ps
    >>> ps.RateLimit(600, per=60.0).burst
    10
    """

    limit: float
    per: float
    burst: int
    unit: Unit

    def __init__(
        self,
        limit: float,
        *,
        per: Seconds = 1.0,
        burst: int | None = None,
        unit: Unit = "requests",
    ) -> None:
        limit = number(limit, "RateLimit.limit", above=0)
        per = seconds(per, "RateLimit.per")
        at_once = _in_one_second(limit, per) if burst is None else whole(burst, "RateLimit.burst")
        known = get_args(Unit)
        self._keep(limit=limit, per=per, burst=at_once, unit=one_of(unit, "RateLimit.unit", known))

    def _usual(self, name: str, default: object) -> object:
        return _in_one_second(self.limit, self.per) if name == "burst" else default


@dataclass(frozen=True, slots=True, kw_only=True, init=False, repr=False)
class Adaptive(Policy):
    """A concurrency that follows the latency of what it calls: up while that stays, down when not.

    The rule is Gradient2 of Netflix's concurrency-limits.

    Attributes:
        initial: attempts that run at once in the beginning.
        min_limit: it never goes below; from 1.
        max_limit: it never goes above.

    Raises:
        DefinitionError: a value is no whole number from 1, or `initial` is not between the others.

    >>> import penstock as ps
    >>> ps.Adaptive(max_limit=200)
    Adaptive(max_limit=200)
    """

    initial: int
    min_limit: int
    max_limit: int

    def __init__(self, *, initial: int = 20, min_limit: int = 1, max_limit: int = 1000) -> None:
        self._keep(
            initial=whole(initial, "Adaptive.initial"),
            min_limit=whole(min_limit, "Adaptive.min_limit"),
            max_limit=whole(max_limit, "Adaptive.max_limit"),
        )
        if not self.min_limit <= self.initial <= self.max_limit:
            raise DefinitionError(
                f"Adaptive.initial ({initial}) is not from min_limit ({min_limit}) to max_limit "
                f"({max_limit})",
                remedy="give min_limit <= initial <= max_limit",
            )


@dataclass(frozen=True, slots=True, kw_only=True, init=False, repr=False)
class Fairness(Policy):
    """Shares a queue out among those who wait in it, so that nobody's backlog is all there is.

    Attributes:
        key: what they are told apart by: "tenant", that of the run.
        weights: how much of it a tenant gets beside the others; 1 for one that is not in it.
        by: what is shared out: "time" (seconds that a slot was held), "tokens" or "attempts".

    Raises:
        DefinitionError: a weight is not more than 0, or a value is unknown.

    >>> import penstock as ps
    >>> ps.Fairness(weights={"acme": 2.0}).weights["acme"]
    2.0
    """

    key: FairnessKey
    weights: Mapping[str, float]
    by: SharedBy

    def __init__(
        self,
        *,
        key: FairnessKey = "tenant",
        weights: Mapping[str, float] = MappingProxyType({}),
        by: SharedBy = "time",
    ) -> None:
        self._keep(
            key=one_of(key, "Fairness.key", get_args(FairnessKey)),
            weights=_weights(weights),
            by=one_of(by, "Fairness.by", get_args(SharedBy)),
        )

    def __hash__(self) -> int:
        return hash((self.key, frozenset(self.weights.items()), self.by))

    def __reduce__(self) -> tuple[object, ...]:
        return Fairness.from_dict, (self.to_dict(),)


@dataclass(frozen=True, slots=True, kw_only=True, init=False, repr=False)
class Breaker(Policy):
    """Leaves a dependency alone for a while when too many of its attempts fail.

    It opens when `failure_ratio` of the attempts of the last `window` seconds have failed. Once
    open for long enough it lets a few attempts through, and closes if these succeed.

    Attributes:
        failure_ratio: more than 0, at most 1.
        min_calls: attempts in the window that it takes to judge.
        window: seconds.
        open_for: seconds that it stays open at first; twice as long each time it opens again.
        max_open: seconds that it stays open at most; not less than `open_for`.
        probes: attempts that it lets through to see whether the dependency is back.

    Raises:
        DefinitionError: a value is out of its range.

    >>> import penstock as ps
    >>> ps.Breaker(failure_ratio=0.3)
    Breaker(failure_ratio=0.3)
    """

    failure_ratio: float
    min_calls: int
    window: float
    open_for: float
    max_open: float
    probes: int

    def __init__(
        self,
        *,
        failure_ratio: float = 0.5,
        min_calls: int = 20,
        window: Seconds = 10.0,
        open_for: Seconds = 5.0,
        max_open: Seconds = 60.0,
        probes: int = 5,
    ) -> None:
        self._keep(
            failure_ratio=number(failure_ratio, "Breaker.failure_ratio", above=0, most=1),
            min_calls=whole(min_calls, "Breaker.min_calls"),
            window=seconds(window, "Breaker.window"),
            open_for=seconds(open_for, "Breaker.open_for"),
            max_open=seconds(max_open, "Breaker.max_open"),
            probes=whole(probes, "Breaker.probes"),
        )
        if self.max_open < self.open_for:
            raise DefinitionError(
                f"Breaker.max_open ({self.max_open:g} s) is shorter than open_for "
                f"({self.open_for:g} s)",
                remedy="raise max_open",
            )


@dataclass(frozen=True, slots=True, kw_only=True, init=False, repr=False)
class CoDel(Policy):
    """Refuses new runs while those that are in wait for too long; what is in stays in.

    A queue waits for too long if even the shortest wait of `interval` seconds was above `target`.

    Attributes:
        target: seconds of waiting that are still good.
        interval: seconds that are looked at; more than `target`.

    Raises:
        DefinitionError: a value is out of its range.

    >>> import penstock as ps
    >>> ps.CoDel(target=0.2, interval=4.0)
    CoDel(target=0.2, interval=4.0)
    """

    target: float
    interval: float

    def __init__(self, *, target: Seconds = 0.05, interval: Seconds = 1.0) -> None:
        self._keep(
            target=seconds(target, "CoDel.target"), interval=seconds(interval, "CoDel.interval")
        )
        if self.interval <= self.target:
            raise DefinitionError(
                f"CoDel.interval ({self.interval:g} s) is not longer than target "
                f"({self.target:g} s)",
                remedy="raise interval, to 20 times the target or so",
            )


def _in_one_second(limit: float, per: float) -> int:
    return max(1, round(min(limit / per, 2**32 - 1)))


def _weights(value: object) -> Mapping[str, float]:
    if not isinstance(value, Mapping):
        raise DefinitionError(
            f"Fairness.weights is {value!r}",
            remedy="give a mapping of tenants to numbers, such as {'acme': 2.0}",
        )
    weights: dict[str, float] = {}
    for tenant, weight in cast("Any", value).items():
        name = word(tenant, "a tenant of Fairness.weights")
        weights[name] = number(weight, f"Fairness.weights[{name!r}]", above=0)
    return MappingProxyType(weights)
