"""penstock.testing: scripted faults and contexts, as a user's own tests use them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import penstock as ps
from loops import Task, noop, virtual
from penstock.testing import Hang, Recorder, Slow, context, faults

RETRY = ps.RetryPolicy(max_attempts=5, initial_interval=1.0, backoff_coefficient=1.0, jitter="none")


def now() -> float:
    return asyncio.get_running_loop().time()


@ps.step(retry=RETRY, timeout=10.0)
async def shout(text: str, ctx: ps.Context) -> str:
    return f"{text.upper()}, attempt {ctx.attempt}"


@ps.step(retry=RETRY, timeout=10.0)
def plain(text: str) -> str:
    return text.upper()


@virtual
async def test_a_step_fails_as_often_as_the_script_says(task: Task) -> None:
    async with ps.Runtime(task=task) as rt:
        with faults({shout: [TimeoutError, OSError("gone"), None]}):
            run = await rt.start(shout, "a")
            assert await run.result() == "A, attempt 3"
            assert now() == pytest.approx(2)
            assert await rt.run(shout, "b") == "B, attempt 1"
        assert await rt.run(shout, "c") == "C, attempt 1"


@virtual
async def test_the_scripts_exception_is_the_cause(task: Task) -> None:
    gone = ps.NonRetryable("gone for good")
    async with ps.Runtime(task=task) as rt:
        with (
            faults({shout: [gone]}),
            pytest.raises(ps.RunFailed, match="gone for good") as failed,
        ):
            await rt.run(shout, "a")
        assert failed.value.__cause__ is gone


@virtual
async def test_slow_and_hanging_attempts_run_into_their_timeout(task: Task) -> None:
    async with ps.Runtime(task=task) as rt:
        with faults({shout: [Slow(3.0)]}):
            assert await rt.run(shout, "a") == "A, attempt 1"
            assert now() == pytest.approx(3)
        with faults({shout: [Slow(60.0), Hang(), None]}):
            assert await rt.run(shout, "b") == "B, attempt 3"
            assert now() == pytest.approx(3 + 10 + 1 + 10 + 1)
        with faults({shout: [Hang()]}):
            run = await rt.start(shout, "c")
            await asyncio.sleep(1)
            await run.cancel()
            with pytest.raises(ps.RunCancelled):
                await run.result()


@virtual
async def test_plain_steps_have_faults_too(task: Task) -> None:
    async with ps.Runtime(task=task) as rt:
        with faults({plain: [OSError, Hang(), Slow(3.0)]}):
            assert await rt.run(plain, "a") == "A"
            assert now() == pytest.approx(1 + 10 + 1 + 3)
            assert await rt.run(plain, "b") == "B"


@virtual
async def test_a_script_is_used_up_in_order_over_runs(task: Task) -> None:
    async with ps.Runtime(task=task) as rt:
        with faults({shout: [OSError, None, OSError, None]}):
            assert await rt.run(shout, "a") == "A, attempt 2"
            assert await rt.run(shout, "b") == "B, attempt 2"
            assert await rt.run(shout, "c") == "C, attempt 1"


@virtual
async def test_only_the_scripted_step_is_touched(task: Task) -> None:
    async with ps.Runtime(task=task) as rt:
        with faults({shout: [OSError] * 100}):
            assert await rt.run(noop, 1) == 1
            with pytest.raises(ps.RunFailed) as failed:
                await rt.run(shout, "a")
            assert failed.value.attempts == 5


@virtual
async def test_the_inner_of_two_scripts_goes_first(task: Task) -> None:
    async with ps.Runtime(task=task) as rt:
        with faults({shout: [OSError("outer")] * 5}):
            with faults({shout: [None]}):
                assert await rt.run(shout, "a") == "A, attempt 1"
            with pytest.raises(ps.RunFailed, match="outer"):
                await rt.run(shout, "b")
        assert await rt.run(shout, "c") == "C, attempt 1"


@virtual
async def test_a_script_ends_with_its_block_even_if_that_raises(task: Task) -> None:
    with pytest.raises(ValueError, match="the test's"), faults({shout: [OSError] * 5}):
        raise ValueError("the test's")
    async with ps.Runtime(task=task) as rt:
        assert await rt.run(shout, "a") == "A, attempt 1"


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ({"shout": [OSError]}, "'shout' is no step"),
        ({shout: ["fail"]}, "'fail' is no fault"),
        ({shout: [str]}, "is no fault"),
        ({shout: [Slow]}, "is no fault"),
        ({shout: [Slow(-1)]}, "Slow is -1"),
        ({shout: [Slow(float("inf"))]}, "Slow is inf"),
    ],
)
def test_a_wrong_script_is_refused(script: Any, message: str) -> None:
    with pytest.raises(ps.DefinitionError, match=message), faults(script):
        pytest.fail("the block never runs")


def test_a_step_is_called_directly_with_a_context() -> None:
    recorder = Recorder()

    @ps.step
    async def work(x: int, ctx: ps.Context) -> str:
        ctx.heartbeat()
        ctx.heartbeat({"page": x})
        ctx.emit("half")
        return f"{ctx.run_id} {ctx.step} {ctx.path} {ctx.attempt} {ctx.tenant} {ctx.cancelled}"

    told = asyncio.run(
        work(7, context(run_id="r", step="work", path="w/work", attempt=2, recorder=recorder))
    )
    assert told == "r work w/work 2 None False"
    assert recorder.heartbeats == 2
    assert recorder.emitted == [{"page": 7}, "half"]
    recorder.cancelled = True
    assert context(recorder=recorder).cancelled


def test_a_context_knows_how_much_time_remains() -> None:
    recorder = Recorder(time=100.0)
    assert context(recorder=recorder).remaining() == float("inf")
    ctx = context(deadline=110.0, recorder=recorder)
    assert ctx.remaining() == 10.0
    recorder.time = 200.0
    assert ctx.remaining() == 0.0


def test_the_log_of_a_context_tells_run_node_and_attempt(
    caplog: pytest.LogCaptureFixture,
) -> None:
    context(run_id="r", step="draft", path="support/draft", attempt=2).log.warning(
        "odd %s", "page", extra={"page": 3}
    )
    (record,) = caplog.records
    assert (record.name, record.getMessage()) == ("penstock.step.draft", "odd page")
    told = vars(record)
    assert (told["run_id"], told["node"], told["attempt"], told["page"]) == (
        "r",
        "support/draft",
        2,
        3,
    )


@virtual
async def test_a_context_that_cannot_be_made_fails_the_attempt_and_loses_nothing(
    task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The attempt had been dispatched and was never heard of again.
    @ps.step
    async def looks(x: int, ctx: ps.Context) -> int:
        return x + ctx.attempt

    def refuses(*_: object, **__: object) -> None:
        raise RuntimeError("no context today")

    async with ps.Runtime(task=task) as rt:
        with monkeypatch.context() as patch:
            patch.setattr("penstock._driver.Context", refuses)
            with pytest.raises(ps.RunFailed, match="no context today"):
                await rt.run(looks, 1)
        assert await rt.run(looks, 1) == 2
        assert rt.stats().running == 0
