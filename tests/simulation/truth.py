"""A service whose truth is known: scripted latencies, failures, prices and decisions.

It really runs, in a durable runtime and in virtual time.
"""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any, Literal

import penstock as ps

GPT = ps.Queue("gpt", concurrency=12, retry_budget=None)
RETRY = ps.RetryPolicy(max_attempts=3, initial_interval=0.1, jitter="none", never_on=(LookupError,))
BOOK = ps.PriceBook(
    rates={
        "models": {"small": {"input": "0.15", "output": "0.6"}},
        "humans": {"reviewer": {"hour": 30}},
    },
    package=None,
)
approval = ps.Signal("approval", bool)
DICE = random.Random()


class Truth:
    """What the model is to find."""

    rate = 5.0
    high = 0.2
    until = 0.6
    pages = (0, 1, 2, 5)
    small_median, small_sigma = 0.4, 0.5
    small_error, small_again, small_fatal = 0.1, 0.3, 0.02
    timeout = 1.5
    large = 0.8
    explore = 0.1
    at = 0.35
    keys = 8
    answered = 0.8
    answer = 30.0


class Load:
    """What is under way at the provider."""

    now = 0
    slows = False

    def __enter__(self) -> None:
        Load.now += 1

    def __exit__(self, *_: object) -> None:
        Load.now -= 1


@ps.step(effects="pure")
async def classify(number: int) -> int:
    await asyncio.sleep(0.05)
    return number


@ps.step(effects="pure", queue=GPT, retry=RETRY, timeout=Truth.timeout)
async def small(number: int, ctx: ps.Context) -> float:
    ctx.spend.tokens("small", input=500 + DICE.randrange(1_000), output=100)
    with Load():
        factor = 1.0 + max(Load.now - 2, 0) / 5 if Load.slows else 1.0
        alone = Truth.small_median * DICE.lognormvariate(0.0, Truth.small_sigma)
        await asyncio.sleep(factor * alone)
    draw = DICE.random()
    if draw < Truth.small_fatal:
        raise LookupError(number)
    if draw < Truth.small_fatal + (Truth.small_error if ctx.attempt == 1 else Truth.small_again):
        raise ConnectionError(number)
    return DICE.random()


@ps.step(effects="pure", queue=GPT, retry=RETRY)
async def large(number: int, ctx: ps.Context) -> float:
    ctx.spend.usd("0.004", "large")
    with Load():
        await asyncio.sleep(Truth.large)
    return 0.5 + DICE.random() / 2


@ps.step(effects="pure")
async def search(number: int) -> list[int]:
    count = DICE.choice(Truth.pages)
    return [DICE.randrange(Truth.keys) for _ in range(count)]


@ps.step(effects="pure", concurrency_key=str)
async def page(key: int) -> int:
    await asyncio.sleep(DICE.expovariate(20.0))
    return key


@ps.step(effects="pure")
async def polish(value: float) -> float:
    return 1.0 if DICE.random() < Truth.until else 0.0


@ps.step(effects="pure")
async def apologise(number: int) -> float:
    return 0.0


@ps.step(effects="pure")
async def join(value: float, polished: float, pages: list[int]) -> float:
    return value


def severity(number: int) -> Literal["high", "low"]:
    return "high" if DICE.random() < Truth.high else "low"


def best(value: float) -> float:
    return value


def done(value: float) -> bool:
    return value > 0.5


@ps.workflow(version="1.0.0", owner="cx")
def support(flow: ps.Flow, number: ps.Node[int]) -> ps.Node[float]:
    case = flow.switch(flow.call(classify, number), key=severity, name="case")
    answer = flow.cascade(
        (small, large),
        case["low"],
        accept=ps.Threshold(best, at=Truth.at),
        explore=Truth.explore,
        name="answer",
    )
    asked = flow.signal(approval, after=case["high"], timeout=120.0, on_timeout="skip")
    sorry = flow.call(apologise, case["high"], after=asked)
    pages = flow.map(page, flow.call(search, number), name="pages")
    value = flow.merge(answer, sorry)
    polished = flow.loop(polish, value, until=done, max_iterations=20, name="fine")
    return flow.call(join, value, polished, pages)


async def serve(path: Path, count: int, *, seed: int = 1, rate: float = Truth.rate) -> None:
    """Let so many runs come, each at its time, and answer those that ask."""
    DICE.seed(seed)
    Load.now = 0
    async with ps.Runtime(
        store=str(path), workflows=[support], prices=BOOK, durability="async", seed=seed
    ) as rt:
        runs: list[ps.Run[float]] = []

        async def answer(run: ps.Run[float]) -> None:
            await asyncio.sleep(DICE.expovariate(1 / Truth.answer))
            await run.signal(approval, value=True)

        answers: list[asyncio.Task[Any]] = []
        for number in range(count):
            await asyncio.sleep(DICE.expovariate(rate))
            tenant = "acme" if number % 4 == 0 else "other"
            run = await rt.start(support, number, run_id=f"run-{number}", tenant=tenant)
            runs.append(run)
            if DICE.random() < Truth.answered:
                answers.append(asyncio.ensure_future(answer(run)))
        values = await asyncio.gather(*(run.result() for run in runs), return_exceptions=True)
        for answered in answers:
            answered.cancel()
        await asyncio.gather(*answers, return_exceptions=True)
        for run, value in zip(runs, values, strict=True):
            if isinstance(value, float):
                await run.score(0.8 if value > 0.5 else 0.4, kind="quality")


def served(path: Path, count: int, **options: Any) -> Path:
    """A store of a service that has served so many runs."""
    ps.testing.VirtualClock().run(serve(path, count, **options))
    return path
