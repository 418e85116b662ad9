"""Runs that wait for long hold no values in memory; whoever needs them gets them from the store."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import weakref
from pathlib import Path

import pytest
from pydantic import BaseModel

import penstock as ps
from penstock.testing import VirtualClock

HOUR = 3600.0


class Scan(BaseModel):
    """Something large."""

    text: str


approval = ps.Signal("approval", Scan)
alive: list[weakref.ref[Scan]] = []
undone: list[str] = []


def watched(scan: Scan) -> Scan:
    alive.append(weakref.ref(scan))
    return scan


def held() -> int:
    gc.collect()
    return sum(reference() is not None for reference in alive)


@pytest.fixture(autouse=True)
def _nothing() -> None:
    alive.clear()
    undone.clear()


@ps.step(effects="pure")
async def read(scan: Scan) -> Scan:
    return watched(Scan(text=scan.text * 2))


@ps.step(effects="pure")
async def split(scan: Scan) -> list[Scan]:
    return [watched(Scan(text=letter)) for letter in scan.text]


async def forget(scan: Scan, page: Scan | None) -> None:
    undone.append(f"{scan.text} {page.text if page else None}")


undo = ps.step(effects="idempotent")(forget)


@ps.step(effects="idempotent", compensate=undo)
async def book(scan: Scan) -> Scan:
    return watched(Scan(text=f"booked {scan.text}"))


@ps.step(effects="pure")
async def join(scan: Scan, pages: list[Scan], booked: Scan, by: Scan) -> str:
    return f"{scan.text}: {'+'.join(page.text for page in pages)}, {booked.text}, by {by.text}"


def loud(scan: Scan) -> bool:
    return scan.text.isupper()


@ps.workflow(version="1")
def archive(flow: ps.Flow, scan: ps.Node[Scan]) -> ps.Node[str]:
    double = flow.call(read, scan)
    pages = flow.map(read, flow.call(split, scan))
    booked = flow.call(book, double)
    by = flow.signal(approval, after=flow.sleep(pages, HOUR))
    case = flow.switch(by, key=loud)
    signed = flow.merge(flow.call(read, case[True]), case[False])
    return flow.call(join, double, pages, booked, signed)


@ps.workflow(version="1")
def naps(flow: ps.Flow, scan: ps.Node[Scan]) -> ps.Node[Scan]:
    return flow.sleep(flow.call(read, scan), HOUR)


@ps.workflow(version="1")
def later(flow: ps.Flow, scan: ps.Node[Scan]) -> ps.Node[Scan]:
    double = flow.call(read, scan)
    return flow.call(read, double, after=[flow.sleep(double, HOUR)])


async def cooled(rt: ps.Runtime) -> None:
    """In virtual time nobody looks while nothing happens, so something has to."""
    for _ in range(2):
        await asyncio.sleep(2.0)
        await rt.run(other, "x")


@ps.step
async def other(text: str) -> str:
    return text


@pytest.mark.parametrize("name", ["kim", "KIM"])
def test_what_was_let_go_comes_back_when_it_is_needed(tmp_path: Path, name: str) -> None:
    async def story() -> str:
        async with ps.Runtime(tmp_path / "a.db", workflows=[archive]) as rt:
            run = await rt.start(archive, watched(Scan(text="ab")), run_id="a")
            await asyncio.sleep(0.1)
            assert held() == 4, "the double, the booking, two pages"
            await cooled(rt)
            assert held() == 0
            await asyncio.sleep(HOUR)
            await cooled(rt)
            await run.signal(approval, Scan(text=name))
            return await run.result()

    by = "by KIMKIM" if name == "KIM" else "by kim"
    assert VirtualClock().run(story()) == f"abab: aa+bb, booked abab, {by}"


def test_a_run_that_ends_by_a_timer_gives_what_it_had(tmp_path: Path) -> None:
    async def story() -> None:
        async with ps.Runtime(tmp_path / "a.db", workflows=[naps]) as rt:
            run = await rt.start(naps, Scan(text="z"), run_id="z")
            await asyncio.sleep(0.1)
            await cooled(rt)
            assert held() == 0
            assert await run.result() == Scan(text="zz")
        async with ps.Runtime(tmp_path / "a.db", workflows=[naps]) as rt:
            assert await rt.get("z").result() == Scan(text="zz")

    VirtualClock().run(story())


LOSE = """
import sqlite3, sys
store = sqlite3.connect(sys.argv[1])
gone = store.execute(
    "DELETE FROM journal WHERE run = (SELECT min(run) FROM journal) AND kind = 'done' AND node = 1"
)
assert gone.rowcount == 1
store.commit()
"""
"""Deletes the result of a run's first step."""


def lose(path: Path) -> None:
    """Another process does it: two copies of SQLite in one are in each other's way."""
    subprocess.run([sys.executable, "-c", LOSE, str(path)], check=True)


@pytest.mark.parametrize(("flow", "error"), [(later, ps.RunFailed), (naps, ps.RunHeld)])
def test_a_value_that_is_gone_is_an_error_and_not_nothing(
    tmp_path: Path, flow: ps.Workflow[[Scan], Scan], error: type[Exception]
) -> None:
    async def story() -> None:
        async with ps.Runtime(tmp_path / "a.db", workflows=[flow]) as rt:
            run = await rt.start(flow, Scan(text="ab"), run_id="a")
            await asyncio.sleep(0.1)
            await cooled(rt)
            lose(tmp_path / "a.db")
            with pytest.raises(error, match="it is gone"):
                await run.result()

    VirtualClock().run(story())


def test_what_is_undone_is_undone_with_its_values(tmp_path: Path) -> None:
    async def story() -> None:
        async with ps.Runtime(tmp_path / "a.db", workflows=[archive]) as rt:
            run = await rt.start(archive, Scan(text="ab"), run_id="a")
            await asyncio.sleep(0.1)
            await cooled(rt)
            await run.cancel()
            with pytest.raises(ps.RunCancelled):
                await run.result()
            assert run.status == "compensated"

    VirtualClock().run(story())
    assert undone == ["abab booked abab"]


async def test_on_a_real_loop_it_happens_by_itself(tmp_path: Path) -> None:
    async with ps.Runtime(tmp_path / "a.db", workflows=[archive], grace=0.0) as rt:
        for number in range(20):
            await rt.start(archive, watched(Scan(text="abc")), run_id=str(number))
        async with asyncio.timeout(20):
            while held() > 0:
                await asyncio.sleep(0.1)
        assert rt.get("7").status == "running"
