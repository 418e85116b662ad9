"""The forecast record: a released forecast is kept, and held against what its arm came to."""

from __future__ import annotations

import asyncio
import json
import random
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import penstock as ps
from loops import virtual
from penstock._cli._app import app
from penstock._simulation._forecast import Estimate, Forecast
from penstock._simulation._record import forecasts_of_store, widened
from penstock._stored import StoreView

PROMPT = ps.Setting("answer.prompt", "usual", owner="ml")


@ps.step(owner="ml")
async def answer(text: str, ctx: ps.Context) -> str:
    ctx.spend.usd(0.01 if ctx.get(PROMPT) == "usual" else 0.02, resource="model")
    if int(text) % 10 == 0:
        raise ValueError("no good")
    return text


@ps.workflow(owner="cx")
def talk(flow: ps.Flow, text: ps.Node[str]) -> ps.Node[str]:
    return flow.call(answer, text)


FORECAST = Forecast(
    metrics={
        "success": Estimate(0.9, 0.895, 0.905),
        "cost": Estimate(0.0222, 0.0220, 0.0224),
        "latency_p95": Estimate(30.0, 29.0, 31.0),  # it takes no time at all
        "retry_burden": Estimate(0.0, None, None),
        "quality": Estimate(0.9, 0.8, 1.0),  # nobody scores it
        "throughput": Estimate(3.0, 2.9, 3.1),  # of all runs, not of a share of them
    },
    runs=10_000,
)


def released(
    path: Path, count: int, *, forecast: Forecast | None = FORECAST, promoted: int = 0
) -> None:
    """Some runs of both arms, then some of the promoted candidate alone."""

    async def served(rt: ps.Runtime, first: int, many: int) -> None:
        for number in range(first, first + many):
            run = await rt.start(talk, str(number), run_id=f"run {number}")
            with suppress(ps.RunFailed):
                await run.result()

    async def main() -> None:
        async with ps.Runtime(store=path, workflows=[talk], durability="async") as rt:
            release = await rt.release(talk, overlay={PROMPT: "long"}, share=0.5, forecast=forecast)
            await served(rt, 0, count)
            if promoted:
                await asyncio.sleep(3_600.0)
                await release.promote()
                await served(rt, count, promoted)

    virtual(main)()


def scored(path: Path) -> Any:
    view = StoreView(path)
    try:
        return forecasts_of_store(view, now=time.time())
    finally:
        view.close()


def test_a_released_forecast_is_held_against_its_arm(tmp_path: Path) -> None:
    path = tmp_path / "talk.db"
    released(path, 200)

    (record,) = scored(path)

    assert record.workflow == "talk"
    assert 70 <= record.runs <= 130  # the candidate's share alone
    told = {figure.metric: figure for figure in record.figures}
    assert set(told) == {"success", "cost", "retry_burden"}
    assert told["cost"].measured == pytest.approx(0.02 / told["success"].measured)
    assert told["cost"].baseline == pytest.approx(0.01 / told["success"].baseline)
    assert told["success"].covered
    assert told["cost"].covered
    assert told["cost"].beats_baseline
    assert told["retry_burden"].covered is None
    assert (record.covered, record.judged) == (2, 2)


def test_waits_and_latencies_are_held_against_it_once_it_has_all_the_load(tmp_path: Path) -> None:
    path = tmp_path / "talk.db"
    released(path, 100, promoted=60)

    (record,) = scored(path)

    told = {figure.metric: figure for figure in record.figures}
    assert record.promoted is not None
    assert record.promoted >= record.began + 3_600
    assert told["latency_p95"].runs == 60
    assert told["latency_p95"].covered is False
    assert told["latency_p95"].baseline is None
    assert told["success"].runs == record.runs > 60
    assert (record.covered, record.judged) == (2, 3)


def test_too_few_runs_are_held_against_nothing(tmp_path: Path) -> None:
    path = tmp_path / "talk.db"
    released(path, 20)

    (record,) = scored(path)

    assert 0 < record.runs < 30
    assert not record.figures


def test_a_release_without_a_forecast_is_no_record(tmp_path: Path) -> None:
    path = tmp_path / "talk.db"
    released(path, 3, forecast=None)

    assert scored(path) == []
    shown = CliRunner().invoke(app, ["forecasts", str(path)])
    assert shown.exit_code == 0
    assert "no release has a forecast" in shown.output


def test_the_command_prints_the_record(tmp_path: Path) -> None:
    path = tmp_path / "talk.db"
    released(path, 100, promoted=60)

    shown = CliRunner().invoke(app, ["forecasts", str(path)])
    data = json.loads(CliRunner().invoke(app, ["forecasts", str(path), "--json"]).output)

    assert shown.exit_code == 0, shown.output
    assert "MISSED" in shown.output
    assert "Covered: 2 of 3 figures" in shown.output
    assert "Nearer than the baseline's own figure:" in shown.output
    assert data[0]["covered"] == 2
    assert data[0]["figures"][0]["metric"] == "success"


def test_a_forecast_is_plain_data_and_back() -> None:
    assert Forecast.from_dict(json.loads(json.dumps(FORECAST.to_dict()))) == FORECAST


def test_the_interval_is_wider_for_fewer_runs() -> None:
    figure = Estimate(0.5, 0.49, 0.52)

    low, high = widened(figure, 1_000, 1_000_000)
    assert low == pytest.approx(0.49, abs=1e-5)
    assert high == pytest.approx(0.52, abs=1e-4)
    less, more = widened(figure, 1_000, 10)
    assert less is not None
    assert more is not None
    assert less < 0.41
    assert more > 0.69
    assert widened(Estimate(0.5, None, None), 10, 10) == (None, None)


def test_coverage_is_what_is_promised() -> None:
    """Of forecasts and measurements of one truth 95 % are covered, however few were measured."""
    drawn = random.Random(4)
    for simulated, runs in ((2_000, 50), (500, 2_000)):
        hits = 0
        for _ in range(2_000):
            mean = drawn.gauss(1.0, 1 / simulated**0.5)
            half = 1.96 / simulated**0.5
            low, high = widened(Estimate(mean, mean - half, mean + half), simulated, runs)
            assert low is not None
            assert high is not None
            hits += low <= drawn.gauss(1.0, 1 / runs**0.5) <= high
        assert 0.93 <= hits / 2_000 <= 0.97
