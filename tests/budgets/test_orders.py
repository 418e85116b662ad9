"""Budgets of runs and what people do to them: `penstock budget STORE RUN --usd X`, and forks."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

import penstock as ps
from penstock._cli._app import app
from penstock._stored import StoreView

COST = ps.Cost(usd=0.01, max_usd=0.01)


@ps.step(estimate=COST, effects="idempotent")
async def ask(number: int, ctx: ps.Context) -> int:
    ctx.spend.usd("0.01", "asking")
    return number + 1


@ps.workflow(version="1")
def thrice(flow: ps.Flow, number: ps.Node[int]) -> ps.Node[int]:
    return flow.call(ask, flow.call(ask, flow.call(ask, number)), name="last")


async def told(*arguments: object) -> Result:
    """What the command line says, from another thread as if from another process."""
    return await asyncio.to_thread(CliRunner().invoke, app, [*map(str, arguments)])


async def paused(run: ps.Run[int]) -> None:
    async with asyncio.timeout(20):
        while run.status != "paused":  # noqa: ASYNC110  # it is no event's doing
            await asyncio.sleep(0.002)


async def test_a_run_that_lacks_money_goes_on_once_it_may_spend_more(tmp_path: Path) -> None:
    store = tmp_path / "a.db"
    async with ps.Runtime(store, workflows=[thrice]) as rt:
        budget = ps.Budget(usd=0.01, when_spent="pause")
        run = await rt.start(thrice, 1, run_id="r", budget=budget)
        await paused(run)
        enough = await told("budget", store, "r", "--usd", "0.02")
        assert enough.exit_code == 0, enough.stderr
        assert "it may spend $0.02 in place of $0.01, and goes on; it is running" in (
            " ".join(enough.stdout.split())
        )
        await paused(run)
        await told("budget", store, "r", "--usd", "0.03")
        assert await run.result() == 4
        over = await told("budget", store, "r", "--usd", "1")
        assert over.exit_code == 1
        assert "is over: succeeded" in over.stderr
    view = StoreView(store)
    kept = [it.facts for it in view.records("r") if it.kind == "budgeted"]
    assert [it["limit"] for it in kept] == [10**7, 2 * 10**7, 3 * 10**7]
    assert {it["when_spent"] for it in kept} == {"pause"}
    view.close()


async def test_whom_somebody_has_paused_stays_so(tmp_path: Path) -> None:
    store = tmp_path / "a.db"
    async with ps.Runtime(store, workflows=[thrice]) as rt:
        budget = ps.Budget(usd=0.01, when_spent="pause")
        run = await rt.start(thrice, 1, run_id="r", budget=budget)
        await paused(run)
        lower = await told("budget", store, "r", "--usd", "0.005")
        assert "it may spend $0.005 in place of $0.01" in " ".join(lower.stdout.split())
        assert "goes on" not in lower.stdout
        assert run.status == "paused"
        await told("budget", store, "r", "--usd", "0.02")
        assert run.status == "paused", "what it lacked money for was under another budget"
        await run.resume()
        await paused(run)


async def test_a_fork_has_its_budget_for_itself(tmp_path: Path) -> None:
    """What its run has spent on what it keeps is not spent again."""
    async with ps.Runtime(tmp_path / "a.db", workflows=[thrice]) as rt:
        run = await rt.start(thrice, 1, run_id="r", budget=ps.Budget(usd=0.025))
        with pytest.raises(ps.BudgetExceeded):
            await run.result()
        fork = await run.fork(from_step="thrice/last")
        assert await fork.result() == 4
        assert (await fork.spend()).usd == ps.usd(0.01)
        again = await fork.fork()
        assert await again.result() == 4


@pytest.mark.parametrize("usd", ["0", "-1", "much", "nan", "1e-12"])
async def test_what_is_no_amount_is_refused(usd: str, tmp_path: Path) -> None:
    store = tmp_path / "a.db"
    async with ps.Runtime(store, workflows=[thrice]) as rt:
        await rt.run(thrice, 1, run_id="r")
        refused = await told("budget", store, "r", "--usd", usd)
    assert refused.exit_code != 0
    assert "is no budget" in refused.stderr


async def test_a_run_without_a_budget_has_none_to_raise(tmp_path: Path) -> None:
    gate = ps.Signal("budget.gate", int)

    @ps.workflow(version="1")
    def waits(flow: ps.Flow, number: ps.Node[int]) -> ps.Node[int]:
        return flow.signal(gate, after=number)

    store = tmp_path / "a.db"
    async with ps.Runtime(store, workflows=[waits]) as rt:
        run = await rt.start(waits, 1, run_id="r")
        refused = await told("budget", store, "r", "--usd", "1")
        assert refused.exit_code == 1
        assert "has no budget of its own" in " ".join(refused.stderr.split())
        await run.cancel()
