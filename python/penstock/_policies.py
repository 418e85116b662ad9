"""Policies: frozen values: how often a step is tried, what it waits in, what is good enough.

Seconds become floats here and nowhere else (`seconds`), so that every other module has the proof
that they are finite and not negative.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from datetime import timedelta
from math import inf, isfinite
from sys import float_info
from typing import Any, Generic, Literal, TypeAlias, TypeVar, cast, get_args

from ._errors import ContractError, DefinitionError, NonRetryable, RetryAfter

Jitter: TypeAlias = Literal["full", "equal", "none"]
Seconds: TypeAlias = float | timedelta
T_contra = TypeVar("T_contra", contravariant=True)


def seconds(value: object, name: str, *, zero: bool = False) -> float:
    """Convert a duration to float seconds.

    Args:
        value: an int, a float or a timedelta.
        name: what the duration is for; opens the error message.
        zero: whether 0 is a duration too.

    Raises:
        DefinitionError: not a duration, not finite, negative, or 0 without `zero`.
    """
    if isinstance(value, timedelta):
        duration = value.total_seconds()
    elif isinstance(value, int | float) and not isinstance(value, bool):
        duration = float(value) if abs(value) <= float_info.max else inf
    else:
        raise DefinitionError(
            f"{name} is {value!r}", remedy="give seconds as a number or a timedelta"
        )
    if not isfinite(duration) or duration < 0 or (duration == 0 and not zero):
        least = "0 or more" if zero else "more than 0"
        raise DefinitionError(f"{name} is {value!r}", remedy=f"give {least} seconds, finite")
    return duration


def whole(value: object, name: str, *, most: int = 2**32 - 1) -> int:
    """Check that `value` is an int (a bool is none) from 1 to `most`, and return it.

    Raises:
        DefinitionError: it is not.
    """
    if type(value) is not int or not 1 <= value <= most:
        raise DefinitionError(
            f"{name} is {value!r}", remedy=f"give a whole number from 1 to {most}"
        )
    return value


def number(value: object, name: str, *, below: float = inf) -> float:
    """Check that `value` is a finite number (a bool is none), and return it as a float.

    Args:
        value: an int or a float.
        name: what it is; opens the error message.
        below: with it, the number is at least 0 and less than this.

    Raises:
        DefinitionError: it is not.
    """
    if (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and isfinite(value)
        and (below == inf or 0 <= value < below)
    ):
        return float(value)
    wanted = "a finite number" if below == inf else f"a number from 0 to below {below:g}"
    raise DefinitionError(f"{name} is {value!r}", remedy=f"give {wanted}")


@dataclass(frozen=True, slots=True, kw_only=True, init=False, repr=False)
class RetryPolicy:
    """How often and when a failed attempt is repeated.

    The wait before attempt n + 1 grows as `initial_interval * backoff_coefficient ** (n - 1)`, up
    to `max_interval`; `jitter` then draws from 0 to it ("full"), from its half to it ("equal"), or
    leaves it ("none"). A waiting retry holds no queue slot.

    Attributes:
        max_attempts: the first attempt counts; 1 means no retry.
        initial_interval: seconds, 0 or more.
        backoff_coefficient: 1 or more.
        max_interval: seconds, not less than `initial_interval`.
        jitter: "full", "equal" or "none".
        retry_on: exception types that are retried. `ContractError` must be named to be retried.
        never_on: exception types that are not, even if `retry_on` covers them.

    Raises:
        DefinitionError: a value is out of its range.

    >>> import penstock as ps
    >>> policy = ps.RetryPolicy(max_attempts=5, retry_on=(TimeoutError,))
    >>> policy.retries(TimeoutError()), policy.retries(ValueError())
    (True, False)
    """

    max_attempts: int
    initial_interval: float
    backoff_coefficient: float
    max_interval: float
    jitter: Jitter
    retry_on: tuple[type[Exception], ...]
    never_on: tuple[type[Exception], ...]

    def __init__(
        self,
        *,
        max_attempts: int = 3,
        initial_interval: Seconds = 0.05,
        backoff_coefficient: float = 2.0,
        max_interval: Seconds = 20.0,
        jitter: Jitter = "full",
        retry_on: tuple[type[Exception], ...] = (Exception,),
        never_on: tuple[type[Exception], ...] = (
            TypeError,
            AttributeError,
            NameError,
            ImportError,
        ),
    ) -> None:
        values = {
            "max_attempts": whole(max_attempts, "RetryPolicy.max_attempts"),
            "initial_interval": seconds(
                initial_interval, "RetryPolicy.initial_interval", zero=True
            ),
            "backoff_coefficient": _coefficient(backoff_coefficient),
            "max_interval": seconds(max_interval, "RetryPolicy.max_interval", zero=True),
            "jitter": jitter,
            "retry_on": _exceptions(retry_on, "RetryPolicy.retry_on"),
            "never_on": _exceptions(never_on, "RetryPolicy.never_on"),
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)
        self._check()

    def _check(self) -> None:
        if self.max_interval < self.initial_interval:
            raise DefinitionError(
                f"RetryPolicy.max_interval ({self.max_interval:g} s) is shorter than "
                f"initial_interval ({self.initial_interval:g} s)",
                remedy="raise max_interval",
            )
        if self.jitter not in get_args(Jitter):
            raise DefinitionError(
                f"RetryPolicy.jitter is {self.jitter!r}", remedy="give 'full', 'equal' or 'none'"
            )
        both = set(self.retry_on) & set(self.never_on)
        if both:
            names = ", ".join(sorted(kind.__name__ for kind in both))
            raise DefinitionError(
                f"RetryPolicy names {names} in retry_on and in never_on",
                remedy="pass never_on without it",
            )

    def retries(self, error: BaseException) -> bool:
        """Whether an attempt that raised `error` may be repeated; counts no attempts.

        `RetryAfter` always may, `NonRetryable` and what is no `Exception` (a cancellation) never.
        """
        if isinstance(error, RetryAfter):
            return True
        if isinstance(error, NonRetryable) or not isinstance(error, Exception):
            return False
        if isinstance(error, self.never_on):
            return False
        if isinstance(error, ContractError):
            return any(issubclass(kind, ContractError) for kind in self.retry_on)
        return isinstance(error, self.retry_on)

    def __repr__(self) -> str:
        return _short(self, RetryPolicy())


@dataclass(frozen=True, slots=True, init=False, repr=False)
class Queue:
    """What steps wait in: a model of one dependency, such as a provider or a database.

    Attributes:
        name: steps and runtimes know the queue by it.
        version: changes when the limits do.
        concurrency: attempts that run at once, or None for the runtime's own limit.
        capacity: nodes that may wait; a full queue refuses runs with `Overloaded`. None: no limit
            of its own.

    Raises:
        DefinitionError: an empty name, or a limit that is no whole number from 1.

    >>> import penstock as ps
    >>> ps.Queue("gpt", concurrency=64)
    Queue('gpt', concurrency=64)
    """

    name: str
    version: str
    concurrency: int | None
    capacity: int | None

    def __init__(
        self,
        name: str,
        *,
        version: str = "1",
        concurrency: int | None = None,
        capacity: int | None = None,
    ) -> None:
        word(name, "a queue's name")
        word(version, f"the version of queue {name!r}")
        for limit, value in (("concurrency", concurrency), ("capacity", capacity)):
            if value is not None:
                whole(value, f"{limit} of queue {name!r}")
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "version", version)
        object.__setattr__(self, "concurrency", concurrency)
        object.__setattr__(self, "capacity", capacity)

    def __repr__(self) -> str:
        return _short(self, Queue(self.name), first=repr(self.name))


@dataclass(frozen=True, slots=True, kw_only=True, init=False, repr=False)
class Retention:
    """How long a store keeps runs that have ended; both limits hold. Others are kept for ever.

    Attributes:
        max_age: seconds since a run ended, or None for no limit.
        max_runs: how many that ended last, or None for no limit.

    Raises:
        DefinitionError: a limit is out of its range, or none is given.

    >>> import penstock as ps
    >>> ps.Retention(max_age=30 * 86_400, max_runs=100_000)
    Retention(max_age=2592000.0, max_runs=100000)
    """

    max_age: float | None
    max_runs: int | None

    def __init__(self, *, max_age: Seconds | None = None, max_runs: int | None = None) -> None:
        if max_age is None and max_runs is None:
            raise DefinitionError(
                "Retention has no limit", remedy="give max_age= or max_runs=, or leave it out"
            )
        age = None if max_age is None else seconds(max_age, "Retention.max_age", zero=True)
        object.__setattr__(self, "max_age", age)
        runs = max_runs if max_runs is None else _count(max_runs, "Retention.max_runs")
        object.__setattr__(self, "max_runs", runs)

    def __repr__(self) -> str:
        pairs = (("max_age", self.max_age), ("max_runs", self.max_runs))
        told = [f"{name}={value!r}" for name, value in pairs if value is not None]
        return f"Retention({', '.join(told)})"


@dataclass(frozen=True, slots=True, init=False)
class Threshold(Generic[T_contra]):
    """Accepts a value whose score is high enough. The score is recorded, so that it can be tuned.

    Attributes:
        score: quick and pure; gives a number for a value.
        at: the least score that is accepted.

    Raises:
        DefinitionError: the score is no function, or the threshold no finite number.

    >>> import penstock as ps
    >>> ps.Threshold(len, at=20).at
    20.0
    """

    score: Callable[[T_contra], float]
    at: float

    def __init__(self, score: Callable[[T_contra], float], *, at: float) -> None:
        if not callable(score):
            raise DefinitionError(
                f"Threshold.score is {score!r}", remedy="give a function that returns a number"
            )
        object.__setattr__(self, "score", score)
        object.__setattr__(self, "at", number(at, "Threshold.at"))


def word(value: object, name: str) -> str:
    """Check that `value` is a string with something in it, and return it.

    Raises:
        DefinitionError: it is not.
    """
    if not isinstance(value, str) or not value.strip():
        raise DefinitionError(f"{name} is {value!r}", remedy="give a string that is not empty")
    return value


def _count(value: object, name: str) -> int:
    if type(value) is not int or value < 0:
        raise DefinitionError(f"{name} is {value!r}", remedy="give a whole number from 0")
    return value


def _coefficient(value: Any) -> float:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if number and 1 <= value <= float_info.max:
        return float(value)
    raise DefinitionError(
        f"RetryPolicy.backoff_coefficient is {value!r}", remedy="give a finite number from 1"
    )


def _exceptions(value: Any, name: str) -> tuple[type[Exception], ...]:
    if not issubclass(type(value), tuple) or not all(map(_is_exception, value)):
        raise DefinitionError(
            f"{name} is {value!r}",
            remedy="give a tuple of Exception types, such as (TimeoutError,)",
        )
    return cast("tuple[type[Exception], ...]", value)


def _is_exception(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, Exception)


def _short(policy: Any, usual: Any, *, first: str = "") -> str:
    """`Kind(name=value, ...)` with what differs from `usual`."""
    pairs = ((field.name, getattr(policy, field.name)) for field in fields(policy))
    told = [f"{name}={value!r}" for name, value in pairs if value != getattr(usual, name)]
    return f"{type(policy).__name__}({', '.join(filter(None, (first, *told)))})"
