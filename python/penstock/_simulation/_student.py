"""Student's t: how far a mean of few numbers may be off."""

from __future__ import annotations

from functools import cache
from math import atan, cos, pi, sin, sqrt


@cache
def student(freedom: int, level: float = 0.95) -> float:
    """What Student's t stays below in size with a probability of `level`. O(freedom).

    By bisection on its distribution, which is a finite sum (Abramowitz and Stegun, 26.7.3 and 4).

    >>> round(student(19), 3), round(student(5, 0.9), 3)
    (2.093, 2.015)
    """
    low, high = 0.0, 1.0
    while _within(high, freedom) < level:
        low, high = high, 2 * high
    while high - low > _CLOSE * high:
        middle = (low + high) / 2
        low, high = (middle, high) if _within(middle, freedom) < level else (low, middle)
    return (low + high) / 2


def _within(t: float, freedom: int) -> float:
    """The probability of being within t of 0."""
    angle = atan(t / sqrt(freedom))
    square = cos(angle) ** 2
    odd = freedom % 2
    term = sin(angle) * (cos(angle) if odd else 1.0)
    total = 0.0
    for place in range(2 + odd, freedom + 1, 2):
        total += term
        term *= square * (place - 1) / place
    return 2 / pi * (angle + total) if odd else total


_CLOSE = 1e-9
