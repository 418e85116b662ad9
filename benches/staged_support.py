"""The support service of `examples/support_tickets.py`, its provider and people on a stage."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

import penstock as ps
from penstock._simulation import Model
from staging import Stage

EXAMPLES: Final = Path(__file__).parents[1] / "examples"
DEADLINE: Final = 20.0
PEOPLE: Final = 16
"""At each of the two desks."""
TENTHS: Final = (1 / 600, 3 / 600)
"""Minutes that an answer takes: a minute of the example is a tenth of a second."""

RATES: Final = {
    "classifier": {"input": 0.05, "output": 0.4},
    "small": {"input": 0.25, "output": 2.0},
    "large": {"input": 2.5, "output": 15.0},
}
"""Dollars for a million tokens, as in the example."""


def example() -> Any:
    """The example's module, which is no package's."""
    if str(EXAMPLES) not in sys.path:
        sys.path.append(str(EXAMPLES))
    import support_tickets

    return support_tickets


def model(rate: float = 200.0) -> Model:
    """How the example's world behaves, in the words of a model."""
    tokens = {"input": ("uniform", 300, 900), "output": ("uniform", 20, 200)}

    def provider(name: str, median: float, **more: Any) -> dict[str, Any]:
        return {
            "latency": {"kind": "lognormal", "median": median, "sigma": 0.4},
            "failures": [
                {"error": 0.07, "fatal": 0.002, "hang": 0.02},
                {"attempt": 2, "after": "error", "error": 0.2, "hang": 0.02},
            ],
            "spend": [
                {
                    "resource": f"{name}:{unit}",
                    "units": {"kind": kind, "low": low, "high": high},
                    "usd_per_unit": round(RATES[name][unit] / 1e6, 12),
                }
                for unit, (kind, low, high) in tokens.items()
            ],
            **more,
        }

    def simple(seconds: float, **failures: float) -> dict[str, Any]:
        latency = {"kind": "constant", "value": seconds}
        return {"latency": latency, "failures": [failures] if failures else []}

    def desk(role: str, usd_per_hour: float) -> dict[str, Any]:
        minutes = {"kind": "uniform", "low": TENTHS[0], "high": TENTHS[1]}
        return {"staff": PEOPLE, "minutes": minutes, "role": role, "usd_per_hour": usd_per_hour}

    handbook = [{"resource": "handbook", "usd": 0.0002}]
    return Model.from_dict(
        {
            "format": 1,
            "workflow": "support",
            "arrivals": {"kind": "poisson", "rate": rate},
            "frailty": {"sigma": 0.3},
            "steps": {
                "classify": provider("classifier", 0.012),
                "small": provider("small", 0.02, accepted=0.6),
                "large": provider("large", 0.08, accepted=0.85),
                "search": {**simple(0.008), "spend": handbook},
                "refund": simple(0.005, error=0.03),
                "revoke": simple(0.005, error=0.03),
                "send": simple(0.002, error=0.01, fatal=0.004),
            },
            "choices": {
                "support/kind": {"outcomes": {"question": 0.8, "refund": 0.2}},
                "support/search": {"count": {"kind": "samples", "values": [1, 1, 2]}},
                "support/granted": {"outcomes": {"True": 0.8, "False": 0.2}},
            },
            "signals": {"answer": desk("desk", 30.0), "approval": desk("billing", 36.0)},
        }
    )


class Support:
    """The service on a stage: what the example's world draws by itself, the stage draws."""

    name = "support"
    deadline = DEADLINE

    def __init__(self) -> None:
        self.workflow: ps.Workflow[..., Any] = example().support
        self.prices: ps.PriceBook = example().PRICES

    async def play(self, rt: ps.Runtime, stage: Stage, runs: int) -> None:
        """Let tickets come, and wait until all of them are answered."""
        people = People(rt, stage)

        async def start(number: int) -> ps.Run[Any]:
            asked = ticket(stage, number)
            return await rt.start(self.workflow, asked, run_id=str(number), deadline=DEADLINE)

        with _staged(stage, people):
            await stage.play(start, runs, rt)


@contextmanager
def _staged(stage: Stage, people: People) -> Generator[None]:
    it = example()

    async def complete(name: str, _seconds: float, _ticket: object, ctx: ps.Context) -> None:
        try:
            spends = await stage.attempt(ctx, ctx.path, "provider")
            tokens = {each.partition(":")[2]: round(units / 1e6) for each, units, _ in spends}
            ctx.spend.tokens(name, input=tokens["input"], output=tokens["output"])
            stage.end(ctx, ctx.path)
        finally:
            people.tell(ctx.run_id)

    async def transfer(_ticket: object, _cents: int, ctx: ps.Context) -> None:
        await stage.act(ctx, ctx.path, "bank")

    async def mail(_ticket: object, ctx: ps.Context) -> None:
        await stage.act(ctx, ctx.path, "mail")

    def written_by(author: str, case: Any, _passages: object, skill: float) -> Any:  # noqa: ARG001
        tier, step = (1, "small") if author == "small model" else (2, "large")
        accepted = stage.model.steps[step].accepted if stage.model else None
        assert accepted is not None
        good = stage.decision(case.ticket.id, f"support/answer/accept-{tier}") < accepted
        return it.Answer(text="", author=author, claims=1, quotes=int(good))

    with patch.multiple(it, complete=complete, transfer=transfer, mail=mail, written_by=written_by):
        yield


def ticket(stage: Stage, number: int) -> Any:
    """The ticket whose text has its run go as in the simulation."""
    it = example()
    topics = ["refund"]
    if stage.outcome(number, "support/kind") == "question":
        topics = list(it.TOPICS[: stage.count(number, "support/search")])
    return it.Ticket(id=number, text=f"About my {' and '.join(topics)}.", seed=stage.seed)


class People:
    """Those at the two desks: each takes one thing after the other.

    Args:
        rt: whose runs they answer.
        stage: that says how they do.
    """

    def __init__(self, rt: ps.Runtime, stage: Stage) -> None:
        self._rt = rt
        self._stage = stage
        self._free = {name: asyncio.Semaphore(PEOPLE) for name in ("answer", "approval")}
        self._tasks: set[asyncio.Task[None]] = set()

    def tell(self, run_id: str) -> None:
        """An attempt of a run is over: somebody may be asked, once all of that has been done."""
        task = asyncio.get_running_loop().create_task(self._look(run_id))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _look(self, run_id: str) -> None:
        await asyncio.sleep(1e-6)
        with suppress(ps.RunNotFound):
            run = self._rt.get(run_id)
            for node in await run.awaiting():
                await self._answer(run, node)

    async def _answer(self, run: ps.Run[Any], node: str) -> None:
        it, number = example(), int(run.run_id)
        name = node.rpartition("/")[2]
        minutes = self._stage.minutes(number, node, *TENTHS)
        async with self._free[name]:
            if run.status == "running":
                await asyncio.sleep(60 * minutes)
        if name == "answer":
            await run.signal(it.ANSWER, it.Answer(text="", author="person"), minutes=minutes)
        else:
            granted = self._stage.outcome(number, "support/granted") == "True"
            approval = it.Approval(granted=granted, cents=1_000)
            await run.signal(it.APPROVAL, approval, minutes=minutes)
