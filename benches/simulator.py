"""`python benches/simulator.py [--whole]`: how fast policies are simulated.

- events of the modelled engine a second on one core, by shape: a run, a dispatch, an end of an
  attempt, a decision and a timer are one each; what comes of them inside is not counted;
- a frontier of policies of a chain of five, 40,000 runs each, on two threads: a fifth of the 200
  without `--whole`, and a fifth of the target.

Says which targets are met, and fails where one is missed.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from itertools import product
from typing import Any, Final

import penstock as ps
from penstock._simulation import Change, Model, sweep
from penstock._simulation._scene import scene_of
from penstock._simulation._simulate import contents_of
from table import refuse_debug_build, surroundings

RUNS, ROUNDS = 40_000, 5
EVENTS_TARGET: Final = 1_000_000
POLICIES, SECONDS_TARGET = 200, 60.0
PATIENT: Final = ps.RetryPolicy(max_attempts=3, initial_interval=0.1)
GPT: Final = ps.Queue("gpt", concurrency=16)
SEARCH: Final = ps.Queue(
    "search", concurrency=24, rate_limit=ps.RateLimit(200, per=1.0), breaker=ps.Breaker()
)


@ps.step(queue=GPT, retry=PATIENT)
async def read(text: str) -> str:
    return text


@ps.step(queue=GPT, retry=PATIENT)
async def plan(text: str) -> str:
    return text


@ps.step(queue=GPT, retry=PATIENT)
async def draft(text: str) -> str:
    return text


@ps.step(queue=GPT, retry=PATIENT)
async def review(text: str) -> str:
    return text


@ps.step(queue=SEARCH, retry=PATIENT)
async def find(text: str) -> str:
    return text


@ps.step(effects="pure")
async def free(text: str) -> str:
    return text


@ps.step(effects="pure")
async def parts(text: str) -> list[str]:
    return [text]


@ps.workflow(version="1", owner="cx")
def chain(flow: ps.Flow, text: ps.Node[str]) -> ps.Node[str]:
    for nth in range(5):
        text = flow.call(free, text, name=f"step-{nth}")
    return text


@ps.workflow(version="1", owner="cx")
def limited(flow: ps.Flow, text: ps.Node[str]) -> ps.Node[str]:
    for step in (read, plan, find, draft, review):
        text = flow.call(step, text)
    return text


def score(text: str) -> float:
    return float(len(text))


@ps.workflow(version="1", owner="cx")
def cascade(flow: ps.Flow, text: ps.Node[str]) -> ps.Node[str]:
    return flow.cascade((plan, draft, review), text, accept=ps.Threshold(score, at=0.7))


@ps.workflow(version="1", owner="cx")
def fan_out(flow: ps.Flow, text: ps.Node[str]) -> ps.Node[list[str]]:
    return flow.map(free, flow.call(parts, text), name="items")


SHAPES: Final[dict[str, tuple[ps.Workflow[..., Any], float, dict[str, Any]]]] = {
    "chain of five": (chain, 50.0, {}),
    "limited queues": (limited, 25.0, {}),
    "cascade": (cascade, 40.0, {}),
    "map of ten": (
        fan_out,
        20.0,
        {"fan_out/items": {"count": {"kind": "uniform", "low": 5, "high": 15}}},
    ),
}
"""By name: the workflow, runs a second, and what is decided in it."""


def model(workflow: ps.Workflow[..., Any], rate: float, choices: dict[str, Any]) -> Model:
    """Steps that take a tenth of a second, fail at times and cost something."""
    step = {
        "latency": {"kind": "lognormal", "median": 0.1, "sigma": 0.5},
        "failures": [{"error": 0.05}, {"attempt": 2, "after": "error", "error": 0.2}],
        "spend": [{"resource": "calls", "usd": 0.001}],
        "accepted": 0.6,
    }
    nodes = workflow.graph.nodes
    names = {node.step.name for node in nodes if node.step is not None}
    return Model.from_dict(
        {
            "format": 1,
            "workflow": workflow.name,
            "arrivals": {"kind": "poisson", "rate": rate},
            "steps": dict.fromkeys(names, step),
            "choices": choices,
        }
    )


def speed(name: str) -> tuple[float, int]:
    """Events a second of a shape on one core, the median of some rounds; and events."""
    workflow, rate, choices = SHAPES[name]
    scene = scene_of(workflow, model(workflow, rate, choices), Change(workflow))

    def play() -> int:
        (content,), _ = contents_of(
            [scene], runs=RUNS, seed=1, warm_up=0, batches=20, threads=1, progress=None
        )
        assert content is not None
        events: int = content["events"]
        return events

    events = play()
    return events / statistics.median(seconds(play) for _ in range(ROUNDS)), events


def frontier(policies: int) -> tuple[float, float]:
    """Seconds to play so many policies of five steps in limited queues on two threads.

    By the clock, and of processor time, which other processes of the machine do not lengthen.
    """
    workflow, rate, choices = SHAPES["limited queues"]
    varied = product(range(12, 32), (1, 2, 3, 4, 5), (16, 32))
    changes = [
        Change(
            workflow,
            {
                "queue.gpt.concurrency": slots,
                "step.draft.retry.max_attempts": attempts,
                "queue.search.concurrency": others,
            },
        )
        for slots, attempts, others in list(varied)[:: POLICIES // policies]
    ]
    assert len(changes) == policies

    def play() -> None:
        found, _ = sweep(workflow, model(workflow, rate, choices), changes, runs=RUNS, threads=2)
        assert None not in found

    began = time.process_time()
    taken = seconds(play)
    return taken, time.process_time() - began


def seconds(play: Callable[[], object]) -> float:
    began = time.perf_counter()
    play()
    return time.perf_counter() - began


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--whole", action="store_true", help="all 200 policies of the frontier")
    chosen = parser.parse_args()
    refuse_debug_build()
    print(surroundings(), end="\n\n")
    missed = False
    print(f"{'shape':24}{'events/s':>12}{'events/run':>12}{'µs/run':>10}")
    for name in SHAPES:
        found, events = speed(name)
        missed |= found < EVENTS_TARGET
        word = "pass" if found >= EVENTS_TARGET else "MISS"
        per_run = events / RUNS
        told = f"{word}  {name:18}{found:>12,.0f}{per_run:>12.1f}{1e6 * per_run / found:>10.1f}"
        print(told, flush=True)
    policies = POLICIES if chosen.whole else POLICIES // 5
    target = SECONDS_TARGET * policies / POLICIES
    taken, work = frontier(policies)
    missed |= taken > target
    print(
        f"{'pass' if taken <= target else 'MISS'}  {policies} policies of {RUNS:,} runs on two "
        f"threads: {taken:.1f} s, {work:.1f} s of work (target {target:.0f} s)"
    )
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
