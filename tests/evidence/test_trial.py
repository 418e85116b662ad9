"""The trial of a release, event by event: what counts, in which order, and how it ends."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from itertools import permutations
from typing import Any

import pytest

import penstock as ps
from penstock._evidence import Arm, Criteria, Outcome, Trial, at_most, drop, rise
from simulated_releases import BROKEN, IDENTICAL, NANO, SLOWER, release

GOOD = Outcome(result="succeeded")
BAD = Outcome(result="failed")
HORIZON = 60.0


def made(criteria: Criteria | None = None, **options: Any) -> Trial:
    usual: dict[str, Any] = {"horizon": HORIZON, "share": 0.5}
    return Trial(criteria or Criteria(), **usual | options)


def feed(
    trial: Trial,
    runs: int,
    *,
    canary: Outcome = GOOD,
    baseline: Outcome = GOOD,
    first: int = 0,
    **options: Any,
) -> float:
    """Start and end runs of both arms in turn, one a second; gives the time it is then."""
    for run in range(first, first + runs):
        to_canary = run % 2 == 0
        trial.started(str(run), "canary" if to_canary else "baseline", run, **options)
        trial.ended(str(run), run + 0.5, canary if to_canary else baseline)
    return float(first + runs)


def judged(trial: Trial, now: float) -> int:
    verdict = trial.verdict(now)
    return verdict.runs + verdict.others


def test_nothing_is_judged_before_what_started_earlier() -> None:
    """A run of either arm that is under way holds up all that started after it."""
    trial = made()
    trial.started("slow", "baseline", 0.0)
    feed(trial, 10, first=1)
    assert judged(trial, 11.0) == 0
    trial.ended("slow", 12.0, GOOD)
    assert judged(trial, 12.0) == 11


def test_a_run_older_than_the_horizon_has_failed_and_holds_nobody_up() -> None:
    trial = made()
    trial.started("lost", "canary", 0.0)
    feed(trial, 10, first=1)
    assert judged(trial, HORIZON) == 0
    assert judged(trial, HORIZON + 0.1) == 11
    trial.ended("lost", HORIZON + 1, GOOD)  # too late: it counts as it was judged
    assert judged(trial, HORIZON + 2) == 11
    assert trial.evidence()[0].canary == pytest.approx(1 / 6)


def test_a_success_after_the_horizon_is_a_failure() -> None:
    trial = made()
    trial.started("late", "canary", 0.0)
    trial.ended("late", HORIZON + 1, GOOD)
    trial.verdict(HORIZON + 1)
    assert trial.evidence()[0].canary == 1.0


def test_a_deadline_before_the_horizon_is_the_horizon_of_its_run() -> None:
    trial = made()
    trial.started("short", "canary", 0.0, deadline=5.0)
    trial.started("long", "baseline", 0.0, deadline=2 * HORIZON)
    assert judged(trial, 5.0) == 0
    assert judged(trial, 5.1) == 1
    assert judged(trial, HORIZON) == 1
    assert judged(trial, HORIZON + 0.1) == 2
    trial.started("late", "canary", 100.0, deadline=5.0)
    trial.ended("late", 106.0, GOOD)
    assert judged(trial, 106.0) == 3
    assert trial.evidence()[0].canary == 1.0


def test_what_runs_have_started_counts_as_theirs_in_whatever_order_it_ends() -> None:
    whole = Outcome(
        result="succeeded",
        cost=7,
        retries=3,
        first_attempts={"a": 3, "b": 2},
        handoffs=4,
        accepted=3,
        slot_seconds={"a": 2.0},
        queue_delay=3.0,
    )
    own = Outcome(result="succeeded", cost=4, retries=1, first_attempts={"a": 1}, queue_delay=1.0)
    first = Outcome(result="failed", cost=2, first_attempts={"a": 2}, slot_seconds={"a": 2.0})
    second = Outcome(
        result="cancelled",
        cost=1,
        retries=2,
        first_attempts={"b": 2},
        handoffs=4,
        accepted=3,
        queue_delay=3.0,
    )
    ends: list[Callable[[Trial], None]] = [
        lambda trial: trial.ended("r", 1.0, own, started=1),
        lambda trial: trial.part_ended("r", "r/a", first, started=1),
        lambda trial: trial.part_ended("r", "r/a/b", second, depth=2),
    ]
    expected = made()
    expected.started("r", "canary", 0.0)
    expected.ended("r", 1.0, whole)
    expected.verdict(1.0)
    for order in permutations(ends):
        trial = made()
        trial.started("r", "canary", 0.0)
        for number, end in enumerate(order):
            assert judged(trial, 1.0) == 0
            end(trial)
            if number:
                end(trial)  # told twice, it counts once
            trial = Trial.restored(json.loads(json.dumps(trial.state())))
        assert judged(trial, 1.0) == 1
        assert trial.evidence() == expected.evidence()


def test_what_never_ends_holds_its_root_up_until_the_horizon() -> None:
    trial = made()
    trial.started("r", "canary", 0.0)
    trial.ended("r", 1.0, GOOD, started=1)
    assert judged(trial, HORIZON) == 0
    assert judged(trial, HORIZON + 0.1) == 1
    assert trial.evidence()[0].canary == 0.0
    trial.part_ended("r", "r/a", BAD)


def test_a_run_that_a_user_cancelled_counts_nowhere() -> None:
    trial = made()
    now = feed(trial, 10, canary=Outcome(result="cancelled"))
    assert trial.verdict(now).runs == 0
    assert trial.verdict(now).others == 5


def test_a_rollback_says_on_what_evidence() -> None:
    trial = made()
    feed(trial, 200)
    verdict = trial.verdict(feed(trial, 40, canary=BAD, first=200))
    assert verdict.state == "rollback"
    assert verdict.criterion == "success"
    assert verdict.reason.startswith(
        "failed 10 of 110 canary runs, 0 of 109 baseline runs; e-value"
    )
    assert verdict.reason.endswith(">= 100")
    assert verdict.evidence[0].e_value is not None
    assert verdict.evidence[0].e_value >= 100


def test_a_verdict_stays_whatever_comes_after_it() -> None:
    trial = made()
    now = feed(trial, 100, canary=BAD)
    rolled_back = trial.verdict(now)
    now = feed(trial, 2_000, first=100, baseline=BAD)
    assert trial.verdict(now) == rolled_back


def test_a_faultless_candidate_is_promoted() -> None:
    trial = made()
    verdict = trial.verdict(feed(trial, 2_000))
    assert verdict.state == "promote"
    assert "worse by less than 1 point; e-value" in verdict.reason


def test_nothing_is_promoted_that_would_fill_a_queue() -> None:
    trial = made()
    trial.forecast({"gpt": 0.91, "db": 0.2})
    now = feed(trial, 2_000)
    verdict = trial.verdict(now)
    assert verdict.state == "running"
    assert verdict.reason == "good enough, but queue 'gpt' would be 91 % full, above 85 %"
    trial.forecast({"gpt": 0.8})
    assert trial.verdict(now).state == "promote"


def test_a_full_queue_holds_even_what_is_promoted_undecided() -> None:
    trial = made(max_runs=1_500, on_undecided="promote")
    trial.forecast({"gpt": 0.91})
    verdict = trial.verdict(feed(trial, 4_000))
    assert (verdict.state, verdict.runs) == ("hold", 1_500)
    assert "91 % full" in verdict.reason


@pytest.mark.parametrize("on_undecided", ["hold", "promote", "rollback"])
def test_undecided_at_its_limits_it_ends_as_it_was_told(on_undecided: str) -> None:
    by_runs = made(max_runs=20, on_undecided=on_undecided)
    verdict = by_runs.verdict(feed(by_runs, 100))
    assert (verdict.state, verdict.runs) == (on_undecided, 20)
    assert verdict.reason.startswith("undecided after 20 canary runs: failed 0 of 20")
    by_age = made(max_age=3_600.0, began=0.0, on_undecided=on_undecided)
    feed(by_age, 100)
    assert by_age.verdict(3_599.0).state == "running"
    assert by_age.verdict(3_600.0).state == on_undecided


def test_arms_of_the_wrong_sizes_void_a_release() -> None:
    trial = made(share=0.1)
    verdict = trial.verdict(feed(trial, 200))
    assert verdict.state == "void"
    assert "of 200 runs went to the canary, 10 % were to" in verdict.reason


def dear(dollars: float, **facts: Any) -> Outcome:
    return Outcome(result="succeeded", cost=round(dollars * NANO), **facts)


def test_a_dearer_candidate_is_rolled_back_with_the_amounts() -> None:
    trial = made()
    verdict = trial.verdict(feed(trial, 400, canary=dear(0.02), baseline=dear(0.01)))
    assert (verdict.state, verdict.criterion) == ("rollback", "cost")
    assert "cost per success $0.02 in 100 canary runs, $0.01 in 100" in verdict.reason
    assert verdict.evidence[0].canary == pytest.approx(0.02)


def test_a_cost_within_its_margin_is_no_reason() -> None:
    trial = made()
    verdict = trial.verdict(feed(trial, 4_000, canary=dear(0.0104), baseline=dear(0.01)))
    assert verdict.state == "promote"


def test_where_nothing_is_spent_costs_are_no_data() -> None:
    """They were shown as $0 for each success, and as no worse than the baseline's."""
    criteria = Criteria(objectives={"cost": rise(0.05, relative=True)})
    trial = made(criteria, max_runs=300)
    now = feed(trial, 400)
    trial.verdict(now)
    cost = next(it for it in trial.evidence() if it.criterion == "cost")
    assert (cost.canary, cost.baseline, cost.bound) == (None, None, None)
    assert "no data, as nothing was spent in 200 canary runs and 200 baseline runs" in cost.said
    trial = Trial.restored(json.loads(json.dumps(trial.state())))
    assert trial.verdict(now).state == "running"
    now = feed(trial, 200, first=400)
    verdict = trial.verdict(now)
    assert verdict.state == "hold"
    assert "cost has no data: nothing was spent" in verdict.reason


def test_unpriced_spend_says_nothing_of_costs() -> None:
    """Above 1 % of the runs of an arm: what has no price may be anything."""
    trial = made(max_runs=300)
    for run in range(800):
        unpriced = run % 50 == 0
        outcome = dear(0.02 if run % 2 == 0 else 0.01, unpriced=unpriced)
        trial.started(str(run), "canary" if run % 2 == 0 else "baseline", run)
        trial.ended(str(run), run + 0.5, outcome)
    verdict = trial.verdict(800.0)
    assert verdict.state == "hold"
    assert "cost has no data: spend is unpriced in 4 %" in verdict.reason


@pytest.mark.parametrize(
    ("metric", "margin", "worse", "usual"),
    [
        (
            "retry_burden",
            rise(0.05),
            Outcome(result="succeeded", first_attempts={"api": 4}, retries=2),
            Outcome(result="succeeded", first_attempts={"api": 4}),
        ),
        (
            "handoff",
            drop(0.01),
            Outcome(result="succeeded", handoffs=2, accepted=1),
            Outcome(result="succeeded", handoffs=2, accepted=2),
        ),
        (
            "first_attempts",
            rise(0.1, relative=True),
            Outcome(result="succeeded", first_attempts={"api": 3, "db": 2}),
            Outcome(result="succeeded", first_attempts={"api": 2, "db": 2}),
        ),
        (
            "load:gpt",
            rise(0.1, relative=True),
            Outcome(result="succeeded", slot_seconds={"gpt": 2.0, "db": 1.0}),
            Outcome(result="succeeded", slot_seconds={"gpt": 1.0, "db": 9.0}),
        ),
        (
            "queue_delay",
            at_most(0.05, over=5.0),
            Outcome(result="succeeded", queue_delay=6.0),
            Outcome(result="succeeded", queue_delay=0.1),
        ),
    ],
)
def test_each_guardrail_finds_its_harm_and_no_other(
    metric: str, margin: Any, worse: Outcome, usual: Outcome
) -> None:
    criteria = Criteria(guardrails={metric: margin})
    harmed = made(criteria)
    verdict = harmed.verdict(feed(harmed, 500, canary=worse, baseline=usual))
    assert (verdict.state, verdict.criterion) == ("rollback", metric)
    well = made(criteria)
    assert well.verdict(feed(well, 2_000, canary=usual, baseline=usual)).state == "promote"


def test_slow_runs_are_counted_where_a_limit_is_given() -> None:
    trial = made(Criteria(guardrails={"latency": rise(0.02, over=2.0)}))
    for run in range(100):
        trial.started(str(run), "canary" if run % 2 == 0 else "baseline", run)
        trial.ended(str(run), run + (3.0 if run % 4 == 0 else 0.5), GOOD)
    verdict = trial.verdict(110.0)
    assert (verdict.state, verdict.criterion) == ("rollback", "latency")
    assert verdict.reason.startswith("took longer than 2 s: ")


def test_nothing_is_promoted_before_its_scores_are_in() -> None:
    """What shows in scores only would be missed: they come later than the outcomes."""
    trial = made(SCORED, score_within=1_000.0)
    feed(trial, 600)
    assert trial.verdict(900.0).state == "running"
    for run in range(600):
        trial.scored(str(run), "judge", 0.8, 901.0)
    assert trial.verdict(901.0).state == "promote"


SCORED = Criteria(objectives={"success": drop(0.02)}, guardrails={"score:judge": drop(0.1)})


def test_lower_scores_roll_back_and_late_ones_do_not_count() -> None:
    trial = made(SCORED, score_within=10.0)
    for run in range(400):
        to_canary = run % 2 == 0
        trial.started(str(run), "canary" if to_canary else "baseline", run)
        trial.ended(str(run), run + 0.5, GOOD)
        trial.scored(str(run), "judge", 0.5 if to_canary else 0.8, run + 5.0)
    verdict = trial.verdict(400.0)
    assert (verdict.state, verdict.criterion) == ("rollback", "score:judge")
    late = made(SCORED, score_within=10.0)
    late.started("1", "canary", 0.0)
    late.ended("1", 1.0, GOOD)
    late.scored("1", "judge", 0.1, 11.5)
    late.verdict(12.0)
    known = {each.criterion: each for each in late.evidence()}
    assert known["score:judge"].canary_runs == 0
    assert known["scored:judge"].canary == 1.0  # it was not scored in time


def test_a_candidate_whose_bad_runs_are_not_scored_is_found_out() -> None:
    trial = made(SCORED, score_within=10.0)
    for run in range(400):
        to_canary = run % 2 == 0
        trial.started(str(run), "canary" if to_canary else "baseline", run)
        trial.ended(str(run), run + 0.5, GOOD)
        if not to_canary or run % 4 == 0:
            trial.scored(str(run), "judge", 0.8, run + 5.0)
    verdict = trial.verdict(500.0)
    assert (verdict.state, verdict.criterion) == ("rollback", "scored:judge")


def test_a_tenant_is_one_observation() -> None:
    """One tenant of the canary whose every run fails is one failure, not a hundred."""
    trial = made(gather=50.0)
    for run in range(2_000):
        tenant = "unlucky" if run % 20 == 0 else f"tenant-{run // 2 % 7}-{run % 2}"
        arm: Arm = "canary" if tenant == "unlucky" or run % 2 == 0 else "baseline"
        trial.started(str(run), arm, run, unit=tenant)
        trial.ended(str(run), run + 0.5, BAD if tenant == "unlucky" else GOOD)
    verdict = trial.verdict(2_000.0)
    assert verdict.state == "running"
    assert (verdict.runs, verdict.others) == (8, 7)
    assert trial.evidence()[0].said.startswith("failed 1 of 8 canary units, 0 of 7 baseline units")


def test_a_changed_share_opens_a_new_stratum() -> None:
    """Failures of both arms rise just when the share does: the canary did nothing worse."""
    trial = made(share=0.1, max_runs=100_000)
    dice = random.Random(5)
    for run in range(6_000):
        if run == 3_000:
            trial.changed_share(0.5)
        failing = 0.01 if run < 3_000 else 0.2
        arm: Arm = "canary" if dice.random() < trial.share else "baseline"
        trial.started(str(run), arm, run)
        trial.ended(str(run), run + 0.5, BAD if dice.random() < failing else GOOD)
        assert trial.verdict(run + 1.0).state in ("running", "promote")


def test_what_is_known_of_a_run_that_never_ends_counts() -> None:
    """A candidate whose runs hang after they have spent a fortune."""
    trial = made()
    for run in range(160):
        to_canary = run % 2 == 0
        trial.started(str(run), "canary" if to_canary else "baseline", run)
        if run % 40 == 0:
            trial.so_far(str(run), Outcome(result="failed", cost=5 * NANO))
        else:
            trial.ended(str(run), run + 0.5, dear(0.01))
    trial.verdict(300.0)
    cost = next(each for each in trial.evidence() if each.criterion == "cost")
    assert cost.canary == pytest.approx((4 * 5 + 76 * 0.01) / 76)


def saved_and_restored(trial: Trial) -> Trial:
    return Trial.restored(json.loads(json.dumps(trial.state(), allow_nan=False)))


@pytest.mark.parametrize("candidate", [BROKEN, SLOWER, IDENTICAL])
def test_a_restart_after_every_event_changes_nothing(candidate: Any) -> None:
    """Saved as JSON and read back each time, and the same verdict with the same numbers."""
    options: dict[str, Any] = {"seed": 3, "max_runs": 80, "rate": 1.0, "share": 0.5}
    assert release(candidate, watch=saved_and_restored, **options) == release(candidate, **options)


def test_a_restart_keeps_scores_units_strata_and_verdicts() -> None:
    def run_all(*, restarts: bool) -> Trial:
        trial = made(SCORED, share=0.3, gather=20.0, score_within=30.0, max_age=5_000.0)
        dice = random.Random(7)
        for run in range(400):
            if run == 200:
                trial.changed_share(0.6)
                trial.forecast({"gpt": 0.9})
            arm: Arm = "canary" if dice.random() < trial.share else "baseline"
            trial.started(str(run), arm, run, unit=f"tenant-{run // 3}" if run % 2 else None)
            if dice.random() < 0.9:
                trial.ended(str(run), run + dice.random(), BAD if dice.random() < 0.1 else GOOD)
                trial.scored(str(run), "judge", dice.random(), run + 1.0)
            trial.verdict(run + 1.0)
            trial = saved_and_restored(trial) if restarts else trial
        return trial

    straight, restarted = run_all(restarts=False), run_all(restarts=True)
    assert restarted.state() == straight.state()
    assert restarted.evidence() == straight.evidence()
    assert restarted.verdict(5_000.0) == straight.verdict(5_000.0)
    assert saved_and_restored(restarted).verdict(5_000.0) == straight.verdict(5_000.0)


def test_a_run_that_is_told_of_twice_counts_once() -> None:
    trial = made()
    for _ in range(2):
        trial.started("1", "canary", 0.0)
    trial.ended("1", 1.0, GOOD)
    trial.ended("1", 2.0, BAD)
    trial.ended("unknown", 2.0, BAD)
    assert judged(trial, 3.0) == 1
    assert trial.evidence()[0].canary == 0.0


@pytest.mark.parametrize(
    "options",
    [
        {"share": 0},
        {"share": 1},
        {"horizon": 0},
        {"max_runs": 0},
        {"max_age": -1},
        {"on_undecided": "wait"},
        {"score_within": float("nan")},
    ],
)
def test_options_that_can_not_be_meant_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ps.DefinitionError, match="a release's"):
        made(**options)
    with pytest.raises(ps.DefinitionError, match="the arm of a run"):
        made().started("1", "control", 0.0)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "facts",
    [
        {"cost": -1},
        {"cost": 0.5},
        {"retries": -1},
        {"handoffs": 1, "accepted": 2},
        {"result": "ok"},
    ],
)
def test_outcomes_that_can_not_be_are_refused(facts: dict[str, Any]) -> None:
    with pytest.raises(ps.DefinitionError, match="Outcome"):
        Outcome.from_dict({"result": "succeeded"} | facts)
