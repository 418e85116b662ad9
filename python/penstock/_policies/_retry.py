"""Retries: how often an attempt is repeated, what pays for that, and when a second one runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Literal, TypeAlias, cast, get_args

from penstock._errors import (
    ContractError,
    DefinitionError,
    NonRetryable,
    RetryAfter,
    RunFailed,
)

from ._checks import Seconds, number, one_of, seconds, whole
from ._json import Policy, exception_type

Jitter: TypeAlias = Literal["full", "equal", "none"]
OnDenial: TypeAlias = Literal["park", "fail", "dead_letter"]


@dataclass(frozen=True, slots=True, kw_only=True, init=False, repr=False)
class RetryPolicy(Policy):
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
        retry_on: exception types that are retried. `ContractError` must be named to be retried, and
            so must `RunFailed` where that run has retried already, as one layer of it is enough.
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

    _READERS: ClassVar[Mapping[str, Callable[[Any], object]]] = {
        "retry_on": exception_type,
        "never_on": exception_type,
    }

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
        name = "RetryPolicy"
        self._keep(
            max_attempts=whole(max_attempts, f"{name}.max_attempts"),
            initial_interval=seconds(initial_interval, f"{name}.initial_interval", zero=True),
            backoff_coefficient=number(backoff_coefficient, f"{name}.backoff_coefficient", least=1),
            max_interval=seconds(max_interval, f"{name}.max_interval", zero=True),
            jitter=one_of(jitter, f"{name}.jitter", get_args(Jitter)),
            retry_on=_exceptions(retry_on, f"{name}.retry_on"),
            never_on=_exceptions(never_on, f"{name}.never_on"),
        )
        if self.max_interval < self.initial_interval:
            raise DefinitionError(
                f"RetryPolicy.max_interval ({self.max_interval:g} s) is shorter than "
                f"initial_interval ({self.initial_interval:g} s)",
                remedy="raise max_interval",
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
            return self._names(error, ContractError)
        if _was_retried(error):
            return self._names(error, RunFailed)
        return isinstance(error, self.retry_on)

    def _names(self, error: Exception, kind: type[Exception]) -> bool:
        """Whether `retry_on` has the error's type, and not only one above `kind`."""
        return isinstance(error, tuple(each for each in self.retry_on if issubclass(each, kind)))


def _was_retried(error: BaseException | None) -> bool:
    """Whether it comes of a run in which it has been retried: only one layer does that."""
    while isinstance(error, RunFailed):
        if error.attempts > 1:
            return True
        error = error.__cause__
    return False


@dataclass(frozen=True, slots=True, kw_only=True, init=False, repr=False)
class RetryBudget(Policy):
    """How many retries a queue lets through; a share of its first attempts, so an outage stays one.

    Each first attempt stores `ratio` of a retry. What was stored is lost after `window` seconds.

    Attributes:
        ratio: retries for each first attempt, 0 to 1.
        floor: retries per second that are free; 0 or more.
        stored: retries that may be stored at most; 1 or more.
        window: seconds, 1 to 60.
        on_denial: what becomes of a retry that the budget does not cover: "park" lets it wait
            without a slot until it does, "fail" gives up, "dead_letter" sets the run aside.

    Raises:
        DefinitionError: a value is out of its range, or no retry would ever be let through.

    >>> import penstock as ps
    >>> ps.RetryBudget(ratio=0.2)
    RetryBudget(ratio=0.2)
    """

    ratio: float
    floor: float
    stored: float
    window: float
    on_denial: OnDenial

    def __init__(
        self,
        *,
        ratio: float = 0.1,
        floor: float = 1.0,
        stored: float = 10.0,
        window: Seconds = 10.0,
        on_denial: OnDenial = "park",
    ) -> None:
        name = "RetryBudget"
        self._keep(
            ratio=number(ratio, f"{name}.ratio", least=0, most=1, remedy=_SHARE),
            floor=number(floor, f"{name}.floor", least=0),
            stored=number(stored, f"{name}.stored", least=1),
            window=number(
                seconds(window, f"{name}.window"),
                f"{name}.window",
                least=1,
                most=60,
                remedy="give 1 to 60 seconds",
            ),
            on_denial=one_of(on_denial, f"{name}.on_denial", get_args(OnDenial)),
        )
        if self.ratio == 0 and self.floor == 0:
            raise DefinitionError(
                "RetryBudget has ratio=0 and floor=0, so that a parked run would never go on",
                remedy="give one of them, or the step RetryPolicy(max_attempts=1)",
            )


@dataclass(frozen=True, slots=True, kw_only=True, init=False, repr=False)
class Hedge(Policy):
    """A second copy of an attempt that is slow; the first result is taken, the other is cancelled.

    Only for steps that may run twice. The copy is paid from the queue's retry budget.

    Attributes:
        after: seconds until the copy starts, or None for what `quantile` of the step's attempts
            have taken so far.
        quantile: above 0.5, below 1.

    Raises:
        DefinitionError: a value is out of its range.

    >>> import penstock as ps
    >>> ps.Hedge(after=0.5)
    Hedge(after=0.5)
    """

    after: float | None
    quantile: float

    def __init__(self, *, after: Seconds | None = None, quantile: float = 0.95) -> None:
        self._keep(
            after=None if after is None else seconds(after, "Hedge.after"),
            quantile=number(quantile, "Hedge.quantile", above=0.5, below=1),
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


_SHARE: Final = "a ratio is a share from 0 to 1"
