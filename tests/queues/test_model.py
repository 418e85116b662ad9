"""Random load on random limits: what a queue lets through, compared with what it may."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field

import pytest

import penstock as ps
from loops import run_on
from penstock._clock import VirtualLoop
from services import now, outcomes

EPSILON = 1e-6


@dataclass
class Limits:
    """What a queue is limited by, drawn from a seed."""

    dice: random.Random
    concurrency: int = field(init=False)
    rate: float = field(init=False)
    burst: int = field(init=False)

    def __post_init__(self) -> None:
        self.concurrency = self.dice.randint(1, 8)
        self.rate = self.dice.choice([0.5, 3.0, 7.5, 20.0])
        self.burst = self.dice.randint(1, 10)

    def queue(self, **others: object) -> ps.Queue:
        return ps.Queue(
            "api",
            concurrency=self.concurrency,
            rate_limit=ps.RateLimit(self.rate, burst=self.burst),
            **others,  # type: ignore[arg-type]  # drawn
        )


@dataclass
class Watch:
    """What attempts did: when each began, and how many were under way."""

    starts: list[float] = field(default_factory=list[float])
    tokens: list[int] = field(default_factory=list[int])
    inside: int = 0
    most: int = 0

    async def stay(self, seconds: float) -> None:
        self.starts.append(now())
        self.inside += 1
        self.most = max(self.most, self.inside)
        try:
            await asyncio.sleep(seconds)
        finally:
            self.inside -= 1

    def most_above(self, rate: float, burst: int) -> float:
        """By how many attempts some span of time was above what a rate allows; O(n log n)."""
        # The earliest start for which i - rate * start is the least decides for each later one.
        above, least = 0.0, float("inf")
        for number, at in enumerate(self.starts):
            least = min(least, number - rate * at)
            above = max(above, number + 1 - rate * at - least - burst)
        return above


def greedy(arrivals: list[tuple[float, float]], limits: Limits) -> list[float]:
    """When attempts would start that come at a time and take so long, by the naive model."""
    slots = [0.0] * limits.concurrency
    earned = -float("inf")
    starts: list[float] = []
    for at, takes in arrivals:
        slots.sort()
        spared = (limits.burst - 1) / limits.rate
        start = max(at, slots[0], earned - spared)
        earned = max(earned, start) + 1 / limits.rate
        slots[0] = start + takes
        starts.append(start)
    return starts


@pytest.mark.parametrize("seed", range(12))
def test_attempts_start_when_a_naive_model_says(seed: int) -> None:
    dice = random.Random(seed)
    limits, watch = Limits(dice), Watch()
    gaps = [dice.choice([0.0, 0.01, 0.3, 2.0]) for _ in range(200)]
    takes = [dice.choice([0.05, 0.2, 1.0]) for _ in gaps]
    arrivals = [(sum(gaps[: n + 1]), took) for n, took in enumerate(takes)]

    @ps.step(queue=limits.queue())
    async def work(x: int) -> int:
        await watch.stay(takes[x])
        return x

    async def main() -> None:
        async with ps.Runtime(seed=seed) as rt:
            for x, gap in enumerate(gaps):
                await asyncio.sleep(gap)
                await rt.start(work, x)
            await rt.join()

    run_on(VirtualLoop, main())
    assert watch.starts == pytest.approx(greedy(arrivals, limits), abs=1e-5)


@pytest.mark.parametrize("seed", range(12))
def test_no_limit_is_ever_exceeded_whatever_happens(seed: int) -> None:
    """Failures, retries, hedges, timeouts, cancellations, tenants and priorities, all at once."""
    dice = random.Random(seed)
    limits, watch = Limits(dice), Watch()
    breaker = ps.Breaker(min_calls=10, open_for=2.0) if seed % 3 == 0 else None
    fairness = ps.Fairness(weights={"a": 2.0}) if seed % 2 else None
    retry = ps.RetryPolicy(max_attempts=4, initial_interval=0.1, max_interval=1.0)

    @ps.step(
        queue=limits.queue(breaker=breaker, fairness=fairness),
        retry=retry,
        timeout=2.0,
        hedge=ps.Hedge(after=0.5),
    )
    async def work(x: int) -> int:
        await watch.stay(dice.choice([0.0, 0.1, 0.4, 1.0, 5.0]))
        if dice.random() < 0.3:
            raise OSError
        return x

    async def main() -> None:
        async with ps.Runtime(seed=seed) as rt:
            runs: list[ps.Run[int]] = []
            for x in range(200):
                tenant = dice.choice([None, "a", "b"])
                deadline = dice.choice([None, None, 30.0])
                run = await rt.start(
                    work, x, tenant=tenant, deadline=deadline, priority=dice.randint(1, 5)
                )
                runs.append(run)
                await asyncio.sleep(dice.choice([0.0, 0.0, 0.05, 0.5]))
                if dice.random() < 0.1:
                    await dice.choice(runs).cancel()
            allowed = {"succeeded", "RunFailed", "RunCancelled", "DeadlineExceeded"}
            assert set(await outcomes(runs)) <= allowed
            await asyncio.sleep(10)
            queue = rt.stats().queues["api"]
            assert (queue.running, queue.waiting, queue.parked) == (0, 0, 0)
            assert queue.total.attempts + queue.attempts.hedges >= len(watch.starts)
            assert rt.stats().running == 0

    run_on(VirtualLoop, main())
    assert watch.most <= limits.concurrency
    assert watch.most_above(limits.rate, limits.burst) <= EPSILON * len(watch.starts)


@pytest.mark.parametrize("seed", range(6))
def test_tokens_come_at_their_rate_with_random_estimates(seed: int) -> None:
    dice = random.Random(seed)
    rate, burst = dice.choice([(100.0, 100), (1_000.0, 300)])
    began: list[tuple[float, int]] = []
    ended: list[float] = []
    estimate = 40
    queue = ps.Queue(
        "llm", concurrency=4, rate_limit=ps.RateLimit(rate, burst=burst, unit="tokens")
    )

    @ps.step(queue=queue, estimate=ps.Cost(tokens=estimate))
    async def ask(x: int, ctx: ps.Context) -> None:
        used = dice.choice([0, 10, 40, 80, 200])
        began.append((now(), used))
        await asyncio.sleep(dice.choice([0.01, 0.1]))
        ctx.used(tokens=used)
        ended.append(now())

    async def main() -> None:
        async with ps.Runtime(seed=seed) as rt:
            await rt.start_many(ask, range(300))
            await rt.join()

    run_on(VirtualLoop, main())
    total = 0
    for at, used in began:
        # Four at once may each turn out to be 160 above their estimate.
        assert total <= rate * at + burst + 4 * 160 + estimate
        total += used
    least = (total - burst - 4 * 200) / rate
    assert least <= ended[-1] <= least * 1.3 + 5
