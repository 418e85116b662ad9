"""Stability: whether the retries of a queue can keep it overloaded, by the engine's fixed points.

It takes numbers alone. What they are for the queues of a workflow is in `_demands`.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Final

from ._engine import stability as solved
from ._errors import DefinitionError
from ._policies import Seconds, number, seconds, whole


@dataclass(frozen=True, slots=True, kw_only=True)
class Stability:
    """Where the load of a queue may stay; made by `stability`.

    Attributes:
        loads: attempts per second at which it may stay, lowest first. With one of them it comes
            back to it by itself; of several each second one is a tipping point.
        amplification: attempts for each first attempt, at worst.
        utilisation: first attempts, as a share of what can be served.
        safe_utilisation: above it a storm can last.
        vulnerable: whether a storm may last when what began it is gone.
    """

    loads: tuple[float, ...]
    amplification: float
    utilisation: float
    safe_utilisation: float
    vulnerable: bool

    @property
    def tipping_point(self) -> float | None:
        """Attempts per second above which retries bring more retries; None if there is no such."""
        return self.loads[1] if len(self.loads) > 1 else None


def stability(
    *,
    arrivals: float,
    concurrency: int,
    service_time: Seconds,
    timeout: Seconds,
    max_attempts: int = 3,
    retry_ratio: float | None = None,
) -> Stability:
    """Whether what is tried again can keep a dependency overloaded: whether it is metastable.

    A load λ' may stay if it brings itself about: λ' = λ·Σ P(λ')^i over the attempts i, where λ are
    the first attempts and P(λ') is the share of attempts that take longer than their timeout, by
    the waiting times of M/M/c. What nobody waits for any more is served all the same. Waits between
    attempts are not in it: they spread a burst, and move no load that stays. After Bronson et al.
    (Metastable Failures in Distributed Systems, HotOS '21); above 1 / amplification of what can be
    served a storm can last after Huang et al. (Metastable Failures in the Wild, OSDI '22).

    Args:
        arrivals: first attempts per second, above 0.
        concurrency: attempts that the dependency serves at once, 1 to 100,000.
        service_time: seconds that serving one takes on average, without waiting.
        timeout: seconds after which an attempt is given up, and tried again.
        max_attempts: the first counts, as in `RetryPolicy`; more than 1,000 count as 1,000.
        retry_ratio: retries for each first attempt that a budget lets through, as in `RetryBudget`,
            0 or more; None without a budget.

    Raises:
        DefinitionError: a value is out of its range.

    O(500 · (concurrency + max_attempts)): milliseconds for 1,000 at once.

    >>> import penstock as ps
    >>> def at_70_percent(retry_ratio: float | None) -> ps.Stability:
    ...     return ps.stability(
    ...         arrivals=70,
    ...         concurrency=10,
    ...         service_time=0.1,
    ...         timeout=1.0,
    ...         max_attempts=3,
    ...         retry_ratio=retry_ratio,
    ...     )
    >>> free = at_70_percent(None)
    >>> free.vulnerable, round(free.safe_utilisation, 2), [round(load) for load in free.loads]
    (True, 0.33, [70, 99, 210])
    >>> budgeted = at_70_percent(0.1)
    >>> budgeted.vulnerable, round(budgeted.safe_utilisation, 2)
    (False, 0.91)
    """
    if timeout is None:  # pyright: ignore[reportUnnecessaryComparison]  # callers without types
        raise DefinitionError(
            "timeout is None",
            remedy="give the seconds after which an attempt is given up; without a timeout none is",
        )
    first = number(arrivals, "arrivals", above=0, most=_MOST_ARRIVALS)
    loads, amplification, utilisation, safe, vulnerable = solved(
        first,
        whole(concurrency, "concurrency", most=_MOST_AT_ONCE),
        _within_reach(service_time, "service_time"),
        _within_reach(timeout, "timeout"),
        min(whole(max_attempts, "max_attempts"), MOST_ATTEMPTS),
        inf if retry_ratio is None else number(retry_ratio, "retry_ratio", least=0),
    )
    return Stability(
        loads=tuple(loads),
        amplification=amplification,
        utilisation=utilisation,
        safe_utilisation=safe,
        vulnerable=vulnerable,
    )


def _within_reach(value: Seconds, name: str) -> float:
    """Seconds that the equations can be solved for without losing all digits."""
    duration = seconds(value, name)
    remedy = "give at least a nanosecond and at most 1e9 seconds"
    return number(duration, name, least=1e-9, most=1e9, remedy=remedy)


MOST_ATTEMPTS: Final = 1_000
"""Beyond that many there is nothing to tell: less than a thousandth of the capacity is safe."""
_MOST_AT_ONCE: Final = 100_000
_MOST_ARRIVALS: Final = 1e12
