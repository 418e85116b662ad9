"""Trouble from outside: each has a clear error with a remedy, and when it ends, all goes on."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

import penstock as ps
from durable.scenes import (
    fill_and_free,
    fork_and_go_on,
    go_on,
    locked,
    open_and_tell,
    open_as_anybody,
    play,
    win,
)

linux = pytest.mark.skipif(sys.platform != "linux", reason="the trouble is made by Linux's means")


async def make(path: Path, runs: int = 1) -> None:
    """A store with runs that are over."""
    async with ps.Runtime(path, workflows=[win]) as rt:
        for number in range(runs):
            await rt.run(win, number, run_id=f"r{number}")


def change(path: Path, sql: str) -> None:
    """Tamper with a store that nobody has open."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(sql)


# Opening.


async def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ps.StoreError, match=r"the folder .*/missing does not exist") as caught:
        async with ps.Runtime(tmp_path / "missing" / "a.db"):
            pass
    assert caught.value.remedy
    assert not (tmp_path / "missing").exists()


@linux
async def test_a_file_that_may_not_be_written(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    await make(path)
    path.chmod(0o444)
    tmp_path.chmod(0o555)
    try:
        told = play(open_as_anybody, path)
    finally:
        tmp_path.chmod(0o755)
        path.chmod(0o644)
    assert re.match(r"StoreError: \S*a\.db\S* can't be written to; .* permission", told), told
    assert play(open_as_anybody, path) == "opened 2\n"


async def test_a_store_of_another_version(tmp_path: Path) -> None:
    await make(tmp_path / "a.db")
    change(tmp_path / "a.db", "PRAGMA user_version = 99")
    with pytest.raises(ps.StoreCorrupt, match="version 99") as caught:
        async with ps.Runtime(tmp_path / "a.db"):
            pass
    assert caught.value.remedy


async def test_a_file_that_is_no_store(tmp_path: Path) -> None:
    change(tmp_path / "a.db", "CREATE TABLE invoices(id)")
    (tmp_path / "b.db").write_text("Dear diary, " * 100)
    for name in ("a.db", "b.db"):
        before = (tmp_path / name).read_bytes()
        with pytest.raises(ps.StoreError, match=rf"{name} is no"):
            async with ps.Runtime(tmp_path / name):
                pass
        assert (tmp_path / name).read_bytes() == before, "it is left as it is"


async def test_a_store_in_use_by_another_process(tmp_path: Path) -> None:
    async with ps.Runtime(tmp_path / "a.db", workflows=[win]) as rt:
        told = play(open_and_tell, tmp_path / "a.db")
        assert told.startswith("StoreError: ")
        assert f"in use by the runtime of process {os.getpid()};" in told
        assert await rt.run(win, 2) == 4
    assert play(open_and_tell, tmp_path / "a.db") == "opened 2\n"


# Damage.


async def test_a_record_that_was_changed(tmp_path: Path) -> None:
    """The error names the place; other runs can still be read."""
    await make(tmp_path / "a.db", runs=2)
    change(
        tmp_path / "a.db",
        "UPDATE journal SET value = '7' WHERE kind = 'done' AND run = "
        "(SELECT run FROM runs WHERE run_id = 'r1')",
    )
    async with ps.Runtime(tmp_path / "a.db", workflows=[win]) as rt:
        assert await rt.get("r0").result() == 0
        with pytest.raises(ps.StoreCorrupt, match=r"journal lsn \d+") as caught:
            rt.get("r1")
        assert caught.value.remedy
        assert await rt.run(win, 5) == 10


async def test_a_file_with_a_page_overwritten(tmp_path: Path) -> None:
    await make(tmp_path / "a.db", runs=200)
    with (tmp_path / "a.db").open("r+b") as file:
        for page in range(1, (tmp_path / "a.db").stat().st_size // 4096):
            file.seek(page * 4096)
            file.write(os.urandom(64))
    with pytest.raises(ps.StoreCorrupt) as caught:
        async with ps.Runtime(tmp_path / "a.db", workflows=[win]) as rt:
            rt.get("r7")
    assert caught.value.remedy


async def test_records_that_are_lost(tmp_path: Path) -> None:
    """An older copy of a store in its place, as a backup tool may bring back, is found out."""
    await make(tmp_path / "a.db")
    shutil.copy(tmp_path / "a.db", tmp_path / "old.db")
    await make(tmp_path / "a.db", runs=3)
    shutil.copy(tmp_path / "old.db", tmp_path / "a.db")
    with pytest.raises(ps.StoreCorrupt, match=r"journal lsn \d+ to \d+"):
        async with ps.Runtime(tmp_path / "a.db", workflows=[win]):
            pass


# While the service runs.


async def test_another_process_writes_for_long(tmp_path: Path) -> None:
    """A start is refused with the reason, what runs goes on, and all is caught up with after it."""
    beats: list[int] = []

    @ps.step(effects="idempotent")
    async def beat(x: int) -> int:
        for number in range(x):
            beats.append(number)
            await asyncio.sleep(0.01)
        return x

    async with ps.Runtime(tmp_path / "a.db", workflows=[win, beat]) as rt:
        beating = await rt.start(beat, 100)
        with locked(tmp_path / "a.db"):
            before = len(beats)
            with pytest.raises(
                ps.StoreError, match="another process has kept the store busy"
            ) as caught:
                await rt.start(win, 2, run_id="meanwhile")
            assert caught.value.remedy is not None
            assert "run_id" in caught.value.remedy
            assert len(beats) > before + 20, "the loop was not held up"
        await go_on(rt)
        assert await beating.result() == 100
        assert [event.kind for event in await rt.get("meanwhile").history()].count("done") == 1


@linux
def test_a_file_that_can_not_grow(tmp_path: Path) -> None:
    refused, results = play(fill_and_free, tmp_path / "a.db").splitlines()
    assert "not confirmed on disk" in refused
    assert results == "4 6"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of a megabyte."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "penstock-test", str(disk)]
    if (
        sys.platform != "linux"
        or os.geteuid() != 0
        or subprocess.run(mount, check=False, capture_output=True).returncode != 0
    ):
        pytest.skip("only root may mount a disk")
    yield disk
    subprocess.run(["umount", disk], check=True)


def fill(ballast: Path) -> None:
    """Leave no room on a disk."""
    with suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)


async def test_a_full_disk(small_disk: Path) -> None:
    """The error says so; nothing accepted is lost, and it goes on by itself when there is room."""
    ballast = small_disk / "ballast"
    async with ps.Runtime(small_disk / "a.db", workflows=[win]) as rt:
        await rt.run(win, 1, run_id="before")
        fill(ballast)
        accepted: list[str] = []
        refused: list[str] = []
        while not refused:
            try:
                await rt.start(win, len(accepted), run_id=f"r{len(accepted)}")
            except ps.StoreError as error:
                refused.append(str(error))
            else:
                accepted.append(f"r{len(accepted)}")
        assert "the disk is full" in refused[0]
        ballast.unlink()
        await go_on(rt)
        for run_id in accepted:
            assert await rt.get(run_id).result() == 2 * int(run_id[1:])
    async with ps.Runtime(small_disk / "a.db", workflows=[win]) as rt:
        for run_id in [*accepted, "meanwhile", "after"]:
            assert rt.get(run_id).status == "succeeded"


async def test_a_disk_that_was_full_before(small_disk: Path) -> None:
    """Who begins to wait once the trouble is known hears of it, too."""
    ballast = small_disk / "ballast"
    async with ps.Runtime(small_disk / "a.db", workflows=[win]) as rt:
        await rt.run(win, 1, run_id="before")
        fill(ballast)
        number = 0
        with suppress(ps.StoreError):
            while number < 10_000:
                await rt.start(win, number, run_id=f"r{number}")
                number += 1
        assert number < 10_000
        for number in range(3):
            async with asyncio.timeout(20.0):
                with pytest.raises(ps.StoreError, match="the disk is full"):
                    await rt.start(win, number, run_id=f"late {number}")
        ballast.unlink()
        await go_on(rt)


# The clock, and forks.


async def test_a_clock_that_went_back(tmp_path: Path) -> None:
    """Time in a store never goes back, and what slept goes on sleeping for what was left."""

    @ps.workflow
    def nap(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        return flow.call(win, flow.sleep(x, 1000.0))

    time = 1_000_000.0

    def clock() -> float:
        return time

    async with ps.Runtime(tmp_path / "a.db", workflows=[nap], clock=clock, grace=0.0) as rt:
        run = await rt.start(nap, 1, run_id="n")
        time += 400.0
        await rt.run(win, 1)
        (first,) = await run.history()
    time -= 5_000.0
    async with ps.Runtime(tmp_path / "a.db", workflows=[nap, win], clock=clock, grace=0.0) as rt:
        run = rt.get("n")
        await rt.run(win, 2, run_id="later")
        (later, *_) = await rt.get("later").history()
        assert later.at >= first.at + 400.0
        assert run.status == "running"
        time += 601.0
        await rt.run(win, 3)
        async with asyncio.timeout(5.0):
            assert await run.result() == 2


@linux
async def test_a_fork_leaves_the_store_to_its_owner(tmp_path: Path) -> None:
    """The child is refused, the parent goes on, and a living child keeps nobody from opening it."""
    told = play(fork_and_go_on, tmp_path / "a.db", ends=-signal.SIGKILL).splitlines()
    assert told[0].startswith("child: ")
    assert "fork" in told[0]
    assert told[1] == "parent: 4"
    async with ps.Runtime(tmp_path / "a.db", workflows=[win]) as rt:
        assert await rt.get("after").result() == 4
