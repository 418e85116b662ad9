"""Text, HTML and JSON of a scorecard: readable at any width, well-formed, and closed in itself."""

from __future__ import annotations

import json
import random
import re
import time
import xml.etree.ElementTree as ET
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import penstock as ps
from penstock._scorecard import By, NodeFacts, Row, Scorecard, scorecard
from penstock._scorecard._html import page
from penstock._scorecard._text import report
from penstock._scorecard._words import NO_DATA, percent, sparkline, usd
from scorecard.world import START, TENANTS, facts, notes, runs_row, service

GOLDEN = Path(__file__).parent / "golden.json"
DAY = 86_400
NASTY = '<script>alert("x")</script>&]]>'


@cache
def day(by: By | None = "step") -> Scorecard:
    return scorecard(service(), since=START, until=START + DAY, by=by, nodes=facts(), notes=notes())


def empty() -> Scorecard:
    return scorecard([], since=START, until=START + DAY, by="step")


def rounded(content: Any) -> Any:
    """Pythons add up floats in different ways."""
    if isinstance(content, float):
        return float(f"{content:.12g}")
    if isinstance(content, list):
        return [rounded(it) for it in content]
    if isinstance(content, dict):
        return {key: rounded(it) for key, it in content.items()}
    return content


def elements(html: str) -> ET.Element:
    return ET.fromstring(html.removeprefix("<!DOCTYPE html>"))  # noqa: S314


def words(element: ET.Element) -> str:
    return " ".join(" ".join(element.itertext()).split())


def test_json_is_what_it_was_and_reads_back() -> None:
    """The golden file is what others parse: a change of it is a change of format."""
    found = scorecard(
        service(hours=1, every=600),
        since=START,
        until=START + 3_600,
        by="owner",
        nodes=facts(),
        notes=notes(),
    )
    assert rounded(json.loads(found.to_json())) == rounded(json.loads(GOLDEN.read_text("utf-8")))
    for card in (found, day("version"), day(None), empty()):
        assert Scorecard.from_json(card.to_json()) == card


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 1}', '{"format": 1, "since": "x"}'])
def test_what_is_no_scorecard_is_refused(text: str) -> None:
    with pytest.raises(ps.PenstockError, match="no scorecard"):
        Scorecard.from_json(text)


def test_another_format_is_refused_by_its_number() -> None:
    with pytest.raises(ps.PenstockError, match="format 2; give one of format 1"):
        Scorecard.from_json('{"format": 2}')


@pytest.mark.parametrize("width", [40, 60, 80, 100, 140])
def test_text_fits_the_terminal_and_needs_no_colour(width: int) -> None:
    text = report(day(), width=width)
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) <= width
    for told in ("success rate", "96.8 %", "cost per success", "≥ $0.0140", "draft", "$131.17"):
        assert told in text
    assert "\x1b[" in report(day(), width=width, colour=True)


def test_text_shows_more_where_there_is_room() -> None:
    narrow, wide = report(day(), width=60), report(day(), width=140)
    assert "13,802 of 14,251" in wide
    assert "13,802 of 14,251" not in narrow
    assert re.search("[▁▂▃▄▅▆▇█]{20}", wide)
    assert not re.search("[▁▂▃▄▅▆▇█]{20}", narrow)


def test_a_figure_without_data_says_so_everywhere() -> None:
    for shown in (report(empty(), width=100), words(elements(page(empty())))):
        assert NO_DATA in shown
        assert "100 %" not in shown
        assert "$0" not in shown
    assert "no step has data" in report(empty(), width=100)


def test_money_that_is_not_priced_shows_as_at_least() -> None:
    row = Row(
        START,
        "runs",
        {"workflow": "w", "version": "1", "overlay": "", "tenant": None},
        {
            "accepted": 1,
            "ended": {"succeeded": 1},
            "cost": {"nanos": 10**9, "squares": 1.0, "succeeded": 10**9},
            "unpriced": {"lines": 1, "of": 4},
        },
    )
    found = scorecard([row], since=START, until=START + 60, by="tenant")
    for shown in (report(found, width=120), words(elements(page(found)))):
        assert "≥ $1.00" in shown
        assert "25.0 % unpriced" in shown


@pytest.mark.parametrize("by", ["step", "workflow", "version", "owner", "tenant", "queue", None])
def test_html_is_well_formed_and_needs_nothing_from_outside(by: By | None) -> None:
    html = page(day(by), title="support")
    root = elements(html)
    assert not re.search(r"https?:|//|url\(|@import|<script|<link|<img|<iframe| on\w+=", html)
    plots = [it.get("aria-label") for it in root.iter("svg") if it.get("class") == "plot"]
    assert plots == ["Success rate", "Cost per success", "Retry burden", "Queue delay"]
    shown = words(root)
    for told in ("96.8 %", "$193.72", "failed attempts", "Change management", "retry storms"):
        assert told in shown
    assert len(html) < 200_000


def test_the_bar_of_waste_is_as_long_as_its_parts() -> None:
    root = elements(page(day()))
    bar = next(it for it in root.iter("svg") if it.get("class") == "partition")
    parts = list(bar.iter("rect"))
    widths = [float(it.get("width", "0")) + 2 for it in parts]
    assert sum(widths) == pytest.approx(1_000, abs=1)
    waste = day().whole.economics.waste
    assert widths[0] / 1_000 == pytest.approx(waste.useful / waste.total, abs=0.001)
    assert [words(it).split(":")[0] for it in parts] == [
        "useful",
        "failed runs",
        "failed attempts",
        "hedges and races lost",
        "escalation",
    ]


def test_names_cannot_break_out_of_the_page() -> None:
    nodes = {key: replace(it, step=f"{NASTY}{it.step}", owner=NASTY) for key, it in facts().items()}
    row = next(row for row in service() if row.kind == "runs")
    body = json.loads(json.dumps(row.body).replace("gpt output", NASTY.replace('"', '\\"')))
    told = Row(row.window, row.kind, {**row.key, "tenant": NASTY}, body)
    for by in ("step", "owner", "tenant"):
        found = scorecard([told], since=START, until=START + 60, by=by, nodes=nodes)
        html = page(found, title=NASTY)
        assert "<script" not in html
        assert NASTY in words(elements(html)), "it is shown as it is"
        assert NASTY[:7] in report(found, width=200)


def test_a_gap_in_a_trend_is_a_gap_in_its_line() -> None:
    rows = [row for row in service(hours=6) if not START + 7_200 <= row.window < START + 10_800]
    found = scorecard(rows, since=START, until=START + 6 * 3_600, nodes=facts())
    plot = next(it for it in elements(page(found)).iter("svg") if it.get("class") == "plot")
    lines = [it for it in plot.iter("path") if "line" in (it.get("class") or "")]
    assert len(lines) == 4, "success and first pass, each before and after the gap"
    assert "nan" not in ET.tostring(plot, "unicode").lower()


def test_figures_are_rounded_so_that_they_do_not_lie() -> None:
    assert percent(0.99999) == ">99.9 %"
    assert percent(0.00001) == "<0.01 %"
    assert (percent(0.0), percent(1.0)) == ("0 %", "100 %")
    assert usd(1234567.891) == "$1,234,567.89"
    assert usd(-0.5) == "-$0.500"
    assert sparkline([None, None]) == ""
    assert sparkline([5, 5, 5]) == "▄▄▄"
    assert len(sparkline(range(1_000), 24)) == 24


def test_a_scorecard_costs_no_more_than_reading_its_rows() -> None:
    """A ratio within one run: sums take less time than parsing the same rows from JSON twice."""
    rng = random.Random(1)
    rows = [
        runs_row(rng, START + 60 * minute, tenant, 20, 0.05, "1.0.0")
        for minute in range(360)
        for tenant in TENANTS
    ]
    text = json.dumps([row.body for row in rows])
    nodes: dict[tuple[str, str, str], NodeFacts] = dict(facts())

    def best(of: object) -> float:
        times: list[float] = []
        for _ in range(3):
            start = time.perf_counter()
            if of == "json":
                json.loads(text)
            else:
                scorecard(rows, since=START, until=START + 21_600, by="tenant", nodes=nodes)
            times.append(time.perf_counter() - start)
        return min(times)

    assert best("scorecard") < 3 * best("json")
