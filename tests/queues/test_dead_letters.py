"""Dead letters: runs that are set aside when no retry is paid for, until somebody sees to them."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest

import penstock as ps
from loops import Task, virtual
from services import Service, now

SOON = ps.RetryPolicy(max_attempts=3, initial_interval=0.5, max_interval=0.5, jitter="none")
ONE = ps.RetryBudget(ratio=0, floor=0.0001, stored=1, on_denial="dead_letter")


@virtual
async def test_a_dead_letter_waits_for_somebody(task: Task) -> None:
    service = Service(down=True)

    @ps.step(queue=ps.Queue("api", retry_budget=ONE), retry=SOON)
    async def work(x: int, ctx: ps.Context) -> object:
        return await service.call(x, ctx)

    async with ps.Runtime(task=task) as rt:
        run = await rt.start(work, 7, run_id="r")
        with pytest.raises(ps.RunHeld, match=r"after 2 attempts.*Run\.resume\(\)") as held:
            await run.result()
        assert (held.value.run_id, held.value.node) == ("r", "work/work")
        assert run.status == "paused"
        service.down = False
        await asyncio.sleep(3_600)
        assert len(service.calls) == 2, "nobody has seen to it"
        with pytest.raises(ps.RunHeld):
            await rt.get("r").result()
        assert await run.resume()
        assert await run.result() == 7
        assert [call.attempt for call in service.calls] == [1, 2, 3]


@virtual
async def test_a_dead_letter_that_fails_again_is_one_again(task: Task) -> None:
    service = Service(down=True)
    many = ps.RetryPolicy(max_attempts=5, initial_interval=0.5, jitter="none")

    @ps.step(queue=ps.Queue("api", retry_budget=ONE), retry=many)
    async def work(x: int, ctx: ps.Context) -> object:
        return await service.call(x, ctx)

    async with ps.Runtime(task=task) as rt:
        run = await rt.start(work, 7)
        for attempts in (2, 3, 4):
            with pytest.raises(ps.RunHeld, match=f"after {attempts} attempts"):
                await run.result()
            assert len(service.calls) == attempts
            assert await run.resume()
        with pytest.raises(ps.RunFailed, match="5 attempts"):
            await run.result()


@virtual
async def test_a_dead_letter_can_be_cancelled(task: Task) -> None:
    service = Service(down=True)

    @ps.step(queue=ps.Queue("api", retry_budget=ONE), retry=SOON)
    async def work(x: int) -> object:
        return await service.call(x)

    async with ps.Runtime(task=task) as rt:
        run = await rt.start(work, 7)
        with pytest.raises(ps.RunHeld):
            await run.result()
        assert await run.cancel()
        with pytest.raises(ps.RunCancelled):
            await run.result()
        assert rt.stats().runs == 0


@virtual
async def test_a_deadline_passes_for_a_dead_letter_too(task: Task) -> None:
    service = Service(down=True)

    @ps.step(queue=ps.Queue("api", retry_budget=ONE), retry=SOON)
    async def work(x: int) -> object:
        return await service.call(x)

    async with ps.Runtime(task=task) as rt:
        run = await rt.start(work, 7, deadline=60.0)
        with pytest.raises(ps.RunHeld):
            await run.result()
        await asyncio.sleep(61)
        assert run.status == "failed"
        with pytest.raises(ps.DeadlineExceeded):
            await run.result()


@virtual
async def test_two_steps_of_one_run_may_be_denied(task: Task) -> None:
    service = Service(down=True)

    @ps.step(queue=ps.Queue("api", retry_budget=ONE), retry=SOON)
    async def work(x: int, ctx: ps.Context) -> object:
        return await service.call(ctx.path, ctx)

    @ps.step
    async def beside(x: int) -> int:
        await asyncio.sleep(5)
        return x

    @ps.workflow
    def several(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[object]:
        parts = [flow.call(work, x, name=name) for name in "abc"]
        return flow.apply(lambda *all: len(all), flow.call(beside, x), *parts)

    async with ps.Runtime(task=task) as rt:
        run = await rt.start(several, 7)
        with pytest.raises(ps.RunHeld):
            await run.result()
        await asyncio.sleep(60)
        assert run.status == "paused"
        service.down = False
        assert await run.resume()
        assert await run.result() == 4
        assert now() <= 70


@virtual
async def test_undoing_is_never_set_aside_for_want_of_a_token(task: Task) -> None:
    service = Service(down=True)
    undone: list[int] = []

    @ps.step(queue=ps.Queue("api", retry_budget=ONE), retry=SOON)
    async def undo(x: int, result: int | None) -> None:
        await service.call(x)
        undone.append(x)

    @ps.step(compensate=undo)
    async def do(x: int) -> int:
        return x

    @ps.step
    async def fail(x: int) -> int:
        raise ValueError

    @ps.workflow
    def order(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        return flow.call(fail, flow.call(do, x))

    async with ps.Runtime(task=task) as rt:
        runs = await rt.start_many(order, range(5))
        await asyncio.sleep(0.25)
        assert {run.status for run in runs} == {"compensating"}
        assert rt.stats().queues["api"].parked == 4
        service.down = False
        for run in runs:
            with pytest.raises(ps.RunFailed, match="ValueError"):
                await run.result()
        assert {run.status for run in runs} == {"compensated"}
        assert sorted(undone) == list(range(5))


JOINING = """
import asyncio, sys
import penstock as ps

ONE = ps.RetryBudget(ratio=0, floor=0.0001, stored=1, on_denial="dead_letter")

@ps.step(queue=ps.Queue("api", retry_budget=ONE), retry=ps.RetryPolicy(max_attempts=5))
async def denied(x: int) -> int:
    raise OSError

@ps.step(effects="once", timeout=1.0)
async def unknown(x: int) -> int:
    await asyncio.sleep(60)
    return x

async def main():
    async with ps.Runtime() as rt:
        run = await rt.start(globals()[sys.argv[1]], 7)
        await asyncio.sleep(10)
        print(run.status, flush=True)
        joining = asyncio.ensure_future(rt.join())
        await asyncio.sleep(5)
        print("the loop goes on", flush=True)
        await run.cancel()
        await asyncio.wait([joining], timeout=5)

ps.testing.VirtualClock().run(main())
"""


@pytest.mark.parametrize("why", ["denied", "unknown"])
def test_joining_leaves_the_loop_its_turns_while_a_run_stands_still(why: str) -> None:
    """Who asked for the end of such a run was answered at once, and asked again, for ever.

    In a process of its own, which can be stopped.
    """
    seen = subprocess.run(
        [sys.executable, "-c", JOINING, why],
        capture_output=True,
        text=True,
        check=False,
        timeout=5,
    )
    assert seen.stdout.splitlines() == ["paused", "the loop goes on"], seen.stderr
