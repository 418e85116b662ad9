"""Defining steps and workflows: what a user may write, and what each mistake is answered with."""

import asyncio
import inspect
import pickle
import time
from collections.abc import AsyncIterator, Awaitable
from typing import Any

import pytest

import penstock as ps


@ps.step
async def shout(text: str) -> str:
    return text.upper()


@ps.step
async def measure(text: str) -> int:
    return len(text)


@ps.step
def add(left: int, right: int) -> int:
    return left + right


@ps.step
async def total(*parents: int) -> int:
    return sum(parents)


@ps.step(timeout=3, queue="desk")
async def careful(text: str, ctx: ps.Context) -> str:
    """Take care."""
    return text


@ps.workflow(version="1.0.0", owner="cx")
def support(flow: ps.Flow, text: ps.Node[str]) -> ps.Node[int]:
    return flow.call(measure, flow.call(shout, text))


def paths(workflow: ps.Workflow[..., Any]) -> list[str]:
    return [node.path for node in workflow.graph.nodes]


def producers(workflow: ps.Workflow[..., Any], path: str) -> list[str]:
    nodes = {node.path: node for node in workflow.graph.nodes}
    return [workflow.graph.nodes[i].path for i in nodes[path].inputs]


def problems_of(draw: Any) -> str:
    with pytest.raises(ps.DefinitionError) as caught:
        ps.workflow(draw)
    return str(caught.value)


# Steps


def test_a_decorated_function_is_still_that_function() -> None:
    """Unit tests call steps directly, editors show their signature, pools pickle them."""
    assert asyncio.run(shout("a")) == "A"
    assert add(1, right=2) == 3
    assert careful.__doc__ == "Take care."
    assert list(inspect.signature(careful).parameters) == ["text", "ctx"]
    assert pickle.loads(pickle.dumps(shout)) is shout  # noqa: S301


def test_the_context_is_no_input() -> None:
    """A step that takes the context is wired like one that does not."""
    assert [name for name, _ in careful.inputs] == ["text"]
    assert careful.takes_context == "last"


def test_annotations_may_name_what_is_local() -> None:
    """Tests define their models inside of functions, with or without postponed annotations."""

    class Local: ...

    @ps.step
    async def use(local: "Local") -> "list[Local]":
        return [local]

    assert use.contract.name == "list[Local]"


async def _default(text: str = "x") -> str:
    return text


async def _keyword_only(*, text: str) -> str:
    return text


async def _keywords(**texts: str) -> str:
    return str(texts)


async def _bare(text: str) -> str:
    return text


async def _no_return(text: str) -> str:
    return text


del _bare.__annotations__["text"], _no_return.__annotations__["return"]


async def _context_between(left: str, ctx: ps.Context, right: str) -> str:
    return left + right


async def _two_contexts(ctx: ps.Context, text: str, more: ps.Context) -> str:
    return text


async def _joined_and_more(text: str, *parents: str) -> str:
    return text


async def _unknown(text: str) -> str:
    return text


_unknown.__annotations__["text"] = "Nowhere"


async def _yields(text: str) -> AsyncIterator[str]:
    yield text


def _awaitable(text: str) -> Awaitable[str]:
    return shout(text)


@pytest.mark.parametrize(
    ("function", "said", "remedy"),
    [
        (_default, "parameter 'text' has a default", "remove it"),
        (_keyword_only, "parameter 'text' is keyword-only", "in front of the '*'"),
        (_keywords, "takes '**texts'", "name each one"),
        (_bare, "parameter 'text' is not annotated", "annotate it"),
        (_no_return, "return is not annotated", "'-> ...'"),
        (_context_between, "Context stands between inputs", "first or last"),
        (_two_contexts, "more than one Context", "keep one"),
        (_joined_and_more, "'*' beside other inputs", "only input"),
        (_unknown, "'Nowhere' is not defined", "TYPE_CHECKING"),
        (_yields, "yields", "return one value"),
        (_awaitable, "returns an awaitable", "async def"),
        (3, "is no function", "decorate an 'async def'"),
    ],
)
def test_function_that_can_not_be_a_step(function: Any, said: str, remedy: str) -> None:
    """Each rule for steps is told with its remedy, and names the function."""
    with pytest.raises(ps.DefinitionError) as caught:
        ps.step(function)
    assert said in str(caught.value)
    assert remedy in str(caught.value)
    assert getattr(function, "__name__", "3") in str(caught.value)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"timeout": 0}, "timeout is 0; give more than 0 seconds"),
        ({"total_timeout": -1}, "total_timeout is -1"),
        ({"queue_timeout": float("nan")}, "queue_timeout is nan"),
        ({"heartbeat_timeout": "1s"}, "heartbeat_timeout is '1s'"),
        ({"priority": 9}, "priority is 9; give 1 (first)"),
        ({"priority": True}, "priority is True"),
        ({"queue": 3}, "queue is 3; give a Queue, or its name"),
        ({"retry": 3}, "retry is 3; give a RetryPolicy"),
        ({"task": "mine"}, "task is 'mine'"),
        ({"effects": "twice"}, "effects is 'twice'"),
        ({"effects": "once", "retry": ps.RetryPolicy()}, "max_attempts=1"),
        ({"owner": ""}, "owner is ''"),
        ({"version": ""}, "version"),
        ({"name": "a/b"}, "leave out '/'"),
        ({"patience": 3}, "'patience' is no option"),
    ],
)
def test_wrong_option_of_a_step(options: dict[str, Any], said: str) -> None:
    """A timeout of 0 or a priority of 9 fails where it is written."""

    async def work(text: str) -> str:
        return text

    with pytest.raises(ps.DefinitionError) as caught:
        ps.step(**options)(work)
    assert said in str(caught.value)


def test_all_wrong_options_are_told_at_once() -> None:
    """Three mistakes in one decorator are one round of corrections, not three."""
    with pytest.raises(ps.DefinitionError) as caught:
        ps.step(timeout=-1, priority=9, queue=3)(_default)  # type: ignore[call-overload]
    assert len(caught.value.problems) == 3


def test_effects_once_means_one_attempt() -> None:
    """A charge must not be repeated because somebody forgot to switch the retries off."""

    @ps.step(effects="once")
    async def charge(text: str) -> str:
        return text

    @ps.workflow(retry=ps.RetryPolicy(max_attempts=5))
    def pay(flow: ps.Flow, text: ps.Node[str]) -> ps.Node[str]:
        return flow.call(charge, text)

    assert pay.graph.nodes[1].option("retry").max_attempts == 1

    def repeat(flow: ps.Flow, text: ps.Node[str]) -> ps.Node[str]:
        return flow.call(charge, text, retry=ps.RetryPolicy())

    assert "can't have 3 attempts" in problems_of(repeat)


# Workflows


def test_a_workflow_has_readable_paths() -> None:
    """Logs, errors and history name nodes as the user drew them."""
    assert paths(support) == ["support/text", "support/shout", "support/measure"]
    assert (support.name, support.version, support.owner) == ("support", "1.0.0", "cx")
    assert support.contract.name == "int"


def test_repeated_calls_get_numbered_names() -> None:
    """The second call of a step is `shout-2`, and never takes a name that the user gave."""

    @ps.workflow
    def chain(flow: ps.Flow, shout_: ps.Node[str]) -> ps.Node[str]:
        node = flow.call(shout, shout_, name="shout-2")
        for _ in range(3):
            node = flow.call(shout, node)
        return node

    assert paths(chain)[1:] == ["chain/shout-2", "chain/shout", "chain/shout-3", "chain/shout-4"]


def test_a_workflow_inside_another_becomes_part_of_it() -> None:
    """Its nodes get the label of the call in front, and what follows waits for its result."""

    @ps.workflow
    def outer(flow: ps.Flow, text: ps.Node[str], other: ps.Node[str]) -> ps.Node[int]:
        first = flow.call(support, text)
        second = flow.call(support, other, name="again", after=first)
        return flow.call(add, first, second)

    assert paths(outer)[2:] == [
        "outer/support/shout",
        "outer/support/measure",
        "outer/again/shout",
        "outer/again/measure",
        "outer/add",
    ]
    assert producers(outer, "outer/add") == ["outer/support/measure", "outer/again/measure"]
    assert producers(outer, "outer/again/shout") == ["outer/other"]
    # `after` holds back what would start at once, and nothing else.
    assert [node.after for node in outer.graph.nodes[4:6]] == [(3,), ()]


def test_a_workflow_that_returns_its_input_can_be_called() -> None:
    """A pass-through branch is a workflow as well."""

    @ps.workflow
    def same(flow: ps.Flow, text: ps.Node[str]) -> ps.Node[str]:
        return text

    @ps.workflow
    def outer(flow: ps.Flow, text: ps.Node[str]) -> ps.Node[str]:
        return flow.call(shout, flow.call(same, text))

    assert producers(outer, "outer/shout") == ["outer/text"]


def test_the_nearest_option_wins() -> None:
    """Node before step before workflow; for an inlined workflow its own nodes before the call."""

    @ps.workflow(timeout=100, queue="shared")
    def inner(flow: ps.Flow, text: ps.Node[str]) -> ps.Node[str]:
        near = flow.call(careful, text, timeout=1)
        return flow.call(shout, flow.call(careful, near))

    @ps.workflow(timeout=200, queue_timeout=9)
    def outer(flow: ps.Flow, text: ps.Node[str]) -> ps.Node[str]:
        return flow.call(inner, flow.call(inner, text), timeout=50)

    near, step, workflow, *called = outer.graph.nodes[1:]
    assert [node.option("timeout") for node in (near, step, workflow)] == [1, 3, 100]
    assert [node.option("timeout") for node in called] == [1, 50, 50]
    assert [node.option("queue") for node in called] == ["desk", "desk", "shared"]
    assert {node.option("queue_timeout") for node in called} == {9}
    assert near.option("retry") is None


def test_one_step_is_a_workflow_too() -> None:
    """`rt.run(step, value)` needs no wrapper, and the wrapper it makes is kept."""
    assert paths(shout.as_workflow()) == ["shout/text", "shout/shout"]
    assert shout.as_workflow() is shout.as_workflow()
    assert support.as_workflow() is support
    assert producers(total.as_workflow(2), "total/total") == ["total/parents-1", "total/parents-2"]


def test_constants_are_checked_by_value() -> None:
    """A literal list has no type arguments, and yet [1, "a"] must not reach list[int]."""

    @ps.step
    async def add_up(values: list[int]) -> int:
        return sum(values)

    @ps.workflow
    def right(flow: ps.Flow) -> ps.Node[int]:
        return flow.call(add_up, flow.constant([1, 2]))

    def wrong(flow: ps.Flow) -> ps.Node[int]:
        return flow.call(add_up, flow.constant([1, "a"]))  # type: ignore[arg-type]

    assert right.graph.nodes[0].value == [1, 2]
    assert "takes list[int]" in problems_of(wrong)


def test_apply_takes_any_plain_function() -> None:
    """Builtins, classes, lambdas and annotated functions, each with the contract it tells."""

    def double(value: int) -> int:
        return 2 * value

    @ps.workflow
    def applied(flow: ps.Flow, text: ps.Node[str]) -> ps.Node[int]:
        size = flow.apply(lambda value: len(value) + 1, text)
        flow.apply(str, flow.apply(len, text))
        flow.apply(max, size, size)
        return flow.apply(double, size, name="twice")

    contracts = {node.path: node.contract.name for node in applied.graph.nodes}
    assert contracts["applied/apply"] == "Any"
    assert contracts["applied/str"] == "str"
    assert contracts["applied/twice"] == "int"


# Mistakes in a workflow. The checkers would refuse most of them; not every user runs one.

strays: list[Any] = []


def _keep(flow: Any, text: Any) -> Any:
    strays.append(text)
    return flow.call(shout, text)


def _wrong_edge(flow: Any, text: Any) -> Any:
    return flow.call(add, text, flow.call(measure, text))


def _wrong_apply_edge(flow: Any, text: Any) -> Any:
    def double(value: int) -> str:
        return str(value)

    return flow.apply(double, text)


def _too_few(flow: Any, text: Any) -> Any:
    flow.call(add, flow.call(measure, text))
    return text


def _apply_too_many(flow: Any, text: Any) -> Any:
    flow.apply(len, text, text)
    return text


def _twins(flow: Any, text: Any) -> Any:
    return flow.call(shout, flow.call(shout, text, name="a"), name="a")


def _bad_name(flow: Any, text: Any) -> Any:
    return flow.call(shout, text, name="a/b")


def _truth(flow: Any, text: Any) -> Any:
    return flow.call(shout, text) if text else text


def _loop(flow: Any, text: Any) -> Any:
    for each in text:
        flow.call(shout, each)
    return text


def _comparison(flow: Any, text: Any) -> Any:
    return text if text == "high" else flow.call(shout, text)


def _direct_call(flow: Any, text: Any) -> Any:
    return shout(text)


def _plain_value(flow: Any, text: Any) -> Any:
    flow.call(shout, text)
    return flow.call(shout, "hello")


def _stranger(flow: Any, text: Any) -> Any:
    flow.call(shout, text)
    return flow.call(shout, strays[-1])


def _returns_stranger(flow: Any, text: Any) -> Any:
    flow.call(shout, text)
    return strays[-1]


def _no_stage(flow: Any, text: Any) -> Any:
    return flow.call(len, text)


def _applied_step(flow: Any, text: Any) -> Any:
    return flow.apply(shout, text)


def _applied_coroutine(flow: Any, text: Any) -> Any:
    return flow.apply(_bare, text)


def _priority(flow: Any, text: Any) -> Any:
    return flow.call(shout, text, priority=9)


def _timeout(flow: Any, text: Any) -> Any:
    return flow.call(shout, text, timeout=-1)


def _unknown_option(flow: Any, text: Any) -> Any:
    return flow.call(shout, text, patience=3)


def _bad_after(flow: Any, text: Any) -> Any:
    return flow.call(shout, text, after="measure")


def _unused_input(flow: Any, text: Any) -> Any:
    return flow.constant("x")


def _returns_value(flow: Any, text: Any) -> Any:
    flow.call(shout, text)
    return "x"


def _wrong_result(flow: Any, text: Any) -> Any:
    return flow.call(measure, text)


@pytest.mark.parametrize(
    ("draw", "said", "remedy"),
    [
        (_wrong_edge, "input 'left' takes int, but 'w/text' gives str", "flow.apply"),
        (_wrong_apply_edge, "input 'value' takes int", "pass another node"),
        (_too_few, "add takes (left, right), but was given 1", "one node for each"),
        (_apply_too_many, "was given 2 inputs", "pass what it takes"),
        (_twins, "node 'w/a': two nodes have this name", "rename"),
        (_bad_name, "name is 'a/b'", "leave out"),
        (_truth, "node 'w/text': was tested for truth", "inside a step"),
        (_loop, "node 'w/text': was iterated", "one input of a step"),
        (_comparison, "node 'w/text': was compared", "inside a step"),
        (_direct_call, "step 'shout' was called with node 'w/text'", "flow.call(shout, ...)"),
        (_plain_value, "its input 'hello' is no node", "flow.constant('hello')"),
        (_stranger, "'w/text' belongs to another workflow", "as an input of this one"),
        (_returns_stranger, "a node of another workflow", "return one of its own"),
        (_no_stage, "takes a step or a workflow", "@ps.step"),
        (_applied_step, "flow.apply takes a function", "flow.call"),
        (_applied_coroutine, "takes a plain function", "use a step"),
        (_priority, "node 'w/shout': priority is 9", "give 1 (first)"),
        (_timeout, "node 'w/shout': timeout is -1", "more than 0"),
        (_unknown_option, "'patience' is no option", "retry, hedge, timeout"),
        (_bad_after, "after is 'measure'", "give a node"),
        (_unused_input, "node 'w/text': this input is not used", "remove the parameter"),
        (_returns_value, "it returned 'x'", "return the node"),
        (_wrong_result, "gives int, but the workflow's annotation says str", "correct one"),
    ],
)
def test_mistake_in_a_workflow(draw: Any, said: str, remedy: str) -> None:
    """The definition fails, naming the node and what to do; nothing has run yet."""
    ps.workflow(_annotated(_keep))
    message = problems_of(_annotated(draw))
    assert "workflow 'w'" in message
    assert said in message
    assert remedy in message


def _annotated(draw: Any) -> Any:
    def w(flow: ps.Flow, text: ps.Node[str]) -> ps.Node[str]:
        node: ps.Node[str] = draw(flow, text)
        return node

    return w


def test_all_problems_of_a_workflow_are_told_at_once() -> None:
    """Five mistakes are one round of corrections; the one that ends the drawing comes last."""

    def many(flow: Any, text: Any) -> Any:
        flow.call(add, text, text)
        flow.call(shout, text, priority=0)
        if text:
            return text
        return None

    with pytest.raises(ps.DefinitionError) as caught:
        ps.workflow(_annotated(many))
    assert len(caught.value.problems) == 4
    assert "w has" in str(caught.value).replace("'", "")
    assert "tested for truth" in caught.value.problems[-1]


def test_an_exception_of_the_drawing_function_stays_what_it_is() -> None:
    """A KeyError in the user's own code is his, not a problem of the graph."""

    def broken(flow: Any, text: Any) -> Any:
        raise KeyError("x")

    with pytest.raises(KeyError, match="x"):
        ps.workflow(_annotated(broken))


def test_a_flow_ends_with_its_function() -> None:
    """A flow kept for later would draw into a graph that runs already."""
    kept: list[ps.Flow] = []

    @ps.workflow
    def keep(flow: ps.Flow, text: ps.Node[str]) -> ps.Node[str]:
        kept.append(flow)
        return text

    assert keep.graph.output == 0
    with pytest.raises(ps.DefinitionError, match=r"'keep' was used after .* inside the function"):
        kept[0].constant(3)


def test_a_workflow_is_not_called() -> None:
    """Whoever calls it as a function learns the two ways of running it."""
    with pytest.raises(ps.DefinitionError, match=r"Runtime.run.*flow.call"):
        support("x")  # type: ignore[operator]


def test_workflow_parameters_are_nodes() -> None:
    """A workflow annotated like a step is the commonest first mistake."""

    def wrong(flow: ps.Flow, text: str, *more: ps.Node[str]) -> str:
        return text

    with pytest.raises(ps.DefinitionError) as caught:
        ps.workflow(wrong)  # type: ignore[arg-type]
    assert len(caught.value.problems) == 3


def test_attribute_of_a_node_tells_how_to_get_it() -> None:
    """`ticket.title` in a workflow is meant as flow.apply."""

    def wrong(flow: Any, text: Any) -> Any:
        return flow.call(shout, text.title)

    with pytest.raises(AttributeError, match=r"flow.apply\(lambda value: value.title, node\)"):
        ps.workflow(_annotated(wrong))


def test_large_graphs_are_drawn_in_linear_time() -> None:
    """A file of ten thousand tasks is drawn while the user waits; quadratic work shows here."""

    def seconds_for(count: int) -> float:
        def large(flow: ps.Flow, text: ps.Node[str]) -> ps.Node[int]:
            nodes = [flow.call(shout, text) for _ in range(count)]
            return flow.call(total, *[flow.call(measure, node) for node in nodes])

        times: list[float] = []
        for _ in range(3):
            start = time.process_time()
            ps.workflow(large)
            times.append(time.process_time() - start)
        return min(times)

    assert seconds_for(8_000) < 30 * max(seconds_for(800), 0.005)
