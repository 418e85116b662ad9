"""A graph from the store is measured as the one it was written from."""

from __future__ import annotations

import importlib
import json
from typing import Any

import pytest

import penstock as ps
from penstock._lint._shape import shape
from penstock._lint._subject import Subject
from penstock._places import facts_of, places_of
from penstock._questions._graphs import graph_of
from penstock._questions._runs import nodes_before
from questions import world

AnyWorkflow = ps.Workflow[..., Any]
MODULES = (
    "patterns.test_basic_control_flow",
    "patterns.test_cancellation",
    "patterns.test_discriminators",
    "patterns.test_iteration",
    "patterns.test_multiple_instances",
    "patterns.test_state_based",
    "patterns.test_synchronization",
    "patterns.test_termination",
    "patterns.test_triggers",
    "questions.world",
)


def workflows() -> list[AnyWorkflow]:
    modules = map(importlib.import_module, MODULES)
    found = [
        it for module in modules for it in vars(module).values() if isinstance(it, ps.Workflow)
    ]
    return list(dict.fromkeys(found))


@pytest.mark.parametrize("workflow", workflows(), ids=lambda it: f"{it.name}-{it.version}")
def test_its_shape_and_places_are_the_same(workflow: AnyWorkflow) -> None:
    owners = {path: it.owner for path, it in facts_of(workflow.graph, workflow.owner).items()}
    kept = graph_of(json.loads(workflow.to_json()), owners)
    subject = Subject(graph=workflow.graph, owner=workflow.owner)
    assert shape(Subject(graph=kept, owner=workflow.owner)) == shape(subject)
    assert places_of(kept, workflow.owner) == places_of(workflow.graph, workflow.owner)


def before(workflow: AnyWorkflow, path: str) -> set[str]:
    """The steps that are over before one starts."""
    graph = json.loads(workflow.to_json())
    steps = {node["path"] for node in graph["nodes"] if node["kind"] == "step"}
    return {each.partition("/")[2] for each in nodes_before(graph, path) & steps}


def test_there_are_patterns_of_each_kind() -> None:
    kinds = {node.kind for workflow in workflows() for node in workflow.graph.nodes}
    assert kinds >= {"map", "loop", "switch", "accept", "shield", "signal", "undo"}


def test_what_comes_before_a_node() -> None:
    assert before(world.support, "support/classify") == set()
    assert before(world.support, "support/draft") == {"classify", "retrieve"}
    assert before(world.guarded, "support/cascade/rewrite") == {
        "classify",
        "retrieve",
        "cascade/draft",
    }


@ps.step(effects="pure")
async def split(number: int) -> list[int]:
    return list(range(number))


@ps.step(effects="pure")
async def read(item: int) -> int:
    return item


@ps.step(effects="pure")
async def total(items: list[int], other: int) -> int:
    return sum(items) + other


@ps.workflow
def mapped(flow: ps.Flow, number: ps.Node[int]) -> ps.Node[int]:
    other = flow.call(read, number, name="aside")
    return flow.call(total, flow.map(read, flow.call(split, number)), other)


def test_the_items_of_a_map_wait_for_what_the_map_does() -> None:
    (item,) = (node.path for node in mapped.graph.nodes if "[]" in node.path and node.step)
    assert before(mapped, item) == {"split"}
    assert before(mapped, "mapped/total") == {"split", "aside", item.partition("/")[2]}
    assert before(mapped, "mapped/none") == set()
