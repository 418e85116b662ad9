"""docs/operating.md names commands and options that there are."""

import re
import shlex
from pathlib import Path
from typing import Any, Final

import pytest
import typer

from penstock._cli._app import app

DOC: Final = Path(__file__).parents[1] / "docs" / "operating.md"
BLOCKS: Final = re.findall(r"^```sh\n(.*?)^```$", DOC.read_text("utf-8"), re.MULTILINE | re.DOTALL)
LINES: Final = [line for block in BLOCKS for line in block.splitlines()]


@pytest.mark.parametrize("line", LINES)
def test_a_command_of_the_doc_can_be_called(line: str) -> None:
    group: Any = typer.main.get_command(app)
    penstock, name, *arguments = shlex.split(line)
    assert penstock == "penstock"
    command = group.commands[name]
    # Parsing alone: a mistake in the call raises.
    command.make_context(name, arguments)


def test_every_command_on_stores_is_in_the_doc() -> None:
    group: Any = typer.main.get_command(app)
    told = {line.split()[1] for line in LINES}
    of_workflows = {"lint", "stability", "diff", "coverage", "interfaces", "contracts", "risks"}
    of_questions = {"baseline", "compare", "value", "storms", "predictors", "impact"}
    of_forecasts = {"model", "simulate", "frontier", "capacity", "forecasts"}
    assert set(group.commands) - of_workflows - of_questions - of_forecasts == told
