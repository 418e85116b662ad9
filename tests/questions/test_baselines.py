"""Baselines: kept, found again, and compared with after their runs are gone."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

import penstock as ps
from penstock._figures import scorecard_of_store
from penstock._questions import (
    Baseline,
    baseline_named,
    baseline_of,
    baselines,
    compare_now,
    compare_versions,
    save,
)
from penstock._questions._reading import settled, stuck
from penstock._stored import StoreView
from questions.world import FAR, changed, fill, looking, support, trouble


def kept(view: StoreView, name: str = "before") -> Baseline:
    found = baseline_of(view, name, since=0, until=FAR, now=FAR)
    save(view, found)
    return found


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two versions: the second one fails more often, and repeats more."""
    path = tmp_path_factory.mktemp("baselines") / "a.db"

    async def both() -> None:
        with trouble(classify=10, draft=30):
            await fill(path, range(1, 241))
        with trouble(classify=3, draft=3):
            await fill(path, range(1, 241), changed)

    asyncio.run(both())
    return path


def test_its_values_are_those_of_the_scorecard(store: Path) -> None:
    with looking(store) as view:
        (part,) = baseline_of(view, "x", since=0, until=FAR, now=FAR).parts
        card = scorecard_of_store(view, 0, FAR, now=FAR).whole
    assert part.runs == 480
    assert part.versions == ("1.0.0", "1.1.0")
    assert part.values["success"] == pytest.approx(card.quality.success.value)
    assert part.values["cost"] == pytest.approx(card.economics.cost_per_success)
    # From records, and from rollups: the same runs.
    assert part.values["retry_burden"] == pytest.approx(card.reliability.retry_burden.value)
    assert part.values["handoff"] == pytest.approx(card.quality.handoffs.accuracy)
    assert part.values["first_attempts"] == card.reliability.attempts["first"] / 480


def test_two_versions_are_compared(store: Path) -> None:
    with looking(store) as view:
        pair = ("1.0.0", "1.1.0")
        found = compare_versions(view, "support", pair, since=0, until=FAR, now=FAR)
        judged = {each.metric: each for each in found.comparison.metrics}
        assert judged["success"].judgement == "worse"
        assert judged["success"].difference == pytest.approx(8 / 240 - 80 / 240)
        assert judged["retry_burden"].judgement == "worse"
        assert judged["cost"].judgement == "worse"
        assert judged["handoff"].judgement != "worse"
        back = compare_versions(view, "support", (pair[1], pair[0]), since=0, until=FAR, now=FAR)
        assert {each.metric: each.judgement for each in back.comparison.metrics}["success"] == (
            "better"
        )
        with pytest.raises(ps.DefinitionError, match=r"that did run: 1\.0\.0, 1\.1\.0"):
            compare_versions(view, "support", ("1.0.0", "3"), since=0, until=FAR, now=FAR)


async def test_it_outlives_its_runs(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    await fill(path, range(1, 151))
    with looking(path) as view:
        saved = kept(view)
        assert view.reader.prune(ended_max=0) == 150
        assert view.runs() == []
        (contest,) = compare_now(view, baseline_named(view, "before"), now=FAR, since=0)
        assert contest.baseline.values == saved.parts[0].values
    with trouble(draft=2):
        await fill(path, range(200, 350))
    with looking(path) as view:
        later = compare_now(view, baseline_named(view, "before"), now=FAR, since=0)
        assert later[0].baseline.values == saved.parts[0].values
        alone = compare_now(view, saved, now=FAR, since=0, workflow="other")
        assert alone == []


async def test_what_runs_now_is_what_started_since(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    await fill(path, range(1, 121))
    with looking(path) as view:
        (run, *_) = view.runs(limit=1)
        end = run.accepted // 60 * 60 + 60
        saved = baseline_of(view, "b", since=0, until=end, now=end)
        (contest,) = compare_now(view, saved, now=end + 60)
    assert (contest.baseline.runs, contest.version.runs) == (120, 0)
    assert contest.version.since == end
    assert {each.judgement for each in contest.comparison.metrics} == {"not enough data"}


async def test_the_last_of_a_name_counts(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    await fill(path, range(1, 4))
    with looking(path) as view:
        with pytest.raises(ps.DefinitionError, match="save one first"):
            baseline_named(view, "before")
        save(view, baseline_of(view, "before", since=0, until=FAR, now=1_000.0))
        save(view, baseline_of(view, "before", since=0, until=FAR, now=2_000.0))
        save(view, baseline_of(view, "other", since=0, until=FAR, now=3_000.0))
        assert [each.at for each in baselines(view)] == [1_000.0, 2_000.0, 3_000.0]
        assert baseline_named(view, "before").at == 2_000.0
        with pytest.raises(ps.DefinitionError, match="give one of before, other"):
            baseline_named(view, "nobody")


async def test_a_run_under_way_holds_the_end_until_it_is_too_old(tmp_path: Path) -> None:
    """Else those that fail early would be seen before those that take their time."""
    path = tmp_path / "a.db"
    wait = ps.Signal("wait", int)

    @ps.workflow(name="support", version="1")
    def waits(flow: ps.Flow, number: ps.Node[int]) -> ps.Node[int]:
        return flow.signal(wait, after=number)

    await fill(path, range(1, 31))
    async with ps.Runtime(store=str(path), workflows=[waits]) as rt:
        run = await rt.start(waits, 1)
    with looking(path) as view:
        info = view.run(run.run_id)
        assert info is not None
        at, minute = info.accepted, info.accepted // 60 * 60
        ends = {
            now: settled(view, "support", since, FAR, now=now, horizon=horizon)
            for now, since, horizon in (
                (at + 1, 0.0, None),
                (at + 2, 0.0, 60.0),
                (at + 61, 0.0, 60.0),
                (at + 3, at + 1, 60.0),
            )
        }
        assert ends == {at + 1: minute, at + 2: minute, at + 61: FAR, at + 3: FAR}
        assert settled(view, "other", 0.0, FAR, now=at, horizon=None) == FAR
        early = stuck(view, "support", 0.0, FAR, now=at + 59, horizon=60.0)
        late = stuck(view, "support", 0.0, FAR, now=at + 61, horizon=60.0)
        (part,) = baseline_of(view, "x", since=0, until=FAR, now=FAR).parts
    assert (len(early), len(late)) == (0, 1)
    # By then it is a failure.
    assert part.runs == 31
    assert part.values["success"] == pytest.approx(30 / 31)


def test_an_unknown_format_is_told() -> None:
    for text in ("[]", '{"format": 1}', "no json"):
        with pytest.raises(ps.PenstockError, match="can't be read"):
            Baseline.from_json("x", 0.0, text)
    with pytest.raises(ps.PenstockError, match="has format 2"):
        Baseline.from_json("x", 0.0, '{"format": 2, "parts": []}')


def test_a_baseline_of_nothing_is_refused(store: Path) -> None:
    with looking(store) as view:
        with pytest.raises(ps.DefinitionError, match="no run of the window is over"):
            baseline_of(view, "x", since=0, until=60, now=60)
        with pytest.raises(ps.DefinitionError, match="name of a baseline"):
            baseline_of(view, "", since=0, until=FAR, now=FAR)


def test_runs_are_read_from_the_oldest_on(store: Path) -> None:
    with looking(store) as view:
        newest = [info.run_id for info in view.every(workflow="support", version="1.1.0")]
        rising = [info.run_id for info in view.rising(workflow="support", version="1.1.0")]
        assert rising == newest[::-1]
        assert len(rising) == 240
        assert list(view.rising(workflow="nobody")) == []
    assert support.name == changed.name


async def test_what_a_user_has_cancelled_counts_nowhere(tmp_path: Path) -> None:
    """Neither in rollups nor in records, also when its effects were undone."""
    path = tmp_path / "a.db"
    wait = ps.Signal("wait", int)

    @ps.step(effects="idempotent")
    async def undo(number: int, result: int | None) -> None: ...

    @ps.step(effects="idempotent", compensate=undo)
    async def book(number: int) -> int:
        return number

    @ps.workflow
    def trip(flow: ps.Flow, number: ps.Node[int]) -> ps.Node[int]:
        return flow.signal(wait, after=flow.call(book, number))

    async with ps.Runtime(store=str(path), workflows=[trip]) as rt:
        runs = [await rt.start(trip, number) for number in range(4)]
        for run in runs[:3]:
            await run.signal(wait, 1)
            await run.result()
        await runs[3].cancel()
        with pytest.raises(ps.RunCancelled):
            await runs[3].result()
    with looking(path) as view:
        (part,) = baseline_of(view, "x", since=0, until=FAR, now=FAR).parts
        assert {info.status for info in view.every()} == {"succeeded", "compensated"}
    assert part.runs == part.sample.moments("first_attempts").count == 3
    assert part.values["success"] == 1.0
