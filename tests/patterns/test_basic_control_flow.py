"""Basic control flow."""

from __future__ import annotations

from typing import Literal

import pytest

import penstock as ps
from loops import virtual
from patterns.catalogue import pattern
from patterns.steps import bill, notify, pack, pick, send, ship
from patterns.tracing import taking, trace


@ps.workflow
def sequence(flow: ps.Flow, order: ps.Node[str]) -> ps.Node[str]:
    return flow.call(pack, flow.call(pick, order))


@pattern(
    1,
    "Sequence",
    "direct",
    construct="`call`",
    how="A step is called with the node of the one before it, and starts when that has ended.",
)
@virtual
async def test_sequence() -> None:
    async with ps.Runtime() as rt:
        with taking({pick: 2, pack: 1}):
            run = await rt.start(sequence, "A")
            assert await run.result() == "A picked packed"
        assert (await trace(run)).spans == {"pick": (0, 2), "pack": (2, 3)}


@ps.workflow
def parallel_split(flow: ps.Flow, order: ps.Node[str]) -> ps.Node[str]:
    picked = flow.call(pick, order)
    flow.call(bill, picked)
    return flow.call(pack, picked)


@pattern(
    2,
    "Parallel split",
    "direct",
    construct="`call`, several times with one node",
    how="Whatever is called with the same node starts at once and goes its own way.",
)
@virtual
async def test_parallel_split() -> None:
    async with ps.Runtime() as rt:
        with taking({pick: 1, pack: 2, bill: 3}):
            run = await rt.start(parallel_split, "A")
            assert await run.result() == "A picked packed"
            await rt.join()
        assert (await trace(run)).spans == {"pick": (0, 1), "bill": (1, 4), "pack": (1, 3)}


@ps.workflow
def synchronization(flow: ps.Flow, order: ps.Node[str]) -> ps.Node[str]:
    return flow.call(send, flow.call(pack, order), flow.call(bill, order))


@pattern(
    3,
    "Synchronization",
    "direct",
    construct="`call` with several nodes",
    how="The step starts once, when the last of its inputs is there.",
)
@virtual
async def test_synchronization() -> None:
    async with ps.Runtime() as rt:
        for slow, fast in ((pack, bill), (bill, pack)):
            with taking({slow: 5, fast: 1}):
                run = await rt.start(synchronization, "A")
                assert await run.result() == "A packed + A billed"
            assert (await trace(run)).spans["send"] == (5, 5)


def carrier(order: str) -> Literal["post", "truck"]:
    return "truck" if "heavy" in order else "post"


@ps.workflow
def exclusive_choice(flow: ps.Flow, order: ps.Node[str]) -> ps.Node[str]:
    case = flow.switch(order, key=carrier)
    by_post = flow.call(pack, case["post"])
    by_truck = flow.call(ship, case["truck"])
    return flow.merge(by_post, by_truck)


@pattern(
    4,
    "Exclusive choice",
    "direct",
    construct="`switch`, or `match` by type",
    how="Exactly one case is taken, by the value; the others are skipped. "
    "A case that nobody handles is an error when the workflow is defined.",
)
@virtual
async def test_exclusive_choice() -> None:
    async with ps.Runtime() as rt:
        for order, taken in (("heavy A", {"ship"}), ("light A", {"pack"})):
            run = await rt.start(exclusive_choice, order)
            await run.result()
            assert set((await trace(run)).spans) == taken

    with pytest.raises(ps.DefinitionError, match="truck"):

        @ps.workflow
        def unhandled(flow: ps.Flow, order: ps.Node[str]) -> ps.Node[str]:
            return flow.call(pack, flow.switch(order, key=carrier)["post"])


@ps.workflow
def simple_merge(flow: ps.Flow, order: ps.Node[str]) -> ps.Node[str]:
    case = flow.switch(order, key=carrier)
    gone = flow.merge(flow.call(pack, case["post"]), flow.call(ship, case["truck"]))
    return flow.call(notify, gone)


@pattern(
    5,
    "Simple merge",
    "direct",
    construct="`merge`",
    how="What follows runs once, after the one branch that was taken, and waits for no other. "
    "That there is only one is proved when the workflow is defined.",
)
@virtual
async def test_simple_merge() -> None:
    async with ps.Runtime() as rt:
        with taking({pack: 1, ship: 9}):
            run = await rt.start(simple_merge, "light A")
            assert await run.result() == "light A packed notified"
        assert (await trace(run)).spans == {"pack": (0, 1), "notify": (1, 1)}
        assert await rt.run(simple_merge, "heavy A") == "heavy A shipped notified"

    with pytest.raises(ps.DefinitionError, match="merge"):

        @ps.workflow
        def two_at_once(flow: ps.Flow, order: ps.Node[str]) -> ps.Node[str]:
            return flow.merge(flow.call(pack, order), flow.call(ship, order))
