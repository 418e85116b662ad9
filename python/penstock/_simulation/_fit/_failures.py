"""Failures: how attempts fail by their number and what failed before, and how much runs differ."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import exp, log, sqrt
from types import MappingProxyType
from typing import Final

from penstock._simulation._steps import After, FailureRow

from ._seen import Attempt
from ._survival import Incidence, incidence, rounded


def tell_fatal_apart(
    attempts: Iterable[Attempt], allowed: Mapping[str, int] = MappingProxyType({})
) -> set[str]:
    """Mark failures that were not retried though others were, or might have been: those are fatal.

    What fails at the last attempt that a policy allows would have been retried, unless what it
    raised is never retried elsewhere.

    Args:
        attempts: of all steps.
        allowed: by path, how many attempts a node may have, where that is known.

    Returns:
        Steps that were never retried, so that nothing tells what may be.
    """
    by_path: dict[str, list[Attempt]] = {}
    for attempt in attempts:
        if attempt.how == "error":
            by_path.setdefault(attempt.path, []).append(attempt)
    unknown: set[str] = set()
    for path, failed in by_path.items():
        most = max((it.number for it in failed if not it.last), default=0)
        most = max(most, allowed.get(path, 1) - 1)
        retried = {it.error for it in failed if not it.last}
        fatal = _REFUSALS.union(it.error for it in failed if it.last and it.number <= most)
        fatal -= retried
        for attempt in failed:
            if attempt.last and (attempt.number <= most or attempt.error in fatal):
                attempt.how = "fatal"
            elif not most:
                unknown.add(attempt.step)
    return unknown


def ends(attempts: Iterable[Attempt]) -> Incidence:
    """How attempts end, by the time they take alone: what timed out or was cut off is censored."""
    return incidence((it.alone, it.how if it.how in _SEEN else None) for it in attempts)


def failure_rows(attempts: Sequence[Attempt], frailty: float = 0.0) -> list[FailureRow]:
    """How attempts of a step fail, a row for each number and failure before that is seen enough.

    Args:
        attempts: of the step, one or more.
        frailty: how much runs differ. Those that have failed before are likelier to fail again:
            that part of it is in the frailty, and taken out here.
    """
    first = [it for it in attempts if it.number == 1] or list(attempts)
    rows = [_row(first, 1, None, 1.0)]
    after: After
    for after in ("error", "timeout"):
        number = 2
        while True:
            group = [it for it in attempts if it.number == number and it.after == after]
            if len(group) < LEAST:
                break
            rows.append(_row(group, number, after, exp(frailty**2 * (number - 1))))
            number += 1
    rows.sort(key=lambda row: (row.attempt, row.after or ""))
    return [row for row in rows if row.total or len(rows) > 1]


def frailty_of(attempts: Iterable[Attempt], shares: Mapping[str, float]) -> float:
    """How much runs differ: sigma of a lognormal factor on their failure probabilities.

    By moments: how often two first attempts of one run fail both, against what chance would do.
    0 where that is not shown.

    Args:
        attempts: of all steps.
        shares: by step, how often a first attempt fails.
    """
    runs: dict[int, list[tuple[bool, float]]] = {}
    for it in attempts:
        if it.number == 1 and it.how != "cut":
            runs.setdefault(it.run, []).append((it.how != "done", shares.get(it.step, 0.0)))
    both = expected = 0.0
    for tried in runs.values():
        failed = sum(it for it, _ in tried)
        chance = sum(share for _, share in tried)
        both += failed * (failed - 1) / 2
        expected += (chance**2 - sum(share**2 for _, share in tried)) / 2
    if both < _FEW or both - expected < _SHOWN * sqrt(expected):
        return 0.0
    return rounded(min(sqrt(log(both / expected)), _MOST))


def _row(group: Sequence[Attempt], number: int, after: After | None, factor: float) -> FailureRow:
    found = ends(group)
    timeouts = any(it.how == "timeout" for it in group)
    return FailureRow(
        attempt=number,
        after=after,
        error=rounded(found.share("error") / factor),
        fatal=rounded(found.share("fatal") / factor),
        # Without a timeout nothing would end it.
        hang=rounded(max(found.left, 0.0) / factor) if timeouts and found.left > _TINY else 0.0,
    )


LEAST: Final = 30
_REFUSALS: Final = frozenset({"contract", "threshold", "rejected", "wrong_owner"})
"""What is not retried unless a policy names it."""
_SEEN: Final = ("done", "error", "fatal")
_FEW: Final = 5
_SHOWN: Final = 3.0
_MOST: Final = 2.0
_TINY: Final = 1e-9
