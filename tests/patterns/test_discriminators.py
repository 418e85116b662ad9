"""Discriminators and partial joins."""

from __future__ import annotations

import penstock as ps
from loops import virtual
from patterns.catalogue import pattern
from patterns.steps import ask_by_air, ask_by_rail, ask_by_sea, compare, ship
from patterns.tracing import taking, trace


@ps.workflow
def first_offer(flow: ps.Flow, order: ps.Node[str]) -> ps.Node[str]:
    by_air, by_sea = flow.call(ask_by_air, order), flow.call(ask_by_sea, order)
    return flow.call(ship, flow.race(by_air, by_sea, cancel_rest=False))


def shipped_twice(order: str) -> bool:
    return order.count("shipped") == 2


@ps.workflow
def structured_discriminator(flow: ps.Flow, order: ps.Node[str]) -> ps.Node[str]:
    return flow.loop(first_offer, order, until=shipped_twice, max_iterations=5)


@pattern(
    9,
    "Structured discriminator",
    "direct",
    construct="`race(cancel_rest=False)`",
    how="What follows starts at the first success; the others run to their end and are ignored, "
    "and in a loop the next iteration starts when they all have ended.",
)
@virtual
async def test_structured_discriminator() -> None:
    async with ps.Runtime() as rt:
        with taking({ask_by_air: 3, ask_by_sea: [1, 5], ship: 1}):
            run = await rt.start(structured_discriminator, "A")
            assert await run.result() == "A by sea shipped by air shipped"
        seen = await trace(run)
        assert seen.withdrawn == {}
        assert seen.spans == {
            "first_offer[0]/ask_by_air": (0, 3),
            "first_offer[0]/ask_by_sea": (0, 1),
            "first_offer[0]/ship": (1, 2),
            "first_offer[1]/ask_by_air": (3, 6),
            "first_offer[1]/ask_by_sea": (3, 8),
            "first_offer[1]/ship": (6, 7),
        }


@ps.workflow
def first_offer_in_turn(flow: ps.Flow, order: ps.Node[str]) -> ps.Node[str]:
    with flow.scope("asking", concurrency_key="asking"):
        by_air, by_sea = flow.call(ask_by_air, order), flow.call(ask_by_sea, order)
        first = flow.race(by_air, by_sea, cancel_rest=False)
    return flow.call(ship, first)


@ps.workflow
def blocking_discriminator(flow: ps.Flow, orders: ps.Node[list[str]]) -> ps.Node[list[str]]:
    return flow.map(first_offer_in_turn, orders)


@ps.workflow
def not_blocking(flow: ps.Flow, orders: ps.Node[list[str]]) -> ps.Node[list[str]]:
    return flow.map(first_offer, orders)


@pattern(
    28,
    "Blocking discriminator",
    "composed",
    construct="`race(cancel_rest=False)` in a `scope(concurrency_key=)`",
    how="The first success lets its order go on, and holds the next order back until the slower "
    "branches have ended too, for the scope keeps its key until then.",
)
@virtual
async def test_blocking_discriminator() -> None:
    async with ps.Runtime() as rt:
        with taking({ask_by_air: 3, ask_by_sea: 1, ship: 1}):
            run = await rt.start(blocking_discriminator, ["A", "B"])
            assert await run.result() == ["A by sea shipped", "B by sea shipped"]
            at_once = await rt.start(not_blocking, ["A", "B"])
            await at_once.result()
            await rt.join()
        spans = (await trace(run)).spans
        assert spans["first_offer_in_turn[0]/ship"] == (1, 2)
        assert spans["first_offer_in_turn[0]/ask_by_air"] == (0, 3)
        assert spans["first_offer_in_turn[1]/ask_by_sea"] == (3, 4)
        assert spans["first_offer_in_turn[1]/ship"] == (4, 5)
        assert (await trace(at_once)).spans["first_offer[1]/ship"] == (1, 2)


@ps.workflow
def cancelling_discriminator(flow: ps.Flow, order: ps.Node[str]) -> ps.Node[str]:
    by_air, by_sea = flow.call(ask_by_air, order), flow.call(ask_by_sea, order)
    return flow.call(ship, flow.race(by_air, by_sea))


@pattern(
    29,
    "Cancelling discriminator",
    "direct",
    construct="`race`",
    how="What follows starts at the first success, and the others are cancelled and awaited.",
)
@virtual
async def test_cancelling_discriminator() -> None:
    async with ps.Runtime() as rt:
        with taking({ask_by_air: 9, ask_by_sea: 1, ship: 1}):
            run = await rt.start(cancelling_discriminator, "A")
            assert await run.result() == "A by sea shipped"
        seen = await trace(run)
        assert seen.spans == {"ask_by_sea": (0, 1), "ship": (1, 2)}
        assert seen.withdrawn == {"ask_by_air": 1}
        assert seen.ended == 2


@ps.workflow
def structured_partial_join(flow: ps.Flow, order: ps.Node[str]) -> ps.Node[str]:
    offers = [flow.call(ask, order) for ask in (ask_by_air, ask_by_sea, ask_by_rail)]
    return flow.call(compare, flow.collect(*offers, need=2))


@pattern(
    30,
    "Structured partial join",
    "direct",
    construct="`collect(need=)`",
    how="What follows starts once, when so many branches have succeeded; the others run to their "
    "end and are ignored.",
)
@virtual
async def test_structured_partial_join() -> None:
    async with ps.Runtime() as rt:
        with taking({ask_by_air: 2, ask_by_sea: 9, ask_by_rail: 1}):
            run = await rt.start(structured_partial_join, "A")
            assert await run.result() == "A by air | A by rail"
            await rt.join()
        seen = await trace(run)
        assert seen.spans == {
            "ask_by_rail": (0, 1),
            "ask_by_air": (0, 2),
            "compare": (2, 2),
            "ask_by_sea": (0, 9),
        }
        assert seen.withdrawn == {}


@ps.workflow
def two_offers_in_turn(flow: ps.Flow, order: ps.Node[str]) -> ps.Node[str]:
    with flow.scope("asking", concurrency_key="asking"):
        offers = [flow.call(ask, order) for ask in (ask_by_air, ask_by_sea, ask_by_rail)]
        two = flow.collect(*offers, need=2)
    return flow.call(compare, two)


@ps.workflow
def blocking_partial_join(flow: ps.Flow, orders: ps.Node[list[str]]) -> ps.Node[list[str]]:
    return flow.map(two_offers_in_turn, orders)


@pattern(
    31,
    "Blocking partial join",
    "composed",
    construct="`collect(need=)` in a `scope(concurrency_key=)`",
    how="So many successes let their order go on, and hold the next order back until the other "
    "branches have ended too.",
)
@virtual
async def test_blocking_partial_join() -> None:
    async with ps.Runtime() as rt:
        with taking({ask_by_air: 2, ask_by_sea: 9, ask_by_rail: 1}):
            run = await rt.start(blocking_partial_join, ["A", "B"])
            assert await run.result() == ["A by air | A by rail", "B by air | B by rail"]
            await rt.join()
        seen = await trace(run)
        assert seen.withdrawn == {}
        assert seen.spans["two_offers_in_turn[0]/compare"] == (2, 2)
        assert seen.spans["two_offers_in_turn[1]/ask_by_rail"] == (9, 10)
        assert seen.spans["two_offers_in_turn[1]/compare"] == (11, 11)


@ps.workflow
def cancelling_partial_join(flow: ps.Flow, order: ps.Node[str]) -> ps.Node[str]:
    offers = [flow.call(ask, order) for ask in (ask_by_air, ask_by_sea, ask_by_rail)]
    return flow.call(compare, flow.collect(*offers, need=2, cancel_rest=True))


@pattern(
    32,
    "Cancelling partial join",
    "direct",
    construct="`collect(need=, cancel_rest=True)`",
    how="What follows starts when so many branches have succeeded, and the others are cancelled.",
)
@virtual
async def test_cancelling_partial_join() -> None:
    async with ps.Runtime() as rt:
        with taking({ask_by_air: 2, ask_by_sea: 9, ask_by_rail: 1}):
            run = await rt.start(cancelling_partial_join, "A")
            assert await run.result() == "A by air | A by rail"
        seen = await trace(run)
        assert seen.spans == {"ask_by_rail": (0, 1), "ask_by_air": (0, 2), "compare": (2, 2)}
        assert seen.withdrawn == {"ask_by_sea": 2}
        assert seen.ended == 2
