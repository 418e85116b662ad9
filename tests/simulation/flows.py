"""Workflows that the tests of changes, frontiers and capacity look at."""

from __future__ import annotations

import penstock as ps

gpt = ps.Queue(
    "gpt", concurrency=8, rate_limit=ps.RateLimit(600, per=60.0), breaker=ps.Breaker(min_calls=7)
)
tone = ps.Setting("draft.tone", "kind")


def score(text: str) -> float:
    return float(len(text))


@ps.step(queue=gpt, retry=ps.RetryPolicy(max_attempts=3), timeout=5.0)
async def small(text: str) -> str:
    return text


@ps.step(queue=gpt)
async def medium(text: str) -> str:
    return text


@ps.step(queue="claude")
async def large(text: str, ctx: ps.Context) -> str:
    return text + ctx.get(tone)


@ps.step(accept=ps.Threshold(score, at=0.5))
async def check(text: str) -> str:
    return text


@ps.step(effects="once")
async def send(text: str) -> list[str]:
    return [text]


@ps.workflow(version="1.0.0", budget=ps.Budget(usd=0.05))
def support(flow: ps.Flow, text: ps.Node[str]) -> ps.Node[list[str]]:
    answer = flow.cascade(
        [small, medium, large], text, accept=ps.Threshold(score, at=0.7), name="answer"
    )
    pages = flow.call(send, flow.call(check, answer))
    return flow.map(medium, pages, concurrency=3, name="pages")
