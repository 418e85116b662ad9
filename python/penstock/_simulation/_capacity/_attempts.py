"""Attempts: how many a step makes of one first attempt, how long they hold a slot, how they end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from penstock._errors import DefinitionError
from penstock._policies import RetryPolicy
from penstock._simulation._distributions import Distribution
from penstock._simulation._steps import After, StepModel


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempts:
    """What becomes of one first attempt.

    Attributes:
        count: attempts, on the average, the first among them.
        success: the probability that one of them gives a value.
        held: seconds in which they hold a slot, all together.
        squares: likewise the sum of their squares: what the spread of the times is told by.
    """

    count: float
    success: float
    held: float
    squares: float


def attempts_of(
    step: str,
    known: StepModel,
    retry: RetryPolicy,
    timeout: float | None,
    *,
    slower: float = 1.0,
    retries: float | None = None,
) -> Attempts:
    """What becomes of one first attempt of a step.

    Args:
        step: its name.
        known: how its attempts behave.
        retry: how often they are repeated.
        timeout: seconds for one; None for none.
        slower: what latencies are multiplied with.
        retries: how many a budget lets through for each first attempt; None for no limit.

    Raises:
        DefinitionError: attempts may hang, and nothing ends them.
    """
    good, late = _cut(known.latency.scaled(slower), timeout)
    failed, _ = _cut((known.failed_latency or known.latency).scaled(slower), timeout)
    again = retry.retries(TimeoutError())
    count = success = held = squares = 0.0
    states: dict[After | None, float] = {None: 1.0}
    for number in range(1, min(retry.max_attempts, _MOST) + 1):
        following: dict[After | None, float] = {}
        for after, likely in states.items():
            row = known.failure(number, after)
            if row.hang and timeout is None:
                raise DefinitionError(
                    f"attempts of step {step!r} may hang, and it has no timeout",
                    remedy=f"give it one: --set step.{step}.timeout=30",
                )
            returns = max(1 - row.error - row.fatal - row.hang, 0.0)
            done, cut = returns * (1 - late), returns * late + row.hang
            bad = row.error + row.fatal
            count += likely
            success += likely * done
            held += likely * (returns * good[0] + bad * failed[0])
            squares += likely * (returns * good[1] + bad * failed[1])
            if timeout is not None:
                held += likely * row.hang * timeout
                squares += likely * row.hang * timeout**2
            following["error"] = following.get("error", 0.0) + likely * row.error
            if again:
                following["timeout"] = following.get("timeout", 0.0) + likely * cut
        states = following
    if retries is not None and count - 1 > retries:
        # The rest waits for the budget, or is given up: not more than this is served a second.
        share = (1 + retries) / count
        held, squares, count = held * share, squares * share, 1 + retries
    return Attempts(count=count, success=success, held=held, squares=squares)


def _cut(times: Distribution, timeout: float | None) -> tuple[tuple[float, float], float]:
    """The mean and the mean square of times that a timeout cuts off, and the share of those."""
    if timeout is None:
        mean = times.mean()
        return (mean, mean**2 * (1 + times.cv2())), 0.0
    seen = [times.quantile((place + 0.5) / _GRID) for place in range(_GRID)]
    cut = [min(time, timeout) for time in seen]
    late = sum(time > timeout for time in seen) / _GRID
    if not late:
        return _cut(times, None)
    return (sum(cut) / _GRID, sum(time**2 for time in cut) / _GRID), late


_GRID: Final = 1_000
_MOST: Final = 50
