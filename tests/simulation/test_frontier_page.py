"""The page of a frontier: whole, needing nothing, and with all that a person looks for."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from penstock._simulation._frontier import Frontier, Vary, frontier
from penstock._simulation._frontier._plot import Axis, Shades
from simulation.flows import support
from simulation.shop import model, shop

VARY = Vary(
    {
        "queue.gpt.concurrency": [2, 4, 8, 16, 32, 64],
        "step.small.retry.max_attempts": [1, 2, 3, 4],
        "setting.draft.tone": ["kind", "</script><b>"],
    }
)


def found(**options: Any) -> Frontier:
    given: dict[str, Any] = {"evaluate": shop(), "runs": 100, "require": "success>=0.95,p95<=4"}
    return frontier(support, model(), VARY, **{**given, **options})


def picture(page: str) -> ET.Element:
    match = re.search(r'<svg id="plot".*?</svg>', page, re.DOTALL)
    assert match is not None
    return ET.fromstring(match[0])  # noqa: S314  (our own)


def data(page: str) -> Any:
    match = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert match is not None
    return json.loads(match[1])


def test_it_needs_nothing_from_outside() -> None:
    page = found().to_html()

    assert not re.search(r"""(src|href)\s*=|@import|url\(|https?:""", page)
    assert page.count("<script") == 2


def test_its_tags_are_closed() -> None:
    class Checker(HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.open: list[str] = []

        def handle_starttag(self, tag: str, attrs: Any) -> None:
            if tag not in ("meta", "br", "hr"):
                self.open.append(tag)

        def handle_startendtag(self, tag: str, attrs: Any) -> None:
            pass

        def handle_endtag(self, tag: str) -> None:
            assert self.open.pop() == tag

    checker = Checker()
    checker.feed(found().to_html())
    assert not checker.open


def test_the_present_point_the_knee_and_the_cheapest_are_named() -> None:
    front = found()
    drawn = picture(front.to_html())

    names = [it.text or "" for it in drawn.iter("text") if it.get("class") == "name"]
    told = " = ".join(names).split(" = ")
    assert sorted(told) == ["cheapest", "knee", "present"]
    rings = [it for it in drawn.iter("circle") if it.get("class") == "ring"]
    present = next(it for it in drawn.iter("circle") if it.get("data-n") == "0")
    assert [(it.get("cx"), it.get("cy")) for it in rings] == [
        (present.get("cx"), present.get("cy"))
    ]


def test_every_policy_has_its_dot_where_its_figures_are() -> None:
    front = found()
    dots = {
        int(it.get("data-n", "")): it
        for it in picture(front.to_html()).iter("circle")
        if it.get("data-n") is not None
    }

    assert sorted(dots) == [point.number for point in front.points]
    by_cost = sorted(dots, key=lambda n: front.points[n].forecast.metrics["cost"].value or 0)
    places = [float(dots[number].get("cx", "")) for number in by_cost]
    assert places == sorted(places)
    by_p95 = sorted(dots, key=lambda n: front.points[n].forecast.metrics["latency_p95"].value or 0)
    heights = [float(dots[number].get("cy", "")) for number in by_p95]
    assert heights == sorted(heights, reverse=True)


def test_what_the_model_has_not_seen_is_hollow() -> None:
    front = found()
    drawn = picture(front.to_html())

    for dot in drawn.iter("circle"):
        number = dot.get("data-n")
        if number is not None:
            hollow = "hollow" in (dot.get("class") or "").split()
            assert hollow == bool(front.points[int(number)].extrapolated)
            assert hollow != ("fill" in (dot.get("style") or ""))


def test_the_panel_is_told_all_of_each_policy() -> None:
    front = found()
    told = data(front.to_html())

    assert front.cheapest is not None
    assert told["first"] == front.cheapest.number
    point = told["points"][front.cheapest.number]
    assert point["changes"] == list(front.cheapest.change.texts)
    assert "--set" in point["set"]
    assert [name for name, _ in point["figures"]][:3] == ["cost per success", "p95", "success"]
    assert ["quality", None] in point["figures"]  # a hollow band, never 1
    assert point["release"] == "can be released as an overlay"


def test_a_text_of_the_users_is_no_markup() -> None:
    page = found().to_html()

    assert "</script><b>" not in page
    assert any("</script><b>" in text for it in data(page)["points"] for text in it["changes"])


def test_quality_is_no_band_where_it_is_known() -> None:
    page = found(evaluate=shop(quality=True)).to_html()

    assert "not known" not in page.replace('"not known "', "")
    assert all(
        name != "quality" or value for it in data(page)["points"] for name, value in it["figures"]
    )


def test_what_nothing_meets_is_said() -> None:
    assert "no policy meets it" in found(require="p95<=0.01").to_html()


@pytest.mark.parametrize(
    "values", [[1.0, 2.0], [0.001, 900.0], [5.0, 5.0], [0.0, 3.0], [1e-9, 2e-9]]
)
def test_axes_have_round_ticks_between_their_ends(values: list[float]) -> None:
    axis = Axis.around(values, 0.0, 500.0)

    assert all(0 <= axis(value) <= 500 for value in values)
    ticks = axis.ticks()
    assert 2 <= len(ticks) <= 19
    assert ticks == sorted(set(ticks))
    assert all(axis.low <= tick <= axis.high for tick in ticks)


@pytest.mark.parametrize("values", [[0.5, 0.9], [0.2, 0.99999], [1.0], [0.0, 1.0]])
def test_colours_go_up_with_the_share(values: list[float]) -> None:
    shades = Shades.over(values)
    steps = [shades.low + place / 20 * (shades.high - shades.low) for place in range(21)]

    shares = [shades.share(value) for value in steps]
    assert shares == sorted(shares)
    assert all(0 <= share <= 1 for share in shares)
    assert all(re.fullmatch("#[0-9a-f]{6}", shades(value)) for value in steps)
    assert shades.at(shades.share(values[0])) == pytest.approx(values[0], abs=2e-3)
