"""Termination."""

from __future__ import annotations

import asyncio

import penstock as ps
from loops import virtual
from patterns.catalogue import pattern
from patterns.steps import bill, notify, pack, ship
from patterns.tracing import taking, trace


@ps.workflow
def implicit_termination(flow: ps.Flow, order: ps.Node[str]) -> ps.Node[str]:
    flow.call(notify, flow.call(bill, order))
    return flow.call(pack, order)


@pattern(
    11,
    "Implicit termination",
    "direct",
    construct="nothing: it is the rule",
    how="A run has succeeded when nothing is left to do, which may be long after its result is "
    "there; no node needs to be the end.",
)
@virtual
async def test_implicit_termination() -> None:
    async with ps.Runtime() as rt:
        with taking({pack: 1, bill: 5, notify: 4}):
            run = await rt.start(implicit_termination, "A")
            await asyncio.sleep(8)
            assert run.status == "running"
            assert await run.result() == "A packed"
        seen = await trace(run)
        assert seen.spans == {"pack": (0, 1), "bill": (0, 5), "notify": (5, 9)}
        assert seen.ended == 9


@ps.workflow
def explicit_termination(flow: ps.Flow, order: ps.Node[str]) -> ps.Node[str]:
    with flow.scope("others") as others:
        flow.call(notify, flow.call(bill, order))
    shipped = flow.call(ship, flow.call(pack, order))
    return flow.cancel(others, when=shipped)


@pattern(
    43,
    "Explicit termination",
    "composed",
    construct="`cancel(when=)` the end, of a `scope` around all other branches",
    how="When the end is reached the other branches are withdrawn, what they have done is undone "
    "if it says how, and the run has succeeded.",
)
@virtual
async def test_explicit_termination() -> None:
    async with ps.Runtime() as rt:
        with taking({pack: 1, ship: 1, bill: 5, notify: 4}):
            run = await rt.start(explicit_termination, "A")
            assert await run.result() == "A packed shipped"
        seen = await trace(run)
        assert seen.spans == {"pack": (0, 1), "ship": (1, 2)}
        assert seen.withdrawn == {"bill": 2}
        assert (run.status, seen.ended) == ("succeeded", 2)
