"""A retry storm, and a service that it does not get: the same outages, met twice.

Tickets arrive at random, 70 a second, and each asks a provider that can answer 100. The provider
breaks down now and then: at first it refuses calls, then it hangs. Two services meet that with the
same workflow, of three attempts. One has a queue without a limit. Once the provider has hung, this
service keeps it so busy with calls that nobody waits for any more that it never comes back. The
other has penstock's usual queue: a limit, and a budget that retries are paid from. What the budget
does not cover is parked, and goes on when the provider is well again.

Both run in virtual time, so that minutes take seconds, and the same `--seed` prints the same. In
the end there is a picture of it. Needs rich: `pip install 'penstock[cli]'`.

    python examples/retry_storm.py
    python examples/retry_storm.py --seed 7 --seconds 480 --html storm.html
"""

import argparse
import asyncio
import logging
import random
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from contextvars import ContextVar
from pathlib import Path

from rich.console import Console

import penstock as ps
from retry_storm_board import Board, told
from retry_storm_dependency import AFTER, CAPACITY, FIRST, LONGEST, Dependency, Outage, outages
from retry_storm_figures import Record, Second
from retry_storm_picture import page

RATE = 70.0  # tickets a second: the provider is busy for 70 % of its time
PROVIDER: ContextVar[Dependency] = ContextVar("PROVIDER")


@ps.step(owner="cx", effects="pure", queue="provider", timeout=1.0)
async def ask(ticket: int) -> int:
    """Ask the provider of the service that this is for."""
    await PROVIDER.get().call()
    return ticket


@ps.workflow(owner="cx", retry=ps.RetryPolicy(max_attempts=3))
def answer(flow: ps.Flow, ticket: ps.Node[int]) -> ps.Node[int]:
    return flow.call(ask, ticket)


NAIVE = ps.Queue("provider", retry_budget=None)
CAREFUL = ps.Queue("provider", concurrency=10, retry_budget=ps.RetryBudget())


class Service:
    """A runtime, a provider of its own, and what is measured of them."""

    def __init__(
        self,
        name: str,
        about: str,
        queue: ps.Queue,
        provider: Dependency,
        seed: int,
    ) -> None:
        self.record = Record(name=name, about=about)
        self.rt = ps.Runtime(workflows=[answer], queues=[queue], seed=seed)
        self._queue, self._provider = queue, provider
        self._started = 0
        self._counted = (0, 0, 0, 0, 0)

    async def serve(self, arrivals: Sequence[float]) -> None:
        """Start a run for each ticket as it arrives, and wait until the last one has ended."""
        PROVIDER.set(self._provider)  # runs take it along from here
        loop = asyncio.get_running_loop()
        for ticket, at in enumerate(arrivals):
            await asyncio.sleep(at - loop.time())
            await self.rt.start(answer, ticket)
            self._started += 1
        await self.rt.join()
        ended = self.rt.stats().workflows[answer.name]
        self.record.runs, self.record.lost = ended.accepted, ended.failed

    async def follow(self) -> None:
        """Note storms as the runtime tells of them, until cancelled."""
        loop = asyncio.get_running_loop()
        async for event in self.rt.events():
            if isinstance(event, ps.QueueEvent) and event.kind.startswith("storm_"):
                self.record.storms.append((loop.time(), event.kind == "storm_started"))

    def sample(self, ends: int) -> None:
        """Note what the second that ends now has brought."""
        stats = self.rt.stats()
        queue, runs = stats.queues[self._queue.name], stats.workflows[answer.name]
        total = queue.total
        counted = (self._started, total.first, total.attempts, total.good, runs.failed)
        offered, first, attempts, good, lost = (
            now - before for now, before in zip(counted, self._counted, strict=True)
        )
        self._counted = counted
        self.record.seconds.append(
            Second(
                ends=ends,
                offered=offered,
                first=first,
                attempts=attempts,
                good=good,
                lost=lost,
                parked=queue.parked,
                waiting=queue.waiting,
                line=self._provider.waiting,
                storm=queue.storm,
            )
        )


def arrivals(seconds: int, seed: int) -> Iterator[float]:
    """When tickets arrive: a Poisson process."""
    dice = random.Random(f"{seed}/arrivals")
    at = dice.expovariate(RATE)
    while at < seconds:
        yield at
        at += dice.expovariate(RATE)


async def replay(seconds: int, seed: int, downs: Sequence[Outage], board: Board) -> list[Record]:
    """Let both services meet the same tickets and the same outages."""
    services = [
        Service(
            "naive",
            "3 attempts, a queue without a limit or a budget",
            NAIVE,
            Dependency(downs, seed),
            seed,
        ),
        Service(
            "penstock",
            "3 attempts, a queue with concurrency=10 and a retry budget",
            CAREFUL,
            Dependency(downs, seed),
            seed,
        ),
    ]
    records, trace = [service.record for service in services], list(arrivals(seconds, seed))
    loop = asyncio.get_running_loop()
    async with AsyncExitStack() as stack:
        for service in services:
            await stack.enter_async_context(service.rt)
        followers = [asyncio.create_task(service.follow()) for service in services]
        serving = [asyncio.create_task(service.serve(trace)) for service in services]
        with board:
            for second in range(1, seconds + 1):
                await asyncio.sleep(second - loop.time())
                for service in services:
                    service.sample(second)
                board.show(records, second)
        await asyncio.gather(*serving)
        for follower in followers:
            follower.cancel()
        await asyncio.wait(followers)
    return records


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Meet the same outages with two services.")
    usual = Path(tempfile.gettempdir()) / "retry_storm.html"
    parser.add_argument("--seed", type=int, default=1, help="of the tickets and outages (1)")
    parser.add_argument("--seconds", type=int, default=240, help="of virtual time (240)")
    parser.add_argument("--html", type=Path, default=usual, help=f"the picture's file ({usual})")
    parser.add_argument("--quiet", action="store_true", help="print the figures only")
    options = parser.parse_args(arguments)
    least = FIRST + LONGEST + AFTER
    if options.seconds < least:
        parser.error(f"give at least {least} seconds, for an outage and the calm after it")
    if not options.html.parent.is_dir():
        parser.error(f"there is no folder {options.html.parent} to write the picture to")
    downs, source = outages(options.seconds, options.seed)
    console = Console(highlight=False)
    if not options.quiet:
        console.print(
            f"{RATE:g} tickets a second on a provider that can answer {CAPACITY:g}; "
            f"outages: {source}, ten minutes to the second",
            soft_wrap=True,
        )
    board = Board(console, downs, quiet=options.quiet)
    try:
        records = ps.testing.VirtualClock().run(replay(options.seconds, options.seed, downs, board))
    except KeyboardInterrupt:
        console.print("Stopped by Ctrl-C.")
        return 130
    console.print(told(records, downs, RATE))
    caption = f"{RATE:g} tickets a second, seed {options.seed}; outages: {source}"
    options.html.write_text(page(records, downs, rate=RATE, caption=caption), "utf-8")
    console.print(f"\nthe picture: {options.html}", soft_wrap=True)
    return 0


if __name__ == "__main__":
    logging.getLogger("penstock").addHandler(logging.NullHandler())  # the board tells of storms
    sys.exit(main())
