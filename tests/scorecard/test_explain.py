"""Explain: one run's time and money, from made-up records and from a store."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import penstock as ps
from penstock._scorecard._explain import Explanation, explain
from penstock._scorecard._explain_text import report
from penstock._stored import StoreView

Record = dict[str, Any]


def record(at: float, kind: str, node: str = "", attempt: int = 0, **facts: Any) -> Record:
    return {"at": at, "kind": kind, "node": node or None, "attempt": attempt, "facts": facts}


def done(at: float, node: str, started: float, attempt: int = 1) -> Record:
    return record(at, "done", node, attempt, started=int(started * 1e9))


def failed(at: float, node: str, started: float, attempt: int = 1, **facts: Any) -> Record:
    if "due" in facts:
        facts["due"] = int(facts["due"] * 1e9)
    return record(at, "failed", node, attempt, started=int(started * 1e9), **facts)


def spent(at: float, node: str, nanos: int | None, attempt: int = 1, **facts: Any) -> Record:
    facts = {"resource": "tokens", "name": "gpt", "units": 10, **facts}
    return record(at, "spent", node, attempt, nanos=nanos, **facts)


def graph(*nodes: tuple[str, str, list[int]]) -> dict[str, Any]:
    made: list[dict[str, Any]] = [
        {"path": path, "kind": kind, "inputs": inputs} for path, kind, inputs in nodes
    ]
    for node in made:
        if node["kind"] == "signal":
            node["detail"] = {"signal": {"name": "approval", "contract": "str"}}
    return {"nodes": made}


def close(seconds: Mapping[Any, float]) -> dict[str, float]:
    return {doing: round(spent, 6) for doing, spent in seconds.items()}


CHAIN = graph(("f/x", "input", []), ("f/a", "step", [0]), ("f/b", "step", [1]))


def test_waits_are_told_apart() -> None:
    records = [
        record(0, "accepted"),
        failed(3, "f/a", 1, then="retry", due=5),
        failed(8, "f/a", 7, 2, then="park", denial="budget", due=9),
        done(15, "f/a", 13, 3),
        done(20, "f/b", 16),
        record(21, "ended", status="succeeded"),
    ]
    told = explain(records, CHAIN)
    first, second = told.nodes
    assert (first.path, first.attempts) == ("f/a", 3)
    assert close(first.seconds) == {"queue": 3, "running": 5, "backoff": 2, "parked": 5}
    assert close(second.seconds) == {"queue": 1, "running": 4}
    assert close(told.seconds) == {
        "queue": 4,
        "running": 9,
        "backoff": 2,
        "parked": 5,
        "other": 1,
    }


def test_the_critical_path_is_the_branch_that_the_join_waited_for() -> None:
    diamond = graph(
        ("f/x", "input", []),
        ("f/fast", "step", [0]),
        ("f/slow", "step", [0]),
        ("f/both", "collect", [1, 2]),
        ("f/approval", "signal", [3]),
        ("f/last", "step", [4]),
    )
    records = [
        record(0, "accepted"),
        done(1, "f/fast", 0),
        done(4, "f/slow", 0),
        record(10, "signal", signal="approval"),
        done(12, "f/last", 11),
        record(12, "ended", status="succeeded"),
    ]
    told = explain(records, diamond)
    assert [(node, it.doing, it.seconds) for node, it in told.path] == [
        ("f/slow", "running", 4),
        ("f/approval", "people", 6),
        ("f/last", "queue", 1),
        ("f/last", "running", 1),
    ]
    assert [it.path for it in told.nodes if not it.critical] == ["f/fast"]


def test_a_signal_that_came_early_costs_no_time() -> None:
    waits = graph(("f/x", "input", []), ("f/a", "step", [0]), ("f/approval", "signal", [1]))
    records = [
        record(0, "accepted"),
        record(1, "signal", signal="approval"),
        done(5, "f/a", 0),
        record(5, "ended", status="succeeded"),
    ]
    assert close(explain(records, waits).seconds) == {"running": 5}


def test_money_is_parted_by_what_became_of_it() -> None:
    records = [
        record(0, "accepted"),
        spent(1, "f/a", 5),
        failed(1, "f/a", 0, then="retry", due=1),
        spent(2, "f/a", 7, 2),
        done(2, "f/a", 1, 2),
        spent(3, "f/b", None),
        spent(3, "f/b", 11, name="", resource="human minutes"),
        spent(3, "f/c", 13),
        done(3, "f/b", 2),
        record(3, "withdrawn", "f/c"),
    ]
    ends = {
        "succeeded": {"useful": 18, "failed_attempt": 5, "lost": 13},
        "failed": {"failed_run": 36},
        "running": {"unsettled": 36},
    }
    for status, classes in ends.items():
        end = [] if status == "running" else [record(4, "ended", status=status)]
        told = explain([*records, *end], CHAIN)
        waste = told.waste
        found = {name: getattr(waste, name) for name in waste.__slots__ if getattr(waste, name)}
        assert found == classes
        assert told.cost.nanos == waste.total == 36
        assert sum(it.waste.total for it in told.nodes) == 36
        assert told.cost.unpriced == 1
        assert list(told.spend) == ["gpt tokens", "human minutes"]


def test_a_tier_that_was_not_accepted_is_escalation() -> None:
    ladder = graph(
        ("f/x", "input", []),
        ("f/cheap", "step", [0]),
        ("f/accept-1", "accept", [1]),
        ("f/better", "step", [2]),
    )
    for outcome, found in ((0, 5), (1, 0)):
        records = [
            record(0, "accepted"),
            spent(1, "f/cheap", 5),
            done(1, "f/cheap", 0),
            record(1, "chosen", "f/accept-1", outcome=outcome),
            record(2, "ended", status="succeeded"),
        ]
        assert explain(records, ladder).waste.escalation == found


def test_a_run_under_way_is_told_up_to_now() -> None:
    records = [
        record(0, "accepted"),
        done(2, "f/a", 0),
        failed(4, "f/b", 3, then="retry", due=10),
    ]
    told = explain(records, CHAIN, now=7)
    assert (told.status, told.ended) == ("running", 7)
    assert close(told.nodes[1].seconds) == {"queue": 1, "running": 1, "backoff": 3}
    assert told.nodes[1].state == "open"


def test_without_a_graph_times_of_attempts_are_still_known() -> None:
    told = explain([record(0, "accepted"), done(3, "f/a", 1)], None)
    assert close(told.nodes[0].seconds) == {"queue": 1, "running": 2}
    assert explain([], None).nodes == ()


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[Record], dict[str, Any]]:
    """A run of a random graph: each step after its inputs, with retries, parking and spend."""
    nodes: list[tuple[str, str, list[int]]] = [("f/x", "input", [])]
    records, ends = [record(0, "accepted")], [0.0]
    times = st.integers(0, 5)
    for number in range(1, draw(st.integers(1, 7))):
        inputs = draw(st.lists(st.integers(0, number - 1), min_size=1, max_size=3, unique=True))
        kind = draw(st.sampled_from(["step", "step", "collect"]))
        path = f"f/n{number}"
        nodes.append((path, kind, inputs))
        at = max(ends[it] for it in inputs)
        if kind == "step":
            for attempt in range(1, draw(st.integers(1, 3))):
                start = at + draw(times)
                at = start + draw(times)
                due = at + draw(times)
                denial = {"denial": "budget"} if draw(st.booleans()) else {}
                records.append(failed(at, path, start, attempt, then="retry", due=due, **denial))
                records.append(spent(at, path, draw(st.integers(0, 99)), attempt))
                at = due
            start = at + draw(times)
            at = start + draw(times)
            records.append(done(at, path, start, 9))
        ends.append(at)
    records.sort(key=lambda it: it["at"])
    status = draw(st.sampled_from(["succeeded", "failed"]))
    records.append(record(max(ends) + draw(times), "ended", status=status))
    return records, graph(*nodes)


@given(histories())
def test_time_and_money_add_up(history: tuple[list[Record], dict[str, Any]]) -> None:
    records, drawn = history
    told = explain(records, drawn)
    assert sum(told.seconds.values()) == pytest.approx(told.ended - told.accepted)
    at = told.accepted
    for _, stretch in told.path:
        assert stretch.start == pytest.approx(at)
        at = stretch.end
    ends = {it["node"]: it["at"] for it in records if it["kind"] == "done"}
    for node in told.nodes:
        assert sum(node.seconds.values()) == pytest.approx(
            0 if not node.stretches else ends[node.path] - node.stretches[0].start
        )
    total = sum(it["facts"]["nanos"] for it in records if it["kind"] == "spent")
    assert told.cost.nanos == told.waste.total == total
    assert told.seconds.get("other", 0.0) == pytest.approx(told.ended - max([0, *ends.values()]))


def test_a_graph_deeper_than_the_stack_is_explained() -> None:
    depth = 3_000
    nodes = [("f/x", "input", list[int]())]
    nodes += [(f"f/n{number}", "apply", [number - 1]) for number in range(1, depth)]
    nodes.append(("f/last", "step", [depth - 1]))
    told = explain([record(0, "accepted"), done(2, "f/last", 1)], graph(*nodes))
    assert close(told.nodes[0].seconds) == {"queue": 1, "running": 1}


@ps.step
async def parts(count: int) -> list[int]:
    return list(range(count))


@ps.step(retry=ps.RetryPolicy(max_attempts=2, initial_interval=0.001))
async def slow(number: int, ctx: ps.Context) -> int:
    if ctx.attempt == 1:
        raise ValueError(number)
    await asyncio.sleep(0.02 * number)
    return number


@ps.step
async def total(numbers: list[int]) -> int:
    return sum(numbers)


@ps.workflow
def mapped(flow: ps.Flow, count: ps.Node[int]) -> ps.Node[int]:
    return flow.call(total, flow.map(slow, flow.call(parts, count)))


def stored(folder: Path) -> Explanation:
    async def fill() -> None:
        async with ps.Runtime(store=str(folder / "a.db")) as rt:
            assert await rt.run(mapped, 3, run_id="r") == 3

    asyncio.run(fill())
    view = StoreView(folder / "a.db")
    try:
        records = [
            {
                "at": it.at,
                "kind": it.kind,
                "node": it.node,
                "attempt": it.attempt,
                "facts": it.facts,
            }
            for it in view.records("r")
        ]
        return explain(records, view.graph("r"))
    finally:
        view.close()


def test_the_slowest_item_of_a_map_is_on_the_critical_path(tmp_path: Path) -> None:
    told = stored(tmp_path)
    critical = list(dict.fromkeys(node for node, _ in told.path if node))
    assert critical == ["mapped/parts", "mapped/slow[2]", "mapped/total"]
    assert sum(told.seconds.values()) == pytest.approx(told.ended - told.accepted)
    assert told.seconds["running"] > 0.03
    assert all(it.attempts == 2 for it in told.nodes if "slow" in it.path)
    text = report(told, title="r", width=100)
    assert "\x1b" not in text
    assert "* mapped/slow[2]" in text
    assert max(map(len, text.splitlines())) <= 100


def test_the_score_of_a_value_is_told_where_the_value_came_from() -> None:
    drawn = graph(
        ("f/x", "input", []),
        ("f/draft", "step", [0]),
        ("f/spare", "step", [0]),
        ("f/scored", "merge", [1, 2]),
        ("f/threshold", "accept", [3]),
    )
    records = [
        record(0, "accepted"),
        failed(1, "f/draft", 0, then="final"),
        done(2, "f/spare", 1),
        record(2, "chosen", "f/threshold", outcome=1, score=0.83),
        record(2, "ended", status="succeeded"),
    ]
    told = explain(records, drawn)
    assert {it.path: it.score for it in told.nodes} == {"f/draft": None, "f/spare": 0.83}
    assert "f/spare score 0.83" in report(told, width=100)
