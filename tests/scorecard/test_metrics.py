"""Metrics: what each figure counts, against sums made by hand."""

from __future__ import annotations

from typing import Any

import pytest

import penstock as ps
from penstock._scorecard import (
    Drift,
    NodeFacts,
    Notes,
    Overrun,
    ReleaseNote,
    Row,
    Scorecard,
    scorecard,
    unresolved,
)
from penstock._scorecard._histogram import bucket_of
from penstock._scorecard._metrics import Card
from scorecard.world import OWNERS, START, STEPS, facts, notes, service

DAY = 86_400


def runs(at: float = 0.0, **body: Any) -> Row:
    key = {"workflow": "support", "version": "1", "overlay": "", "tenant": "acme"}
    return Row(at, "runs", key, body)


def whole(*rows: Row, told: Notes | None = None, **options: Any) -> Card:
    return scorecard(rows, since=0, until=3_600, notes=told, **options).whole


@pytest.fixture(scope="module")
def day() -> list[Row]:
    return list(service())


def by(day: list[Row], name: Any) -> Scorecard:
    return scorecard(day, since=START, until=START + DAY, by=name, nodes=facts(), notes=notes())


def test_success_counts_by_cause_and_leaves_out_what_a_user_cancelled() -> None:
    ended = {
        "succeeded": 60,
        "failed": 8,
        "cancelled": 100,
        "deadline": 7,
        "budget": 6,
        "compensated": 5,
        "compensated_cancelled": 100,
        "compensated_deadline": 4,
        "compensation_failed": 3,
    }
    card = whole(runs(accepted=300, ended=ended))
    success = card.quality.success
    assert (success.part, success.whole) == (60, 60 + 8 + 7 + 6 + 5 + 4 + 3)
    assert list(card.quality.causes) == [
        "failed",
        "deadline",
        "budget",
        "compensated",
        "compensated_deadline",
        "compensation_failed",
    ]
    compensation = card.reliability.compensation
    assert (compensation.part, compensation.whole) == (5 + 100 + 4, 5 + 100 + 4 + 3)
    assert card.economics.stopped == 6


def test_open_runs_that_are_too_old_are_failures() -> None:
    rows = [runs(accepted=10, ended={"succeeded": 8})]
    rows += [unresolved(30.0, "support", "1", tenant="acme") for _ in range(2)]
    card = whole(*rows)
    assert card.quality.success.value == 0.8
    assert card.quality.causes == {"unresolved": 2}


def test_without_data_every_figure_is_none() -> None:
    card = whole()
    shares = (
        card.quality.success,
        card.quality.first_pass,
        card.quality.degraded,
        card.quality.escalation,
        card.reliability.retry_burden,
        card.reliability.retry_cost,
        card.reliability.timeouts,
        card.reliability.recovered,
        card.reliability.compensation,
    )
    assert [share.value for share in shares] == [None] * len(shares)
    system, money, change = card.reliability, card.economics, card.change
    assert change is not None
    others: tuple[object, ...] = (
        card.quality.handoffs.accuracy,
        card.quality.cross.accuracy,
        system.queue_delay,
        system.latency,
        system.park_delay,
        system.amplification,
        system.demand,
        system.storms,
        money.cost_per_success,
        money.waste.share,
        money.cash,
        money.overruns,
        change.failure.value,
        change.lead_time,
        change.detect,
    )
    assert [other for other in others if other is not None] == []
    assert all(point is None for trend in card.trend.values() for point in trend)


def test_spend_without_success_has_no_cost_per_success() -> None:
    failed = whole(
        runs(accepted=1, ended={"failed": 1}, cost={"nanos": 5}, unpriced={"lines": 0, "of": 1})
    )
    assert failed.economics.cost_per_success is None
    assert failed.quality.success.value == 0.0
    free = whole(runs(accepted=1, ended={"succeeded": 1}))
    assert free.economics.cost_per_success is None, "nothing was booked: that is not free"


def test_retries_are_counted_to_firsts_and_by_cost() -> None:
    node = {
        "first": 100,
        "retry": 20,
        "hedge": 10,
        "repeat": 5,
        "kinds": {"first": 700, "retry": 100, "hedge": 100, "repeat": 50, "operator": 50},
    }
    card = whole(runs(nodes={"support/draft": node, "support/send": {"first": 100}}))
    assert card.reliability.retry_burden.value == 20 / 200
    assert card.reliability.retry_cost.value == 200 / 1_000


def test_a_queue_tells_amplification_and_demand() -> None:
    queue = Row(
        0.0,
        "queues",
        {"queue": "gpt"},
        {"first": 100, "attempts": 130, "denied": 70, "storms": 1, "storm_ns": 2 * 10**9},
    )
    found = scorecard([queue], since=0, until=60, by="queue")
    for card in (found.whole, *found.groups):
        assert card.reliability.amplification == 1.3
        assert card.reliability.demand == 2.0
        assert (card.reliability.storms, card.reliability.storm_seconds) == (1, 2.0)


def test_queue_delay_is_of_all_rows_together() -> None:
    """Quantiles don't add up: the histograms do."""
    rows = [
        Row(
            0.0,
            "delays",
            {"step": step, "queue": "gpt", "priority": 3},
            {"attempts": count, "delay": {str(bucket_of(time)): count}, "parked_ns": count * 10**9},
        )
        for step, time, count in (("fast", 10**6, 90), ("slow", 10**9, 10))
    ]
    found = scorecard(rows, since=0, until=60, by="step")
    delay = found.whole.reliability.queue_delay
    assert delay is not None
    assert delay.count == 100
    assert delay.p50 == pytest.approx(0.001, rel=0.01)
    assert delay.p95 == pytest.approx(1.0, rel=0.01)
    assert found.whole.reliability.park_delay == 1.0
    fast = next(card for card in found.groups if card.name == "fast").reliability.queue_delay
    assert fast is not None
    assert fast.p99 == pytest.approx(0.001, rel=0.01)


def test_handoffs_are_split_and_those_between_owners_are_apart() -> None:
    node = {
        "handoffs": {"accepted": 90, "contract": 4, "rejected": 3, "wrong_owner": 3},
        "cross": {"accepted": 9, "wrong_owner": 3},
    }
    quality = whole(runs(nodes={"support/draft": node})).quality
    assert quality.handoffs.accuracy == 0.9
    assert quality.cross.accuracy == 0.75
    assert quality.handoffs.wrong_owner == 3


def test_money_adds_up_to_the_nano_dollar(day: list[Row]) -> None:
    exact = sum(row.body["cost"]["nanos"] for row in day if row.kind == "runs")
    for name in ("step", "owner", "queue", "workflow", "version", "tenant"):
        found = by(day, name)
        money = found.whole.economics
        assert money.cost.nanos == exact
        assert money.waste.total == exact
        assert money.waste.useful + money.waste.wasted == exact
        assert money.waste.unsettled == 0
        for spends in (money.resources, money.tenants):
            assert sum(it.nanos for it in spends.values()) == exact
        steps = [spend for step in money.steps.values() for spend in step.values()]
        assert sum(it.nanos for it in steps) == exact
        groups = [card.economics for card in found.groups]
        assert sum(it.cost.nanos for it in groups) == exact
        assert sum(it.waste.total for it in groups) == exact
        assert sum(it.waste.useful for it in groups) == money.waste.useful


def test_spend_of_runs_under_way_is_not_settled() -> None:
    row = runs(
        accepted=2,
        ended={"succeeded": 1},
        cost={"nanos": 100, "squares": 0.0},
        unpriced={"lines": 0, "of": 2},
        waste={"useful": 50, "failed_attempt": 10},
    )
    waste = whole(row).economics.waste
    assert (waste.total, waste.unsettled) == (100, 40)
    assert waste.share == 10 / 60


def test_cash_is_by_booking_and_does_not_touch_the_rest(day: list[Row]) -> None:
    card = by(day, "tenant").whole
    cash = sum(row.body["gpt input"]["nanos"] for row in day if row.kind == "cash")
    assert card.economics.cash is not None
    assert card.economics.cash["gpt input"].nanos == cash
    without = [row for row in day if row.kind != "cash"]
    assert by(without, "tenant").whole.economics.cost == card.economics.cost


def test_groups_are_named_by_the_facts_of_nodes(day: list[Row]) -> None:
    assert {card.name for card in by(day, "step").groups} == set(STEPS)
    owners = by(day, "owner").groups
    assert {card.name for card in owners} == set(OWNERS.values())
    assert all(card.reliability.queue_delay is not None for card in owners)
    assert {card.name for card in by(day, "version").groups} == {"support 1.0.0", "support 1.1.0"}
    first = sum(card.accepted for card in by(day, "version").groups)
    assert first == by(day, None).whole.accepted
    unknown = scorecard([runs(nodes={"support/new": {"first": 1}})], since=0, until=60, by="owner")
    assert [card.name for card in unknown.groups] == ["(none)"]


def test_a_better_tier_after_a_cheap_one_is_an_escalation() -> None:
    nodes = {
        ("support", "1", "support/cheap"): NodeFacts(step="cheap", tier=0),
        ("support", "1", "support/better"): NodeFacts(step="better", tier=1),
    }
    row = runs(nodes={"support/cheap": {"first": 100}, "support/better": {"first": 30}})
    assert whole(row, nodes=nodes).quality.escalation.value == 0.3


def test_scores_have_a_mean_and_a_deviation() -> None:
    rows = [
        Row(
            0.0,
            "scores",
            {"workflow": "support", "version": "1", "overlay": "", "kind": "csat"},
            {"count": 1, "sum": value, "squares": value**2},
        )
        for value in (3.0, 5.0, 4.0)
    ]
    score = whole(*rows).quality.scores["csat"]
    assert (score.count, score.mean, score.deviation) == (3, 4.0, 1.0)
    assert whole(rows[0]).quality.scores["csat"].deviation is None


def test_changes_tell_lead_time_failures_and_alarms() -> None:
    week = 7 * DAY

    def release(version: str, **times: Any) -> ReleaseNote:
        return ReleaseNote(workflow="support", version=version, **times)

    told = Notes(
        releases=[
            release("2", registered=0, full=100, ended=100, outcome="promoted"),
            release("3", registered=0, full=300, ended=300, outcome="promoted", undone=300 + week),
            release(
                "4",
                registered=100,
                full=600,
                ended=600,
                outcome="promoted",
                undone=900,
                first_bad=650,
                alarm=800,
                last_bad=901,
            ),
            release("5", registered=0, ended=700, outcome="rolled_back"),
            release("6", registered=0, full=3_600, ended=3_600, outcome="promoted"),
        ],
        coverage={("support", "4"): 0.9},
        drift=[Drift(workflow="support", version="4", metric="success", baseline=0.9, now=0.8)],
        overruns=[Overrun(at=5, workflow="support", version="4", nanos=7)],
    )
    card = whole(runs(accepted=1), told=told)
    change = card.change
    assert change is not None
    assert change.live == ("support 1",)
    assert change.lead_time == 300
    assert (change.failure.part, change.failure.whole) == (1, 3), "a week later is not counted"
    assert (change.canary_rollbacks.part, change.canary_rollbacks.whole) == (1, 4)
    assert (change.detect, change.restore) == (150, 101)
    assert change.coverage == {"support 4": 0.9}
    assert card.economics.overruns is not None
    assert (card.economics.overruns.part, card.economics.overruns.whole) == (7, 1)


def test_what_cannot_be_shown_is_refused() -> None:
    with pytest.raises(ps.DefinitionError, match="is empty; give an end"):
        scorecard([], since=60, until=60)
    with pytest.raises(ps.DefinitionError, match="by is 'colour'"):
        scorecard([], since=0, until=60, by="colour")  # type: ignore[arg-type]
