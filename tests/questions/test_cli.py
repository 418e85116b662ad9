"""The commands: what they print, their JSON, and what they say of mistakes."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from penstock._cli._app import app
from questions.world import changed, fill, trouble


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(it) for it in arguments], env={"COLUMNS": "100"})


def shown(*arguments: object) -> str:
    result = run(*arguments)
    assert result.exit_code == 0, result.stderr
    return result.stdout


def data(*arguments: object) -> Any:
    return json.loads(shown(*arguments, "--json"))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cli") / "a.db"

    async def both() -> None:
        with trouble(retrieve=3):
            await fill(path, range(1, 151))
        with trouble(classify=3, draft=3):
            await fill(path, range(1, 151), changed)

    asyncio.run(both())
    return path


def test_a_baseline_is_saved_listed_and_compared_with(store: Path) -> None:
    text = shown("baseline", "save", store, "before", "--version", "1.0.0")
    assert "baseline before saved" in text
    assert "1.0.0  150 runs" in text
    saved = data("baseline", "save", store, "all")
    assert saved["parts"][0]["runs"] == 300
    assert "sample" not in saved["parts"][0]
    assert "all" in shown("baseline", "list", store)
    assert [each["name"] for each in data("baseline", "list", store)] == ["before", "all"]
    text = shown("compare", store, "before", "--since", "1d", "--version", "1.1.0")
    assert "verdict" in text
    assert "no difference shown" in text or "not enough data" in text
    assert "runs of each" in text
    (found,) = data("compare", store, "before", "--since", "1d", "--version", "1.1.0")
    metrics = {each["metric"]: each for each in found["metrics"]}
    assert metrics["retry_burden"]["judgement"] == "worse"
    assert found["baseline"]["runs"] == found["version"]["runs"] == 150
    (back,) = data("compare", store, "1.1.0", "1.0.0", "--workflow", "support")
    judged = {each["metric"]: each["judgement"] for each in back["metrics"]}
    assert judged["retry_burden"] == "better"


def test_the_questions_are_answered(store: Path) -> None:
    text = shown("value", store, "--workflow", "support")
    assert "a success is worth $0.500, as its terms say" in text
    assert "50 failed and contained" in text
    assert "not known" in text
    text = shown("storms", store)
    assert "no storm in 2 queues" in text
    assert "support 1.1.0" in text
    text = shown("predictors", store, "--workflow", "support")
    # Of 1.1.0 each third number is trouble at both.
    assert "low attempts of classify goes with success" in text
    text = shown("predictors", store, "--workflow", "support", "--outcome", "score:csat")
    assert "none: none of 0 features" in text
    text = shown("impact", store, "--model", "gpt", "--to", "mini")
    assert "draft" in text
    assert "NO FALLBACK" in text
    assert "re-priced: $0.600 would be $0.0600" in text
    assert "to decide a release of support" in text
    assert "nothing in the window" in shown("impact", store, "--model", "nobody")


def test_the_answers_are_data_as_well(store: Path, tmp_path: Path) -> None:
    (value,) = data("value", store)
    assert {each["step"] for each in value["steps"]} == {"classify", "retrieve", "draft"}
    assert data("storms", store)["tangles"][0]["workflow"] == "support"
    assert data("predictors", store, "--workflow", "support")["runs"] == 300
    prices = tmp_path / "new.toml"
    prices.write_text('package = ""\n[models.gpt]\ninput = 2\noutput = 20\n', "utf-8")
    found = data("impact", store, "--model", "gpt", "--prices", prices)
    assert found["low"] == found["high"] == 2 * found["spend"]


def test_a_storm_is_told_with_its_owner(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from penstock._questions import _asking
    from questions.test_storms import rows

    monkeypatch.setattr(_asking, "rows_of_kinds", lambda *_: rows(counted=True))
    text = shown("storms", store)
    assert "found by: the engine counted it" in text
    assert "owner ml, playbook https://play/classify" in text
    assert "demand" in text


def test_mistakes_are_told(store: Path, tmp_path: Path) -> None:
    broken = tmp_path / "new.toml"
    broken.write_text("[models.gpt]\ninput = -1\n", "utf-8")
    mistakes: tuple[tuple[tuple[object, ...], str], ...] = (
        (("compare", store, "nobody"), "has no baseline 'nobody'"),
        (("compare", store, "1.0.0", "1.1.0"), "--workflow NAME"),
        (("compare", store, "1", "2", "3"), "a baseline, or two versions"),
        (("compare", store, "1.0.0", "9", "--workflow", "support"), "1.0.0, 1.1.0"),
        (("value", store, "--workflow", "other"), "no run of 'other' started"),
        (("value", store, "--since", "1h", "--until", "2h"), "is not before --until"),
        (("predictors", store, "--workflow", "other"), "no workflow 'other'"),
        (("predictors", store, "--workflow", "support", "--outcome", "cost"), "no outcome is"),
        (("impact", store), "name what would change"),
        (("impact", store, "--queue", "gpt", "--to", "mini"), "name the model, too"),
        (("impact", store, "--prices", broken), "line 2"),
        (("impact", store, "--prices", tmp_path / "none.toml"), "can't be read"),
        (
            ("baseline", "save", store, "x", "--since", "2020-01-01", "--until", "2020-01-02"),
            "over",
        ),
    )
    for arguments, told in mistakes:
        refused = run(*arguments)
        assert refused.exit_code == 2, arguments
        assert told in refused.stderr, refused.stderr
