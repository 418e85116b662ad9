"""A workflow as data: canonical JSON out and in, the digest, the drawing."""

import json
from typing import Any

import pytest

import penstock as ps


class Doc: ...


@ps.step
async def fetch(name: str) -> Doc:
    return Doc()


@ps.step(version="2")
async def join(*parents: Doc) -> list[Doc]:
    return list(parents)


@ps.step
async def count(docs: list[Doc], least: int) -> int:
    return max(len(docs), least)


STAGES: list[ps.Stage[..., Any]] = [fetch, join, count]


@ps.workflow(version="3")
def gather(flow: ps.Flow, name: ps.Node[str]) -> ps.Node[int]:
    first = flow.call(fetch, name)
    second = flow.call(fetch, name, after=[first])
    return flow.call(count, flow.call(join, first, second, first), flow.constant(2))


def content() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(gather.to_json())
    return loaded


def refusal(changed: Any, stages: Any = STAGES) -> ps.DefinitionError:
    with pytest.raises(ps.DefinitionError) as caught:
        ps.Workflow.from_json(
            changed if isinstance(changed, str) else json.dumps(changed), stages=stages
        )
    return caught.value


def test_json_goes_out_and_in_unchanged() -> None:
    """A graph that was stored is the same graph when it is read."""
    again = ps.Workflow.from_json(gather.to_json(), stages=STAGES)
    assert again.to_json() == gather.to_json()
    assert again.digest == gather.digest
    assert (again.name, again.version, len(again.plan)) == ("gather", "3", 6)
    assert again.inputs == gather.inputs


def test_json_is_canonical() -> None:
    """Two drawings of one graph give one text, so that a diff shows changes only."""
    text = gather.to_json()
    assert text == json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"))
    assert content()["nodes"][3] == {
        "after": [],
        "contract": "list[Doc]",
        "inputs": [1, 2, 1],
        "kind": "step",
        "path": "gather/join",
        "step": {"name": "join", "version": "2"},
    }


def test_nodes_may_come_in_any_order() -> None:
    """Who writes JSON by hand need not sort it: the graph puts producers first."""
    given = content()
    last = len(given["nodes"]) - 1
    given["nodes"].reverse()
    for node in given["nodes"]:
        node["inputs"] = [last - i for i in node["inputs"]]
        node["after"] = [last - i for i in node["after"]]
    given["output"] = last - given["output"]
    again = ps.Workflow.from_json(json.dumps(given), stages=STAGES)
    assert again.digest == gather.digest
    for index, node in enumerate(again.graph.nodes):
        assert all(producer < index for producer in (*node.inputs, *node.after))
    assert again.graph.nodes[0].kind == "input"


def test_little_is_enough() -> None:
    """By hand one writes names and indices; versions, empty lists and step contracts go without."""
    text = """{"name": "w", "output": 1, "nodes": [
        {"path": "w/name", "kind": "input", "contract": "str"},
        {"path": "w/fetch", "kind": "step", "inputs": [0], "step": {"name": "fetch"}}]}"""
    workflow = ps.Workflow.from_json(text, stages=[gather])
    assert (workflow.version, workflow.contract.name) == ("1", "Doc")


def test_a_cycle_is_told_with_its_nodes() -> None:
    """Of a thousand nodes the user has to find the three that wait for each other."""
    given = content()
    given["nodes"][1]["after"] = [2]
    message = str(refusal(given))
    assert "cycle" in message
    assert "gather/fetch -> " in message
    assert "gather/fetch-2" in message
    assert "gather/count" not in message


def test_all_mistakes_are_told_at_once() -> None:
    """A hand-made file is corrected in one round."""
    given = content()
    del given["version"], given["nodes"][0]["contract"]
    given["nodes"][1]["inputs"] = [99]
    given["nodes"][2]["inputs"] = [True]
    given["nodes"][2]["step"] = {"name": "fetch", "version": "9"}
    del given["nodes"][3]["path"]
    given["output"] = -1
    problems = refusal(given).problems
    assert len(problems) == 6
    told = "\n".join(problems)
    assert "node 'gather/name': has no 'contract'; add it" in told
    assert "node 'gather/fetch': inputs has 99; give indices of nodes, from 0 to 5" in told
    assert "node 'gather/fetch-2': inputs has True" in told
    assert "step 'fetch' version '9' is unknown; pass it in stages" in told
    assert "node 3: has no 'path'; add it" in told
    assert "output -1 is no index" in told


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": 3}, "'name' is 3; give a string"),
        ({"name": "other"}, "does not begin with 'other/'"),
        ({"nodes": "none"}, "'nodes' is 'none'; give a list"),
        ({"nodes": []}, "output 5 is no index of its 0 nodes"),
        ({"nodes": [3], "output": 0}, "node 0: is no JSON object"),
        ({"output": True}, "'output' is True; give a whole number"),
        ({"output": None}, "'output' is None"),
    ],
)
def test_wrong_field_of_the_workflow(change: dict[str, Any], said: str) -> None:
    """Whatever the JSON has in it, the answer is a DefinitionError that tells the place."""
    assert said in str(refusal({**content(), **change}))


@pytest.mark.parametrize(
    ("index", "change", "said"),
    [
        (0, {"contract": "Nothing"}, "contract 'Nothing' is unknown"),
        (0, {"inputs": [1]}, "waits for nothing"),
        (0, {"contract": "int"}, "takes str, but 'gather/name' gives int"),
        (1, {"kind": "apply"}, "kind 'apply' can't be read from JSON; make the function a step"),
        (1, {"kind": "dance"}, "kind 'dance' can't be read"),
        (1, {"inputs": [0, 0]}, "fetch takes (name), but was given 2"),
        (1, {"inputs": "0"}, "'inputs' is '0'; give a list"),
        (1, {"step": "fetch"}, "'step' is 'fetch'; give an object"),
        (1, {"step": {}}, "node 'gather/fetch': its step: has no 'name'; add it"),
        (2, {"path": "gather/fetch"}, "two nodes have this path"),
        (4, {"value": "two"}, "takes int, but 'gather/constant' gives str"),
    ],
)
def test_wrong_field_of_a_node(index: int, change: dict[str, Any], said: str) -> None:
    """Each problem names its node and the remedy."""
    given = content()
    given["nodes"][index].update(change)
    assert said in str(refusal(given))


def test_text_that_is_no_workflow() -> None:
    """A truncated file is told as such."""
    assert "no JSON" in str(refusal('{"name": '))
    assert "no object" in str(refusal("[1]"))


def test_stages_are_checked() -> None:
    """A plain function among the stages, or two steps of one name and version, is a mistake."""

    @ps.step(name="fetch")
    async def other(name: str) -> Doc:
        return Doc()

    assert "pass steps and workflows" in str(refusal(gather.to_json(), stages=[len]))
    assert "two stages have step 'fetch'" in str(refusal(gather.to_json(), stages=[fetch, other]))


def test_constants_that_json_can_not_carry_are_refused_on_the_way_in() -> None:
    """A tuple would come back as a list: better told than changed."""

    @ps.workflow
    def fixed(flow: ps.Flow) -> ps.Node[tuple[int, int]]:
        return flow.constant((1, 2))

    assert json.loads(fixed.to_json())["nodes"][0]["repr"] == "(1, 2)"
    assert "make it an input" in str(refusal(fixed.to_json()))


def test_digest_changes_with_what_a_run_depends_on() -> None:
    """A pinned run goes on under a tuned timeout, and stops at a changed graph."""

    def drawn(stage: Any, *, name: str = "fetch", **options: Any) -> str:
        def one(flow: ps.Flow, text: ps.Node[str]) -> ps.Node[Doc]:
            node: ps.Node[Doc] = flow.call(stage, text, name=name, **options)
            return node

        return ps.workflow(one).digest

    @ps.step(name="fetch", version="2")
    async def newer(text: str) -> Doc:
        return Doc()

    digest = drawn(fetch)
    assert len(digest) == 64
    assert drawn(fetch, timeout=3, retry=ps.RetryPolicy(max_attempts=9)) == digest
    assert drawn(newer) != digest
    assert drawn(fetch, name="get") != digest


@ps.step
async def undo(name: str, doc: Doc | None) -> None: ...


@ps.workflow
def recursive(flow: ps.Flow, doc: ps.Node[Doc | str]) -> ps.Node[Doc]:
    case = flow.match(doc)
    again: ps.Node[Doc] = flow.recurse(case[str], max_depth=3)
    return flow.merge(case[Doc], again)


approval = ps.Signal("approval", list[Doc])


@ps.workflow(version="7")
def everything(flow: ps.Flow, name: ps.Node[str], names: ps.Node[list[str]]) -> ps.Node[Any]:
    """All kinds of nodes that have no function of the user's."""
    first = flow.call(fetch, name, compensate=undo, fallback=fetch, concurrency_key="shelf")
    docs = flow.map(fetch, names, concurrency=2, tolerated_failures=1, on_failure="skip")
    inner = flow.call(gather, name, name="inner")
    with flow.scope("shelf", concurrency_key=name) as shelf:
        second = flow.call(fetch, name)
        found = flow.call(recursive, second)
    told = flow.signal(approval, timeout=3, on_timeout="skip")
    flow.cancel(shelf, when=flow.sleep(told, 5))
    flow.review(docs, approval, owner="desk", name="verdict")
    flow.spawn(gather, flow.spawn(fetch, name, name="child"))
    some = flow.collect(first, found, inner, need=2, cancel_rest=True)
    return flow.optional(flow.race(some, told, cancel_rest=False))


def test_control_flow_goes_out_and_in_unchanged() -> None:
    """Regions, calls, scopes and what each kind needs are all in the text."""
    text = everything.to_json()
    stages: list[ps.Stage[..., Any]] = [*STAGES, gather, recursive, undo, fetch.as_workflow()]
    again = ps.Workflow.from_json(text, stages=[*stages, everything])
    assert again.to_json() == text
    assert again.digest == everything.digest
    for one, other in zip(again.graph.nodes, everything.graph.nodes, strict=True):
        assert one.detail == other.detail
        assert one.contract.name == other.contract.name
    assert again.graph.regions == everything.graph.regions
    assert again.graph.calls == everything.graph.calls
    assert again.graph.outputs == everything.graph.outputs
    assert again.graph.scopes == everything.graph.scopes


def test_control_flow_may_come_in_any_order() -> None:
    """Nodes of a body may stand between those of the workflow."""
    given: dict[str, Any] = json.loads(everything.to_json())
    last = len(given["nodes"]) - 1
    for node in given["nodes"]:
        for key in ("inputs", "gates", "after"):
            node[key] = [last - i for i in node.get(key, [])]
        if "holds" in node:
            node["holds"] = last - node["holds"]
        if node["kind"] == "undo":
            node["detail"]["of"] = last - node["detail"]["of"]
    given["nodes"].reverse()
    given["output"] = last - given["output"]
    for part in (*given["bodies"], *given["calls"]):
        part["output"] = last - part["output"]
    again = ps.Workflow.from_json(json.dumps(given), stages=[everything, recursive])
    assert again.digest == everything.digest


def _everything() -> tuple[dict[str, Any], dict[str, Any]]:
    given: dict[str, Any] = json.loads(everything.to_json())
    return given, {node["path"].removeprefix("everything/"): node for node in given["nodes"]}


@pytest.mark.parametrize(
    ("path", "change", "said"),
    [
        ("collect", {"need": "two"}, "node 'everything/collect': its detail: 'need' is 'two'"),
        ("fetch-2", {"body": 9}, "body 9 is no index from 0 to"),
        ("fetch-2", {"cancel_rest": 1}, "'cancel_rest' is 1; give true or false"),
        ("approval", {"signal": "approval"}, "'signal' is 'approval'; give an object"),
        ("approval", {"signal": {"name": "x", "contract": "Y"}}, "contract 'Y' is unknown"),
        ("approval", {"on_timeout": "wait"}, "on_timeout is 'wait'; give 'fail' or 'skip'"),
        ("gather", {"workflow": {"name": "nobody"}}, "workflow 'nobody' version '1' is unknown"),
        ("cancel", {"scope": 3}, "scope 3 is no index from 0 to 0"),
        ("sleep", {"seconds": "5"}, "'seconds' is '5'; give a number"),
        ("fetch/compensate", {"of": -1}, "of -1 is no index"),
        ("fetch/accepted[no]", {"taken": [99]}, "taken has 99"),
        ("recursive/match", {"keys": ["Nobody", "str"]}, "type 'Nobody' is unknown"),
        ("recursive/match", {"labels": ["Doc"]}, "labels has not one for each key"),
    ],
)
def test_wrong_detail_of_a_node(path: str, change: dict[str, Any], said: str) -> None:
    """What a kind needs is checked as well."""
    given, nodes = _everything()
    nodes[path]["detail"].update(change)
    assert said in str(refusal(given, stages=[everything]))


def test_wrong_structure() -> None:
    """An edge into a body, a body that is missing, a body without its output."""
    given, nodes = _everything()
    del nodes["sleep"]["detail"]
    assert "node 'everything/sleep': has no 'detail'; add it" in str(refusal(given, [everything]))
    given, nodes = _everything()
    nodes["fetch-2[]"]["region"] = 0
    message = str(refusal(given, [everything]))
    assert "'everything/fetch-2[]/name' is in another body; pass it in" in message
    assert "is the output of body 1, but not in it" in message
    given, nodes = _everything()
    nodes["fetch-2[]"]["region"] = 7
    assert "region 7 is no index" in str(refusal(given, [everything]))
    given["bodies"] = "none"
    assert "'bodies' is 'none'; give a list" in str(refusal(given, [everything]))


@pytest.mark.parametrize("kind", ["switch", "when", "loop", "cascade", "key"])
def test_functions_can_not_be_read(kind: str) -> None:
    """JSON has no functions, and guessing one would run the wrong code."""

    def w(flow: ps.Flow, name: ps.Node[str]) -> ps.Node[Any]:
        match kind:
            case "switch":
                case = flow.switch(name, key=bool)
                return flow.merge(case[True], case[False])
            case "when":
                return flow.optional(flow.when(name, str.isupper))
            case "loop":
                return flow.loop(same, name, until=str.isupper, max_iterations=3)
            case "cascade":
                return flow.cascade((same, same), name, accept=str.isupper)
            case _:
                return flow.call(same, name, concurrency_key=str.upper)

    @ps.step
    async def same(name: str) -> str:
        return name

    message = str(refusal(ps.workflow(w).to_json(), stages=[same]))
    assert "can't be read from JSON; its function is not in the text" in message


def test_digest_changes_with_control_flow() -> None:
    """What an outcome means, and what is in a body, is part of what a pinned run needs."""

    def drawn(first: Any, second: Any, stage: Any = fetch, need: int | None = None) -> str:
        def one(flow: ps.Flow, name: ps.Node[str], names: ps.Node[list[str]]) -> ps.Node[Any]:
            case = flow.switch(name, key=lambda name: name)
            ways = [case[first], case[second], case.default]
            flow.map(stage, names, name="all", need=need)
            return flow.merge(*ways)

        return ps.workflow(one).digest

    @ps.step(name="fetch", version="2")
    async def newer(text: str) -> Doc:
        return Doc()

    digest = drawn("a", "b")
    assert drawn("b", "a") != digest
    assert drawn("a", "c") != digest
    assert drawn("a", "b", newer) != digest
    assert drawn("a", "b", need=3) == digest


def test_mermaid_draws_bodies_as_frames() -> None:
    """A map's body is a frame beside it; a compensation hangs on its step."""

    @ps.workflow
    def drawn(flow: ps.Flow, names: ps.Node[list[str]]) -> ps.Node[list[Doc]]:
        flow.call(fetch, flow.constant("x"), compensate=undo, concurrency_key="k", name="one")
        return flow.map(fetch, names)

    assert drawn.to_mermaid().splitlines() == [
        "flowchart TD",
        '    n0(["names"])',
        '    n1[/"constant"/]',
        '    n2[("one/key")]',
        '    n3["one"]',
        '    n4[\\"one/compensate"\\]',
        '    n5[["fetch"]]',
        '    subgraph r1["fetch[]"]',
        '        n6(["fetch[]/name"])',
        '        n7["fetch[]"]',
        "    end",
        "    n1 ==> n2",
        "    n1 --> n3",
        "    n2 ==> n3",
        "    n3 -. undo .-> n4",
        "    n0 --> n5",
        "    n5 --- r1",
        "    n6 --> n7",
        '    n5 --> result[["drawn"]]',
    ]


def test_mermaid_shows_every_node_and_edge() -> None:
    """The drawing in a pull request is the graph that runs; odd labels do not break it."""

    @ps.workflow
    def odd(flow: ps.Flow, name: ps.Node[str]) -> ps.Node[Doc]:
        first = flow.call(fetch, name, name='a "b" <c>')
        return flow.call(fetch, name, after=first)

    assert odd.to_mermaid().splitlines() == [
        "flowchart TD",
        '    n0(["name"])',
        '    n1["a &quot;b&quot; &lt;c>"]',
        '    n2["fetch"]',
        "    n0 --> n1",
        "    n0 --> n2",
        "    n1 -.-> n2",
        '    n2 --> result[["odd"]]',
    ]
