"""Changes: what `--set` and the vary file say is what a policy is; nonsense is told at once."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

import penstock as ps
from penstock._settings import Overlay
from penstock._simulation._changes import Change
from simulation.flows import gpt, support, tone


def test_a_field_of_a_policy_leaves_the_others_as_they_are() -> None:
    change = Change(
        support, {"step.small.retry.max_attempts": 5, "step.small.retry.jitter": "none"}
    )

    assert change.retry == {"small": ps.RetryPolicy(max_attempts=5, jitter="none")}


def test_a_step_without_a_policy_starts_from_one_attempt() -> None:
    assert Change(support, {"step.medium.retry.max_attempts": 2}).retry == {
        "medium": ps.RetryPolicy(max_attempts=2)
    }
    assert Change(support, {"step.small.retry": "none"}).retry == {
        "small": ps.RetryPolicy(max_attempts=1)
    }


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        ({"queue.gpt.concurrency": 32}, {"concurrency": 32}),
        ({"queue.gpt.concurrency": "none"}, {"concurrency": None}),
        ({"queue.gpt.concurrency.max_limit": 99}, {"concurrency": ps.Adaptive(max_limit=99)}),
        ({"queue.gpt.retry_budget.ratio": 0.3}, {"retry_budget": ps.RetryBudget(ratio=0.3)}),
        ({"queue.gpt.retry_budget": "none"}, {"retry_budget": None}),
        ({"queue.gpt.breaker.window": 20}, {"breaker": ps.Breaker(min_calls=7, window=20)}),
        ({"queue.gpt.breaker": {"window": 20}}, {"breaker": ps.Breaker(window=20)}),
        ({"queue.gpt.shed.target": 0.2}, {"shed": ps.CoDel(target=0.2)}),
        ({"queue.gpt.rate_limit.limit": 1200}, {"rate_limit": ps.RateLimit(1200, per=60.0)}),
        ({"queue.gpt.rate_limit": "none"}, {"rate_limit": None}),
        (
            {"queue.gpt.fairness.weights.acme.eu": 2.0},
            {"fairness": ps.Fairness(weights={"acme.eu": 2.0})},
        ),
    ],
)
def test_queues_are_changed_in_their_parts(
    values: Mapping[str, object], wanted: Mapping[str, Any]
) -> None:
    usual: dict[str, Any] = {
        "concurrency": 8,
        "rate_limit": gpt.rate_limit,
        "breaker": ps.Breaker(min_calls=7),
    }

    assert Change(support, values).queues == {"gpt": ps.Queue("gpt", **{**usual, **wanted})}


def test_the_burst_of_a_rate_limit_follows_the_limit_unless_somebody_has_set_it() -> None:
    own = ps.Queue("gpt", rate_limit=ps.RateLimit(600, per=60.0, burst=40))

    usual = Change(support, {"queue.gpt.rate_limit.limit": 1200}).queues["gpt"]
    kept = Change(support, {"queue.gpt.rate_limit.limit": 1200}, queues=[own]).queues["gpt"]

    assert (usual.rate_limit[0].burst, kept.rate_limit[0].burst) == (20, 40)


def test_of_two_rate_limits_one_is_named() -> None:
    two = ps.Queue("gpt", rate_limit=[ps.RateLimit(10), ps.RateLimit(9_000, unit="tokens")])

    change = Change(support, {"queue.gpt.rate_limit.tokens.limit": 5_000}, queues=[two])

    assert change.queues["gpt"].rate_limit == (ps.RateLimit(10), ps.RateLimit(5_000, unit="tokens"))
    with pytest.raises(ps.DefinitionError, match=r"write rate_limit\.requests\.limit"):
        Change(support, {"queue.gpt.rate_limit.limit": 5}, queues=[two])


def test_the_runtimes_own_queue_stands_in_for_the_one_a_step_brings() -> None:
    own = ps.Queue("claude", concurrency=4, aging=7.0)

    change = Change(support, {"queue.claude.concurrency": 6}, queues=[own])

    assert change.queues["claude"] == ps.Queue("claude", concurrency=6, aging=7.0)


def test_options_of_a_step() -> None:
    change = Change(
        support,
        {
            "step.small.timeout": "none",
            "step.small.total_timeout": 9,
            "step.medium.priority": 1,
            "step.medium.hedge.after": 0.5,
        },
    )

    assert change.options == {
        "small": {"timeout": None, "total_timeout": 9.0},
        "medium": {"priority": 1, "hedge": ps.Hedge(after=0.5)},
    }


def test_orders_thresholds_maps_settings_budget_and_arrivals() -> None:
    change = Change(
        support,
        {
            "cascade.answer.order": ["medium", "small", "large"],
            "cascade.support/answer.at": 0.8,
            "cascade.answer.at.small": 0.9,
            "step.check.accept.at": 0.4,
            "map.pages.concurrency": 10,
            "setting.draft.tone": "none",
            "budget.when_spent": "degrade",
            "arrivals.rate": 40,
        },
    )

    assert change.orders == {"support/answer": ("medium", "small", "large")}
    # The threshold of a tier goes where the tier goes.
    assert change.thresholds == {
        "support/answer/accept-1": 0.8,
        "support/answer/accept-2": 0.9,
        "support/check/threshold": 0.4,
    }
    assert change.maps == {"support/pages": 10}
    assert change.settings == {"draft.tone": "none"}
    assert change.budget == ps.Budget(usd=0.05, when_spent="degrade")
    assert change.arrivals == {"rate": 40.0}


def test_no_change_is_the_present() -> None:
    present = Change(support, {})

    assert not present
    assert present.budget == support.budget
    assert present == Change.parse(support, [])


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("steps.small.timeout", 1, "did you mean 'step'"),
        ("step.smal.timeout", 1, "did you mean 'small'"),
        ("step.small.time_out", 1, "did you mean 'timeout'"),
        ("step.small", 1, r"write step\.NAME\.FIELD"),
        ("step.small.timeout", -1, "more than 0 seconds"),
        ("step.small.retry.attempts", 1, "did you mean 'max_attempts'"),
        ("step.small.retry.max_attempts", 0, "a whole number from 1"),
        ("step.small.accept.at", 0.5, "has no threshold"),
        ("step.small.priority", 9, "give 1"),
        ("step.send.retry.max_attempts", 2, "effects='once'"),
        ("step.send.hedge.after", 2, "may not run twice"),
        ("queue.gtp.concurrency", 1, "did you mean 'gpt'"),
        ("queue.gpt.concurency", 1, "did you mean 'concurrency'"),
        ("queue.gpt.concurrency", 0, "a whole number from 1"),
        ("queue.gpt.version", "2", "can't be changed"),
        ("queue.gpt.breaker.windo", 3, "did you mean 'window'"),
        ("queue.gpt.aging.share", 3, "has no parts"),
        ("cascade.answers.at", 1, "did you mean 'answer'"),
        ("cascade.answer.order", ["small", "large"], "give each of its tiers once"),
        ("cascade.answer.at.large", 0.5, "its last tier"),
        ("cascade.answer.at.larg", 0.5, "did you mean 'large'"),
        ("cascade.answer.explore", 0.5, "can't be set"),
        ("map.page.concurrency", 1, "did you mean"),
        ("map.pages.need", 1, r"set map\.PATH\.concurrency"),
        ("setting.draft.tune", "x", r"did you mean 'draft\.tone'"),
        ("setting.draft.tone", 5, "is a str"),
        ("budget.per", "day", "can't be set"),
        ("budget.usd", 0, "more than a nano-dollar"),
        ("arrivals.rate", 0, "above 0"),
        ("arrivals.kind", "poisson", r"set arrivals\.rate"),
    ],
)
def test_what_is_wrong_is_told_with_the_place_and_the_remedy(
    key: str, value: object, told: str
) -> None:
    with pytest.raises(ps.DefinitionError, match=told) as raised:
        Change(support, {key: value})

    place = re.match(r"^the changes of workflow 'support': ([a-z]+)", str(raised.value))
    assert place is not None
    assert key.startswith(place[1])


def test_all_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(ps.DefinitionError) as raised:
        Change(
            support,
            {
                "step.smal.timeout": 1,
                "queue.gpt.concurrency": -2,
                "step.small.retry.max_attempts": 0,
                "arrivals.rate": "many",
            },
        )

    assert len(raised.value.problems) == 4


def test_a_part_that_is_taken_away_is_not_changed_as_well() -> None:
    with pytest.raises(ps.DefinitionError, match="as a whole and in parts"):
        Change(support, {"queue.gpt.breaker": "none", "queue.gpt.breaker.window": 3})
    with pytest.raises(ps.DefinitionError, match="as a whole and in parts"):
        Change(support, {"step.small.retry": "none", "step.small.retry.max_attempts": 3})


def test_the_same_thing_under_two_names_is_set_twice() -> None:
    with pytest.raises(ps.DefinitionError, match="set twice"):
        Change(support, {"cascade.answer.at": 0.5, "cascade.support/answer.at": 0.6})
    with pytest.raises(ps.DefinitionError, match="set twice"):
        Change.parse(support, ["arrivals.rate=1", "arrivals.rate=2"])


def test_a_text_that_sets_nothing_is_refused() -> None:
    with pytest.raises(ps.DefinitionError, match="write it as") as raised:
        Change.parse(support, ["arrivals.rate", "=3"])

    assert len(raised.value.problems) == 2


TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=30)
CHANGES = st.fixed_dictionaries(
    {},
    optional={
        "step.small.retry.max_attempts": st.integers(1, 9),
        "step.small.retry.initial_interval": st.floats(0, 20),
        "step.small.timeout": st.just("none") | st.floats(0, 1e9, exclude_min=True),
        "queue.gpt.concurrency": st.integers(1, 9) | st.just("none"),
        "queue.gpt.breaker": st.fixed_dictionaries({"window": st.floats(1e-3, 60)}),
        "queue.gpt.fairness.weights.acme": st.floats(1e-6, 1e6),
        "cascade.answer.order": st.permutations(["small", "medium", "large"]),
        "cascade.answer.at": st.floats(-1e9, 1e9),
        "setting.draft.tone": TEXTS,
        "budget.usd": st.sampled_from(["0.01", 0.5, 3]),
    },
)


@given(CHANGES)
def test_a_change_written_as_text_is_read_back_as_it_was(values: dict[str, Any]) -> None:
    change = Change(support, values)

    again = Change.parse(support, change.texts)

    assert again == change
    assert hash(again) == hash(change)
    assert (again.retry, again.queues, again.options) == (
        change.retry,
        change.queues,
        change.options,
    )
    assert again.settings == change.settings


def test_a_change_can_not_be_altered() -> None:
    change = Change(support, {"arrivals.rate": 3})

    with pytest.raises(AttributeError):
        change.budget = None
    with pytest.raises(TypeError):
        cast("Any", change.values)["arrivals.rate"] = 4


def test_the_overlay_holds_policies_queues_and_settings() -> None:
    change = Change(
        support,
        {
            "step.small.retry.max_attempts": 5,
            "queue.gpt.concurrency": 32,
            "setting.draft.tone": "short",
        },
    )

    small = next(n.step for n in support.graph.nodes if n.step and n.step.name == "small")
    assert change.overlay() == Overlay(
        settings={tone: "short"},
        retry={small: change.retry["small"]},
        queues=[change.queues["gpt"]],
    )


def test_what_an_overlay_can_not_hold_is_named() -> None:
    change = Change(
        support,
        {"queue.gpt.concurrency": 32, "cascade.answer.at": 0.9, "step.small.timeout": 2},
    )

    told = r"can't hold cascade\.support/answer\.at, step\.small\.timeout; .*another version"
    with pytest.raises(ps.DefinitionError, match=told):
        change.overlay()
    with pytest.raises(ps.DefinitionError, match="no part of a policy"):
        Change(support, {"arrivals.rate": 4}).overlay()
    with pytest.raises(ps.DefinitionError, match="changes nothing"):
        Change(support, {}).overlay()
    with pytest.raises(ps.DefinitionError, match=r"queue\.default\.concurrency"):
        Change(support, {"queue.default.concurrency": 4}).overlay()


def model(**steps: SimpleNamespace) -> Any:
    known = {"small": seen(), "medium": seen(), "large": seen(), "check": seen(), "send": seen()}
    return SimpleNamespace(steps={**known, **steps}, fitted=None)


def seen(*, scores: tuple[float, ...] = (0.1, 0.9), how: str = "all") -> SimpleNamespace:
    return SimpleNamespace(scores=scores, scores_seen=how, failures=())


def test_a_higher_threshold_needs_the_later_tiers_explored() -> None:
    higher = Change(support, {"cascade.answer.at.small": 0.9})
    lower = Change(support, {"cascade.answer.at.small": 0.5})
    blind = model(large=seen(how="above"))

    assert not higher.is_extrapolated(model())
    assert not lower.is_extrapolated(blind)
    assert higher.extrapolates(blind) == (
        "support/answer: a higher threshold, and large never explored",
    )


def test_another_order_needs_all_tiers_explored() -> None:
    other = Change(support, {"cascade.answer.order": ["medium", "small", "large"]})

    assert not other.is_extrapolated(model(medium=seen(how="explored")))
    assert other.is_extrapolated(model(medium=seen(how="above")))
    gap = SimpleNamespace(gaps=("cascade support/answer: tier medium was never explored",))
    said = SimpleNamespace(steps=model().steps, fitted=gap)
    assert other.is_extrapolated(cast("Any", said))


def test_another_threshold_needs_scores() -> None:
    assert Change(support, {"cascade.answer.at": 0.5}).is_extrapolated(model(small=seen(scores=())))
    assert Change(support, {"step.check.accept.at": 0.1}).is_extrapolated(
        model(check=seen(scores=()))
    )
    assert not Change(support, {"step.check.accept.at": 0.1}).is_extrapolated(model())


def test_the_value_of_a_setting_is_in_no_model() -> None:
    assert Change(support, {"setting.draft.tone": "short"}).is_extrapolated(model())
    assert not Change(support, {"queue.gpt.concurrency": 64}).is_extrapolated(model())
