"""Services that go down, each in a process of its own: `python -m economics.scenes NAME PATH ...`.

What each has been promised is in its output: a run and its nano-dollars, once `result` has come.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from contextlib import suppress
from pathlib import Path

import penstock as ps
from economics.purse import PRICES

TESTS = Path(__file__).parents[1]
RETRY = ps.RetryPolicy(max_attempts=3, initial_interval=0.001, jitter="none")


def play(scene: str, path: Path, *options: object, ends: int = 0) -> Counter[str]:
    """Play a scene, which ends as it should; the nano-dollars of runs that it was promised."""
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-m", "economics.scenes", scene, path, *map(str, options)],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path])},
        timeout=60,
    )
    assert ran.returncode == ends, ran.stdout + ran.stderr
    promised: Counter[str] = Counter()
    for line in ran.stdout.splitlines():
        run_id, nanos = line.split()
        promised[run_id] = int(nanos)
    return promised


def die() -> None:
    """Go down without a word."""
    os.kill(os.getpid(), signal.SIGKILL)


def cost_of(order: int) -> int:
    """Nano-dollars of a run that nothing cuts off."""
    return (1 + order % 3) * (1_000_000 + order) + 5_000_000 + 250 * order


@ps.step(effects="idempotent", retry=RETRY, owner="shop")
async def price(order: int, ctx: ps.Context) -> int:
    """Fails for some orders, once or twice; each attempt costs the same."""
    ctx.spend.usd(f"{1_000_000 + order}e-9", "quote")
    await asyncio.sleep(0)
    if ctx.attempt <= order % 3:
        raise ValueError(order)
    return order


@ps.step(effects="idempotent", owner="desk")
async def answer(order: int, ctx: ps.Context) -> int:
    """Costs what a search and an answer do."""
    ctx.spend.tool("search")
    ctx.spend.tokens("small", input=order)
    await asyncio.sleep(0.001)
    return order


@ps.step(effects="idempotent")
async def wait(order: int, ctx: ps.Context) -> int:
    """Spends, and then takes long, the first time."""
    ctx.spend.usd("7e-9", "patience")
    if _seen(ctx.run_id):
        return order
    await asyncio.sleep(60.0)
    return order


def _seen(run_id: str) -> bool:
    return Path(f"{run_id}.seen").exists()


@ps.workflow(version="1")
def shop(flow: ps.Flow, order: ps.Node[int]) -> ps.Node[int]:
    return flow.call(answer, flow.call(price, order))


def runtime(path: Path | str, **options: object) -> ps.Runtime:
    return ps.Runtime(path, workflows=[shop, wait, losing], prices=PRICES, **options)  # type: ignore[arg-type]


async def sell(rt: ps.Runtime, order: int, **options: object) -> None:
    """Run an order, and tell of it once it is over."""
    run = await rt.start(shop, order, run_id=f"order-{order}", **options)  # type: ignore[call-overload]
    assert await run.result() == order
    sys.stdout.write(f"{run.run_id} {cost_of(order)}\n")
    sys.stdout.flush()


def serve(path: str, first: str, last: str, how: str, durability: str) -> None:
    """Sell orders; then go down, with or without figures in the store, or in the midst."""

    async def main() -> None:
        async with runtime(path, durability=durability) as rt:
            orders = range(int(first), int(last))
            await asyncio.gather(*(sell(rt, order, tenant=f"t{order % 2}") for order in orders))
            if how == "close":
                return
            if how != "before figures":
                rt._core.keep_figures()
                await rt._on_disk()
            if how == "behind figures":
                await sell(rt, int(last), tenant="t0")
            if how == "under an attempt":
                waiting = await rt.start(wait, 1, run_id="waiting")
                while not (await waiting.spend()).lines:  # noqa: ASYNC110  # it is no event's doing
                    await asyncio.sleep(0)
                await sell(rt, int(last), tenant="t0")  # behind it in the journal, and on disk
            die()

    asyncio.run(main())


RUNTIMES: list[ps.Runtime] = []


@ps.step(effects="idempotent")
async def spend_on_disk(order: int, ctx: ps.Context) -> int:
    """What it spends is on disk when it ends, and its end is not."""
    ctx.spend.usd("7e-9", "thing")
    for rt in RUNTIMES:
        await rt._on_disk()
    return order


@ps.step(effects="idempotent")
async def die_at_once(order: int) -> int:
    """Go down, the first time."""
    if RUNTIMES:
        die()
    return order


@ps.workflow(version="1")
def losing(flow: ps.Flow, order: ps.Node[int]) -> ps.Node[int]:
    return flow.call(die_at_once, flow.call(spend_on_disk, order))


def lose_an_end(path: str) -> None:
    """Go down between the end of an attempt and its record."""

    async def main() -> None:
        async with ps.Runtime(path, workflows=[losing], durability="async") as rt:
            RUNTIMES.append(rt)
            await rt.run(losing, 1, run_id="losing")

    asyncio.run(main())


def suffer(path: str, first: str, count: str, seed: str) -> None:
    """Sell orders and look at the scorecard now and then, until a random moment."""
    dice = random.Random(int(seed))

    async def main() -> None:
        async with runtime(path) as rt:
            asyncio.get_running_loop().call_later(dice.uniform(0.0, 0.3), die)
            orders = list(range(int(first), int(first) + int(count)))
            while True:
                some, orders = orders[:8], orders[8:]
                await asyncio.gather(*(sell(rt, order) for order in some))
                if dice.random() < 0.5:
                    await rt.scorecard()

    asyncio.run(main())


LATE: list[asyncio.Event] = []


@ps.step(effects="idempotent", timeout=0.01)
async def stubborn(order: int, ctx: ps.Context) -> int:
    """Does not end when it is cancelled, and spends once its run is over."""
    ctx.spend.usd("7e-9", "patience")
    while not LATE[0].is_set():
        try:
            await LATE[0].wait()
        except asyncio.CancelledError:
            continue
    ctx.spend.usd("30e-9", "patience")
    LATE[1].set()
    await asyncio.Event().wait()
    return order


def spend_late(path: str) -> None:
    """Go down once what was spent late is on disk, without figures."""

    async def main() -> None:
        LATE.extend([asyncio.Event(), asyncio.Event()])
        async with ps.Runtime(path, workflows=[stubborn], cancel_grace=0.01) as rt:
            run = await rt.start(stubborn, 1, run_id="late")
            with suppress(ps.RunFailed):
                await run.result()
            LATE[0].set()
            await LATE[1].wait()
            await rt._on_disk()
            die()

    asyncio.run(main())


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
