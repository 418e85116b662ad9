"""penstock model: what it writes, prints, and says of mistakes."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from penstock._cli import _forecasting
from penstock._cli._app import app
from penstock._simulation import Distribution, Model
from simulation.truth import served

SERVICE = str(Path(__file__).with_name("service.py"))


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["model", *map(str, arguments)], env={"COLUMNS": "100"})


def shown(*arguments: object) -> str:
    result = run(*arguments)
    assert result.exit_code == 0, result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def store(stores: Path) -> Path:
    return served(stores / "a.db", 120)


def test_a_model_is_made_shown_and_checked(tmp_path: Path) -> None:
    file = tmp_path / "m.toml"
    target = f"{SERVICE}:support"
    options = ("--latency", "0.2", "--latency", "approval=3600", "--latency", "large=1.5")
    text = shown("new", target, *options, "--rate", 4, "-o", file)
    assert "taken for granted: steps.small: half of its values are accepted" in text
    assert file.read_text("utf-8").startswith("# Taken for granted; change what is not so:\n")
    model = Model.read(file)
    assert model.steps["large"].latency == Distribution.constant(1.5)
    assert model.steps["page"].latency == Distribution.constant(0.2)
    assert model.arrivals.mean_rate == 4.0
    assert shown("new", target, *options, "--rate", 4) == file.read_text("utf-8")
    text = shown("show", file)
    assert "written by hand" in text
    assert "4 runs a second, each for itself" in text
    assert json.loads(shown("show", file, "--json")) == model.to_dict()
    assert "is a model of support 1.0.0" in shown("check", file, target)
    sys.modules.pop("service", None)


def test_a_model_is_fitted_to_a_store(tmp_path: Path, store: Path) -> None:
    file = tmp_path / "m.toml"
    text = shown("fit", store, "--workflow", "support", "-o", file)
    assert "fitted to 120 runs" in text
    assert "not known:" in text
    model = Model.read(file)
    assert model.fitted is not None
    assert (model.workflow, model.version, model.fitted.runs) == ("support", "1.0.0", 120)
    assert shown("fit", store) == file.read_text("utf-8")
    assert shown("show", file) == text
    few = shown("fit", store, "--runs", 20, "--arrivals", "trace", "--score", "other")
    assert 'kind = "trace"' in few
    assert "draft = true" in few
    assert "quality" not in few


def test_a_model_of_something_else_exits_with_1(tmp_path: Path, store: Path) -> None:
    file = tmp_path / "m.json"
    shown("fit", store, "-o", file)
    result = run("check", file, f"{SERVICE}:support")
    assert result.exit_code == 1
    assert "[steps.refund] is missing" in result.stderr
    sys.modules.pop("service", None)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("new", f"{SERVICE}:support"), "is not known; give it in seconds"),
        (("new", f"{SERVICE}:support", "--latency", "fast"), "--latency 'fast' is none"),
        (("new", f"{SERVICE}:support", "--latency", "-1"), "the latency of all steps is -1.0"),
        (("show", "nowhere.toml"), "can't be read"),
        (("show", "model.yaml"), "let its name end in .toml or .json"),
        (("fit", "nowhere.db"), "nowhere.db"),
        (("fit", "STORE", "--workflow", "other"), "no run of workflow 'other'"),
        (("fit", "STORE", "--version", "9"), "the versions are 1.0.0"),
        (("fit", "STORE", "--arrivals", "even"), "give one of auto, poisson, bursty, trace"),
        (("fit", "STORE", "--since", "soon"), "is no time"),
        (("fit", "STORE", "-o", "m.yaml"), "let its name end in .toml or .json"),
    ],
)
def test_mistakes_exit_with_2(arguments: tuple[str, ...], told: str, store: Path) -> None:
    given = [str(store) if it == "STORE" else it for it in arguments]
    result = run(*given)
    assert result.exit_code == 2
    assert told in result.stderr
    sys.modules.pop("service", None)


def test_how_far_the_reading_is_stands_on_a_terminal_only(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = io.StringIO()
    assert "reading runs" not in run("fit", store).stderr
    monkeypatch.setattr(
        _forecasting, "errors", Console(file=written, force_terminal=True, width=100)
    )
    shown("fit", store, "-o", tmp_path / "m.toml")
    assert "reading runs" in written.getvalue()
    assert "120/120" in written.getvalue()
