"""Iteration."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import pytest

import penstock as ps
from loops import virtual
from patterns.catalogue import pattern
from patterns.steps import bill, pack
from patterns.tracing import taking, trace


@dataclass(frozen=True)
class Claim:
    place: Literal["write", "check", "pay", "paid", "dropped"]
    notes: tuple[str, ...] = ()


@ps.step
async def write(claim: Claim) -> Claim:
    return replace(claim, place="check", notes=(*claim.notes, "written"))


@ps.step
async def check(claim: Claim) -> Claim:
    if not claim.notes:
        return replace(claim, place="dropped")
    again = "checked" not in claim.notes
    return replace(claim, place="write" if again else "pay", notes=(*claim.notes, "checked"))


@ps.step
async def pay(claim: Claim) -> Claim:
    return replace(claim, place="paid")


def place_of(claim: Claim) -> str:
    return claim.place


@ps.workflow
def move(flow: ps.Flow, claim: ps.Node[Claim]) -> ps.Node[Claim]:
    case = flow.switch(claim, key=place_of)
    return flow.merge(
        flow.call(write, case["write"]),
        flow.call(check, case["check"]),
        flow.call(pay, case.default),
    )


def is_over(claim: Claim) -> bool:
    return claim.place in ("paid", "dropped")


@ps.workflow
def arbitrary_cycles(flow: ps.Flow, claim: ps.Node[Claim]) -> ps.Node[Claim]:
    return flow.loop(move, claim, until=is_over, max_iterations=20)


@pattern(
    10,
    "Arbitrary cycles",
    "composed",
    construct="`loop` over a `switch`",
    how="Each iteration makes one move, and the value says where to go next: a cycle may be "
    "entered and left at any place.",
)
@virtual
async def test_arbitrary_cycles() -> None:
    async with ps.Runtime() as rt:
        twice = ("written", "checked", "written", "checked")
        for claim, end in (
            (Claim("write"), Claim("paid", twice)),
            (Claim("check", ("written",)), Claim("paid", twice)),
            (Claim("check"), Claim("dropped")),
            (Claim("pay"), Claim("paid")),
        ):
            assert await rt.run(arbitrary_cycles, claim) == end


def is_packed(order: str) -> bool:
    return order.count("packed") >= 2


@ps.workflow
def structured_loop(flow: ps.Flow, order: ps.Node[str]) -> ps.Node[str]:
    return flow.call(bill, flow.loop(pack, order, until=is_packed, max_iterations=3))


@ps.workflow
def while_loop(flow: ps.Flow, order: ps.Node[str]) -> ps.Node[str]:
    done = flow.switch(order, key=is_packed)
    looped = flow.loop(pack, done[False], until=is_packed, max_iterations=3)
    return flow.call(bill, flow.merge(done[True], looped))


@pattern(
    21,
    "Structured loop",
    "direct",
    construct="`loop`; a `switch` before it for none at all",
    how="The body has one way in and one way out, and is repeated until a function of its result "
    "says so; the number of iterations has a bound.",
)
@virtual
async def test_structured_loop() -> None:
    async with ps.Runtime() as rt:
        with taking({pack: 2}):
            run = await rt.start(structured_loop, "A")
            assert await run.result() == "A packed packed billed"
        assert (await trace(run)).spans == {
            "pack[0]": (0, 2),
            "pack[1]": (2, 4),
            "bill": (4, 4),
        }
        twice = "A packed packed"
        assert await rt.run(structured_loop, twice) == "A packed packed packed billed"
        assert await rt.run(while_loop, "A") == "A packed packed billed"
        assert await rt.run(while_loop, twice) == "A packed packed billed"


def is_small(boxes: int) -> bool:
    return boxes <= 1


def half(boxes: int) -> int:
    return boxes // 2


def other_half(boxes: int) -> int:
    return boxes - boxes // 2


@ps.step
async def stack(boxes: int) -> str:
    return str(boxes)


@ps.workflow
def recursion(flow: ps.Flow, boxes: ps.Node[int]) -> ps.Node[str]:
    small = flow.switch(boxes, key=is_small)
    left: ps.Node[str] = flow.recurse(flow.apply(half, small[False]), max_depth=5, name="left")
    right: ps.Node[str] = flow.recurse(
        flow.apply(other_half, small[False]), max_depth=5, name="right"
    )
    both = flow.apply(lambda one, other: f"({one} {other})", left, right)
    return flow.merge(flow.call(stack, small[True]), both)


@pattern(
    22,
    "Recursion",
    "direct",
    construct="`recurse`",
    how="The workflow runs inside itself, more than once at a time if need be, down to a bound.",
)
@virtual
async def test_recursion() -> None:
    async with ps.Runtime() as rt:
        with taking({stack: 1}):
            run = await rt.start(recursion, 5)
            assert await run.result() == "((1 1) (1 (1 1)))"
        seen = await trace(run)
        assert "right/right/left/stack" in seen.spans
        assert (len(seen.spans), seen.ended) == (5, 1)
        with pytest.raises(ps.RunFailed, match="left"):
            await rt.run(recursion, 100)
