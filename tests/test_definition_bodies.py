"""Drawing what repeats: maps, loops, recursion; and workflows inside workflows to any depth."""

from collections.abc import Sequence
from typing import Any

import pytest

import penstock as ps
from drawings import edges, kinds, node_at, problem_of
from penstock._graph import Loop, Map, Recurse, Spawn


@ps.step
async def measure(text: str) -> int:
    return len(text)


@ps.step
async def shout(text: str, ctx: ps.Context) -> str:
    return text.upper()


@ps.step
async def translate(text: str, language: str) -> str:
    return text + language


@ps.step
async def total(*parents: int) -> int:
    return sum(parents)


@ps.workflow(timeout=9)
def careful(flow: ps.Flow, text: ps.Node[str], language: ps.Node[str]) -> ps.Node[str]:
    return flow.call(shout, flow.call(translate, text, language))


def is_long(text: str) -> bool:
    return len(text) > 10


def bodies(workflow: ps.Workflow[..., Any]) -> list[tuple[str, list[str], str]]:
    """Prefix, paths and output of each body, without the workflow's name."""
    nodes, name = workflow.graph.nodes, f"{workflow.name}/"
    return [
        (
            region.prefix.removeprefix(name),
            [node.path.removeprefix(name) for node in nodes[region.start : region.stop]],
            nodes[region.output].path.removeprefix(name),
        )
        for region in workflow.graph.regions[1:]
    ]


# Map


def test_a_map_over_a_step_has_a_body() -> None:
    """An item's place in the path is open: "[]" becomes its index in a run."""

    @ps.workflow
    def pages(flow: ps.Flow, texts: ps.Node[list[str]], to: ps.Node[str]) -> ps.Node[list[str]]:
        return flow.map(translate, texts, to, concurrency=4, timeout=3, name="all")

    assert bodies(pages) == [("all[]", ["all[]/text", "all[]/language", "all[]"], "all[]")]
    assert node_at(pages, "all").detail == Map(
        body=1, concurrency=4, need=0, tolerated=None, cancel_rest=False
    )
    assert node_at(pages, "all").contract.name == "list[str]"
    assert edges(pages, "all") == ["texts", "to"]
    assert edges(pages, "all[]") == ["all[]/text", "all[]/language"]
    assert node_at(pages, "all[]").option("timeout") == 3.0
    assert {node.region for node in pages.graph.nodes} == {0, 1}


def test_a_map_over_a_workflow_has_the_workflow_for_a_body() -> None:
    """Its nodes are named as in the workflow, after the place of the item."""

    @ps.workflow
    def pages(flow: ps.Flow, texts: ps.Node[list[str]], to: ps.Node[str]) -> ps.Node[list[str]]:
        return flow.map(careful, texts, to, need=2, cancel_rest=True, queue="slow")

    paths = ["careful[]/text", "careful[]/language", "careful[]/translate", "careful[]/shout"]
    assert bodies(pages) == [("careful[]", paths, "careful[]/shout")]
    assert node_at(pages, "careful[]/shout").option("queue") == "slow"
    assert node_at(pages, "careful[]/shout").option("timeout") == 9


def test_tolerated_failures_are_in_the_type() -> None:
    """What follows has to deal with a Failure where there may be one."""

    @ps.workflow
    def pages(flow: ps.Flow, texts: ps.Node[list[str]]) -> ps.Node[list[int | ps.Failure]]:
        return flow.map(measure, texts, tolerated_failures=2)

    assert node_at(pages, "measure").contract.name == "list[Failure | int]"


@pytest.mark.parametrize(
    ("kind", "item"),
    [
        (list[str], "str"),
        (tuple[str, ...], "str"),
        (Sequence[str], "str"),
        (tuple[str, str], "str"),
        (list[str] | tuple[str, ...], "str"),
        (list, "anything"),
        (Any, "anything"),
        (list[int], "int"),
        (tuple[str, int], "int | str"),
    ],
)
def test_items_are_checked_as_far_as_their_type_is_known(kind: Any, item: str) -> None:
    """A list of ints does not go into a step that takes strings."""

    def pages(flow: Any, texts: Any) -> Any:
        return flow.map(shout, texts)

    pages.__annotations__.update(flow=ps.Flow, texts=ps.Node[kind], **{"return": ps.Node[Any]})
    make: Any = ps.workflow
    if "int" not in item:
        assert make(pages).graph.regions[1].prefix == "pages/shout[]"
    else:
        problem = problem_of(pages)
        assert f"input 'text' takes str, but 'pages/texts' gives {item}" in problem


def test_a_step_with_any_number_of_inputs_can_be_mapped() -> None:
    """The item and what is shared are its inputs."""

    @ps.workflow
    def sums(flow: ps.Flow, numbers: ps.Node[list[int]], more: ps.Node[int]) -> ps.Node[list[int]]:
        return flow.map(total, numbers, more)

    paths = ["total[]/parents-1", "total[]/parents-2", "total[]"]
    assert bodies(sums) == [("total[]", paths, "total[]")]


def test_an_input_may_be_called_like_a_part_of_the_body() -> None:
    """The paths of a body are made up of the user's names and ours; none is used twice."""

    @ps.step
    async def backup(result: str) -> str:
        return result

    @ps.step(fallback=backup)
    async def risky(result: str) -> str:
        return result

    @ps.workflow
    def pages(flow: ps.Flow, texts: ps.Node[list[str]]) -> ps.Node[list[str]]:
        return flow.map(risky, texts)

    paths = [node.path for node in pages.graph.nodes]
    assert len(paths) == len(set(paths))
    assert paths[-1] == "pages/risky[]/result-2"


def test_bodies_nest() -> None:
    """A map in a workflow that is mapped, called and mapped again."""

    @ps.workflow
    def lines(flow: ps.Flow, page: ps.Node[list[str]]) -> ps.Node[list[int]]:
        return flow.map(measure, page)

    @ps.workflow
    def book(flow: ps.Flow, pages: ps.Node[list[list[str]]]) -> ps.Node[list[list[int]]]:
        return flow.map(lines, pages)

    @ps.workflow
    def shelf(flow: ps.Flow, books: ps.Node[list[list[list[str]]]]) -> ps.Node[Any]:
        first = flow.apply(lambda books: books[0], books)
        flow.call(book, first, name="first")
        return flow.map(book, books)

    assert [prefix for prefix, _, _ in bodies(shelf)] == [
        "first/lines[]",
        "first/lines[]/measure[]",
        "book[]",
        "book[]/lines[]",
        "book[]/lines[]/measure[]",
    ]
    details = [node.detail for node in shelf.graph.nodes if node.kind == "map"]
    assert [detail.body for detail in details if isinstance(detail, Map)] == [1, 3, 2, 4, 5]
    for number, region in enumerate(shelf.graph.regions):
        for index in range(region.start, region.stop):
            node = shelf.graph.nodes[index]
            assert node.region == number
            assert all(region.start <= i < index for i in (*node.inputs, *node.gates, *node.after))


# Loop


def test_a_loop_runs_its_body_on_its_own_result() -> None:
    """The body's first input takes what it gives; the rest is the same every time."""

    @ps.workflow
    def grow(flow: ps.Flow, text: ps.Node[str], more: ps.Node[str]) -> ps.Node[str]:
        return flow.loop(
            careful, text, more, until=is_long, max_iterations=5, on_exhausted="last", name="grow"
        )

    node = node_at(grow, "grow")
    assert node.detail == Loop(body=1, max_iterations=5, on_exhausted="last")
    assert node.function is is_long
    assert edges(grow, "grow") == ["text", "more"]
    assert node.contract.name == "str"
    assert bodies(grow)[0][0] == "grow[]"


# Recursion


@ps.workflow
def countdown(flow: ps.Flow, number: ps.Node[int]) -> ps.Node[int]:
    def is_over(number: int) -> bool:
        return number <= 0

    case = flow.switch(number, key=is_over)
    less = flow.apply(lambda number: number - 1, case[False])
    again: ps.Node[int] = flow.recurse(less, max_depth=100)
    return flow.merge(case[True], again)


def test_a_workflow_runs_inside_itself() -> None:
    """The body of the recursion is the workflow's own region."""
    node = node_at(countdown, "recurse")
    assert node.detail == Recurse(body=0, max_depth=100)
    assert node.contract.name == "int"
    assert len(countdown.graph.regions) == 1


def test_a_recursive_workflow_is_called_as_a_body() -> None:
    """It can't be laid out flat; each call opens one frame, and the inner one another."""

    @ps.workflow
    def outer(flow: ps.Flow, number: ps.Node[int]) -> ps.Node[list[int]]:
        first = flow.call(countdown, number)
        return flow.map(countdown, flow.collect(first, number), name="each")

    assert kinds(outer)["countdown"] == "recurse"
    assert node_at(outer, "countdown").detail == Recurse(body=1, max_depth=0)
    assert node_at(outer, "countdown/recurse").detail == Recurse(body=1, max_depth=100)
    assert node_at(outer, "each[]/recurse").detail == Recurse(body=2, max_depth=100)
    assert [prefix for prefix, _, _ in bodies(outer)] == ["countdown", "each[]"]


# Calls of workflows


@ps.workflow
def lively(flow: ps.Flow, text: ps.Node[str], other: ps.Node[str]) -> ps.Node[list[str]]:
    """Has nodes that do not depend on its inputs, and one that is never skipped by itself."""
    hello = flow.call(shout, flow.constant("hello"))
    greeting = flow.call(translate, text, hello)
    return flow.collect(other, greeting)


def test_a_call_is_skipped_as_a_whole() -> None:
    """Where an input is skipped, a step in there that does not take it has no business."""

    @ps.workflow
    def outer(flow: ps.Flow, text: ps.Node[str]) -> ps.Node[list[str] | None]:
        case = flow.switch(text, key=is_long)
        flow.call(shout, case[False])
        return flow.optional(flow.call(lively, case[True], text))

    gates = {path: edges(outer, path, "gates") for path in kinds(outer) if "lively" in path}
    assert gates == {
        "lively/constant": [],
        "lively/shout": ["is_long[True]"],
        "lively/translate": [],
        "lively/collect": ["is_long[True]"],
    }


def test_inputs_that_are_always_there_are_no_gates() -> None:
    """What can't be skipped costs nothing."""

    @ps.workflow
    def outer(flow: ps.Flow, text: ps.Node[str]) -> ps.Node[list[str]]:
        return flow.call(lively, text, flow.constant("x"))

    assert not any(node.gates for node in outer.graph.nodes)


def test_a_call_waits_as_a_whole() -> None:
    """`after` holds back all that would start at once, in the innermost workflow too."""

    @ps.workflow
    def outer(flow: ps.Flow, text: ps.Node[str]) -> ps.Node[list[str]]:
        first = flow.call(shout, text)
        return flow.call(lively, text, text, after=[first])

    assert edges(outer, "lively/shout", "after") == ["shout"]
    assert edges(outer, "lively/translate", "after") == []


def test_call_instances_are_known_by_their_results() -> None:
    """A failure inside of a call is contained, or not, up to the node that carries its result."""

    @ps.workflow
    def middle(flow: ps.Flow, text: ps.Node[str]) -> ps.Node[str]:
        return flow.call(shout, flow.call(careful, text, text))

    @ps.workflow
    def outer(flow: ps.Flow, text: ps.Node[str]) -> ps.Node[str]:
        return flow.call(middle, text)

    graph = outer.graph
    outputs = [graph.nodes[i].path for i in graph.outputs]
    assert outputs == ["outer/middle/shout", "outer/middle/shout", "outer/middle/careful/shout"]
    assert graph.calls == (0, 0, 1)
    assert [node.call for node in graph.nodes] == [0, 2, 2, 1]


def test_spawn_gives_a_run_id() -> None:
    """The child is another run: it has its own graph, and here is only its id."""

    @ps.workflow
    def outer(flow: ps.Flow, text: ps.Node[str]) -> ps.Node[list[str]]:
        first = flow.spawn(careful, text, text)
        return flow.collect(first, flow.spawn(measure, first, name="child"))

    assert node_at(outer, "careful").detail == Spawn(workflow=careful)
    assert node_at(outer, "child").detail == Spawn(workflow=measure.as_workflow())
    assert node_at(outer, "child").contract.name == "str"


# Mistakes


def _map_text(flow: Any, text: Any) -> Any:
    flow.map(shout, text)


def _map_number(flow: Any, text: Any) -> Any:
    flow.map(shout, flow.call(measure, text))


def _map_too_few(flow: Any, text: Any) -> Any:
    flow.map(translate, flow.collect(text))


def _map_wrong_shared(flow: Any, text: Any) -> Any:
    flow.map(translate, flow.collect(text), flow.call(measure, text))


def _map_no_stage(flow: Any, text: Any) -> Any:
    flow.map(len, text)


def _map_concurrency(flow: Any, text: Any) -> Any:
    flow.map(shout, flow.collect(text), concurrency=0)


def _map_need(flow: Any, text: Any) -> Any:
    flow.map(shout, flow.collect(text), need=0)


def _map_tolerance(flow: Any, text: Any) -> Any:
    flow.map(shout, flow.collect(text), tolerated_failures=-1)


def _map_cancel(flow: Any, text: Any) -> Any:
    flow.map(shout, flow.collect(text), cancel_rest=True)


def _map_compensate(flow: Any, text: Any) -> Any:
    flow.map(careful, flow.collect(text), text, fallback=translate)


def _loop_other_type(flow: Any, text: Any) -> Any:
    flow.loop(measure, text, until=bool, max_iterations=3)


def _loop_wrong_until(flow: Any, text: Any) -> Any:
    def is_big(number: int) -> bool:
        return number > 3

    flow.loop(shout, text, until=is_big, max_iterations=3)


def _loop_wrong_initial(flow: Any, text: Any) -> Any:
    flow.loop(shout, flow.call(measure, text), until=is_long, max_iterations=3)


def _loop_endless(flow: Any, text: Any) -> Any:
    flow.loop(shout, text, until=is_long, max_iterations=0)


def _loop_exhausted(flow: Any, text: Any) -> Any:
    flow.loop(shout, text, until=is_long, max_iterations=1, on_exhausted="stop")


def _recurse_wrong(flow: Any, text: Any) -> Any:
    flow.recurse(flow.call(measure, text), max_depth=3)


def _recurse_too_many(flow: Any, text: Any) -> Any:
    flow.recurse(text, text, max_depth=3)


def _recurse_endless(flow: Any, text: Any) -> Any:
    flow.recurse(text, max_depth=0)


def _spawn_wrong(flow: Any, text: Any) -> Any:
    flow.spawn(careful, text, flow.call(measure, text))


def _spawn_too_few(flow: Any, text: Any) -> Any:
    flow.spawn(careful, text)


@pytest.mark.parametrize(
    ("draw", "said"),
    [
        (_map_text, "node 'w/shout': its items, 'w/text', are str; give a list, or a tuple"),
        (_map_number, "its items, 'w/measure', are int"),
        (_map_too_few, "translate takes (text, language), but was given 1"),
        (_map_wrong_shared, "input 'language' takes str, but 'w/measure' gives int"),
        (_map_no_stage, "flow.map takes a step or a workflow"),
        (_map_concurrency, "concurrency is 0; give a whole number from 1"),
        (_map_need, "need is 0; give a whole number from 1"),
        (_map_tolerance, "tolerated_failures is -1; give 0 or more"),
        (_map_cancel, "cancel_rest goes with need="),
        (_map_compensate, "fallback= does not go with the workflow careful; give it to the steps"),
        (_loop_other_type, "measure gives int, but its input 'text' takes str in the next"),
        (_loop_wrong_until, "input 'number' takes int, but 'shout' gives str"),
        (_loop_wrong_initial, "input 'text' takes str, but 'w/measure' gives int"),
        (_loop_endless, "max_iterations is 0; give a whole number from 1"),
        (_loop_exhausted, "on_exhausted is 'stop'; give 'fail' or 'last'"),
        (_recurse_wrong, "node 'w/recurse': input 'text' takes str, but 'w/measure' gives int"),
        (_recurse_too_many, "w takes (text), but was given 2"),
        (_recurse_endless, "max_depth is 0; give a whole number from 1"),
        (_spawn_wrong, "input 'language' takes str, but 'w/measure' gives int"),
        (_spawn_too_few, "careful takes (text, language), but was given 1"),
    ],
)
def test_mistake_in_a_body(draw: Any, said: str) -> None:
    """Bounds are there and edges fit, or the workflow is not defined."""

    def w(flow: ps.Flow, text: ps.Node[str]) -> ps.Node[str]:
        draw(flow, text)
        return text

    assert said in problem_of(w)


def test_the_bounds_can_not_be_forgotten() -> None:
    """A loop without a bound is a TypeError at once, whatever a checker was told."""

    def w(flow: Any, text: Any) -> Any:
        return flow.loop(shout, text, until=is_long)

    w.__annotations__.update(flow=ps.Flow, text=ps.Node[str], **{"return": ps.Node[str]})
    make: Any = ps.workflow
    with pytest.raises(TypeError, match="max_iterations"):
        make(w)
