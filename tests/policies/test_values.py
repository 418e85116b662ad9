"""Queues and their parts: values that say what they are, and refuse what can't be meant."""

from __future__ import annotations

import copy
import pickle
from dataclasses import FrozenInstanceError, replace
from datetime import timedelta
from typing import Any

import pytest

import penstock as ps

GPT = ps.Queue(
    "gpt",
    version="2",
    concurrency=64,
    capacity=10_000,
    rate_limit=ps.RateLimit(600, per=60.0, burst=60),
    fairness=ps.Fairness(key="tenant", weights={"acme": 2.0}),
    aging=timedelta(minutes=1),
    aging_share=0.2,
    retry_budget=ps.RetryBudget(ratio=0.2, floor=2.0, on_denial="fail"),
    breaker=ps.Breaker(failure_ratio=0.3, probes=3),
    shed=ps.CoDel(target=0.1),
)
KINDS: dict[type[Any], dict[str, Any]] = {
    ps.Adaptive: {},
    ps.Breaker: {},
    ps.CoDel: {},
    ps.Cost: {},
    ps.Fairness: {},
    ps.Hedge: {},
    ps.Queue: {"name": "gpt"},
    ps.RateLimit: {"limit": 10},
    ps.Retention: {"max_runs": 10},
    ps.RetryBudget: {},
    ps.RetryPolicy: {},
}
VARIED: dict[type[Any], dict[str, Any]] = {
    ps.Adaptive: {"initial": 5},
    ps.Breaker: {"probes": 1},
    ps.CoDel: {"interval": 2.0},
    ps.Cost: {"tokens": 7, "seconds": 0.5},
    ps.Fairness: {"weights": {"acme": 2.0}},
    ps.Hedge: {"after": 0.5},
    ps.Queue: {"breaker": ps.Breaker()},
    ps.RateLimit: {"unit": "tokens"},
    ps.Retention: {"max_age": 3.0},
    ps.RetryBudget: {"on_denial": "dead_letter"},
    ps.RetryPolicy: {"max_attempts": 5},
}


def test_defaults_are_those_of_the_documentation() -> None:
    """A queue that says nothing models a dependency, so its retries are a share of the load."""
    queue = ps.Queue("gpt")
    assert queue.retry_budget == ps.RetryBudget(
        ratio=0.1, floor=1.0, stored=10, window=10.0, on_denial="park"
    )
    assert (queue.aging, queue.aging_share, queue.rate_limit) == (30.0, 0.1, ())
    assert (queue.concurrency, queue.fairness, queue.breaker, queue.shed) == (None,) * 4
    assert ps.Breaker() == ps.Breaker(
        failure_ratio=0.5, min_calls=20, window=10.0, open_for=5.0, max_open=60.0, probes=5
    )
    assert ps.CoDel() == ps.CoDel(target=0.05, interval=1.0)
    assert ps.Adaptive() == ps.Adaptive(initial=20, min_limit=1, max_limit=1000)
    assert ps.Hedge() == ps.Hedge(after=None, quantile=0.95)
    assert ps.Fairness() == ps.Fairness(key="tenant", weights={}, by="time")
    assert (ps.Cost().tokens, ps.Cost().seconds) == (0, None)


@pytest.mark.parametrize("kind", KINDS)
def test_each_is_a_frozen_value(kind: type[Any]) -> None:
    """They are compared, shared, kept in sets, varied, copied and sent to other processes."""
    usual, varied = kind(**KINDS[kind]), kind(**KINDS[kind], **VARIED[kind])
    assert usual == kind(**KINDS[kind])
    assert usual != varied
    assert len({usual, varied, kind(**KINDS[kind]), replace(usual, **VARIED[kind])}) == 2
    assert pickle.loads(pickle.dumps(varied)) == varied  # noqa: S301
    assert copy.deepcopy(varied) == varied
    assert not hasattr(varied, "__dict__")
    for name in VARIED[kind]:
        with pytest.raises(FrozenInstanceError):
            setattr(usual, name, None)


def test_repr_tells_what_differs_from_the_defaults() -> None:
    """A log line with fifty default values in it hides the one that matters."""
    assert repr(ps.Queue("gpt")) == "Queue('gpt')"
    assert repr(ps.Queue("gpt", retry_budget=None)) == "Queue('gpt', retry_budget=None)"
    assert repr(ps.RateLimit(90, per=30)) == "RateLimit(90.0, per=30.0)"
    assert repr(ps.RateLimit(90, per=30, burst=9)) == "RateLimit(90.0, per=30.0, burst=9)"
    assert repr(ps.Fairness(weights={"acme": 2})) == "Fairness(weights={'acme': 2.0})"
    assert repr(ps.RetryBudget()) == "RetryBudget()"
    assert eval(repr(GPT), {**vars(ps)}) == GPT  # noqa: S307


@pytest.mark.parametrize(
    ("limit", "per", "burst"),
    [(600, 60.0, 10), (10, 1.0, 10), (1, 60.0, 1), (0.1, 1.0, 1), (1e300, 1e-300, 2**32 - 1)],
)
def test_a_burst_is_what_is_due_in_one_second(limit: float, per: float, burst: int) -> None:
    """Six hundred a minute must not mean six hundred in the first second."""
    assert ps.RateLimit(limit, per=per).burst == burst


def test_rate_limits_are_a_tuple_of_one_for_each_unit() -> None:
    requests, tokens = ps.RateLimit(10), ps.RateLimit(90_000, per=60, unit="tokens")
    assert ps.Queue("gpt", rate_limit=requests).rate_limit == (requests,)
    assert ps.Queue("gpt", rate_limit=[requests, tokens]).rate_limit == (requests, tokens)
    assert ps.Queue("gpt", rate_limit=[]) == ps.Queue("gpt", rate_limit=None) == ps.Queue("gpt")


def test_weights_are_a_copy_that_can_not_be_changed() -> None:
    """A queue whose weights change under way would be another queue of the same name."""
    given = {"acme": 2}
    fairness = ps.Fairness(weights=given)
    given["acme"] = 5
    assert fairness.weights == {"acme": 2.0}
    with pytest.raises(TypeError):
        fairness.weights["acme"] = 5.0  # type: ignore[index]


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("kind", "options", "said", "remedy"),
    [
        (ps.RateLimit, {"limit": 0}, "RateLimit.limit is 0", "above 0"),
        (ps.RateLimit, {"limit": -1}, "RateLimit.limit is -1", "above 0"),
        (ps.RateLimit, {"limit": NAN}, "RateLimit.limit is nan", "finite"),
        (ps.RateLimit, {"limit": INF}, "RateLimit.limit is inf", "finite"),
        (ps.RateLimit, {"limit": 10**400}, "RateLimit.limit is 1000", "finite"),
        (ps.RateLimit, {"limit": True}, "RateLimit.limit is True", "finite"),
        (ps.RateLimit, {"limit": 1, "per": 0}, "RateLimit.per is 0", "more than 0 seconds"),
        (ps.RateLimit, {"limit": 1, "burst": 0}, "RateLimit.burst is 0", "whole number from 1"),
        (ps.RateLimit, {"limit": 1, "burst": 1.5}, "RateLimit.burst is 1.5", "whole number"),
        (ps.RateLimit, {"limit": 1, "unit": "bytes"}, "RateLimit.unit", "'requests' or 'tokens'"),
        (ps.Fairness, {"key": "region"}, "Fairness.key is 'region'", "give 'tenant'"),
        (ps.Fairness, {"by": "luck"}, "by is 'luck'", "'time', 'tokens' or 'attempts'"),
        (ps.Fairness, {"weights": ["acme"]}, "weights is ['acme']", "mapping of tenants"),
        (ps.Fairness, {"weights": {"": 1}}, "a tenant of Fairness.weights", "not empty"),
        (ps.Fairness, {"weights": {"a": 0}}, "weights['a'] is 0", "above 0"),
        (ps.Fairness, {"weights": {"a": -2}}, "weights['a'] is -2", "above 0"),
        (ps.Fairness, {"weights": {"a": NAN}}, "weights['a'] is nan", "finite"),
        (ps.Fairness, {"weights": {"a": INF}}, "weights['a'] is inf", "finite"),
        (ps.Fairness, {"weights": {"a": True}}, "weights['a'] is True", "finite"),
        (ps.RetryBudget, {"ratio": 2}, "ratio is 2", "a ratio is a share from 0 to 1"),
        (ps.RetryBudget, {"ratio": -0.1}, "ratio is -0.1", "a share from 0 to 1"),
        (ps.RetryBudget, {"ratio": True}, "ratio is True", "a share from 0 to 1"),
        (ps.RetryBudget, {"floor": -1}, "floor is -1", "from 0"),
        (ps.RetryBudget, {"floor": INF}, "floor is inf", "finite"),
        (ps.RetryBudget, {"stored": 0.5}, "stored is 0.5", "from 1"),
        (ps.RetryBudget, {"window": 0.5}, "window is 0.5", "1 to 60 seconds"),
        (ps.RetryBudget, {"window": 61}, "window is 61", "1 to 60 seconds"),
        (ps.RetryBudget, {"window": "1m"}, "window is '1m'", "timedelta"),
        (ps.RetryBudget, {"on_denial": "cry"}, "on_denial", "'park', 'fail' or 'dead_letter'"),
        (ps.RetryBudget, {"ratio": 0, "floor": 0}, "would never go on", "max_attempts=1"),
        (ps.Breaker, {"failure_ratio": 0}, "failure_ratio is 0", "above 0, at most 1"),
        (ps.Breaker, {"failure_ratio": 1.5}, "failure_ratio is 1.5", "above 0, at most 1"),
        (ps.Breaker, {"min_calls": 0}, "min_calls is 0", "whole number from 1"),
        (ps.Breaker, {"probes": 0}, "probes is 0", "whole number from 1"),
        (ps.Breaker, {"window": 0}, "window is 0", "more than 0 seconds"),
        (ps.Breaker, {"open_for": 0}, "open_for is 0", "more than 0 seconds"),
        (ps.Breaker, {"open_for": 9, "max_open": 8}, "shorter than open_for", "raise max_open"),
        (ps.CoDel, {"target": 0}, "CoDel.target is 0", "more than 0 seconds"),
        (ps.CoDel, {"target": 1, "interval": 1}, "not longer than target", "raise interval"),
        (ps.Adaptive, {"initial": 0}, "Adaptive.initial is 0", "whole number from 1"),
        (ps.Adaptive, {"min_limit": True}, "min_limit is True", "whole number"),
        (ps.Adaptive, {"initial": 9, "min_limit": 10}, "initial (9)", "min_limit <= initial"),
        (ps.Adaptive, {"initial": 9, "max_limit": 8}, "max_limit (8)", "initial <= max_limit"),
        (ps.Hedge, {"after": 0}, "Hedge.after is 0", "more than 0 seconds"),
        (ps.Hedge, {"quantile": 0.5}, "quantile is 0.5", "above 0.5, below 1"),
        (ps.Hedge, {"quantile": 1}, "quantile is 1", "above 0.5, below 1"),
        (ps.Cost, {"tokens": -1}, "Cost.tokens is -1", "whole number from 0"),
        (ps.Cost, {"tokens": NAN}, "Cost.tokens is nan", "whole number from 0"),
        (ps.Cost, {"tokens": True}, "Cost.tokens is True", "whole number from 0"),
        (ps.Cost, {"seconds": 0}, "Cost.seconds is 0", "more than 0 seconds"),
        (ps.Cost, {"seconds": -1}, "Cost.seconds is -1", "more than 0 seconds"),
        (ps.Cost, {"seconds": NAN}, "Cost.seconds is nan", "more than 0 seconds"),
        (ps.Cost, {"seconds": True}, "Cost.seconds is True", "a number or a timedelta"),
        (ps.Retention, {}, "Retention has no limit", "max_age= or max_runs="),
        (ps.Retention, {"max_runs": -1}, "max_runs is -1", "whole number from 0"),
    ],
)
def test_what_can_not_be_meant_is_refused_with_the_remedy(
    kind: type[Any], options: dict[str, Any], said: str, remedy: str
) -> None:
    """A mistake in a limit fails where it is written, and not in the next outage."""
    with pytest.raises(ps.DefinitionError) as caught:
        kind(**options)
    assert said in str(caught.value)
    assert remedy in str(caught.value)


@pytest.mark.parametrize(
    ("options", "remedy"),
    [
        ({"concurrency": 0}, "whole number from 1"),
        ({"concurrency": 2.5}, "whole number from 1, an Adaptive()"),
        ({"concurrency": True}, "an Adaptive()"),
        ({"capacity": 0}, "whole number from 1"),
        ({"rate_limit": 600}, "give a RateLimit, such as RateLimit(600, per=60.0)"),
        ({"rate_limit": "10/s"}, "give a RateLimit"),
        ({"rate_limit": [ps.RateLimit(1), 600]}, "give a RateLimit"),
        ({"rate_limit": [ps.RateLimit(1), ps.RateLimit(2)]}, "give the stricter one"),
        ({"fairness": {"acme": 2.0}}, "give a Fairness"),
        ({"fairness": ps.Breaker()}, "give a Fairness"),
        ({"aging": 0}, "more than 0 seconds"),
        ({"aging": None}, "give seconds"),
        ({"aging_share": 0.6}, "from 0 to 0.5"),
        ({"aging_share": -0.1}, "from 0 to 0.5"),
        ({"aging_share": NAN}, "from 0 to 0.5"),
        ({"retry_budget": 0.1}, "give a RetryBudget"),
        ({"retry_budget": ps.RetryPolicy()}, "give a RetryBudget"),
        ({"breaker": True}, "give a Breaker"),
        ({"shed": 0.05}, "give a CoDel"),
        ({"version": 2}, "a string that is not empty"),
    ],
)
def test_a_queue_says_what_to_give(options: dict[str, Any], remedy: str) -> None:
    """The queue is named, as there may be ten of them in a file."""
    with pytest.raises(ps.DefinitionError) as caught:
        ps.Queue("gpt", **options)
    (name,) = options
    assert str(caught.value).startswith(f"{name} of queue 'gpt' ")
    assert remedy in str(caught.value)
