"""A recorded workflow as a graph of tasks: how it is read from WfFormat 1.5, and what bounds it.

Knows nothing of penstock; `wfformat.py` draws and runs what is read here. The format:
https://github.com/wfcommons/WfFormat
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, Field, ValidationError


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A recorded task: its id, how long it ran, and what had to end before it.

    Attributes:
        failures: how many of its first attempts are to fail.
    """

    id: str
    seconds: float
    parents: tuple[str, ...] = ()
    failures: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A recorded workflow; parents stand before their children."""

    name: str
    tasks: tuple[Task, ...]

    def scaled(self, scale: float) -> Recipe:
        """The same workflow, with every task `scale` times as long."""
        return self._with(replace(task, seconds=task.seconds * scale) for task in self.tasks)

    def failing(self, rate: float, seed: int) -> Recipe:
        """The same workflow, with each attempt failing by the probability `rate`."""
        dice = random.Random(seed)
        return self._with(replace(task, failures=_streak(dice, rate)) for task in self.tasks)

    def _with(self, tasks: Iterable[Task]) -> Recipe:
        return replace(self, tasks=tuple(tasks))


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What theory says of a workflow's makespan, in seconds, when no attempt fails.

    Attributes:
        depth: tasks on the longest chain.
        critical_path: no schedule is shorter.
        work: of all tasks.
        spread: the work over all places; no schedule is shorter.
        graham: no schedule that leaves no place idle is longer (Graham 1969).
    """

    depth: int
    critical_path: float
    work: float
    spread: float
    graham: float


class FormatError(Exception):
    """A file is no WfFormat workflow."""


def load(path: Path) -> Recipe:
    """Read a workflow. Names are not unique: ids count. A task without a runtime takes 0 seconds.

    Raises:
        FormatError: it can't be read or makes no sense; one line says why.
    """
    try:
        document = _Document.model_validate_json(path.read_bytes())
    except OSError as error:
        raise FormatError(f"{path}: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        told = ": ".join(filter(None, [".".join(map(str, first["loc"])), first["msg"]]))
        raise FormatError(f"{path} is no WfFormat 1.5 workflow: {told}") from error
    try:
        parents = _parents(document.workflow.specification.tasks)
        order = list(TopologicalSorter(parents).static_order())
    except CycleError as error:
        circle = " -> ".join(error.args[1][:6])
        raise FormatError(f"{path}: tasks wait for each other in a circle: {circle}") from error
    except ValueError as error:
        raise FormatError(f"{path}: {error}") from error
    seconds = {task.id: task.seconds for task in document.workflow.execution.tasks}
    return Recipe(
        name=document.name.strip() or path.stem,
        tasks=tuple(
            Task(id=id_, seconds=seconds.get(id_, 0.0), parents=tuple(parents[id_]))
            for id_ in order
        ),
    )


def _parents(tasks: Sequence[_SpecifiedTask]) -> dict[str, list[str]]:
    """The parents of each task, from both ends of each edge.

    Raises:
        ValueError: an id is used twice, or is of no task.
    """
    parents: dict[str, dict[str, None]] = {}
    for task in tasks:
        if task.id in parents:
            raise ValueError(f"two tasks have the id {task.id!r}")
        parents[task.id] = {}
    for task in tasks:
        for other in (*task.parents, *task.children):
            if other not in parents:
                raise ValueError(f"task {task.id!r} names {other!r}, which is no task")
        parents[task.id].update(dict.fromkeys(task.parents))
        for child in task.children:
            parents[child][task.id] = None
    return {id_: list(of) for id_, of in parents.items()}


def bounds(recipe: Recipe, concurrency: int) -> Bounds:
    """The bounds of a workflow that has so many places to run in."""
    ends: dict[str, float] = {}
    levels: dict[str, int] = {}
    for task in recipe.tasks:
        ends[task.id] = task.seconds + max((ends[parent] for parent in task.parents), default=0.0)
        levels[task.id] = 1 + max((levels[parent] for parent in task.parents), default=0)
    longest, work = max(ends.values()), sum(task.seconds for task in recipe.tasks)
    return Bounds(
        depth=max(levels.values()),
        critical_path=longest,
        work=work,
        spread=work / concurrency,
        graham=work / concurrency + longest * (1 - 1 / concurrency),
    )


def _streak(dice: random.Random, rate: float) -> int:
    """How many attempts fail before one succeeds."""
    failures = 0
    while dice.random() < rate:
        failures += 1
    return failures


class _SpecifiedTask(BaseModel):
    id: Annotated[str, Field(min_length=1)]
    parents: list[str] = []
    children: list[str] = []


class _Specification(BaseModel):
    tasks: Annotated[list[_SpecifiedTask], Field(min_length=1)]


class _ExecutedTask(BaseModel):
    id: str
    seconds: Annotated[
        float, Field(alias="runtimeInSeconds", ge=0, le=1e9, allow_inf_nan=False)
    ] = 0.0


class _Execution(BaseModel):
    tasks: list[_ExecutedTask] = []


class _Workflow(BaseModel):
    specification: _Specification
    execution: _Execution = _Execution()


class _Document(BaseModel):
    name: str = ""
    workflow: _Workflow
