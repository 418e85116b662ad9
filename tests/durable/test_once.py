"""Effects that may happen once: an attempt that was cut off leaves the run standing still."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

import penstock as ps
from loops import Task
from penstock.testing import VirtualClock

calls: list[int] = []


@ps.step(effects="once", timeout=1.0)
async def pay(amount: int) -> str:
    calls.append(amount)
    await asyncio.sleep(3600)
    return "paid"


@ps.step(effects="pure")
async def thank(receipt: str) -> str:
    return f"{receipt}, thank you"


@ps.workflow
def checkout(flow: ps.Flow, amount: ps.Node[int]) -> ps.Node[str]:
    return flow.call(thank, flow.call(pay, amount))


@pytest.fixture(autouse=True)
def _no_calls() -> None:
    calls.clear()


def test_a_timeout_leaves_the_outcome_unknown_until_somebody_says(task: Task) -> None:
    async def story() -> str:
        async with ps.Runtime(task=task) as rt:
            run = await rt.start(checkout, 5)
            with pytest.raises(ps.OutcomeUnknown, match=r"Run\.resolve") as caught:
                await run.result()
            assert caught.value.node == "checkout/pay"
            assert run.status == "paused"
            assert await run.unknown() == ["checkout/pay"]
            assert not await run.resume(), "nobody guesses"
            with pytest.raises(ps.ContractError):
                await run.resolve("checkout/pay", result=5)
            assert not await run.resolve("checkout/thank", retry=True)
            assert await run.resolve("checkout/pay", result="paid by hand")
            return await run.result()

    assert VirtualClock().run(story()) == "paid by hand, thank you"
    assert calls == [5]


def test_it_may_be_tried_again_or_fail(task: Task) -> None:
    async def story() -> None:
        async with ps.Runtime(task=task) as rt:
            run = await rt.start(checkout, 5)
            for _ in range(2):
                with pytest.raises(ps.OutcomeUnknown):
                    await run.result()
                assert await run.resolve("checkout/pay", retry=True)
            with pytest.raises(ps.OutcomeUnknown):
                await run.result()
            assert await run.resolve("checkout/pay", fail=ValueError("the card is stolen"))
            with pytest.raises(ps.RunFailed, match="the card is stolen"):
                await run.result()
            with pytest.raises(TypeError, match="exactly one"):
                await run.resolve("checkout/pay")

    VirtualClock().run(story())
    assert calls == [5, 5, 5]


def test_a_runtime_that_closes_leaves_it_unknown_in_the_store(tmp_path: Path) -> None:
    async def story() -> str:
        async with ps.Runtime(tmp_path / "a.db", grace=0.0) as rt:
            await rt.start(checkout, 5, run_id="c")
            await asyncio.sleep(0.5)
        async with ps.Runtime(tmp_path / "a.db", workflows=[checkout]) as rt:
            run = rt.get("c")
            assert (run.status, await run.unknown()) == ("paused", ["checkout/pay"])
            assert await run.resolve("checkout/pay", result="paid")
            result: str = await run.result()
            return result

    assert VirtualClock().run(story()) == "paid, thank you"
    assert calls == [5]
