"""docs/queueing.md shows programs that run, and names every parameter with its default."""

import inspect
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import pytest

import penstock as ps
from pages import DOCS, blocks, execute_up_to

TEXT: Final = (DOCS / "queueing.md").read_text("utf-8")
BLOCKS: Final = blocks(TEXT)
ROW: Final = re.compile(
    r"^\| `(?P<parameter>[A-Z]\w+\.\w+)` \| `(?P<default>.*?)` \|", re.MULTILINE
)
POLICIES: Final = (
    ps.Queue,
    ps.RateLimit,
    ps.Adaptive,
    ps.Fairness,
    ps.RetryPolicy,
    ps.RetryBudget,
    ps.Breaker,
    ps.CoDel,
    ps.Hedge,
    ps.Cost,
)


@pytest.fixture(scope="module")
def page() -> Iterator[ModuleType]:
    """A module that holds what the page has defined so far."""
    module = ModuleType("queueing_page")
    sys.modules[module.__name__] = module
    yield module
    del sys.modules[module.__name__]


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_a_program_gives_what_the_page_says(number: int, page: ModuleType) -> None:
    """Each after the ones above it, whose names it may use."""
    assert execute_up_to(number, BLOCKS, page) or number == 0


def test_the_command_line_prints_what_the_page_says(tmp_path: Path) -> None:
    (console,) = blocks(TEXT, "console")
    command, told = console.removeprefix("$ penstock ").split("\n", 1)
    (program,) = (block for block in BLOCKS if block.startswith("shop = "))
    written: dict[str, Any] = {"ps": ps}
    exec(program, written)  # noqa: S102  # our own page
    (tmp_path / "shop.py").write_text(written["shop"], "utf-8")
    ran = subprocess.run(
        [sys.executable, "-m", "penstock", *command.split()],
        cwd=tmp_path,
        check=False,
        capture_output=True,
        encoding="utf-8",
        env={"PYTHONIOENCODING": "utf-8", "COLUMNS": "100"},
        timeout=60,
    )
    assert ran.returncode == 1, ran.stderr
    assert ran.stdout == told


def test_every_parameter_is_on_the_page_with_its_default() -> None:
    told = {row["parameter"]: row["default"] for row in ROW.finditer(TEXT)}
    there = {
        f"{policy.__name__}.{name}": _written(parameter.default)
        for policy in POLICIES
        for name, parameter in inspect.signature(policy).parameters.items()
        if parameter.default is not parameter.empty
    }
    assert told == there


def _written(default: object) -> str:
    if isinstance(default, Mapping):
        return repr(dict(default))
    if isinstance(default, tuple):
        names = ", ".join(kind.__name__ for kind in default)
        return f"({names},)" if len(default) == 1 else f"({names})"
    return repr(default)
