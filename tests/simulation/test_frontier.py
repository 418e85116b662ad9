"""The frontier: what stands out among policies, and what is said of it, by a stand-in's figures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

import penstock as ps
from penstock._simulation._changes import Change
from penstock._simulation._figures import Requirement, requirements, told_about
from penstock._simulation._forecast import Estimate, Forecast
from penstock._simulation._frontier import Frontier, Range, Vary, frontier
from penstock._simulation._frontier._sweep import sweep
from simulation.flows import support
from simulation.shop import model, shop

VARY = Vary(
    {
        "queue.gpt.concurrency": [2, 4, 8, 16, 32, 64],
        "step.small.retry.max_attempts": [1, 2, 3, 4, 5],
    }
)


def found(vary: Vary = VARY, **options: Any) -> Frontier:
    given: dict[str, Any] = {"evaluate": shop(), "runs": 1_000, **options}
    return frontier(support, model(), vary, **given)


def axes(forecast: Forecast, third: str = "success") -> tuple[float, float, float]:
    cost, slow, good = (forecast.metrics[name].value for name in ("cost", "latency_p95", third))
    assert cost is not None
    assert slow is not None
    assert good is not None
    return cost, slow, -good


def test_no_point_of_the_frontier_is_beaten_and_every_other_one_is() -> None:
    front = found()

    numbers = set(front.chosen.front)
    for point in front.points:
        mine = axes(point.forecast)
        beaten = any(
            axes(other.forecast) != mine
            and all(a <= b for a, b in zip(axes(other.forecast), mine, strict=True))
            for other in front.points
        )
        assert beaten == (point.number not in numbers)
    assert [point.forecast.metrics["cost"].value for point in front.front] == sorted(
        point.forecast.metrics["cost"].value or 0 for point in front.front
    )


def test_the_present_point_is_the_first_and_how_far_it_is_is_told() -> None:
    crowded = found(Vary({"queue.gpt.concurrency": [4, 8], "step.small.timeout": [3]}))
    assert crowded.points[0].change == Change(support, {})
    assert (crowded.chosen.better, crowded.chosen.distance) == (None, 0.0)

    # What is worse in everything is beaten, by the policy that is as it is but better.
    def worse_now(changes: Sequence[Change], runs: int, seed: int) -> list[Forecast]:
        return [
            Forecast(
                metrics={
                    "cost": Estimate(0.02 if change else 0.03, None, None),
                    "latency_p95": Estimate(1.0 if change else 2.0, None, None),
                    "success": Estimate(0.99, None, None),
                    "throughput": Estimate(2.0, None, None),
                },
                runs=runs,
            )
            for change in changes
        ]

    beaten = found(Vary({"queue.gpt.concurrency": [16]}), evaluate=worse_now)
    assert beaten.chosen.better == 1
    assert beaten.chosen.distance > 0


def test_dollars_saved_a_day_are_for_as_many_successes_as_now() -> None:
    front = found()
    point = front.front[0]
    now, then = front.present.forecast.metrics["cost"].value, point.forecast.metrics["cost"].value
    many = front.present.forecast.metrics["throughput"].value
    assert now is not None
    assert then is not None
    assert many is not None

    saved = front.saved_a_day(point)

    assert saved.value == pytest.approx(86_400 * many * (now - then))
    assert saved.low is not None
    assert saved.high is not None
    assert saved.low < (now - then) * many * 86_400 < saved.high
    assert front.saved_a_day(front.present).value == 0


def test_the_cheapest_that_meets_what_is_required() -> None:
    front = found(require="success>=0.99,p95<=4")

    meeting = [
        point
        for point in front.points
        if (point.forecast.metrics["success"].low or 0) >= 0.99
        and (point.forecast.metrics["latency_p95"].high or 9) <= 4
    ]
    best = min(meeting, key=lambda point: point.forecast.metrics["cost"].value or 0)
    assert front.cheapest is not None
    assert front.cheapest.number == best.number
    assert front.cheapest.again is not None


def test_a_requirement_must_hold_at_the_end_where_it_is_worst() -> None:
    forecast = Forecast(metrics={"success": Estimate(0.991, 0.989, 0.993)}, runs=1)

    assert not Requirement("success", ">=", 0.99).holds(forecast)
    assert Requirement("success", ">=", 0.989).holds(forecast)
    assert not Requirement("success", "<=", 0.992).holds(forecast)
    assert not Requirement("quality", ">=", 0.0).holds(forecast)  # never without data


def test_what_nothing_meets_is_nobody() -> None:
    front = found(require="p95<=0.001")

    assert front.cheapest is None
    assert not front.feasible


def test_what_stands_out_is_told_by_a_fresh_seed() -> None:
    """The winner's curse: the best of many noisy figures is better than what comes of it."""
    same = {f"step.{step}.timeout": [1, 2, 3, 4, 5] for step in ("large", "check", "send")}
    front = found(Vary(same), evaluate=shop(noise=0.05), require="p95<=100")
    exact = axes(shop()([Change(support, {})], 1, 0)[0])[0]

    swept = min(point.swept.metrics["cost"].value or 9 for point in front.points)
    told = [point.forecast.metrics["cost"].value or 0 for point in front.front]

    assert front.fresh
    assert front.present.again is not None
    assert swept < 0.9 * exact  # what a sweep alone would promise
    assert sum(told) / len(told) > swept
    assert front.cheapest is not None
    assert front.cheapest.again is not None


def test_what_does_not_hold_on_a_fresh_seed_is_not_chosen() -> None:
    def lucky(changes: Sequence[Change], runs: int, seed: int) -> list[Forecast]:
        """Every policy that costs less fails when it is looked at again."""
        forecasts = shop()(changes, runs, seed)
        if seed == 0:
            return forecasts
        return [
            Forecast(
                metrics={**it.metrics, "success": Estimate(0.5, 0.5, 0.5)}
                if (it.metrics["cost"].value or 0) < 0.04
                else it.metrics,
                runs=runs,
            )
            for it in forecasts
        ]

    front = found(evaluate=lucky, require="success>=0.9")

    assert front.cheapest is not None
    assert (front.cheapest.forecast.metrics["cost"].value or 0) >= 0.04


def test_differences_of_success_within_the_noise_are_none() -> None:
    """Else each policy with a little more luck would be the best in success."""

    def alike(changes: Sequence[Change], runs: int, seed: int) -> list[Forecast]:
        return [
            Forecast(
                metrics={
                    "cost": Estimate(1.0 + worse, None, None),
                    "latency_p95": Estimate(1.0 + worse, None, None),
                    "success": Estimate(0.99 + worse * 1e-5, 0.985, 0.995),
                },
                runs=runs,
            )
            for worse in (change.options["small"]["timeout"] if change else 0 for change in changes)
        ]

    front = found(Vary({"step.small.timeout": [1, 2, 3]}), evaluate=alike)

    assert front.chosen.front == (0,)


def test_extrapolated_policies_do_not_stand_out() -> None:
    vary = Vary({"setting.draft.tone": ["short"], "queue.gpt.concurrency": [1, 16]})

    front = found(vary, require="p95<=100")

    hollow = [point for point in front.points if point.extrapolated]
    assert hollow
    assert not {point.number for point in hollow} & {*front.chosen.front, *front.feasible}
    assert "setting draft.tone" in hollow[0].extrapolated[0]


def test_quality_is_an_axis_where_it_is_known() -> None:
    assert found().third == "success"
    assert not found().knows_quality
    known = found(evaluate=shop(quality=True))
    assert (known.third, known.knows_quality) == ("quality", True)


def test_policies_of_which_nothing_succeeds_stand_out_nowhere() -> None:
    def broken(changes: Sequence[Change], runs: int, seed: int) -> list[Forecast]:
        none = Estimate(None, None, None)
        dead = Forecast(
            metrics={"success": Estimate(0.0, 0.0, 0.1), "cost": none, "latency_p95": none},
            runs=runs,
        )
        return [
            dead if change else it
            for change, it in zip(changes, shop()(changes, 1, 0), strict=True)
        ]

    front = found(evaluate=broken)

    assert front.chosen.front == (0,)
    assert front.chosen.knee is None
    assert front.to_text()
    assert front.to_html()


def test_interrupting_keeps_what_is_done_and_says_so() -> None:
    front = found(evaluate=shop(stop_after=13), require="p95<=4")

    assert front.stopped
    assert 1 <= front.done <= 13
    assert front.planned == 30
    assert f"{front.done} of 30 policies" in front.to_text()
    assert front.chosen.front
    assert not front.fresh


def test_interrupting_the_second_look_keeps_the_first() -> None:
    front = found(evaluate=shop(stop_after=32))

    assert front.stopped
    assert front.done == front.planned == 30
    assert not front.fresh
    assert "interrupted" in front.to_text()


def test_interrupting_before_anything_is_done_is_an_interruption() -> None:
    with pytest.raises(KeyboardInterrupt):
        found(evaluate=shop(stop_after=0))


def test_progress_is_told_and_comes_to_an_end() -> None:
    told: list[tuple[int, int]] = []

    found(progress=lambda done, total: told.append((done, total)))

    assert told[0] == (1, 30)
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert told[-1][0] == told[-1][1] > 30


def test_a_sweep_asks_for_all_in_order_and_once() -> None:
    changes = [Change(support, {"arrivals.rate": rate}) for rate in range(1, 30)]
    asked: list[Change] = []

    def evaluate(some: Sequence[Change], runs: int, seed: int) -> list[Forecast]:
        asked.extend(some)
        return [Forecast(metrics={}, runs=runs) for _ in some]

    swept = sweep(evaluate, changes, runs=10, seed=1)

    assert asked == changes
    assert len(swept.forecasts) == len(changes)
    assert not swept.stopped


def test_it_is_plain_data() -> None:
    data = json.loads(json.dumps(found(require="success>=0.99").to_dict()))

    assert data["policies"] == data["planned"] == 30
    assert data["axes"] == ["cost", "latency_p95", "success"]
    assert data["require"] == ["success >= 99.0 %"]
    point = data["points"][data["cheapest"]]
    assert Forecast.from_dict(point).metrics["success"].low >= 0.99  # type: ignore[operator]
    assert Change.parse(support, point["set"]).texts == tuple(point["set"])


def test_vary_may_be_given_as_it_is() -> None:
    front = frontier(
        support,
        model(),
        {"queue.gpt.concurrency": Range(1, 64, steps=4, scale="log")},
        evaluate=shop(),
        runs=10,
    )

    assert front.done == 5


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "asks for nothing"),
        ("success", "asks for nothing"),
        ("succes>=0.9", "did you mean 'success'"),
        ("p95<4", "asks for nothing"),
        ("success>=high", "asks for nothing"),
    ],
)
def test_requirements_that_can_not_be_read(text: str, told: str) -> None:
    with pytest.raises(ps.DefinitionError, match=told):
        requirements(text)


def test_requirements() -> None:
    assert requirements("success >= 99.5%, wait_p95<=2, utilisation:gpt<=0.8, cost<=$0.02") == (
        Requirement("success", ">=", 0.995),
        Requirement("queue_delay_p95", "<=", 2.0),
        Requirement("utilisation:gpt", "<=", 0.8),
        Requirement("cost", "<=", 0.02),
    )


def test_figures_are_told_with_what_they_are_sure_of() -> None:
    """A wait that is nearly nothing was told as "1 µs ± 4e+07 %"."""
    assert told_about("cost", Estimate(0.0142, 0.0140, 0.0144)) == "$0.0142 ± 1.4 %"
    assert told_about("success", Estimate(0.798, 0.78, 0.816)) == "79.8 % ± 1.8"
    assert told_about("queue_delay_p50", Estimate(1e-6, 0.0, 0.8)) == "0 µs to 800 ms"
    assert told_about("cost", Estimate(0.0, 0.0, 0.0)) == "$0"
    assert told_about("cost", Estimate(None, None, None)) == "-"
