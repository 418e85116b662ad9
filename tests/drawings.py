"""What tests of definitions ask of a workflow's graph."""

from collections.abc import Callable
from typing import Any

import pytest

import penstock as ps
from penstock._graph import GraphNode


def node_at(workflow: ps.Workflow[..., Any], path: str) -> GraphNode:
    """The node at a path, which may leave out the workflow's name."""
    full = f"{workflow.name}/{path}"
    return next(node for node in workflow.graph.nodes if node.path == full)


def kinds(workflow: ps.Workflow[..., Any]) -> dict[str, str]:
    """What each node does, by its path without the workflow's name; without the inputs."""
    nodes = workflow.graph.nodes[workflow.graph.input_count :]
    return {_short(workflow, node.path): node.kind for node in nodes}


def edges(workflow: ps.Workflow[..., Any], path: str, kind: str = "inputs") -> list[str]:
    """The paths that an edge of this kind comes from, without the workflow's name."""
    indices: tuple[int, ...] = getattr(node_at(workflow, path), kind)
    return [_short(workflow, workflow.graph.nodes[i].path) for i in indices]


def problems_of(draw: Callable[..., object]) -> tuple[str, ...]:
    """What is wrong with the workflow that this function draws."""
    make: Any = ps.workflow
    with pytest.raises(ps.DefinitionError) as caught:
        make(draw)
    return caught.value.problems


def problem_of(draw: Callable[..., object]) -> str:
    """The one thing that is wrong with the workflow that this function draws."""
    problems = problems_of(draw)
    assert len(problems) == 1, problems
    return problems[0]


def _short(workflow: ps.Workflow[..., Any], path: str) -> str:
    return path.removeprefix(f"{workflow.name}/")
