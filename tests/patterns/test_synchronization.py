"""Advanced branching and synchronization."""

from __future__ import annotations

import asyncio

import penstock as ps
from loops import virtual
from patterns.catalogue import pattern
from patterns.steps import bill, compare, declare, insure, notify, pack, send, ship
from patterns.tracing import taking, trace


def is_fragile(order: str) -> bool:
    return "fragile" in order


def is_foreign(order: str) -> bool:
    return "foreign" in order


@ps.workflow
def multi_choice(flow: ps.Flow, order: ps.Node[str]) -> ps.Node[list[str]]:
    insured = flow.call(insure, flow.when(order, is_fragile))
    declared = flow.call(declare, flow.when(order, is_foreign))
    return flow.collect(insured, declared)


@pattern(
    6,
    "Multi-choice",
    "direct",
    construct="`when`",
    how="Each branch has a predicate of its own: none, some or all of them are taken.",
)
@virtual
async def test_multi_choice() -> None:
    async with ps.Runtime() as rt:
        for order, taken in (
            ("plain", set[str]()),
            ("fragile", {"insure"}),
            ("foreign", {"declare"}),
            ("fragile foreign", {"insure", "declare"}),
        ):
            run = await rt.start(multi_choice, order)
            assert len(await run.result()) == len(taken)
            assert set((await trace(run)).spans) == taken


@ps.workflow
def synchronizing_merge(flow: ps.Flow, order: ps.Node[str]) -> ps.Node[str]:
    insured = flow.call(insure, flow.when(order, is_fragile))
    declared = flow.call(declare, flow.when(order, is_foreign))
    return flow.call(compare, flow.collect(insured, declared))


@pattern(
    7,
    "Structured synchronizing merge",
    "direct",
    construct="`when`, then `collect`",
    how="What follows starts once, when all the branches that were taken have ended; it does not "
    "wait for those that were skipped, nor is it skipped with them.",
)
@virtual
async def test_structured_synchronizing_merge() -> None:
    async with ps.Runtime() as rt:
        for order, result, joined in (
            ("foreign fragile", "foreign fragile insured | foreign fragile declared", 7),
            ("fragile", "fragile insured", 2),
            ("foreign", "foreign declared", 7),
            ("plain", "", 0),
        ):
            with taking({insure: 2, declare: 7}):
                run = await rt.start(synchronizing_merge, order)
                assert await run.result() == result
            assert (await trace(run)).spans["compare"] == (joined, joined)


@ps.workflow
def afterwards(flow: ps.Flow, order: ps.Node[str]) -> ps.Node[str]:
    return flow.call(notify, flow.call(bill, order))


@ps.workflow
def multi_merge(flow: ps.Flow, order: ps.Node[str]) -> ps.Node[list[str]]:
    insured = flow.call(insure, flow.when(order, is_fragile))
    declared = flow.call(declare, flow.when(order, is_foreign))
    return flow.collect(*[flow.call(afterwards, branch) for branch in (insured, declared)])


@pattern(
    8,
    "Multi-merge",
    "composed",
    construct="`call` of the rest of the workflow, once for each branch",
    how="What follows the branches is a workflow that each of them calls: it runs once for each "
    "branch that is taken, as soon as that one ends, and nothing is synchronized.",
)
@virtual
async def test_multi_merge() -> None:
    async with ps.Runtime() as rt:
        with taking({insure: 2, declare: 7, bill: 1, notify: 1}):
            run = await rt.start(multi_merge, "foreign fragile")
            await run.result()
        assert (await trace(run)).spans == {
            "insure": (0, 2),
            "afterwards/bill": (2, 3),
            "afterwards/notify": (3, 4),
            "declare": (0, 7),
            "afterwards-2/bill": (7, 8),
            "afterwards-2/notify": (8, 9),
        }
        assert await rt.run(multi_merge, "fragile") == ["fragile insured billed notified"]


packed = ps.Signal("packed", str)
billed = ps.Signal("billed", str)


def are_all(shipments: list[str]) -> bool:
    return len(shipments) == 3


@ps.workflow
def one_of_each(flow: ps.Flow, shipments: ps.Node[list[str]]) -> ps.Node[list[str]]:
    shipment = flow.call(send, flow.signal(packed), flow.signal(billed))
    return flow.apply(lambda so_far, one: [*so_far, one], shipments, shipment)


@ps.workflow
def generalized_and_join(flow: ps.Flow) -> ps.Node[list[str]]:
    none = flow.constant(list[str]())
    return flow.loop(one_of_each, none, until=are_all, max_iterations=3)


@pattern(
    33,
    "Generalized AND-join",
    "composed",
    construct="`loop` over a join of two kinds of `signal`",
    how="Signals of each kind are kept in order, so one branch may be several firings ahead; each "
    "firing takes one of each kind.",
)
@virtual
async def test_generalized_and_join() -> None:
    async with ps.Runtime() as rt:
        run = await rt.start(generalized_and_join)
        for parcel in ("A", "B", "C"):
            await run.signal(packed, parcel)
        for parcel in ("a", "b"):
            await run.signal(billed, parcel)
        await asyncio.sleep(1)
        assert list((await trace(run)).spans) == ["one_of_each[0]/send", "one_of_each[1]/send"]
        await run.signal(billed, "c")
        assert await run.result() == ["A + a", "B + b", "C + c"]


@ps.workflow
def acyclic_merge(flow: ps.Flow, order: ps.Node[str]) -> ps.Node[str]:
    insured = flow.call(insure, flow.when(order, is_fragile))
    declared = flow.call(declare, flow.when(order, is_foreign))
    papers = flow.call(compare, flow.collect(insured, declared), name="papers")
    billed = flow.call(bill, flow.when(declared, is_fragile, name="is_dear"))
    return flow.call(compare, flow.collect(papers, billed), name="all")


@pattern(
    37,
    "Acyclic synchronizing merge",
    "direct",
    construct="`collect`",
    how="Branches need not begin at one choice or end at one join: each edge tells the join by "
    "itself whether it is taken or skipped.",
)
@virtual
async def test_acyclic_synchronizing_merge() -> None:
    async with ps.Runtime() as rt:
        for order, papers, joined in (
            ("foreign fragile", 7, 10),
            ("foreign", 7, 7),
            ("fragile", 2, 2),
            ("plain", 0, 0),
        ):
            with taking({insure: 2, declare: 7, bill: 3}):
                run = await rt.start(acyclic_merge, order)
                await run.result()
            spans = (await trace(run)).spans
            assert (spans["papers"][0], spans["all"][0]) == (papers, joined)
            assert ("bill" in spans) == (order == "foreign fragile")


def needs_papers(order: str) -> bool:
    return is_fragile(order) or is_foreign(order)


def settled(order: str, _papers: list[str]) -> str:
    return order.replace("fragile ", "", 1).replace("foreign ", "", 1)


@ps.workflow
def one_turn(flow: ps.Flow, order: ps.Node[str]) -> ps.Node[str]:
    insured = flow.call(insure, flow.when(order, is_fragile))
    declared = flow.call(declare, flow.when(order, is_foreign))
    return flow.apply(settled, order, flow.collect(insured, declared))


@ps.workflow
def general_merge(flow: ps.Flow, order: ps.Node[str]) -> ps.Node[str]:
    papers = flow.loop(
        one_turn,
        flow.when(order, needs_papers),
        until=lambda left: not needs_papers(left),
        max_iterations=9,
    )
    return flow.call(compare, flow.collect(papers, flow.call(bill, order)))


@pattern(
    38,
    "General synchronizing merge",
    "composed",
    construct="`collect` in a `loop` and after it",
    how="In a cycle the join decides anew in each iteration; after it, it waits as long as the "
    "cycle can still bring a value, and not at all where it was never entered.",
)
@virtual
async def test_general_synchronizing_merge() -> None:
    async with ps.Runtime() as rt:
        with taking({insure: 1, declare: 3, bill: 2}):
            run = await rt.start(general_merge, "fragile fragile foreign A")
            assert await run.result() == "A | fragile fragile foreign A billed"
            assert (await trace(run)).spans == {
                "one_turn[0]/insure": (0, 1),
                "one_turn[0]/declare": (0, 3),
                "one_turn[1]/insure": (3, 4),
                "bill": (0, 2),
                "compare": (4, 4),
            }
            run = await rt.start(general_merge, "A")
            assert await run.result() == "A billed"
            assert (await trace(run)).spans == {"bill": (0, 2), "compare": (2, 2)}


def numbered(number: int, order: str) -> str:
    return f"{order}{number}"


@ps.workflow
def parcel(flow: ps.Flow, number: ps.Node[int], order: ps.Node[str]) -> ps.Node[str]:
    return flow.call(ship, flow.call(pack, flow.apply(numbered, number, order)))


@ps.workflow
def thread_merge(flow: ps.Flow, order: ps.Node[str]) -> ps.Node[str]:
    return flow.call(compare, flow.map(parcel, flow.constant([1, 2, 3]), order))


@pattern(
    41,
    "Thread merge",
    "direct",
    construct="the result of a `map`",
    how="The threads of one branch end in one list: what takes it runs once, after the last.",
)
@virtual
async def test_thread_merge() -> None:
    async with ps.Runtime() as rt:
        with taking({pack: [1, 5, 2], ship: 1}):
            run = await rt.start(thread_merge, "A")
            merged = "A1 packed shipped | A2 packed shipped | A3 packed shipped"
            assert await run.result() == merged
        assert (await trace(run)).spans["compare"] == (6, 6)


@ps.workflow
def thread_split(flow: ps.Flow, order: ps.Node[str]) -> ps.Node[list[str]]:
    return flow.map(parcel, flow.constant([1, 2, 3]), order)


@pattern(
    42,
    "Thread split",
    "direct",
    construct="`map` of a workflow over a constant",
    how="One branch gets so many threads: each goes through the steps of the workflow at its own "
    "pace.",
)
@virtual
async def test_thread_split() -> None:
    async with ps.Runtime() as rt:
        with taking({pack: [1, 5, 2], ship: 1}):
            run = await rt.start(thread_split, "A")
            await run.result()
        assert (await trace(run)).spans == {
            "parcel[0]/pack": (0, 1),
            "parcel[0]/ship": (1, 2),
            "parcel[2]/pack": (0, 2),
            "parcel[2]/ship": (2, 3),
            "parcel[1]/pack": (0, 5),
            "parcel[1]/ship": (5, 6),
        }
