"""What happens in a process of its own, `python -m durable.scenes NAME PATH`, and ends there."""

from __future__ import annotations

import asyncio
import ctypes
import os
import resource
import signal
import sqlite3
import struct
import subprocess
import sys
import warnings
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import penstock as ps

TESTS = Path(__file__).parents[1]


def play(scene: Callable[[Path], None], path: Path, *, ends: int = 0) -> str:
    """Play a scene in another process, which ends as it should; its output."""
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-m", "durable.scenes", scene.__name__, path],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(TESTS)},
        timeout=60,
    )
    assert ran.returncode == ends, ran.stdout + ran.stderr
    return ran.stdout


@contextmanager
def locked(path: Path) -> Generator[None]:
    """Another process has a write transaction open in a store."""
    with subprocess.Popen(
        [sys.executable, "-m", "durable.scenes", hold.__name__, path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(TESTS)},
    ) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        try:
            assert holder.stdout.readline() == b"held\n"
            yield
        finally:
            holder.stdin.close()
            holder.wait()


def hold(path: Path) -> None:
    """Hold the write lock until the input ends."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    print("held", flush=True)
    sys.stdin.read()
    connection.close()


def die() -> None:
    """Go down without a word."""
    os.kill(os.getpid(), signal.SIGKILL)


# A race whose loser won't let go.


@ps.step(effects="idempotent")
async def win(x: int) -> int:
    return 2 * x


@ps.step(effects="idempotent")
async def linger(x: int) -> int:
    try:
        await asyncio.sleep(60.0)
    except asyncio.CancelledError:
        await asyncio.sleep(60.0)
    return x


@ps.workflow
def racing(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
    return flow.race(flow.call(linger, x), flow.call(win, x))


def win_and_die(path: Path) -> None:
    """Go down when the race is won, and its loser has not ended."""

    async def main() -> None:
        async with ps.Runtime(path, workflows=[racing]) as rt:
            run = await rt.start(racing, 4, run_id="r")
            while "done" not in [event.kind for event in await run.history()]:
                await asyncio.sleep(0)
            await rt.start(win, 0)  # behind it in the journal, and on disk
            die()

    asyncio.run(main())


# A fork.


def fork_and_go_on(path: Path) -> None:
    """A child is forked, which keeps off the store; the parent goes on, and goes down first."""

    async def main() -> None:
        async with ps.Runtime(path, workflows=[win]) as rt:
            await rt.run(win, 1, run_id="before")
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of threads, which the child does not need
                child = os.fork()
            if child == 0:
                try:
                    rt.get("before")
                except ps.PenstockError as error:
                    print("child:", error, flush=True)
                os.close(1)  # whoever reads the output need not wait for this process
                os.close(2)
                signal.alarm(5)
                signal.pause()
            await asyncio.sleep(0.2)
            print("parent:", await rt.run(win, 2, run_id="after"), flush=True)
            die()

    asyncio.run(main())


# A disk that is full, a file that nobody may write to.


def fill_and_free(path: Path) -> None:
    """No file may grow for a while: what can't be confirmed is refused, and all goes on later."""

    async def main() -> None:
        async with ps.Runtime(path, workflows=[win]) as rt:
            await rt.run(win, 1, run_id="before")
            _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
            log = Path(f"{path}-wal").stat().st_size
            resource.setrlimit(resource.RLIMIT_FSIZE, (log + 100, most))
            try:
                await rt.start(win, 2, run_id="meanwhile")
            except ps.StoreError as error:
                print(error, flush=True)
            else:
                print("it was accepted", flush=True)
            resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
            await go_on(rt)

    # What is told is the error of the write, not the signal.
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    asyncio.run(main())


async def go_on(rt: ps.Runtime) -> None:
    """The trouble has ended."""
    async with asyncio.timeout(10.0):
        run: ps.Run[int] | None = None
        while run is None:
            try:
                run = await rt.start(win, 2, run_id="meanwhile")
            except ps.StoreError:
                await asyncio.sleep(0.05)
        print(await run.result(), await rt.run(win, 3, run_id="after"), flush=True)


def open_as_anybody(path: Path) -> None:
    """Open a store as somebody who is not root, and whom the file's permissions bind."""
    bound_by_permissions()
    open_and_tell(path)


def bound_by_permissions() -> None:
    """Give up root's right to write where it may not (capability 1 of Linux, DAC_OVERRIDE)."""
    if os.geteuid() == 0:
        libc = ctypes.CDLL(None, use_errno=True)
        header = struct.pack("Ii", 0x20080522, 0)
        data = ctypes.create_string_buffer(24)
        assert libc.capget(header, data) == 0
        words = list(struct.unpack("6I", data.raw))
        words[0] &= ~0b110  # DAC_OVERRIDE and DAC_READ_SEARCH, of the effective set
        assert libc.capset(header, struct.pack("6I", *words)) == 0


def open_and_tell(path: Path) -> None:
    """Open a store and tell what is wrong with it."""

    async def main() -> None:
        try:
            async with ps.Runtime(path, workflows=[win]) as rt:
                print("opened", await rt.run(win, 1), flush=True)
        except ps.PenstockError as error:
            print(f"{type(error).__name__}: {error}", flush=True)

    asyncio.run(main())


if __name__ == "__main__":
    globals()[sys.argv[1]](Path(sys.argv[2]))
