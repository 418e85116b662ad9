"""Support tickets that survive `kill -9`: a service is killed amid its work, and goes on.

A worker process answers tickets out of one store: it classifies them, looks up the handbook, drafts
an answer with a provider that has moods, lets a draft rest, pays refunds and sends the reply. This
program kills it with SIGKILL a few times, starts it again each time, and holds what has happened
outside against what the store says: every run ended once, nothing that was recorded ran again, no
refund was paid twice. Needs rich: `pip install 'penstock[cli]'`.

    python examples/durable_tickets.py
    python examples/durable_tickets.py --runs 2000 --kills 10 --seed 7
"""

import argparse
import asyncio
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

import penstock as ps

# What travels on the edges.


class Value(BaseModel):
    """A value on an edge: nobody changes it."""

    model_config = ConfigDict(frozen=True)


class Ticket(Value):
    """What a customer writes."""

    id: int
    text: str
    cents: int


class Case(Value):
    """A ticket, and what has to be looked up for it."""

    ticket: Ticket
    topics: tuple[str, ...]


class Reply(Value):
    """What the customer got."""

    text: str
    refunded: int


# The world outside: what happens there is noted in a file, a line for each call that arrives.


class World:
    """The provider, the bank and the mail, and how this process tells what it does."""

    def __init__(self, notes: Path) -> None:
        self._descriptor = os.open(notes, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def note(self, what: str, **facts: object) -> None:
        """Note something; a SIGKILL leaves the line whole or not there."""
        os.write(self._descriptor, json.dumps({"what": what, **facts}).encode() + b"\n")

    def called(self, ctx: ps.Context) -> None:
        """A step calls the world."""
        self.note("call", step=ctx.step, key=ctx.idempotency_key, attempt=ctx.attempt)


world: World
TOPICS = ("invoice", "delivery", "account", "warranty", "refund")
PROVIDER = ps.Queue("provider", concurrency=32)
PATIENT = ps.RetryPolicy(max_attempts=8, initial_interval=0.05, max_interval=0.5)


def dice_for(ctx: ps.Context) -> random.Random:
    """Chance that is the same whenever an attempt is made."""
    return random.Random(f"{ctx.idempotency_key}/{ctx.attempt}")


# The steps and the workflow.


@ps.step(owner="cx", effects="pure", queue=PROVIDER, timeout=1.0, retry=PATIENT)
async def classify(ticket: Ticket, ctx: ps.Context) -> Case:
    """Ask a model what the ticket is about."""
    world.called(ctx)
    await asyncio.sleep(0.02)
    return Case(ticket=ticket, topics=tuple(topic for topic in TOPICS if topic in ticket.text))


@ps.step(owner="search", effects="pure", timeout=1.0, retry=PATIENT)
async def look_up(topic: str, ctx: ps.Context) -> str:
    """Look a topic up in the handbook."""
    world.called(ctx)
    await asyncio.sleep(0.01)
    return f"All there is to know about {topic}."


@ps.step(owner="cx", effects="idempotent", queue=PROVIDER, timeout=1.0, retry=PATIENT)
async def draft(case: Case, passages: list[str], ctx: ps.Context) -> str:
    """Have a model write the answer; one call in five fails."""
    world.called(ctx)
    await asyncio.sleep(0.03)
    if dice_for(ctx).random() < 0.2:
        raise ConnectionError("the provider answered 503")
    return " ".join([case.ticket.text, *passages])


@ps.step(owner="billing", effects="once", timeout=5.0)
async def refund(ticket: Ticket, ctx: ps.Context) -> int:
    """Have the bank pay, which pays as often as it is told to."""
    world.called(ctx)
    await asyncio.sleep(0.02)
    return ticket.cents


@ps.step(owner="cx", effects="idempotent", timeout=1.0, retry=PATIENT)
async def send(text: str, refunded: int | None, ctx: ps.Context) -> Reply:
    """Send the reply; the mail server knows the key, and delivers once for it."""
    world.called(ctx)
    await asyncio.sleep(0.005)
    return Reply(text=text, refunded=refunded or 0)


def topics(case: Case) -> tuple[str, ...]:
    """What is to be looked up."""
    return case.topics


def entitled(ticket: Ticket) -> bool:
    """Whether money goes back."""
    return ticket.cents > 0


@ps.workflow(version="1.0.0", owner="cx")
def support(flow: ps.Flow, ticket: ps.Node[Ticket]) -> ps.Node[Reply]:
    """Answer a ticket."""
    case = flow.call(classify, ticket)
    passages = flow.map(look_up, flow.apply(topics, case))
    text = flow.sleep(flow.call(draft, case, passages), 0.5)  # a draft rests before it is sent
    paid = flow.call(refund, flow.when(ticket, entitled), after=case)
    return flow.call(send, text, flow.optional(paid))


# The worker.


def tickets(count: int, seed: int) -> Iterator[Ticket]:
    """The tickets that arrive."""
    dice = random.Random(seed)
    for number in range(count):
        about = " and ".join(dice.sample(TOPICS, k=dice.choice((1, 2, 3))))
        cents = dice.randrange(500, 9000) if "refund" in about else 0
        yield Ticket(id=number, text=f"It is about my {about}.", cents=cents)


async def answer(rt: ps.Runtime, ticket: Ticket, paid: set[str]) -> None:
    """What a request handler of a service does; a request that is repeated finds its run."""
    run = await rt.start(support, ticket, run_id=f"ticket-{ticket.id}")
    while True:
        try:
            reply = await run.result()
        except ps.OutcomeUnknown as error:
            # A crash cut the payment off: the bank's statement tells whether it was made.
            node = error.node or ""
            if f"{run.run_id}:{node}" in paid:
                await run.resolve(node, result=ticket.cents)
            else:
                await run.resolve(node, retry=True)
            world.note("resolved", key=f"{run.run_id}:{node}")
        else:
            world.note("answered", run=run.run_id, refunded=reply.refunded)
            return


async def work(folder: Path, runs: int, seed: int) -> None:
    """The service: it neither knows nor cares how often it was killed."""
    global world  # noqa: PLW0603  # there is one
    earlier = list(notes(folder / "world.log"))
    world = World(folder / "world.log")
    paid = {note["key"] for note in earlier if note.get("step") == "refund"}
    answered = {note["run"] for note in earlier if note["what"] == "answered"}
    began = time.monotonic()
    async with ps.Runtime(folder / "tickets.db", workflows=[support], max_recoveries=1000) as rt:
        world.note("opened", seconds=time.monotonic() - began, runs=rt.stats().runs)
        async with asyncio.TaskGroup() as requests:
            for ticket in tickets(runs, seed):
                if f"ticket-{ticket.id}" not in answered:
                    requests.create_task(answer(rt, ticket, paid))
                    await asyncio.sleep(0.001)
        ended = [rt.get(f"ticket-{number}") for number in range(runs)]
        histories = [await run.history() for run in ended]
        records = Counter(event.kind for history in histories for event in history)
        statuses = Counter(run.status for run in ended)
        world.note("all", records=records, statuses=statuses)


def notes(file: Path, after: int = 0) -> Iterator[dict[str, Any]]:
    """What was noted, without the first bytes; a note that is being written is left for later."""
    with suppress(FileNotFoundError), file.open("rb") as lines:
        lines.seek(after)
        for line in lines:
            if line.endswith(b"\n"):
                yield json.loads(line)


# The one who kills it.


@dataclass
class Story:
    """What has happened outside.

    Attributes:
        calls: how often the world was called, by idempotency key and attempt.
        answered: runs that were answered, and how often that was told.
        opened: seconds that opening the store took each time, and the runs that went on.
        resolved: payments that somebody had to look up.
        records: of the store in the end, by kind.
        statuses: of the runs in the end.
    """

    calls: Counter[tuple[str, int]] = field(default_factory=Counter[tuple[str, int]])
    answered: Counter[str] = field(default_factory=Counter[str])
    opened: list[tuple[float, int]] = field(default_factory=list[tuple[float, int]])
    resolved: int = 0
    records: Counter[str] = field(default_factory=Counter[str])
    statuses: Counter[str] = field(default_factory=Counter[str])

    @classmethod
    def of(cls, file: Path) -> Self:
        """What the notes say."""
        story = cls()
        for note in notes(file):
            match note["what"]:
                case "call":
                    story.calls[note["key"], note["attempt"]] += 1
                case "answered":
                    story.answered[note["run"]] += 1
                case "opened":
                    story.opened.append((note["seconds"], note["runs"]))
                case "resolved":
                    story.resolved += 1
                case _:
                    story.records = Counter(note["records"])
                    story.statuses = Counter(note["statuses"])
        return story

    def payments(self) -> Counter[str]:
        """How often each refund was paid, by key."""
        paid = Counter[str]()
        for (key, _), count in self.calls.items():
            if key.endswith("/refund"):
                paid[key] += count
        return paid


def ordeal(folder: Path, options: argparse.Namespace, console: Console) -> int:
    """Start the worker, kill it so many times, and let it finish; how often it was killed."""
    dice, file = random.Random(options.seed), folder / "world.log"
    # At these shares of the work, each a little before or after.
    shares = [(n + dice.uniform(0.2, 1.0)) / (options.kills + 1) for n in range(options.kills)]
    killed = 0
    columns = (TextColumn("{task.description}"), BarColumn(48), MofNCompleteColumn())
    with Progress(
        *columns, TimeElapsedColumn(), console=console, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task("tickets answered", total=options.runs)
        worker = start(folder, options)
        try:
            while (code := worker.poll()) is None:
                answered = len(Story.of(file).answered)
                bar.update(task, completed=answered)
                if killed < len(shares) and answered >= shares[killed] * options.runs:
                    worker.kill()
                    worker.wait()
                    killed += 1
                    console.print(
                        f"{answered:,} of {options.runs:,} tickets answered: "
                        f"[bold red]kill -9 {worker.pid}[/], and a new worker"
                    )
                    worker = start(folder, options)
                time.sleep(0.02)
        finally:
            worker.kill()
            worker.wait()
    if code:
        sys.exit(f"the worker failed with {code}")
    return killed


def start(folder: Path, options: argparse.Namespace) -> subprocess.Popen[bytes]:
    """A worker on the store in a folder."""
    arguments = ["--work", str(folder), "--runs", str(options.runs), "--seed", str(options.seed)]
    # Ctrl-C is this program's business: it goes to the whole group otherwise.
    command = [sys.executable, __file__, *arguments]
    return subprocess.Popen(command, start_new_session=True)  # noqa: S603  # this very program


def verdict(story: Story, runs: int, killed: int) -> tuple[Table, list[str]]:
    """The figures, and every promise that was broken."""
    executions, attempts = story.calls.total(), len(story.calls)
    payments, ended = story.payments(), story.records["ended"]
    broken = [f"{run} was answered {n} times" for run, n in story.answered.items() if n > 1]
    broken += [f"{key} was paid {count} times" for key, count in payments.items() if count > 1]
    if not len(story.answered) == story.statuses["succeeded"] == ended == runs:
        broken.append(f"{runs} runs, {dict(story.statuses)}, {ended} ends, {len(story.answered)}")
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(justify="right", style="bold", no_wrap=True)
    table.add_column()
    slowest, most = max(story.opened[1:], default=(0.0, 0))
    for figure, what in (
        (f"{ended:,}", f"of {runs:,} runs ended, each of them exactly once"),
        (f"{killed:,}", "kills with SIGKILL"),
        (f"{story.records['done']:,}", "results recorded; none of them was computed again"),
        (
            f"{executions - attempts:,}",
            (
                f"of {executions:,} executions repeat an attempt that a kill cut off: its result "
                "was not on record yet, and its effects are none or idempotent"
            ),
        ),
        (
            f"{len(payments):,}",
            (
                f"refunds, each paid exactly once: effects='once' never repeats by itself; "
                f"{story.resolved:,} were cut off, and looked up at the bank"
            ),
        ),
        (f"{1e3 * slowest:,.0f} ms", f"to recover, at most: {most:,} runs went on"),
    ):
        table.add_row(figure, what)
    return table, broken


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Answer support tickets, and be killed.")
    parser.add_argument("--runs", type=int, default=600, help="how many tickets arrive (600)")
    parser.add_argument("--kills", type=int, default=4, help="how often the worker is killed (4)")
    parser.add_argument("--seed", type=int, default=1, help="of the tickets and the kills")
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.runs < 1 or options.kills < 0:
        parser.error("give at least 1 run and 0 kills")
    if options.work:
        asyncio.run(work(options.work, options.runs, options.seed))
        return 0
    console = Console(highlight=False)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="penstock-") as name:
        folder = Path(name)
        try:
            killed = ordeal(folder, options, console)
        except KeyboardInterrupt:
            console.print("Stopped by Ctrl-C.")
            return 130
        story = Story.of(folder / "world.log")
        size = (folder / "tickets.db").stat().st_size
    table, broken = verdict(story, options.runs, killed)
    console.print()
    console.print(table)
    steps = max(1, story.records["done"])
    console.print(
        f"\n[dim]{time.monotonic() - began:.1f} s; {size / 2**20:.1f} MiB of store, "
        f"{size / steps:,.0f} bytes for each step[/]"
    )
    for line in broken:
        console.print(f"[bold red]broken:[/] {line}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
