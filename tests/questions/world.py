"""A small service in a real store: what the questions are put to."""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path

import penstock as ps
from penstock._stored import StoreView

BOOK = ps.PriceBook(
    rates={
        "models": {
            "gpt": {"input": 1, "output": 10, "modes": {"batch": "0.5"}},
            "mini": {"input": "0.1", "output": 1},
        },
        "tools": {"search": "0.001"},
    },
    package=None,
)
GPT = ps.Queue("gpt", concurrency=64, retry_budget=None)
MODEL = ps.Setting("draft.model", "gpt", owner="ml")
ONCE = ps.RetryPolicy(max_attempts=1)
TWICE = ps.RetryPolicy(max_attempts=2, initial_interval=0.001, jitter="none")


class Trouble:
    """What goes wrong: by the run's number, every so manieth; 0 for never."""

    classify = 0
    retrieve = 0
    draft = 0


@ps.step(owner="ml", queue=GPT, effects="pure", playbook="https://play/classify", retry=TWICE)
async def classify(number: int, ctx: ps.Context) -> int:
    ctx.spend.tokens("mini", input=200 + number % 7, output=20)
    if ctx.attempt == 1 and Trouble.classify and number % Trouble.classify == 0:
        raise TimeoutError("busy")
    return number


@ps.step(owner="search", effects="pure", retry=ONCE)
async def retrieve(number: int, ctx: ps.Context) -> str:
    ctx.spend.tool("search")
    if Trouble.retrieve and number % Trouble.retrieve == 0:
        raise LookupError("nothing there")
    return "found"


@ps.step(owner="ml", queue=GPT, effects="pure", retry=ONCE)
async def rewrite(number: int, docs: str | None, ctx: ps.Context) -> str:
    ctx.spend.tokens("mini", input=100, output=10)
    return f"rewritten {number}"


@ps.step(owner="ml", queue=GPT, effects="pure", retry=ONCE)
async def draft(number: int, docs: str | None, ctx: ps.Context) -> str:
    ctx.spend.tokens(str(ctx.get(MODEL)), input=1_000 + number % 3, output=100)
    if docs is None and number % 2:
        raise ValueError("no docs, no draft")
    if Trouble.draft and number % Trouble.draft == 0:
        raise ValueError("no draft")
    return f"draft {number}"


def support_of(version: str, *, guarded: bool = False) -> ps.Workflow[[int], str]:
    """The workflow, under a version; `guarded` has a cascade where the draft is."""

    def support(flow: ps.Flow, number: ps.Node[int]) -> ps.Node[str]:
        known = flow.call(classify, number)
        docs = flow.optional(flow.call(retrieve, known, on_failure="skip"))
        if guarded:
            return flow.cascade((draft, rewrite), known, docs, accept=bool)
        return flow.call(draft, known, docs)

    return ps.workflow(version=version, owner="cx", value=ps.usd("0.5"))(support)


support = support_of("1.0.0")
changed = support_of("1.1.0")
guarded = support_of("2.0.0", guarded=True)


@contextmanager
def trouble(*, classify: int = 0, retrieve: int = 0, draft: int = 0) -> Generator[None]:
    """Let every so manieth run go wrong at a step."""
    Trouble.classify, Trouble.retrieve, Trouble.draft = classify, retrieve, draft
    try:
        yield
    finally:
        Trouble.classify = Trouble.retrieve = Trouble.draft = 0


async def fill(
    path: Path, numbers: Iterable[int], workflow: ps.Workflow[[int], str] = support
) -> None:
    """Let runs of these numbers end, well or not."""
    async with ps.Runtime(
        store=str(path), workflows=[workflow], prices=BOOK, durability="async"
    ) as rt:
        every = list(numbers)
        names = [f"{workflow.version}-{number}" for number in every]
        runs = await rt.start_many(workflow, every, run_ids=names)
        await asyncio.gather(*(run.result() for run in runs), return_exceptions=True)


@contextmanager
def looking(path: Path) -> Generator[StoreView]:
    """A look into a store."""
    view = StoreView(path)
    try:
        yield view
    finally:
        view.close()


FAR = 4e9
"""Later than any test."""
