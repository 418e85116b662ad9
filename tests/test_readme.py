"""The README's programs run as printed, and print what it says they print."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

README = Path(__file__).parents[1] / "README.md"
PROGRAM = re.compile(
    r"^```python\n(?P<code>.*?)^```\n+(?:^```text\n(?P<output>.*?)^```)?",
    re.MULTILINE | re.DOTALL,
)

programs = [(m["code"], m["output"]) for m in PROGRAM.finditer(README.read_text("utf-8"))]


def run(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    program = folder / "program.py"
    program.write_text(code, "utf-8")
    return subprocess.run(
        [sys.executable, "-W", "error", str(program)],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize("number", range(len(programs)))
def test_program_prints_what_the_readme_says(number: int, tmp_path: Path) -> None:
    code, output = programs[number]
    ran = run(code, tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert output is None or ran.stdout == output


def test_swapped_inputs_fail_at_definition(tmp_path: Path) -> None:
    code, _ = programs[0]
    swapped = code.replace("(reply, topic, orders)", "(reply, orders, topic)")
    assert swapped != code
    ran = run(swapped, tmp_path)
    assert ran.returncode != 0
    assert "DefinitionError" in ran.stderr
    assert "reply" in ran.stderr
