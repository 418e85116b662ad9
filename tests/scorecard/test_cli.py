"""The commands scorecard and explain: windows, zones, output, and what is said of mistakes."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

import penstock as ps
from loops import noop
from penstock import _figures
from penstock._cli._app import app
from penstock._scorecard import Row, Scorecard
from penstock._stored import StoreView
from scorecard.world import START, service

DAY = ("--since", "2026-11-26T00:00Z", "--until", "2026-11-27T00:00Z")


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(it) for it in arguments], env={"COLUMNS": "120"})


@pytest.fixture
def store(tmp_path: Path) -> Path:
    async def fill() -> None:
        async with ps.Runtime(store=str(tmp_path / "a.db")) as rt:
            await rt.run(noop, 7, run_id="good", tenant="acme")

    asyncio.run(fill())
    return tmp_path / "a.db"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, float]]:
    """Rows as from a store; which windows were asked for."""
    windows: list[tuple[float, float]] = []

    def rows_of(view: StoreView, since: float, until: float) -> list[Row]:
        windows.append((since, until))
        return [row for row in service() if since <= row.window < until]

    monkeypatch.setattr(_figures, "rows_of_store", rows_of)
    return windows


def test_the_scorecard_is_printed(store: Path, asked: list[tuple[float, float]]) -> None:
    shown = run("scorecard", store, *DAY, "--by", "tenant")
    assert shown.exit_code == 0, shown.stderr
    assert asked == [(START, START + 86_400)]
    assert "2026-11-26 00:00 to 2026-11-27 00:00 UTC  14,251 runs" in shown.stdout
    assert "success rate" in shown.stdout
    assert "tenant-1" in shown.stdout


def test_json_reads_back_and_html_is_written(
    store: Path, asked: list[tuple[float, float]], tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    shown = run("scorecard", store, *DAY, "--by", "workflow", "--json", "--html", page)
    assert shown.exit_code == 0, shown.stderr
    found = Scorecard.from_json(shown.stdout)
    assert [card.name for card in found.groups] == ["support"]
    assert "<svg" in page.read_text("utf-8")
    refused = run("scorecard", store, *DAY, "--html", tmp_path / "none" / "page.html")
    assert refused.exit_code == 2
    assert "can't be written" in refused.stderr


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("15m", 900), ("24h", 86_400), ("7d", 604_800)]
)
def test_a_window_may_be_a_duration_up_to_now(
    store: Path, asked: list[tuple[float, float]], text: str, seconds: float
) -> None:
    before = datetime.now(UTC).timestamp()
    assert run("scorecard", store, "--since", text).exit_code == 0
    ((since, until),) = asked
    assert until - since == pytest.approx(seconds, abs=1)
    assert until >= before


@pytest.mark.parametrize(
    ("text", "zone", "at"),
    [
        ("2026-11-26T00:00Z", "UTC", START),
        ("2026-11-26T01:00+01:00", "UTC", START),
        ("2026-11-25T18:30-05:30", "UTC", START),
        ("2026-11-26", "UTC", START),
        ("2026-11-26", "Asia/Kathmandu", START - 20_700),
        # The clocks go back in the night: 01:30 comes twice, and the first one is meant.
        ("2026-10-25T01:30", "Europe/London", 1_792_888_200.0),
        ("2026-10-25T03:00", "Europe/London", 1_792_897_200.0),
    ],
)
def test_a_time_is_in_its_zone_or_the_local_one(
    store: Path,
    asked: list[tuple[float, float]],
    monkeypatch: pytest.MonkeyPatch,
    text: str,
    zone: str,
    at: float,
) -> None:
    import time

    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        assert run("scorecard", store, "--since", text, "--until", "2027-01-01").exit_code == 0
    finally:
        monkeypatch.undo()
        time.tzset()
    assert asked[0][0] == at


def test_mistakes_are_told(store: Path, asked: list[tuple[float, float]]) -> None:
    for options, told in (
        (("--since", "yesterday"), "--since 'yesterday' is no time; write it as 24h, 7d"),
        (("--since", "1h", "--until", "2h"), "is not before --until"),
        (("--horizon", "long"), "--horizon 'long' is no duration"),
    ):
        refused = run("scorecard", store, *options)
        assert refused.exit_code == 2
        assert told in refused.stderr


def test_runs_that_are_open_for_too_long_are_failures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fill() -> None:
        async with ps.Runtime(store=str(tmp_path / "a.db")) as rt:
            run = await rt.start(noop, 1, run_id="held")
            await run.result()
            waits = await rt.start(waiting, 1, run_id="waits", tenant="acme")
            assert waits.status == "running"

    asyncio.run(fill())
    monkeypatch.setattr(_figures, "rows_of_store", lambda *_: list[Row]())
    for horizon, count in (("0s", 1), ("1h", 0)):
        shown = run("scorecard", tmp_path / "a.db", "--since", "1h", "--horizon", horizon, "--json")
        assert shown.exit_code == 0, shown.stderr
        ended = json.loads(shown.stdout)["whole"]["quality"]["ended"]
        assert ended.get("unresolved", 0) == count


def test_explain_tells_where_time_went(store: Path) -> None:
    shown = run("explain", store, "good")
    assert shown.exit_code == 0, shown.stderr
    assert "succeeded after" in shown.stdout
    assert "* noop/noop" in shown.stdout
    content = json.loads(run("explain", store, "good", "--json").stdout)
    assert content["status"] == "succeeded"
    spans = [it["end"] - it["start"] for it in content["path"]]
    assert sum(spans) == pytest.approx(content["ended"] - content["accepted"])
    missing = run("explain", store, "nobody")
    assert missing.exit_code == 2
    assert "has no run 'nobody'" in missing.stderr


@ps.workflow
def waiting(flow: ps.Flow, value: ps.Node[int]) -> ps.Node[str]:
    return flow.signal(ps.Signal("approval", str), after=value)
