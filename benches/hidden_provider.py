"""A provider that no model describes: it drifts, slows down under load, and fails in bursts."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from dataclasses import dataclass
from math import exp, sqrt
from typing import Any, Final

import penstock as ps

RATES: Final = {"input": 2.5, "output": 10.0}
"""Dollars for a million tokens."""


class Provider:
    """What it does depends on the time, and on all that came before.

    Args:
        seed: of its moods.
    """

    def __init__(self, seed: object) -> None:
        self._dice = random.Random(repr(seed))
        self._mood, self._at = self._dice.gauss(0, DRIFT), 0.0
        self._bad, self._turns = False, self._dice.expovariate(1 / CALM)
        self._busy = 0

    async def call(self, ctx: ps.Context, sent: int, received: int) -> None:
        """One call, with about so many tokens to read and to write.

        Raises:
            ConnectionError: it fails; what it has written is paid.
            penstock.NonRetryable: it refuses.
        """
        dice = self._dice
        now = asyncio.get_running_loop().time()
        self._turn(now)
        sent = int(sent * dice.lognormvariate(0, 0.5))
        received = int(received * dice.lognormvariate(0, 0.6))
        # Slower with every call beside it, and what is written takes its time.
        seconds = (0.8 + 4e-4 * sent + 0.032 * received) * exp(self._mood)
        seconds *= 1 + (self._busy / 25) ** 2
        luck = dice.random()
        fails = luck < (0.7 if self._bad else 0.02)
        if not fails and luck > 0.997:
            seconds += 300.0
        self._busy += 1
        try:
            await asyncio.sleep(seconds * (dice.uniform(0.2, 1.0) if fails else 1.0))
        finally:
            self._busy -= 1
        if fails:
            ctx.spend.tokens("gpt", input=sent, output=0)
            raise ConnectionError("the provider broke down")
        ctx.spend.tokens("gpt", input=sent, output=received)
        if luck > 0.995:
            raise ps.NonRetryable("refused")

    def _turn(self, now: float) -> None:
        """Its mood wanders (Ornstein and Uhlenbeck), and bad times come and go."""
        kept = exp(-(now - self._at) / MEMORY)
        self._mood = kept * self._mood + sqrt(1 - kept * kept) * self._dice.gauss(0, DRIFT)
        self._at = now
        while now >= self._turns:
            self._bad = not self._bad
            self._turns += self._dice.expovariate(1 / (BAD if self._bad else CALM))


provider: Provider | None = None


def service(*, attempts: int = 3) -> ps.Workflow[..., Any]:
    """Three steps, two of them calls of the provider, which are tried so often."""
    retry = ps.RetryPolicy(max_attempts=attempts, initial_interval=2.0)

    @ps.step(queue=GPT, retry=retry, timeout=40.0)
    async def plan(text: str, ctx: ps.Context) -> str:
        assert provider is not None
        await provider.call(ctx, 500, 30)
        return text

    @ps.step(queue=GPT, retry=retry, timeout=60.0)
    async def draft(text: str, ctx: ps.Context) -> str:
        assert provider is not None
        await provider.call(ctx, 1_500, 100)
        return text

    @ps.step(effects="pure")
    async def check(text: str) -> str:
        await asyncio.sleep(0.05)
        return text

    @ps.workflow(version="1", owner="cx")
    def writing(flow: ps.Flow, text: ps.Node[str]) -> ps.Node[str]:
        return flow.call(check, flow.call(draft, flow.call(plan, text)))

    return writing


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """How the service is run.

    Attributes:
        name: of it.
        rate: runs a second.
        concurrency: of the provider's queue.
        attempts: of its steps.
    """

    name: str
    rate: float = 1.0
    concurrency: int = 16
    attempts: int = 3

    @property
    def changes(self) -> Mapping[str, Any]:
        """What it changes in the usual one, as a policy has it."""
        return {
            "arrivals.rate": self.rate,
            "queue.gpt.concurrency": self.concurrency,
            "step.plan.retry.max_attempts": self.attempts,
            "step.draft.retry.max_attempts": self.attempts,
        }


GPT: Final = ps.Queue("gpt", concurrency=16)
DRIFT: Final = 0.15
"""Standard deviation of the logarithm of its speed."""
MEMORY: Final = 200.0
"""Seconds after which its mood is another one."""
CALM: Final = 600.0
BAD: Final = 60.0
"""Mean seconds of good and of bad times."""
