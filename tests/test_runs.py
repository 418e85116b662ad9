"""Runs and their handles: identity, status, result, cancellation, history, what is kept."""

from __future__ import annotations

import asyncio
import gc
import uuid
from dataclasses import dataclass

import pytest

import penstock as ps
from loops import Task, noop, virtual


@ps.step
async def double(x: int) -> int:
    return 2 * x


@ps.step
async def sleep(seconds: float) -> float:
    await asyncio.sleep(seconds)
    return seconds


@ps.step
async def fail(text: str) -> str:
    raise ValueError(text)


@ps.step
async def add(a: int, b: int) -> int:
    await asyncio.sleep(0)
    return a + b


@ps.workflow
def diamond(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
    first = flow.call(double, x)
    left, right = flow.call(double, first, name="left"), flow.call(double, first, name="right")
    return flow.call(add, left, right)


@virtual
async def test_run_gives_the_result(task: Task) -> None:
    async with ps.Runtime(task=task) as rt:
        assert await rt.run(diamond, 1) == 8
        assert await rt.run(double, 21) == 42


@virtual
async def test_a_workflow_runs_in_a_workflow(task: Task) -> None:
    @ps.workflow
    def twice(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        return flow.call(diamond, flow.call(diamond, x, name="once"), name="again")

    async with ps.Runtime(task=task) as rt:
        run = await rt.start(twice, 1)
        assert await run.result() == 64
        done = [event.node for event in await run.history() if event.kind == "done"]
        assert done[0] == "twice/once/double"
        assert done[-1] == "twice/again/add"
        assert len(done) == 8


@virtual
async def test_every_number_of_inputs_and_constants(task: Task) -> None:
    @ps.step
    async def none() -> str:
        return "none"

    @ps.step
    async def total(*numbers: int) -> int:
        return sum(numbers)

    @ps.workflow
    def six(  # every number of inputs
        flow: ps.Flow,
        a: ps.Node[int],
        b: ps.Node[int],
        c: ps.Node[int],
        d: ps.Node[int],
        e: ps.Node[int],
        f: ps.Node[int],
    ) -> ps.Node[int]:
        return flow.call(total, a, b, c, d, e, f, flow.constant(100), a)

    async with ps.Runtime(task=task) as rt:
        assert await rt.run(none) == "none"
        assert await rt.run(add, 1, 2) == 3
        assert await rt.run(six, 1, 2, 3, 4, 5, 6) == 122
        assert await rt.run(total) == 0
        assert await rt.run(total, 1, 2, 3) == 6


@virtual
async def test_values_travel_as_they_are(task: Task) -> None:
    @dataclass
    class Box:
        content: list[int]

    @ps.step
    async def first(box: Box) -> Box:
        return box

    @ps.workflow
    def through(flow: ps.Flow, box: ps.Node[Box]) -> ps.Node[Box]:
        return flow.call(first, flow.apply(lambda it: it, flow.call(first, box, name="a")))

    async with ps.Runtime(task=task) as rt:
        box = Box([1, 2])
        assert await rt.run(through, box) is box


@virtual
async def test_a_handle_tells_where_the_run_is(task: Task) -> None:
    async with ps.Runtime(task=task) as rt:
        good, bad = await rt.start(sleep, 1.0), await rt.start(fail, "oh no")
        stopped = await rt.start(sleep, 60.0)
        late = await rt.start(sleep, 60.0, deadline=2.0)
        assert [run.status for run in (good, bad, stopped, late)] == ["running"] * 4
        assert await good.result() == 1.0
        assert await stopped.cancel()
        with pytest.raises(ps.RunFailed, match="ValueError: oh no"):
            await bad.result()
        with pytest.raises(ps.RunCancelled):
            await stopped.result()
        with pytest.raises(ps.DeadlineExceeded):
            await late.result()
        statuses = [run.status for run in (good, bad, stopped, late)]
        assert statuses == ["succeeded", "failed", "cancelled", "failed"]
        assert repr(good) == f"<Run {good.run_id!r}: succeeded>"


@virtual
async def test_start_runs_no_user_code(task: Task) -> None:
    called: list[int] = []

    @ps.step
    async def call(x: int) -> int:
        called.append(x)
        return x

    async with ps.Runtime(task=task) as rt:
        runs = [await rt.start(call, x) for x in range(3)]
        runs += await rt.start_many(call, range(3, 6))
        assert called == []
        assert [await run.result() for run in runs] == list(range(6))
        assert called == list(range(6))


# Identity.


@virtual
async def test_made_up_ids_are_uuids_in_order(task: Task) -> None:
    async with ps.Runtime(task=task) as rt:
        ids = [run.run_id for run in await rt.start_many(double, range(100))]
        assert len(set(ids)) == 100
        assert ids == sorted(ids)
        assert {uuid.UUID(it).version for it in ids} == {7}
        await rt.join()


@virtual
async def test_the_same_id_and_input_is_the_same_run(task: Task) -> None:
    called: list[int] = []

    @ps.step
    async def once(x: int) -> int:
        called.append(x)
        await asyncio.sleep(1)
        return x

    async with ps.Runtime(task=task) as rt:
        first = await rt.start(once, 7, run_id="order-7")
        second = await rt.start(once, 7, run_id="order-7")
        third = asyncio.ensure_future(rt.run(once, 7, run_id="order-7"))
        assert first.run_id == second.run_id == "order-7"
        assert await first.result() == await second.result() == await third == 7
        fourth = await rt.start(once, 7, run_id="order-7")
        assert (await fourth.result(), fourth.status, called) == (7, "succeeded", [7])
        assert rt.stats().workflows["once"].accepted == 1


@virtual
async def test_an_id_of_another_run_is_refused(task: Task) -> None:
    async with ps.Runtime(task=task) as rt:
        run = await rt.start(sleep, 1.0, run_id="taken")
        for ended in (False, True):
            with pytest.raises(ps.DuplicateRun, match="'taken'"):
                await rt.start(sleep, 2.0, run_id="taken")
            with pytest.raises(ps.DuplicateRun):
                await rt.run(noop, 1, run_id="taken")
            with pytest.raises(ps.DuplicateRun):
                await rt.start_many(noop, [1, 2], run_ids=["free", "taken"])
            if not ended:
                assert await run.result() == 1.0
        with pytest.raises(ps.RunNotFound):
            rt.get("free")


@virtual
async def test_an_id_of_an_input_that_has_no_json_is_taken_once(task: Task) -> None:
    class Opaque:
        pass

    @ps.step
    async def take(x: Opaque) -> str:
        return "taken"

    async with ps.Runtime(task=task) as rt:
        thing = Opaque()
        assert await rt.run(take, thing, run_id="opaque") == "taken"
        with pytest.raises(ps.DuplicateRun):
            await rt.run(take, thing, run_id="opaque")


@virtual
async def test_ids_of_any_text_are_found(task: Task) -> None:
    async with ps.Runtime(task=task) as rt:
        ids = ["a", "A", "ein Änderungsantrag", "x" * 500, str(uuid.uuid4()), "0190a1b2"]
        runs = await rt.start_many(double, range(len(ids)), run_ids=ids)
        for index, (run, run_id) in enumerate(zip(runs, ids, strict=True)):
            assert run.run_id == run_id
            assert await rt.get(run_id).result() == 2 * index


@virtual
async def test_a_batch_is_accepted_in_order_and_known_runs_are_found_again(task: Task) -> None:
    async with ps.Runtime(task=task) as rt:
        first = await rt.start_many(double, [1, 2], run_ids=["one", "two"])
        again = await rt.start_many(double, [3, 2, 1], run_ids=["three", "two", "one"])
        assert [run.run_id for run in again] == ["three", "two", "one"]
        assert [await run.result() for run in again] == [6, 4, 2]
        assert [await run.result() for run in first] == [2, 4]
        assert rt.stats().workflows["double"].accepted == 3


@virtual
async def test_one_id_twice_in_a_batch(task: Task) -> None:
    async with ps.Runtime(task=task) as rt:
        runs = await rt.start_many(double, [1, 1], run_ids=["same", "same"])
        assert [await run.result() for run in runs] == [2, 2]
        assert rt.stats().workflows["double"].accepted == 1
        with pytest.raises(ps.DuplicateRun):
            await rt.start_many(double, [5, 6], run_ids=["other", "other"])
        assert await rt.run(double, 4) == 8
        assert rt.stats().runs == 0


@virtual
async def test_a_batch_of_workflows_with_several_inputs(task: Task) -> None:
    async with ps.Runtime(task=task) as rt:
        runs = await rt.start_many(add.as_workflow(), [(1, 2), (3, 4)])
        assert [await run.result() for run in runs] == [3, 7]
        assert await rt.start_many(double, []) == []


@virtual
async def test_tenants_and_ids_reach_the_step(task: Task) -> None:
    @ps.step
    async def tell(x: int, ctx: ps.Context) -> str:
        return (
            f"{ctx.run_id} {ctx.step} {ctx.path} {ctx.attempt} {ctx.tenant} {ctx.idempotency_key}"
        )

    async with ps.Runtime(task=task) as rt:
        runs = await rt.start_many(tell, [1, 2], run_ids=["a", "b"], tenant=lambda x: f"t{x}")
        assert await runs[0].result() == "a tell tell/tell 1 t1 a:tell/tell"
        assert await runs[1].result() == "b tell tell/tell 1 t2 b:tell/tell"
        assert await rt.run(tell, 1, run_id="c", tenant="acme") == (
            "c tell tell/tell 1 acme c:tell/tell"
        )
        assert "None" in await rt.run(tell, 1, run_id="d")


# What is kept.


@virtual
async def test_handles_keep_their_outcomes_and_others_are_forgotten(task: Task) -> None:
    async with ps.Runtime(task=task) as rt:
        kept = await rt.start(double, 1, run_id="kept")
        failed = await rt.start(fail, "kept too")
        await rt.start(double, 2, run_id="let go")
        await rt.join()
        assert rt.get("let go").status == "succeeded"
        for _ in range(11):
            for run in await rt.start_many(double, range(1_000)):
                await run.result()
        assert (await kept.result(), kept.status) == (2, "succeeded")
        with pytest.raises(ps.RunFailed, match="kept too"):
            await failed.result()
        with pytest.raises(ps.RunNotFound, match="'let go'"):
            rt.get("let go")
        assert rt._core.object_count() == 0


@virtual
async def test_a_handle_survives_its_forgotten_history(task: Task) -> None:
    async with ps.Runtime(task=task) as rt:
        kept = await rt.start(double, 1, run_id="kept")
        await kept.result()
        for _ in range(11):
            await rt.start_many(double, range(1_000))
            await rt.join()
        assert await kept.result() == 2
        assert kept.run_id == "kept"
        assert "kept" in repr(kept)
        with pytest.raises(ps.RunNotFound, match="'kept'"):
            await kept.history()


@virtual
async def test_a_result_is_let_go_with_the_last_handle_once_it_is_forgotten(task: Task) -> None:
    import weakref

    class Big:
        pass

    @ps.step
    async def make() -> Big:
        return Big()

    async with ps.Runtime(task=task) as rt:
        run = await rt.start(make)
        gone = weakref.ref(await run.result())
        for _ in range(11):
            await rt.start_many(double, range(1_000))
            await rt.join()
        gc.collect()
        assert gone() is not None
        other = run
        del run
        assert gone() is not None
        del other
        assert gone() is None


# Cancellation.


@virtual
async def test_cancelling_the_await_of_run_cancels_the_run_and_waits_for_its_end(
    task: Task,
) -> None:
    ended: list[float] = []
    loop = asyncio.get_running_loop()

    @ps.step
    async def slow_to_stop() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            await asyncio.sleep(2)
            ended.append(loop.time())

    async with ps.Runtime(task=task) as rt:
        waiting = asyncio.ensure_future(rt.run(slow_to_stop, run_id="r"))
        await asyncio.sleep(1)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert ended == [3.0]
        assert rt.get("r").status == "cancelled"
        straight = asyncio.ensure_future(rt.run(slow_to_stop))
        await asyncio.sleep(1)
        straight.cancel()
        with pytest.raises(asyncio.CancelledError):
            await straight
        assert ended == [3.0, 6.0]
        assert rt.stats().workflows["slow_to_stop"].cancelled == 2


@virtual
async def test_a_timeout_around_run(task: Task) -> None:
    async with ps.Runtime(task=task) as rt:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5):
                await rt.run(sleep, 60.0)
        assert asyncio.get_running_loop().time() == pytest.approx(5)
        assert rt.stats().runs == 0


@virtual
async def test_cancelling_a_run_that_somebody_else_started_leaves_it_alone(task: Task) -> None:
    async with ps.Runtime(task=task) as rt:
        theirs = await rt.start(sleep, 10.0, run_id="shared")
        ours = asyncio.ensure_future(rt.run(sleep, 10.0, run_id="shared"))
        await asyncio.sleep(1)
        ours.cancel()
        with pytest.raises(asyncio.CancelledError):
            await ours
        assert await theirs.result() == 10.0


@virtual
async def test_cancelling_the_await_of_result_only_stops_waiting(task: Task) -> None:
    async with ps.Runtime(task=task) as rt:
        run = await rt.start(sleep, 10.0)
        waiting = asyncio.ensure_future(run.result())
        await asyncio.sleep(1)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert run.status == "running"
        assert await run.result() == 10.0


@virtual
async def test_a_run_is_cancelled_in_each_of_its_states(task: Task) -> None:
    queue = ps.Queue("one at a time", concurrency=1)

    @ps.step(queue=queue)
    async def queued(x: int) -> None:
        await asyncio.sleep(60)

    @ps.step(retry=ps.RetryPolicy(initial_interval=60.0, max_interval=60.0, jitter="none"))
    async def retried(x: int) -> None:
        raise ValueError

    @ps.workflow
    def both(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[None]:
        return flow.call(queued, flow.call(noop, x, after=[flow.call(sleep, flow.constant(60.0))]))

    async with ps.Runtime(task=task) as rt:
        not_started = await rt.start(noop, 1)
        assert await not_started.cancel()
        running, waiting = await rt.start_many(queued, [1, 2])
        backing_off = await rt.start(retried, 1)
        blocked = await rt.start(both, 1)
        await asyncio.sleep(1)
        runs = [not_started, running, waiting, backing_off, blocked]
        for run in runs[1:]:
            assert run.status == "running"
            assert await run.cancel()
        for run in runs:
            with pytest.raises(ps.RunCancelled, match=run.run_id):
                await run.result()
            assert run.status == "cancelled"
            assert not await run.cancel()
        assert asyncio.get_running_loop().time() == pytest.approx(1)
        assert await rt.run(noop, 3) == 3
        assert rt.stats().queues["one at a time"].running == 0
        assert rt.stats().queues["one at a time"].waiting == 0


@virtual
async def test_cancelling_an_ended_run_changes_nothing(task: Task) -> None:
    async with ps.Runtime(task=task) as rt:
        run = await rt.start(double, 1)
        assert await run.result() == 2
        assert not await run.cancel()
        assert (run.status, await run.result()) == ("succeeded", 2)


@virtual
async def test_a_run_whose_last_step_ends_as_it_is_cancelled_is_cancelled(task: Task) -> None:
    # The step swallows its cancellation and returns: the run was told to stop, and says so.
    @ps.step
    async def stubborn() -> str:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            return "went on"
        return "slept"

    async with ps.Runtime(task=task) as rt:
        run = await rt.start(stubborn)
        await asyncio.sleep(1)
        await run.cancel()
        with pytest.raises(ps.RunCancelled):
            await run.result()


@virtual
async def test_a_failure_cancels_the_siblings_and_waits_for_them(task: Task) -> None:
    ended: list[float] = []
    loop = asyncio.get_running_loop()

    @ps.step
    async def sibling() -> int:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(2)
            ended.append(loop.time())
        return 1

    @ps.step
    async def fails_soon() -> int:
        await asyncio.sleep(1)
        raise ValueError("first")

    @ps.workflow
    def siblings(flow: ps.Flow) -> ps.Node[int]:
        return flow.call(add, flow.call(sibling), flow.call(fails_soon))

    async with ps.Runtime(task=task) as rt:
        with pytest.raises(ps.RunFailed, match="first") as failed:
            await rt.run(siblings)
        assert ended == [3.0]
        assert failed.value.node == "siblings/fails_soon"


@virtual
async def test_the_first_of_two_failures_is_reported(task: Task) -> None:
    @ps.step
    async def fails(text: str) -> int:
        try:
            await asyncio.sleep(1 if text == "first" else 2)
        except asyncio.CancelledError:
            raise ValueError("while it was cancelled") from None
        raise ValueError(text)

    @ps.workflow
    def two(flow: ps.Flow) -> ps.Node[int]:
        second = flow.call(fails, flow.constant("second"), name="second")
        return flow.call(add, second, flow.call(fails, flow.constant("first"), name="first"))

    async with ps.Runtime(task=task) as rt:
        with pytest.raises(ps.RunFailed, match="first") as failed:
            await rt.run(two)
        assert failed.value.node == "two/first"


# History.


@virtual
async def test_history_tells_what_happened_and_when(task: Task) -> None:
    async with ps.Runtime(task=task) as rt:
        opened = rt._core.now()
        run = await rt.start(diamond, 1)
        await run.result()
        history = await run.history()
        assert [(event.kind, event.node) for event in history] == [
            ("accepted", ""),
            ("done", "diamond/double"),
            ("done", "diamond/left"),
            ("done", "diamond/right"),
            ("done", "diamond/add"),
            ("ended", ""),
        ]
        assert [event.attempt for event in history] == [0, 1, 1, 1, 1, 0]
        assert history[-1].detail == "succeeded"
        assert all(event.at == pytest.approx(opened) for event in history)
        assert await run.history(after=4) == history[4:]
        assert await run.history(after=100) == []


@virtual
async def test_history_of_a_run_that_goes_on(task: Task) -> None:
    async with ps.Runtime(task=task) as rt:
        run = await rt.start(sleep, 5.0)
        await asyncio.sleep(1)
        assert [event.kind for event in await run.history()] == ["accepted"]
        await run.result()
        accepted, done, ended = await run.history()
        assert done.at - accepted.at == pytest.approx(5)
        assert done.started is not None
        assert done.at - done.started == pytest.approx(5)
        assert ended.at == done.at


@virtual
async def test_join_waits_for_every_run(task: Task) -> None:
    async with ps.Runtime(task=task) as rt:
        await rt.join()
        runs = await rt.start_many(sleep, [1.0, 5.0, 3.0])
        bad = await rt.start(fail, "not join's business")

        async def one_more() -> None:
            await asyncio.sleep(4)
            await rt.start(sleep, 4.0)

        later = asyncio.ensure_future(one_more())
        await rt.join()
        assert asyncio.get_running_loop().time() == pytest.approx(8)
        assert [run.status for run in runs] == ["succeeded"] * 3
        assert bad.status == "failed"
        await later


@virtual
async def test_stats_count_runs_steps_and_times(task: Task) -> None:
    queue = ps.Queue("narrow", concurrency=1)

    @ps.step(queue=queue, retry=ps.RetryPolicy(initial_interval=0))
    async def second_time(x: int, ctx: ps.Context) -> int:
        await asyncio.sleep(1)
        if ctx.attempt == 1:
            raise ValueError
        return x

    @ps.step(queue=queue, timeout=0.5)
    async def too_slow(x: int) -> int:
        await asyncio.sleep(60)
        return x

    async with ps.Runtime(task=task) as rt:
        for run in await rt.start_many(second_time, range(3)):
            await run.result()
        with pytest.raises(ps.RunFailed):
            await rt.run(too_slow, 1)
        running = await rt.start(too_slow, 2)
        await asyncio.sleep(0.1)
        stats = rt.stats()
        assert (stats.runs, stats.running) == (1, 1)
        assert (stats.queues["narrow"].running, stats.queues["narrow"].waiting) == (1, 0)
        flow = stats.workflows["second_time"]
        assert (flow.accepted, flow.succeeded, flow.failed, flow.cancelled) == (3, 3, 0, 0)
        assert flow.latency.count == 3
        assert flow.latency.longest == pytest.approx(6, rel=0.02)
        step = stats.steps["second_time"]
        assert (step.attempts, step.retries, step.succeeded, step.failed) == (6, 3, 3, 3)
        assert step.duration.p50 == pytest.approx(1, rel=0.02)
        assert step.queue_delay.longest >= 1.9
        slow = stats.steps["too_slow"]
        assert (slow.attempts, slow.succeeded, slow.failed, slow.timeouts) == (2, 0, 1, 1)
        await running.cancel()
        with pytest.raises(ps.RunCancelled):
            await running.result()
        assert rt.stats().workflows["too_slow"].cancelled == 1


@virtual
async def test_versions_of_a_workflow_are_told_apart(task: Task) -> None:
    @ps.workflow(name="answer", version="1")
    def old(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        return flow.call(noop, x)

    @ps.workflow(name="answer", version="2")
    def new(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        return flow.call(double, x)

    async with ps.Runtime(task=task, workflows=[old, new]) as rt:
        assert (await rt.run(old, 1), await rt.run(new, 1)) == (1, 2)
        assert set(rt.stats().workflows) == {"answer 1", "answer 2"}
