"""Spawn: detached runs, what they are called, what they inherit, and that nobody waits for them."""

from __future__ import annotations

import asyncio

import pytest

import penstock as ps
from flow.parts import Oops, Till, failure, more, nap, now, oops
from loops import Task, virtual


@ps.workflow
def child(flow: ps.Flow, seconds: ps.Node[float]) -> ps.Node[float]:
    return flow.call(nap, seconds)


@ps.workflow
def parent(flow: ps.Flow, seconds: ps.Node[float]) -> ps.Node[str]:
    return flow.spawn(child, seconds)


@virtual
async def test_a_child_is_called_after_its_parent_and_node_and_is_not_awaited(task: Task) -> None:
    async with ps.Runtime(task=task) as rt:
        run = await rt.start(parent, 60.0, run_id="p")
        assert await run.result() == "p/child"
        assert now() == pytest.approx(0)
        spawned = rt.get("p/child")
        assert spawned.status == "running"
        assert await spawned.result() == 60.0
        assert now() == pytest.approx(60)
        assert rt.stats().workflows["child"].succeeded == 1
        assert rt._core.object_count() == 0


@virtual
async def test_a_child_inherits_tenant_and_priority_but_no_deadline(task: Task) -> None:
    seen: list[tuple[str | None, str, float]] = []
    desk = ps.Queue("desk", concurrency=1)

    @ps.step(queue=desk)
    async def tell(x: int, ctx: ps.Context) -> int:
        seen.append((ctx.tenant, ctx.run_id, ctx.remaining()))
        await asyncio.sleep(1)
        return x

    @ps.workflow
    def w(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[str]:
        return flow.spawn(tell, x)

    async with ps.Runtime(task=task) as rt:
        blocking = await rt.start(tell, 0, run_id="first")
        await asyncio.sleep(0.5)
        await rt.run(w, 1, run_id="late", tenant="acme", priority=5)
        await rt.run(w, 2, run_id="early", tenant="beta", priority=1, deadline=1.0)
        await rt.run(w, 3, run_id="usual")
        await blocking.result()
        await rt.join()
        assert seen == [
            (None, "first", float("inf")),
            ("beta", "early/tell", float("inf")),
            (None, "usual/tell", float("inf")),
            ("acme", "late/tell", float("inf")),
        ]


@virtual
async def test_a_child_goes_on_when_its_parent_fails_or_is_cancelled(task: Task) -> None:
    @ps.workflow
    def fails(flow: ps.Flow, seconds: ps.Node[float]) -> ps.Node[int]:
        return flow.call(oops, flow.constant(1), after=flow.spawn(child, seconds))

    @ps.workflow
    def waits(flow: ps.Flow, seconds: ps.Node[float]) -> ps.Node[float]:
        flow.spawn(child, seconds)
        return flow.call(nap, seconds)

    async with ps.Runtime(task=task) as rt:
        run = await rt.start(fails, 5.0, run_id="f")
        with pytest.raises(ps.RunFailed):
            await run.result()
        waiting = await rt.start(waits, 5.0, run_id="w")
        await asyncio.sleep(1)
        await waiting.cancel()
        with pytest.raises(ps.RunCancelled):
            await waiting.result()
        assert [rt.get(it).status for it in ("f/child", "w/child")] == ["running"] * 2
        assert await rt.get("f/child").result() == await rt.get("w/child").result() == 5.0


@virtual
async def test_a_child_that_fails_does_not_touch_its_parent(task: Task) -> None:
    @ps.workflow
    def w(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[float]:
        flow.spawn(oops, x)
        return flow.call(nap, flow.constant(2.0))

    async with ps.Runtime(task=task) as rt:
        assert await rt.run(w, 1, run_id="p") == 2.0
        with pytest.raises(ps.RunFailed, match="no 1"):
            await rt.get("p/oops").result()


@virtual
async def test_children_of_children_and_of_items(task: Task) -> None:
    @ps.workflow
    def middle(flow: ps.Flow, seconds: ps.Node[float]) -> ps.Node[str]:
        return flow.spawn(child, seconds, name="deeper")

    @ps.workflow
    def top(flow: ps.Flow, xs: ps.Node[list[float]]) -> ps.Node[list[str]]:
        def item(flow: ps.Flow, seconds: ps.Node[float]) -> ps.Node[str]:
            return flow.spawn(middle, seconds, name="kid")

        return flow.map(ps.workflow(item), xs)

    async with ps.Runtime(task=task) as rt:
        ids = await rt.run(top, [1.0, 2.0], run_id="t")
        assert ids == ["t/item[0]/kid", "t/item[1]/kid"]
        for run_id, seconds in zip(ids, (1.0, 2.0), strict=True):
            grandchild = await rt.get(run_id).result()
            assert grandchild == f"{run_id}/deeper"
            assert await rt.get(grandchild).result() == seconds
        await rt.join()
        assert rt._core.object_count() == 0


@virtual
async def test_a_child_in_every_iteration(task: Task) -> None:
    @ps.workflow
    def turn(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        return flow.call(more, x, after=flow.spawn(more, x, name="aside"))

    @ps.workflow
    def w(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        return flow.loop(turn, x, until=lambda it: it > 2, max_iterations=9)

    async with ps.Runtime(task=task) as rt:
        assert await rt.run(w, 0, run_id="r") == 3
        results = [await rt.get(f"r/turn[{i}]/aside").result() for i in range(3)]
        assert results == [1, 2, 3]


@virtual
async def test_a_spawn_that_is_skipped_starts_nothing(task: Task) -> None:
    @ps.workflow
    def w(flow: ps.Flow, x: ps.Node[float]) -> ps.Node[str | None]:
        return flow.optional(flow.spawn(child, flow.when(x, lambda it: it > 1)))

    async with ps.Runtime(task=task) as rt:
        assert await rt.run(w, 0.5, run_id="none") is None
        with pytest.raises(ps.RunNotFound):
            rt.get("none/child")
        assert await rt.run(w, 2.0, run_id="one") == "one/child"


@virtual
async def test_a_childs_id_that_is_taken_by_another_run_fails_the_spawn(task: Task) -> None:
    async with ps.Runtime(task=task) as rt:
        await rt.run(nap, 1.0, run_id="p/child")
        with pytest.raises(ps.RunFailed) as caught:
            await rt.run(parent, 1.0, run_id="p")
        assert caught.value.node == "parent/child"
        assert isinstance(caught.value.__cause__, ps.DuplicateRun)
        assert rt._core.object_count() == 0


@virtual
async def test_spawned_runs_are_undone_on_their_own(task: Task) -> None:
    till = Till()

    @ps.workflow
    def books(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        return flow.call(oops, x, after=flow.call(till.book, x))

    @ps.workflow
    def w(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[str]:
        booked = flow.call(till.book, flow.constant(9))
        return flow.spawn(books, x, after=booked)

    async with ps.Runtime(task=task) as rt:
        run_id = await rt.run(w, 1)
        spawned = rt.get(run_id)
        with pytest.raises(ps.RunFailed) as caught:
            await spawned.result()
        assert isinstance(caught.value.__cause__, Oops)
        assert spawned.status == "compensated"
        assert till.undone == ["undo 1: b1"]


@virtual
async def test_a_child_with_an_input_of_the_wrong_type_fails_the_spawn(task: Task) -> None:
    @ps.workflow
    def w(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[str]:
        return flow.spawn(child, flow.apply(lambda it: "text", x))  # type: ignore[arg-type]  # on purpose

    async with ps.Runtime(task=task) as rt:
        error = await failure(rt, w, 1)
        assert isinstance(error.__cause__, ps.ContractError)
        assert error.node == "w/child"


@virtual
async def test_closing_right_after_a_spawn(task: Task, caplog: pytest.LogCaptureFixture) -> None:
    async with ps.Runtime(task=task) as rt:
        await rt.run(parent, 60.0, run_id="p")
    assert "1 run under way" in caplog.text
    assert rt._core.object_count() == 0
