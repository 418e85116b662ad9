"""What a step is worth is known only where runs went on without it, and is never made up."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import penstock as ps
from penstock._questions import values_of_store
from penstock._questions._runs import Plan, RunTold
from penstock._questions._value import StepValue, states
from questions.world import FAR, fill, guarded, looking, trouble


def by_step(path: Path, **options: Any) -> dict[str, StepValue]:
    with looking(path) as view:
        (found,) = values_of_store(view, since=0, until=FAR, **options)
        return {each.step: each for each in found.steps}


async def test_a_step_that_failed_and_was_contained_tells_its_value(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with trouble(retrieve=3):  # without documents every odd draft fails
        await fill(path, range(1, 301))
    steps = by_step(path)
    found = steps["retrieve"]
    assert (found.with_step.part, found.with_step.whole) == (200, 200)
    assert (found.without.part, found.without.whole) == (50, 100)
    assert found.skipped == 0
    assert found.difference == pytest.approx(0.5)
    assert found.low is not None
    assert found.high is not None
    assert found.low < 0.5 < found.high <= 1.0
    assert found.worth == pytest.approx(0.25)  # half of the half dollar that a success is worth
    assert found.total == pytest.approx(0.25 * 300)
    assert (found.used, found.owner, found.spend.nanos) == (300, "search", 300_000_000)
    # Every run has these: nobody knows what it would be without.
    for name in ("classify", "draft"):
        assert steps[name].without.whole == 0
        assert steps[name].difference is None
        assert steps[name].worth is None
    # A draft that fails the run is a run with the draft.
    assert (steps["draft"].with_step.part, steps["draft"].with_step.whole) == (250, 300)


async def test_spend_is_of_all_runs_and_the_costliest_is_first(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    await fill(path, range(1, 41))
    steps = by_step(path, most=10)
    assert list(steps) == ["draft", "retrieve", "classify"]
    assert sum(each.share or 0.0 for each in steps.values()) == pytest.approx(1.0)
    assert steps["draft"].used == 40
    assert steps["draft"].with_step.whole == 10
    assert sum(each.spend.nanos for each in steps.values()) == _nanos(path)


def _nanos(path: Path) -> int:
    with looking(path) as view:
        return sum(
            record.facts.get("nanos") or 0
            for info in view.every()
            for record in view.records(info.run_id)
            if record.kind == "spent"
        )


async def test_too_few_runs_without_a_step_tell_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with trouble(retrieve=20):
        await fill(path, range(1, 101))
    found = by_step(path)["retrieve"]
    assert found.without.whole == 5
    assert found.difference is None


async def test_a_tier_that_was_not_needed_is_not_missed(tmp_path: Path) -> None:
    """Runs without the second tier had a good first one: they tell nothing of what it is worth."""
    path = tmp_path / "a.db"
    with trouble(draft=2):
        await fill(path, range(1, 101), guarded)
    steps = by_step(path)
    assert steps["rewrite"].with_step.whole == 50
    assert steps["rewrite"].without.whole == 0
    assert steps["rewrite"].difference is None
    assert (steps["draft"].without.part, steps["draft"].without.whole) == (50, 50)


async def test_scores_of_value_say_what_a_success_is_worth(tmp_path: Path) -> None:
    path = tmp_path / "a.db"

    @ps.step(effects="pure")
    async def work(number: int) -> int:
        return number

    @ps.workflow
    def plain(flow: ps.Flow, number: ps.Node[int]) -> ps.Node[int]:
        return flow.call(work, number)

    async with ps.Runtime(store=str(path), workflows=[plain]) as rt:
        for number in (1, 3):
            run = await rt.start(plain, number)
            await run.result()
            await run.score(number, kind="value")
    with looking(path) as view:
        (found,) = values_of_store(view, since=0, until=FAR)
        assert (found.success, found.source) == (2.0, "scores")
        with pytest.raises(ps.DefinitionError, match="one that did run: plain"):
            values_of_store(view, since=0, until=FAR, workflow="other")


def told(kinds: Sequence[tuple[str, str]], *, failed_at: str | None) -> RunTold:
    """A run of fork -> (left, right) -> join by the records of its nodes."""
    names = ("fork", "left", "right", "join")
    inputs = ([0], [1], [1], [2, 3])
    nodes: list[dict[str, Any]] = [{"path": "w/x", "kind": "input", "inputs": [], "after": []}]
    nodes += [
        {
            "path": f"w/{name}",
            "kind": "step",
            "inputs": given,
            "after": [],
            "step": {"name": name, "version": "1"},
        }
        for name, given in zip(names, inputs, strict=True)
    ]
    graph = {"name": "w", "version": "1", "nodes": nodes, "output": 4}
    records: list[dict[str, Any]] = [
        {"at": float(at), "kind": kind, "node": f"w/{node}", "attempt": 1, "facts": {}}
        for at, (node, kind) in enumerate(kinds, 1)
    ]
    facts = {"status": "succeeded"}
    if failed_at is not None:
        facts = {"status": "failed", "path": f"w/{failed_at}"}
    records.append({"at": 9.0, "kind": "ended", "node": None, "attempt": None, "facts": facts})
    return RunTold(
        run_id="r",
        accepted=0.0,
        ended=9.0,
        records=records,
        plan=Plan.of(graph, {}),
        scores={},
    )


def test_of_a_failed_run_only_what_came_before_the_failure_is_told() -> None:
    """Beside the failure, a step that had not run yet is neither there nor missing."""
    run = told([("fork", "done"), ("right", "failed")], failed_at="right")
    assert states(run) == {"fork": "with", "right": "with"}
    run = told([("fork", "done"), ("right", "done"), ("join", "failed")], failed_at="join")
    assert states(run) == {"fork": "with", "left": "skipped", "right": "with", "join": "with"}


def test_of_a_run_that_succeeded_all_is_told() -> None:
    run = told([("fork", "done"), ("left", "failed"), ("join", "done")], failed_at=None)
    assert states(run) == {
        "fork": "with",
        "left": "contained",
        "right": "skipped",
        "join": "with",
    }


def test_who_lost_a_race_was_not_missing() -> None:
    run = told([("fork", "done"), ("left", "withdrawn"), ("join", "done")], failed_at=None)
    assert "left" not in states(run)
