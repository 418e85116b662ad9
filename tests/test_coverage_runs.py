"""What runs show beside the straight way: exceptions, loops and moves, counted by the engine."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import pytest

import penstock as ps
from loops import virtual
from penstock._coverage import MeasureName
from penstock.testing import Hang, faults

RETRY = ps.RetryPolicy(max_attempts=3, initial_interval=1.0)
SPARE = ps.Signal("spare", int)


@ps.step(retry=RETRY, timeout=5.0)
async def fetch(x: int) -> int:
    return x


@ps.step
async def cheap(x: int) -> int:
    return x


@ps.step
async def dear(x: int) -> int:
    return x * 100


@ps.step
async def unpay(x: int, paid: int | None) -> None:
    pass


@ps.step(compensate=unpay)
async def pay(x: int) -> int:
    return x


@ps.step
async def ship(x: int) -> int:
    if x < 0:
        raise ValueError
    return x


def small(x: int) -> bool:
    return x < 10


async def seen(
    workflow: ps.Workflow[[Any], Any], measure: MeasureName, inputs: Iterable[Any]
) -> set[str]:
    """The parts that runs with these inputs show; some of the runs may fail."""
    async with ps.Runtime() as rt:
        for x in inputs:
            await rt.start(workflow, x)
            await rt.join()
        (coverage,) = rt.coverage(workflow).workflows
    found = coverage.measures[measure]
    return {part for part, count in {**found.declared, **found.others}.items() if count}


@pytest.mark.parametrize(
    ("script", "parts"),
    [
        ([], set[str]()),
        ([OSError], {"retry"}),
        ([Hang()], {"retry", "timeout"}),
        ([OSError, OSError, OSError], {"retry", "exhausted"}),
    ],
)
@virtual
async def test_retries_timeouts_and_giving_up(script: list[Any], parts: set[str]) -> None:
    with faults({fetch: script}):
        shown = await seen(fetch.as_workflow(), "exceptions", [1])
    assert shown == {f"fetch/fetch: {part}" for part in parts}
    assert [*await declared(fetch.as_workflow())] == [
        "fetch/fetch: retry",
        "fetch/fetch: exhausted",
        "fetch/fetch: timeout",
    ]


async def declared(workflow: ps.Workflow[..., Any]) -> Iterable[str]:
    async with ps.Runtime(workflows=[workflow]) as rt:
        return rt.coverage().workflows[0].measures["exceptions"].declared


@virtual
async def test_a_rejected_tier_and_a_failed_one_are_both_rejections() -> None:
    @ps.workflow
    def w(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        return flow.cascade((ship, dear), x, accept=small)

    assert await seen(w, "exceptions", [1]) == set()
    for x in (50, -1):
        (part,) = await seen(w, "exceptions", [x])
        assert part.endswith(": reject")
        assert part in await declared(w)


@virtual
async def test_a_failure_that_is_skipped() -> None:
    @ps.workflow
    def w(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int | None]:
        return flow.optional(flow.call(ship, x, on_failure="skip"))

    assert await seen(w, "exceptions", [1]) == set()
    (part,) = await seen(w, "exceptions", [-1])
    assert part in await declared(w)


@virtual
async def test_what_was_paid_is_undone() -> None:
    @ps.workflow
    def w(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        return flow.call(ship, flow.call(pay, x))

    assert await seen(w, "exceptions", [1]) == set()
    assert await seen(w, "exceptions", [-1]) == {"w/pay: compensate"}
    assert {"w/pay: compensate"} <= {*await declared(w)}
    assert await seen(w, "nodes", [-1]) == {"w/pay", "w/ship"}
    assert "run: compensating -> compensated" in await seen(w, "moves", [-1])


@virtual
async def test_a_signal_that_does_not_come() -> None:
    @ps.workflow
    def w(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int | None]:
        return flow.optional(flow.signal(SPARE, timeout=60.0, on_timeout="skip", after=x))

    assert await seen(w, "exceptions", [1]) == {"w/spare: timeout", "w/spare: skip"}
    assert await seen(w, "moves", [1]) >= {"node: awaiting -> skipped"}


@pytest.mark.parametrize(
    ("items", "parts"),
    [
        ([[]], {"no item"}),
        ([[1]], {"one"}),
        ([[1, 2]], {"several"}),
        ([[], [1], [1, 2, 3]], {"no item", "one", "several"}),
    ],
)
@virtual
async def test_a_map_by_its_number_of_items(items: list[list[int]], parts: set[str]) -> None:
    @ps.workflow
    def w(flow: ps.Flow, x: ps.Node[list[int]]) -> ps.Node[list[int]]:
        return flow.map(cheap, x)

    assert await seen(w, "loops", items) == {f"w/cheap: {part}" for part in parts}


@pytest.mark.parametrize(
    ("x", "parts"),
    [
        (100, {"one"}),
        (9, {"several"}),
        (8, {"several", "the bound"}),
        (0, {"several", "the bound"}),
    ],
)
@virtual
async def test_a_loop_by_its_number_of_iterations(x: int, parts: set[str]) -> None:
    @ps.step
    async def more(x: int) -> int:
        return x + 1

    def enough(x: int) -> bool:
        return x > 10

    @ps.workflow
    def w(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        return flow.loop(more, x, until=enough, max_iterations=3)

    assert await seen(w, "loops", [x]) == {f"w/more: {part}" for part in parts}


@virtual
async def test_the_nodes_of_a_body_are_counted_over_all_its_frames() -> None:
    @ps.workflow
    def each(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        case = flow.switch(x, key=small)
        return flow.merge(flow.call(cheap, case[True]), flow.call(dear, case[False]))

    @ps.workflow
    def w(flow: ps.Flow, x: ps.Node[list[int]]) -> ps.Node[list[int]]:
        return flow.map(each, x)

    async with ps.Runtime() as rt:
        assert await rt.run(w, [1, 2, 50]) == [1, 2, 5000]
        (coverage,) = rt.coverage().workflows
    assert coverage.measures["outcomes"].declared == {
        "w/each[]/small = True": 2,
        "w/each[]/small = False": 1,
    }
    assert coverage.measures["nodes"].declared["w/each[]/cheap"] == 2
    assert rt.coverage().percent("edges") == 100.0


@virtual
async def test_a_cancelled_step_is_seen_though_nothing_declares_it() -> None:
    with faults({fetch: [Hang()]}):
        async with ps.Runtime() as rt:
            run = await rt.start(fetch, 1)
            await asyncio.sleep(1)
            await run.cancel()
    (coverage,) = rt.coverage(fetch).workflows
    assert coverage.measures["exceptions"].others == {"fetch/fetch: cancel": 1}
    assert coverage.measures["nodes"].seen == 0
    assert coverage.runs == 1
