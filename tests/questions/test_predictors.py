"""What predicts success: only what was known before the run was decided."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

import penstock as ps
from penstock._questions import Foretold, foretold_of_store
from penstock._questions._deciding import deciding
from penstock._questions._features import features, foretold
from penstock._questions._reading import terms_of, told
from penstock._questions._runs import RunTold
from penstock._stored import StoreView
from questions.world import fill, guarded, looking, trouble


def asked(path: Path, outcome: str = "success", most: int = 5_000) -> Foretold:
    with looking(path) as view:
        return foretold_of_store(view, "support", outcome=outcome, most=most)


def runs_of(view: StoreView) -> list[RunTold]:
    return list(told(view, view.every(), terms_of(view)))


async def test_a_contained_failure_foretells_the_end(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with trouble(retrieve=3):
        await fill(path, range(1, 301))
    found = asked(path)
    assert (found.runs, found.good) == (300, 250)
    best = found.predictors.found[0]
    assert best.feature == "failure of retrieve"
    assert best.direction == "low"
    assert best.auc > 0.85


async def test_what_happens_at_the_deciding_node_foretells_nothing(tmp_path: Path) -> None:
    """The draft fails by a lot that nobody knows before: there is nothing to be found."""
    path = tmp_path / "a.db"
    lots = random.Random(4)
    numbers = list(range(1, 401))
    lots.shuffle(numbers)
    with trouble(draft=3):
        await fill(path, numbers)
    found = asked(path)
    assert found.good == 267
    assert not any("draft" in name for name in found.predictors.judged)
    assert "attempts of classify" in found.predictors.judged
    assert found.predictors.found == ()


async def test_the_deciding_node_and_what_was_known_before(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with trouble(classify=2, draft=3):
        await fill(path, [1, 2, 3])
    with looking(path) as view:
        runs = {run.run_id: run for run in runs_of(view)}
    assert {name: run.succeeded for name, run in runs.items()} == {
        "1.0.0-1": True,
        "1.0.0-2": True,
        "1.0.0-3": False,
    }
    for run in runs.values():
        end = deciding(run)
        assert end is not None
        assert end.node == "support/draft"
        assert run.accepted <= end.at <= run.ended
    known = features(runs["1.0.0-2"])
    assert set(known) == {
        f"{feature} {step}"
        for step in ("classify", "retrieve")
        for feature in (
            "queue delay of",
            "park delay of",
            "attempts of",
            "rejections by",
            "failure of",
        )
    } | {"context of classify"}
    assert known["attempts of classify"] == 2
    assert known["context of classify"] == 202
    assert known["failure of classify"] == 0  # it was tried again, and succeeded
    assert features(runs["1.0.0-1"])["attempts of classify"] == 1


async def test_a_cascade_tells_how_far_it_went(tmp_path: Path) -> None:
    path = tmp_path / "a.db"

    @ps.step(effects="pure")
    async def cheap(number: int) -> int:
        return number

    @ps.step(effects="pure")
    async def better(number: int) -> int:
        return number

    @ps.step(effects="pure")
    async def send(number: int) -> int:
        return number

    def is_even(number: int) -> bool:
        return number % 2 == 0

    @ps.workflow
    def ladder(flow: ps.Flow, number: ps.Node[int]) -> ps.Node[int]:
        return flow.call(send, flow.cascade((cheap, better), number, accept=is_even))

    async with ps.Runtime(store=str(path), workflows=[ladder]) as rt:
        for number in (2, 3):
            await rt.run(ladder, number, run_id=f"r{number}")
    with looking(path) as view:
        tiers = {run.run_id: features(run)["tier of cascade/cheap"] for run in runs_of(view)}
    assert tiers == {"r2": 0, "r3": 1}
    assert guarded.name == "support"


def test_the_bar_of_scores_is_their_median() -> None:
    def scored(value: float) -> RunTold:
        from questions.test_value import told as made

        run = made([("fork", "done"), ("join", "done")], failed_at=None)
        return RunTold(
            run_id="r",
            accepted=0.0,
            ended=9.0,
            records=run.records,
            plan=run.plan,
            scores={"csat": value},
        )

    for values, good in (([1, 2, 3, 4], 2), ([0, 1, 1, 1], 3), ([5, 5], 0), ([0, 0, 0, 1], 1)):
        found = foretold("w", "score:csat", [scored(value) for value in values])
        assert (found.runs, found.good) == (len(values), good)
    assert foretold("w", "score:other", [scored(1.0)]).runs == 0


async def test_mistakes_are_told(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    await fill(path, range(1, 4))
    with looking(path) as view:
        with pytest.raises(ps.DefinitionError, match="give one that it has: support"):
            foretold_of_store(view, "other")
        for outcome in ("cost", "score", "score:"):
            with pytest.raises(ps.DefinitionError, match="no outcome is"):
                foretold_of_store(view, "support", outcome=outcome)
        few = foretold_of_store(view, "support", most=2)
    assert few.runs == 2
    assert few.predictors.found == ()
    assert str(few.predictors).startswith("none of 0 features")
