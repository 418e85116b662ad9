"""Where the figures of so many runs will lie."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import penstock as ps
from penstock._errors import DefinitionError
from penstock._simulation import Change, Model, Stretches, World, predict, simulate
from penstock._simulation._fit._backfit import loads_apart
from penstock._simulation._fit._flight import count_in_flight, load_of
from penstock._simulation._fit._seen import Attempt
from penstock._simulation._forecast import Estimate, Forecast
from penstock._simulation._scene import scene_of
from penstock._simulation._simulate import played

gpt = ps.Queue("gpt", concurrency=4, retry_budget=None)
RUNS = 400


@ps.step(queue=gpt, retry=ps.RetryPolicy(max_attempts=2, initial_interval=0.1))
async def draft(text: str) -> str:
    return text


writing = draft.as_workflow()


def model(mean: float = 0.3, error: float = 0.2, rate: float = 8.0) -> Model:
    step: dict[str, Any] = {
        "latency": {"kind": "exponential", "mean": mean},
        "failures": [{"error": error}],
        "spend": [{"resource": "pages", "usd": 0.01}],
    }
    return Model.from_dict(
        {
            "format": 1,
            "workflow": writing.name,
            "arrivals": {"kind": "poisson", "rate": rate},
            "steps": {"draft": step},
        }
    )


def ends(figure: Estimate) -> tuple[float, float]:
    assert figure.low is not None
    assert figure.high is not None
    return figure.low, figure.high


def predicted(*, of_runs: int = RUNS, **options: Any) -> Forecast:
    (found,) = predict(writing, model(), of_runs=of_runs, **options)
    return found


def test_nine_in_ten_lie_in_a_90_percent_interval() -> None:
    found = predicted()
    scene = scene_of(writing, model(), Change(writing), World())
    names = ("success", "cost", "latency_p95", "queue_delay_p95", "retry_burden")
    held = dict.fromkeys(names, 0)
    for seed in range(1_000, 1_200):
        (came,), _ = played([scene], runs=RUNS, seed=seed, warm_up=0)
        assert came is not None
        for name in names:
            low, high = ends(found.metrics[name])
            value = came.metrics[name].value
            assert value is not None
            held[name] += low <= value <= high
    for name, count in held.items():
        assert 150 <= count <= 197, name


def test_more_runs_lie_nearer_and_a_higher_level_farther() -> None:
    usual = predicted()
    more, surer = predicted(of_runs=4 * RUNS), predicted(level=0.99)
    for name in ("success", "retry_burden", "latency_p95"):
        widths = [
            high - low for low, high in (ends(it.metrics[name]) for it in (more, usual, surer))
        ]
        assert widths == sorted(widths), name
        assert widths[0] < 0.8 * widths[2], name


def test_it_says_more_than_how_sure_the_mean_is() -> None:
    (mean,) = simulate(writing, model(), runs=100 * RUNS, level=0.9)
    low, high = ends(mean.metrics["success"])
    least, most = ends(predicted().metrics["success"])
    assert least < low < high < most
    assert (mean.level, mean.of_runs) == (0.9, None)
    assert (predicted().level, predicted().of_runs) == (0.9, RUNS)


def test_what_drifts_is_less_sure_and_its_queue_goes_on() -> None:
    """Slow hours make a queue that the mean of all hours does not have."""
    same = Stretches([model() for _ in range(8)], 10.0)
    drifting = Stretches([model(mean=0.15, error=0.1), model(mean=0.45, error=0.3)] * 4, 10.0)
    steady, found = predicted(stretches=same), predicted(stretches=drifting)
    for name in ("success", "retry_burden", "latency_p95", "queue_delay_p95"):
        low, high = ends(steady.metrics[name])
        least, most = ends(found.metrics[name])
        assert most - least > 1.2 * (high - low), name
    assert found.metrics["retry_burden"].value == pytest.approx(0.2, abs=0.03)
    waits = [it.metrics["queue_delay_p95"].value for it in (steady, found)]
    assert waits[1] > 1.5 * waits[0]  # type: ignore[operator]


def test_the_same_seed_predicts_the_same() -> None:
    drifting = Stretches([model(mean=0.15), model(mean=0.45)], 10.0)
    one, two = (predicted(stretches=drifting, seed=3) for _ in range(2))
    assert one == two != predicted(stretches=drifting, seed=4)


def test_policies_have_the_same_luck() -> None:
    wide = Change(writing, {"queue.gpt.concurrency": 64})
    usual, other = predict(writing, model(), [Change(writing), wide], of_runs=RUNS)
    assert usual.metrics["retry_burden"] == other.metrics["retry_burden"]
    assert usual.metrics["queue_delay_p95"] != other.metrics["queue_delay_p95"]


def test_shares_stay_shares() -> None:
    (found,) = predict(writing, model(error=0.05), of_runs=50)
    low, high = ends(found.metrics["success"])
    assert 0 <= low < 1
    assert high == 1.0


def test_progress_is_told() -> None:
    told: list[int] = []
    predicted(progress=told.append)
    assert told == sorted(told)
    assert len(told) >= 100
    assert told[-1] == 100 * RUNS


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"of_runs": 0}, "of_runs is 0"),
        ({"level": 0.0}, "level is 0"),
        ({"level": 1}, "level is 1"),
        ({"level": "high"}, "level is 'high'"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_what_can_not_be_meant_is_refused(options: dict[str, Any], what: str) -> None:
    with pytest.raises(DefinitionError, match=what):
        predicted(**options)


@pytest.mark.parametrize("models", [[], [model()], [model(), "other"]])
def test_stretches_are_two_models_or_more(models: Any) -> None:
    with pytest.raises(DefinitionError, match="do not tell how much they differ"):
        Stretches(models, 60.0)
    with pytest.raises(DefinitionError, match="seconds is 0"):
        Stretches([model(), model()], 0.0)


def test_stretches_of_another_workflow_are_refused() -> None:
    content = {**model().to_dict(), "workflow": "other"}
    others = [Model.from_dict(content), Model.from_dict(content)]
    with pytest.raises(DefinitionError, match="is a model of workflow"):
        predicted(stretches=Stretches(others, 10.0))


def stored(path: Path, runs: int) -> Path:
    """Attempts take longer from run to run; only the last runs review what they made."""

    @ps.step(effects="pure")
    async def make(number: int) -> int:
        await asyncio.sleep(0.1 + number / 1_000)
        return number

    @ps.step(effects="pure")
    async def check(number: int) -> int:
        return number

    @ps.workflow(version="1", owner="cx")
    def making(flow: ps.Flow, number: ps.Node[int]) -> ps.Node[int | None]:
        late = flow.when(flow.call(make, number), lambda it: it >= runs - 5, name="late")
        return flow.optional(flow.call(check, late))

    async def main() -> None:
        async with ps.Runtime(path, workflows=[making], durability="async") as rt:
            for number in range(runs):
                await asyncio.sleep(0.5)
                await rt.start(making, number)
            await rt.join()

    ps.testing.VirtualClock().run(main())
    return path


def test_stretches_of_a_store_show_its_drift(tmp_path: Path) -> None:
    store = stored(tmp_path / "a.db", 120)
    whole = Model.fit(store)
    found = Stretches.fit(store, whole, count=10)
    # No fewer than thirty runs each.
    assert len(found.models) == 4
    assert found.seconds == pytest.approx(119 * 0.5 / 4)
    means = [it.steps["make"].latency.mean() for it in found.models]
    assert means == pytest.approx([0.115, 0.145, 0.175, 0.205], abs=0.003)
    # What a stretch did not show is as in all of them.
    assert found.models[0].steps["check"] == whole.steps["check"]
    assert found.models[0].arrivals == whole.arrivals


def test_too_few_runs_tell_no_drift(tmp_path: Path) -> None:
    store = stored(tmp_path / "a.db", 40)
    with pytest.raises(DefinitionError, match="has 40 runs of workflow 'making'"):
        Stretches.fit(store, Model.fit(store))


def attempts(seed: int, slow: float, count: int = 600) -> list[Attempt]:
    """Calls that know nothing of each other, so many times slower than usual."""
    dice, at = random.Random(seed), 1_000.0 * seed
    made: list[Attempt] = []
    for run in range(count):
        at += dice.expovariate(8.0)
        seconds = slow * dice.lognormvariate(0, 0.4)
        call = Attempt(
            run=run,
            step="draft",
            path="w/draft",
            queue="gpt",
            number=1,
            after=None,
            start=at,
            end=at + seconds,
            how="done",
        )
        made.append(call)
    return made


def test_a_slow_hour_is_not_taken_for_the_load_that_it_causes() -> None:
    """All is slower at times, and more is in flight for that; one more call slows nobody down."""
    stretches = [attempts(seed, slow) for seed, slow in enumerate((0.5, 1.0, 2.0, 1.0), 1)]
    together = [it for stretch in stretches for it in stretch]
    count_in_flight(together, {})
    assert load_of(together)[-1][1] > 2
    seen: Any = [SimpleNamespace(attempts=stretch, others={}) for stretch in stretches]
    assert loads_apart(seen)["draft"][-1][1] < 1.25
