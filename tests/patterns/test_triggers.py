"""Triggers."""

from __future__ import annotations

import asyncio

import penstock as ps
from loops import virtual
from patterns.catalogue import pattern
from patterns.steps import pick, send
from patterns.tracing import taking

address = ps.Signal("address", str)


@ps.workflow
def transient_trigger(flow: ps.Flow, order: ps.Node[str]) -> ps.Node[str]:
    picked = flow.call(pick, order)
    return flow.call(send, picked, flow.signal(address, after=picked))


@pattern(
    23,
    "Transient trigger",
    "direct",
    construct="`signal`, sent by `Run.signal(keep=False)`",
    how="A signal that nobody waits for at that moment is lost, and the sender is told so.",
)
@virtual
async def test_transient_trigger() -> None:
    async with ps.Runtime() as rt:
        with taking({pick: 10}):
            run = await rt.start(transient_trigger, "A")
            await asyncio.sleep(5)
            assert not await run.signal(address, "too early", keep=False)
            await asyncio.sleep(10)
            assert await run.awaiting() == ["transient_trigger/address"]
            assert await run.signal(address, "in time", keep=False)
            assert await run.result() == "A picked + in time"


@ps.workflow
def persistent_trigger(flow: ps.Flow, order: ps.Node[str]) -> ps.Node[str]:
    picked = flow.call(pick, order)
    return flow.call(send, picked, flow.signal(address, after=picked))


@pattern(
    24,
    "Persistent trigger",
    "direct",
    construct="`signal`, sent by `Run.signal`",
    how="A signal that comes early is kept until a node waits for it, and is used once.",
)
@virtual
async def test_persistent_trigger() -> None:
    async with ps.Runtime() as rt:
        with taking({pick: 10}):
            run = await rt.start(persistent_trigger, "A")
            assert await run.signal(address, "early")
            await asyncio.sleep(5)
            assert await run.signal(address, "second")
            assert await run.awaiting() == []
            assert await run.result() == "A picked + early"
