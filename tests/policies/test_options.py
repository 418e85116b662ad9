"""Hedges and estimates as options: where they may stand, and where a step may not run twice."""

from __future__ import annotations

import json
from typing import Any

import pytest

import penstock as ps
from penstock._diff import interface

HEDGE = ps.Hedge(after=0.5)


@ps.step
async def ask(text: str) -> str:
    return text


@ps.step(hedge=HEDGE, estimate=ps.Cost(tokens=500))
async def ask_twice(text: str) -> str:
    return text


@ps.step(effects="once")
async def charge(text: str) -> str:
    return text


@ps.step
async def undo(text: str, result: str | None) -> None: ...


def problems_of(draw: Any, **options: Any) -> tuple[str, ...]:
    with pytest.raises(ps.DefinitionError) as caught:
        ps.workflow(**options)(draw)
    return caught.value.problems


def test_the_nearest_hedge_and_estimate_win() -> None:
    """The call, then the step, then the workflow, as with every other option."""
    near, far = ps.Hedge(after=0.1), ps.Hedge(after=9)

    @ps.workflow(hedge=far, estimate=ps.Cost(tokens=9))
    def drawn(flow: ps.Flow, text: ps.Node[str]) -> ps.Node[str]:
        called = flow.call(ask_twice, text, hedge=near, estimate=ps.Cost(tokens=1))
        return flow.call(ask, flow.call(ask_twice, called))

    nodes = drawn.graph.nodes[1:]
    assert [node.option("hedge") for node in nodes] == [near, HEDGE, far]
    assert [node.option("estimate").tokens for node in nodes] == [1, 500, 9]


@pytest.mark.parametrize("effects", [None, "pure", "idempotent"])
def test_a_step_that_may_run_twice_may_be_hedged(effects: Any) -> None:
    """A step that does not say what it does counts as idempotent."""
    step: Any = ps.step(effects=effects, hedge=HEDGE)(ask.function)
    assert step.options["hedge"] is HEDGE


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"hedge": 0.5}, "hedge is 0.5; give a Hedge, such as Hedge(after=0.5)"),
        ({"hedge": True}, "hedge is True; give a Hedge"),
        ({"hedge": ps.Hedge}, "give a Hedge"),
        ({"estimate": 500}, "estimate is 500; give a Cost, such as Cost(tokens=1_200)"),
        ({"estimate": {"tokens": 5}}, "give a Cost"),
        (
            {"hedge": HEDGE, "effects": "once"},
            "effects='once' does not go with hedge=, as a hedge runs it twice; leave hedge= out",
        ),
        (
            {"hedge": HEDGE, "compensate": undo},
            "compensate= does not go with hedge=, as a hedge runs it twice; leave hedge= out",
        ),
    ],
)
def test_a_wrong_option_of_a_step(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ps.DefinitionError) as caught:
        ps.step(**options)(ask.function)
    assert "step 'ask': " in str(caught.value)
    assert said in str(caught.value)


def test_what_may_not_run_twice_is_never_hedged() -> None:
    """Wherever the hedge and the reason come from, each node is told with its own remedy."""

    @ps.workflow
    def pay(flow: ps.Flow, text: ps.Node[str]) -> ps.Node[str]:
        return flow.call(ask, text, compensate=undo)

    def drawn(flow: ps.Flow, text: ps.Node[str], texts: ps.Node[list[str]]) -> ps.Node[str]:
        flow.call(charge, text, hedge=HEDGE)
        flow.call(ask_twice, text, compensate=undo)
        flow.call(ask, text, compensate=undo, hedge=HEDGE, name="both")
        flow.call(pay, text, hedge=HEDGE)
        flow.map(pay, texts, hedge=HEDGE, name="each")
        flow.call(ask, text, hedge=HEDGE, name="right")
        return flow.call(pay, text, name="also right")

    twice = "and can't have a hedge, which runs it twice"
    here, there = "call it without hedge=", "define the step without hedge=, or call it without"
    assert problems_of(drawn) == (
        f"node 'drawn/charge': step 'charge' has effects='once' {twice}; {here}",
        f"node 'drawn/ask_twice': step 'ask_twice' is compensated {twice}; {there} compensate=",
        f"node 'drawn/both': step 'ask' is compensated {twice}; {here}",
        f"node 'drawn/pay/ask': step 'ask' is compensated {twice}; {here}",
        f"node 'drawn/each[]/ask': step 'ask' is compensated {twice}; {here}",
    )


def test_the_hedge_of_a_workflow_is_refused_where_it_reaches_such_a_step() -> None:
    """It is not dropped in silence: whoever wrote it would take the step to be hedged."""

    def inner(flow: ps.Flow, text: ps.Node[str]) -> ps.Node[str]:
        return flow.call(ask, flow.call(charge, text))

    plain = ps.workflow(inner)

    def outer(flow: ps.Flow, text: ps.Node[str]) -> ps.Node[str]:
        return flow.call(plain, text)

    for draw, path in ((inner, "inner/charge"), (outer, "outer/inner/charge")):
        (problem,) = problems_of(draw, hedge=HEDGE)
        assert problem.startswith(f"node {path!r}: step 'charge' has effects='once'")
        assert problem.endswith(
            "give hedge= to the steps that may run twice, and not to their workflow"
        )


def test_a_hedged_step_is_not_compensated_in_a_graph_from_json_either() -> None:
    """JSON has no policies: a step of that name may be defined otherwise by now."""

    @ps.workflow
    def pay(flow: ps.Flow, text: ps.Node[str]) -> ps.Node[str]:
        return flow.call(ask, text, compensate=undo)

    hedged = ps.step(hedge=HEDGE)(ask.function)
    assert ps.Workflow.from_json(pay.to_json(), stages=[ask, undo]).digest == pay.digest
    with pytest.raises(ps.DefinitionError) as caught:
        ps.Workflow.from_json(pay.to_json(), stages=[hedged, undo])
    assert "node 'pay/ask': step 'ask' is compensated and can't have a hedge" in str(caught.value)


def test_options_are_in_the_interface_and_not_in_the_graph() -> None:
    """Tuning a hedge strands nobody: the graph digest stays, and a diff tells it."""

    def drawn(flow: ps.Flow, text: ps.Node[str]) -> ps.Node[str]:
        return flow.call(ask, text)

    plain, tuned = ps.workflow(drawn), ps.workflow(hedge=HEDGE, estimate=ps.Cost(tokens=5))(drawn)
    assert plain.digest == tuned.digest
    policy = json.loads(json.dumps(interface(tuned)))["nodes"][1]["policy"]
    assert policy == {
        "hedge": {"after": 0.5, "quantile": 0.95},
        "estimate": {"tokens": 5, "seconds": None},
    }
