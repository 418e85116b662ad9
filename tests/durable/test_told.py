"""Nobody is told what is not on disk, and whoever waits for the disk is told."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import penstock as ps
from durable.scenes import locked, play, racing, win, win_and_die


async def test_an_end_is_told_when_it_is_on_disk(tmp_path: Path) -> None:
    """A run that had ended before its result was asked for was told before its end was on disk."""
    go = asyncio.Event()

    @ps.step(effects="idempotent")
    async def wait(x: int) -> int:
        await go.wait()
        return x

    async with ps.Runtime(tmp_path / "a.db") as rt:
        run = await rt.start(wait, 7)
        with locked(tmp_path / "a.db"):
            go.set()
            while run.status == "running":
                await asyncio.sleep(0.001)
            told = asyncio.create_task(run.result())
            joined = asyncio.create_task(rt.join())
            await asyncio.sleep(0.1)
            assert not told.done()
            assert not joined.done()
        assert await told == 7
        await joined


async def test_a_run_that_ends_by_being_opened_has_its_result(tmp_path: Path) -> None:
    """A race was won, and the process went down before its loser had ended: the result was None."""
    play(win_and_die, tmp_path / "a.db", ends=-signal.SIGKILL)
    async with ps.Runtime(tmp_path / "a.db", workflows=[racing, win]) as rt:
        run = rt.get("r")
        assert await run.result() == 8
        assert run.status == "succeeded"


async def test_who_waits_for_the_disk_does_not_wait_for_what_is_not_written(tmp_path: Path) -> None:
    """The last record was one that durability="exit" does not write: pausing waited for it."""

    @ps.step(effects="pure")
    async def slow(x: int) -> int:
        await asyncio.sleep(30.0)
        return x

    @ps.workflow(durability="exit")
    def unrecorded(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        return flow.call(slow, flow.call(win, x))

    async with ps.Runtime(tmp_path / "a.db", grace=0.0) as rt:
        over = await rt.start(win, 1)
        await over.result()
        run = await rt.start(unrecorded, 1)
        while "done" not in [event.kind for event in await run.history()]:
            await asyncio.sleep(0.001)
        async with asyncio.timeout(1.0):
            assert not await over.cancel()
            assert await run.pause()
            assert not await run.pause()
