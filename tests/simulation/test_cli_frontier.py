"""penstock frontier and capacity: what they print, what they exit with, and what they refuse."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from penstock._cli import _frontier
from penstock._cli._app import app

PROGRAM = """
import penstock as ps

gpt = ps.Queue("gpt", concurrency=8)
other = ps.Queue("other", concurrency=3)

@ps.step(queue=gpt, retry=ps.RetryPolicy(max_attempts=2))
async def draft(text: str) -> str:
    return text

@ps.step(queue="other")
async def send(text: str) -> str:
    return text

@ps.workflow(version="1")
def mail(flow: ps.Flow, text: ps.Node[str]) -> ps.Node[str]:
    return flow.call(send, flow.call(draft, text))
"""
MODEL = """
format = 1
workflow = "mail"
[arrivals]
kind = "poisson"
rate = 10.0
[steps.draft]
latency = { kind = "exponential", mean = 0.5 }
failures = [{ error = 0.1 }]
spend = [{ resource = "model", usd = 0.01 }]
[steps.send]
latency = { kind = "constant", value = 0.01 }
"""
VARY = '[vary]\n"queue.gpt.concurrency" = [6, 8, 16]\n"step.draft.retry.max_attempts" = [1, 2, 3]\n'


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a program, a model and a vary file, in which the command is run."""
    monkeypatch.chdir(tmp_path)
    name = f"mail_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(PROGRAM, "utf-8")
    (tmp_path / "m.toml").write_text(MODEL, "utf-8")
    (tmp_path / "vary.toml").write_text(VARY, "utf-8")
    return tmp_path / f"{name}.py"


def run(command: str, program: Path, *arguments: str) -> Result:
    given = [command, f"{program.name}:mail", "--model", "m.toml", "--runs", "400", *arguments]
    return CliRunner().invoke(app, given)


def test_frontier_prints_a_table_and_writes_a_page(here: Path) -> None:
    shown = run("frontier", here, "--vary", "vary.toml", "--html", "f.html", "--require", "p95<=9")

    assert shown.exit_code == 0, shown.output
    assert "mail 1: 9 policies, 400 runs each" in shown.output
    for word in ("present", "cheapest", "a day"):
        assert word in shown.output
    assert Path("f.html").read_text("utf-8").startswith("<!DOCTYPE html>")


def test_frontier_prints_json(here: Path) -> None:
    shown = run("frontier", here, "--vary", "vary.toml", "--json", "--seed", "3")

    data = json.loads(shown.stdout)
    assert (data["policies"], data["seed"], data["runs"]) == (9, 3, 400)
    again = run("frontier", here, "--vary", "vary.toml", "--json", "--seed", "3")
    assert again.stdout == shown.stdout


def test_frontier_exits_with_1_if_nothing_is_good_enough(here: Path) -> None:
    shown = run("frontier", here, "--vary", "vary.toml", "--require", "p95<=0.0001")

    assert shown.exit_code == 1
    assert "No policy has p95 <= 100 µs" in shown.output


@pytest.mark.parametrize(
    ("file", "text", "arguments", "told"),
    [
        ("vary.toml", "[vary]\n'queue.gtp.concurrency' = [1]", (), "did you mean 'gpt'"),
        ("vary.toml", "vary", (), "write it as TOML"),
        ("m.toml", MODEL.replace("draft", "drafts"), (), "steps.draft"),
        ("m.toml", MODEL, ("--require", "succes>=1"), "did you mean 'success'"),
        ("m.toml", MODEL, ("--vary", "nowhere.toml"), "can't be read"),
        ("m.toml", MODEL, ("--html", "no/where.html"), "can't be written"),
    ],
)
def test_frontier_tells_mistakes(
    here: Path, file: str, text: str, arguments: tuple[str, ...], told: str
) -> None:
    Path(file).write_text(text, "utf-8")

    shown = run("frontier", here, "--vary", "vary.toml", *arguments)

    assert shown.exit_code == 2
    assert told in shown.output


def test_frontier_tells_that_it_was_interrupted(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(_frontier, "found_frontier", interrupted)
    shown = run("frontier", here, "--vary", "vary.toml")

    assert shown.exit_code == 1
    assert "interrupted before the first policy" in shown.output


def test_capacity_shows_formula_and_simulation(here: Path) -> None:
    shown = run("capacity", here, "--queue", "gpt", "--require", "wait_p95<=0.5")

    assert shown.exit_code == 0, shown.output
    assert "By formula" in shown.output
    assert "By simulation" in shown.output
    assert "present" in shown.output


def test_capacity_by_formula_for_another_load(here: Path) -> None:
    arguments = ("--queue", "gpt", "--require", "wait_p95<=0.5", "--formula", "--json")
    usual = json.loads(run("capacity", here, *arguments).stdout)
    more = json.loads(run("capacity", here, *arguments, "--set", "arrivals.rate=40").stdout)

    assert usual["simulated"] is None
    assert more["load"]["offered"] == pytest.approx(4 * usual["load"]["offered"])
    assert more["formula"] > 3 * usual["formula"]


def test_capacity_tells_mistakes(here: Path) -> None:
    both = run("capacity", here, "--queue", "gpt", "--signal", "x", "--require", "wait_p95<=1")
    none = run("capacity", here, "--queue", "gtp", "--require", "wait_p95<=1")

    assert (both.exit_code, none.exit_code) == (2, 2)
    assert "--queue gpt or --signal" in both.output
    assert "did you mean 'gpt'" in none.output
