"""Who gives a run's value, and what that is worth."""

from __future__ import annotations

import pytest

import penstock as ps
from penstock._simulation import Model, simulate
from penstock._simulation._givers import giver_of, givers_of

told = ps.Signal("told", str)


@ps.step
async def sort(text: str) -> bool:
    return bool(text)


@ps.step
async def quick(text: str) -> str:
    return text


@ps.step
async def better(text: str) -> str:
    return text


@ps.step
async def other(text: bool) -> str:
    return str(text)


@ps.step
async def send(text: str) -> str:
    return text


def score(text: str) -> float:
    return float(len(text))


@ps.workflow(version="1", owner="cx")
def person(flow: ps.Flow, text: ps.Node[str]) -> ps.Node[str]:
    return flow.review(text, told, owner="desk")


def yes(value: bool) -> bool:
    return value


@ps.workflow(version="1", owner="cx")
def answering(flow: ps.Flow, text: ps.Node[str]) -> ps.Node[str]:
    which = flow.switch(flow.call(sort, text), key=yes)
    known = flow.apply(str, which[True])
    answer = flow.cascade(
        (quick, better, person), known, accept=ps.Threshold(score, at=1.0), name="answer"
    )
    return flow.call(send, flow.merge(answer, flow.call(other, which[False])))


def model(**quality: float | None) -> Model:
    latency = {"kind": "constant", "value": 0.1}
    judged = {"quick": 0.5, "better": 0.8}
    steps = {
        name: {
            "latency": latency,
            "quality": quality.get(name),
            **({"accepted": judged[name]} if name in judged else {}),
        }
        for name in ("sort", "quick", "better", "other", "send")
    }
    return Model.from_dict(
        {
            "format": 1,
            "workflow": "answering",
            "arrivals": {"kind": "poisson", "rate": 1.0},
            "steps": steps,
            "choices": {"answering/yes": {"outcomes": {"True": 0.6, "False": 0.4}}},
            "signals": {"told": {"latency": latency, "quality": quality.get("told")}},
        }
    )


def test_the_last_choice_is_between_all_its_branches() -> None:
    nodes = answering.graph.nodes
    found = [nodes[place].path.removeprefix("answering/") for place in givers_of(answering.graph)]
    assert found == ["answer/quick", "answer/better", "answer/person/told", "other"]


def test_a_chain_ends_with_its_giver() -> None:
    assert givers_of(quick.as_workflow().graph) == [1]


@pytest.mark.parametrize(
    ("taken", "giver"),
    [
        ({3, 4, 5, 6, 7, 14, 17, 18}, "answer/quick"),
        ({3, 4, 5, 6, 8, 9, 10, 11, 14, 17, 18}, "answer/better"),
        ({3, 4, 5, 6, 8, 9, 10, 12, 13, 14, 17, 18}, "answer/person/told"),
        ({15, 16, 17, 18}, "other"),
        # It failed before anything gave a value.
        ({3, 4, 5, 6, 8}, None),
    ],
)
def test_one_run_has_one_giver(taken: set[int], giver: str | None) -> None:
    place = giver_of(answering.graph, taken.__contains__)
    found = None if place is None else answering.graph.nodes[place].path
    assert found == (giver and f"answering/{giver}")


def test_the_one_that_gave_the_value_is_what_counts() -> None:
    known = model(quick=0.7, better=0.9, told=1.0, other=0.5)
    (found,) = simulate(answering, known, runs=40_000)
    answers = 0.5 * 0.7 + 0.5 * (0.8 * 0.9 + 0.2 * 1.0)
    assert found.metrics["quality"].value == pytest.approx(0.6 * answers + 0.4 * 0.5, abs=0.004)


def test_what_stands_before_or_after_all_is_multiplied() -> None:
    known = model(quick=0.7, better=0.7, told=0.7, other=0.7, sort=0.9, send=0.8)
    (found,) = simulate(answering, known, runs=2_000)
    assert found.metrics["quality"].value == pytest.approx(0.7 * 0.9 * 0.8)


def test_nothing_is_known_where_one_of_them_is_not() -> None:
    (found,) = simulate(answering, model(quick=0.7, better=0.9, told=1.0), runs=1_000)
    assert found.metrics["quality"].value is None
