"""docs/questions.md names commands and options that there are."""

import re
import shlex
from pathlib import Path
from typing import Any, Final

import pytest
import typer

from penstock._cli._app import app
from penstock._evidence._compare import USUAL_MARGINS
from penstock._questions._features import MOST_RUNS
from penstock._questions._samples import FIRST_RUNS
from penstock._questions._value import LEAST

DOC: Final = (Path(__file__).parents[1] / "docs" / "questions.md").read_text("utf-8")
BLOCKS: Final = re.findall(r"^```sh\n(.*?)^```$", DOC, re.MULTILINE | re.DOTALL)
LINES: Final = [line for block in BLOCKS for line in block.splitlines()]


@pytest.mark.parametrize("line", LINES)
def test_a_command_of_the_doc_can_be_called(line: str) -> None:
    command: Any = typer.main.get_command(app)
    penstock, *arguments = shlex.split(line)
    assert penstock == "penstock"
    while hasattr(command, "commands"):
        command = command.commands[arguments.pop(0)]
    # Parsing alone: a mistake in the call raises.
    command.make_context("it", arguments)


def test_every_question_is_in_the_doc() -> None:
    told = {line.split()[1] for line in LINES}
    assert told == {"baseline", "compare", "value", "storms", "predictors", "impact"}


def test_the_numbers_of_the_doc_are_those_of_the_code() -> None:
    for metric in USUAL_MARGINS:
        assert f"`{metric}`" in DOC
    assert f"The newest {MOST_RUNS:,} runs" in DOC
    assert f"the first {FIRST_RUNS:,} runs" in DOC
    assert f"under {LEAST} on either side" in DOC
