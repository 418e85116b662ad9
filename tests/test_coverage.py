"""Coverage: what a graph declares, what counters say of it, and how coverage adds up."""

from __future__ import annotations

import json
from typing import Any, cast, get_args

import pytest

import penstock as ps
from penstock import _engine
from penstock._contracts import Contract
from penstock._coverage import MEASURES, Coverage, Measure, MeasureName, Missing, WorkflowCoverage
from penstock._coverage_graph import Counters, Pair, measured
from penstock._coverage_moves import _INTERFERENCE, _ONLY_BY
from penstock._coverage_report import report
from penstock._graph import (
    Accept,
    Detail,
    Graph,
    GraphNode,
    Loop,
    Map,
    NodeKind,
    Region,
    Shield,
    Switch,
    Undo,
    Wait,
)
from penstock._options import Options

ANY = Contract.of(object)
RETRY = ps.RetryPolicy(max_attempts=3)


@ps.step
async def work(x: int) -> int:
    return x


def node(
    kind: NodeKind,
    path: str,
    *inputs: int,
    detail: Detail | None = None,
    gates: tuple[int, ...] = (),
    after: tuple[int, ...] = (),
    **options: Any,
) -> GraphNode:
    return GraphNode(
        path=f"w/{path}",
        kind=kind,
        contract=ANY,
        inputs=inputs,
        gates=gates,
        after=after,
        detail=detail,
        step=work if kind in ("step", "undo") else None,
        overrides=cast("Options", options),
    )


def drawn(*nodes: GraphNode) -> Graph:
    region = Region(prefix="w", start=0, stop=len(nodes), input_count=1, output=len(nodes) - 1)
    return Graph(
        name="w",
        version="1",
        nodes=nodes,
        regions=(region,),
        calls=(0,),
        outputs=(region.output,),
    )


def counters(graph: Graph, **changed: Any) -> Counters:
    """Of runs that have seen nothing but what is `changed`; lists by node may be given as dicts."""
    size = len(graph.nodes)
    counted: dict[str, Any] = {
        "runs": 1,
        "nodes": [(0, 0, 0, 0)] * size,
        "edges": [[0] * (len(n.inputs) + len(n.gates) + len(n.after)) for n in graph.nodes],
        "outcomes": [[] for _ in graph.nodes],
        "pairs": [],
        "exceptions": [{} for _ in graph.nodes],
        "loops": [0] * size,
        "moves": [],
        "run_moves": [],
    }
    for key, value in changed.items():
        if isinstance(value, dict):
            for index, entry in value.items():
                counted[key][index] = entry
        else:
            counted[key] = value
    return cast("Counters", counted)


def measure(
    graph: Graph, name: MeasureName, *, pairs: list[Pair] | None = None, **changed: Any
) -> Measure:
    return measured(graph, counters(graph, **changed), digest="d", pairs=pairs).measures[name]


SIZES = Switch(labels=("big", "rest"), keys=("big",), default=True, by_type=False)
CHOICE = drawn(
    node("input", "x"),
    node("switch", "size", 0, detail=SIZES),
    node("step", "big", 1),
    node("when", "odd", 0),
    node("apply", "half", 3, 3, gates=(1,), after=(2,)),
)


def test_a_node_is_covered_when_it_came_to_an_end_of_its_own() -> None:
    found = measure(
        CHOICE, "nodes", nodes={1: (4, 0, 0, 0), 2: (0, 1, 0, 0), 3: (0, 0, 3, 0), 4: (0, 0, 0, 2)}
    )
    assert found.declared == {"w/size": 4, "w/big": 1, "w/odd": 0, "w/half": 0}
    assert found.seen == 2
    assert found.missing() == ["w/odd", "w/half"]


def test_edges_are_told_by_what_they_carry_and_one_taken_twice_is_one() -> None:
    found = measure(CHOICE, "edges", edges={2: [3], 4: [2, 2, 1, 0]})
    assert found.declared == {
        "w/x -> w/size": 0,
        "w/size -> w/big": 3,
        "w/x -> w/odd": 0,
        "w/odd -> w/half": 2,
        "w/size -> w/half (gate)": 1,
        "w/big -> w/half (after)": 0,
    }


def test_every_outcome_of_a_decision_is_declared_by_its_label() -> None:
    found = measure(CHOICE, "outcomes", outcomes={1: [5, 0], 3: [0, 2]})
    assert found.declared == {
        "w/size = big": 5,
        "w/size = rest": 0,
        "w/odd = no": 0,
        "w/odd = yes": 2,
    }


def test_exploring_is_an_outcome_only_of_a_cascade_that_explores() -> None:
    cautious = drawn(node("input", "x"), node("accept", "ok", 0, detail=Accept(contains=0)))
    curious = drawn(
        node("input", "x"), node("accept", "ok", 0, detail=Accept(contains=0, explore=0.1))
    )
    seen = {1: [1, 0, 2]}
    assert measure(cautious, "outcomes", outcomes=seen) == Measure(
        declared={"w/ok = rejected": 1, "w/ok = accepted": 0}, others={"w/ok = explored": 2}
    )
    assert measure(curious, "outcomes", outcomes=seen) == Measure(
        declared={"w/ok = rejected": 1, "w/ok = accepted": 0, "w/ok = explored": 2}
    )


def test_pairs_are_those_the_guards_allow() -> None:
    seen = counters(CHOICE, pairs=[(1, 1, 3, 1), (1, 0, 3, 1)])
    allowed: list[Pair] = [(1, 0, 3, 0), (1, 1, 3, 1), (1, 0, 3, 2)]
    found = measured(CHOICE, seen, digest="d", pairs=allowed).measures["pairs"]
    assert found == Measure(
        declared={"w/size = big, w/odd = no": 0, "w/size = rest, w/odd = yes": 1},
        others={"w/size = big, w/odd = yes": 1},
    )


def test_pairs_of_too_many_decisions_have_no_percentage() -> None:
    seen = counters(CHOICE, pairs=[(1, 1, 3, 1)])
    found = measured(CHOICE, seen, digest="d", pairs=None)
    assert found.measures["pairs"] == Measure(
        others={"w/size = rest, w/odd = yes": 1}, complete=False
    )
    assert Coverage.of([found]).percent("pairs") is None
    assert "unknown" in report(Coverage.of([found]))


@pytest.mark.parametrize(
    ("declaring", "names"),
    [
        (node("step", "s", 0), []),
        (node("step", "s", 0, retry=ps.RetryPolicy(max_attempts=1)), []),
        (node("step", "s", 0, retry=RETRY), ["retry", "exhausted"]),
        (node("step", "s", 0, timeout=1.0), ["timeout"]),
        (node("step", "s", 0, retry=RETRY, queue_timeout=1.0), ["retry", "exhausted", "timeout"]),
        (node("accept", "s", 0, detail=Accept(contains=0)), ["reject"]),
        (node("shield", "s", 0, detail=Shield(contains=0)), ["skip"]),
        (node("undo", "s", 0, detail=Undo(of=0), retry=RETRY), ["retry", "exhausted"]),
    ],
)
def test_a_node_declares_the_exceptions_its_policies_allow(
    declaring: GraphNode, names: list[str]
) -> None:
    graph = drawn(node("input", "x"), declaring)
    declared = measure(graph, "exceptions").declared
    assert [part for part in declared if part.startswith("w/s:")] == [f"w/s: {n}" for n in names]


@pytest.mark.parametrize(
    ("timeout", "on_timeout", "names"),
    [
        (0.0, "fail", []),
        (9.0, "fail", ["timeout"]),
        (9.0, "skip", ["timeout", "skip"]),
    ],
)
def test_a_wait_declares_its_timeout(timeout: float, on_timeout: Any, names: list[str]) -> None:
    wait = Wait(signal=None, timeout=timeout, on_timeout=on_timeout, owner=None)  # type: ignore[arg-type]
    graph = drawn(node("input", "x"), node("signal", "s", detail=wait))
    assert [*measure(graph, "exceptions").declared] == [f"w/s: {name}" for name in names]


def test_what_is_undone_declares_its_compensation() -> None:
    graph = drawn(
        node("input", "x"),
        node("step", "pay", 0),
        node("undo", "pay/compensate", 0, 1, detail=Undo(of=1)),
    )
    seen = {1: {"compensate": 2, "cancel": 1}}
    assert measure(graph, "exceptions", exceptions=seen) == Measure(
        declared={"w/pay: compensate": 2}, others={"w/pay: cancel": 1}
    )
    assert [*measure(graph, "nodes").declared] == ["w/pay"]
    assert [*measure(graph, "edges").declared] == ["w/x -> w/pay"]


def test_a_map_declares_none_one_and_several_a_loop_its_bound() -> None:
    mapped = Map(body=0, concurrency=0, need=0, tolerated=None, cancel_rest=False)
    many = Loop(body=0, max_iterations=5, on_exhausted="fail")
    once = Loop(body=0, max_iterations=1, on_exhausted="last")
    graph = drawn(
        node("input", "x"),
        node("map", "pages", 0, detail=mapped),
        node("loop", "refine", 0, detail=many),
        node("loop", "once", 0, detail=once),
    )
    assert measure(graph, "loops", loops=[0, 0b0101, 0b1010, 0b1010]) == Measure(
        declared={
            "w/pages: no item": 1,
            "w/pages: one": 0,
            "w/pages: several": 1,
            "w/refine: one": 1,
            "w/refine: several": 0,
            "w/refine: the bound": 1,
            "w/once: one": 1,
        },
        others={"w/once: the bound": 1},
    )


def test_moves_are_those_the_graph_can_make() -> None:
    plain = measure(drawn(node("input", "x"), node("step", "s", 0)), "moves").declared
    assert {"node: ready -> running", "run: running -> failed"} <= plain.keys()
    words = " ".join(plain)
    for state in ("skipped", "backoff", "awaiting", "compensat", "unknown", "paused", "held"):
        assert state not in words
    retried = measure(drawn(node("input", "x"), node("step", "s", 0, retry=RETRY)), "moves")
    assert "node: running -> backoff" in retried.declared
    assert "node: waiting -> skipped" in measure(CHOICE, "moves").declared
    undone = drawn(node("input", "x"), node("undo", "u", 0, detail=Undo(of=0)))
    assert "run: running -> compensating" in measure(undone, "moves").declared


def test_what_is_said_of_single_moves_is_said_of_rows_of_the_table() -> None:
    rows = {(before, after) for before, after, _ in _engine.NODE_TABLE}
    assert _INTERFERENCE | _ONLY_BY.keys() <= rows


def test_moves_that_are_seen_count() -> None:
    found = measure(
        CHOICE,
        "moves",
        moves=[("ready", "running"), ("ready", "parked")],
        run_moves=[("running", "failed")],
    )
    assert found.declared["node: ready -> running"] == 1
    assert found.declared["run: running -> failed"] == 1
    assert found.others == {"node: ready -> parked": 1}


def one(digest: str = "d", **changed: Any) -> WorkflowCoverage:
    return measured(CHOICE, counters(CHOICE, **changed), digest=digest, pairs=[(1, 0, 3, 0)])


BIG = one(outcomes={1: [1, 0]}, pairs=[(1, 0, 3, 0)], moves=[("ready", "running")])
REST = one(outcomes={1: [0, 2], 3: [1, 0]}, exceptions={2: {"cancel": 1}}, runs=2)


def test_coverage_of_one_graph_adds_up() -> None:
    both = Coverage.of([BIG]) + Coverage.of([REST])
    (workflow,) = both.workflows
    assert workflow.runs == 3
    assert workflow.measures["outcomes"].declared == {
        "w/size = big": 1,
        "w/size = rest": 2,
        "w/odd = no": 1,
        "w/odd = yes": 0,
    }
    assert both.counts("outcomes") == (3, 4)
    assert both.percent("outcomes") == 75.0
    assert both.percent("loops") is None
    assert both == Coverage.of([REST, BIG])


def test_coverage_of_another_graph_stands_beside_it() -> None:
    both = Coverage.of([one("new"), BIG])
    assert [workflow.digest for workflow in both.workflows] == ["d", "new"]
    assert both.counts("outcomes") == (1, 8)


def test_what_one_graph_declares_and_the_other_has_merely_seen_is_declared() -> None:
    """Policies are not in the digest: two runtimes may differ in what a step may do."""
    strict, loose = Measure(declared={"a": 0, "b": 1}), Measure(declared={"b": 1}, others={"a": 3})
    assert strict + loose == Measure(declared={"a": 3, "b": 2})
    assert loose + strict == Measure(declared={"b": 2, "a": 3})


def test_what_is_missing_is_told_by_name() -> None:
    parts = Coverage.of([BIG, REST]).missing()
    assert Missing("w 1", "outcomes", "w/odd = yes") in parts
    assert not [part for part in parts if part.part == "w/size = big"]


def test_what_production_saw_and_no_test_did() -> None:
    tested, production = Coverage.of([BIG]), Coverage.of([REST])
    assert tested.missing(production) == [
        ("w 1", "outcomes", "w/size = rest"),
        ("w 1", "outcomes", "w/odd = no"),
        ("w 1", "exceptions", "w/big: cancel"),
    ]
    assert production.missing(tested) == [
        ("w 1", "outcomes", "w/size = big"),
        ("w 1", "pairs", "w/size = big, w/odd = no"),
        ("w 1", "moves", "node: ready -> running"),
    ]
    assert (tested + production).missing(production) == []


def test_of_a_graph_that_was_never_tested_everything_seen_is_missing() -> None:
    production = Coverage.of([one("new", outcomes={1: [1, 0]})])
    assert Coverage.of([BIG]).missing(production) == [("w 1", "outcomes", "w/size = big")]


def test_coverage_comes_back_from_json_as_it_was() -> None:
    coverage = Coverage.of([BIG, REST, one("new")])
    text = coverage.to_json()
    assert Coverage.from_json(text) == coverage
    assert Coverage.from_json(text).to_json() == text
    assert json.loads(text)["format"] == 1
    assert Coverage.from_json(Coverage().to_json()) == Coverage()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "this is no coverage"),
        ("[]", "this is no coverage"),
        ('{"format": 2, "workflows": []}', "format"),
        ('{"format": 1}', "workflows: Field required"),
        ('{"format": 1, "workflows": [{"name": "w"}]}', "workflows.0.version"),
        (Coverage.of([BIG]).to_json().replace('"runs":1', '"runs":-1'), "workflows.0.runs"),
        (Coverage.of([BIG]).to_json().replace('"loops":', '"hoops":'), "workflows.0.measures"),
    ],
)
def test_text_that_is_no_coverage_is_refused(text: str, message: str) -> None:
    with pytest.raises(ps.PenstockError, match=message) as refused:
        Coverage.from_json(text)
    assert "--penstock-cov-json" in str(refused.value)


def test_the_report_has_a_row_for_each_workflow_and_the_names_of_what_is_missing() -> None:
    text = report(Coverage.of([BIG, one("new")]))
    assert "in total" in text
    assert "w 1 (d): never seen" in text
    assert "w 1 (new): never seen" in text
    assert "outcomes    w/size = rest" in text
    rows = [line.split() for line in text.splitlines()]
    assert ["workflow", "runs", *MEASURES] in rows
    assert rows[1][:-1] == ["w", "1", "(d)", "1", "0%", "0%", "25%", "100%", "-", "-"]
    assert "\x1b[" not in text
    assert "\x1b[" in report(Coverage.of([BIG]), colour=True)


def test_the_report_needs_no_rich(monkeypatch: pytest.MonkeyPatch) -> None:
    coverage = Coverage.of([BIG, REST])
    fine = report(coverage)
    monkeypatch.setitem(__import__("sys").modules, "rich.console", None)
    plain = report(coverage)
    assert [line.split() for line in plain.splitlines()] == [
        line.split() for line in fine.splitlines()
    ]


def test_a_long_list_is_cut_and_says_so() -> None:
    graph = drawn(node("input", "x"), *(node("step", f"s{n}", 0) for n in range(40)))
    text = report(Coverage.of([measured(graph, None, digest="d", pairs=())]))
    assert text.count("and 28 more") == 2


def test_a_percentage_is_never_rounded_up_to_all() -> None:
    declared = {str(part): int(part > 0) for part in range(1000)}
    measures = dict.fromkeys(MEASURES, Measure())
    measures["outcomes"] = Measure(declared=declared)
    workflow = WorkflowCoverage(name="w", version="1", digest="d", runs=1, measures=measures)
    assert " 99%" in report(Coverage.of([workflow]))


def test_a_comparison_says_what_no_test_has_seen() -> None:
    text = report(Coverage.of([BIG]), seen=Coverage.of([REST]))
    assert "w 1: seen, but not tested" in text
    assert "w/big: cancel" in text
    assert "everything that was seen is tested" in report(
        Coverage.of([BIG]), seen=Coverage.of([BIG])
    )


def test_measures_are_in_the_order_of_their_names() -> None:
    assert get_args(MeasureName) == MEASURES == tuple(BIG.measures)
