"""The command line: what it prints, and what its exit code says."""

import json
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest
from typer.testing import CliRunner, Result

from penstock._cli._app import app
from penstock._coverage import Coverage
from penstock._coverage_graph import measured

FLOWS = """
    import penstock as ps

    @ps.step(effects="pure", timeout=1.0, playbook="page")
    async def shout(text: str) -> str:
        return text.upper()

    @ps.step(effects="once")
    async def send(text: str) -> str:
        return text

    @ps.workflow(owner="cx")
    def clean(flow: ps.Flow, text: ps.Node[str]) -> ps.Node[str]:
        return flow.call(shout, text)

    @ps.workflow(version="2")
    def careless(flow: ps.Flow, text: ps.Node[str]) -> ps.Node[str]:
        return flow.call(send, flow.call(shout, text))

    again = clean
    LIMIT = 3
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with flows.py, from which the command is run."""
    write(tmp_path, "flows.py", FLOWS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    known = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - known:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


def write(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(dedent(text), encoding="utf-8")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def test_lint_tells_findings_and_fails_by_their_severity(folder: Path) -> None:
    clean = run("lint", "flows:clean", "--fail-on", "info")
    assert clean.exit_code == 0
    assert "nothing found" in clean.stdout
    assert "worst case of a run: 1 attempts, 1 s; cost unknown" in clean.stdout
    careless = run("lint", "flows:careless")
    assert careless.exit_code == 0  # warnings only
    assert "R5.1" in careless.stdout
    assert "-> give it timeout=" in careless.stdout
    assert "careless/send" in careless.stdout
    assert run("lint", "flows:careless", "--fail-on", "warning").exit_code == 1
    assert run("lint", "flows:careless", "--fail-on", "never").exit_code == 0
    ignoring = ["--ignore", "R5.1", "--ignore", "R12", "--fail-on", "info"]
    assert run("lint", "flows:careless", *ignoring).exit_code == 0
    assert run("lint", "flows:clean", "--deadline", "0.5", "--fail-on", "warning").exit_code == 1


def test_lint_takes_a_module_for_all_of_its_workflows(folder: Path) -> None:
    reports = json.loads(run("lint", "flows", "--json").stdout)
    assert [report["name"] for report in reports] == ["clean", "careless"]
    assert reports[0]["findings"] == []
    assert reports[0]["worst"]["seconds"] == 1.0
    assert reports[1]["worst"]["seconds"] is None  # there is no limit
    assert {"code", "severity", "node", "what", "remedy"} == set(reports[1]["findings"][0])


def test_graph_prints_what_is_asked_for(folder: Path) -> None:
    assert run("graph", "flows:clean").stdout.startswith("flowchart TD\n")
    assert json.loads(run("graph", "flows:clean", "--format", "json").stdout)["owner"] == "cx"
    ET.fromstring(run("graph", "flows:clean", "--format", "svg").stdout)  # noqa: S314
    written = run("graph", "flows:clean", "-o", "clean.svg")
    assert written.exit_code == 0
    assert written.stdout == ""
    assert (folder / "clean.svg").read_text(encoding="utf-8").startswith("<svg")
    assert run("graph", "flows:clean", "-o", "nowhere/clean.svg").exit_code == 2


def test_graph_is_coloured_by_a_coverage_report(folder: Path) -> None:
    from importlib import import_module

    run("lint", "flows")
    clean = import_module("flows").clean
    covered = measured(clean.graph, None, digest=clean.digest, pairs=None)
    (folder / "cov.json").write_text(Coverage.of([covered]).to_json(), encoding="utf-8")
    coloured = run("graph", "flows:clean", "--format", "svg", "--coverage", "cov.json")
    assert coloured.exit_code == 0
    assert "missed" in coloured.stdout
    assert run("graph", "flows:clean", "--coverage", "cov.json").exit_code == 2
    other = run("graph", "flows:careless", "--format", "svg", "--coverage", "cov.json")
    assert other.exit_code == 2
    assert "says nothing of workflow 'careless'" in other.stderr
    reported = run("coverage", "cov.json")
    assert reported.exit_code == 0
    assert "clean 1" in reported.stdout
    assert run("coverage", "none.json").exit_code == 2


def test_diff_compares_with_a_file_that_was_kept(folder: Path) -> None:
    run("graph", "flows:clean", "-o", "kept.json")
    same = run("diff", "kept.json", "flows:clean")
    assert same.exit_code == 0
    assert "nothing differs" in same.stdout
    assert run("diff", "kept.json", "flows:careless").exit_code == 1
    assert run("diff", "kept.json", "flows:careless", "--fail-on", "never").exit_code == 0
    changes = json.loads(run("diff", "kept.json", "flows:careless", "--json").stdout)
    assert changes["verdict"] == "breaking"
    told = run("diff", "kept.json", "flows:careless").stdout
    assert "clean 1 -> careless 2" in told
    assert "keep the old version registered" in told


def test_what_is_not_there_is_told_with_what_is(folder: Path) -> None:
    missing = run("graph", "flows:claen")
    assert missing.exit_code == 2
    assert "'claen' is not there; the workflows of 'flows': clean, careless" in missing.stderr
    assert "'LIMIT' is no workflow" in run("graph", "flows:LIMIT").stderr
    several = run("graph", "flows")
    assert several.exit_code == 2
    assert "name one: flows:clean, flows:careless" in several.stderr
    nowhere = run("graph", "folws:clean")
    assert nowhere.exit_code == 2
    assert "there is no module 'folws'" in nowhere.stderr
    assert "there is no file 'folws.py'" in run("graph", "folws.py:clean").stderr
    assert "none.json can't be read" in run("diff", "none.json", "flows:clean").stderr
    write(folder, "wrong.json", "[]")
    assert "wrong.json is no workflow" in run("diff", "wrong.json", "flows:clean").stderr
    write(folder, "empty.py", "")
    assert "'empty' has no workflow" in run("lint", "empty").stderr


def test_a_step_and_a_file_by_its_path_will_do(folder: Path) -> None:
    assert 'n1["shout"]' in run("graph", "flows:shout").stdout
    (folder / "deep").mkdir()
    write(folder, "deep/inner.py", "from neighbour import shout\nagain = shout.as_workflow()\n")
    (folder / "deep" / "neighbour.py").write_text((folder / "flows.py").read_text(encoding="utf-8"))
    assert 'n1["shout"]' in run("graph", "deep/inner.py:again").stdout


def test_an_error_in_a_module_is_shown_as_its_own(folder: Path) -> None:
    """Between the user's line and the user there is nothing of ours, nor of the import system."""
    write(folder, "broken.py", "def divide():\n    return 1 / 0\n\ndivide()\n")
    shown = run("lint", "broken")
    assert shown.exit_code == 2
    assert "ZeroDivisionError" in shown.stderr
    assert "return 1 / 0" in shown.stderr
    assert "importlib" not in shown.stderr
    assert "penstock/_cli" not in shown.stderr
    assert "importing 'broken' failed" in shown.stderr
    assert run("lint", "broken.py").stderr == shown.stderr.replace("'broken'", "'broken.py'")


def test_a_wrong_workflow_is_told_with_all_its_problems(folder: Path) -> None:
    text = """
        from flows import *

        @ps.workflow
        def wrong(flow: ps.Flow, text: ps.Node[str], unused: ps.Node[int]) -> ps.Node[int]:
            return flow.call(shout, text)
    """
    write(folder, "wrong.py", text)
    shown = run("lint", "wrong")
    assert shown.exit_code == 2
    assert "this input is not used" in shown.stderr
    assert "correct one of them" in shown.stderr
    assert "@ps.workflow" in shown.stderr
    assert "_workflows.py" not in shown.stderr


def test_other_errors_of_a_module(folder: Path) -> None:
    write(folder, "syntax.py", "def (:\n")
    assert "SyntaxError" in run("lint", "syntax").stderr
    write(folder, "needs.py", "import not_installed_anywhere\n")
    missing = run("lint", "needs")
    assert "No module named 'not_installed_anywhere'" in missing.stderr
    write(folder, "exits.py", "import sys\nsys.exit(0)\n")
    assert run("lint", "exits").exit_code == 2
    chained = "try:\n    {}['key']\nexcept KeyError as error:\n    raise OSError('no') from error\n"
    write(folder, "chained.py", chained)
    shown = run("lint", "chained").stderr
    assert "KeyError" in shown
    assert "OSError: no" in shown


def test_mistakes_in_the_call_exit_with_2(folder: Path) -> None:
    assert run("lint").exit_code == 2
    assert run("graph", "flows:clean", "--format", "gif").exit_code == 2
    assert run("lint", "flows", "--fail-on", "sometimes").exit_code == 2


def test_it_runs_as_a_module(folder: Path) -> None:
    """The whole way once, in a process of its own."""
    run = subprocess.run(
        [sys.executable, "-m", "penstock", "graph", "flows:clean"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.startswith("flowchart TD\n")


def test_without_the_extra_it_says_how_to_get_it() -> None:
    code = "import sys; sys.modules['typer'] = None\nfrom penstock._cli import main\nmain()\n"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 2
    assert run.stderr == "penstock: typer is not installed; pip install 'penstock[cli]'\n"
