"""A service that answers support tickets: thousands of runs over a model provider with moods.

Tickets arrive at random, about `--rate` a second, and each is one run of five steps. The provider
is simulated: at times it is slow (the step's timeout ends the attempt), asks for patience (a
"429"), breaks down, or refuses. The same `--seed` brings the same tickets and trouble.
Ctrl-C stops it, with the figures so far. Needs rich: `pip install 'penstock[cli]'`.

    python examples/support_tickets.py
    python examples/support_tickets.py --runs 5000 --rate 800    # twice what the provider can take
"""

import argparse
import asyncio
import random
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

from pydantic import BaseModel, ConfigDict
from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

import penstock as ps

# What travels on the edges.


class Value(BaseModel):
    """A value on an edge: nobody changes it."""

    model_config = ConfigDict(frozen=True)


class Ticket(Value):
    """A customer's question. `seed` decides what the simulated world does to it."""

    id: int
    text: str
    seed: int


class Triage(Value):
    """What a ticket is about."""

    topic: Literal["billing", "delivery", "account"]


class Passage(Value):
    """A piece of the handbook."""

    source: str
    text: str


class Draft(Value):
    """A proposed answer, and what it quotes."""

    text: str
    sources: tuple[str, ...]


class Verdict(Value):
    """Whether a draft may be sent as it is."""

    grounded: bool


class Reply(Value):
    """What the customer gets, and who signs it."""

    text: str
    signed: Literal["assistant", "agent"]


# The simulated world.


class Unavailable(Exception):
    """The provider broke down: a "503"."""


async def complete(model: str, seconds: float, ticket: Ticket, ctx: ps.Context) -> None:
    """Ask the model provider: mostly it answers, after about so many seconds.

    Raises:
        penstock.RetryAfter: too many requests: a "429" that says when to come back.
        penstock.NonRetryable: the request is refused, and would be again.
        Unavailable: the provider broke down.
    """
    dice = random.Random(f"{ticket.seed}/{ticket.id}/{model}/{ctx.attempt}")
    luck, seconds = dice.random(), dice.lognormvariate(0.0, 0.4) * seconds
    if luck < 0.02:
        seconds += 5.0  # stuck: the step's timeout ends it
    elif luck < 0.06:
        raise ps.RetryAfter(dice.uniform(0.1, 0.3), "too many requests")
    await asyncio.sleep(seconds)
    if luck < 0.09:
        raise Unavailable("the provider answered 503")
    if luck > 0.998:
        raise ps.NonRetryable("the provider's content filter refused the ticket")


# The steps.

PROVIDER = ps.Queue("provider", concurrency=48)
PATIENT = ps.RetryPolicy(max_attempts=3, initial_interval=0.1, max_interval=2.0)


@ps.step(owner="cx", effects="pure", queue=PROVIDER, timeout=0.25, retry=PATIENT)
async def classify(ticket: Ticket, ctx: ps.Context) -> Triage:
    """Ask a small model what the ticket is about."""
    await complete("small", 0.012, ticket, ctx)
    for topic in ("billing", "delivery"):
        if topic in ticket.text:
            return Triage(topic=topic)
    return Triage(topic="account")


@ps.step(owner="search", effects="pure", timeout=0.2, retry=ps.RetryPolicy(max_attempts=3))
async def retrieve(ticket: Ticket) -> list[Passage]:
    """Look the ticket up in the handbook."""
    await asyncio.sleep(0.008)
    return [Passage(source=f"handbook/{n}", text=ticket.text) for n in range(3)]


@ps.step(owner="cx", queue=PROVIDER, timeout=0.6, total_timeout=5.0, retry=PATIENT)
async def draft(ticket: Ticket, triage: Triage, passages: list[Passage], ctx: ps.Context) -> Draft:
    """Ask a large model for an answer."""
    await complete("large", 0.08, ticket, ctx)
    quoted = tuple(passage.source for passage in passages[: 1 + ticket.id % 3])
    return Draft(text=f"About your {triage.topic} question: see {quoted[0]}.", sources=quoted)


@ps.step(owner="trust", effects="pure")
def check(proposal: Draft, passages: list[Passage]) -> Verdict:
    """See that a draft quotes only what was found; a plain function, so it runs in a thread."""
    known = {passage.source for passage in passages}
    return Verdict(grounded=known.issuperset(proposal.sources) and len(proposal.sources) > 1)


@ps.step(owner="cx", effects="idempotent", retry=ps.RetryPolicy(max_attempts=5))
async def reply(proposal: Draft, verdict: Verdict) -> Reply:
    """Send the draft, or give it to a person to finish."""
    await asyncio.sleep(0.002)
    return Reply(text=proposal.text, signed="assistant" if verdict.grounded else "agent")


@ps.workflow(version="1.0.0", owner="cx")
def support(flow: ps.Flow, ticket: ps.Node[Ticket]) -> ps.Node[Reply]:
    triage = flow.call(classify, ticket)
    passages = flow.call(retrieve, ticket)  # beside classify
    proposal = flow.call(draft, ticket, triage, passages)
    verdict = flow.call(check, proposal, passages)
    return flow.call(reply, proposal, verdict)


# The service.


@dataclass(slots=True)
class Tally:
    """What came of the runs so far.

    Attributes:
        signed: replies, by who signed them.
        failures: runs that failed, by the reason.
        began: when the first ticket arrived, by `time.monotonic`.
    """

    runs: int
    signed: Counter[str] = field(default_factory=Counter[str])
    failures: Counter[str] = field(default_factory=Counter[str])
    began: float = field(default_factory=time.monotonic)

    @property
    def done(self) -> int:
        """Runs that have ended."""
        return self.signed.total() + self.failures.total()

    @property
    def seconds(self) -> float:
        """Since the first ticket."""
        return time.monotonic() - self.began


async def handle(rt: ps.Runtime, ticket: Ticket, tally: Tally) -> None:
    """What a request handler of a service does."""
    try:
        answer = await rt.run(support, ticket, run_id=f"ticket-{ticket.id}", deadline=20.0)
    except ps.RunFailed as error:
        tally.failures[_reason(error)] += 1
    except (ps.DeadlineExceeded, ps.Overloaded) as error:
        tally.failures[error.what] += 1
    else:
        tally.signed[answer.signed] += 1


async def serve(rt: ps.Runtime, tally: Tally, rate: float, seed: int) -> None:
    """Let the tickets arrive and wait for all of them to be answered."""
    dice, loop = random.Random(seed), asyncio.get_running_loop()
    due = loop.time()
    async with asyncio.TaskGroup() as requests:
        for number in range(tally.runs):
            due += dice.expovariate(rate)
            if due > loop.time():
                await asyncio.sleep(due - loop.time())
            text = f"A question about {dice.choice(('billing', 'delivery', 'my account'))}"
            requests.create_task(handle(rt, Ticket(id=number, text=text, seed=seed), tally))


# What is shown.


async def watch(rt: ps.Runtime, tally: Tally, console: Console) -> None:
    """Show the state of things until cancelled: live on a terminal, else a line every second."""
    if not console.is_terminal:
        while True:
            await asyncio.sleep(1.0)
            print(*facts(rt, tally), sep=", ", flush=True)
    with Live(console=console, auto_refresh=False, transient=True) as live:
        while True:
            live.update(panel(rt, tally), refresh=True)
            await asyncio.sleep(0.1)


def facts(rt: ps.Runtime, tally: Tally) -> list[str]:
    """The state of things, number by number."""
    stats = rt.stats()
    attempts = sum(step.attempts for step in stats.steps.values())
    return [
        f"{tally.done:,} of {tally.runs:,} tickets",
        f"{stats.runs:,} in flight",
        f"{attempts / max(tally.seconds, 0.1):,.0f} attempts/s",
        f"{sum(step.retries for step in stats.steps.values()):,} retries",
        f"{stats.queues[PROVIDER.name].waiting:,} queued",
        f"{tally.failures.total():,} failed",
    ]


def panel(rt: ps.Runtime, tally: Tally) -> Group:
    """The state of things, as a bar with the numbers under it."""
    done, *others = facts(rt, tally)
    bar = Table.grid(padding=(0, 1))
    bar.add_row(
        ProgressBar(total=tally.runs, completed=tally.done, width=56),
        Text(done, "bold"),
        Text(f"{tally.seconds:.1f} s", "dim"),
    )
    return Group(bar, Text(" · ".join(others), "dim"))


def summary(rt: ps.Runtime, tally: Tally) -> Group:
    """What came out: the runs, the steps, and why runs failed."""
    stats, seconds = rt.stats(), tally.seconds
    runs = stats.workflows[support.name]
    attempts = sum(step.attempts for step in stats.steps.values())
    answered = Text.assemble(
        (f"{runs.succeeded:,} of {tally.runs:,} tickets answered", "bold green"),
        f" in {seconds:.1f} s: {runs.succeeded / seconds:,.0f} runs/s, "
        f"{attempts / seconds:,.0f} attempts/s",
    )
    agent = Text(f"{tally.signed['agent']:,} of the answers are for an agent to finish", "dim")
    return Group("", answered, agent, "", _figures(stats), "", _reasons(tally))


def _figures(stats: ps.Stats) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim")  # fits 80 columns
    table.add_column("step")
    for name in ("attempts", "retries", "failed", "timeouts"):
        table.add_column(name, justify="right")
    for name in ("queue delay", "duration"):
        table.add_column(f"{name}, ms\n{'p50':>6}{'p95':>6}{'p99':>6}", no_wrap=True)
    for name, step in stats.steps.items():
        delay, duration = step.queue_delay, step.duration
        table.add_row(
            name,
            *map(_count, (step.attempts, step.retries, step.failed, step.timeouts)),
            _times(delay.p50, delay.p95, delay.p99),
            _times(duration.p50, duration.p95, duration.p99),
        )
    latency = stats.workflows[support.name].latency
    row = ["run", *[""] * 5, _times(latency.p50, latency.p95, latency.p99)]
    table.add_row(*row, style="bold")
    return table


def _reasons(tally: Tally) -> Table:
    table = Table.grid(padding=(0, 2))
    total = tally.failures.total()
    table.add_row(f"[bold red]{total:,}[/]" if total else "no", "[bold]runs failed[/]")
    for reason, count in tally.failures.most_common():
        table.add_row(f"{count:,}", escape(reason))
    table.columns[0].justify = "right"
    return table


def _reason(error: ps.RunFailed) -> str:
    return f"{error.step}: {error.__cause__} (attempt {error.attempts})"


def _count(number: int) -> str:
    return f"{number:,}" if number else "-"


def _times(*seconds: float) -> str:
    return "".join(f"{1000 * t:6.1f}" if t < 1 else f"{1000 * t:6.0f}" for t in seconds)


async def demo(runs: int, rate: float, seed: int, console: Console) -> int:
    """Run the service; 0, or 130 if Ctrl-C stopped it."""
    code = 0
    async with ps.Runtime(workflows=[support], seed=seed) as rt:
        tally = Tally(runs)
        watcher = asyncio.create_task(watch(rt, tally, console))
        try:
            await serve(rt, tally, rate, seed)
        except asyncio.CancelledError:  # Ctrl-C, as asyncio.run tells of it: the runs are cancelled
            code = 130
        watcher.cancel()
        await asyncio.wait([watcher])
        if code:
            console.print(f"Stopped by Ctrl-C: {runs - tally.done:,} tickets are not answered.")
        console.print(summary(rt, tally))
    return code


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Answer support tickets, simulated.")
    parser.add_argument("--runs", type=int, default=3000, help="how many tickets arrive")
    parser.add_argument("--rate", type=float, default=350.0, help="tickets a second, on average")
    parser.add_argument("--seed", type=int, default=1, help="of the tickets and of the world")
    options = parser.parse_args(arguments)
    if options.runs < 1 or not 0 < options.rate < 1e6:
        parser.error("give at least 1 run and a rate of more than 0")
    console = Console()
    try:
        return asyncio.run(demo(options.runs, options.rate, options.seed, console))
    except KeyboardInterrupt:  # a second one
        console.print("Stopped.")
        return 130


if __name__ == "__main__":
    sys.exit(main())
