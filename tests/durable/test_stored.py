"""What a store tells of its runs without the workflows: plans, paths, where nodes stand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import pytest

import penstock as ps
from answers import answer
from durable.orders import approval, runtime, shop, standing, view
from flow.parts import double, more, same
from penstock import _plan
from penstock._picture import states_of
from penstock._stored import StoreView
from support_tickets import support


def word(x: int) -> Literal["low", "high"]:
    return "high" if x > 5 else "low"


def big(x: int) -> bool:
    return x > 20


def items(x: int) -> list[int]:
    return list(range(x))


def total(values: list[int]) -> int:
    return sum(values)


@ps.workflow
def inner(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
    return flow.apply(total, flow.map(double, flow.apply(items, x), name="each"))


@ps.workflow
def down(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
    case = flow.switch(x, key=word)
    deeper: ps.Node[int] = flow.recurse(flow.call(more, case["low"]), max_depth=9)
    return flow.merge(deeper, flow.call(same, case["high"]))


@ps.workflow
def everything(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
    looped = flow.loop(inner, x, until=big, max_iterations=4)
    deep = flow.call(down, x)
    raced = flow.race(flow.call(double, x), flow.call(more, x))
    with flow.scope("care", concurrency_key="one"):
        best = flow.cascade((same, double), deep, accept=big)
    few = flow.collect(raced, best, looped, need=2)
    sent = flow.optional(flow.signal(approval, timeout=0.01, on_timeout="skip", after=few))
    told = flow.call(same, flow.apply(total, few), after=[sent])
    flow.spawn(inner, told)
    flow.sleep(told, 0.01)
    return told


WORKFLOWS: list[ps.Workflow[..., Any]] = [everything, down, inner, shop, answer, support]


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda it: it.name)
def test_a_stored_graph_makes_the_plan_that_its_workflow_has(
    workflow: ps.Workflow[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("penstock._engine.Plan", lambda *parts: parts)
    again: Any = _plan.plan_of_json(json.loads(workflow.to_json()))
    assert json.dumps(again) == json.dumps(_plan.plan_of(workflow.graph))


async def test_records_have_the_paths_that_the_runtime_knows(tmp_path: Path) -> None:
    """Loops, recursions and maps in each other: nobody but the records says where frames stand."""
    async with ps.Runtime(tmp_path / "a.db", workflows=[everything]) as rt:
        run = await rt.start(everything, 3, run_id="a")
        await run.result()
        live = await run.history()
        stored = [record.event() for record in view(tmp_path).records("a")]
        assert stored == live
        nodes = {event.node for event in stored}
        assert {"everything/inner[1]/each[4]", "everything/down/recurse/recurse/more"} <= nodes
        graph = everything.graph
        assert states_of(graph, stored) == states_of(graph, live)


async def test_where_the_nodes_of_a_run_stand(tmp_path: Path) -> None:
    async with runtime(tmp_path) as rt:
        await standing(await rt.start(shop, 2, run_id="a"), records=7)
    store = view(tmp_path)
    assert store.nodes("a", ["awaiting", "ready"]) == [("shop/approval", "awaiting")]
    assert ("shop/parts[1]", "succeeded") in store.nodes("a", ["succeeded"])
    assert store.nodes("z", ["awaiting"]) == []
    assert store.records("z") == []
    assert store.run("z") is None


async def test_a_graph_that_is_not_kept_leaves_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with runtime(tmp_path) as rt:
        await standing(await rt.start(shop, 2, run_id="a"), records=7)
    monkeypatch.setattr(StoreView, "graph", lambda _, run_id: None)
    store = view(tmp_path)
    assert [record.node for record in store.records("a")][:2] == ["", "node 1"]


async def test_pages_give_every_run_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("penstock._stored._PAGE", 3)
    async with ps.Runtime(tmp_path / "a.db") as rt:
        for number in range(8):
            await rt.run(same, number, run_id=f"n{number}")
        store = view(tmp_path)
        names = [f"n{number}" for number in reversed(range(8))]
        assert [info.run_id for info in store.every()] == names
        assert [info.run_id for info in store.every(limit=4)] == names[:4]


def test_there_must_be_a_store(tmp_path: Path) -> None:
    with pytest.raises(ps.StoreError, match="there is no store at"):
        StoreView(tmp_path / "none.db")
    (tmp_path / "text.db").write_text("not a database, but a text that is long enough" * 20)
    with pytest.raises(ps.StoreError, match="is not a penstock store"):
        StoreView(tmp_path / "text.db")
