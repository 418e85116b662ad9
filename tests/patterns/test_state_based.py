"""State-based patterns."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import penstock as ps
from loops import virtual
from patterns.catalogue import pattern
from patterns.steps import bill, declare, insure, notify, pack, pick, ship
from patterns.tracing import taking, trace


@dataclass(frozen=True)
class Paid:
    by: str


@dataclass(frozen=True)
class Withdrawn:
    why: str


paid = ps.Signal("paid", Paid)
called_off = ps.Signal("called_off", Withdrawn)


def payer(answer: Paid) -> str:
    return answer.by


def reason(answer: Withdrawn) -> str:
    return answer.why


@ps.workflow
def deferred_choice(flow: ps.Flow, order: ps.Node[str]) -> ps.Node[str]:
    after_a_day = flow.sleep(order, 24 * 3600)
    first = flow.race(flow.signal(paid), flow.signal(called_off), after_a_day)
    case = flow.match(first)
    shipped = flow.call(ship, flow.apply(payer, case[Paid]))
    told = flow.call(notify, flow.apply(reason, case[Withdrawn]))
    billed = flow.call(bill, case[str])
    return flow.merge(shipped, told, billed)


@pattern(
    16,
    "Deferred choice",
    "direct",
    construct="`race` of `signal` and `sleep`, then `match`",
    how="All the events are waited for at once; the first decides, and the others are withdrawn.",
)
@virtual
async def test_deferred_choice() -> None:
    async with ps.Runtime() as rt:
        run = await rt.start(deferred_choice, "A")
        await asyncio.sleep(5)
        assert set(await run.awaiting()) == {"deferred_choice/paid", "deferred_choice/called_off"}
        with taking({ship: 10}):
            await run.signal(paid, Paid("Ann"))
            await asyncio.sleep(1)
            assert await run.awaiting() == []
            assert not await run.signal(called_off, Withdrawn("late"), keep=False)
            assert await run.result() == "Ann shipped"
        assert set((await trace(run)).spans) == {"ship"}

        run = await rt.start(deferred_choice, "A")
        await run.signal(called_off, Withdrawn("no money"))
        assert await run.result() == "no money notified"
        run = await rt.start(deferred_choice, "A")
        assert await run.result() == "A billed"
        assert (await trace(run)).ended == 24 * 3600


def number_of(order: str) -> str:
    return order.split(maxsplit=1)[0]


@ps.workflow
def interleaved_parallel_routing(flow: ps.Flow, order: ps.Node[str]) -> ps.Node[list[str]]:
    picked = flow.call(pick, order, concurrency_key=number_of)
    packed = flow.call(pack, picked, concurrency_key=number_of)
    insured = flow.call(insure, order, concurrency_key=number_of)
    return flow.collect(packed, insured)


@pattern(
    17,
    "Interleaved parallel routing",
    "direct",
    construct="`call(concurrency_key=)`, with edges for the order",
    how="The steps that hold one key run one at a time; an edge keeps two of them in order, and "
    "others may come in between. The key is the order's, so that orders do not wait for each "
    "other.",
)
@virtual
async def test_interleaved_parallel_routing() -> None:
    async with ps.Runtime() as rt:
        with taking({pick: 1, pack: 1, insure: 1}):
            run = await rt.start(interleaved_parallel_routing, "A")
            other = await rt.start(interleaved_parallel_routing, "B")
            assert await run.result() == ["A picked packed", "A insured"]
            await other.result()
        seen = await trace(run)
        assert seen.spans == {"pick": (0, 1), "insure": (1, 2), "pack": (2, 3)}
        assert (await trace(other)).ended == 3


change = ps.Signal("change", str)


@ps.workflow
def milestone(flow: ps.Flow, order: ps.Node[str]) -> ps.Node[str]:
    picked = flow.call(pick, order)
    with flow.scope("open") as open_to_changes:
        flow.call(insure, flow.signal(change, after=picked))
    packed = flow.call(pack, picked)
    flow.cancel(open_to_changes, when=packed)
    return flow.call(ship, packed)


@pattern(
    18,
    "Milestone",
    "composed",
    construct="`signal(after=)` in a `scope`, and `cancel` of it",
    how="The signal is awaited only between two nodes: from the one it comes `after` until the one "
    "that withdraws its scope. A signal that is not kept does nothing before or after.",
)
@virtual
async def test_milestone() -> None:
    async with ps.Runtime() as rt:
        for at, enabled in ((5, False), (15, True), (25, False)):
            with taking({pick: 10, pack: 10, ship: 10}):
                run = await rt.start(milestone, "A")
                await asyncio.sleep(at)
                assert await run.signal(change, "gift", keep=False) is enabled
                assert await run.result() == "A picked packed shipped"
            seen = await trace(run)
            assert ("insure" in seen.spans) is enabled
            assert seen.ended == 30


@ps.workflow
def critical_section(flow: ps.Flow, order: ps.Node[str]) -> ps.Node[list[str]]:
    with flow.scope("goods", concurrency_key=order):
        packed = flow.call(pack, flow.call(pick, order))
    with flow.scope("papers", concurrency_key=order):
        declared = flow.call(declare, flow.call(insure, order))
    return flow.collect(packed, declared, flow.call(bill, order))


@pattern(
    39,
    "Critical section",
    "direct",
    construct="`scope(concurrency_key=)`",
    how="Of several parts of a workflow that hold one key only one is under way at a time, from "
    "its first step to its last; what is in no such scope runs beside them.",
)
@virtual
async def test_critical_section() -> None:
    async with ps.Runtime() as rt:
        with taking({pick: 1, pack: 1, insure: 1, declare: 1, bill: 3}):
            run = await rt.start(critical_section, "A")
            other = await rt.start(critical_section, "B")
            await run.result()
            await other.result()
        assert (await trace(run)).spans == {
            "pick": (0, 1),
            "pack": (1, 2),
            "insure": (2, 3),
            "declare": (3, 4),
            "bill": (0, 3),
        }
        assert (await trace(other)).ended == 4


goods = ps.Signal("goods", str)
papers = ps.Signal("papers", str)


@ps.workflow
def interleaved_routing(flow: ps.Flow) -> ps.Node[list[str]]:
    packed = flow.call(pack, flow.signal(goods), concurrency_key=number_of)
    declared = flow.call(declare, flow.signal(papers), concurrency_key=number_of)
    return flow.collect(packed, declared)


@pattern(
    40,
    "Interleaved routing",
    "direct",
    construct="`call(concurrency_key=)`",
    how="The steps that hold one key run one at a time, in the order in which they become ready.",
)
@virtual
async def test_interleaved_routing() -> None:
    async with ps.Runtime() as rt:
        for first, second, order in (
            (goods, papers, ["pack", "declare"]),
            (papers, goods, ["declare", "pack"]),
        ):
            with taking({pack: 5, declare: 5}):
                run = await rt.start(interleaved_routing)
                await run.signal(first, "A")
                await asyncio.sleep(1)
                await run.signal(second, "A")
                assert await run.result() == ["A packed", "A declared"]
            spans = (await trace(run)).spans
            assert list(spans) == order
            assert list(spans.values()) == [(0, 5), (5, 10)]
