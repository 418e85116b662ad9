"""Erlang: how long work waits in a queue, by formula.

A. K. Erlang's loss and delay formulas for servers with exponential times, and the correction of
Allen and Cunneen for other ones: (ca² + cs²) / 2 times the wait, with the squared coefficients of
variation of the times between arrivals and of service. It is exact for one server with Poisson
arrivals and for exponential times; elsewhere two moments are provably not enough (Gupta, Harchol-
Balter, Dai and Zwart, Queueing Systems 64, 2010).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf, log
from typing import Final


def erlang_b(servers: int, load: float) -> float:
    """The probability that all servers are busy, where what comes then goes away. O(servers).

    Args:
        servers: from 0.
        load: arrivals per second by what a server can do, in erlangs.

    >>> round(erlang_b(2, 1.0), 6)
    0.2
    """
    blocked = 1.0
    for number in range(1, servers + 1):
        blocked = load * blocked / (number + load * blocked)
    return blocked


def erlang_c(servers: int, load: float) -> float:
    """The probability that what comes has to wait; 1 where the servers can't keep up.

    >>> round(erlang_c(2, 1.0), 6)
    0.333333
    """
    if load >= servers:
        return 1.0
    blocked = erlang_b(servers, load)
    return blocked / (1 - load / servers * (1 - blocked))


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A queue with servers.

    Attributes:
        arrivals: per second.
        service: seconds that one takes, on the average.
        servers: that work at once.
        ca2: the squared coefficient of variation of the times between arrivals; 1 for Poisson.
        cs2: likewise of the times of service; 1 for exponential ones, 0 for equal ones.

    >>> round(Line(arrivals=0.5, service=1.0, servers=1, cs2=0.0).mean_wait, 3)
    0.5
    """

    arrivals: float
    service: float
    servers: int
    ca2: float = 1.0
    cs2: float = 1.0

    @property
    def load(self) -> float:
        """How many would be busy if there were enough, in erlangs."""
        return self.arrivals * self.service

    @property
    def utilisation(self) -> float:
        """The share of the servers that is busy; 1 and more where they can't keep up."""
        return self.load / self.servers

    @property
    def spread(self) -> float:
        """How much longer waits are than with exponential times."""
        return (self.ca2 + self.cs2) / 2

    @property
    def mean_wait(self) -> float:
        """Seconds that work waits, on the average; infinite where the servers can't keep up."""
        if self.utilisation >= 1:
            return inf
        return erlang_c(self.servers, self.load) * self._drain * self.spread

    def wait(self, q: float) -> float:
        """Seconds that a share `q` of the work does not wait longer than."""
        if self.utilisation >= 1:
            return inf
        late = erlang_c(self.servers, self.load)
        return max(log(late / (1 - q)), 0.0) * self._drain * self.spread if late > 0 else 0.0

    @property
    def _drain(self) -> float:
        """Seconds in which the free servers do one."""
        return self.service / (self.servers - self.load)


def least(holds: Callable[[int], bool], *, start: int = 1, most: int = 1_000_000) -> int | None:
    """The least number from 1 on for which something holds that holds for all larger ones.

    Args:
        holds: asked O(log n) times.
        start: where to begin, best near the answer.
        most: None if it does not hold for that either.
    """
    low, high = 0, max(start, 1)
    if holds(high):
        step = 1
        while high > 1:  # down, in growing steps
            lower = max(high - step, 1)
            if not holds(lower):
                low = lower
                break
            high, step = lower, 2 * step
    else:
        step = 1
        while True:
            low, high = high, min(high + step, most)
            if holds(high):
                break
            if high >= most:
                return None
            step *= 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high


QUANTILES: Final = {"queue_delay_p50": 0.5, "queue_delay_p95": 0.95, "queue_delay_p99": 0.99}
"""The waits that a forecast has, and the formula too."""
