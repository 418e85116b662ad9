"""Scores in the journal: those of a threshold, and those of values that explored a tier."""

from __future__ import annotations

import json
import math
import random
from typing import Any

import pytest

import penstock as ps
from penstock._questions._graphs import graph_of
from penstock._simulation._fit._fitting import model_of
from penstock._simulation._fit._loading import Loaded
from penstock._simulation._fit._reading import Reader
from penstock._simulation._fit._seen import Seen
from penstock._simulation._model import Model
from penstock._simulation._subject import subject_of
from penstock._stored import RunInfo, StoredRecord

EXPLORE = 0.1


@ps.step(effects="pure")
async def small(number: int) -> float:
    return 0.0


@ps.step(effects="pure")
async def middle(number: int) -> float:
    return 0.0


@ps.step(effects="pure")
async def large(number: int) -> float:
    return 0.0


def itself(value: float) -> float:
    return value


@ps.workflow
def ladder(flow: ps.Flow, number: ps.Node[int]) -> ps.Node[float]:
    accept = ps.Threshold(itself, at=0.5)
    return flow.cascade((small, middle, large), number, accept=accept, explore=EXPLORE, name="up")


class Journal:
    """Records of a run, as a store has them."""

    def __init__(self, start: float) -> None:
        self.at = start
        self.records: list[StoredRecord] = []
        self.add("accepted", "")

    def add(self, kind: str, node: str, attempt: int = 0, **facts: Any) -> None:
        seq = len(self.records)
        self.records.append(
            StoredRecord(
                lsn=seq,
                seq=seq,
                at=self.at,
                kind=kind,
                node=node,
                attempt=attempt,
                facts=facts,
                value=None,
            )
        )

    def ran(self, path: str, **facts: Any) -> None:
        started = int(self.at * 1e9)
        self.at += 1.0
        self.add("done", path, 1, started=started, **facts)

    def judged(self, path: str, score: float, *, explored: bool) -> bool:
        """What a judge says of a value."""
        outcome = 0 if score < 0.5 else 2 if explored else 1
        self.add("chosen", path, outcome=outcome, score=score)
        return outcome > 0


def fitted(*, explores: bool, scored: bool) -> Model:
    """Runs of which the first tier is good where the second one is."""
    dice = random.Random(1)
    content = json.loads(ladder.to_json())
    graph = graph_of(content, {})
    seen = Seen(graph, subject_of(graph))
    reader = Reader(content, None, seen)
    runs: list[RunInfo] = []
    for number in range(4_000):
        journal = Journal(10.0 * number)
        info = RunInfo(
            run_id=f"run-{number}",
            workflow="ladder",
            version="1",
            status="succeeded",
            accepted=journal.at,
        )
        ease = dice.random()
        explored = explores and dice.random() < EXPLORE
        journal.ran("ladder/up/small")
        if journal.judged("ladder/up/accept-1", 0.2 + 0.6 * ease, explored=explored):
            if explored:
                journal.ran("ladder/up/explore-1", **({"score": ease} if scored else {}))
        else:
            journal.ran("ladder/up/middle")
            if not journal.judged("ladder/up/accept-2", ease, explored=False):
                journal.ran("ladder/up/large")
        journal.add("ended", "", status="succeeded")
        reader.read(info, journal.records)
        runs.append(info)
    found = Loaded(
        workflow="ladder",
        version="1",
        digest=None,
        runs=runs,
        seen=seen,
        scores={},
        allowed={},
        gaps=(),
    )
    return model_of(found)


def test_scores_of_a_threshold_are_kept() -> None:
    model = fitted(explores=False, scored=False)
    step = model.steps["small"]
    assert (step.accepted, step.scores_seen, len(step.scores)) == (None, "all", 200)
    # Uniform from 0.2 to 0.8.
    assert [step.accepts(at) for at in (0.3, 0.5, 0.7)] == pytest.approx(
        [5 / 6, 0.5, 1 / 6], abs=0.03
    )


def test_a_tier_that_was_never_explored_is_said() -> None:
    model = fitted(explores=False, scored=False)
    step = model.steps["middle"]
    assert step.scores_seen == "above"
    # Only what the first tier did not settle came so far.
    assert max(step.scores) <= 0.5
    assert model.fitted is not None
    for tier in ("middle", "large"):
        assert f"cascade ladder/up: tier {tier} was never explored" in model.fitted.gaps


def test_an_explored_tier_is_known_for_all_runs() -> None:
    model = fitted(explores=True, scored=True)
    step = model.steps["middle"]
    assert step.scores_seen == "explored"
    assert step.accepts(0.5) == pytest.approx(0.5, abs=0.06)
    assert step.accepts(0.8) == pytest.approx(0.2, abs=0.06)
    assert model.fitted is not None
    assert "cascade ladder/up: tier middle was never explored" not in model.fitted.gaps


def test_a_tier_that_was_explored_without_a_judge_is_said() -> None:
    model = fitted(explores=True, scored=False)
    assert model.steps["middle"].scores_seen == "above"
    assert model.fitted is not None
    assert "cascade ladder/up: tier middle was explored, but not judged" in model.fitted.gaps


def test_a_score_that_is_no_number_is_left_out() -> None:
    content = json.loads(ladder.to_json())
    graph = graph_of(content, {})
    seen = Seen(graph, subject_of(graph))
    reader = Reader(content, None, seen)
    journal = Journal(0.0)
    journal.ran("ladder/up/small")
    journal.judged("ladder/up/accept-1", math.nan, explored=False)
    info = RunInfo(run_id="a", workflow="ladder", version="1", status="running", accepted=0.0)
    reader.read(info, journal.records)
    (judged,) = seen.judged["ladder/up/accept-1"]
    assert judged.score is None
