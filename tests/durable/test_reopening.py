"""A store that is opened again: what was recorded is not run again, what waited goes on."""

from __future__ import annotations

import asyncio
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

import penstock as ps
from penstock._stored import StoreView
from penstock.testing import VirtualClock, faults

DAY = 86_400.0


@dataclass(frozen=True)
class Order:
    """An order of so many things."""

    id: str
    count: int


class Receipt(BaseModel):
    """What the customer gets."""

    order: Order
    paid: float


approval = ps.Signal("approval", str)
calls: list[str] = []


@pytest.fixture(autouse=True)
def _no_calls() -> None:
    calls.clear()


@ps.step(effects="idempotent")
async def reserve(order: Order) -> Order:
    calls.append("reserve")
    return order


@ps.step(
    effects="idempotent",
    retry=ps.RetryPolicy(max_attempts=5, initial_interval=DAY, max_interval=DAY, jitter="none"),
)
async def charge(order: Order, ctx: ps.Context) -> Receipt:
    calls.append(f"charge {ctx.attempt} {ctx.idempotency_key}")
    return Receipt(order=order, paid=1.5 * order.count)


@ps.step(effects="idempotent")
async def ship(receipt: Receipt, by: str) -> str:
    calls.append("ship")
    return f"{receipt.order.id} by {by}"


@ps.workflow(version="1")
def shop(flow: ps.Flow, order: ps.Node[Order]) -> ps.Node[str]:
    reserved = flow.call(reserve, order)
    receipt = flow.call(charge, reserved)
    rested = flow.sleep(receipt, 2 * DAY)
    by = flow.signal(approval, after=rested)
    return flow.call(ship, rested, by)


def runtime(path: Path, **options: Any) -> ps.Runtime:
    return ps.Runtime(path / "shop.db", workflows=[shop], **options)


def test_a_run_goes_on_where_its_process_stopped(tmp_path: Path) -> None:
    async def until_the_first_failure() -> float:
        with faults({charge: [TimeoutError("down")]}):
            async with runtime(tmp_path, grace=0.0) as rt:
                run = await rt.start(shop, Order("o1", 2), run_id="o1", tags={"kind": "order"})
                await asyncio.sleep(DAY / 4)
                assert run.status == "running"
        return asyncio.get_running_loop().time()

    async def until_the_signal() -> None:
        async with runtime(tmp_path) as rt:
            run = rt.get("o1")
            await asyncio.sleep(DAY / 4)
            assert [call.split()[0] for call in calls] == ["reserve"], "the retry is not early"
            await asyncio.sleep(DAY / 2)
            assert calls[1:] == ["charge 2 o1:shop/charge"]
            await run.signal(approval, "bike")  # early: it is kept
            await asyncio.sleep(DAY)

    async def until_the_end() -> str:
        async with runtime(tmp_path) as rt:
            assert await rt.get("o1").awaiting() == []
            before = asyncio.get_running_loop().time()
            result: str = await rt.get("o1").result()
            slept = asyncio.get_running_loop().time() - before
            assert slept == pytest.approx(DAY, abs=1.0), "the sleep is not started anew"
            return result

    async def story() -> str:
        await until_the_first_failure()
        await until_the_signal()
        return await until_the_end()

    assert VirtualClock().run(story()) == "o1 by bike"
    assert calls == ["reserve", "charge 2 o1:shop/charge", "ship"]


async def test_what_is_over_can_be_asked_for_again(tmp_path: Path) -> None:
    @ps.step
    async def fail(text: str) -> str:
        raise ValueError(text)

    broken = fail.as_workflow()
    async with ps.Runtime(tmp_path / "a.db", workflows=[reserve, broken]) as rt:
        await rt.run(reserve, Order("o", 1), run_id="good")
        run = await rt.start(broken, "no", run_id="bad")
        with pytest.raises(ps.RunFailed):
            await run.result()
    async with ps.Runtime(tmp_path / "a.db", workflows=[reserve, broken]) as rt:
        assert await rt.get("good").result() == Order("o", 1)
        assert rt.get("good").status == "succeeded"
        assert [event.kind for event in await rt.get("good").history()] == [
            "accepted",
            "done",
            "ended",
        ]
        with pytest.raises(ps.RunFailed, match="after 1 attempt: ValueError: no") as caught:
            await rt.get("bad").result()
        assert isinstance(caught.value.__cause__, ValueError)
        assert "raise ValueError(text)" in caught.value.__cause__.__notes__[0]
        assert (await rt.run(reserve, Order("o", 1), run_id="good")) == Order("o", 1)
        with pytest.raises(ps.DuplicateRun):
            await rt.run(reserve, Order("o", 2), run_id="good")
        with pytest.raises(ps.RunNotFound):
            rt.get("other")
    assert calls == ["reserve"]


async def test_a_second_runtime_is_refused(tmp_path: Path) -> None:
    async with runtime(tmp_path):
        with pytest.raises(ps.StoreError, match="in use by"):
            async with runtime(tmp_path):
                pass
    async with runtime(tmp_path):
        pass


async def test_a_run_without_its_workflow_is_held_until_that_is_back(tmp_path: Path) -> None:
    async with runtime(tmp_path, grace=0.0) as rt:
        run = await rt.start(shop, Order("o1", 2), run_id="o1")
        async for event in run.events():
            if isinstance(event, ps.Event) and event.node == "shop/charge":
                break
    async with ps.Runtime(tmp_path / "shop.db") as rt:
        held = rt.get("o1")
        assert held.status == "held"
        with pytest.raises(ps.RunHeld, match="'shop' version '1' is not registered"):
            await held.result()
    async with runtime(tmp_path, grace=0.0) as rt:
        assert rt.get("o1").status == "running"


async def test_the_same_version_with_another_graph_is_a_conflict(tmp_path: Path) -> None:
    def graph(*, twice: bool) -> ps.Workflow[[Order], Order]:
        @ps.workflow(name="w", version="1")
        def w(flow: ps.Flow, order: ps.Node[Order]) -> ps.Node[Order]:
            first = flow.call(reserve, order)
            return flow.call(reserve, first) if twice else first

        return w

    async with ps.Runtime(tmp_path / "a.db", workflows=[graph(twice=False)]):
        pass
    with pytest.raises(ps.VersionConflict, match="w/reserve-2 is new"):
        async with ps.Runtime(tmp_path / "a.db", workflows=[graph(twice=True)]):
            pass
    async with ps.Runtime(tmp_path / "a.db", workflows=[graph(twice=False)]):
        pass


async def test_a_value_that_can_not_be_kept_fails_the_step_that_returned_it(tmp_path: Path) -> None:
    class Plain:
        pass

    tries: list[int] = []

    @ps.step(retry=ps.RetryPolicy(max_attempts=3, initial_interval=0.001))
    async def make(x: int) -> Plain:
        tries.append(x)
        return Plain()

    @ps.step
    async def large(x: int) -> str:
        return "x" * 9_000_000

    async with ps.Runtime(tmp_path / "a.db") as rt:
        with pytest.raises(ps.RunFailed, match="can't be kept in a durable store") as caught:
            await rt.run(make, 1)
        assert caught.value.node == "make/make"
        with pytest.raises(ps.RunFailed, match="over the limit of 8,388,608"):
            await rt.run(large, 1)
        assert tries == [1], "trying again would not help"


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
async def test_every_mode_keeps_start_and_end(tmp_path: Path, durability: Any) -> None:
    async with ps.Runtime(tmp_path / "a.db", durability=durability) as rt:
        for number in range(20):
            await rt.start(reserve, Order(f"o{number}", number), run_id=f"o{number}")
        await rt.join()
    calls.clear()
    async with ps.Runtime(tmp_path / "a.db", workflows=[reserve]) as rt:
        for number in range(20):
            assert await rt.get(f"o{number}").result() == Order(f"o{number}", number)
    assert calls == []


def test_results_that_nobody_waits_for_are_on_disk_after_50_ms(tmp_path: Path) -> None:
    @ps.workflow(version="1", durability="async")
    def naps(flow: ps.Flow, order: ps.Node[Order]) -> ps.Node[Order]:
        return flow.sleep(flow.call(reserve, order), 60.0)

    def results() -> int:
        with closing(StoreView(tmp_path / "a.db")) as store:
            return sum(record.kind == "done" for record in store.records("a"))

    async def story() -> None:
        async with ps.Runtime(tmp_path / "a.db", workflows=[naps]) as rt:
            await rt.start(naps, Order("a", 1), run_id="a")
            await asyncio.sleep(0.04)
            assert results() == 0
            await asyncio.sleep(0.02)
            assert results() == 1

    VirtualClock().run(story())


def test_exit_is_refused_where_something_must_be_kept() -> None:
    with pytest.raises(ps.DefinitionError, match="can't run with durability='exit'"):

        @ps.workflow(durability="exit")
        def naps(flow: ps.Flow, order: ps.Node[Order]) -> ps.Node[Order]:
            return flow.sleep(order, 1.0)
