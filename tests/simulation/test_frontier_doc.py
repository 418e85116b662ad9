"""docs/frontier.md shows programs that run, commands that there are, and a file that is one."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import pytest
import typer

from pages import DOCS, blocks, execute_up_to
from penstock._cli._app import app
from penstock._simulation._frontier import Vary

TEXT: Final = (DOCS / "frontier.md").read_text("utf-8")
PROGRAMS: Final = blocks(TEXT)
LINES: Final = [line for block in blocks(TEXT, "sh") for line in block.splitlines()]


@pytest.fixture(scope="module")
def page() -> Iterator[ModuleType]:
    """What holds what the page has defined so far."""
    module = ModuleType("frontier_page")
    sys.modules[module.__name__] = module
    yield module
    del sys.modules[module.__name__]


@pytest.mark.parametrize("number", range(len(PROGRAMS)))
def test_a_program_gives_what_the_page_says(number: int, page: ModuleType) -> None:
    """Each after the ones above it, whose names it may use."""
    assert execute_up_to(number, PROGRAMS, page)


@pytest.mark.parametrize("line", LINES)
def test_a_command_of_the_page_can_be_called(line: str) -> None:
    group: Any = typer.main.get_command(app)
    penstock, name, *arguments = shlex.split(line)
    assert penstock == "penstock"
    group.commands[name].make_context(name, arguments)


def test_every_command_that_forecasts_is_on_the_page() -> None:
    assert {line.split()[1] for line in LINES} == {"simulate", "frontier", "capacity", "forecasts"}


def test_the_vary_file_of_the_page_is_one_of_its_workflow(tmp_path: Path, page: ModuleType) -> None:
    (text,) = blocks(TEXT, "toml")
    file = tmp_path / "vary.toml"
    file.write_text(text, "utf-8")
    assert execute_up_to(0, PROGRAMS, page)

    changes, left_out = Vary.read(file).changes(page.support)

    assert len(changes) == 1 + 4 * 4 * 3 * 2
    assert not left_out


def test_what_the_page_points_to_is_there() -> None:
    for link in re.findall(r"\]\((?!https?:)([^)#]+)", TEXT):
        assert (DOCS / link).is_file(), link
