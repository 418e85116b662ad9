"""An hour of calls of a language model, from a recorded trace, their provider on a stage.

The trace is Azure's (Patel et al., *Splitwise*, ISCA 2024; CC-BY 4.0). It is read, never copied.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import penstock as ps
from penstock._simulation import Model
from staging import Stage

FILE: Final = Path("shared", "data", "llm", "AzureLLMInferenceTrace_code.csv")
TRACE: Final = next(
    (it / FILE for it in Path(__file__).parents if (it / FILE).is_file()), Path(FILE.name)
)
"""Beside the repository, or above it."""
GPT: Final = ps.Queue("gpt", concurrency=16)
RATES: Final = {"input": 2.5, "output": 10.0}
"""Dollars for a million tokens."""
stage: Stage | None = None


@dataclass(frozen=True, slots=True)
class Calls:
    """What was recorded: seconds before each call, and its tokens."""

    gaps: tuple[float, ...]
    sent: tuple[int, ...]
    received: tuple[int, ...]

    @property
    def seconds(self) -> list[float]:
        """What a simple provider takes: 0.1 ms for a token it reads, 15 for one it writes."""
        pairs = zip(self.sent, self.received, strict=True)
        return [0.2 + 1e-4 * sent + 0.015 * received for sent, received in pairs]


@cache
def recorded() -> Calls:
    """The trace. The gaps start with the one before the first call, which is 0."""
    with TRACE.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    # Python reads six digits of a second, and the file has seven.
    times = [datetime.fromisoformat(row["TIMESTAMP"][:26]) for row in rows]
    return Calls(
        gaps=(0.0, *((later - sooner).total_seconds() for sooner, later in pairwise(times))),
        sent=tuple(int(row["ContextTokens"]) for row in rows),
        received=tuple(int(row["GeneratedTokens"]) for row in rows),
    )


@ps.step(queue=GPT, timeout=20.0, retry=ps.RetryPolicy(max_attempts=3, initial_interval=0.5))
async def complete(prompt: str, ctx: ps.Context) -> str:
    assert stage is not None
    spends = await stage.attempt(ctx, ctx.path, "gpt")
    tokens = {each.partition(":")[2]: round(units / 1e6) for each, units, _ in spends}
    ctx.spend.tokens("gpt", input=tokens["input"], output=tokens["output"])
    stage.end(ctx, ctx.path)
    return prompt


@ps.workflow(version="1", owner="code")
def calls(flow: ps.Flow, prompt: ps.Node[str]) -> ps.Node[str]:
    return flow.call(complete, prompt)


def model(*, speed: float = 1.0) -> Model:
    """Arrivals as recorded, so many times faster; latency and tokens drawn from all that was."""
    seen = recorded()

    def samples(values: Any) -> dict[str, Any]:
        return {"kind": "samples", "values": sorted(values)}

    step = {
        "latency": samples(seen.seconds),
        "failures": [
            {"error": 0.02, "fatal": 0.001, "hang": 0.002},
            {"attempt": 2, "after": "error", "error": 0.15},
        ],
        "spend": [
            {
                "resource": f"gpt:{unit}",
                "units": samples(values),
                "usd_per_unit": round(RATES[unit] / 1e6, 12),
            }
            for unit, values in (("input", seen.sent), ("output", seen.received))
        ],
    }
    return Model.from_dict(
        {
            "format": 1,
            "workflow": "calls",
            "arrivals": {"kind": "trace", "gaps": list(seen.gaps), "speed": speed},
            "steps": {"complete": step},
        }
    )


class CallService:
    """The service on a stage."""

    name = "calls"
    deadline = None
    workflow: ps.Workflow[..., Any] = calls
    prices = ps.PriceBook(rates={"models": {"gpt": RATES}}, package=None)

    async def play(self, rt: ps.Runtime, on: Stage, runs: int) -> None:
        """Let calls come, and wait until all of them are answered."""
        global stage  # noqa: PLW0603  # steps are of the module
        stage = on
        await on.play(lambda number: rt.start(calls, "x", run_id=str(number)), runs, rt)
