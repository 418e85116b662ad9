"""Spend above a budget shows in the scorecard, and so does how many branches runs have taken."""

from __future__ import annotations

import asyncio
from typing import Literal

import penstock as ps
from loops import Task, virtual

BOOK = ps.PriceBook(rates={"tools": {"search": 0.5}}, package=None)


@ps.step
async def dear(x: int, ctx: ps.Context) -> int:
    ctx.spend.tool("search", calls=3)
    await asyncio.sleep(1.0)
    return x


def size(x: int) -> Literal["small", "large"]:
    return "small" if x < 10 else "large"


@ps.workflow
def shop(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
    way = flow.switch(flow.call(dear, x), key=size)
    return flow.merge(way["small"], way["large"])


@virtual
async def test_an_overrun_is_the_spend_above_the_limit(task: Task) -> None:
    """Nobody knew what the step costs, so that two attempts at once were more than there was."""
    budgets = ps.Budgets(workflows={"shop": ps.Budget(usd=2.0)})
    async with ps.Runtime(task=task, workflows=[shop], prices=BOOK, budgets=budgets) as rt:
        runs = [await rt.start(shop, number) for number in range(2)]
        await asyncio.gather(*(run.result() for run in runs))
        card = (await rt.scorecard(by="workflow")).whole
        assert card.economics.cost.nanos == 3_000_000_000
        assert card.economics.overruns is not None
        assert card.economics.overruns.part == 1_000_000_000
        assert card.change is not None
        assert card.change.coverage == {"shop 1": 0.5}, "only small ones were bought"


@virtual
async def test_without_budgets_nothing_is_known_of_overruns(task: Task) -> None:
    async with ps.Runtime(task=task, workflows=[shop], prices=BOOK) as rt:
        await rt.run(shop, 20)
        card = (await rt.scorecard()).whole
        assert card.economics.overruns is None
