"""Rejections: a step that refuses what it was handed, and how the books tell why it was refused."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest

import penstock as ps
from flow.parts import failure
from loops import Task, virtual
from penstock._handoffs import makers_of, refusal, step_owners
from penstock._payloads import decode_error, encode_error


@ps.step(owner="cx")
async def draft(x: int) -> int:
    return x


@ps.step(owner="billing")
async def price(x: int) -> int:
    return x


@ps.step(owner="legal", retry=ps.RetryPolicy(max_attempts=4, retry_on=(Exception,)))
async def check(x: int) -> int:
    raise ps.Reject("it names no price", to=draft)


@ps.workflow
def reviewed(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
    return flow.call(check, flow.apply(abs, flow.call(draft, x)))


def recorded(error: BaseException) -> BaseException:
    return decode_error(encode_error(error))


@virtual
async def test_a_rejection_fails_the_step_at_once_whatever_its_policy_says(task: Task) -> None:
    async with ps.Runtime(task=task) as rt:
        error = await failure(rt, reviewed, 1)
    cause = error.__cause__
    assert isinstance(cause, ps.Reject)
    assert (error.attempts, cause.reason, cause.to) == (1, "it names no price", "draft")
    assert "Reject: it names no price (back to draft)" in str(error)


@virtual
async def test_a_rejection_goes_to_a_fallback_and_a_cascade_as_any_failure(task: Task) -> None:
    @ps.workflow
    def w(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        return flow.cascade((check, draft), x, accept=lambda _: True)

    async with ps.Runtime(task=task) as rt:
        assert await rt.run(w, 3) == 3


def test_a_rejection_survives_a_restart(tmp_path: Path) -> None:
    """The reason, and whose work it was, are for people who look at it on the next day."""

    async def fail() -> None:
        async with ps.Runtime(store=str(tmp_path / "s.db"), workflows=[reviewed]) as rt:
            with pytest.raises(ps.RunFailed):
                await rt.run(reviewed, 1, run_id="r")

    async def look() -> BaseException | None:
        async with ps.Runtime(store=str(tmp_path / "s.db"), workflows=[reviewed]) as rt:
            with pytest.raises(ps.RunFailed) as caught:
                await rt.get("r").result()
            return caught.value.__cause__

    ps.testing.VirtualClock().run(fail())
    error = ps.testing.VirtualClock().run(look())
    assert isinstance(error, ps.Reject)
    assert (error.reason, error.to) == ("it names no price", "draft")
    assert "As recorded by an earlier process" in error.__notes__[0]


@pytest.mark.parametrize("to", [None, "draft", draft])
def test_a_rejection_travels(to: Any) -> None:
    error = ps.Reject("no", to=to)
    for again in (pickle.loads(pickle.dumps(error)), recorded(error)):  # noqa: S301
        assert isinstance(again, ps.Reject)
        assert (again.reason, again.to, str(again)) == (error.reason, error.to, str(error))


@pytest.mark.parametrize(
    ("arguments", "options", "said"),
    [
        (("",), {}, "takes a reason, not ''"),
        ((5,), {}, "takes a reason, not 5"),
        (("no",), {"to": 5}, "takes a step or the name of one, not 5"),
        (("no",), {"to": ""}, "takes a step or the name of one, not ''"),
    ],
)
def test_a_rejection_without_a_reason_is_refused(arguments: Any, options: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        ps.Reject(*arguments, **options)


OWNERS = {"draft": "cx", "price": "billing", "loose": None}


@pytest.mark.parametrize(
    ("error", "cause", "givers", "why"),
    [
        (ps.Reject("no"), "error", ["cx"], "rejected"),
        (ps.Reject("no", to=draft), "error", ["cx"], "rejected"),
        (ps.Reject("no", to=draft), "error", ["billing", "cx"], "rejected"),
        (ps.Reject("no", to=price), "error", ["cx"], "wrong_owner"),
        (ps.Reject("no", to="loose"), "error", [], "rejected"),
        (ps.Reject("no", to="loose"), "error", ["cx"], "wrong_owner"),
        (ps.Reject("no", to="nowhere"), "error", ["cx"], "wrong_owner"),
        (ps.Reject("no", to="nowhere"), "error", [], "wrong_owner"),
        (ps.ContractError("bad"), "error", ["cx"], "contract"),
        (ps.ThresholdError("low"), "error", ["cx"], "threshold"),
        (ValueError("own"), "error", ["cx"], None),
        (ps.NonRetryable("own"), "error", ["cx"], None),
        (None, "timeout", ["cx"], "timeout"),
        (None, "queue_timeout", ["cx"], "timeout"),
        (None, "signal_timeout", ["cx"], "timeout"),
        (None, "deadline", ["cx"], None),
        (None, "breaker_open", ["cx"], None),
    ],
)
def test_why_a_handoff_was_refused(
    error: BaseException | None, cause: str, givers: list[str], why: str | None
) -> None:
    """The same now and after a restart, when all that is left is what the store keeps."""
    assert refusal(error, cause, givers=givers, owners=OWNERS) == why
    if error is not None:
        assert refusal(recorded(error), cause, givers=givers, owners=OWNERS) == why


def test_who_handed_a_value_over_is_known_behind_what_only_passes_it_on() -> None:
    graph = reviewed.graph
    assert step_owners(graph, "ops") == {"draft": "cx", "check": "legal"}
    makers = makers_of(graph)
    node = next(node for node in graph.nodes if node.step is check)
    assert frozenset().union(*(makers[i] for i in node.inputs)) == {"cx"}
