"""The examples run as their docstrings say, each as its own process."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
unix = pytest.mark.skipif(sys.platform == "win32", reason="SIGINT is sent by POSIX means")


@contextmanager
def started(example: str, *arguments: str | Path) -> Generator[subprocess.Popen[str]]:
    """An example as a process of its own, which is killed if it outlives the test."""
    process = subprocess.Popen(
        [sys.executable, "-W", "error", EXAMPLES / f"{example}.py", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8", "COLUMNS": "100"},
        # A job in the background of a script inherits that Ctrl-C is ignored.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509  # no threads
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def run(example: str, *arguments: str | Path) -> tuple[int, str, str]:
    """Exit code, output and error output of an example that runs to its end."""
    with started(example, *arguments) as process:
        out, err = process.communicate(timeout=60)
        return process.returncode, out, err


def penstock(*arguments: str, folder: Path = ROOT) -> tuple[int, str, str]:
    """Exit code, output and error output of the command line, run in a folder."""
    ran = subprocess.run(
        [sys.executable, "-m", "penstock", *arguments],
        cwd=folder,
        check=False,
        capture_output=True,
        text=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONIOENCODING": "utf-8", "COLUMNS": "100"},
        timeout=60,
    )
    return ran.returncode, ran.stdout, ran.stderr


def interrupt(process: subprocess.Popen[str]) -> tuple[int, str, str, float]:
    """Press Ctrl-C; exit code, outputs, and the seconds until the end."""
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    return process.returncode, out, err, time.monotonic() - began


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """A WfFormat file: a diamond of 4 tasks, and one that stands alone; 1 + 2 + 1 seconds long."""
    edges = {
        "start": [],
        "left": ["start"],
        "right": ["start"],
        "end": ["left", "right"],
        "alone": [],
    }
    seconds = {"start": 1.0, "left": 2.0, "right": 1.0, "end": 1.0, "alone": 0.0}
    specified = [{"id": id_, "parents": parents} for id_, parents in edges.items()]
    executed = [{"id": id_, "runtimeInSeconds": time} for id_, time in seconds.items()]
    file = tmp_path / "diamond.json"
    workflow = {"specification": {"tasks": specified}, "execution": {"tasks": executed}}
    file.write_text(json.dumps({"name": "[diamond]", "workflow": workflow}), "utf-8")
    return file


def test_every_example_says_what_it_shows_and_how_to_run_it() -> None:
    """Each program opens with a docstring that has its own command in it."""
    for file in EXAMPLES.glob("*.py"):
        text = file.read_text("utf-8")
        assert text.startswith('"""'), file
        if "__main__" in text or "asyncio.run(main())" in text:
            assert f"python examples/{file.name}" in text.split('"""')[1], file


# The README's programs.


def test_the_quickstart() -> None:
    assert run("quickstart") == (0, "A billing question about 2 orders\n", "")


def test_the_answers() -> None:
    advice = "Please read the page on delivery and the page on invoice"
    assert run("answers") == (0, f"{advice}\nKim has sent your money back\n", "")


def test_they_are_the_readme_s() -> None:
    """The README shows the files' programs, word for word; the later ones are in no file."""
    readme = (ROOT / "README.md").read_text("utf-8")
    shown = re.findall(r"^```python\n(.*?)^```", readme, re.MULTILINE | re.DOTALL)
    for name, program in zip(("quickstart", "answers"), shown[:2], strict=True):
        assert (EXAMPLES / f"{name}.py").read_text("utf-8").endswith(program), name


# Recorded workflows.


def test_a_recorded_workflow(recording: Path) -> None:
    """The summary has the shape, the bounds and the makespan, and stderr told the progress."""
    code, out, err = run("wfformat", recording, "--scale", "0.01", "--concurrency", "2")
    assert code == 0, err
    rows = dict(re.findall(r"^ (\w.*?)  +([\d.,]+)", out, re.MULTILINE))
    assert "[diamond]" in out
    assert (rows["tasks"], rows["edges"], rows["depth"]) == ("5", "4", "3")
    assert rows["attempts"] == "5"
    assert (rows["critical path"], rows["work / concurrency"]) == ("0.040", "0.025")
    assert rows["Graham's bound"] == "0.045"
    assert float(rows["makespan"]) >= 0.04
    assert err.splitlines()[-1] == "5/5 tasks"


def test_failing_attempts_are_repeated(recording: Path) -> None:
    """More attempts than tasks, the same number for the same seed, and nothing on stderr."""
    options = ("--scale", "0.001", "--fail", "0.6", "--seed", "3", "--quiet")
    attempts: list[int] = []
    for _ in range(2):
        code, out, err = run("wfformat", recording, *options)
        assert (code, err) == (0, "")
        attempts += map(int, re.findall(r"attempts +(\d+)", out))
    assert attempts[0] == attempts[1] > 5


def test_a_file_that_is_no_workflow() -> None:
    """One line, exit code 2, no traceback."""
    code, out, err = run("wfformat", ROOT / "README.md")
    assert (code, out) == (2, "")
    assert err.startswith(f"{ROOT / 'README.md'} is no WfFormat 1.5 workflow: ")
    assert len(err.splitlines()) == 1


@unix
def test_ctrl_c_while_a_recorded_workflow_runs(recording: Path) -> None:
    """It stops at once with one line."""
    with started("wfformat", recording, "--scale", "1.2") as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "2/5 tasks\n"
        code, out, err, seconds = interrupt(process)
    assert (code, out, err) == (130, "", "stopped by Ctrl-C before the end\n")
    assert seconds < 1.0


# Support tickets.


def test_support_tickets() -> None:
    """Every ticket is counted, each step has its line, and failed runs have their reasons."""
    code, out, err = run("support_tickets", "--runs", "400", "--rate", "400")
    assert (code, err) == (0, "")
    answered, tickets = re.findall(r"^(\d+) of (\d+) tickets answered in", out, re.MULTILINE)[0]
    failed = re.findall(r"^ *(\d+|no) +runs failed", out, re.MULTILINE)[0]
    assert int(tickets) == 400
    assert int(answered) + int(failed.replace("no", "0")) == 400
    reasons = re.findall(r"^ *(\d+)  \w+: ", out, re.MULTILINE)
    assert sum(map(int, reasons)) == int(failed.replace("no", "0"))
    authors = dict(re.findall(r"(small model|large model|person|billing) (\d+)", out))
    assert len(authors) == 4, "every tier of the ladder, and the refunds"
    assert sum(map(int, authors.values())) == int(answered)
    figures, card = out.split("\nScorecard ")
    steps = {words[0]: words[1:] for line in figures.splitlines() if (words := line.split())}
    for step in ("classify", "search", "small", "large", "refund", "revoke", "send"):
        assert len(steps[step]) == 10, "4 counts, and two times three percentiles"
    assert int(steps["classify"][0]) > 400, "some attempts were repeated"
    assert len(steps["run"]) == 3
    assert re.search(r"^\d+ of 400 tickets, \d+ in flight, [\d,]+ attempts/s, ", out, re.MULTILINE)
    assert re.search(r"^  success rate +9\d\.\d %", card, re.MULTILINE)
    assert re.search(r"^  cost per success +\$0\.\d+", card, re.MULTILINE)
    questions = card.split("the questions, a line each\n")[1].split("\n\n")[0]
    said = [line.strip() for line in questions.splitlines()]
    assert [line[: line.index("  ")] for line in said] == [
        "most spend, most value",
        "storms and spaghetti",
        "what predicts success",
        "another model",
    ]
    assert "most spend: approval" in said[0]
    assert re.search(r"re-priced: \$[\d.]+ would be \$[\d.]+", said[3])


def test_refunds_are_taken_back_from_those_who_can_t_be_told() -> None:
    """As often as `revoke` ran, which is no more often than `send` failed for good."""
    _, out, _ = run("support_tickets", "--runs", "1500", "--rate", "1500")
    undone = int(re.findall(r"runs failed, and the refunds of (\d+) were taken back", out)[0])
    revoke = re.findall(r"^revoke +(\d+) +(\d+|-) ", out, re.MULTILINE)[0]
    bounced = int(re.findall(r"(\d+)  send: the customer's mailbox", out)[0])
    assert 0 < undone == int(revoke[0]) - int(revoke[1].replace("-", "0")) < bounced


def test_the_runs_of_the_demo_take_every_way(tmp_path: Path) -> None:
    """The coverage line, the file that `--coverage` writes, and the commands to try next."""
    file = tmp_path / "seen.json"
    code, out, err = run("support_tickets", "--runs", "400", "--rate", "800", "--coverage", file)
    assert (code, err) == (0, "")
    shown = re.findall(
        r"graph coverage +(\d+)/(\d+) nodes +(\d+)/(\d+) edges +(\d+)/(\d+) out", out
    )
    assert shown[0][::2] == shown[0][1::2], "all of the nodes, edges and outcomes"
    commands = re.findall(r"^  \S*penstock (.*)$", out, re.MULTILINE)
    assert [command.split()[0] for command in commands] == ["lint", "graph", "coverage", "graph"]
    for command in commands:
        told = command.replace(" -o ", f" -o {tmp_path}/")
        assert penstock(*told.split())[0] == 0, command
    report = penstock("coverage", str(file))[1]
    assert re.search(r"^support 2\.0\.0 +400 +100% +100% +100% +100% ", report, re.MULTILINE)
    for picture in ("support.svg", "seen.svg"):
        assert (tmp_path / picture).read_text("utf-8").startswith("<svg ")


def test_the_command_line_on_the_demo(tmp_path: Path) -> None:
    """Nothing is found in it, and it is the same as itself, by its path as by its name."""
    demo = f"{EXAMPLES / 'support_tickets.py'}:support"
    code, out, _ = penstock("lint", demo, "--fail-on", "info")
    assert code == 0, out
    assert "nothing found" in out
    assert penstock("lint", "support_tickets:support", folder=EXAMPLES) == (code, out, "")
    kept = tmp_path / "kept.json"
    assert penstock("graph", demo, "-o", str(kept)) == (0, "", "")
    code, out, _ = penstock("diff", str(kept), demo)
    assert (code, "nothing differs" in out) == (0, True)
    assert penstock("graph", demo)[1].startswith("flowchart TD\n")


def test_the_same_seed_brings_the_same_trouble() -> None:
    """Who is refused, by the provider or the mail, does not hang on how fast the machine is."""

    def refused(seed: int) -> list[str]:
        _, out, _ = run("support_tickets", "--runs", "600", "--rate", "1200", "--seed", str(seed))
        return sorted(re.findall(r"\d+  \w+: .* (?:content filter|mailbox)", out))

    assert refused(4) == refused(4) != refused(5)


@unix
def test_ctrl_c_in_the_demo() -> None:
    """It stops within a second, with one line, the figures so far, 130 and no traceback."""
    with started("support_tickets", "--runs", "100000", "--rate", "300") as process:
        assert process.stdout is not None
        assert " of 100,000 tickets, " in process.stdout.readline()
        code, out, err, seconds = interrupt(process)
    assert code == 130
    assert err == ""
    assert seconds < 1.0
    assert re.search(r"^Stopped by Ctrl-C: [\d,]+ tickets are not answered", out, re.MULTILINE)
    assert re.search(r"^[1-9]\d* of 100,000 tickets answered in", out, re.MULTILINE)
    assert "classify" in out


@pytest.mark.parametrize("arguments", [["--runs", "0"], ["--rate", "0"], ["--rate", "nan"]])
def test_options_out_of_range(arguments: list[str]) -> None:
    code, out, err = run("support_tickets", *arguments)
    assert (code, out) == (2, "")
    assert "at least 1 run and a rate of more than 0" in err


# Durable tickets.


@unix
def test_a_worker_that_is_killed() -> None:
    """Each kill is told, every run ends once, and the figures are of what happened outside."""
    code, out, err = run("durable_tickets", "--runs", "120", "--kills", "2")
    assert (code, err) == (0, "")
    assert len(re.findall(r"^\d+ of 120 tickets answered: kill -9 \d+", out, re.MULTILINE)) == 2
    figures = {
        what: int(figure.replace(",", ""))
        for figure, what in re.findall(
            r"^ *([\d,]+)  (of|kills|results|refunds,)", out, re.MULTILINE
        )
    }
    assert "120  of 120 runs ended, each of them exactly once" in out
    assert figures["kills"] == 2
    assert figures["results"] > 400
    assert figures["refunds,"] > 10
    assert re.search(r"^ *\d+ ms  to recover, at most: \d+ runs went on", out, re.MULTILINE)
    assert "broken" not in out


@unix
def test_ctrl_c_while_a_worker_is_killed() -> None:
    """One line, 130, and no worker is left."""
    with started("durable_tickets", "--runs", "5000", "--kills", "1") as process:
        time.sleep(1.0)
        code, out, err, seconds = interrupt(process)
    assert (code, err) == (130, "")
    assert out.splitlines()[-1] == "Stopped by Ctrl-C."
    assert seconds < 2.0


def test_a_worse_release_is_rolled_back_by_itself(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, str(EXAMPLES / "worse_release.py"), "--store", str(tmp_path / "r.db")],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stderr
    assert "\nrolled back: failed" in ran.stdout
    assert ", 0 by the cheap one" in ran.stdout
    code, out, _ = penstock("releases", str(tmp_path / "r.db"))
    assert code == 0
    assert "rolled back, 10 %, cx" in out
