"""Pictures: the layout, the SVG, and what it is coloured by."""

import itertools
import xml.etree.ElementTree as ET
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

import penstock as ps
from penstock._coverage_graph import measured
from penstock._picture import coverage_picture, picture, states_of
from penstock._picture._layout import layered

SVG = "{http://www.w3.org/2000/svg}"


@ps.step(owner="cx")
async def classify(text: str) -> str:
    return text


@ps.step(owner="ops", retry=ps.RetryPolicy(max_attempts=3))
async def escalate(text: str) -> str:
    return text


@ps.step(owner="cx")
async def unsend(text: str, result: str | None) -> None: ...


@ps.step(owner="cx")
async def split(text: str) -> list[str]:
    return text.split()


def alone(text: str) -> list[str]:
    return [text]


def severity(text: str) -> Literal["high", "low"]:
    return "high" if "!" in text else "low"


@ps.workflow
def polish(flow: ps.Flow, text: ps.Node[str]) -> ps.Node[str]:
    return flow.call(classify, text)


@ps.workflow(version='1.0 <"&">')
def support(flow: ps.Flow, text: ps.Node[str]) -> ps.Node[list[str]]:
    case = flow.switch(text, key=severity)
    urgent = flow.call(escalate, case["high"], compensate=unsend)
    polished = flow.loop(polish, case["low"], until=bool, max_iterations=3)
    mapped = flow.map(escalate, flow.call(split, polished), concurrency=8)
    return flow.merge(flow.apply(alone, urgent), mapped)


def told(svg: str) -> tuple[ET.Element, dict[str, ET.Element]]:
    """The SVG, and the group of each node by its path."""
    root = ET.fromstring(svg)  # noqa: S314  # our own
    groups = [group for group in root.iter(f"{SVG}g") if group.find(f"{SVG}title") is not None]
    titles = [(group.find(f"{SVG}title"), group) for group in groups]
    return root, {(t.text or "").partition(":")[0]: g for t, g in titles if t is not None}


def event(kind: str, node: str = "", **more: Any) -> ps.Event:
    return ps.Event(at=0.0, kind=kind, node=f"support/{node}" if node else "", **more)


@st.composite
def graphs(draw: st.DrawFn) -> tuple[list[tuple[float, float]], list[tuple[int, int]]]:
    sizes = draw(
        st.lists(st.tuples(st.floats(20, 200), st.floats(20, 90)), min_size=1, max_size=14)
    )
    last = len(sizes) - 1
    if not last:
        return sizes, []
    starts = st.integers(0, last - 1)
    pairs = st.tuples(starts, st.integers(1, last)).filter(lambda pair: pair[0] < pair[1])
    return sizes, draw(st.lists(pairs, max_size=30))


@given(graphs())
def test_no_two_boxes_overlap_and_all_edges_go_down(
    graph: tuple[list[tuple[float, float]], list[tuple[int, int]]],
) -> None:
    """Whatever the graph, it can be read."""
    sizes, edges = graph
    layout = layered(sizes, edges)
    boxes = [(*corner, *size) for corner, size in zip(layout.corners, sizes, strict=True)]
    for x, y, width, height in boxes:
        assert -0.01 <= x <= x + width <= layout.width + 0.01
        assert -0.01 <= y <= y + height <= layout.height + 0.01
    for i, (x1, y1, w1, h1) in enumerate(boxes):
        for x2, y2, w2, h2 in boxes[:i]:
            beside = x1 + w1 <= x2 or x2 + w2 <= x1
            assert beside or y1 + h1 <= y2 or y2 + h2 <= y1
    for (start, end), route in zip(edges, layout.routes, strict=True):
        assert all(below >= above - 0.01 for (_, above), (_, below) in itertools.pairwise(route))
        for box, (x, y) in ((start, route[0]), (end, route[-1])):
            left, top, width, height = boxes[box]
            assert left <= x <= left + width
            assert y == pytest.approx(top + (height if box == start else 0))


def test_a_ladder_has_no_crossings() -> None:
    """The order within a layer follows the neighbours: a graph that can be drawn plainly is."""
    # Two chains, whose boxes come in alternating order.
    edges = [(0, 3), (1, 2), (2, 5), (3, 4), (4, 7), (5, 6)]
    layout = layered([(40.0, 20.0)] * 8, edges)
    left = {box for box in range(8) if layout.corners[box][0] < layout.width / 2}
    assert left in ({0, 3, 4, 7}, {1, 2, 5, 6})


def test_a_long_edge_runs_straight_beside_what_it_passes() -> None:
    """The one that goes past four boxes does not wind around them."""
    edges = [(0, 1), (1, 2), (2, 3), (3, 4), (0, 4)]
    route = layered([(80.0, 30.0)] * 5, edges).routes[-1]
    assert len({round(x, 1) for x, _ in route[2:-2]}) == 1


def test_svg_shows_every_node_once() -> None:
    """Bodies of maps and loops too; a name may have any character."""
    root, groups = told(picture(support.graph))
    assert set(groups) == {node.path for node in support.graph.nodes}
    words = {element.text for element in root.iter(f"{SVG}text")}
    assert {"support", 'version 1.0 <"&">', "severity", "high", "escalate", "list[str]"} <= words
    assert {"cx", "ops", "from owner to owner", "loop · ≤ 3 times", "for each · 8 at once"} <= words


def test_a_body_stands_inside_its_node() -> None:
    """A map is a box with its body in it, so that one sees what is repeated."""
    _, groups = told(picture(support.graph))
    outer = groups["support/escalate-2"]
    inner = [g for g in outer.iter(f"{SVG}g") if g is not outer]
    assert {id(g) for g in inner} == {
        id(groups[node.path]) for node in support.graph.nodes if "escalate-2[]" in node.path
    }
    frame, box = outer.find(f"{SVG}rect"), inner[-1].find(f"{SVG}rect")
    assert frame is not None
    assert box is not None
    for start, length in (("x", "width"), ("y", "height")):
        assert float(frame.attrib[start]) < float(box.attrib[start])
        ends = [float(r.attrib[start]) + float(r.attrib[length]) for r in (box, frame)]
        assert ends == sorted(ends)


def test_states_and_counts_colour_the_picture() -> None:
    states = {"support/escalate": "failed", "support/split": "skipped"}
    svg = picture(support.graph, states, counts={"support/escalate": 7})
    root, groups = told(svg)
    fills = {path: _fill(group) for path, group in groups.items()}
    assert len({fills["support/escalate"], fills["support/split"], fills["support/severity"]}) == 3
    assert fills["support/severity"] == fills["support/text"]  # neither was reached
    words = {element.text for element in root.iter(f"{SVG}text")}
    assert {"7", "failed", "skipped"} <= words
    assert "succeeded" not in words


def _fill(group: ET.Element) -> str:
    shapes = [e for e in group if e.tag in (f"{SVG}rect", f"{SVG}polygon")]
    return shapes[0].attrib["fill"]


def test_the_states_of_a_run_follow_from_its_events() -> None:
    """Steps tell what became of them; merges, cases and bodies follow from what is around."""
    events = [
        event("accepted"),
        event("chosen", "severity", value=1),
        event("done", "polish[0]/classify"),
        event("done", "polish[1]/classify"),
        event("done", "split"),
        event("failed", "escalate-2[0]", due=1.0),
        event("done", "escalate-2[1]"),
    ]
    running = states_of(support.graph, events)
    assert running["support/severity[low]"] == "succeeded"
    assert running["support/severity[high]"] == "skipped"
    assert running["support/polish[]/classify"] == running["support/polish"] == "succeeded"
    assert running["support/escalate-2[]"] == running["support/escalate-2"] == "waiting"
    assert "support/merge" not in running

    over = [
        event("started", "escalate-2[0]"),
        event("done", "escalate-2[0]"),
        event("ended", detail="succeeded"),
    ]
    done = states_of(support.graph, [*events, *over])
    assert done["support/escalate"] == done["support/alone"] == "skipped"
    assert done["support/escalate-2"] == done["support/merge"] == "succeeded"
    assert "support/escalate/compensate" not in done


async def test_the_history_of_a_run_colours_every_node() -> None:
    """As the runtime tells it: nothing is left white once a run has succeeded."""
    async with ps.Runtime() as runtime:
        run = await runtime.start(support, "two words")
        await run.result()
        states = states_of(support.graph, await run.history())
    skipped = {path.removeprefix("support/") for path, s in states.items() if s == "skipped"}
    assert skipped == {"severity[high]", "escalate", "alone"}
    left = {node.path for node in support.graph.nodes} - set(states)
    assert left == {"support/escalate/compensate"}


async def test_what_is_never_skipped_is_not_shown_as_skipped() -> None:
    """`collect` of nothing is an empty list, and `optional` of nothing is None."""

    @ps.workflow
    def nothing(flow: ps.Flow, text: ps.Node[str]) -> ps.Node[list[str]]:
        urgent = flow.call(classify, flow.when(text, lambda text: "!" in text, name="urgent"))
        flow.optional(urgent)
        return flow.collect(urgent)

    async with ps.Runtime() as runtime:
        run = await runtime.start(nothing, "text")
        assert await run.result() == []
        states = states_of(nothing.graph, await run.history())
    named = {path.removeprefix("nothing/"): state for path, state in states.items()}
    assert named["urgent"] == named["classify"] == "skipped"
    assert named["optional"] == named["collect"] == "succeeded"


async def test_a_run_that_failed_is_coloured_up_to_there() -> None:
    @ps.step
    async def fail(text: str) -> str:
        raise OSError

    @ps.workflow
    def failing(flow: ps.Flow, text: ps.Node[str]) -> ps.Node[str]:
        broken = flow.call(fail, flow.call(classify, text))
        return flow.call(joined, broken, flow.apply(str, broken))

    async with ps.Runtime() as runtime:
        run = await runtime.start(failing, "text")
        with pytest.raises(ps.RunFailed):
            await run.result()
        states = states_of(failing.graph, await run.history())
    assert states["failing/classify"] == "succeeded"
    assert states["failing/fail"] == "failed"
    assert states.get("failing/joined") in (None, "cancelled")


def test_the_worst_item_decides_how_a_body_is_coloured() -> None:
    events: list[ps.Event | ps.EventsLost] = [
        event("chosen", "severity", value=1),
        event("done", "escalate-2[0]"),
        event("failed", "escalate-2[10]"),
        event("done", "escalate-2[2]"),
        ps.EventsLost(3),
    ]
    assert states_of(support.graph, events)["support/escalate-2[]"] == "failed"


def test_levels_of_a_recursion_are_one_node() -> None:
    """However deep it went, the picture has each node once."""

    def is_done(text: str) -> bool:
        return not text

    @ps.workflow
    def tree(flow: ps.Flow, text: ps.Node[str]) -> ps.Node[str]:
        case = flow.switch(text, key=is_done)
        again: ps.Node[str] = flow.recurse(flow.call(classify, case[False]), max_depth=5)
        return flow.merge(case[True], again)

    @ps.workflow
    def forest(flow: ps.Flow, text: ps.Node[str]) -> ps.Node[str]:
        return flow.call(tree, text)

    def done(node: str) -> ps.Event:
        return ps.Event(at=0.0, kind="done", node=node)

    levels = ["tree/classify", "tree/recurse/classify", "tree/recurse/recurse/classify"]
    assert states_of(tree.graph, [done(path) for path in levels])["tree/classify"] == "succeeded"
    states = states_of(forest.graph, [done(f"forest/{path}") for path in levels])
    (body,) = [n.path for n in forest.graph.nodes if n.path.endswith("/classify")]
    assert states[body] == "succeeded"
    assert {path for path in states if "recurse/recurse" in path} == set()
    told(picture(tree.graph))
    told(picture(forest.graph, states))


def test_coverage_colours_what_was_never_seen() -> None:
    nothing = measured(support.graph, None, digest="", pairs=None)
    _, groups = told(coverage_picture(support.graph, nothing))
    missed = told(picture(support.graph, {"support/escalate": "missed"}))[1]["support/escalate"]
    drawn = [path for path in groups if not path.endswith("/compensate")]
    assert {_fill(groups[path]) for path in drawn} == {_fill(missed)}


def test_a_picture_of_a_thousand_nodes_is_drawn() -> None:
    """Crossings are not counted for ever: a graph that a file made is drawn in a moment."""

    @ps.workflow
    def wide(flow: ps.Flow, text: ps.Node[str]) -> ps.Node[str]:
        rows = [flow.call(classify, text) for _ in range(100)]
        for _ in range(9):
            rows = [flow.call(classify, row) for row in rows]
        return flow.call(joined, *rows)

    _, groups = told(picture(wide.graph))
    assert len(groups) == 1002


@ps.step
async def joined(*texts: str) -> str:
    return "".join(texts)
