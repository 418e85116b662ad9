"""Retry budgets of queues that both arms wait in: no arm can use up the tokens of the other."""

from __future__ import annotations

import asyncio

import pytest

import penstock as ps
from loops import virtual

MODE = ps.Setting("retry_parts.mode", "fails once", owner="ml")
CALLS: dict[str, list[int]] = {"fails": [], "fails once": []}
MANY = ps.RetryPolicy(
    max_attempts=100, initial_interval=0.01, backoff_coefficient=1.0, jitter="none"
)


@pytest.fixture(autouse=True)
def _nothing_called() -> None:
    for calls in CALLS.values():
        calls.clear()


def ask(budget: ps.RetryBudget) -> ps.Workflow[[int], str]:
    @ps.step(queue=ps.Queue("api", retry_budget=budget), retry=MANY)
    async def asked(number: int, ctx: ps.Context) -> str:
        mode = ctx.get(MODE)
        CALLS[mode].append(number)
        if mode == "fails":
            raise ValueError(number)
        if ctx.attempt == 1:
            await asyncio.sleep(1.0)
            raise ValueError(number)
        return mode

    @ps.workflow
    def flow(flow: ps.Flow, number: ps.Node[int]) -> ps.Node[str]:
        return flow.call(asked, number)

    return flow


async def failed(rt: ps.Runtime, flow: ps.Workflow[[int], str], number: int) -> bool:
    try:
        await rt.run(flow, number, run_id=f"run {number}")
    except ps.RunFailed:
        return True
    return False


@virtual
async def test_a_candidate_that_always_fails_leaves_the_baseline_its_retries() -> None:
    """It retried until nobody had a token left, and runs of the baseline failed with it."""
    budget = ps.RetryBudget(ratio=0.0, floor=0.0001, stored=30, window=60, on_denial="fail")
    flow = ask(budget)
    async with ps.Runtime(workflows=[flow]) as rt:
        release = await rt.release(flow, overlay={MODE: "fails"}, share=0.5, horizon=600.0)
        ended = await asyncio.gather(*[failed(rt, flow, number) for number in range(14)])
        canary = ended.count(True)
        assert 2 <= canary <= 12
        assert len(CALLS["fails"]) == canary + 15, "its half of the tokens"
        assert len(CALLS["fails once"]) == 2 * (14 - canary)
        await release.rollback()
        # What is left is the baseline's.
        left = 15 - (14 - canary)
        again = [await failed(rt, flow, number) for number in range(100, 100 + left + 1)]
        assert again == [False] * left + [True]


@virtual
async def test_parked_retries_of_a_candidate_hold_up_none_of_the_baselines() -> None:
    flow = ask(ps.RetryBudget(ratio=0.0, floor=1.0, stored=2, window=60))
    async with ps.Runtime(workflows=[flow]) as rt:
        await rt.release(flow, overlay={MODE: "fails"}, share=0.5, horizon=6_000.0)
        runs = [await rt.start(flow, number, run_id=f"run {number}") for number in range(60)]
        await asyncio.sleep(120.0)
        done = [number for number, run in enumerate(runs) if run.status == "succeeded"]
        assert done == sorted(set(CALLS["fails once"]))
        assert len(done) > 10
        for run in runs:
            await run.cancel()
