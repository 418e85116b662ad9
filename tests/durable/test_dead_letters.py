"""A run that brings its process down is tried a few times, and then held."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import penstock as ps

WORKER = """
import asyncio, os, signal, sys
import penstock as ps

@ps.step(effects="idempotent")
async def harmless(x: int) -> int:
    return x

@ps.step(effects="idempotent")
async def deadly(x: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)

async def main():
    async with ps.Runtime(sys.argv[1], workflows=[harmless, deadly], max_recoveries=2) as rt:
        if sys.argv[2] == "start":
            await rt.run(harmless, 1, run_id="harmless")
            await rt.start(deadly, 1, run_id="deadly")
        await rt.join()
        print(rt.get("deadly").status, rt.get("harmless").status)

asyncio.run(main())
"""


def work(store: Path, what: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", WORKER, str(store), what],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_a_deadly_run_becomes_a_dead_letter(tmp_path: Path) -> None:
    store = tmp_path / "a.db"
    for what in ("start", "go on", "go on"):
        assert work(store, what).returncode == -signal.SIGKILL
    last = work(store, "go on")
    assert (last.returncode, last.stdout) == (0, "held succeeded\n"), last.stderr

    async def look() -> None:
        async with ps.Runtime(store) as rt:
            with pytest.raises(ps.RunHeld, match="dead letter: the process went down 3 times"):
                await rt.get("deadly").result()

    asyncio.run(look())


def test_lost_records_are_found_by_what_was_acknowledged(tmp_path: Path) -> None:
    """A log that is cut at a commit is a valid, shorter log: only the flight file knows."""

    @ps.step
    async def echo(x: int) -> int:
        return x

    async def run(number: int) -> None:
        async with ps.Runtime(tmp_path / "a.db", workflows=[echo]) as rt:
            await rt.run(echo, number)

    asyncio.run(run(1))
    older = (tmp_path / "a.db").read_bytes()
    asyncio.run(run(2))
    (tmp_path / "a.db").write_bytes(older)
    with pytest.raises(ps.StoreCorrupt, match=r"lsn 4 to 6.*acknowledged"):
        asyncio.run(run(3))
    (tmp_path / "a.db.flight").unlink()
    asyncio.run(run(3))
    assert (tmp_path / "a.db.flight").exists()
