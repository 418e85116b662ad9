"""docs/models.md shows programs that run, a model that can be read, and commands that there are."""

import re
import shlex
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import pytest
import typer

from pages import DOCS, blocks, execute_up_to
from penstock._cli._app import app
from penstock._simulation import Model
from penstock._simulation._distributions import KINDS
from penstock._simulation._fit import MOST_RUNS
from penstock._simulation._fit import _failures as failures
from penstock._simulation._fit import _flight as flight
from penstock._simulation._fit import _outages as outages
from penstock._simulation._fit._fitting import DRAFT

DOC: Final = (DOCS / "models.md").read_text("utf-8")
PROGRAMS: Final = blocks(DOC)
LINES: Final = [line for block in blocks(DOC, "sh") for line in block.splitlines()]


@pytest.fixture(scope="module")
def page() -> Iterator[ModuleType]:
    """A module that holds what the page has defined so far."""
    module = ModuleType("models_page")
    sys.modules[module.__name__] = module
    yield module
    del sys.modules[module.__name__]


@pytest.mark.parametrize("number", range(len(PROGRAMS)))
def test_a_program_gives_what_the_page_says(number: int, page: ModuleType) -> None:
    assert execute_up_to(number, PROGRAMS, page)


@pytest.mark.parametrize("line", LINES)
def test_a_command_of_the_page_can_be_called(line: str) -> None:
    command: Any = typer.main.get_command(app)
    penstock, *arguments = shlex.split(line)
    assert penstock == "penstock"
    while hasattr(command, "commands"):
        command = command.commands[arguments.pop(0)]
    # Parsing alone: a mistake in the call raises.
    command.make_context("it", arguments)


def test_the_model_of_the_page_is_one(tmp_path: Path) -> None:
    (text,) = blocks(DOC, "toml")
    file = tmp_path / "m.toml"
    file.write_text(text, "utf-8")
    model = Model.read(file)
    assert model.steps["draft"].failure(2, after="error").error == 0.2
    model.write(file)
    assert Model.read(file) == model


def test_every_key_of_a_model_is_on_the_page() -> None:
    (text,) = blocks(DOC, "toml")
    for table in tomllib.loads(text):
        assert f"`{table}" in DOC or table in ("format", "workflow", "version")
    for kind, names in KINDS.items():
        assert f"`{kind}` (" in DOC
        assert all(f"`{name}`" in DOC for name in names)


def test_the_numbers_of_the_page_are_those_of_the_code() -> None:
    assert f"the newest {MOST_RUNS:,} runs" in DOC
    assert f"Under {DRAFT}\nruns the model is a *draft*" in DOC
    assert (flight.LEAST, flight.SHOWN, failures.LEAST) == (30, 4.0, 30)
    assert (outages._HALF, outages._LEAST, outages._FAR) == (0.5, 10, 3.0)


def test_what_the_page_points_to_is_there() -> None:
    for link in re.findall(r"\]\((?!https?:)([^)#]+)", DOC):
        assert (DOCS / link).is_file(), link
