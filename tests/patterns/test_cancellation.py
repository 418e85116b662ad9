"""Cancellation and force completion."""

from __future__ import annotations

import asyncio

import pytest

import penstock as ps
from loops import virtual
from patterns.catalogue import pattern
from patterns.steps import ask_by_air, bill, compare, declare, insure, notify, pack, pick, ship
from patterns.tracing import taking, trace

stop = ps.Signal("stop", str)


@ps.workflow
def cancel_task(flow: ps.Flow, order: ps.Node[str]) -> ps.Node[list[str]]:
    insured = flow.race(flow.call(insure, order), flow.signal(stop))
    return flow.collect(flow.call(pack, order), insured)


@pattern(
    19,
    "Cancel task",
    "direct",
    construct="`race` of the step with a `signal`",
    how="The signal withdraws the step, and all else goes on; without a signal the step withdraws "
    "the wait.",
)
@virtual
async def test_cancel_task() -> None:
    async with ps.Runtime() as rt:
        with taking({insure: 10, pack: 5}):
            run = await rt.start(cancel_task, "A")
            await asyncio.sleep(2)
            await run.signal(stop, "not insured")
            assert await run.result() == ["A packed", "not insured"]
            seen = await trace(run)
            assert seen.withdrawn == {"insure": 2}
            assert seen.spans == {"pack": (0, 5)}

            run = await rt.start(cancel_task, "A")
            assert await run.result() == ["A packed", "A insured"]
            assert (await trace(run)).ended == 10


@ps.step
async def unpack(order: str, packed: str | None) -> None:
    pass


@ps.workflow
def cancel_case(flow: ps.Flow, order: ps.Node[str]) -> ps.Node[str]:
    packed = flow.call(pack, order, compensate=unpack)
    flow.call(bill, order)
    return flow.call(ship, packed)


@pattern(
    20,
    "Cancel case",
    "direct",
    construct="`Run.cancel`",
    how="Nothing more starts, what runs is cancelled and awaited, and the effects are undone.",
)
@virtual
async def test_cancel_case() -> None:
    async with ps.Runtime() as rt:
        with taking({pack: 1, bill: 9, ship: 9, unpack: 2}):
            run = await rt.start(cancel_case, "A")
            await asyncio.sleep(3)
            assert await run.cancel()
            with pytest.raises(ps.RunCancelled):
                await run.result()
        seen = await trace(run)
        assert run.status == "compensated"
        assert seen.withdrawn == {"bill": 3, "ship": 3}
        assert seen.spans == {"pack": (0, 1), "pack/compensate": (3, 5)}


def is_sold_out(order: str) -> bool:
    return order.startswith("rare")


@ps.workflow
def cancel_region(flow: ps.Flow, order: ps.Node[str]) -> ps.Node[list[str]]:
    with flow.scope("dispatch") as dispatch:
        packed = flow.call(pack, order, compensate=unpack)
        shipped = flow.call(ship, flow.call(declare, packed))
        insured = flow.call(insure, order)
    sold_out = flow.when(flow.call(pick, order), is_sold_out)
    told = flow.call(notify, flow.cancel(dispatch, when=sold_out))
    return flow.collect(shipped, insured, told, flow.call(bill, order))


@pattern(
    25,
    "Cancel region",
    "direct",
    construct="`scope`, and `cancel`",
    how="Of the nodes drawn in the scope those that run or wait are withdrawn, and the effects of "
    "those that have ended are undone; what lies outside goes on.",
)
@virtual
async def test_cancel_region() -> None:
    async with ps.Runtime() as rt:
        with taking({pack: 1, declare: 9, insure: 2, pick: 3, bill: 6}):
            run = await rt.start(cancel_region, "rare A")
            assert await run.result() == [
                "rare A insured",
                "rare A picked notified",
                "rare A billed",
            ]
            seen = await trace(run)
            assert seen.withdrawn == {"declare": 3}
            assert seen.spans == {
                "pack": (0, 1),
                "insure": (0, 2),
                "pick": (0, 3),
                "notify": (3, 3),
                "pack/compensate": (3, 3),
                "bill": (0, 6),
            }

            run = await rt.start(cancel_region, "common A")
            assert len(await run.result()) == 3
            seen = await trace(run)
            assert seen.spans["ship"] == (10, 10)
            assert "pack/compensate" not in seen.spans


@ps.workflow
def cancel_instances(flow: ps.Flow, orders: ps.Node[list[str]]) -> ps.Node[list[str] | str]:
    offers = flow.map(ask_by_air, orders, concurrency=2)
    return flow.race(offers, flow.signal(stop))


@pattern(
    26,
    "Cancel multiple instance task",
    "direct",
    construct="`race` of a `map` with a `signal`",
    how="All instances that run or wait are withdrawn at once; the results of those that have "
    "ended are dropped.",
)
@virtual
async def test_cancel_multiple_instance_task() -> None:
    async with ps.Runtime() as rt:
        with taking({ask_by_air: [1, 9, 9, 9]}):
            run = await rt.start(cancel_instances, ["A", "B", "C", "D"])
            await asyncio.sleep(5)
            await run.signal(stop, "no offer")
            assert await run.result() == "no offer"
        seen = await trace(run)
        assert seen.spans == {"ask_by_air[0]": (0, 1)}
        assert {path for path in seen.withdrawn if "[" in path} == {
            "ask_by_air[1]",
            "ask_by_air[2]",
        }
        assert seen.ended == 5


complete = ps.Signal("complete", str)


@ps.workflow
def offer(flow: ps.Flow, order: ps.Node[str]) -> ps.Node[str]:
    return flow.race(flow.call(ask_by_air, order), flow.signal(complete))


@ps.workflow
def complete_instances(flow: ps.Flow, orders: ps.Node[list[str]]) -> ps.Node[str]:
    return flow.call(compare, flow.map(offer, orders))


@pattern(
    27,
    "Complete multiple instance task",
    "composed",
    construct="`map` over a `race` with a `signal`; one signal for each of `Run.awaiting`",
    how="The instances that have not ended are withdrawn and give what the signal says instead; "
    "the results of the others are kept, and what follows starts.",
)
@virtual
async def test_complete_multiple_instance_task() -> None:
    async with ps.Runtime() as rt:
        with taking({ask_by_air: [9, 1, 9]}):
            run = await rt.start(complete_instances, ["A", "B", "C"])
            await asyncio.sleep(5)
            for _ in await run.awaiting():
                await run.signal(complete, "no offer")
            assert await run.result() == "no offer | B by air | no offer"
        seen = await trace(run)
        assert seen.spans == {"offer[1]/ask_by_air": (0, 1), "compare": (5, 5)}
        assert seen.withdrawn["offer[0]/ask_by_air"] == 5
