"""A service that answers support tickets: a model provider with moods, and people who take time.

Tickets arrive at random, about `--rate` a second, and each is one run. Questions climb a ladder of
answerers until one is good enough: a small model, a large one, a person. Refunds wait for a person
to approve them, and are taken back if the customer can't be told. The provider is simulated: at
times it is slow (the step's timeout ends the attempt), asks for patience (a "429"), breaks down, or
refuses. So are the people. The same `--seed` brings the same tickets and trouble.
Ctrl-C stops it, with the figures so far. Needs rich: `pip install 'penstock[cli]'`.

    python examples/support_tickets.py
    python examples/support_tickets.py --runs 4000 --rate 700    # more than they can take
    python examples/support_tickets.py --store support.db  # keeps the runs
    penstock lint examples/support_tickets.py
"""

import argparse
import asyncio
import random
import sys
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from pydantic import BaseModel, ConfigDict
from rich.console import Console

import penstock as ps
from support_board import Tally, answers, commands, summary, watch

# What travels on the edges.


class Value(BaseModel):
    """A value on an edge: nobody changes it."""

    model_config = ConfigDict(frozen=True)


class Ticket(Value):
    """What a customer writes. `seed` decides what the simulated world does to it."""

    id: int
    text: str
    seed: int


Kind = Literal["question", "refund"]


class Case(Value):
    """A ticket, what it is, and what would have to be looked up for it."""

    ticket: Ticket
    kind: Kind
    topics: tuple[str, ...]


class Passage(Value):
    """A piece of the handbook."""

    source: str
    text: str


class Answer(Value):
    """A proposed answer: who wrote it, how much it claims, and how much of that it can quote."""

    text: str
    author: str
    claims: int = 1
    quotes: int = 1


class Approval(Value):
    """What a person says to a refund."""

    granted: bool
    cents: int


class Reply(Value):
    """What the customer got, and who wrote it."""

    text: str
    author: str


# The simulated world.

TOPICS = ("invoice", "delivery", "account", "warranty", "refund")


class Unavailable(Exception):
    """The provider broke down: a "503"."""


def dice_for(ticket: Ticket, purpose: object) -> random.Random:
    """Chance that is the same whenever a ticket comes to the same place."""
    return random.Random(f"{ticket.seed}/{ticket.id}/{purpose}")


async def complete(model: str, seconds: float, ticket: Ticket, ctx: ps.Context) -> None:
    """Ask the model provider: mostly it answers, after about so many seconds.

    Raises:
        penstock.RetryAfter: too many requests: a "429" that says when to come back.
        penstock.NonRetryable: the request is refused, and would be again.
        Unavailable: the provider broke down.
    """
    dice = dice_for(ticket, f"{model}/{ctx.attempt}")
    luck, seconds = dice.random(), dice.lognormvariate(0.0, 0.4) * seconds
    if luck < 0.02:
        seconds += 5.0  # stuck: the step's timeout ends it
    elif luck < 0.06:
        raise ps.RetryAfter(dice.uniform(0.1, 0.3), "too many requests")
    await asyncio.sleep(seconds)
    if luck < 0.09:
        raise Unavailable("the provider answered 503")
    ctx.spend.tokens(model, input=dice.randrange(300, 900), output=dice.randrange(20, 200))
    if luck > 0.998:
        raise ps.NonRetryable("the provider's content filter refused the ticket")


def written_by(author: str, case: Case, passages: list[Passage], skill: float) -> Answer:
    """What a model writes; `skill` is the chance that it can quote what it claims."""
    dice = dice_for(case.ticket, author)
    claims = len(passages) + 1
    quotes = sum(dice.random() < skill for _ in range(claims))
    sources = ", ".join(passage.source for passage in passages)
    return Answer(text=f"See {sources}.", author=author, claims=claims, quotes=quotes)


async def transfer(ticket: Ticket, cents: int, ctx: ps.Context) -> None:
    """Tell the bank to move money, which it does once for an idempotency key.

    Raises:
        ConnectionError: the line broke; nobody knows whether the bank has heard.
    """
    order = f"{cents} cents, {ctx.idempotency_key}"
    await asyncio.sleep(0.005)
    if dice_for(ticket, f"bank/{order}/{ctx.attempt}").random() < 0.03:
        raise ConnectionError("the line to the bank broke")


async def mail(ticket: Ticket, ctx: ps.Context) -> None:
    """Send a mail, once for an idempotency key.

    Raises:
        penstock.NonRetryable: it bounced, and would again.
    """
    await asyncio.sleep(0.002)
    if dice_for(ticket, f"mail/{ctx.idempotency_key}").random() < 0.004:
        raise ps.NonRetryable("the customer's mailbox does not exist")


# The steps.

PROVIDER = ps.Queue("provider", concurrency=24)
HANDBOOK, BANK, MAIL = ps.Queue("handbook"), ps.Queue("bank"), ps.Queue("mail")
PRICES = ps.PriceBook(
    rates={
        "models": {
            "classifier": {"input": 0.05, "output": 0.4},  # dollars for a million tokens
            "small": {"input": 0.25, "output": 2.0},
            "large": {"input": 2.5, "output": 15.0},
        },
        "retrieval": {"handbook": 0.0002},
        "humans": {"desk": {"hour": 30}, "billing": {"hour": 36}},
    },
    version="2026-11",
    package=None,
)
PATIENT = ps.RetryPolicy(max_attempts=3, initial_interval=0.1, max_interval=2.0)
STUBBORN = ps.RetryPolicy(max_attempts=5)
BY_HAND = "Answer the ticket by hand."


@ps.step(owner="cx", effects="pure", queue=PROVIDER, timeout=0.25, retry=PATIENT, playbook=BY_HAND)
async def classify(ticket: Ticket, ctx: ps.Context) -> Case:
    """Ask a small model what the ticket is about."""
    await complete("classifier", 0.012, ticket, ctx)
    about = tuple(topic for topic in TOPICS if topic in ticket.text)
    return Case(ticket=ticket, kind="refund" if "refund" in about else "question", topics=about)


@ps.step(
    owner="search", effects="pure", queue=HANDBOOK, timeout=0.2, retry=PATIENT, playbook=BY_HAND
)
async def search(topic: str, ctx: ps.Context) -> Passage:
    """Look a topic up in the handbook."""
    await asyncio.sleep(0.008)
    ctx.spend.retrieval(name="handbook")
    return Passage(source=f"handbook/{topic}", text=f"All there is to know about {topic}")


@ps.step(owner="cx", effects="pure", queue=PROVIDER, timeout=0.25, retry=PATIENT)
async def small(case: Case, passages: list[Passage], ctx: ps.Context) -> Answer:
    """Ask a small model for an answer; it makes things up at times."""
    await complete("small", 0.02, case.ticket, ctx)
    return written_by("small model", case, passages, skill=0.8)


@ps.step(owner="cx", effects="pure", queue=PROVIDER, timeout=0.6, retry=PATIENT)
async def large(case: Case, passages: list[Passage], ctx: ps.Context) -> Answer:
    """Ask a large model for an answer: slower, dearer, better."""
    await complete("large", 0.08, case.ticket, ctx)
    return written_by("large model", case, passages, skill=0.95)


@ps.step(owner="billing", effects="idempotent", queue=BANK, timeout=1.0, retry=STUBBORN)
async def revoke(case: Case, approval: Approval, paid: Answer | None, ctx: ps.Context) -> None:
    """Take a refund back, if it came to be paid."""
    if paid is not None:
        await transfer(case.ticket, -approval.cents, ctx)


@ps.step(
    owner="billing",
    effects="idempotent",
    queue=BANK,
    timeout=1.0,
    retry=STUBBORN,
    compensate=revoke,
    playbook="Pay it at the bank's counter.",
)
async def refund(case: Case, approval: Approval, ctx: ps.Context) -> Answer:
    """Pay the customer's money back."""
    await transfer(case.ticket, approval.cents, ctx)
    return Answer(text=f"{approval.cents / 100:.2f} are on their way.", author="billing")


@ps.step(
    owner="cx",
    effects="idempotent",
    queue=MAIL,
    timeout=1.0,
    retry=STUBBORN,
    playbook="Telephone.",
)
async def send(ticket: Ticket, answer: Answer, ctx: ps.Context) -> Reply:
    """Send the answer to the customer. A mail that bounces would bounce again."""
    await mail(ticket, ctx)
    return Reply(text=answer.text, author=answer.author)


# What is decided inline: quick and pure.


def kind(case: Case) -> Kind:
    """Which way a ticket goes."""
    return case.kind


def topics(case: Case) -> tuple[str, ...]:
    """What is to be looked up."""
    return case.topics


def grounding(answer: Answer) -> float:
    """The share of an answer's claims that it can quote."""
    return answer.quotes / answer.claims


def granted(approval: Approval) -> bool:
    """Whether a refund is paid."""
    return approval.granted


def decline(approval: Approval) -> Answer:
    """What a customer is told whose refund was not approved."""
    return Answer(text=f"We can't refund {approval.cents / 100:.2f}.", author="billing")


def briefing(case: Case, passages: list[Passage]) -> str:
    """What a person at the desk gets to see."""
    return "\n".join([case.ticket.text, *(passage.source for passage in passages)])


# The workflows.

ANSWER = ps.Signal("answer", Answer)
APPROVAL = ps.Signal("approval", Approval)


@ps.workflow(version="1.0.0", owner="cx")
def desk(flow: ps.Flow, case: ps.Node[Case], passages: ps.Node[list[Passage]]) -> ps.Node[Answer]:
    """A person writes the answer."""
    return flow.review(flow.apply(briefing, case, passages), ANSWER, owner="desk", timeout=10.0)


@ps.workflow(
    version="2.0.0",
    owner="cx",
    value=1.20,
    rollback=ps.Criteria(
        objectives={"success": ps.drop(0.01)}, guardrails={"cost": ps.rise(0.1, relative=True)}
    ),
)
def support(flow: ps.Flow, ticket: ps.Node[Ticket]) -> ps.Node[Reply]:
    """Answer a ticket: a question by whoever is good enough, a refund as a person decides."""
    case = flow.switch(flow.call(classify, ticket), key=kind)

    question = case["question"]
    passages = flow.map(search, flow.apply(topics, question))  # all at once
    answer = flow.cascade(  # the cheapest that is good enough
        (small, large, desk),
        question,
        passages,
        accept=ps.Threshold(grounding, at=0.7),
        name="answer",
    )

    claim = case["refund"]
    ruling = flow.switch(flow.review(claim, APPROVAL, owner="billing", timeout=10.0), key=granted)
    paid = flow.call(refund, claim, ruling[True])  # revoked if `send` fails
    declined = flow.apply(decline, ruling[False])

    return flow.call(send, ticket, flow.merge(answer, paid, declined))


# The service, and the people.


async def handle(rt: ps.Runtime, ticket: Ticket, tally: Tally) -> None:
    """What a request handler of a service does."""
    run_id = f"ticket-{ticket.id}"
    tally.open.add(run_id)
    try:
        reply = await rt.run(support, ticket, run_id=run_id, deadline=20.0)
    except ps.RunFailed as error:
        tally.failures[f"{error.step}: {error.__cause__} (attempt {error.attempts})"] += 1
        tally.undone += rt.get(run_id).status == "compensated"
    except (ps.DeadlineExceeded, ps.Overloaded) as error:
        tally.failures[error.what] += 1
    else:
        tally.authors[reply.author] += 1
    finally:
        tally.open.remove(run_id)


async def serve(rt: ps.Runtime, tally: Tally, rate: float, seed: int) -> None:
    """Let the tickets arrive and wait for all of them to be answered."""
    dice, loop = random.Random(seed), asyncio.get_running_loop()
    due = loop.time()
    async with asyncio.TaskGroup() as requests:
        for number in range(tally.runs):
            due += dice.expovariate(rate)
            if due > loop.time():
                await asyncio.sleep(due - loop.time())
            about = dice.sample(TOPICS, k=dice.choice((1, 1, 2)))
            ticket = Ticket(id=number, text=f"It is about my {' and '.join(about)}.", seed=seed)
            requests.create_task(handle(rt, ticket, tally))


async def people(rt: ps.Runtime, tally: Tally, seed: int, count: int = 32) -> None:
    """Answer what waits for a person, until cancelled; minutes are tenths of a second here.

    They know a run by its id only, as they would in another service.
    """
    free, taken = asyncio.Semaphore(count), set[str]()

    async def respond(run: ps.Run[object], node: str) -> None:
        dice = random.Random(f"{seed}/{run.run_id}")
        tenths = dice.uniform(1.0, 3.0)
        async with free:
            await asyncio.sleep(tenths / 10)
        with suppress(ps.RunNotFound):  # the run is over: the customer waited too long
            if node.endswith(APPROVAL.name):
                approval = Approval(granted=dice.random() < 0.8, cents=dice.randrange(500, 9000))
                tally.reviews += await run.signal(APPROVAL, approval, minutes=tenths)
            else:
                answer = Answer(text="Let me explain.", author="person")
                tally.reviews += await run.signal(ANSWER, answer, minutes=tenths)

    async with asyncio.TaskGroup() as responses:
        while True:
            for run_id in tally.open - taken:
                for node in await (run := rt.get(run_id)).awaiting():
                    taken.add(run_id)
                    responses.create_task(respond(run, node))
            await asyncio.sleep(0.02)


async def demo(
    store: Path, runs: int, rate: float, seed: int, console: Console
) -> tuple[int, ps.Coverage]:
    """Run the service; the exit code (130 if Ctrl-C stopped it), and what the runs have shown."""
    code = 0
    async with ps.Runtime(
        store, workflows=[support], prices=PRICES, durability="async", seed=seed
    ) as rt:
        tally = Tally(runs)
        others = [
            asyncio.create_task(people(rt, tally, seed)),
            asyncio.create_task(watch(rt, tally, console, queue=PROVIDER)),
        ]
        try:
            await serve(rt, tally, rate, seed)
        except asyncio.CancelledError:  # Ctrl-C, as asyncio.run tells of it: the runs are cancelled
            code = 130
        for task in others:
            task.cancel()
        await asyncio.wait(others)
        if code:
            console.print(f"Stopped by Ctrl-C: {runs - tally.done:,} tickets are not answered.")
        console.print(summary(rt, tally, support))
    return code, rt.coverage(support)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Answer support tickets, simulated.")
    parser.add_argument("--runs", type=int, default=3000, help="how many tickets arrive")
    parser.add_argument("--rate", type=float, default=350.0, help="tickets a second, on average")
    parser.add_argument("--seed", type=int, default=1, help="of the tickets and of the world")
    parser.add_argument("--store", type=Path, help="a file to keep the runs in")
    parser.add_argument("--coverage", type=Path, help="a file to write the graph coverage to")
    options = parser.parse_args(arguments)
    if options.runs < 1 or not 0 < options.rate < 1e6:
        parser.error("give at least 1 run and a rate of more than 0")
    console = Console()
    with TemporaryDirectory() as folder:
        store = options.store or Path(folder) / "support.db"
        try:
            code, shown = asyncio.run(
                demo(store, options.runs, options.rate, options.seed, console)
            )
        except KeyboardInterrupt:  # a second one
            console.print("Stopped.")
            return 130
        if code == 0:
            console.print(answers(store), soft_wrap=True)
    if options.coverage is not None:
        options.coverage.write_text(shown.to_json(), "utf-8")
    console.print(commands(__file__, options.store, options.coverage), soft_wrap=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
