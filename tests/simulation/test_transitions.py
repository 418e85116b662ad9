"""A simulated run and a real one of the same luck make the same transitions, record by record."""

from __future__ import annotations

from typing import Any

import pytest

import penstock as ps
from penstock._simulation import Change, Model, World
from penstock.testing import VirtualClock
from staging import Stage

stage = Stage(seed=11)
gpt = ps.Queue("gpt", concurrency=3, retry_budget=None)
patient = ps.RetryPolicy(max_attempts=3, initial_interval=0.2)


@ps.step(queue=gpt, retry=patient, timeout=1.0)
async def read(text: str, ctx: ps.Context) -> str:
    return await stage.act(ctx, "order/read", "gpt")


@ps.step(queue=gpt, retry=patient)
async def price(text: str, ctx: ps.Context) -> str:
    return await stage.act(ctx, "order/price", "gpt")


@ps.step(retry=patient)
async def stock(text: str, ctx: ps.Context) -> str:
    return await stage.act(ctx, "order/stock", "default")


@ps.step
async def answer(one: str, two: str, ctx: ps.Context) -> str:
    return await stage.act(ctx, "order/answer", "default")


@ps.workflow(version="1", owner="shop")
def order(flow: ps.Flow, text: ps.Node[str]) -> ps.Node[str]:
    known = flow.call(read, text)
    return flow.call(answer, flow.call(price, known), flow.call(stock, known))


def step(latency: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"latency": latency, **more}


MODEL = Model.from_dict(
    {
        "format": 1,
        "workflow": "order",
        "arrivals": {"kind": "poisson", "rate": 4.0},
        "steps": {
            "read": step(
                {"kind": "lognormal", "median": 0.3, "sigma": 0.4},
                failures=[
                    {"error": 0.1, "hang": 0.05},
                    {"attempt": 2, "after": "timeout", "error": 0.5},
                ],
                spend=[{"resource": "words", "usd": 0.001}],
            ),
            "price": step(
                {"kind": "gamma", "mean": 0.2, "cv": 0.5}, failures=[{"error": 0.2, "fatal": 0.1}]
            ),
            "stock": step({"kind": "exponential", "mean": 0.1}, failures=[{"error": 0.1}]),
            "answer": step({"kind": "constant", "value": 0.05}),
        },
        "outages": [{"queue": "gpt", "at": [[10, 14]], "error": 0.9, "slower": 1.5}],
    }
)


def test_each_record_of_a_run_is_the_simulations() -> None:
    runs = 120
    stage.set(order, MODEL, Change(order), World(seed=11))
    made: dict[int, list[tuple[str, str, int, float]]] = {}

    async def told(run: ps.Run[str]) -> None:
        history = await run.history()
        made[int(run.run_id)] = [(it.kind, it.node or "", it.attempt or 0, it.at) for it in history]

    async def main() -> None:
        async with ps.Runtime(seed=11) as rt:
            await stage.play(
                lambda number: rt.start(order, "x", run_id=str(number)), runs, rt, then=told
            )

    VirtualClock().run(main())
    assert stage.scene is not None
    foretold: dict[int, list[tuple[str, str, int, float]]] = {}
    for run, at, node, attempt, kind in stage.scene.scenario.trace(11, runs):
        foretold.setdefault(run, []).append((kind, node, attempt, at))
    assert len(foretold) == runs
    start = made[0][0][3] - foretold[0][0][3]
    for run, facts in foretold.items():
        assert [it[:3] for it in made[run]] == [it[:3] for it in facts], run
        for real, simulated in zip(made[run], facts, strict=True):
            assert real[3] - start == pytest.approx(simulated[3], abs=1e-3)
    # What the scene is there to show has happened.
    kinds = [kind for facts in foretold.values() for kind, *_ in facts]
    assert kinds.count("failed") > 40
    assert {"spent", "withdrawn", "done"} <= set(kinds)
