"""Simulated releases: two arms whose runs fail, cost and take what a seed draws."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cache, cached_property
from math import inf
from typing import Final, TypeAlias

from penstock._evidence import Criteria, Outcome, Trial, Verdict

NANO: Final = 1_000_000_000
HORIZON: Final = 600.0
POOL: Final = 20_000

Drawn: TypeAlias = tuple[list[tuple[Outcome, float]], list[tuple[Outcome, float]]]


@dataclass(frozen=True, kw_only=True)
class Service:
    """How the runs of one arm behave.

    Attributes:
        success: the probability that a run succeeds.
        cost: mean dollars of a run; the logarithm of a cost has `cost_spread`.
        retried: the probability of one more attempt, at each of the four steps of a run.
        refused: the probability that one of its two handoffs is refused.
        latency: mean seconds, exponential.
        failing: seconds after which a run that fails has failed; None for when it would end anyway.
    """

    success: float = 0.98
    cost: float = 0.01
    cost_spread: float = 0.8
    retried: float = 0.05
    refused: float = 0.02
    latency: float = 5.0
    failing: float | None = None

    @cached_property
    def drawn(self) -> Drawn:
        """Runs that failed and runs that succeeded, to draw from."""
        return _drawn(replace(self, success=0.5, failing=None))

    def run(self, dice: random.Random) -> tuple[Outcome, float]:
        """What a run comes to, and how long it takes."""
        good = dice.random() < self.success
        drawn = self.drawn
        outcome, seconds = drawn[good][int(dice.random() * POOL)]
        return outcome, seconds if good or self.failing is None else self.failing


@cache
def _drawn(service: Service) -> Drawn:
    """Many failed runs and many that succeeded: drawing from these takes less than drawing anew.

    Services that cost and take the same draw from the same ones.
    """
    dice = random.Random(repr(service))
    drawn = [_run(service, dice) for _ in range(POOL)]
    failed = [Outcome.from_dict(each.to_dict() | {"result": "failed"}) for each, _ in drawn]
    return [(each, seconds) for each, (_, seconds) in zip(failed, drawn, strict=True)], drawn


def _run(service: Service, dice: random.Random) -> tuple[Outcome, float]:
    seconds = dice.expovariate(1 / service.latency)
    spread = service.cost_spread
    spent = service.cost * dice.lognormvariate(-spread * spread / 2, spread)
    extra = sum(dice.random() < service.retried for _ in range(4))
    refused = sum(dice.random() < service.refused for _ in range(2))
    outcome = Outcome(
        result="succeeded",
        cost=round(spent * NANO * (1 + extra / 4)),
        retries=extra,
        first_attempts={"api": 4},
        handoffs=2,
        accepted=2 - refused,
        slot_seconds={"api": seconds * 0.8},
    )
    return outcome, seconds


USUAL: Final = Service()


def release(
    canary: Service,
    baseline: Service = USUAL,
    *,
    seed: object,
    criteria: Criteria | None = None,
    share: float = 0.1,
    rate: float = 20.0,
    max_runs: int = 3_000,
    watch: Callable[[Trial], Trial] | None = None,
) -> Verdict:
    """Release a candidate, with a look after every run, until it is decided.

    Args:
        canary: how the candidate behaves.
        baseline: how what is in service behaves.
        seed: of this release.
        criteria: what it is judged by; the usual ones unless given.
        share: of the runs that go to the canary.
        rate: runs that start per second.
        max_runs: canary runs that are judged at most.
        watch: is given the trial after every event, and gives the one to go on with.
    """
    dice = random.Random(repr(seed))
    trial = Trial(criteria or Criteria(), horizon=HORIZON, share=share, max_runs=max_runs)
    under_way: list[tuple[float, int, Outcome]] = []
    now, run = 0.0, 0
    while True:
        starts = now + dice.expovariate(rate)
        while under_way and under_way[0][0] <= starts:
            ended, name, outcome = heapq.heappop(under_way)
            trial.ended(str(name), ended, outcome)
            verdict = trial.settled(ended)
            if verdict is not None:
                return verdict
            trial = watch(trial) if watch else trial
        now, run = starts, run + 1
        to_canary = dice.random() < share
        trial.started(str(run), "canary" if to_canary else "baseline", now)
        outcome, seconds = (canary if to_canary else baseline).run(dice)
        heapq.heappush(under_way, (now + seconds, run, outcome))
        trial = watch(trial) if watch else trial


def releases(canary: Service, seeds: Iterable[object], **options: object) -> list[Verdict]:
    """Many of them, one for each seed."""
    return [release(canary, seed=seed, **options) for seed in seeds]  # type: ignore[arg-type]


def share_of(verdicts: list[Verdict], state: str, *, within: int | None = None) -> float:
    """How many of them came to that, and within so many canary runs."""
    came = [each for each in verdicts if each.state == state]
    return sum(within is None or each.runs <= within for each in came) / len(verdicts)


def runs_until(verdicts: list[Verdict], state: str, quantile: float) -> float:
    """Canary runs until that verdict, at a quantile of all releases; infinite without it."""
    runs = sorted(each.runs if each.state == state else inf for each in verdicts)
    return runs[min(int(len(runs) * quantile), len(runs) - 1)]


IDENTICAL: Final = USUAL
BROKEN: Final = replace(USUAL, success=0.90)
AT_THE_MARGIN: Final = replace(USUAL, success=0.97)
SLOWER: Final = replace(USUAL, latency=15.0)
FAILS_EARLIER: Final = replace(USUAL, failing=0.1)
