"""A service with one of everything that a model speaks of."""

from __future__ import annotations

from typing import Any, Literal

import penstock as ps
from penstock._simulation import Distribution, SignalModel

GPT = ps.Queue("gpt", concurrency=64, retry_budget=None)
approval = ps.Signal("approval", bool)


def desk(**options: Any) -> SignalModel:
    """A desk of one."""
    return SignalModel(staff=1, minutes=Distribution.constant(1.0), **options)


@ps.step(effects="pure")
async def classify(number: int) -> int:
    return number


@ps.step(effects="pure", queue=GPT, estimate=ps.Cost(usd=0.001))
async def small(number: int) -> float:
    return float(number)


@ps.step(effects="pure", queue=GPT, estimate=ps.Cost(usd=0.01))
async def large(number: int) -> float:
    return float(number)


@ps.step(effects="pure")
async def refund(number: int) -> float:
    return float(number)


@ps.step(effects="pure")
async def search(number: int) -> list[int]:
    return list(range(number))


@ps.step(effects="pure", concurrency_key=str)
async def page(page: int) -> int:
    return page


@ps.step(effects="pure")
async def polish(value: float) -> float:
    return value


def severity(number: int) -> Literal["high", "low"]:
    return "high" if number % 5 == 0 else "low"


def float_of(value: float | None, pages: list[int]) -> float:
    return (value or 0.0) + len(pages)


@ps.workflow(version="1.0.0", owner="cx")
def support(flow: ps.Flow, number: ps.Node[int]) -> ps.Node[float]:
    case = flow.switch(flow.call(classify, number), key=severity, name="case")
    answer = flow.cascade(
        (small, large), case["low"], accept=ps.Threshold(float, at=0.7), name="answer"
    )
    yes = flow.signal(approval, after=case["high"])
    back = flow.call(refund, case["high"], after=yes)
    pages = flow.map(page, flow.call(search, number), name="pages")
    rare = flow.when(flow.merge(answer, back), lambda value: value > 0, name="rare")
    polished = flow.loop(polish, rare, until=lambda value: value > 1, max_iterations=5, name="fine")
    return flow.apply(float_of, flow.optional(polished), pages)
