"""Multiple instances."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass

import pytest

import penstock as ps
from loops import virtual
from patterns.catalogue import pattern
from patterns.steps import ask_by_air, compare, notify, pack, ship
from patterns.tracing import taking, trace


@ps.workflow
def delivery(flow: ps.Flow, order: ps.Node[str]) -> ps.Node[str]:
    return flow.call(ship, flow.call(pack, order))


@ps.workflow
def dispatched(flow: ps.Flow, order: ps.Node[str]) -> ps.Node[str]:
    return flow.spawn(delivery, order)


@ps.workflow
def not_synchronized(flow: ps.Flow, orders: ps.Node[list[str]]) -> ps.Node[list[str]]:
    return flow.map(dispatched, orders)


@pattern(
    12,
    "Multiple instances without synchronization",
    "direct",
    construct="`spawn`, in a `map` for several",
    how="Each instance is a run of its own, which nobody waits for and which outlives this one.",
)
@virtual
async def test_multiple_instances_without_synchronization() -> None:
    async with ps.Runtime() as rt:
        with taking({pack: 5}):
            run = await rt.start(not_synchronized, ["A", "B"])
            children = [rt.get(run_id) for run_id in await run.result()]
            assert (await trace(run)).ended == 0
            assert [child.status for child in children] == ["running", "running"]
            results = [await child.result() for child in children]
        assert results == ["A packed shipped", "B packed shipped"]
        assert (await trace(children[0])).ended == 5


@ps.workflow
def known_when_drawn(flow: ps.Flow, order: ps.Node[str]) -> ps.Node[str]:
    offers = [flow.call(ask_by_air, order, name=f"offer-{number}") for number in (1, 2, 3)]
    return flow.call(compare, flow.collect(*offers))


@pattern(
    13,
    "Multiple instances with a priori design-time knowledge",
    "direct",
    construct="`call` in a Python loop, then `collect`",
    how="The function that draws the workflow draws the step so many times; each has its own name.",
)
@virtual
async def test_multiple_instances_known_at_design_time() -> None:
    async with ps.Runtime() as rt:
        with taking({ask_by_air: [1, 5, 2]}):
            run = await rt.start(known_when_drawn, "A")
            assert await run.result() == "A by air | A by air | A by air"
        assert (await trace(run)).spans == {
            "offer-1": (0, 1),
            "offer-3": (0, 2),
            "offer-2": (0, 5),
            "compare": (5, 5),
        }


def parcels_of(order: str) -> list[str]:
    return order.split()


@ps.workflow
def known_when_run(flow: ps.Flow, order: ps.Node[str]) -> ps.Node[str]:
    return flow.call(compare, flow.map(delivery, flow.apply(parcels_of, order)))


@pattern(
    14,
    "Multiple instances with a priori run-time knowledge",
    "direct",
    construct="`map`",
    how="There is one instance for each item of a list, and what follows starts when all have "
    "ended; their number is known when the list is there.",
)
@pytest.mark.parametrize("count", [0, 1, 3])
@virtual
async def test_multiple_instances_known_at_run_time(count: int) -> None:
    parcels = ["A", "B", "C"][:count]
    async with ps.Runtime() as rt:
        with taking({pack: 2}):
            run = await rt.start(known_when_run, " ".join(parcels))
            assert await run.result() == " | ".join(f"{one} packed shipped" for one in parcels)
        seen = await trace(run)
        assert len(seen.spans) == 2 * count + 1
        assert seen.ended == (2 if count else 0)


further = ps.Signal("further", list[str])


def are_any(orders: list[str]) -> bool:
    return bool(orders)


def joined(orders: list[str], others: list[str]) -> list[str]:
    return orders + others


@ps.workflow
def deliveries(flow: ps.Flow, orders: ps.Node[list[str]]) -> ps.Node[list[str]]:
    delivered = flow.map(delivery, orders)
    more = flow.switch(flow.signal(further), key=are_any)
    others: ps.Node[list[str]] = flow.recurse(more[True], max_depth=100)
    return flow.apply(joined, delivered, flow.merge(others, more[False]))


@ps.workflow
def not_known_before(flow: ps.Flow, orders: ps.Node[list[str]]) -> ps.Node[str]:
    return flow.call(compare, flow.call(deliveries, orders))


@pattern(
    15,
    "Multiple instances without a priori run-time knowledge",
    "composed",
    construct="`recurse` on each `signal`",
    how="Beside the instances the workflow waits for a signal that brings more of them, or says "
    "that there are no more; what follows starts when all have ended.",
)
@virtual
async def test_multiple_instances_not_known_before() -> None:
    async with ps.Runtime() as rt:
        with taking({pack: 10}):
            run = await rt.start(not_known_before, ["A"])
            for more in (["B", "C"], ["D"], []):
                await asyncio.sleep(2)
                await run.signal(further, more)
            result = await run.result()
            assert result == " | ".join(f"{order} packed shipped" for order in "ABCD")
        seen = await trace(run)
        packed = [span for path, span in seen.spans.items() if path.endswith("/pack")]
        assert packed == [(0, 10), (2, 12), (2, 12), (4, 14)]
        assert seen.spans["compare"] == (14, 14)


@ps.workflow
def static_partial_join(flow: ps.Flow, orders: ps.Node[list[str]]) -> ps.Node[str]:
    return flow.call(compare, flow.map(delivery, orders, need=2))


@pattern(
    34,
    "Static partial join for multiple instances",
    "direct",
    construct="`map(need=)`",
    how="What follows starts once, when so many instances have succeeded; the others run to their "
    "end and are ignored.",
)
@virtual
async def test_static_partial_join() -> None:
    async with ps.Runtime() as rt:
        with taking({pack: [3, 9, 1]}):
            run = await rt.start(static_partial_join, ["A", "B", "C"])
            assert await run.result() == "A packed shipped | C packed shipped"
            await rt.join()
        seen = await trace(run)
        assert seen.withdrawn == {}
        assert seen.spans["compare"] == (3, 3)
        assert seen.spans["delivery[1]/ship"] == (9, 9)


@ps.workflow
def cancelling_partial_join(flow: ps.Flow, orders: ps.Node[list[str]]) -> ps.Node[str]:
    return flow.call(compare, flow.map(delivery, orders, need=2, cancel_rest=True))


@pattern(
    35,
    "Cancelling partial join for multiple instances",
    "direct",
    construct="`map(need=, cancel_rest=True)`",
    how="What follows starts when so many instances have succeeded, and the others are cancelled.",
)
@virtual
async def test_cancelling_partial_join() -> None:
    async with ps.Runtime() as rt:
        with taking({pack: [3, 9, 1]}):
            run = await rt.start(cancelling_partial_join, ["A", "B", "C"])
            assert await run.result() == "A packed shipped | C packed shipped"
        seen = await trace(run)
        assert seen.withdrawn["delivery[1]/pack"] == 3
        assert seen.spans["compare"] == (3, 3)
        assert seen.ended == 3


@dataclass(frozen=True)
class Tally:
    enough: int
    offers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Report:
    offer: str | None = None
    enough: int | None = None


report = ps.Signal("report", Report)


def counted(tally: Tally, new: Report) -> Tally:
    offers = tally.offers if new.offer is None else (*tally.offers, new.offer)
    return Tally(tally.enough if new.enough is None else new.enough, offers)


async def report_to(join: ps.Run[str], offer: str) -> None:
    with suppress(ps.RunNotFound):  # it has had enough
        await join.signal(report, Report(offer=offer))


@ps.workflow
def one_more(flow: ps.Flow, tally: ps.Node[Tally]) -> ps.Node[Tally]:
    return flow.apply(counted, tally, flow.signal(report))


def is_complete(tally: Tally) -> bool:
    return len(tally.offers) >= tally.enough


@ps.workflow
def dynamic_partial_join(flow: ps.Flow, start: ps.Node[Tally]) -> ps.Node[str]:
    tally = flow.loop(one_more, start, until=is_complete, max_iterations=1000)
    return flow.call(notify, flow.apply(lambda it: " | ".join(it.offers), tally))


@pattern(
    36,
    "Dynamic partial join for multiple instances",
    "composed",
    construct="`loop` over a `signal`; the instances are runs of their own",
    how="Instances are started at any time and report by signal; what is enough is asked after "
    "each report, and may be changed by a signal too.",
)
@virtual
async def test_dynamic_partial_join() -> None:
    async with ps.Runtime() as rt:
        join = await rt.start(dynamic_partial_join, Tally(enough=4))

        @ps.step
        async def bid(carrier: str, seconds: float) -> None:
            await asyncio.sleep(seconds)
            await report_to(join, carrier)

        await rt.start(bid, "A", 1)
        await rt.start(bid, "B", 9)
        await asyncio.sleep(2)
        await rt.start(bid, "C", 2)
        await join.signal(report, Report(enough=2))
        assert await join.result() == "A | C notified"
        assert (await trace(join)).ended == 4
        await rt.join()
        assert rt.stats().workflows["bid"].succeeded == 3
