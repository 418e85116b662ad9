"""Histograms: counts by bucket, of the engine's `Distribution` (rust/engine/src/metrics.rs)."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from typing import Final


def first_of(bucket: int) -> int:
    """The shortest time, in nanoseconds, that is counted in a bucket."""
    return 0 if bucket == 0 else last_of(bucket - 1) + 1


def last_of(bucket: int) -> int:
    """The longest time, in nanoseconds, that is counted in a bucket.

    Buckets are half a microsecond wide up to 131 µs, and from there a 128th of the power of two
    they stand in.

    Examples:
        >>> last_of(0), last_of(255), last_of(256)
        (511, 131071, 132095)
    """
    powers = max((bucket >> _PER_POWER_LOG) - 1, 0)
    units = bucket - (powers << _PER_POWER_LOG)
    return ((units + 1) << powers << _NARROWEST) - 1


def bucket_of(time_ns: int) -> int:
    """The bucket a time is counted in; a day at most."""
    units = min(time_ns, _LONGEST_NS) >> _NARROWEST
    powers = (units >> _PER_POWER_LOG | 1).bit_length() - 1
    return (powers << _PER_POWER_LOG) + (units >> powers)


def quantiles(counts: Mapping[str, int], *shares: float) -> list[float] | None:
    """Seconds below which these shares of the times lie, each to 1 %; None without any.

    Args:
        counts: by the bucket's index, as a string.
        shares: 0 to 1, rising.
    """
    total = sum(counts.values())
    if total <= 0:
        return None
    ranks = [max(ceil(share * total), 1) for share in shares]
    found: list[float] = []
    seen = 0
    for bucket in sorted(map(int, counts)):
        seen += counts[str(bucket)]
        while len(found) < len(ranks) and seen >= ranks[len(found)]:
            found.append(last_of(bucket) / 1e9)
    return found


_NARROWEST: Final = 9
_PER_POWER_LOG: Final = 7
_LONGEST_NS: Final = 86_400_000_000_000
