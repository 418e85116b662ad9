"""docs/interfaces.md shows programs that run, and commands that can be called."""

import shlex
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any, Final

import pytest
import typer

from pages import DOCS, blocks, execute_up_to
from penstock._cli._app import app

TEXT: Final = (DOCS / "interfaces.md").read_text("utf-8")
BLOCKS: Final = blocks(TEXT)
LINES: Final = [line for block in blocks(TEXT, "sh") for line in block.splitlines()]


@pytest.fixture(scope="module")
def page() -> Iterator[ModuleType]:
    """A module that holds what the page has defined so far."""
    module = ModuleType("interfaces_page")
    sys.modules[module.__name__] = module
    yield module
    del sys.modules[module.__name__]


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_a_program_gives_what_the_page_says(number: int, page: ModuleType) -> None:
    """Each after the ones above it, whose names it may use."""
    assert execute_up_to(number, BLOCKS, page)


@pytest.mark.parametrize("line", LINES)
def test_a_command_of_the_page_can_be_called(line: str) -> None:
    group: Any = typer.main.get_command(app)
    penstock, name, *arguments = shlex.split(line)
    assert penstock == "penstock"
    group.commands[name].make_context(name, arguments)
