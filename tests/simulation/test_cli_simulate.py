"""penstock simulate: what it prints, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from penstock._cli._app import app
from simulation.test_cli_frontier import MODEL, PROGRAM


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a program and a model, in which the command is run."""
    (tmp_path / "mails.py").write_text(PROGRAM, "utf-8")
    (tmp_path / "m.toml").write_text(MODEL, "utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def simulate(*arguments: str) -> Result:
    return CliRunner().invoke(
        app, ["simulate", "mails.py:mail", "--model", "m.toml", "--runs", "2000", *arguments]
    )


@pytest.mark.usefixtures("here")
def test_a_changed_policy_stands_beside_the_present_one() -> None:
    result = simulate("--set", "step.draft.retry.max_attempts=1", "--seed", "3")
    assert result.exit_code == 0, result.output
    lines = {line.split("  ")[0].strip(): line for line in result.output.splitlines()}
    assert "mail 1, by m.toml: 2,000 runs" in lines
    assert "changed: step.draft.retry.max_attempts=1" in lines
    assert "points" in lines["success"]
    assert "wait p95" in lines
    assert "both policies have the same luck" in result.output


@pytest.mark.usefixtures("here")
def test_json_has_each_figure_with_its_interval() -> None:
    result = simulate("--json", "--set", "queue.gpt.concurrency=6")
    usual, changed = json.loads(result.output)
    assert (usual["set"], changed["set"]) == ([], ["queue.gpt.concurrency=6"])
    figure = usual["metrics"]["cost"]
    assert figure["low"] < figure["value"] < figure["high"]


@pytest.mark.usefixtures("here")
def test_what_so_many_runs_come_to_is_less_sure() -> None:
    (many,) = json.loads(simulate("--json", "--level", "0.9").output)
    (few,) = json.loads(simulate("--json", "--of-runs", "50", "--level", "0.9").output)
    wide, narrow = (it["metrics"]["retry_burden"] for it in (few, many))
    assert few["of_runs"] == 50
    assert wide["high"] - wide["low"] > 2 * (narrow["high"] - narrow["low"])


@pytest.mark.usefixtures("here")
def test_a_queue_that_cannot_keep_up_is_named() -> None:
    result = simulate("--set", "queue.gpt.concurrency=2")
    assert "Queue gpt can't keep up" in result.output


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--set", "queue.gtp.concurrency=2"), "did you mean 'gpt'?"),
        (("--set", "nonsense"), "sets nothing"),
        (("--model", "none.toml"), "can't be read"),
    ],
)
def test_a_mistake_is_told(arguments: tuple[str, ...], told: str) -> None:
    result = simulate(*arguments)
    assert result.exit_code == 2
    assert told in " ".join(result.output.split())
