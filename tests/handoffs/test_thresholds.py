"""Thresholds of steps: a value that is not good enough fails, is replaced, or is reviewed."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

import penstock as ps
from flow.parts import done, failure
from loops import Task, virtual


def score(x: int) -> float:
    return x / 100


GOOD = ps.Threshold(score, at=0.5)
ANSWER = ps.Signal("answer", int)


@ps.step
async def rescue(x: int) -> int:
    return -x


@ps.step(accept=GOOD, playbook="page cx")
async def strict(x: int) -> int:
    return x


@ps.step(accept=GOOD, on_reject="fallback", fallback=rescue)
async def replaced(x: int) -> int:
    if x == 99:
        raise ValueError(x)
    return x


@ps.step(accept=GOOD, on_reject="review", owner="cx", effects="pure")
async def reviewed(x: int) -> int:
    return x


@ps.step(accept=GOOD, on_reject=ANSWER, owner="cx", fallback=rescue)
async def both(x: int) -> int:
    if x == 99:
        raise ValueError(x)
    return x


@virtual
async def test_a_value_below_the_threshold_fails_its_run_and_is_not_tried_again(task: Task) -> None:
    called: list[int] = []

    @ps.step(accept=GOOD, retry=ps.RetryPolicy(max_attempts=5))
    async def eager(x: int) -> int:
        called.append(x)
        return x

    async with ps.Runtime(task=task) as rt:
        assert [await rt.run(strict, x) for x in (50, 51, 100)] == [50, 51, 100]
        error = await failure(rt, strict, 49)
        cause = error.__cause__
        assert isinstance(cause, ps.ThresholdError)
        assert isinstance(cause, ps.ContractError)
        assert (error.node, cause.node) == ("strict/strict/rejected",) * 2
        assert "step 'strict' gave a value with the score of 0.49 below the threshold of 0.5" in (
            str(cause)
        )
        assert "see page cx" in str(cause)
        await failure(rt, eager, 1)
        assert called == [1]


@virtual
async def test_a_fallback_takes_the_place_of_what_is_rejected_and_of_what_fails(task: Task) -> None:
    async with ps.Runtime(task=task) as rt:
        assert [await rt.run(replaced, x) for x in (50, 49, 99)] == [50, -49, -99]


@virtual
async def test_without_on_reject_a_fallback_takes_over_as_from_any_failure(task: Task) -> None:
    async with ps.Runtime(task=task) as rt:

        @ps.workflow
        def w(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
            return flow.call(strict, x, fallback=rescue)

        assert [await rt.run(w, x) for x in (50, 49)] == [50, -49]


@virtual
async def test_a_review_gives_the_value_that_goes_on(task: Task) -> None:
    async with ps.Runtime(task=task) as rt:
        assert await rt.run(reviewed, 50) == 50
        run = await rt.start(reviewed, 49)
        await run.signal(ps.Signal("reviewed-review", int), 7)
        assert await run.result() == 7
        run = await rt.start(both, 49)
        await run.signal(ANSWER, 8)
        assert await run.result() == 8
        assert await rt.run(both, 99) == -99  # what fails has no value to review


@virtual
async def test_the_outcome_is_recorded_and_the_score_is_asked_once(task: Task) -> None:
    asked: list[int] = []

    def counted(x: int) -> float:
        asked.append(x)
        return score(x)

    @ps.step(accept=ps.Threshold(counted, at=0.5), fallback=rescue)
    async def step(x: int) -> int:
        return x

    async with ps.Runtime(task=task) as rt:
        run = await rt.start(step, 49)
        await run.result()
        chosen = [it for it in await run.history() if it.kind == "chosen"]
        assert [(it.node, it.value) for it in chosen] == [("step/step/accepted", 0)]
        assert asked == [49]
        assert await done(run) == ["step/step", "step/step/fallback"]


@virtual
async def test_each_item_of_a_map_and_each_tier_of_a_cascade_has_its_threshold(task: Task) -> None:
    @ps.workflow
    def mapped(flow: ps.Flow, xs: ps.Node[list[int]]) -> ps.Node[list[int]]:
        return flow.map(replaced, xs)

    @ps.workflow
    def ladder(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        return flow.cascade((strict, rescue), x, accept=lambda _: True)

    @ps.workflow
    def skipped(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int | None]:
        return flow.optional(flow.call(strict, flow.when(x, lambda x: x != 13)))

    async with ps.Runtime(task=task) as rt:
        assert await rt.run(mapped, [50, 49, 99]) == [50, -49, -99]
        assert [await rt.run(ladder, x) for x in (50, 49)] == [50, -49]
        assert [await rt.run(skipped, x) for x in (50, 13)] == [50, None]


@virtual
async def test_a_call_may_set_its_own_threshold(task: Task) -> None:
    @ps.workflow
    def w(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        lower = ps.Threshold(score, at=0.1)
        return flow.call(replaced, flow.call(strict, x, accept=lower), fallback=rescue)

    async with ps.Runtime(task=task) as rt:
        assert [await rt.run(w, x) for x in (10, 60)] == [-10, 60]
        assert (await failure(rt, w, 9)).node == "w/strict/rejected"


@virtual
async def test_a_score_that_raises_fails_the_run_where_it_is_asked(task: Task) -> None:
    @ps.step(accept=ps.Threshold(lambda x: 1 / x, at=0.5))
    async def step(x: int) -> int:
        return x

    async with ps.Runtime(task=task) as rt:
        error = await failure(rt, step, 0)
        assert error.node == "step/step/threshold"
        assert isinstance(error.__cause__, ZeroDivisionError)


def test_a_review_outlasts_the_process(tmp_path: Path) -> None:
    """A person answers on the next day, and in between the service is deployed."""

    async def begin() -> str:
        async with ps.Runtime(store=str(tmp_path / "s.db"), workflows=[reviewed]) as rt:
            run = await rt.start(reviewed, 49)
            await asyncio.sleep(3600)
            return run.run_id

    async def end(run_id: str) -> int:
        async with ps.Runtime(store=str(tmp_path / "s.db"), workflows=[reviewed]) as rt:
            run = rt.get(run_id)
            await run.signal(ps.Signal("reviewed-review", int), 7)
            return int(await run.result())

    clock = ps.testing.VirtualClock()
    run_id = clock.run(begin())
    assert clock.run(end(run_id)) == 7


def draws(step: ps.Stage[Any, Any], **overrides: Any) -> tuple[str, ...]:
    def w(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        return flow.call(step, x, **overrides)

    with pytest.raises(ps.DefinitionError) as caught:
        ps.workflow(w)
    return caught.value.problems


@ps.step
async def bare(x: int) -> int:
    return x


@pytest.mark.parametrize(
    ("step", "overrides", "said"),
    [
        (bare, {"on_reject": "fail"}, "on_reject= goes with accept="),
        (strict, {"on_reject": "fallback"}, "on_reject='fallback', and it has none; give fall"),
        (strict, {"on_reject": "review"}, "nobody reviews what strict gives; give the step owner="),
        (strict, {"on_reject": "retry"}, "on_reject is 'retry'; give 'fail', 'fallback' or 're"),
        (strict, {"accept": 0.5}, "accept is 0.5; give a Threshold"),
        (
            reviewed,
            {"on_reject": ps.Signal("verdict", str)},
            "signal 'verdict' stands in for what reviewed gives, and carries str, not int",
        ),
        (
            strict,
            {"accept": ps.Threshold(rescue, at=1)},  # type: ignore[arg-type]  # on purpose
            "accept= takes a function, not",
        ),
        (strict.as_workflow(), {"accept": GOOD}, "accept= does not go with the workflow strict"),
    ],
)
def test_a_threshold_that_can_not_work_is_refused(step: Any, overrides: Any, said: str) -> None:
    assert said in "\n".join(draws(step, **overrides))


def test_a_score_has_to_take_what_the_step_gives() -> None:
    def of_text(text: str) -> float:
        return float(len(text))

    told = "\n".join(draws(bare, accept=ps.Threshold(of_text, at=1)))
    assert "input 'text' takes str, but 'w/bare' gives int" in told


def test_a_step_that_can_not_reject_says_so_where_it_is_defined() -> None:
    with pytest.raises(ps.DefinitionError, match="on_reject= goes with accept="):
        ps.step(on_reject="fail")(bare.function)
    with pytest.raises(ps.DefinitionError, match="it has accept="):
        ps.workflow(accept=GOOD)(lambda flow: flow)  # type: ignore[call-overload]  # on purpose


def test_a_changed_threshold_is_told_by_diff_and_leaves_the_graph_digest_alone() -> None:
    """Tuning a threshold strands no run."""

    def drawn(at: float, version: str) -> ps.Workflow[[int], int]:
        @ps.workflow(version=version)
        def w(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
            return flow.call(bare, x, accept=ps.Threshold(score, at=at))

        return w

    old, new = drawn(0.5, "1"), drawn(0.7, "2")
    assert old.digest == new.digest
    (change,) = ps.diff(old, new).changes
    assert (change.place, change.what) == ("bare/threshold", "at 0.5 -> 0.7")


@ps.step
async def better(x: int) -> int:
    return abs(x)


@ps.workflow
def laddered(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
    good = flow.call(replaced, flow.sleep(x, 1.0))
    return flow.cascade((rescue, better), good, accept=GOOD)


@virtual
async def test_scores_are_in_the_history(task: Task) -> None:
    async with ps.Runtime(task=task) as rt:
        for x, scores in ((60, [0.6, -0.6]), (49, [0.49, 0.49])):
            run = await rt.start(laddered, x)
            followed = asyncio.ensure_future(_all(run))
            await run.result()
            history = await run.history()
            judged = [(it.value, it.score) for it in history if it.kind == "chosen"]
            assert judged == [(int(it >= 0.5), it) for it in scores]
            assert [it for it in await followed if it.kind != "started"] == history[1:]
            assert all(it.score is None for it in history if it.kind != "chosen")


async def _all(run: ps.Run[Any]) -> list[ps.Event]:
    return [it async for it in run.events() if isinstance(it, ps.Event)]


@pytest.mark.parametrize(
    ("said", "kept"), [(1 / 3, 1 / 3), (1e300, 1e300), (0, 0.0), (True, 1.0), (float("inf"), None)]
)
def test_scores_are_kept_by_the_store_to_the_last_bit(
    tmp_path: Path, said: float, kept: float | None
) -> None:
    @ps.step(accept=ps.Threshold(lambda x: said, at=-1.0))
    async def judged(x: int) -> int:
        return x

    async def main() -> list[ps.Event]:
        async with ps.Runtime(store=tmp_path / "a.db") as rt:
            await rt.run(judged, 1, run_id="r")
        async with ps.Runtime(store=tmp_path / "a.db", workflows=[judged]) as rt:
            run = rt.get("r")
            return await run.history()

    history = asyncio.run(main())
    assert [(it.value, it.score) for it in history if it.kind == "chosen"] == [(1, kept)]
