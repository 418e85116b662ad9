"""Retry policies and durations: what they accept, and what they say when they do not.

The parts of queues, and what policies look like as JSON, have files of their own in `policies`.
"""

import asyncio
import pickle
from dataclasses import FrozenInstanceError, replace
from datetime import timedelta
from typing import Any

import pytest

import penstock as ps


def test_defaults_are_those_of_the_documentation() -> None:
    """A user who writes RetryPolicy() relies on the numbers that the documentation tells."""
    policy = ps.RetryPolicy()
    assert (policy.max_attempts, policy.initial_interval, policy.max_interval) == (3, 0.05, 20.0)
    assert (policy.backoff_coefficient, policy.jitter) == (2.0, "full")
    assert policy.retries(OSError())
    assert not policy.retries(TypeError())


def test_timedeltas_become_seconds() -> None:
    """A policy written with timedelta equals the one written in seconds."""
    policy = ps.RetryPolicy(initial_interval=timedelta(milliseconds=250), max_interval=30)
    assert policy == ps.RetryPolicy(initial_interval=0.25, max_interval=30.0)


def test_policies_are_values() -> None:
    """Policies are compared, shared, stored in sets, varied and sent to other processes."""
    policy = ps.RetryPolicy(max_attempts=5)
    queue = ps.Queue("gpt", concurrency=3)
    assert {policy: 1, queue: 2}[ps.RetryPolicy(max_attempts=5)] == 1
    assert pickle.loads(pickle.dumps((policy, queue))) == (policy, queue)  # noqa: S301
    assert replace(policy, jitter="none") == ps.RetryPolicy(max_attempts=5, jitter="none")
    with pytest.raises(FrozenInstanceError):
        policy.max_attempts = 7  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        queue.name = "other"  # type: ignore[misc]


def test_repr_tells_what_differs_from_the_defaults() -> None:
    """A log line with ten default values in it hides the one that matters."""
    assert repr(ps.RetryPolicy(max_attempts=5)) == "RetryPolicy(max_attempts=5)"
    assert repr(ps.Queue("gpt", capacity=9)) == "Queue('gpt', capacity=9)"


@pytest.mark.parametrize(
    ("options", "named", "remedy"),
    [
        ({"max_attempts": 0}, "max_attempts is 0", "whole number from 1"),
        ({"max_attempts": True}, "max_attempts is True", "whole number"),
        ({"max_attempts": 2.0}, "max_attempts is 2.0", "whole number"),
        ({"initial_interval": -1}, "initial_interval is -1", "0 or more"),
        ({"initial_interval": "1s"}, "initial_interval is '1s'", "timedelta"),
        ({"initial_interval": True}, "initial_interval is True", "timedelta"),
        ({"max_interval": float("inf")}, "max_interval is inf", "finite"),
        ({"max_interval": float("nan")}, "max_interval is nan", "finite"),
        ({"initial_interval": 30}, "shorter than initial_interval", "raise max_interval"),
        ({"backoff_coefficient": 0.5}, "backoff_coefficient is 0.5", "from 1"),
        ({"backoff_coefficient": 10**400}, "backoff_coefficient", "finite"),
        ({"jitter": "some"}, "jitter is 'some'", "'equal'"),
        ({"retry_on": ValueError}, "retry_on", "tuple"),
        ({"retry_on": (KeyboardInterrupt,)}, "retry_on", "Exception types"),
        ({"never_on": ("ValueError",)}, "never_on", "Exception types"),
        ({"retry_on": (TypeError,)}, "TypeError in retry_on and in never_on", "never_on without"),
    ],
)
def test_wrong_retry_policy_is_refused_with_the_remedy(
    options: dict[str, Any], named: str, remedy: str
) -> None:
    """A policy that can't be meant fails where it is written, not at three in the night."""
    with pytest.raises(ps.DefinitionError) as caught:
        ps.RetryPolicy(**options)
    assert named in str(caught.value)
    assert remedy in str(caught.value)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("", {}),
        (3, {}),
        ("gpt", {"concurrency": 0}),
        ("gpt", {"concurrency": True}),
        ("gpt", {"capacity": -1}),
        ("gpt", {"capacity": 1.5}),
        ("gpt", {"version": ""}),
    ],
)
def test_wrong_queue_is_refused(name: Any, options: dict[str, Any]) -> None:
    """A queue without a name, or with a limit that lets nothing through, is a mistake."""
    with pytest.raises(ps.DefinitionError, match="give a"):
        ps.Queue(name, **options)


def test_what_is_retried() -> None:
    """A step steers its retries by what it raises; a cancellation is no failure."""
    policy = ps.RetryPolicy(retry_on=(TimeoutError, LookupError), never_on=(KeyError,))
    assert policy.retries(TimeoutError())
    assert policy.retries(IndexError())
    assert not policy.retries(KeyError())
    assert not policy.retries(ValueError())
    assert not policy.retries(ps.NonRetryable("stolen card"))
    assert policy.retries(ps.RetryAfter(3))
    assert not policy.retries(asyncio.CancelledError())
    assert not policy.retries(KeyboardInterrupt())


def test_broken_contract_is_retried_only_when_named() -> None:
    """A wrong type comes out wrong again, so Exception in retry_on does not cover it."""
    error = ps.ContractError("expected int, got str")
    assert not ps.RetryPolicy().retries(error)
    assert ps.RetryPolicy(retry_on=(ps.ContractError,)).retries(error)


def run_failed(attempts: int) -> ps.RunFailed:
    return ps.RunFailed("step 'ask' failed", run_id="r", step="ask", attempts=attempts)


def test_a_run_that_retried_is_not_retried_again_unless_named() -> None:
    """Three attempts around three attempts are nine calls of what is just failing."""
    assert ps.RetryPolicy().retries(run_failed(attempts=1))
    assert not ps.RetryPolicy().retries(run_failed(attempts=3))
    assert not ps.RetryPolicy(retry_on=(ps.RunError, OSError)).retries(run_failed(attempts=3))
    assert ps.RetryPolicy(retry_on=(OSError, ps.RunFailed)).retries(run_failed(attempts=3))

    class Refused(ps.RunFailed): ...

    named = ps.RetryPolicy(retry_on=(Refused,))
    assert named.retries(Refused("no", run_id="r", step="ask", attempts=2))
    assert not named.retries(run_failed(attempts=2))


def test_retry_after_takes_seconds_from_zero() -> None:
    """A Retry-After header may say 0, and a provider's library may give a timedelta."""
    assert ps.RetryAfter(0).seconds == 0.0
    assert ps.RetryAfter(timedelta(minutes=1)).seconds == 60.0
    for wrong in (-1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="0 or more seconds"):
            ps.RetryAfter(wrong)


@pytest.mark.parametrize(
    "error",
    [
        ps.PenstockError("it broke", run_id="r1", node="support/draft", remedy="mend it"),
        ps.DefinitionError("wrong", problems=["a: one", "b: two"]),
        ps.ContractError("expected int, got str", node="support/draft"),
        ps.RunFailed("step draft failed", run_id="r1", node="s/draft", step="draft", attempts=3),
        ps.RunCancelled("cancelled", run_id="r1"),
        ps.Overloaded("queue gpt is full", retry_after=0.5, remedy="wait"),
        ps.RunNotFound("no such run", run_id="r9"),
        ps.NonRetryable("stolen card"),
        ps.RetryAfter(3.5, "busy"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_survive_a_trip_to_another_process(error: Exception) -> None:
    """A process pool or a task queue sends errors by pickle; one that can't hangs the pool."""
    again = pickle.loads(pickle.dumps(error))  # noqa: S301
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert vars(again) == vars(error)


def test_message_tells_run_node_and_remedy() -> None:
    """Who reads the message at night knows where to look and what to do."""
    error = ps.RunFailed(
        "step 'draft' failed", run_id="r1", node="s/draft", step="draft", attempts=3, remedy="retry"
    )
    assert str(error) == "run 'r1', node 's/draft': step 'draft' failed; retry"
    assert isinstance(error, ps.RunError)
    assert isinstance(error, ps.PenstockError)
