"""The workflows and orders that the tests of operating a store share."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import penstock as ps
from penstock._commands import Outcome
from penstock._stored import StoreView

approval = ps.Signal("approval", str)
amount = ps.Signal("amount", int)


@ps.step(effects="idempotent")
async def pages(count: int) -> list[int]:
    """So many pages."""
    return list(range(count))


@ps.step(
    effects="pure",
    retry=ps.RetryPolicy(max_attempts=2, initial_interval=0.001, jitter="none"),
)
async def summarise(page: int, ctx: ps.Context) -> str:
    """The second page needs a second attempt."""
    if page == 1 and ctx.attempt == 1:
        raise ValueError("the model is [busy]")
    return f"s{page}"


@ps.step(effects="idempotent")
async def ship(parts: list[str], by: str) -> str:
    """What is done after the approval."""
    return f"{'+'.join(parts)} by {by}"


@ps.workflow(version="2")
def shop(flow: ps.Flow, count: ps.Node[int]) -> ps.Node[str]:
    """A map, and a person who is waited for."""
    parts = flow.map(summarise, flow.call(pages, count), name="parts")
    return flow.call(ship, parts, flow.signal(approval, after=parts))


@ps.step(effects="once", timeout=0.01)
async def charge(sum: int) -> str:  # noqa: A002 (a name in a path)
    """Is always cut off."""
    await asyncio.sleep(3_600)
    return "never"


@ps.workflow(version="1")
def checkout(flow: ps.Flow, sums: ps.Node[list[int]]) -> ps.Node[list[str]]:
    """Leaves outcomes unknown, in frames."""
    return flow.map(charge, sums, name="all")


@ps.step
async def wrong(x: int) -> int:
    """Fails."""
    raise KeyError("no")


def runtime(folder: Path, **options: Any) -> ps.Runtime:
    """On the store of the folder."""
    return ps.Runtime(folder / "a.db", workflows=[shop, checkout, wrong], grace=0.0, **options)


def view(folder: Path) -> StoreView:
    """The read side of that store."""
    return StoreView(folder / "a.db")


def leave(
    store: StoreView, verb: str, run_id: str, arguments: object = (), *, key: str | None = None
) -> int:
    """Leave a command, as another process would."""
    text = arguments if isinstance(arguments, str) else json.dumps(arguments or {})
    return store.reader.command(key or uuid.uuid4().hex, run_id, verb, text, "tests", 1.0)


async def answer(store: StoreView, number: int) -> Outcome:
    """What comes of a command."""

    async def is_there() -> bool:
        return store.reader.outcome(number) is not None

    await until(is_there)
    return Outcome.of_json(store.reader.outcome(number) or "")


async def order(store: StoreView, verb: str, run_id: str, arguments: object = ()) -> Outcome:
    """Leave a command, and wait for what comes of it."""
    number = await asyncio.to_thread(leave, store, verb, run_id, arguments)
    return await answer(store, number)


async def standing(run: ps.Run[Any], status: str = "running", *, records: int = 1) -> None:
    """Wait until the run has so many records and this status."""

    async def is_there() -> bool:
        return run.status == status and len(await run.history()) >= records

    await until(is_there)


async def until(condition: Callable[[], Coroutine[Any, Any, bool]]) -> None:
    """Wait for something that nobody tells of."""
    async with asyncio.timeout(20):
        while not await condition():
            await asyncio.sleep(0.002)
