"""What `penstock scorecard` is told of branches and budgets by the runtimes that had the store."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

import penstock as ps
from penstock._cli._app import app


@ps.step(effects="idempotent")
async def pay(number: int, ctx: ps.Context) -> int:
    ctx.spend.usd(0.02, "paying")
    return number


@ps.workflow(version="1")
def forked(flow: ps.Flow, number: ps.Node[int]) -> ps.Node[int]:
    case = flow.switch(number, key=lambda it: it > 0, name="sign")
    return flow.merge(flow.call(pay, case[True]), flow.call(pay, case.default, name="other"))


def card(store: Path) -> dict[str, Any]:
    shown = CliRunner().invoke(app, ["scorecard", str(store), "--json"])
    assert shown.exit_code == 0, shown.stderr
    content: dict[str, Any] = json.loads(shown.stdout)["whole"]
    return content


def test_the_store_knows_of_branches_what_all_of_its_runtimes_have_seen(tmp_path: Path) -> None:
    store = tmp_path / "a.db"
    told: list[float] = []

    async def main(number: int) -> None:
        async with ps.Runtime(store, workflows=[forked]) as rt:
            await rt.run(forked, number)
            change = (await rt.scorecard()).whole.change
            assert change is not None
            told.append(change.coverage["forked 1"])
            assert card(store)["change"]["coverage"] == {"forked 1": told[-1]}

    for number in (1, 2, -1, 3):
        asyncio.run(main(number))
        assert card(store)["change"]["coverage"] == {"forked 1": told[-1]}, "when it is closed, too"
    assert told == [0.5, 0.5, 1.0, 1.0]


def test_the_store_knows_of_budgets_what_is_spent_beyond_them(tmp_path: Path) -> None:
    store = tmp_path / "a.db"

    async def main(usd: float, runs: int) -> tuple[float, float]:
        budgets = ps.Budgets(workflows={forked: ps.Budget(usd=usd)})
        async with ps.Runtime(store, workflows=[forked], budgets=budgets) as rt:
            for number in range(runs):
                await rt.run(forked, number)
        over = card(store)["economics"]["overruns"]
        return over["part"], over["whole"]

    assert asyncio.run(main(1, 1)) == (0, 0)
    assert asyncio.run(main(0.015, 0)) == (5_000_000, 1)


def test_a_store_of_which_nothing_was_told_has_no_data(tmp_path: Path) -> None:
    async def main() -> None:
        async with ps.Runtime(tmp_path / "a.db"):
            pass

    asyncio.run(main())
    assert card(tmp_path / "a.db")["economics"]["overruns"] is None
