"""Compensation of a whole run: order, branches, what each undo is given, and how a run ends."""

from __future__ import annotations

import asyncio

import pytest

import penstock as ps
from flow.parts import ONCE, Oops, Till, Worse, add, double, kinds, nap, now, oops, status, until
from loops import Task, virtual


async def fails(rt: ps.Runtime, stage: ps.Stage[..., object], *inputs: object) -> ps.Run[object]:
    """A run that fails with Oops, all of it undone."""
    run = await rt.start(stage, *inputs)
    with pytest.raises(ps.RunFailed) as caught:
        await run.result()
    assert isinstance(caught.value.__cause__, Oops)
    assert run.status == "compensated"
    assert await run.left_to_undo() == []
    assert rt._core.object_count() == 0
    return run


@virtual
async def test_what_was_done_is_undone_in_reverse(task: Task) -> None:
    till = Till()

    @ps.workflow
    def chain(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        first = flow.call(till.book, x)
        second = flow.call(till.book, flow.constant(2), after=first)
        third = flow.call(till.book, flow.constant(3), after=second)
        return flow.call(oops, x, after=third)

    async with ps.Runtime(task=task) as rt:
        run = await fails(rt, chain, 1)
        assert till.log == ["book 1", "book 2", "book 3", "undo 3: b3", "undo 2: b2", "undo 1: b1"]
        history = [(it.kind, it.node) for it in await run.history()][-6:]
        assert history == [
            ("failed", "chain/oops"),
            ("compensating", ""),
            ("done", "chain/book-3/compensate"),
            ("done", "chain/book-2/compensate"),
            ("done", "chain/book/compensate"),
            ("ended", ""),
        ]


@virtual
async def test_parallel_branches_are_undone_in_parallel(task: Task) -> None:
    till = Till(undo_seconds=1.0)

    @ps.workflow
    def branches(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        root = flow.call(till.book, x)
        left = flow.call(till.book, flow.constant(2), after=root)
        right = flow.call(till.book, flow.constant(3), after=root)
        further = flow.call(till.book, flow.constant(4), after=right)
        return flow.call(oops, x, after=[left, further])

    async with ps.Runtime(task=task) as rt:
        await fails(rt, branches, 1)
        assert now() == pytest.approx(3)  # 4 and 2 together, then 3, then 1
        assert till.undone[2:] == ["undo 3: b3", "undo 1: b1"]
        assert sorted(till.undone[:2]) == ["undo 2: b2", "undo 4: b4"]


@virtual
async def test_an_effect_further_up_is_undone_over_nodes_that_have_none(task: Task) -> None:
    till = Till()

    @ps.step
    async def follow(text: str) -> int:
        return int(text[1:]) + 1

    @ps.workflow
    def chain(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        second = flow.call(follow, flow.call(till.book, x))
        case = flow.switch(second, key=lambda it: it > 1)
        third = flow.apply(lambda it: it + 1, case[True])
        last = flow.call(follow, flow.call(till.book, third))
        return flow.call(oops, flow.merge(last, flow.call(double, case.default)))

    async with ps.Runtime(task=task) as rt:
        await fails(rt, chain, 1)
        assert till.undone == ["undo 3: b3", "undo 1: b1"]


@virtual
async def test_a_step_that_failed_or_was_stopped_is_undone_without_a_result(task: Task) -> None:
    till = Till(seconds=10.0, refuses={2})

    @ps.workflow
    def refused(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[str]:
        first = flow.call(till.book, x)
        return flow.call(till.book, flow.constant(2), after=first)

    @ps.workflow
    def too_slow(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[str]:
        return flow.call(till.book, x, timeout=3.0)

    @ps.workflow
    def stopped(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[list[object]]:
        flow.call(oops, flow.sleep(x, 2.0))
        return flow.collect(flow.call(till.book, x))

    async with ps.Runtime(task=task) as rt:
        await fails(rt, refused, 1)
        assert till.undone == ["undo 2: None", "undo 1: b1"]
        till.log.clear()
        with pytest.raises(ps.RunFailed, match="timeout"):
            await rt.run(too_slow, 5)
        assert till.undone == ["undo 5: None"]
        till.log.clear()
        await fails(rt, stopped, 6)
        assert till.log == ["book 6", "undo 6: None"]


@virtual
async def test_what_has_not_started_is_not_undone(task: Task) -> None:
    till = Till(seconds=10.0)

    @ps.workflow
    def waiting(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        flow.call(till.book, flow.sleep(x, 5.0))
        return flow.call(oops, flow.sleep(x, 1.0))

    @ps.workflow
    def queued(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        flow.call(till.book, x, queue=ps.Queue("desk", concurrency=1), name="first")
        flow.call(till.book, x, queue="desk", name="second")
        return flow.call(oops, flow.sleep(x, 1.0))

    async with ps.Runtime(task=task, queues=[ps.Queue("desk", concurrency=1)]) as rt:
        run = await rt.start(waiting, 1)
        with pytest.raises(ps.RunFailed):
            await run.result()
        assert run.status == "failed"
        assert till.log == []
        await fails(rt, queued, 1)
        assert till.log == ["book 1", "undo 1: None"]


@virtual
async def test_a_cancelled_run_is_undone(task: Task) -> None:
    till = Till(undo_seconds=1.0)

    @ps.workflow
    def w(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[float]:
        return flow.call(nap, flow.constant(60.0), after=flow.call(till.book, x))

    async with ps.Runtime(task=task) as rt:
        run = await rt.start(w, 1)
        await asyncio.sleep(2)
        assert await run.left_to_undo() == ["w/book"]
        assert await run.cancel()
        await asyncio.sleep(0.5)
        assert run.status == "compensating"
        assert not await run.cancel()
        with pytest.raises(ps.RunCancelled):
            await run.result()
        assert status(run) == "compensated"
        assert till.undone == ["undo 1: b1"]
        assert now() == pytest.approx(3)
        assert not await run.cancel()
        with pytest.raises(ps.RunCancelled):
            await run.result()


@virtual
async def test_a_deadline_undoes_and_does_not_stop_the_undoing(task: Task) -> None:
    till = Till(undo_seconds=10.0)

    @ps.workflow
    def w(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[float]:
        return flow.call(nap, flow.constant(60.0), after=flow.call(till.book, x))

    async with ps.Runtime(task=task) as rt:
        run = await rt.start(w, 1, deadline=5.0)
        with pytest.raises(ps.DeadlineExceeded):
            await run.result()
        assert run.status == "compensated"
        assert till.undone == ["undo 1: b1"]
        assert now() == pytest.approx(15)


@virtual
async def test_a_deadline_during_the_undoing_changes_nothing(task: Task) -> None:
    till = Till(undo_seconds=10.0)

    @ps.workflow
    def w(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        return flow.call(oops, x, after=flow.call(till.book, x))

    async with ps.Runtime(task=task) as rt:
        run = await rt.start(w, 1, deadline=5.0)
        with pytest.raises(ps.RunFailed):
            await run.result()
        assert (run.status, till.undone) == ("compensated", ["undo 1: b1"])


@virtual
async def test_an_undo_has_its_own_retries_timeout_and_context(task: Task) -> None:
    seen: list[tuple[int, str, str | None, object]] = []

    @ps.step(retry=ps.RetryPolicy(max_attempts=4, initial_interval=1.0, jitter="none"), timeout=5.0)
    async def undo(x: int, result: int | None, ctx: ps.Context) -> None:
        seen.append((ctx.attempt, ctx.idempotency_key, ctx.tenant, result))
        if ctx.attempt == 1:
            await asyncio.sleep(60)
        if ctx.attempt < 4:
            raise Worse

    @ps.step(compensate=undo, retry=ONCE)
    async def do(x: int) -> int:
        return 2 * x

    @ps.workflow
    def w(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        return flow.call(oops, flow.call(do, x))

    async with ps.Runtime(task=task) as rt:
        run = await rt.start(w, 1, run_id="r", tenant="acme")
        with pytest.raises(ps.RunFailed):
            await run.result()
        assert seen == [(n, "r:w/do/compensate", "acme", 2) for n in (1, 2, 3, 4)]
        assert now() == pytest.approx(5 + 1 + 2 + 4)
        assert run.status == "compensated"


@virtual
async def test_the_first_error_is_the_one_reported(task: Task) -> None:
    till = Till()

    @ps.step(retry=ONCE)
    async def worse_when_stopped(x: int) -> int:
        try:
            await asyncio.sleep(60)
        finally:
            raise Worse("on the way out")
        return x

    @ps.workflow
    def w(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        booked = flow.call(till.book, x)
        slow = flow.call(worse_when_stopped, x, after=booked)
        return flow.call(add, slow, flow.call(oops, flow.sleep(x, 1.0), after=booked))

    async with ps.Runtime(task=task) as rt:
        await fails(rt, w, 1)
        assert till.undone == ["undo 1: b1"]


@virtual
async def test_siblings_are_awaited_before_anything_is_undone(task: Task) -> None:
    till = Till()
    till_log = till.log

    @ps.step
    async def slow_to_stop(x: int) -> int:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(3)
            till_log.append(f"stopped at {now():g}")
        return x

    @ps.workflow
    def w(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        flow.call(till.book, x)
        flow.call(slow_to_stop, x)
        return flow.call(oops, flow.sleep(x, 1.0))

    async with ps.Runtime(task=task) as rt:
        await fails(rt, w, 1)
        assert till.log == ["book 1", "stopped at 4", "undo 1: b1"]


@virtual
async def test_a_run_that_succeeds_undoes_nothing(task: Task) -> None:
    till = Till()

    @ps.workflow
    def w(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[str]:
        return flow.call(till.book, x)

    async with ps.Runtime(task=task) as rt:
        run = await rt.start(w, 1)
        assert await run.result() == "b1"
        assert (run.status, till.undone) == ("succeeded", [])
        assert await run.left_to_undo() == []
        assert "compensating" not in await kinds(run)


@virtual
async def test_awaiting_the_result_before_and_after(task: Task) -> None:
    till = Till(undo_seconds=1.0)

    @ps.workflow
    def w(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        return flow.call(oops, x, after=flow.call(till.book, x))

    async with ps.Runtime(task=task) as rt:
        run = await rt.start(w, 1)
        waiting = [asyncio.ensure_future(run.result()) for _ in range(3)]
        await until(lambda: run.status == "compensating")
        late = asyncio.ensure_future(run.result())
        await asyncio.sleep(0.5)
        assert not any(it.done() for it in (*waiting, late))
        outcomes = await asyncio.gather(*waiting, late, return_exceptions=True)
        assert {type(it) for it in outcomes} == {ps.RunFailed}
        assert now() == pytest.approx(1)
        with pytest.raises(ps.RunFailed):
            await run.result()
        again = rt.get(run.run_id)
        assert again.status == "compensated"
        with pytest.raises(ps.RunFailed, match="no 1"):
            await again.result()
        counted = rt.stats().workflows["w"]
        assert (counted.failed, counted.succeeded, counted.cancelled) == (1, 0, 0)


@virtual
async def test_items_iterations_levels_and_calls_are_undone(task: Task) -> None:
    till = Till()

    @ps.step
    async def next_order(text: str) -> int:
        return int(text[1:]) + 1

    @ps.workflow
    def order(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        return flow.call(next_order, flow.call(till.book, x))

    @ps.workflow
    def down(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        case = flow.switch(flow.call(order, x), key=lambda it: it < 13)
        deeper: ps.Node[int] = flow.recurse(case[True], max_depth=9)
        return flow.merge(deeper, case.default)

    @ps.workflow
    def w(flow: ps.Flow, xs: ps.Node[list[int]]) -> ps.Node[int]:
        items = flow.map(order, xs)
        looped = flow.loop(
            order, flow.constant(5), until=lambda it: it > 7, max_iterations=9, after=items
        )
        deep = flow.call(down, flow.apply(lambda it: it + 2, looped))
        return flow.call(oops, flow.call(order, deep, name="sub"))

    async with ps.Runtime(task=task) as rt:
        await fails(rt, w, [1, 2])
        booked = [line.split()[1] for line in till.log if line.startswith("book")]
        undone = [line.split()[1].rstrip(":") for line in till.undone]
        assert booked == ["1", "2", "5", "6", "7", "10", "11", "12", "13"]
        assert undone[:7] == ["13", "12", "11", "10", "7", "6", "5"]
        assert sorted(undone[7:]) == ["1", "2"]
        assert all(line.endswith(f"b{n}") for line, n in zip(till.undone, undone, strict=True))


@virtual
async def test_a_retried_step_is_undone_once(task: Task) -> None:
    undone: list[int | None] = []

    @ps.step
    async def undo(x: int, result: int | None) -> None:
        undone.append(result)

    @ps.step(compensate=undo, retry=ps.RetryPolicy(max_attempts=3, initial_interval=0))
    async def flaky(x: int, ctx: ps.Context) -> int:
        if ctx.attempt < 3:
            raise Oops
        return x

    @ps.step(compensate=undo, retry=ps.RetryPolicy(initial_interval=60, max_interval=60))
    async def waits(x: int) -> int:
        raise Oops

    @ps.workflow
    def w(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        return flow.call(oops, flow.call(flaky, x))

    @ps.workflow
    def in_backoff(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        flow.call(waits, x)
        return flow.call(oops, flow.sleep(x, 0.001))

    async with ps.Runtime(task=task, seed=3) as rt:
        await fails(rt, w, 1)
        assert undone == [1]
        await fails(rt, in_backoff, 1)
        assert undone == [1, None]


@virtual
async def test_a_plain_undo_and_one_without_inputs(task: Task) -> None:
    log: list[object] = []

    @ps.step
    def undo(result: str | None) -> None:
        log.append(result)

    @ps.step(compensate=undo)
    def do() -> str:
        return "done"

    @ps.workflow
    def w(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        return flow.call(oops, x, after=flow.call(do))

    async with ps.Runtime(task=task) as rt:
        await fails(rt, w, 1)
        assert log == ["done"]
