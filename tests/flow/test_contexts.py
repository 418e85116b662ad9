"""What user code sees in constructs: context variables, contexts, threads, faults, both loops."""

from __future__ import annotations

import asyncio
import contextvars
import threading

import pytest

import penstock as ps
from flow.parts import Oops, Till, add, done, in_a_thread, more, no_threes, now, oops
from loops import Task, both_loops, virtual

who: contextvars.ContextVar[str] = contextvars.ContextVar("who", default="nobody")


def ask(x: int) -> str:
    return f"{x}: {who.get()}"


@virtual
async def test_inline_functions_see_the_callers_context(task: Task) -> None:
    seen: list[str] = []

    def see(what: str) -> None:
        seen.append(f"{what} {who.get()}")
        who.set("changed in a function")

    def key(x: int) -> bool:
        see("key")
        return x > 0

    def judge(x: int) -> bool:
        see("judge")
        return True

    def over(x: int) -> bool:
        see("until")
        return x > 2

    def till(x: int) -> str:
        see("concurrency_key")
        return "till"

    @ps.step(concurrency_key=till)
    async def keyed(x: int) -> int:
        return x

    @ps.workflow
    def w(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[str]:
        case = flow.switch(x, key=key)
        it = flow.cascade((more, oops), case[True], accept=judge)
        looped = flow.loop(more, it, until=over, max_iterations=9, name="loop")
        told = flow.apply(ask, flow.call(keyed, looped))
        return flow.merge(told, flow.apply(ask, case[False], name="never"))

    who.set("caller")
    async with ps.Runtime(task=task) as rt:
        run = await rt.start(w, 1)
        who.set("somebody else")
        assert await run.result() == "3: caller"
        assert seen == ["key caller", "judge caller", "until caller", "concurrency_key caller"]


@virtual
async def test_steps_in_bodies_see_the_callers_context_each_its_own_copy(task: Task) -> None:
    @ps.step
    async def see(x: int) -> str:
        before = who.get()
        who.set(f"item {x}")
        await asyncio.sleep(0.1)
        return f"{before}, {who.get()}"

    @ps.step
    def see_in_a_thread(text: str) -> str:
        return f"{who.get()}, not {text.split(', ')[1]}"

    @ps.workflow
    def w(flow: ps.Flow, xs: ps.Node[list[int]]) -> ps.Node[list[str]]:
        return flow.map(see_in_a_thread, flow.map(see, xs))

    who.set("caller")
    async with ps.Runtime(task=task) as rt:
        assert await rt.run(w, [1, 2]) == ["caller, not item 1", "caller, not item 2"]
        assert who.get() == "caller"


@virtual
async def test_children_and_compensations_see_it_too(task: Task) -> None:
    seen: list[str] = []

    @ps.step
    async def undo(x: int, result: int | None) -> None:
        seen.append(f"undo {who.get()}")

    @ps.step(compensate=undo)
    async def do(x: int) -> int:
        seen.append(f"do {who.get()}")
        return x

    @ps.workflow
    def w(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        flow.spawn(do, x, name="child")
        return flow.call(oops, flow.call(do, x))

    who.set("caller")
    async with ps.Runtime(task=task) as rt:
        with pytest.raises(ps.RunFailed):
            await rt.run(w, 1)
        await rt.join()
        assert sorted(seen) == ["do caller", "do caller", "undo caller"]


@virtual
async def test_plain_steps_in_bodies_run_in_threads_with_their_context(task: Task) -> None:
    here = threading.get_ident()

    @ps.step
    def work(x: int, ctx: ps.Context) -> str:
        assert threading.get_ident() != here
        ctx.emit(x)
        return f"{ctx.path} {ctx.attempt} {ctx.cancelled}"

    @ps.step
    def grow(x: int) -> int:
        return 2 * x

    @ps.workflow
    def w(flow: ps.Flow, xs: ps.Node[list[int]]) -> ps.Node[list[str]]:
        total = flow.apply(sum, flow.map(in_a_thread, xs))
        looped = flow.loop(grow, total, until=lambda it: it > 1_000, max_iterations=9)
        return flow.map(work, flow.collect(looped, total))

    async with ps.Runtime(task=task) as rt:
        assert await rt.run(w, [1, 2]) == ["w/work[0] 1 False", "w/work[1] 1 False"]


@virtual
async def test_faults_meet_the_steps_of_bodies(task: Task) -> None:
    @ps.step(retry=ps.RetryPolicy(max_attempts=2, initial_interval=0), timeout=5.0)
    async def work(x: int) -> int:
        return x

    @ps.workflow
    def w(flow: ps.Flow, xs: ps.Node[list[int]]) -> ps.Node[list[int | ps.Failure]]:
        return flow.map(work, xs, concurrency=1, tolerated_failures=1)

    script = [TimeoutError, None, ps.testing.Slow(2.0), Oops("a"), Oops("b"), ps.testing.Hang()]
    async with ps.Runtime(task=task) as rt:
        with ps.testing.faults({work: script}):
            run = await rt.start(w, [1, 2, 3, 4])
            results = await run.result()
        assert [it if isinstance(it, int) else str(it.error) for it in results] == [1, 2, "b", 4]
        assert await done(run) == ["w/work[0]", "w/work[1]", "w/work[3]"]
        assert now() == pytest.approx(2 + 5)


@virtual
async def test_faults_meet_compensations_and_fallbacks(task: Task) -> None:
    till = Till(undo_retry=ps.RetryPolicy(max_attempts=2, initial_interval=0))
    (undo,) = [node.step for node in till.book.as_workflow().graph.nodes if node.kind == "undo"]
    assert undo is not None

    @ps.workflow
    def w(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        return flow.call(no_threes, x, fallback=oops, after=flow.call(till.book, x))

    async with ps.Runtime(task=task) as rt:
        with ps.testing.faults({no_threes: [Oops("scripted")], undo: [ConnectionError]}):
            run = await rt.start(w, 1)
            with pytest.raises(ps.RunFailed, match="no 1"):
                await run.result()
        assert till.undone == ["undo 1: b1"]
        assert run.status == "compensated"


@both_loops
async def test_constructs_on_the_loops_of_services(task: Task) -> None:
    """In real time, as short as it gets."""
    ok = ps.Signal("ok", int)
    log: list[str] = []

    @ps.step
    async def lose(x: int) -> int:
        try:
            await asyncio.Event().wait()
        finally:
            log.append("lost")
        return x

    @ps.step
    async def undo(x: int, result: int | None) -> None:
        await asyncio.sleep(0)
        log.append(f"undo {result}")

    @ps.step(compensate=undo)
    async def do(x: int) -> int:
        await asyncio.sleep(0)
        return x

    @ps.workflow
    def w(flow: ps.Flow, xs: ps.Node[list[int]]) -> ps.Node[int]:
        total = flow.apply(sum, flow.map(in_a_thread, xs, concurrency=2))
        looped = flow.loop(more, total, until=lambda it: it % 10 == 0, max_iterations=9)
        won = flow.race(flow.call(lose, flow.call(do, looped)), flow.sleep(looped, 0.001))
        return flow.call(add, won, flow.signal(ok, timeout=60, after=won))

    async with ps.Runtime(task=task) as rt:
        run = await rt.start(w, [1, 2, 3])
        assert await run.signal(ok, 4)
        assert await run.result() == 314
        assert log == ["lost", "undo 310"]
        failing = await rt.start(w, [1, 2, 3])
        for _ in range(10_000):  # a signal of its own would tell, but nothing tells of a wait
            if await failing.awaiting():
                break
            await asyncio.sleep(0.001)
        await failing.cancel()
        with pytest.raises(ps.RunCancelled):
            await failing.result()
        assert rt._core.object_count() == 0


@both_loops
async def test_many_runs_at_once_on_the_loops_of_services(task: Task) -> None:
    @ps.step
    async def work(x: int) -> int:
        await asyncio.sleep(0)
        return x

    @ps.workflow
    def w(flow: ps.Flow, xs: ps.Node[list[int]]) -> ps.Node[int]:
        won = flow.race(flow.map(work, xs, name="a"), flow.map(work, xs, name="b", concurrency=1))
        return flow.apply(sum, won)

    async with ps.Runtime(task=task) as rt:
        runs = await rt.start_many(w, [[n] * 20 for n in range(50)])
        assert [await run.result() for run in runs] == [20 * n for n in range(50)]
        assert rt._core.object_count() == 0
