"""The retry storm: one service dies of an outage that is over, the other does not."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from rich.console import Console

import penstock as ps
import retry_storm_dependency
from retry_storm import RATE, main, replay
from retry_storm_board import Board
from retry_storm_dependency import AFTER, LONGEST, SHORTEST, Outage, outages
from retry_storm_figures import Figures, Record, figures

EXAMPLE = Path(__file__).parents[1] / "examples" / "retry_storm.py"
SECONDS = 210
SVG = "{http://www.w3.org/2000/svg}"
HTML = "{http://www.w3.org/1999/xhtml}"


@dataclass
class Story:
    """What happened to both services."""

    outages: list[Outage]
    naive: Record
    penstock: Record

    def of(self, record: Record) -> dict[str, Figures]:
        """What an outage of each kind did to a service."""
        return {outage.kind: did for outage, did in figures(record, self.outages, RATE)}


@pytest.fixture(scope="module", params=[1, 3])
def story(request: pytest.FixtureRequest) -> Story:
    seed: int = request.param
    downs, _ = outages(SECONDS, seed)
    board = Board(Console(), downs, quiet=True)
    clock = ps.testing.VirtualClock()
    naive, penstock = clock.run(replay(SECONDS, seed, downs, board))
    return Story(downs, naive, penstock)


def test_the_naive_service_does_not_survive_calls_that_hang(story: Story) -> None:
    """At 70 % of what the provider can serve, a calm minute after it was back: no answer at all."""
    did = story.of(story.naive)["hangs"]
    last = next(outage for outage in story.outages if outage.kind == "hangs")
    assert len(story.naive.seconds) - last.ends >= 60
    assert did.amplification > 2
    assert did.recovered is None
    assert did.drained is None
    assert did.goodput < 0.05
    offered, good = story.naive.last(10)
    assert good < 0.05 * offered
    assert story.naive.lost > 0.3 * story.naive.runs


def test_calls_that_fail_at_once_cost_it_its_runs_only(story: Story) -> None:
    """No line builds up at the provider: it recovers, and whoever came in the meantime is lost."""
    did = story.of(story.naive)["fails"]
    assert did.amplification > 2
    assert did.recovered == 0
    assert did.lost > 200


@pytest.mark.parametrize("kind", ["fails", "hangs"])
def test_a_retry_budget_makes_an_outage_end_when_it_is_over(story: Story, kind: str) -> None:
    did = story.of(story.penstock)[kind]
    assert did.amplification <= 1.15
    assert did.recovered is not None
    assert did.recovered <= 5
    assert did.goodput > 1, "what was parked is made up for"
    assert did.drained is not None
    assert did.drained <= 2 * did.ideal
    assert did.flagged is not None
    assert did.flagged <= 5


def test_no_run_is_lost(story: Story) -> None:
    assert story.penstock.runs == story.naive.runs > 13_000
    assert story.penstock.lost == 0
    assert max(second.parked for second in story.penstock.seconds) > 100


def test_every_run_is_counted_in_a_second(story: Story) -> None:
    for record in (story.naive, story.penstock):
        assert [second.ends for second in record.seconds] == list(range(1, SECONDS + 1))
        assert sum(second.offered for second in record.seconds) == record.runs


def test_the_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Well-formed, on its own, a chart with three lines for each service, and the table."""
    file = tmp_path / "storm.html"
    assert main(["--seconds", str(SECONDS), "--quiet", "--html", str(file)]) == 0
    assert str(file) in capsys.readouterr().out.replace("\n", "")
    page = ET.fromstring(file.read_text("utf-8"))  # noqa: S314  # our own
    assert page.find(f".//{HTML}title") is not None
    tags = {element.tag for element in page.iter()}
    assert not tags & {f"{HTML}script", f"{HTML}link", f"{HTML}img"}
    assert all("href" not in attribute for element in page.iter() for attribute in element.attrib)
    charts = {
        chart.attrib["aria-label"].split(":")[0]: chart
        for chart in page.iter(f"{SVG}svg")
        if "over time" in chart.attrib["aria-label"]
    }
    assert list(charts) == ["naive", "penstock"]
    for chart in charts.values():
        lines = [path for path in chart.iter(f"{SVG}path") if path.attrib.get("fill") == "none"]
        points = [path.attrib["d"].count("L") for path in lines]
        assert points == [SECONDS + 1] * 3
        assert len(list(chart.iter(f"{SVG}rect"))) == 2, "the outages"
        words = {text.text for text in chart.iter(f"{SVG}text")}
        assert {"time, s", "calls per second", "offered", "attempts", "goodput"} <= words
    assert len(page.findall(f".//{HTML}tbody/{HTML}tr")) == 4


def test_a_seed_prints_the_same(tmp_path: Path) -> None:
    """In another process, with another hash of strings, as well; and draws the same."""
    printed: list[tuple[str, str]] = []
    for seed, hashes in (("5", "1"), ("5", "2"), ("6", "1")):
        file = tmp_path / "storm.html"
        ran = subprocess.run(
            [
                *(sys.executable, "-W", "error", EXAMPLE),
                *("--seed", seed, "--seconds", "110", "--html", file),
            ],
            capture_output=True,
            check=True,
            encoding="utf-8",
            env={**os.environ, "PYTHONHASHSEED": hashes, "PYTHONIOENCODING": "utf-8"},
            timeout=60,
        )
        assert ran.stderr == ""
        printed.append((ran.stdout, file.read_text("utf-8")))
    assert printed[0] == printed[1] != printed[2]
    assert "STORM" in printed[0][0]
    assert "penstock: no run lost" in printed[0][0]


def test_without_the_records_the_outages_are_built_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(retry_storm_dependency, "RECORDS", tmp_path / "none.csv")
    assert main(["--seconds", "100", "--html", str(tmp_path / "storm.html")]) == 0
    assert "outages: built in, as none.csv is not there" in capsys.readouterr().out


@pytest.mark.parametrize("seconds", [100, 240, 600])
def test_outages_leave_time_to_recover(seconds: int) -> None:
    for seed in range(20):
        laid_out, _ = outages(seconds, seed)
        assert laid_out
        for number, outage in enumerate(laid_out):
            assert outage.kind == ("fails", "hangs")[number % 2]
            assert SHORTEST <= outage.seconds <= LONGEST
        ends = [*(outage.starts for outage in laid_out[1:]), seconds]
        assert all(end - outage.ends >= AFTER for outage, end in zip(laid_out, ends, strict=True))


def test_too_short(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--seconds", "99"])
    assert stopped.value.code == 2
    assert "give at least 100 seconds" in capsys.readouterr().err
