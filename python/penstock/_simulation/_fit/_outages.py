"""Outages: when attempts in a queue failed together, minute by minute."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from math import log
from statistics import median
from typing import Final

from penstock._simulation._places import Outage

from ._seen import Attempt
from ._survival import rounded

Span = tuple[float, float]


def mark_outages(attempts: Iterable[Attempt], since: float, until: float) -> list[Outage]:
    """The outages of each queue; the attempts that started in one are marked. O(n log n).

    Args:
        attempts: of all steps.
        since: the start of what was looked at, in seconds since 1970.
        until: its end.
    """
    queues: dict[str, list[Attempt]] = {}
    for attempt in attempts:
        if attempt.how != "cut":
            queues.setdefault(attempt.queue, []).append(attempt)
    found: list[Outage] = []
    for queue, tried in sorted(queues.items()):
        tried.sort(key=lambda it: it.start)
        spans = outages_of(tried)
        starts = [it.start for it in tried]
        inside = [it for span in spans for it in _between(tried, starts, *span)]
        for attempt in inside:
            attempt.outage = True
        if spans:
            lasted = sum(end - start for start, end in spans)
            quiet = max(until - since - lasted, 1.0)
            found.append(
                Outage(
                    queue=queue,
                    every=rounded(quiet / len(spans)),
                    lasts=rounded(max(lasted / len(spans), 1.0)),
                    error=rounded(sum(_failed(it) for it in inside) / len(inside)),
                    slower=_slower(inside, [it for it in tried if not it.outage]),
                )
            )
    return found


def outages_of(tried: Sequence[Attempt]) -> list[Span]:
    """From when to when a queue was out of order.

    Minutes in which half of the attempts or more fail, and far more than usual, are put together;
    then the start and the end are those that tell both kinds of time apart best.

    Args:
        tried: attempts of one queue by their start.
    """
    minutes: dict[int, list[bool]] = {}
    for attempt in tried:
        minutes.setdefault(int(attempt.start // _MINUTE), []).append(_failed(attempt))
    bad = {minute for minute, failed in minutes.items() if _share(failed) >= _HALF} - {
        minute for minute, failed in minutes.items() if len(failed) < _LEAST
    }
    usual = [it for minute, failed in minutes.items() if minute not in bad for it in failed]
    share = (sum(usual) + 0.5) / (len(usual) + 1) if usual else 1.0
    bad = {minute for minute in bad if _share(minutes[minute]) >= _FAR * share}
    spans: list[Span] = []
    for minute in sorted(bad):
        # A minute around them may have some of it, and too little to be told by itself.
        start, end = (minute - 1) * _MINUTE, (minute + 2) * _MINUTE
        if spans and start <= spans[-1][1] - _MINUTE:
            spans[-1] = (spans[-1][0], end)
        else:
            spans.append((max(start, spans[-1][1]) if spans else start, end))
    starts = [it.start for it in tried]
    sharp = [_sharpened(_between(tried, starts, *span), share) for span in spans]
    return [span for span in sharp if span is not None]


def _sharpened(inside: Sequence[Attempt], usual: float) -> Span | None:
    """The part of a span that is most likely the outage: the largest sum of likelihood ratios."""
    error = min(max(_share([_failed(it) for it in inside]), 2 * usual, _HALF), 0.99)
    usual = min(usual, error / 2)
    failed, passed = log(error / usual), log((1 - error) / (1 - usual))
    best, total = 0.0, 0.0
    start: float | None = None
    found: Span | None = None
    for attempt in inside:
        if start is None or total <= 0:
            start, total = attempt.start, 0.0
        total += failed if _failed(attempt) else passed
        if total > best:
            best, found = total, (start, attempt.start)
    return found


def _slower(inside: Sequence[Attempt], outside: Sequence[Attempt]) -> float:
    """By how much longer what fails takes than at other times; 1 where that is not shown."""
    failed = [it.seconds for it in inside if _failed(it)]
    usual = [it.seconds for it in outside if _failed(it)]
    if len(failed) < _SLOW or len(usual) < _SLOW or not median(usual) or not median(failed):
        return 1.0
    factor = median(failed) / median(usual)
    return rounded(factor) if abs(log(factor)) > log(_SHOWN) else 1.0


def _between(
    tried: Sequence[Attempt], starts: Sequence[float], start: float, end: float
) -> Sequence[Attempt]:
    """Those that started from then to then, both among them. O(log n) and their number."""
    return tried[bisect_left(starts, start) : bisect_right(starts, end)]


def _failed(attempt: Attempt) -> bool:
    return attempt.how in ("error", "fatal", "timeout")


def _share(failed: Sequence[bool]) -> float:
    return sum(failed) / len(failed) if failed else 0.0


_MINUTE: Final = 60
_HALF: Final = 0.5
_LEAST: Final = 10
_FAR: Final = 3.0
_SLOW: Final = 30
_SHOWN: Final = 1.25
