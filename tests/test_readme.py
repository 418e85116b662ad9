"""The README's programs and commands run as printed, and print what it says they print.

Its picture is drawn anew by `PENSTOCK_BLESS=1 pytest tests/test_readme.py`.
"""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[1]
README: Final = (ROOT / "README.md").read_text("utf-8")
PICTURE: Final = ROOT / "docs" / "support.svg"
BLOCK: Final = re.compile(r"^```(?P<language>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
SCRIPTS: Final = Path(sys.executable).parent

blocks = [(block["language"], block["text"]) for block in BLOCK.finditer(README)]
programs = [number for number, (language, _) in enumerate(blocks) if language == "python"]
ANSWERS: Final = blocks[programs[1]][1]
"""The second program, which the rest of the README is about."""

TEST: Final = """
import asyncio
from answers import main

def test_main(capsys):
    asyncio.run(main())
    assert "Kim" in capsys.readouterr().out
"""


def run(program: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", str(program)],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )


def shell(command: str, folder: Path) -> str:
    """What a command prints in a terminal of 80 columns."""
    environment = {
        **os.environ,
        "PATH": f"{SCRIPTS}{os.pathsep}{os.environ['PATH']}",
        "COLUMNS": "80",
        "PYTHONIOENCODING": "utf-8",
    }
    ran = subprocess.run(  # noqa: S602  # as a reader would type it
        command,
        shell=True,
        cwd=folder,
        check=False,
        capture_output=True,
        text=True,
        env=environment,
        timeout=60,
    )
    return ran.stdout


def edited(text: str, change: str) -> str:
    """A program after a change of one line."""
    old, new = re.findall(r"^[-+](.*\n)", change, re.MULTILINE)
    assert text.count(old) == 1, old
    return text.replace(old, new)


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """The file of the second program, in a folder of its own."""
    file = tmp_path / "answers.py"
    file.write_text(ANSWERS, "utf-8")
    return file


@pytest.mark.parametrize("number", programs)
def test_program_prints_what_the_readme_says(number: int, program: Path) -> None:
    program.write_text(blocks[number][1], "utf-8")
    ran = run(program)
    assert ran.returncode == 0, ran.stderr
    assert ("text", ran.stdout) == blocks[number + 1]


def test_swapped_inputs_fail_at_definition(program: Path) -> None:
    code = blocks[programs[0]][1]
    swapped = code.replace("(reply, topic, orders)", "(reply, orders, topic)")
    assert swapped != code
    program.write_text(swapped, "utf-8")
    ran = run(program)
    assert ran.returncode != 0
    assert "DefinitionError" in ran.stderr
    assert "reply" in ran.stderr


def test_a_wrong_graph_is_refused_in_the_words_of_the_readme(program: Path) -> None:
    change = next(number for number, (language, _) in enumerate(blocks) if language == "diff")
    program.write_text(edited(ANSWERS, blocks[change][1]), "utf-8")
    ran = run(program)
    assert ran.returncode != 0
    assert ran.stderr.endswith(f".{blocks[change + 1][1]}")


def test_the_command_line_prints_what_the_readme_says(program: Path) -> None:
    """Its commands one after the other, with the edits between them."""
    (program.parent / "test_answers.py").write_text(TEST, "utf-8")
    changes = 0
    for language, text in blocks:
        if language == "diff":
            changes += 1
            if changes > 1:  # the first is the one that is refused
                program.write_text(edited(program.read_text("utf-8"), text), "utf-8")
        elif language == "console" and not text.startswith("$ make"):
            command, told = text.removeprefix("$ ").split("\n", 1)
            printed = shell(command, program.parent)
            if told:
                assert _stripped(printed) == _stripped(told), command
    assert changes == 3


def test_the_picture_is_that_of_the_demo() -> None:
    drawn = shell("penstock graph examples/support_tickets.py:support --format svg", ROOT)
    if os.environ.get("PENSTOCK_BLESS"):
        PICTURE.write_text(drawn, "utf-8")
    assert PICTURE.read_text("utf-8") == drawn, "PENSTOCK_BLESS=1 pytest tests/test_readme.py"


def test_what_the_readme_points_to_is_there() -> None:
    """Each file and each link to a file."""
    links = re.findall(r"\]\((?!https?:)([^)#]+)|src=\"([^\"]+)\"", README)
    assert len(links) > 5
    for link in links:
        assert (ROOT / "".join(link)).is_file(), link


def _stripped(text: str) -> list[str]:
    return [line.rstrip() for line in text.rstrip().splitlines()]
