"""docs/budgets.md shows a program that runs."""

import sys
from types import ModuleType

import pytest

from pages import DOCS, blocks, execute


def test_the_program_gives_what_the_page_says(monkeypatch: pytest.MonkeyPatch) -> None:
    page = ModuleType("budgets_page")
    monkeypatch.setitem(sys.modules, page.__name__, page)
    (program,) = blocks((DOCS / "budgets.md").read_text("utf-8"))
    assert execute(program, page) == 1
