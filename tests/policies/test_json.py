"""Policies as JSON: what is written is read back as it was, and tells two of them apart."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from math import inf
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import penstock as ps

WHOLE = st.integers(1, 2**32 - 1)
POSITIVE = st.floats(0, 1e12, exclude_min=True)
SOME = st.floats(-0.0, 1e12)
WORDS = st.text(min_size=1).filter(str.strip)
ERRORS = st.sampled_from([OSError, TimeoutError, ps.ContractError, json.JSONDecodeError])
RATES = st.builds(ps.RateLimit, POSITIVE, per=POSITIVE, burst=st.none() | WHOLE)
ADAPTIVE = st.tuples(WHOLE, WHOLE, WHOLE).map(
    lambda three: dict(zip(("min_limit", "initial", "max_limit"), sorted(three), strict=True))
)
PARTS: dict[type[Any], st.SearchStrategy[Any]] = {
    ps.Adaptive: ADAPTIVE.map(lambda options: ps.Adaptive(**options)),
    ps.Breaker: st.builds(
        ps.Breaker,
        failure_ratio=st.floats(0, 1, exclude_min=True),
        min_calls=WHOLE,
        window=POSITIVE,
        max_open=st.floats(5, 1e9),
        probes=WHOLE,
    ),
    ps.CoDel: st.builds(ps.CoDel, target=st.floats(1e-3, 0.9), interval=st.floats(1, 1e9)),
    ps.Cost: st.builds(ps.Cost, tokens=st.integers(0, 2**32 - 1), seconds=st.none() | POSITIVE),
    ps.Fairness: st.builds(
        ps.Fairness,
        weights=st.dictionaries(WORDS, POSITIVE, max_size=3),
        by=st.sampled_from(["time", "tokens", "attempts"]),
    ),
    ps.Hedge: st.builds(
        ps.Hedge,
        after=st.none() | POSITIVE,
        quantile=st.floats(0.5, 1, exclude_min=True, exclude_max=True),
    ),
    ps.RateLimit: RATES.flatmap(lambda rate: st.sampled_from([rate, replace(rate, unit="tokens")])),
    ps.Retention: st.builds(ps.Retention, max_age=SOME, max_runs=st.none() | WHOLE),
    ps.RetryBudget: st.builds(
        ps.RetryBudget,
        ratio=st.floats(-0.0, 1),
        floor=POSITIVE,
        stored=st.floats(1, 1e9),
        window=st.floats(1, 60),
        on_denial=st.sampled_from(["park", "fail", "dead_letter"]),
    ),
    ps.RetryPolicy: st.builds(
        ps.RetryPolicy,
        max_attempts=WHOLE,
        initial_interval=st.floats(-0.0, 20),
        backoff_coefficient=st.floats(1, 1e9),
        jitter=st.sampled_from(["full", "equal", "none"]),
        retry_on=st.lists(ERRORS, unique=True, max_size=3).map(tuple),
    ),
}
QUEUES = st.builds(
    ps.Queue,
    WORDS,
    version=WORDS,
    concurrency=st.none() | WHOLE | PARTS[ps.Adaptive],
    capacity=st.none() | WHOLE,
    rate_limit=st.none() | RATES | RATES.map(lambda rate: [replace(rate, unit="tokens"), rate]),
    fairness=st.none() | PARTS[ps.Fairness],
    aging=POSITIVE,
    aging_share=st.floats(-0.0, 0.5),
    retry_budget=st.none() | PARTS[ps.RetryBudget],
    breaker=st.none() | PARTS[ps.Breaker],
    shed=st.none() | PARTS[ps.CoDel],
)
POLICIES = st.one_of(*PARTS.values(), QUEUES)
USUAL: list[Any] = [
    ps.Adaptive(),
    ps.Breaker(),
    ps.CoDel(),
    ps.Cost(),
    ps.Fairness(),
    ps.Hedge(),
    ps.Queue("gpt"),
    ps.RateLimit(10),
    ps.Retention(max_runs=10),
    ps.RetryBudget(),
    ps.RetryPolicy(),
]


@given(POLICIES)
def test_what_is_written_is_read_back(policy: Any) -> None:
    """An overlay or a baseline is kept as JSON, and must not change on its way."""
    again = type(policy).from_dict(json.loads(json.dumps(policy.to_dict(), allow_nan=False)))
    assert again == policy
    assert hash(again) == hash(policy)
    assert again.digest == policy.digest
    assert again.to_dict() == policy.to_dict()
    assert repr(again) == repr(policy)


@given(POLICIES, POLICIES)
def test_a_digest_is_the_same_exactly_for_equal_policies(one: Any, other: Any) -> None:
    """What a run was limited by is found again by it."""
    assert (one == other) == (one.digest == other.digest)


def test_equal_values_that_are_written_differently_have_one_digest() -> None:
    """-0.0 equals 0, and the order of weights means nothing."""
    assert ps.RetryBudget(ratio=-0.0).digest == ps.RetryBudget(ratio=0).digest
    assert ps.RetryPolicy(initial_interval=-0.0) == ps.RetryPolicy(initial_interval=0)
    assert ps.RetryPolicy(initial_interval=-0.0).digest == ps.RetryPolicy(initial_interval=0).digest
    ab, ba = ({"a": 1.0, "b": 2.0}, {"b": 2, "a": 1})
    assert ps.Fairness(weights=ab).digest == ps.Fairness(weights=ba).digest


def test_policies_of_different_kinds_have_different_digests() -> None:
    assert len({policy.digest for policy in USUAL}) == len(USUAL)
    assert all(len(policy.digest) == 64 for policy in USUAL)


def test_a_digest_is_the_same_in_every_process() -> None:
    """Hashes of strings differ from process to process; what is kept in a store must not."""
    code = "import penstock as ps; print(ps.Queue('gpt', fairness=ps.Fairness()).digest)"
    told = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert told.stdout.strip() == ps.Queue("gpt", fairness=ps.Fairness()).digest


def test_a_queue_as_json() -> None:
    """What others read in a store: nested, in seconds, without a Python type in it."""
    queue = ps.Queue("gpt", concurrency=ps.Adaptive(), rate_limit=ps.RateLimit(600, per=60.0))
    written = queue.to_dict()
    assert written["concurrency"] == {"initial": 20, "min_limit": 1, "max_limit": 1000}
    assert written["rate_limit"] == [{"limit": 600.0, "per": 60.0, "burst": 10, "unit": "requests"}]
    assert written["retry_budget"]["on_denial"] == "park"
    assert written["breaker"] is None


def test_a_cost_that_was_written_without_seconds_is_read() -> None:
    """Graphs that were kept before a cost had them."""
    assert ps.Cost.from_dict({"tokens": 7}) == ps.Cost(tokens=7)
    assert ps.Cost(seconds=2).to_dict() == {"tokens": 0, "seconds": 2.0}


def test_what_is_left_out_is_as_usual() -> None:
    """An overlay by hand names what it changes."""
    read = ps.Queue.from_dict({"name": "gpt", "retry_budget": {"ratio": 0.2}})
    assert read == ps.Queue("gpt", retry_budget=ps.RetryBudget(ratio=0.2))


class Outer:
    class Refused(Exception):
        """An exception inside of a class."""


def test_exception_types_go_by_module_and_name() -> None:
    """A policy that is read elsewhere retries what it retried here."""
    policy = ps.RetryPolicy(
        retry_on=(TimeoutError, json.JSONDecodeError, Outer.Refused, ps.ContractError)
    )
    written = policy.to_dict()
    assert written["retry_on"] == [
        "TimeoutError",
        "json.decoder.JSONDecodeError",
        f"{__name__}.Outer.Refused",
        "penstock._errors.ContractError",
    ]
    assert written["never_on"] == ["TypeError", "AttributeError", "NameError", "ImportError"]
    assert ps.RetryPolicy.from_dict(written) == policy


@pytest.mark.parametrize("policy", USUAL, ids=lambda policy: type(policy).__name__)
def test_an_unknown_field_is_refused(policy: Any) -> None:
    """A slip in a name must not leave a limit as it was."""
    kind = type(policy)
    with pytest.raises(ps.DefinitionError) as caught:
        kind.from_dict({**policy.to_dict(), "patience": 3})
    assert f"{kind.__name__} has no field 'patience'; take it out; the fields are" in str(
        caught.value
    )
    for name in policy.to_dict():
        assert name in str(caught.value)


class Local(BaseException):
    """No Exception."""


@pytest.mark.parametrize(
    ("kind", "data", "said", "remedy"),
    [
        (ps.Queue, {"version": "2"}, "Queue lacks 'name'", "give it"),
        (ps.RateLimit, {}, "RateLimit lacks 'limit'", "give it"),
        (ps.Queue, [], "Queue.from_dict was given []", "as to_dict writes it"),
        (ps.Queue, None, "Queue.from_dict was given None", "as to_dict writes it"),
        (
            ps.Queue,
            {"name": "a", "breaker": {"probs": 3}},
            "Breaker has no field 'probs'",
            "probes",
        ),
        (ps.Queue, {"name": "a", "breaker": 3}, "breaker of queue 'a' is 3", "give a Breaker"),
        (ps.Queue, {"name": "a", "rate_limit": [3]}, "RateLimit.from_dict was given 3", "a dict"),
        (ps.Queue, {"name": "a", "rate_limit": 3}, "rate_limit of queue 'a'", "give a RateLimit"),
        (ps.Queue, {"name": "a", "concurrency": {"initial": 0}}, "Adaptive.initial", "from 1"),
        (ps.RetryBudget, {"ratio": 2}, "RetryBudget.ratio is 2", "a share from 0 to 1"),
        (ps.RetryBudget, {"floor": inf}, "RetryBudget.floor is inf", "finite"),
        (ps.RetryPolicy, {"retry_on": "OSError"}, "RetryPolicy.retry_on", "a tuple of"),
        (ps.RetryPolicy, {"retry_on": ["OSErr"]}, "'OSErr' is no exception type", "'TimeoutError'"),
        (ps.RetryPolicy, {"retry_on": ["int"]}, "'int' is no exception type", "'TimeoutError'"),
        (ps.RetryPolicy, {"retry_on": ["print"]}, "'print' is no exception", "'TimeoutError'"),
        (ps.RetryPolicy, {"retry_on": ["SystemExit"]}, "'SystemExit' is no exception", "built-in"),
        (ps.RetryPolicy, {"retry_on": [3]}, "3 is no exception type", "built-in"),
        (ps.RetryPolicy, {"retry_on": ["no.such.Error"]}, "'no.such.Error' is no", "shop.errors"),
        (ps.RetryPolicy, {"retry_on": ["json.NoError"]}, "'json.NoError' is no", "shop.errors"),
        (ps.RetryPolicy, {"retry_on": ["json"]}, "'json' is no exception type", "shop.errors"),
        (ps.RetryPolicy, {"retry_on": ["a.f.<locals>.E"]}, "is no exception", "at module level"),
        (ps.RetryPolicy, {"retry_on": [f"{__name__}.Local"]}, "is no exception", "built-in"),
    ],
)
def test_what_can_not_be_read_is_refused_with_the_remedy(
    kind: Any, data: Any, said: str, remedy: str
) -> None:
    with pytest.raises(ps.DefinitionError) as caught:
        kind.from_dict(data)
    assert said in str(caught.value)
    assert remedy in str(caught.value)


def test_a_local_exception_is_written_and_can_not_be_read() -> None:
    """It is gone with its function; that is said instead of retrying something else."""

    class Refused(Exception): ...

    written = ps.RetryPolicy(retry_on=(Refused,)).to_dict()
    assert written["retry_on"][0].endswith("<locals>.Refused")
    with pytest.raises(ps.DefinitionError, match="at module level"):
        ps.RetryPolicy.from_dict(written)
