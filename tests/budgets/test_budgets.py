"""Budgets: what runs, workflows and tenants may spend, and what happens when it is spent."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import penstock as ps
from penstock import Budgets
from penstock._money import Usd
from penstock.testing import VirtualClock


@ps.step(estimate=ps.Cost(usd=0.6))
async def dear(value: int, ctx: ps.Context) -> int:
    ctx.spend.usd(0.5, "dear")
    return value + 1


@ps.workflow
def chain(flow: ps.Flow, value: ps.Node[int]) -> ps.Node[int]:
    first = flow.call(dear, value)
    return flow.call(dear, first)


@ps.step(estimate=ps.Cost(usd=0.01, max_usd=0.1))
async def item(value: int, ctx: ps.Context) -> int:
    ctx.spend.usd(0.1, "item")
    return value


@ps.workflow
def many(flow: ps.Flow, values: ps.Node[Sequence[int]]) -> ps.Node[list[int]]:
    return flow.map(item, values)


def test_a_run_whose_budget_is_spent_fails_and_says_how_much_was_missing() -> None:
    async def main() -> ps.BudgetExceeded:
        async with ps.Runtime() as rt:
            with pytest.raises(ps.BudgetExceeded) as told:
                await rt.run(chain, 1, budget=ps.Budget(usd=1))
            return told.value

    error = VirtualClock().run(main())
    assert (error.payer, error.limit, error.spent, error.asked) == (
        "run",
        ps.usd(1),
        ps.usd("0.5"),
        ps.usd("0.6"),
    )
    assert error.node == "chain/dear-2"
    assert "$0.50 of the run's budget of $1.00 is spent" in str(error)
    assert "Run.configure_budget" in str(error)


def test_a_budget_that_suffices_is_not_noticed() -> None:
    async def main() -> int:
        async with ps.Runtime() as rt:
            return await rt.run(chain, 1, budget=ps.Budget(usd="1.1"))

    assert VirtualClock().run(main()) == 3


def test_a_workflow_limits_each_of_its_runs_and_a_run_may_say_otherwise() -> None:
    @ps.workflow(budget=ps.Budget(usd=1))
    def limited(flow: ps.Flow, value: ps.Node[int]) -> ps.Node[int]:
        return flow.call(dear, flow.call(dear, value))

    async def main() -> int:
        async with ps.Runtime() as rt:
            with pytest.raises(ps.BudgetExceeded):
                await rt.run(limited, 1)
            (run,) = await rt.start_many(limited, [1])
            with pytest.raises(ps.BudgetExceeded):
                await run.result()
            return await rt.run(limited, 1, budget=ps.Budget(usd=2))

    assert VirtualClock().run(main()) == 3


def test_a_paused_run_goes_on_once_it_may_spend_more() -> None:
    async def main() -> None:
        async with ps.Runtime() as rt:
            run = await rt.start(chain, 1, budget=ps.Budget(usd=1, when_spent="pause"))
            with pytest.raises(ps.RunHeld, match=r"the run's budget of \$1.00 is spent"):
                await run.result()
            assert run.status == "paused"
            assert await run.resume()
            with pytest.raises(ps.RunHeld):
                await run.result()
            assert await run.configure_budget(ps.Budget(usd=2, when_spent="pause"))
            assert await run.resume()
            assert await run.result() == 3
            kinds = [event.kind for event in await run.history()]
            assert kinds.count("denied") == 2
            assert not await run.configure_budget(ps.Budget(usd=3))

    VirtualClock().run(main())


def test_a_map_of_64_waits_for_its_money_and_never_spends_more_than_it_may() -> None:
    async def main() -> None:
        async with ps.Runtime() as rt:
            run = await rt.start(many, list(range(64)), budget=ps.Budget(usd=3, when_spent="pause"))
            with pytest.raises(ps.RunHeld):
                await run.result()
            state = run.budget
            assert state is not None
            assert (state.spent, state.reserved) == (ps.usd(3), ps.usd(0))
            await run.configure_budget(ps.Budget(usd="6.4", when_spent="pause"))
            await run.resume()
            assert await run.result() == list(range(64))

    VirtualClock().run(main())


def test_workflows_and_tenants_have_one_account_for_all_of_their_runs() -> None:
    async def main() -> None:
        budgets = Budgets(
            workflows={chain: ps.Budget(usd=10)},
            tenants={"acme": ps.Budget(usd="2.2")},
            tenant=ps.Budget(usd="1.1", when_spent="pause"),
        )
        async with ps.Runtime(budgets=budgets) as rt:
            for _ in range(2):
                await rt.run(chain, 1, tenant="acme")
            with pytest.raises(ps.BudgetExceeded, match=r"the tenant's budget of \$2\.20"):
                await rt.run(chain, 1, tenant="acme")
            await rt.run(chain, 1, tenant="other")
            held = await rt.start(chain, 1, tenant="other")
            with pytest.raises(ps.RunHeld):
                await held.result()
            await rt.run(chain, 1)
            states = {(state.payer, state.name): state.spent for state in rt.budgets()}
            assert states == {
                ("workflow", "chain"): ps.usd(4),
                ("tenant", "acme"): ps.usd(2),
                ("tenant", "other"): ps.usd(1),
            }
            rt.configure_budgets(Budgets(tenant=ps.Budget(usd=5)))
            await held.resume()
            assert await held.result() == 3
            with pytest.raises(ps.DefinitionError, match="had no budget"):
                rt.configure_budgets(Budgets(workflows={"other": ps.Budget(usd=1)}))
            rt.configure_budgets(Budgets(tenants={"other": ps.Budget(usd=7)}))
            limits = {state.name: state.limit for state in rt.budgets()}
            assert limits == {"chain": ps.usd(10), "acme": ps.usd("2.2"), "other": ps.usd(7)}

    VirtualClock().run(main())


@ps.step(estimate=ps.Cost(usd=0.1))
async def cheap(value: int, ctx: ps.Context) -> str:
    ctx.spend.usd(0.8, "cheap")
    return "cheap"


@ps.step(estimate=ps.Cost(usd=0.1))
async def better(value: int, ctx: ps.Context) -> str:
    return "better"


def never(_: str) -> bool:
    return False


@ps.workflow
def ladder(flow: ps.Flow, value: ps.Node[int]) -> ps.Node[str]:
    return flow.cascade((cheap, better), value, accept=never)


def test_a_day_s_budget_pauses_until_the_next_day() -> None:
    async def main() -> None:
        budget = ps.Budget(usd=1, per="day", when_spent="pause")
        async with ps.Runtime(budgets=Budgets(workflows={"chain": budget})) as rt:
            run = await rt.start(chain, 1)
            with pytest.raises(ps.RunHeld):
                await run.result()
            before = rt.budgets()[0]
            assert (before.per, before.spent) == ("day", ps.usd("0.5"))
            await asyncio.sleep(86_400)
            assert await run.result() == 3

    VirtualClock().run(main())


def test_a_cascade_stays_on_its_cheapest_tier_when_the_budget_is_nearly_spent() -> None:
    async def main() -> None:
        async with ps.Runtime() as rt:
            for usd, result, degraded in ((1, "cheap", True), (2, "better", False)):
                budget = ps.Budget(usd=usd, when_spent="degrade")
                run = await rt.start(ladder, 1, budget=budget)
                assert await run.result() == result
                assert run.degraded is degraded
            run = await rt.start(ladder, 1, budget=ps.Budget(usd=1))
            assert await run.result() == "better", "it is not to degrade"

    VirtualClock().run(main())


def test_the_threshold_of_a_step_holds_whatever_the_budget() -> None:
    def score(_: str) -> float:
        return 0.1

    @ps.step(accept=ps.Threshold(score, at=0.5), on_reject="fail")
    async def judged(value: int, ctx: ps.Context) -> str:
        ctx.spend.usd(0.9, "judged")
        return "poor"

    async def main() -> None:
        async with ps.Runtime() as rt:
            with pytest.raises(ps.RunFailed):
                await rt.run(judged, 1, budget=ps.Budget(usd=1, when_spent="degrade"))

    VirtualClock().run(main())


def test_a_step_hears_that_it_is_to_save_and_its_run_is_degraded_then() -> None:
    @ps.step
    async def saving(value: int, ctx: ps.Context) -> list[bool]:
        before = ctx.degraded
        ctx.spend.usd(0.9, "saving")
        return [before, ctx.degraded]

    async def main() -> None:
        async with ps.Runtime() as rt:
            run = await rt.start(saving, 1, budget=ps.Budget(usd=1, when_spent="degrade"))
            assert await run.result() == [False, True]
            assert run.degraded

    VirtualClock().run(main())
    assert ps.testing.context(recorder=ps.testing.Recorder(degraded=True)).degraded


def test_the_fallback_of_a_step_that_is_not_paid_for_is_told_why() -> None:
    told: list[BaseException | None] = []

    @ps.step
    async def free(value: int, ctx: ps.Context) -> int:
        told.append(ctx.failure)
        return value

    @ps.step(estimate=ps.Cost(usd=5), fallback=free)
    async def costly(value: int) -> int:
        raise AssertionError

    async def main() -> None:
        async with ps.Runtime() as rt:
            assert await rt.run(costly, 7, budget=ps.Budget(usd=1, when_spent="pause")) == 7

    VirtualClock().run(main())
    assert "budget" in str(told[0])


def test_bad_budgets_are_refused_with_a_remedy() -> None:
    with pytest.raises(ps.DefinitionError, match="give a Budget"):
        Budgets(tenants={"acme": 5})  # type: ignore[dict-item]
    with pytest.raises(ps.DefinitionError, match="leave per= out"):

        @ps.workflow(budget=ps.Budget(usd=1, per="day"))
        def _limited(flow: ps.Flow, value: ps.Node[int]) -> ps.Node[int]:
            return flow.call(dear, value)

    with pytest.raises(ps.DefinitionError, match=r"pass ps\.Budgets"):
        ps.Runtime(budgets=ps.Budget(usd=1))  # type: ignore[arg-type]


def test_what_was_spent_is_known_when_the_store_is_opened_again(tmp_path: Path) -> None:
    """A restart in the middle of a hold: nothing is lost, nothing is counted twice."""
    store, copied = tmp_path / "store.db", tmp_path / "copy.db"
    budgets = Budgets(
        workflows={chain: ps.Budget(usd="2.2", when_spent="pause")},
        tenants={"acme": ps.Budget(usd=9, per="day")},
    )

    def spent(rt: ps.Runtime) -> dict[str, tuple[Usd, Usd]]:
        return {state.name: (state.spent, state.reserved) for state in rt.budgets()}

    async def first() -> None:
        async with ps.Runtime(store, workflows=[chain], budgets=budgets) as rt:
            await rt.run(chain, 1, run_id="a", tenant="acme")
            # What was spent so far is in the store's figures; what follows is in its records only.
            core: Any = rt._core
            core.keep_figures()
            await rt.run(chain, 1, run_id="b", tenant="acme", budget=ps.Budget(usd=5))
            run = await rt.start(chain, 1, run_id="c", tenant="acme")
            with pytest.raises(ps.RunHeld):
                await run.result()
            await rt._on_disk()
            # As a process leaves it that is killed now.
            for ending in ("", "-wal"):
                shutil.copy(f"{store}{ending}", f"{copied}{ending}")

    async def opened(path: Path, most: str | None = None) -> dict[str, tuple[Usd, Usd]]:
        async with ps.Runtime(path, workflows=[chain], budgets=budgets) as rt:
            before = spent(rt)
            if most is not None:
                budget = ps.Budget(usd=most, when_spent="pause")
                rt.configure_budgets(Budgets(workflows={chain: budget}))
                run = rt.get("c")
                assert run.status == "paused"
                assert await run.resume()
                assert await run.result() == 3
            return before

    VirtualClock().run(first())
    for path in (store, copied):
        two = (ps.usd(2), ps.usd(0))
        for _ in range(3):
            assert VirtualClock().run(opened(path)) == {"chain": two, "acme": two}
        VirtualClock().run(opened(path, most="9"))
        seen = VirtualClock().run(opened(path))
        assert seen["chain"] == (ps.usd(3), ps.usd(0))


def test_an_own_budget_and_why_it_was_spent_outlive_the_process(tmp_path: Path) -> None:
    store = tmp_path / "store.db"

    async def first() -> None:
        async with ps.Runtime(store, workflows=[chain]) as rt:
            with pytest.raises(ps.BudgetExceeded):
                await rt.run(chain, 1, run_id="failed", budget=ps.Budget(usd=1))
            budget = ps.Budget(usd=1, when_spent="pause")
            run = await rt.start(chain, 1, run_id="paused", budget=budget)
            with pytest.raises(ps.RunHeld):
                await run.result()

    async def second() -> None:
        async with ps.Runtime(store, workflows=[chain]) as rt:
            with pytest.raises(ps.BudgetExceeded, match=r"\$0\.50 of the run's budget of \$1\.00"):
                await rt.get("failed").result()
            run = rt.get("paused")
            state = run.budget
            assert state is not None
            assert (state.limit, state.spent) == (ps.usd(1), ps.usd("0.5"))
            assert await run.configure_budget(ps.Budget(usd=3, when_spent="pause"))
            assert await run.resume()
            assert await run.result() == 3
            # Somebody has decided that it is worth another try: it has its money again.
            failed = rt.get("failed")
            assert await failed.retry()
            assert await failed.result() == 3

    VirtualClock().run(first())
    VirtualClock().run(second())
