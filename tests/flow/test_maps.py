"""Map: fan-out over items, with limits, tolerance and what goes wrong in an item."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

import penstock as ps
from flow.parts import (
    ONCE,
    Oops,
    add,
    done,
    double,
    failure,
    in_a_thread,
    more,
    nap,
    no_threes,
    now,
    same,
)
from loops import Task, virtual


@ps.workflow
def doubles(flow: ps.Flow, xs: ps.Node[Sequence[int]]) -> ps.Node[list[int]]:
    return flow.map(double, xs)


@ps.workflow
def strict(flow: ps.Flow, xs: ps.Node[list[int]]) -> ps.Node[list[int]]:
    return flow.map(no_threes, xs, name="pages")


@ps.workflow
def two_steps(flow: ps.Flow, x: ps.Node[int], y: ps.Node[int]) -> ps.Node[int]:
    return flow.call(add, flow.call(no_threes, x), y)


@virtual
async def test_results_come_in_the_order_of_the_items(task: Task) -> None:
    @ps.workflow
    def naps(flow: ps.Flow, xs: ps.Node[list[float]]) -> ps.Node[list[float]]:
        return flow.map(nap, xs)

    async with ps.Runtime(task=task) as rt:
        assert await rt.run(naps, [3.0, 1.0, 2.0, 1.0]) == [3.0, 1.0, 2.0, 1.0]
        assert now() == pytest.approx(3)
        assert await rt.run(naps, []) == []
        assert await rt.run(doubles, (1, 2)) == [2, 4]
        assert rt._core.object_count() == 0


@virtual
async def test_what_is_shared_goes_to_every_item(task: Task) -> None:
    @ps.workflow
    def sums(flow: ps.Flow, xs: ps.Node[list[int]], y: ps.Node[int]) -> ps.Node[list[int]]:
        by_step = flow.map(add, xs, flow.call(double, y))
        return flow.map(two_steps, by_step, y)

    async with ps.Runtime(task=task) as rt:
        run = await rt.start(sums, [1, 2], 10)
        assert await run.result() == [220, 230]
        nodes = await done(run)
        assert sorted(nodes) == [
            "sums/add[0]",
            "sums/add[1]",
            "sums/double",
            "sums/two_steps[0]/add",
            "sums/two_steps[0]/no_threes",
            "sums/two_steps[1]/add",
            "sums/two_steps[1]/no_threes",
        ]


@virtual
async def test_what_is_no_list_fails_the_run_at_the_map(task: Task) -> None:
    @ps.workflow
    def careless(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[list[int]]:
        def items(x: int) -> Any:
            return {0: None, 1: "abc", 2: {1: 2}, 3: (it for it in [1, 2]), 4: (1, 2), 5: 7}[x]

        return flow.map(same, flow.apply(items, x))

    async with ps.Runtime(task=task) as rt:
        for x, kind in ((0, "NoneType"), (1, "str"), (2, "dict"), (3, "generator"), (5, "int")):
            error = await failure(rt, careless, x)
            assert error.node == "careless/same"
            assert isinstance(error.__cause__, TypeError)
            assert kind in str(error.__cause__)
        assert await rt.run(careless, 4) == [1, 2]


@virtual
async def test_an_item_of_the_wrong_type_is_refused_where_it_is_handed_over(task: Task) -> None:
    @ps.workflow
    def loose(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[list[int]]:
        def items(x: int) -> list[int]:
            return [1, "two", 3]  # type: ignore[list-item]  # on purpose

        return flow.map(same, flow.apply(items, x))

    async with ps.Runtime(task=task) as rt:
        error = await failure(rt, loose, 1)
        assert isinstance(error.__cause__, ps.ContractError)
        assert error.node == "loose/items"


@virtual
async def test_a_failed_item_fails_the_run_and_its_path_says_which(task: Task) -> None:
    @ps.workflow
    def bodies(flow: ps.Flow, xs: ps.Node[list[int]]) -> ps.Node[list[int]]:
        return flow.map(two_steps, xs, flow.constant(1))

    async with ps.Runtime(task=task) as rt:
        assert await rt.run(strict, [1, 2]) == [10, 20]
        error = await failure(rt, strict, [0, 1, 2, 3, 4])
        assert error.node == "strict/pages[3]"
        assert (error.step, error.attempts) == ("no_threes", 1)
        assert isinstance(error.__cause__, Oops)
        assert "strict/pages[3]" in str(error)
        error = await failure(rt, bodies, [3, 1])
        assert error.node == "bodies/two_steps[0]/no_threes"


@virtual
async def test_a_step_in_a_body_that_breaks_its_contract_fails_there(task: Task) -> None:
    @ps.step
    async def wrong(x: int) -> int:
        return str(x) if x == 1 else x  # type: ignore[return-value]  # on purpose

    @ps.workflow
    def wrongs(flow: ps.Flow, xs: ps.Node[list[int]]) -> ps.Node[list[int]]:
        return flow.map(wrong, xs)

    async with ps.Runtime(task=task) as rt:
        error = await failure(rt, wrongs, [0, 1])
        assert isinstance(error.__cause__, ps.ContractError)
        assert error.__cause__.node == error.node == "wrongs/wrong[1]"


@virtual
async def test_the_first_failed_item_cancels_the_others_and_awaits_them(task: Task) -> None:
    ended: list[int] = []

    @ps.step(retry=ONCE)
    async def work(x: int) -> int:
        if x == 2:
            await asyncio.sleep(1)
            raise Oops
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.5)
            ended.append(x)
        return x

    @ps.workflow
    def all_or_nothing(flow: ps.Flow, xs: ps.Node[list[int]]) -> ps.Node[list[int]]:
        return flow.map(work, xs)

    async with ps.Runtime(task=task) as rt:
        error = await failure(rt, all_or_nothing, [0, 1, 2, 3])
        assert error.node == "all_or_nothing/work[2]"
        assert sorted(ended) == [0, 1, 3]
        assert now() == pytest.approx(1.5)


@virtual
async def test_tolerated_failures_stand_in_the_list(task: Task) -> None:
    twice = ps.RetryPolicy(max_attempts=2, initial_interval=0)

    @ps.step(retry=twice)
    async def picky(x: int) -> int:
        if x % 3 == 0:
            raise Oops(f"no {x}")
        return x

    @ps.workflow
    def tolerant(flow: ps.Flow, xs: ps.Node[list[int]]) -> ps.Node[list[int | ps.Failure]]:
        return flow.map(picky, xs, tolerated_failures=2)

    async with ps.Runtime(task=task) as rt:
        results = await rt.run(tolerant, [1, 3, 2, 6])
        assert [it for it in results if isinstance(it, int)] == [1, 2]
        first, second = results[1], results[3]
        assert isinstance(first, ps.Failure)
        assert isinstance(second, ps.Failure)
        assert (first.node, first.attempts, str(first.error)) == ("tolerant/picky[1]", 2, "no 3")
        assert (second.node, str(second.error)) == ("tolerant/picky[3]", "no 6")
        assert isinstance(first.error, Oops)
        assert rt._core.object_count() == 0
        error = await failure(rt, tolerant, [3, 6, 9, 1])
        assert error.node == "tolerant/picky[2]"
        assert (await rt.run(tolerant, [3]))[0].node == "tolerant/picky[0]"  # type: ignore[union-attr]  # a failure


@virtual
async def test_a_failure_in_a_body_names_the_node_in_it(task: Task) -> None:
    @ps.workflow
    def tolerant(flow: ps.Flow, xs: ps.Node[list[int]]) -> ps.Node[list[int | ps.Failure]]:
        return flow.map(two_steps, xs, flow.constant(1), tolerated_failures=5, name="pages")

    async with ps.Runtime(task=task) as rt:
        results = await rt.run(tolerant, [1, 3])
        assert results[0] == 11
        assert isinstance(results[1], ps.Failure)
        assert results[1].node == "tolerant/pages[1]/no_threes"


@virtual
async def test_a_failed_timeout_is_a_failure_with_a_timeout_error(task: Task) -> None:
    @ps.workflow
    def naps(flow: ps.Flow, xs: ps.Node[list[float]]) -> ps.Node[list[float | ps.Failure]]:
        return flow.map(nap, xs, tolerated_failures=1, timeout=2.0, retry=ONCE)

    async with ps.Runtime(task=task) as rt:
        good, bad = await rt.run(naps, [1.0, 60.0])
        assert good == 1.0
        assert isinstance(bad, ps.Failure)
        assert isinstance(bad.error, TimeoutError)


@virtual
async def test_no_more_items_at_once_than_allowed(task: Task) -> None:
    busy: list[int] = [0, 0]

    @ps.step
    async def work(x: int) -> int:
        busy[0] += 1
        busy[1] = max(busy)
        await asyncio.sleep(1)
        busy[0] -= 1
        return x

    @ps.workflow
    def limited(flow: ps.Flow, xs: ps.Node[list[int]]) -> ps.Node[list[int]]:
        return flow.map(work, xs, concurrency=3)

    async with ps.Runtime(task=task) as rt:
        assert await rt.run(limited, [*range(10)]) == [*range(10)]
        assert busy == [0, 3]
        assert now() == pytest.approx(4)


@virtual
async def test_items_after_a_tolerated_failure_still_start(task: Task) -> None:
    @ps.workflow
    def limited(flow: ps.Flow, xs: ps.Node[list[int]]) -> ps.Node[list[int | ps.Failure]]:
        return flow.map(no_threes, xs, concurrency=1, tolerated_failures=9)

    async with ps.Runtime(task=task) as rt:
        results = await rt.run(limited, [3, 1, 3, 3, 2])
        assert [it if isinstance(it, int) else it.node for it in results] == [
            "limited/no_threes[0]",
            10,
            "limited/no_threes[2]",
            "limited/no_threes[3]",
            20,
        ]


@virtual
async def test_enough_items_are_enough(task: Task) -> None:
    @ps.workflow
    def rest_goes_on(flow: ps.Flow, xs: ps.Node[list[float]]) -> ps.Node[list[float]]:
        return flow.map(nap, xs, need=2)

    @ps.workflow
    def rest_is_cancelled(flow: ps.Flow, xs: ps.Node[list[float]]) -> ps.Node[list[float]]:
        return flow.map(nap, xs, need=2, cancel_rest=True)

    async with ps.Runtime(task=task) as rt:
        assert await rt.run(rest_goes_on, [5.0, 1.0, 3.0]) == [1.0, 3.0]
        assert now() == pytest.approx(5)  # the run ends when all has
        assert await rt.run(rest_is_cancelled, [5.0, 1.0, 3.0]) == [1.0, 3.0]
        assert now() == pytest.approx(8)
        error = await failure(rt, rest_is_cancelled, [5.0])
        assert error.node == "rest_is_cancelled/nap"
        assert "2" in str(error.__cause__)
        assert rt._core.object_count() == 0


@virtual
async def test_failed_items_count_until_too_few_are_left(task: Task) -> None:
    @ps.workflow
    def need(flow: ps.Flow, xs: ps.Node[list[int]]) -> ps.Node[list[int]]:
        return flow.map(no_threes, xs, need=2)

    async with ps.Runtime(task=task) as rt:
        assert sorted(await rt.run(need, [3, 1, 3, 2])) == [10, 20]
        error = await failure(rt, need, [3, 3, 1])
        assert error.node == "need/no_threes[1]"
        assert isinstance(error.__cause__, Oops)


@virtual
async def test_each_item_has_its_own_idempotency_key_and_attempts(task: Task) -> None:
    seen: list[tuple[int, int, str]] = []

    @ps.step(retry=ps.RetryPolicy(max_attempts=2, initial_interval=0))
    async def tell(x: int, ctx: ps.Context) -> int:
        seen.append((x, ctx.attempt, ctx.idempotency_key))
        if x == 1 and ctx.attempt == 1:
            raise Oops
        return x

    @ps.workflow
    def keys(flow: ps.Flow, xs: ps.Node[list[int]]) -> ps.Node[list[int]]:
        return flow.map(tell, xs)

    async with ps.Runtime(task=task) as rt:
        await rt.run(keys, [0, 1, 2], run_id="r")
        assert sorted(seen) == [
            (0, 1, "r:keys/tell[0]"),
            (1, 1, "r:keys/tell[1]"),
            (1, 2, "r:keys/tell[1]"),
            (2, 1, "r:keys/tell[2]"),
        ]


@virtual
async def test_a_map_over_a_plain_step_and_one_in_another(task: Task) -> None:
    @ps.workflow
    def row(flow: ps.Flow, xs: ps.Node[list[int]], y: ps.Node[int]) -> ps.Node[list[int]]:
        return flow.map(add, flow.map(in_a_thread, xs), y)

    @ps.workflow
    def table(flow: ps.Flow, rows: ps.Node[list[list[int]]]) -> ps.Node[list[list[int]]]:
        return flow.map(row, rows, flow.constant(1))

    async with ps.Runtime(task=task) as rt:
        run = await rt.start(table, [[1, 2], [], [3]])
        assert await run.result() == [[102, 103], [], [104]]
        assert set(await done(run)) == {
            "table/row[0]/in_a_thread[0]",
            "table/row[0]/in_a_thread[1]",
            "table/row[0]/add[0]",
            "table/row[0]/add[1]",
            "table/row[2]/in_a_thread[0]",
            "table/row[2]/add[0]",
        }
        assert rt._core.object_count() == 0


@virtual
async def test_a_body_may_give_its_input_or_a_constant(task: Task) -> None:
    @ps.workflow
    def as_it_is(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        return x

    @ps.workflow
    def always(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        flow.call(same, x)
        return flow.constant(7)

    @ps.workflow
    def both(flow: ps.Flow, xs: ps.Node[list[int]]) -> ps.Node[list[list[int]]]:
        return flow.collect(flow.map(as_it_is, xs), flow.map(always, xs))

    async with ps.Runtime(task=task) as rt:
        assert await rt.run(both, [1, 2]) == [[1, 2], [7, 7]]
        assert await rt.run(both, []) == [[], []]


@virtual
async def test_a_map_that_is_skipped_never_counts_its_items(task: Task) -> None:
    @ps.workflow
    def maybe(flow: ps.Flow, xs: ps.Node[list[int]]) -> ps.Node[list[int] | None]:
        some = flow.when(xs, lambda it: len(it) > 1)
        return flow.optional(flow.map(more, some))

    async with ps.Runtime(task=task) as rt:
        assert await rt.run(maybe, [1]) is None
        assert await rt.run(maybe, [1, 2]) == [2, 3]
