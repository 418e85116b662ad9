"""Outcomes: scores, people's minutes, refused handoffs, and the edges of windows."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

import penstock as ps
from economics.purse import PRICES, Purse, audited, balanced, wasted
from flow.parts import ONCE
from loops import Task, virtual
from penstock._scorecard import Card, Handoffs
from penstock.testing import VirtualClock

ANSWER = ps.Signal("answer", int)


@ps.step(owner="cx", effects="pure")
async def draft(x: int) -> int:
    return x


@ps.workflow(version="1")
def reviewed(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
    return flow.review(flow.call(draft, x), ANSWER, owner="desk", timeout=3_600.0)


# Scores.


async def score_of(rt: ps.Runtime, kind: str = "quality") -> tuple[int, float] | None:
    found = (await rt.scorecard()).whole.quality.scores.get(kind)
    return None if found is None else (found.count, round(found.mean, 9))


@virtual
async def test_a_later_score_of_a_kind_takes_the_place_of_the_earlier_one(task: Task) -> None:
    async with ps.Runtime(task=task) as rt:
        runs = [await rt.start(draft, x) for x in range(2)]
        for run in runs:
            await run.result()
        assert await score_of(rt) is None
        await runs[0].score(0.5)
        assert await score_of(rt) == (1, 0.5)
        await runs[0].score(1.0)
        assert await score_of(rt) == (1, 1.0)
        await runs[0].score(-3, kind="value")
        await runs[1].score(0.0)
        await asyncio.sleep(7_200.0)
        await runs[0].score(0.25)
        assert await score_of(rt) == (2, 0.125)
        assert await score_of(rt, "value") == (1, -3.0)
        deviation = (await rt.scorecard()).whole.quality.scores["quality"].deviation
        assert deviation == pytest.approx(0.25 / 2**0.5)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "good", None, True], ids=repr)
@virtual
async def test_a_score_that_is_no_number_is_refused(task: Task, value: Any) -> None:
    async with ps.Runtime(task=task) as rt:
        run = await rt.start(draft, 1)
        await run.result()
        with pytest.raises(ps.DefinitionError, match="the score is") as caught:
            await run.score(value)
        assert caught.value.remedy == "give a finite number"
        with pytest.raises(ps.DefinitionError, match="a score's kind"):
            await run.score(1, kind="")
        assert await score_of(rt) is None


def test_scores_come_later_and_after_restarts_and_belong_to_the_start_of_the_run(
    tmp_path: Path,
) -> None:
    def runtime() -> ps.Runtime:
        return ps.Runtime(tmp_path / "s.db", workflows=[draft])

    async def first() -> None:
        async with runtime() as rt:
            for x in range(3):
                await rt.run(draft, x, run_id=f"r{x}")
            await rt.get("r0").score(1.0)
            await rt.get("r1").score(0.5)

    async def then() -> None:
        async with runtime() as rt:
            assert await score_of(rt) == (2, 0.75)
            await rt.get("r1").score(0.0)
            await rt.get("r2").score(0.8)
            assert await score_of(rt) == (3, 0.6)
            started = [info.accepted for info in await rt.runs()]
            await asyncio.sleep(10 * 86_400.0)
            await rt.get("r2").score(0.2)
            week = await rt.scorecard(7 * 86_400.0)
            assert not week.whole.quality.scores, "they belong to when their runs began"
            then = await rt.scorecard(3_600.0, until=max(started) + 60.0)
            score = then.whole.quality.scores["quality"]
            assert (score.count, round(score.mean, 9)) == (3, 0.4)

    async def at_last() -> None:
        async with runtime() as rt:
            found = (await rt.scorecard(20 * 86_400.0)).whole.quality.scores["quality"]
            assert (found.count, round(found.mean, 9)) == (3, 0.4)
            by = await rt.scorecard(20 * 86_400.0, by="version")
            assert [it.quality.scores["quality"].count for it in by.groups] == [3]

    clock = VirtualClock()
    clock.run(first())
    clock.run(then())
    clock.run(at_last())


def test_a_run_that_is_forgotten_cannot_be_scored(tmp_path: Path) -> None:
    async def main() -> None:
        retention = ps.Retention(max_runs=1)
        async with ps.Runtime(tmp_path / "s.db", workflows=[draft], retention=retention) as rt:
            runs = [await rt.start(draft, x, run_id=f"r{x}") for x in range(3)]
            for run in runs:
                await run.result()
            await runs[0].score(1.0)
            await asyncio.sleep(3_600.0)
            with pytest.raises(ps.RunNotFound, match="no longer known"):
                await runs[0].score(0.5)
            found = (await rt.scorecard()).whole.quality.scores["quality"]
            assert (found.count, found.mean) == (1, 1.0), "what it had stays"

    VirtualClock().run(main())


# People.


@virtual
async def test_minutes_of_a_review_are_booked_on_its_node_at_the_rate_of_the_role(
    task: Task,
) -> None:
    async with ps.Runtime(task=task, prices=PRICES) as rt:
        run = await rt.start(reviewed, 1)
        await asyncio.sleep(5.0)
        assert await run.signal(ANSWER, 7, minutes=2.5)
        assert await run.result() == 7
        (line,) = (await run.spend()).lines
        assert (line.node, line.resource, line.name) == ("reviewed/answer", "human_minutes", "desk")
        assert (line.units, line.usd) == (2_500_000, ps.usd("1.875"))
        purse = Purse()
        purse.runs[run.run_id] = purse.paths[line.node] = line.usd.nanos
        assert wasted(await audited(rt, purse, run)) == {"useful": 1_875_000_000}


@virtual
async def test_minutes_without_a_price_are_refused_and_the_run_waits_on(task: Task) -> None:
    wrong: Any = "seven"
    async with ps.Runtime(task=task, prices=PRICES) as rt:
        run = await rt.start(reviewed, 1)
        await asyncio.sleep(5.0)
        for minutes, role, said in (
            (1.0, "boss", "'boss' has no price"),
            (-1.0, "desk", "minutes is -1.0"),
            (float("nan"), None, "minutes is nan"),
        ):
            with pytest.raises(ps.DefinitionError, match=said):
                await run.signal(ANSWER, 7, minutes=minutes, role=role)
        assert await run.awaiting() == ["reviewed/answer"]
        assert (await run.spend()).lines == ()
        with pytest.raises(ps.ContractError):
            await run.signal(ANSWER, wrong, minutes=1.0)
        assert (await run.spend()).lines == (), "what is not taken is not paid for"
        assert await run.signal(ANSWER, 7)


@virtual
async def test_minutes_of_a_run_that_fails_are_waste(task: Task) -> None:
    @ps.step(retry=ONCE)
    async def fail(x: int) -> int:
        raise ValueError(x)

    @ps.workflow
    def w(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        return flow.call(fail, flow.review(x, ANSWER, owner="desk"))

    async with ps.Runtime(task=task, prices=PRICES) as rt:
        run = await rt.start(w, 1)
        await asyncio.sleep(5.0)
        await run.signal(ANSWER, 7, minutes=60)
        with pytest.raises(ps.RunFailed):
            await run.result()
        assert wasted(await rt.scorecard()) == {"failed_run": 45 * 10**9}


# Handoffs.


@ps.step(owner="cx")
async def same_owner(x: int) -> int:
    return x


@ps.step(owner="legal", retry=ONCE)
async def other_owner(x: int) -> int:
    if x == 1:
        raise ps.Reject("not enough")
    if x == 2:
        raise ps.Reject("not mine", to="price")
    if x == 3:
        raise ps.Reject("do it again", to=draft)
    if x == 4:
        await asyncio.sleep(100.0)
    if x == 5:
        raise ValueError("its own fault")
    return x


@ps.step(owner="billing")
async def price(x: int) -> int:
    return x


@ps.workflow
def chain(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
    first = flow.call(draft, x)
    return flow.call(other_owner, flow.call(same_owner, first), timeout=10.0)


def handoffs(card: Card) -> tuple[Handoffs, Handoffs]:
    return card.quality.handoffs, card.quality.cross


@pytest.mark.parametrize(
    ("x", "refused"),
    [
        (0, {"accepted": 1}),
        (1, {"rejected": 1}),
        (2, {"wrong_owner": 1}),
        (3, {"rejected": 1}),
        (5, {"accepted": 1}),
    ],
)
@virtual
async def test_a_handoff_is_taken_or_refused_by_its_receiver(
    task: Task, x: int, refused: dict[str, int]
) -> None:
    """A step that fails by its own fault has taken what it was given."""
    async with ps.Runtime(task=task, workflows=[chain, price]) as rt:
        run = await rt.start(chain, x)
        await asyncio.gather(run.result(), return_exceptions=True)
        every, cross = handoffs((await rt.scorecard()).whole)
        assert cross == Handoffs(**refused)
        within = refused.get("accepted", 0) + 1
        assert every == Handoffs(**{**refused, "accepted": within})
        by = {it.name: it for it in (await rt.scorecard(by="owner")).groups}
        assert by["legal"].quality.cross == Handoffs(**refused)
        assert by["cx"].quality.cross == Handoffs()


@virtual
async def test_a_value_that_breaks_its_contract_is_counted_once_and_not_for_each_edge(
    task: Task,
) -> None:
    @ps.step(owner="cx", retry=ONCE)
    async def wrong(x: int) -> int:
        return "wrong"  # type: ignore[return-value]

    @ps.workflow
    def fan(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        given = flow.call(wrong, x)
        return flow.apply(
            lambda a, b: a + b,
            flow.call(same_owner, given),
            flow.call(other_owner, given),
        )

    async with ps.Runtime(task=task) as rt:
        run = await rt.start(fan, 9)
        with pytest.raises(ps.RunFailed):
            await run.result()
        every, cross = handoffs((await rt.scorecard()).whole)
        assert every == Handoffs(contract=1)
        assert cross == Handoffs()


@virtual
async def test_a_value_below_the_threshold_is_a_refused_handoff(task: Task) -> None:
    @ps.step(owner="cx", accept=ps.Threshold(lambda x: x / 10, at=0.5), retry=ONCE)
    async def scored(x: int) -> int:
        return x

    async with ps.Runtime(task=task) as rt:
        low = await rt.start(scored, 1)
        with pytest.raises(ps.RunFailed):
            await low.result()
        every, _ = handoffs((await rt.scorecard()).whole)
        assert every == Handoffs(threshold=1)


@virtual
async def test_a_review_that_nobody_gives_is_a_refused_handoff(task: Task) -> None:
    async with ps.Runtime(task=task) as rt:
        late = await rt.start(reviewed, 1)
        with pytest.raises(ps.RunFailed):
            await late.result()
        every, cross = handoffs((await rt.scorecard()).whole)
        assert every == Handoffs(timeout=1)
        assert cross == Handoffs(timeout=1)


@virtual
async def test_a_handoff_that_is_refused_is_no_first_pass(task: Task) -> None:
    @ps.workflow
    def w(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        return flow.cascade((other_owner, price), flow.call(draft, x), accept=lambda _: True)

    async with ps.Runtime(task=task) as rt:
        assert await rt.run(w, 1) == 1
        assert await rt.run(w, 0) == 0
        card = (await rt.scorecard()).whole
        assert (card.quality.success.part, card.quality.first_pass.part) == (2, 1)


# Windows.


@virtual
async def test_a_run_belongs_to_the_window_it_began_in_and_money_to_when_it_was_booked(
    task: Task,
) -> None:
    """Accepted at the last millisecond of a minute, and over two hours later."""

    @ps.step
    async def slow(x: int, ctx: ps.Context) -> int:
        ctx.spend.usd("100e-9", "early")
        await asyncio.sleep(7_200.0)
        ctx.spend.usd("7e-9", "late")
        return x

    async with ps.Runtime(task=task) as rt:
        core = rt._core
        await asyncio.sleep(60.0 - core.now() % 60.0)
        minute = round(core.now())
        await asyncio.sleep(59.999)
        run = await rt.start(slow, 1)
        await asyncio.sleep(0.001)
        fine = await rt.start(slow, 2)
        await asyncio.gather(run.result(), fine.result())

        async def within(since: float, until: float) -> tuple[int, int, dict[str, int]]:
            card = (await rt.scorecard(until - since, until=until)).whole
            cash = card.economics.cash or {}
            return (
                card.accepted,
                card.economics.cost.nanos,
                {name: it.nanos for name, it in cash.items()},
            )

        assert await within(minute, minute + 60) == (1, 107, {"early": 100})
        assert await within(minute + 60, minute + 120) == (1, 107, {"early": 100})
        assert await within(minute, minute + 120) == (2, 214, {"early": 200})
        later = minute + 7_200
        assert await within(minute + 120, later) == (0, 0, {})
        assert await within(later, later + 60) == (0, 0, {"late": 7})
        assert await within(later, later + 120) == (0, 0, {"late": 14})
        assert await within(minute - 60, minute) == (0, 0, {})
        whole = (await rt.scorecard(86_400.0)).whole
        assert balanced(whole) == 214


@virtual
async def test_a_window_that_is_empty_is_refused(task: Task) -> None:
    async with ps.Runtime(task=task) as rt:
        for window in (0.0, -5.0, float("nan")):
            with pytest.raises(ps.DefinitionError):
                await rt.scorecard(window)
        with pytest.raises(ps.DefinitionError, match="by"):
            await rt.scorecard(by="colour")  # type: ignore[arg-type]


@virtual
async def test_runs_that_are_open_for_too_long_are_failures_until_they_end(task: Task) -> None:
    @ps.step
    async def nap(seconds: float, ctx: ps.Context) -> float:
        ctx.spend.usd("5e-9", "thing")
        await asyncio.sleep(seconds)
        return seconds

    async with ps.Runtime(task=task) as rt:
        for _ in range(10):
            await rt.run(nap, 1.0)
        stuck = await rt.start(nap, 1_000.0)
        await asyncio.sleep(1.5)
        assert (await rt.scorecard()).whole.quality.causes == {}
        await asyncio.sleep(10.0)
        assert (await rt.scorecard()).whole.quality.causes == {"unresolved": 1}
        await stuck.result()
        quality = (await rt.scorecard()).whole.quality
        assert (quality.causes, quality.success.part) == ({}, 11)


@virtual
async def test_a_run_whose_effects_could_not_be_undone_is_a_failure(task: Task) -> None:
    @ps.step(retry=ONCE)
    async def undo(x: int, result: int | None) -> None:
        raise ValueError(x)

    @ps.step(compensate=undo)
    async def book(x: int, ctx: ps.Context) -> int:
        ctx.spend.usd("5e-9", "thing")
        return x

    @ps.step(retry=ONCE)
    async def fail(x: int) -> int:
        raise ValueError(x)

    @ps.workflow
    def trip(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        return flow.call(fail, flow.call(book, x))

    async with ps.Runtime(task=task) as rt:
        await rt.run(draft, 1)
        run = await rt.start(trip, 1)
        with pytest.raises(ps.CompensationFailed):
            await run.result()
        card = (await rt.scorecard()).whole
        assert card.quality.causes == {"compensation_failed": 1}
        assert card.quality.success.value == 0.5
        assert card.reliability.compensation.value == 0.0


async def test_a_run_that_is_tried_again_is_counted_as_what_it_came_to(tmp_path: Path) -> None:
    """Its first outcome is kept beside that; whatever the first end was, it is taken back."""
    waits = True

    @ps.step
    async def slow(x: int) -> int:
        if waits:
            await asyncio.sleep(60.0)
        return x

    @ps.step
    async def broken(x: int) -> int:
        if waits:
            raise ValueError(x)
        return x

    async with ps.Runtime(tmp_path / "a.db", workflows=[slow, broken]) as rt:
        late = await rt.start(slow, 1, deadline=0.05)
        failed = await rt.start(broken, 1)
        cancelled = await rt.start(slow, 2)
        await cancelled.cancel()
        await asyncio.gather(
            *(it.result() for it in (late, failed, cancelled)), return_exceptions=True
        )
        waits = False
        for run in (late, failed, cancelled):
            assert await run.retry()
            await run.result()
        card = await rt.scorecard()
        assert card.whole.quality.ended == {"succeeded": 3}
        assert card.whole.quality.first_success.part == 0
        assert card.whole.quality.first_success.whole == 2, "a user has cancelled the third"


async def test_a_run_tried_again_before_a_kill_is_counted_once(tmp_path: Path) -> None:
    """Neither of its two ends was in the figures that had been written."""
    store = tmp_path / "a.db"
    killed = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        KILLED.format(store=str(store)),
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert await killed.wait() == -signal.SIGKILL
    async with ps.Runtime(store, workflows=[once_broken]) as rt:
        card = await rt.scorecard()
        assert card.whole.accepted == 1
        assert card.whole.quality.ended == {"succeeded": 1}
        assert (card.whole.quality.first_success.part, card.whole.quality.first_success.whole) == (
            0,
            1,
        )


BROKEN = [True]


@ps.step
async def once_broken(x: int) -> int:
    if BROKEN[0]:
        raise ValueError(x)
    return x


KILLED = """
import asyncio, os, signal
import penstock as ps
from economics.test_outcomes import BROKEN, once_broken

async def main():
    async with ps.Runtime({store!r}, workflows=[once_broken]) as rt:
        run = await rt.start(once_broken, 1)
        await asyncio.gather(run.result(), return_exceptions=True)
        BROKEN[0] = False
        assert await run.retry()
        await run.result()
        os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""
