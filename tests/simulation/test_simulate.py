"""What a simulation tells of a policy, and that it tells the same again."""

from __future__ import annotations

from typing import Any

import pytest

import penstock as ps
from penstock._errors import DefinitionError
from penstock._simulation import Change, Model, World, simulate, sweep
from penstock._simulation._student import student

gpt = ps.Queue("gpt", concurrency=4, retry_budget=None)


@ps.step(queue=gpt, retry=ps.RetryPolicy(max_attempts=2, initial_interval=0.1))
async def draft(text: str) -> str:
    return text


writing = draft.as_workflow()


def model(rate: float = 10.0, **draft: Any) -> Model:
    step = {"latency": {"kind": "exponential", "mean": 0.2}, **draft}
    return Model.from_dict(
        {
            "format": 1,
            "workflow": writing.name,
            "arrivals": {"kind": "poisson", "rate": rate},
            "steps": {"draft": step},
        }
    )


def test_the_same_seed_gives_the_same_and_another_does_not() -> None:
    one, two = (simulate(writing, model(), runs=2_000, seed=3)[0] for _ in range(2))
    other = simulate(writing, model(), runs=2_000, seed=4)[0]
    assert one.to_dict() == two.to_dict() != other.to_dict()


def test_threads_change_nothing() -> None:
    changes = [Change(writing, {"queue.gpt.concurrency": slots}) for slots in (2, 3, 4, 5)]
    one, two = (simulate(writing, model(), changes, runs=2_000, threads=it) for it in (1, 2))
    assert [it.to_dict() for it in one] == [it.to_dict() for it in two]


def test_what_is_known_by_heart_comes_out() -> None:
    """An attempt fails one time in five and costs a cent, whatever becomes of it."""
    failing = model(failures=[{"error": 0.2}], spend=[{"resource": "pages", "usd": 0.01}])
    (found,) = simulate(writing, failing, runs=40_000)
    for name, theory in (
        ("success", 1 - 0.2**2),
        ("retry_burden", 0.2),
        ("amplification", 1.2),
        ("cost", 0.01 / 0.8),
        ("cost:pages", 0.01 / 0.8),
        ("throughput", 10.0 * (1 - 0.2**2)),
        ("utilisation:gpt", 10.0 * 0.2 * 1.2 / 4),
        ("slot_seconds", 0.2 * 1.2),
    ):
        figure = found.metrics[name]
        assert figure.value is not None
        assert figure.value == pytest.approx(theory, rel=0.03), name
        assert figure.low is not None
        assert figure.high is not None
        assert figure.low < figure.value < figure.high, name
    # Of what succeeded, the attempt before was waste; of what failed, both were.
    assert found.metrics["waste"].value == pytest.approx(1 - 0.96 / 1.2, rel=0.05)


def test_a_95_percent_interval_holds_the_truth_about_19_times_in_20() -> None:
    failing = model(failures=[{"error": 0.2}])
    held = 0
    for seed in range(200):
        figure = simulate(writing, failing, runs=1_000, seed=seed)[0].metrics["retry_burden"]
        assert figure.low is not None
        assert figure.high is not None
        held += figure.low <= 0.2 <= figure.high
    assert 178 <= held <= 199


def test_runs_have_the_same_luck_under_every_policy() -> None:
    failing = model(failures=[{"error": 0.2}])
    more = Change(writing, {"queue.gpt.concurrency": 64})
    usual, wide = simulate(writing, failing, [Change(writing), more], runs=5_000)
    assert usual.metrics["retry_burden"] == wide.metrics["retry_burden"]
    assert usual.metrics["queue_delay_p95"].value > wide.metrics["queue_delay_p95"].value  # type: ignore[operator]


@ps.step(queue=gpt)
async def small(text: str) -> str:
    return text


@ps.step
async def large(text: str) -> str:
    return text


def good(text: str) -> float:
    return float(len(text))


@ps.workflow(version="1", owner="cx")
def answering(flow: ps.Flow, text: ps.Node[str]) -> ps.Node[str]:
    return flow.cascade((small, large), text, accept=ps.Threshold(good, at=0.6), name="answer")


def tiers(**small: Any) -> Model:
    latency = {"kind": "constant", "value": 0.1}
    quick = {"latency": latency, "quality": 0.8, "scores": [i / 100 for i in range(1, 101)]}
    usd = {"small": 0.001, "large": 0.01}
    steps = {
        "small": {**quick, "spend": [{"resource": "small", "usd": usd["small"]}], **small},
        "large": {
            **quick,
            "quality": 0.95,
            "spend": [{"resource": "large", "usd": usd["large"]}],
        },
    }
    return Model.from_dict(
        {
            "format": 1,
            "workflow": "answering",
            "arrivals": {"kind": "poisson", "rate": 5.0},
            "steps": steps,
        }
    )


def test_a_threshold_trades_quality_for_cost() -> None:
    higher = Change(answering, {"cascade.answer.at": 0.9})
    usual, strict = simulate(answering, tiers(), [Change(answering), higher], runs=20_000)
    for found, accepted in ((usual, 0.41), (strict, 0.11)):
        quality = accepted * 0.8 + (1 - accepted) * 0.95
        assert found.metrics["quality"].value == pytest.approx(quality, abs=0.003)
        cost = 0.001 + (1 - accepted) * 0.01
        assert found.metrics["cost"].value == pytest.approx(cost, rel=0.02)


def test_tiers_in_another_order_run_each_others_steps() -> None:
    turned = Change(answering, {"cascade.answer.order": ["large", "small"]})
    (found,) = simulate(answering, tiers(), [turned], runs=20_000)
    assert found.metrics["cost"].value == pytest.approx(0.01 + 0.59 * 0.001, rel=0.02)
    assert found.metrics["quality"].value == pytest.approx(0.41 * 0.95 + 0.59 * 0.8, abs=0.003)
    # Large steps wait in the queue of their own step, wherever they stand.
    assert found.metrics["utilisation:gpt"].value == pytest.approx(0.59 * 0.5 / 4, rel=0.05)


def test_quality_is_not_known_where_that_of_one_tier_is_not() -> None:
    (found,) = simulate(answering, tiers(quality=None), runs=1_000)
    assert found.metrics["quality"].value is None


signed = ps.Signal("signed", str)


@ps.workflow(version="1", owner="desk")
def signing(flow: ps.Flow, text: ps.Node[str]) -> ps.Node[str]:
    return flow.review(flow.call(small, text), signed, owner="desk")


def desk(**more: Any) -> Model:
    return Model.from_dict(
        {
            "format": 1,
            "workflow": "signing",
            "arrivals": {"kind": "poisson", "rate": 10 / 3_600},
            "steps": {"small": {"latency": {"kind": "constant", "value": 1.0}}},
            "signals": {"signed": more},
        }
    )


def test_people_answer_one_thing_after_the_other() -> None:
    """Ten an hour, six minutes each: two people are busy for half of the time (M/M/2)."""
    minutes = {"kind": "exponential", "mean": 6.0}
    (found,) = simulate(
        signing, desk(staff=2, minutes=minutes, usd_per_hour=60.0, role="clerk"), runs=40_000
    )
    assert found.metrics["human_minutes"].value == pytest.approx(6.0, rel=0.02)
    assert found.metrics["cost:human clerk"].value == pytest.approx(6.0, rel=0.02)
    # One in three waits (Erlang C), for 6 minutes on average: half of all are through after 5.85.
    assert found.metrics["latency_p50"].value == pytest.approx(1.0 + 60 * 5.85, rel=0.05)


def test_nobody_answers_at_night() -> None:
    minutes = {"kind": "constant", "value": 1.0}
    (found,) = simulate(
        signing, desk(staff=50, minutes=minutes, hours="09:00-17:00", days="mon-fri"), runs=10_000
    )
    # Most come while nobody is there, some on a Friday evening; more than a day is counted as one.
    assert found.metrics["latency_p50"].value > 3_600  # type: ignore[operator]
    assert found.metrics["latency_p99"].value == pytest.approx(86_400, rel=0.01)


def test_what_nobody_answers_does_not_end() -> None:
    (found,) = simulate(
        signing, desk(latency={"kind": "constant", "value": 5.0}, answered=0.75), runs=4_000
    )
    assert found.metrics["unfinished"].value == pytest.approx(0.25, abs=0.03)


def test_a_deadline_fails_what_takes_longer() -> None:
    (found,) = simulate(writing, model(), runs=20_000, world=World(deadline=0.2))
    # An exponential time is below its mean with probability 1 - 1/e; a few wait before.
    assert found.metrics["success"].value == pytest.approx(0.63, abs=0.03)


@ps.step(hedge=ps.Hedge(after=0.5), timeout=1.0)
async def page(number: int) -> int:
    return number


@ps.workflow(version="1", owner="cx", budget=ps.Budget(usd=0.001, when_spent="fail"))
def book(flow: ps.Flow, numbers: ps.Node[list[int]]) -> ps.Node[list[int]]:
    return flow.map(page, numbers, name="pages")


def pages(seconds: float) -> Model:
    latency = {"kind": "constant", "value": seconds}
    spend = [{"resource": "page", "usd": 0.002}]
    return Model.from_dict(
        {
            "format": 1,
            "workflow": "book",
            "arrivals": {"kind": "poisson", "rate": 0.01},
            "steps": {"page": {"latency": latency, "spend": spend}},
            "choices": {"book/pages": {"count": {"kind": "constant", "value": 6.0}}},
        }
    )


def test_what_is_changed_beyond_policies_is_played() -> None:
    free: dict[str, Any] = {"budget": "none"}
    changes = [
        Change(book, it)
        for it in (
            {},
            free,
            {**free, "map.pages.concurrency": 2},
            {**free, "step.page.hedge": "none"},
            {**free, "step.page.timeout": "none"},
        )
    ]
    paid, usual, two, alone, patient = simulate(book, pages(0.8), changes, runs=100)
    # Nothing of it is within the budget.
    assert paid.metrics["success"].value == 0.0
    assert usual.metrics["success"].value == 1.0
    assert two.metrics["latency_p50"].value == pytest.approx(3 * 0.8, rel=0.01)
    # A copy of each runs beside it, until it is beaten.
    assert usual.metrics["slot_seconds"].value == pytest.approx(6 * (0.8 + 0.3), rel=0.01)
    assert alone.metrics["slot_seconds"].value == pytest.approx(6 * 0.8, rel=0.01)
    assert patient.metrics["success"].value == 1.0
    slow, waits = simulate(book, pages(1.5), [changes[1], changes[4]], runs=100)
    assert slow.metrics["success"].value == 0.0
    assert waits.metrics["success"].value == 1.0


def test_an_outage_is_when_much_fails_at_once() -> None:
    content = model().to_dict()
    content["outages"] = [{"queue": "gpt", "at": [[50.0, 100.0]], "error": 1.0}]
    (found,) = simulate(writing, Model.from_dict(content), runs=2_000)
    assert found.metrics["success"].value == pytest.approx(0.75, abs=0.03)


def test_more_than_was_seen_is_said() -> None:
    known = model(rate=30.0, load=[[1, 1.0], [2, 1.1]])
    (found,) = simulate(writing, known, runs=2_000)
    assert len(found.extrapolated) == 1
    assert "more beside them than was seen" in found.extrapolated[0]


def test_a_model_of_something_else_is_refused() -> None:
    with pytest.raises(DefinitionError, match="is a model of workflow"):
        simulate(answering, model())


@pytest.mark.parametrize("runs", [0, -1, 1.5])
def test_a_number_of_runs_that_is_none_is_refused(runs: Any) -> None:
    with pytest.raises(DefinitionError, match="runs is"):
        simulate(writing, model(), runs=runs)


def test_one_run_has_no_interval() -> None:
    (found,) = simulate(writing, model(), runs=1)
    assert found.metrics["success"].value == 1.0
    assert found.metrics["success"].low is None


def test_an_interrupt_keeps_what_is_done() -> None:
    changes = [Change(writing, {"queue.gpt.concurrency": slots}) for slots in range(3, 403)]
    told: list[int] = []

    def progress(came: int) -> None:
        told.append(came)
        # By then the first policy is played, and the last is far away.
        if came > 50_000:
            raise KeyboardInterrupt

    found, interrupted = sweep(writing, model(), changes, runs=20_000, threads=1, progress=progress)
    assert interrupted
    done = sum(it is not None for it in found)
    assert 0 < done < len(changes)
    assert told == sorted(told)


def test_students_quantile_is_that_of_the_tables() -> None:
    for freedom, quantile in ((1, 12.706), (5, 2.571), (6, 2.447), (19, 2.093), (99, 1.984)):
        assert student(freedom) == pytest.approx(quantile, abs=0.005)
