"""Retries: which failures, how often, when; in virtual time."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

import penstock as ps
from loops import Task, virtual
from penstock._events import Event

DAY = 86_400.0


async def attempts_of(run: ps.Run[object]) -> list[Event]:
    return [event for event in await run.history() if event.kind in ("failed", "done")]


async def waits_of(run: ps.Run[object]) -> list[float]:
    """Seconds from each failure to its next attempt, as they were announced."""
    failures = [it for it in await run.history() if it.kind == "failed"]
    return [it.due - it.at for it in failures if it.due is not None]


@virtual
async def test_a_step_is_tried_once_without_a_policy(task: Task) -> None:
    tries: list[int] = []

    @ps.step
    async def bad(ctx: ps.Context) -> None:
        tries.append(ctx.attempt)
        raise OSError("no")

    async with ps.Runtime(task=task) as rt:
        with pytest.raises(ps.RunFailed, match="1 attempt: OSError: no") as failed:
            await rt.run(bad)
        assert (tries, failed.value.attempts) == ([1], 1)


@virtual
async def test_attempts_are_numbered_from_one_and_the_last_error_is_the_cause(task: Task) -> None:
    tries: list[int] = []

    @ps.step(retry=ps.RetryPolicy(max_attempts=4))
    async def bad(ctx: ps.Context) -> None:
        tries.append(ctx.attempt)
        raise OSError(f"number {ctx.attempt}")

    async with ps.Runtime(task=task) as rt:
        with pytest.raises(ps.RunFailed, match="4 attempts: OSError: number 4") as failed:
            await rt.run(bad)
        assert (tries, failed.value.attempts) == ([1, 2, 3, 4], 4)
        assert str(failed.value.__cause__) == "number 4"


@virtual
async def test_a_step_that_succeeds_at_last(task: Task) -> None:
    @ps.step(retry=ps.RetryPolicy(max_attempts=3))
    async def third_time(x: int, ctx: ps.Context) -> int:
        if ctx.attempt < 3:
            raise OSError
        return x

    async with ps.Runtime(task=task) as rt:
        run = await rt.start(third_time, 7)
        assert await run.result() == 7
        attempts = await attempts_of(run)
        assert [(it.kind, it.attempt) for it in attempts] == [
            ("failed", 1),
            ("failed", 2),
            ("done", 3),
        ]
        assert [it.detail for it in attempts] == ["error", "error", ""]


@virtual
async def test_a_plain_step_is_retried_too(task: Task) -> None:
    @ps.step(retry=ps.RetryPolicy(max_attempts=3, initial_interval=3600.0, max_interval=7200.0))
    def third_time(x: int, ctx: ps.Context) -> int:
        if ctx.attempt < 3:
            raise OSError
        return x

    async with ps.Runtime(task=task) as rt:
        assert await rt.run(third_time, 7) == 7


@virtual
async def test_a_retry_of_three_days_takes_no_real_time(task: Task) -> None:
    policy = ps.RetryPolicy(
        max_attempts=2, initial_interval=3 * DAY, max_interval=3 * DAY, jitter="none"
    )

    @ps.step(retry=policy)
    async def second_time(ctx: ps.Context) -> float:
        if ctx.attempt == 1:
            raise OSError
        return asyncio.get_running_loop().time()

    async with ps.Runtime(task=task) as rt:
        run = await rt.start(second_time)
        assert await run.result() == pytest.approx(3 * DAY)
        first, second = await attempts_of(run)
        assert first.due == pytest.approx(first.at + 3 * DAY)
        assert second.started == pytest.approx(first.due)


@virtual
async def test_the_waits_grow_up_to_the_longest(task: Task) -> None:
    policy = ps.RetryPolicy(
        max_attempts=7,
        initial_interval=1.0,
        backoff_coefficient=3.0,
        max_interval=20.0,
        jitter="none",
    )

    @ps.step(retry=policy)
    async def bad() -> None:
        await asyncio.sleep(0.5)
        raise OSError

    async with ps.Runtime(task=task) as rt:
        run = await rt.start(bad)
        with pytest.raises(ps.RunFailed):
            await run.result()
        assert await waits_of(run) == pytest.approx([1, 3, 9, 20, 20, 20])
        attempts = await attempts_of(run)
        for before, after in pairwise(attempts):
            assert before.due == pytest.approx(after.at - 0.5)


@pytest.mark.parametrize(("jitter", "least"), [("full", 0.0), ("equal", 0.5)])
@virtual
async def test_jitter_stays_below_the_wait_and_spreads(
    task: Task, jitter: ps.RetryPolicy, least: float
) -> None:
    policy = ps.RetryPolicy(
        max_attempts=2,
        initial_interval=10.0,
        jitter=jitter,  # type: ignore[arg-type]  # parametrised
    )

    @ps.step(retry=policy)
    async def bad(x: int) -> None:
        raise OSError

    async with ps.Runtime(task=task) as rt:
        runs = await rt.start_many(bad, range(200))
        await rt.join()
        waits = [(await waits_of(run))[0] / 10 for run in runs]
        assert all(least <= wait < 1 for wait in waits)
        assert min(waits) < least + 0.1 * (1 - least)
        assert max(waits) > 1 - 0.1 * (1 - least)
        assert len(set(waits)) > 190


def test_the_same_seed_draws_the_same_waits(task: Task) -> None:
    @ps.step(retry=ps.RetryPolicy(max_attempts=5))
    async def bad(x: int) -> None:
        raise OSError

    async def waits(seed: int | None) -> list[float]:
        async with ps.Runtime(task=task, seed=seed) as rt:
            runs = await rt.start_many(bad, range(10))
            await rt.join()
            return [wait for run in runs for wait in await waits_of(run)]

    def draw(seed: int | None) -> list[float]:
        return ps.testing.VirtualClock().run(waits(seed))

    assert len(draw(7)) == 40
    assert draw(7) == draw(7)
    assert draw(7) != draw(8)
    assert draw(None) != draw(None)
    assert draw(-1) == draw(2**64 - 1)


@virtual
async def test_retry_after_waits_at_least_so_long(task: Task) -> None:
    policy = ps.RetryPolicy(max_attempts=4, initial_interval=5.0, jitter="none", never_on=())

    @ps.step(retry=policy)
    async def told_to_wait(ctx: ps.Context) -> None:
        if ctx.attempt == 1:
            raise ps.RetryAfter(60.0, "the provider says so")
        if ctx.attempt == 2:
            raise ps.RetryAfter(1.0)
        if ctx.attempt == 3:
            raise ps.RetryAfter(0)
        raise ps.RetryAfter(1.0, "the last time")

    async with ps.Runtime(task=task) as rt:
        run = await rt.start(told_to_wait)
        with pytest.raises(ps.RunFailed, match="4 attempts: RetryAfter: the last time") as failed:
            await run.result()
        assert isinstance(failed.value.__cause__, ps.RetryAfter)
        assert await waits_of(run) == pytest.approx([60, 10, 20])


@virtual
async def test_retry_after_counts_even_if_the_policy_would_not_retry(task: Task) -> None:
    @ps.step(retry=ps.RetryPolicy(max_attempts=2, retry_on=(KeyError,), never_on=(Exception,)))
    async def told_to_wait(ctx: ps.Context) -> int:
        if ctx.attempt == 1:
            raise ps.RetryAfter(60.0)
        return ctx.attempt

    @ps.step
    async def without_policy() -> None:
        raise ps.RetryAfter(60.0)

    async with ps.Runtime(task=task) as rt:
        assert await rt.run(told_to_wait) == 2
        with pytest.raises(ps.RunFailed, match="1 attempt"):
            await rt.run(without_policy)


@pytest.mark.parametrize(
    ("error", "tries"),
    [
        (ps.NonRetryable("stop"), 1),
        (KeyError("retried"), 3),
        (LookupError("not named"), 1),
        (IndexError("never"), 1),
        (ps.ContractError("raised by hand"), 1),
        (ExceptionGroup("several", [KeyError()]), 1),
        (TimeoutError(), 3),
    ],
    ids=lambda it: type(it).__name__,
)
@virtual
async def test_the_policy_says_which_exceptions_are_retried(
    task: Task, error: Exception, tries: int
) -> None:
    policy = ps.RetryPolicy(
        max_attempts=3, retry_on=(KeyError, TimeoutError, IndexError), never_on=()
    )
    called: list[int] = []

    @ps.step(
        retry=ps.RetryPolicy(max_attempts=3, retry_on=policy.retry_on[:2], never_on=(IndexError,))
    )
    async def bad(ctx: ps.Context) -> None:
        called.append(ctx.attempt)
        raise error

    async with ps.Runtime(task=task) as rt:
        with pytest.raises(ps.RunFailed) as failed:
            await rt.run(bad)
        assert failed.value.__cause__ is error
        assert len(called) == failed.value.attempts == tries


@pytest.mark.parametrize("error", [TypeError, AttributeError, NameError, ImportError])
@virtual
async def test_mistakes_in_the_program_are_not_retried(task: Task, error: type[Exception]) -> None:
    @ps.step(retry=ps.RetryPolicy())
    async def bad() -> None:
        raise error("a mistake")

    async with ps.Runtime(task=task) as rt:
        with pytest.raises(ps.RunFailed) as failed:
            await rt.run(bad)
        assert failed.value.attempts == 1


@pytest.mark.parametrize("named", [False, True])
@virtual
async def test_a_broken_contract_is_retried_only_if_it_is_named(task: Task, named: bool) -> None:
    kinds: tuple[type[Exception], ...] = (ps.ContractError,) if named else (Exception,)

    @ps.step(retry=ps.RetryPolicy(max_attempts=2, retry_on=kinds))
    async def wrong_first(ctx: ps.Context) -> int:
        return ctx.attempt if ctx.attempt > 1 else "one"  # type: ignore[return-value]  # on purpose

    async with ps.Runtime(task=task) as rt:
        if named:
            assert await rt.run(wrong_first) == 2
        else:
            with pytest.raises(ps.RunFailed, match="expected int, got str") as failed:
                await rt.run(wrong_first)
            assert failed.value.attempts == 1
            assert isinstance(failed.value.__cause__, ps.ContractError)


@virtual
async def test_a_waiting_retry_holds_no_slot(task: Task) -> None:
    queue = ps.Queue("one", concurrency=1)

    @ps.step(queue=queue, retry=ps.RetryPolicy(initial_interval=20.0, jitter="none"))
    async def second_time(x: int, ctx: ps.Context) -> float:
        if ctx.attempt == 1:
            raise OSError
        return asyncio.get_running_loop().time()

    async with ps.Runtime(task=task, concurrency=1) as rt:
        runs = await rt.start_many(second_time, range(10))
        assert [await run.result() for run in runs] == pytest.approx([20.0] * 10)


@virtual
async def test_a_call_says_more_than_the_step_does(task: Task) -> None:
    @ps.step(retry=ps.RetryPolicy(max_attempts=2, initial_interval=0))
    async def bad() -> None:
        raise OSError

    @ps.workflow
    def more(flow: ps.Flow) -> ps.Node[None]:
        return flow.call(bad, retry=ps.RetryPolicy(max_attempts=5, initial_interval=0))

    async with ps.Runtime(task=task) as rt:
        with pytest.raises(ps.RunFailed) as failed:
            await rt.run(more)
        assert failed.value.attempts == 5
        with pytest.raises(ps.RunFailed) as failed:
            await rt.run(bad)
        assert failed.value.attempts == 2


@virtual
async def test_many_attempts_of_no_wait(task: Task) -> None:
    @ps.step(retry=ps.RetryPolicy(max_attempts=1_000, initial_interval=0, max_interval=0))
    async def at_last(ctx: ps.Context) -> int:
        if ctx.attempt < 1_000:
            raise OSError
        return ctx.attempt

    async with ps.Runtime(task=task) as rt:
        run = await rt.start(at_last)
        assert await run.result() == 1_000
        assert [it.attempt for it in await attempts_of(run)] == list(range(1, 1_001))


@virtual
async def test_an_inline_function_is_never_retried(task: Task) -> None:
    called: list[int] = []

    def bad(x: int) -> int:
        called.append(x)
        raise OSError("inline")

    @ps.workflow
    def applies(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        return flow.apply(bad, x, name="broken")

    async with ps.Runtime(task=task) as rt:
        with pytest.raises(ps.RunFailed, match="inline") as failed:
            await rt.run(applies, 1)
        assert called == [1]
        assert failed.value.node == "applies/broken"
        assert failed.value.step == "broken"
        assert isinstance(failed.value.__cause__, OSError)


@virtual
async def test_a_deadline_does_not_wait_for_a_retry(task: Task) -> None:
    @ps.step(retry=ps.RetryPolicy(initial_interval=DAY, max_interval=DAY, jitter="none"))
    async def bad() -> None:
        raise OSError

    async with ps.Runtime(task=task) as rt:
        with pytest.raises(ps.DeadlineExceeded):
            await rt.run(bad, deadline=60)
        assert asyncio.get_running_loop().time() == pytest.approx(60)
