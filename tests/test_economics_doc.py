"""docs/economics.md and docs/releases.md show programs that run, and commands that there are."""

import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import pytest
import typer

import penstock as ps
from pages import DOCS, blocks, execute_up_to
from penstock._cli._app import app
from penstock._compaction import LEVELS, PERIOD
from penstock._evidence import Criteria
from penstock._evidence._judge import UNPRICED_MOST
from penstock._scorecard._words import WASTE

PAGES: Final = {
    name: (DOCS / f"{name}.md").read_text("utf-8") for name in ("economics", "releases")
}
PROGRAMS: Final = [
    (name, number) for name, text in PAGES.items() for number in range(len(blocks(text)))
]
LINES: Final = [
    line for text in PAGES.values() for block in blocks(text, "sh") for line in block.splitlines()
]


@pytest.fixture(scope="module")
def pages() -> Iterator[dict[str, ModuleType]]:
    """For each page a module that holds what it has defined so far."""
    modules = {name: ModuleType(f"{name}_page") for name in PAGES}
    sys.modules |= {module.__name__: module for module in modules.values()}
    yield modules
    for module in modules.values():
        del sys.modules[module.__name__]


@pytest.mark.parametrize(("name", "number"), PROGRAMS)
def test_a_program_gives_what_the_page_says(
    name: str, number: int, pages: dict[str, ModuleType]
) -> None:
    """Each after the ones above it, whose names it may use."""
    assert execute_up_to(number, blocks(PAGES[name]), pages[name])


@pytest.mark.parametrize("line", LINES)
def test_a_command_of_the_page_can_be_called(line: str) -> None:
    group: Any = typer.main.get_command(app)
    penstock, name, *arguments = shlex.split(line)
    assert penstock == "penstock"
    # Parsing alone: a mistake in the call raises.
    group.commands[name].make_context(name, arguments)


def test_the_price_book_of_the_page_is_one(tmp_path: Path) -> None:
    (text,) = blocks(PAGES["economics"], "toml")
    file = tmp_path / "prices.toml"
    file.write_text(text, "utf-8")
    book = ps.PriceBook.load(file)
    assert (book.version, book.unknown, book.package) == ("2026-12", "unpriced", None)
    before, after = book.rates["models"]["small"]
    assert "from" not in before
    assert after["from"] == "2026-12-01T00:00:00Z"


def test_the_numbers_of_the_pages_are_those_of_the_code() -> None:
    economics, releases = PAGES["economics"], PAGES["releases"]
    minutes, hours, days = LEVELS
    assert f"after {minutes.age / 60:.0f} minutes there is one row for each minute" in economics
    assert f"after\n{hours.age / 86_400:.0f} days one for each hour" in economics
    assert f"after {days.age / 86_400:.0f} days one for each day" in economics
    assert PERIOD == 600
    assert "every ten minutes" in economics
    assert f"more than {100 * UNPRICED_MOST:.0f} % of an arm's runs" in economics
    usual = Criteria()
    for metric in (*usual.objectives, *usual.guardrails):
        assert f"`{metric}`" in releases
    assert f"{100 * usual.alpha:.0f} %" in releases


def test_every_kind_of_waste_is_on_the_page() -> None:
    table = PAGES["economics"].split("## Waste")[1].split("##")[0]
    told = re.findall(r"^\| ([a-z ]+) \|", table, re.MULTILINE)
    words = {word.removesuffix(" by forks") for name, word in WASTE.items() if name != "unsettled"}
    assert set(told) - {"kind"} == words


def test_what_the_pages_point_to_is_there() -> None:
    for text in PAGES.values():
        for link in re.findall(r"\]\((?!https?:)([^)#]+)", text):
            assert (DOCS / link).is_file(), link
