"""What budgets can know of costs: what has no price is refused, and what was learned is kept."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

import penstock as ps

NOTHING = ps.PriceBook(unknown="unpriced", package=None)
HOLDS = ps.Budget(usd=1)


@ps.step(effects="idempotent")
async def ask(number: int, ctx: ps.Context) -> int:
    ctx.spend.usd(0.01, "asking")
    return number


@ps.workflow
def asking(flow: ps.Flow, number: ps.Node[int]) -> ps.Node[int]:
    return flow.call(ask, number)


@ps.step(estimate=ps.Cost(tokens=1_000))
async def draft(text: str, ctx: ps.Context) -> str:
    ctx.spend.tokens("house", input=1_000, unpriced=True)
    return text


@ps.step(estimate=ps.Cost(tokens=1_000, usd=0.01))
async def dear(text: str) -> str:
    return text


@ps.workflow
def writing(flow: ps.Flow, text: ps.Node[str]) -> ps.Node[str]:
    return flow.call(draft, text)


@ps.workflow(budget=HOLDS)
def limited(flow: ps.Flow, text: ps.Node[str]) -> ps.Node[str]:
    return flow.call(draft, text)


@ps.workflow(budget=HOLDS)
def known(flow: ps.Flow, text: ps.Node[str]) -> ps.Node[str]:
    return flow.call(dear, text)


@pytest.mark.parametrize(
    ("flow", "options"),
    [
        (limited, {}),
        (writing, {"budgets": ps.Budgets(workflows={writing: HOLDS})}),
        (writing, {"budgets": ps.Budgets(tenant=HOLDS)}),
        (writing, {"budgets": ps.Budgets(tenants={"acme": HOLDS})}),
    ],
)
async def test_a_budget_for_tokens_that_no_price_is_known_of_is_refused(
    flow: Any, options: dict[str, Any]
) -> None:
    with pytest.raises(ps.DefinitionError, match="whose tokens have no price") as caught:
        async with ps.Runtime(workflows=[flow], prices=NOTHING, **options):
            pass
    assert caught.value.node == f"{flow.name}/draft"
    # Any of these may be enough to know.
    some = ps.PriceBook(rates={"models": {"house": {"input": 1}}}, unknown="unpriced", package=None)
    async with ps.Runtime(workflows=[flow], prices=some, **options) as rt:
        assert await rt.run(flow, "x", tenant="acme") == "x"
    async with ps.Runtime(workflows=[known], prices=NOTHING, **options) as rt:
        assert await rt.run(known, "x", tenant="acme") == "x"


async def test_a_run_can_have_no_such_budget_either() -> None:
    async with ps.Runtime(workflows=[writing], prices=NOTHING) as rt:
        assert await rt.run(writing, "x") == "x"
        with pytest.raises(ps.DefinitionError, match="whose tokens have no price"):
            await rt.run(writing, "x", budget=HOLDS)
        assert await rt.run(ask, 1, budget=HOLDS) == 1


def test_what_steps_have_cost_is_known_after_a_restart(tmp_path: Path) -> None:
    """Nothing was reserved for the first attempts of each process."""

    async def many() -> None:
        async with ps.Runtime(tmp_path / "a.db", workflows=[asking]) as rt:
            # As nothing is known of it, nothing stands in its way.
            await rt.run(asking, 1, budget=ps.Budget(usd=0.001))
            for number in range(20):
                await rt.run(asking, number, budget=HOLDS)

    async def denied(workflows: list[Any]) -> str:
        async with ps.Runtime(tmp_path / "a.db", workflows=workflows) as rt:
            with pytest.raises(ps.BudgetExceeded) as caught:
                await rt.run(asking, 1, budget=ps.Budget(usd=0.009))
            await rt.run(asking, 1, budget=ps.Budget(usd=0.0101))
            return str(caught.value)

    asyncio.run(many())
    for workflows in ([asking], [], [asking]):  # also of one that is registered later
        assert "$0.01" in asyncio.run(denied(workflows))
