"""Recorded scientific workflows: read from WfFormat, and run as the record and theory demand."""

import asyncio
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import pytest

import penstock as ps
import wfformat
from loops import Task as TaskPath
from wfformat import FormatError, Recipe, Task, bounds, draw, load

RECORDS = Path(__file__).parents[2] / "shared" / "data" / "wfformat"
FILES = sorted(RECORDS.glob("*.json"))
Json: TypeAlias = dict[str, Any]
HAIR = 1e-6  # seconds that sums of floats may be off

needs_records = pytest.mark.skipif(
    not FILES, reason=f"no recorded workflows in {RECORDS}; they come from wfcommons/WfInstances"
)


@dataclass
class Log:
    """What each attempt did, as the work itself sees it."""

    started: dict[str, float] = field(default_factory=dict[str, float])
    ended: dict[str, float] = field(default_factory=dict[str, float])
    attempts: Counter[str] = field(default_factory=Counter[str])
    busy: int = 0
    busiest: int = 0

    async def work(self, task: Task, attempt: int) -> None:
        loop = asyncio.get_running_loop()
        self.attempts[task.id] += 1
        for parent in task.parents:
            assert parent in self.ended, f"{task.id} started before {parent} ended"
        self.started[task.id] = loop.time()
        self.busy += 1
        self.busiest = max(self.busiest, self.busy)
        try:
            await wfformat.sleep(task, attempt)
        finally:
            self.busy -= 1
        self.ended[task.id] = loop.time()


@dataclass
class Outcome:
    log: Log
    sinks: list[str]
    events: list[ps.Event]
    makespan: float


def replay(recipe: Recipe, concurrency: int, task: TaskPath = "auto") -> Outcome:
    """Run a recipe in virtual time."""
    log = Log()
    workflow = draw(recipe, log.work)

    async def main() -> Outcome:
        async with ps.Runtime(concurrency=concurrency, task=task, seed=1) as rt:
            began = asyncio.get_running_loop().time()
            run = await rt.start(workflow)
            sinks = await run.result()
            makespan = asyncio.get_running_loop().time() - began
            return Outcome(log, sinks, await run.history(), makespan)

    return ps.testing.VirtualClock().run(main())


def recipe_of(*tasks: tuple[str, float, str], name: str = "small") -> Recipe:
    """A recipe of (id, seconds, parents with a space between)."""
    return Recipe(
        name=name,
        tasks=tuple(Task(id=i, seconds=s, parents=tuple(p.split())) for i, s, p in tasks),
    )


def document(*tasks: Json, times: dict[str, float] | None = None) -> Json:
    executed = [{"id": i, "runtimeInSeconds": s} for i, s in (times or {}).items()]
    return {
        "name": "hand-made",
        "schemaVersion": "1.5",
        "workflow": {
            "specification": {"tasks": list(tasks), "files": []},
            "execution": {"makespanInSeconds": 0, "tasks": executed},
        },
    }


def write(folder: Path, content: object) -> Path:
    file = folder / "workflow.json"
    file.write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")
    return file


# Recorded workflows.


@pytest.fixture(scope="module", params=FILES, ids=[file.stem for file in FILES])
def recorded(request: pytest.FixtureRequest) -> tuple[Recipe, Json]:
    """A recorded workflow, and its file as it is."""
    file: Path = request.param
    return load(file), json.loads(file.read_text("utf-8"))["workflow"]


@needs_records
def test_what_is_read_is_what_the_file_says(recorded: tuple[Recipe, Json]) -> None:
    """Ids, edges and runtimes come through, and parents stand before their children."""
    recipe, file = recorded
    specified = {task["id"]: set(task["parents"]) for task in file["specification"]["tasks"]}
    assert {task.id: set(task.parents) for task in recipe.tasks} == specified
    seconds = {task["id"]: task["runtimeInSeconds"] for task in file["execution"]["tasks"]}
    assert {task.id: task.seconds for task in recipe.tasks} == seconds
    seen: set[str] = set()
    for task in recipe.tasks:
        assert seen.issuperset(task.parents)
        seen.add(task.id)


@needs_records
@pytest.mark.parametrize("concurrency", [1, 4, 32, 1024])
def test_a_recorded_workflow_runs_within_its_bounds(
    recorded: tuple[Recipe, Json], concurrency: int, task: TaskPath
) -> None:
    """Each task once, parents first, never too many at once, and as fast as Graham promises."""
    recipe, file = recorded
    outcome = replay(recipe, concurrency, task)
    log = outcome.log
    assert log.attempts == {one.id: 1 for one in recipe.tasks}
    assert log.ended.keys() == log.attempts.keys()
    for child in file["specification"]["tasks"]:
        for parent in child["parents"]:
            assert log.ended[parent] <= log.started[child["id"]]
    assert log.busiest <= concurrency
    limits = bounds(recipe, concurrency)
    assert max(limits.critical_path, limits.spread) <= outcome.makespan + HAIR
    assert outcome.makespan <= limits.graham + HAIR
    childless = [one["id"] for one in file["specification"]["tasks"] if not one["children"]]
    assert sorted(outcome.sinks) == sorted(childless)


@needs_records
def test_the_history_agrees_with_the_tasks(recorded: tuple[Recipe, Json], task: TaskPath) -> None:
    """What the engine wrote down of every node is what the tasks saw themselves."""
    recipe, _ = recorded
    outcome = replay(recipe, 8, task)
    done = [event for event in outcome.events if event.kind == "done"]
    assert len(done) == len({event.node for event in done}) == len(recipe.tasks)
    epoch = outcome.events[0].at
    for event in done:
        id_ = event.node.partition("/")[2]
        assert event.started is not None
        assert event.started - epoch == pytest.approx(outcome.log.started[id_], abs=HAIR)
        assert event.at - epoch == pytest.approx(outcome.log.ended[id_], abs=HAIR)


@needs_records
def test_failures_are_repeated_until_every_task_has_succeeded(
    recorded: tuple[Recipe, Json],
) -> None:
    """With failing attempts each task still succeeds once, after as many attempts as it must."""
    recipe = recorded[0].failing(0.3, seed=5)
    outcome = replay(recipe, 16)
    assert outcome.log.attempts == {task.id: task.failures + 1 for task in recipe.tasks}
    assert outcome.log.ended.keys() == {task.id for task in recipe.tasks}
    assert outcome.log.busiest <= 16


# The traps of the format.


def test_equal_names_are_different_tasks(tmp_path: Path) -> None:
    """Nextflow gives many tasks one name: the id tells them apart."""
    tasks: list[Json] = [
        {"id": f"t{n}", "name": "FASTQC", "parents": [], "children": []} for n in range(3)
    ]
    recipe = load(write(tmp_path, document(*tasks, times={"t0": 1.0, "t1": 2.0, "t2": 3.0})))
    assert replay(recipe, 3).log.attempts == {"t0": 1, "t1": 1, "t2": 1}


def test_isolated_tasks_several_roots_and_several_sinks() -> None:
    """Tasks that nobody waits for still run, and the result names them."""
    recipe = recipe_of(("a", 1, ""), ("b", 2, ""), ("alone", 9, ""), ("c", 1, "a b"), ("d", 1, "b"))
    outcome = replay(recipe, 10)
    assert outcome.sinks == ["alone", "c", "d"]
    assert outcome.makespan == pytest.approx(9.0)


def test_tasks_of_0_seconds() -> None:
    """A workflow that takes no time runs in order all the same."""
    outcome = replay(recipe_of(("a", 0, ""), ("b", 0, "a"), ("c", 0, "a b")), 1)
    assert list(outcome.log.ended) == ["a", "b", "c"]
    assert outcome.makespan == 0.0


def test_a_file_with_nothing_but_ids(tmp_path: Path) -> None:
    """No execution, no parents, no name: tasks of 0 seconds, called after the file."""
    content = {"workflow": {"specification": {"tasks": [{"id": "a"}, {"id": "b"}]}}}
    recipe = load(write(tmp_path, content))
    assert recipe == recipe_of(("a", 0.0, ""), ("b", 0.0, ""), name="workflow")
    assert replay(recipe, 1).sinks == ["a", "b"]


def test_an_edge_that_only_the_parent_tells(tmp_path: Path) -> None:
    """Hand-written files name children and forget the parents."""
    recipe = load(write(tmp_path, document({"id": "b"}, {"id": "a", "children": ["b"]})))
    assert [(task.id, task.parents) for task in recipe.tasks] == [("a", ()), ("b", ("a",))]


@pytest.mark.parametrize(
    "ids",
    [
        ("a/b", "a_b", "a%2Fb", "a"),
        ("x[1]", "x1", "x%5B1%5D"),
        ("two words", "two\twords", " ", "\n"),
        ("perform", "_ids", "ids", "constant", "replay"),
        ("é", "任务", "\x00", "…"),
    ],
)
def test_ids_with_characters_that_paths_reserve(ids: Sequence[str]) -> None:
    """Any id makes a node of its own: labels are escaped, and escaped ids do not collide."""
    recipe = recipe_of(*((id_, 1.0, "") for id_ in ids), name="a/b [c]")
    outcome = replay(recipe, 2)
    assert outcome.sinks == list(ids)
    assert outcome.log.attempts == dict.fromkeys(ids, 1)


def test_a_wide_join_and_a_long_chain() -> None:
    """Thousands of tasks into one, and thousands in a row."""
    many = [(f"t{n}", 1.0, "") for n in range(3000)]
    wide = recipe_of(*many, ("end", 1.0, " ".join(id_ for id_, _, _ in many)))
    assert replay(wide, 1000).makespan == pytest.approx(4.0)
    long = recipe_of(*((f"t{n}", 1.0, f"t{n - 1}" if n else "") for n in range(3000)))
    assert replay(long, 1000).makespan == pytest.approx(3000.0)


def test_bounds_of_a_workflow_done_by_hand() -> None:
    """A diamond of 1, 2, 3 and 1 seconds on two places."""
    limits = bounds(recipe_of(("a", 1, ""), ("b", 2, "a"), ("c", 3, "a"), ("d", 1, "b c")), 2)
    assert (limits.depth, limits.critical_path, limits.work) == (3, 5, 7)
    assert (limits.spread, limits.graham) == (3.5, 6.0)


# Bad files.

A: Json = {"id": "a", "parents": [], "children": []}


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "Invalid JSON"),
        ("{", "Invalid JSON"),
        ("[]", "Input should be an object"),
        ({}, "workflow: Field required"),
        ({"workflow": {"tasks": [A]}, "schemaVersion": "1.4"}, "1.5 workflow: workflow.specific"),
        (document(), "tasks: List should have at least 1 item"),
        (document({"name": "a"}), "tasks.0.id: Field required"),
        (document({"id": ""}), "tasks.0.id: String should have at least 1 character"),
        (document({"id": "a", "parents": None}), "tasks.0.parents: Input should be a valid array"),
        (document(A, A), "two tasks have the id 'a'"),
        (document({"id": "b", "parents": ["a"]}), "task 'b' names 'a', which is no task"),
        (document({"id": "b", "children": ["a"]}), "task 'b' names 'a', which is no task"),
        (document({"id": "b", "parents": ["b"]}), "in a circle: b -> b"),
        (
            document({"id": "a", "parents": ["b"]}, {"id": "b", "parents": ["a"]}),
            "tasks wait for each other in a circle",
        ),
        (document(A, times={"a": -1.0}), "runtimeInSeconds: Input should be greater than or equal"),
        (document(A, times={"a": float("nan")}), "runtimeInSeconds: Input should be"),
        (document(A, times={"a": float("inf")}), "runtimeInSeconds: Input should be"),
    ],
)
def test_a_bad_file_is_told_in_one_line(
    content: object, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(tmp_path, content)
    with pytest.raises(FormatError):
        load(file)
    assert wfformat.main([str(file)]) == 2
    out, err = capsys.readouterr()
    assert told in err
    assert err.startswith(str(file))
    assert len(err.splitlines()) == 1
    assert not out


def test_a_file_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert wfformat.main([str(tmp_path / "none.json")]) == 2
    assert capsys.readouterr().err == f"{tmp_path / 'none.json'}: No such file or directory\n"
    assert wfformat.main([str(tmp_path)]) == 2
    assert capsys.readouterr().err == f"{tmp_path}: Is a directory\n"


@pytest.mark.parametrize(
    "arguments", [["--scale", "-1"], ["--scale", "nan"], ["--concurrency", "0"], ["--fail", "1"]]
)
def test_options_out_of_range(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        wfformat.main(["workflow.json", *arguments])
    assert refused.value.code == 2


def test_a_task_that_fails_for_good() -> None:
    """The run's error names the task's node."""
    recipe = Recipe(name="small", tasks=(Task(id="a", seconds=1.0, failures=1000),))
    with pytest.raises(ps.RunFailed, match=r"'small/a'.*100 attempts"):
        replay(recipe, 1)
