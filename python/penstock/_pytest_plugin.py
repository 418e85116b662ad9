"""The pytest plugin: the `virtual_clock` fixture, and branch coverage of workflows.

`--penstock-cov` collects from every runtime that closes in the session. Under xdist each worker
collects, and the controller adds up.
"""

from __future__ import annotations

from argparse import ArgumentTypeError
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import pytest

from ._coverage import Coverage
from ._coverage_collect import collecting
from ._coverage_report import report
from ._coverage_select import select


@pytest.fixture
def virtual_clock() -> object:
    """A `penstock.testing.VirtualClock`: `virtual_clock.run(main())` takes no real time."""
    from .testing import VirtualClock

    return VirtualClock()


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options of coverage."""
    group = parser.getgroup("penstock", "branch coverage of penstock workflows")
    group.addoption(
        "--penstock-cov",
        action="append",
        nargs="?",
        const="",
        metavar="WHAT",
        help="report branch coverage of workflows: of all that ran, of the one of a name, of those "
        "in a module, or of module:workflow. Give it with '=', or last. May be repeated.",
    )
    group.addoption(
        "--penstock-cov-fail-under",
        type=_percentage,
        metavar="PERCENT",
        help="fail if less of the outcomes of the reported workflows' decisions was seen",
    )
    group.addoption(
        "--penstock-cov-json",
        type=Path,
        metavar="FILE",
        help="write the coverage to a file, for 'penstock coverage'",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Collect from now on, if the command line asks for it."""
    wanted: list[str] = config.getoption("--penstock-cov") or []
    path: Path | None = config.getoption("--penstock-cov-json")
    least: float | None = config.getoption("--penstock-cov-fail-under")
    if not wanted and path is None and least is None:
        return
    for name in wanted:
        if "/" in name or name.endswith(".py"):
            raise pytest.UsageError(
                f"--penstock-cov: {name!r} is no workflow and no module; "
                "write --penstock-cov= with nothing behind it, or put it last"
            )
    config.pluginmanager.register(_Session(config, wanted, path, least), "penstock-cov")


class _Session:
    """Coverage of one test session."""

    def __init__(
        self, config: pytest.Config, wanted: list[str], path: Path | None, least: float | None
    ) -> None:
        self._wanted = [name for name in wanted if name]
        self._path = path
        self._least = least
        self._problems: list[str] = []
        self._coverage = Coverage()
        self._ends = ExitStack()
        self._collector = self._ends.enter_context(collecting())
        # A worker of xdist has a place for what it sends to the controller.
        self._sent: dict[str, Any] | None = getattr(config, "workeroutput", None)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Take over what a worker of xdist has collected."""
        if text := getattr(node, "workeroutput", {}).get(_SENT):
            self._collector.add(Coverage.from_json(text))

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Sum up, write the file, and fail the session if too little was seen."""
        self._ends.close()
        if self._sent is not None:
            self._sent[_SENT] = self._collector.coverage.to_json()
            return
        self._coverage = self._collector.coverage
        if self._wanted:
            self._coverage, unknown = select(self._coverage, self._wanted)
            self._problems += unknown
        if self._least is not None:
            self._problems += _shortfall(self._coverage, self._least)
        passed = self._least is None or not self._problems
        if self._path is not None and (error := _written(self._coverage, self._path)):
            self._problems.append(error)
            passed = False
        if not passed and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print the report."""
        terminalreporter.write_sep("=", "branch coverage of workflows")
        if self._coverage.workflows:
            text = report(
                self._coverage,
                width=terminalreporter._tw.fullwidth,  # noqa: SLF001  # it has no public name
                colour=terminalreporter.hasmarkup,
            )
            terminalreporter.write(text)
        elif not self._problems:
            terminalreporter.write_line("no workflow ran in a runtime that was closed")
        for problem in self._problems:
            terminalreporter.write_line(problem, red=True)


def _shortfall(coverage: Coverage, least: float) -> list[str]:
    if not coverage.workflows:
        return ["--penstock-cov-fail-under: no workflow ran in a runtime that was closed"]
    seen, declared = coverage.counts("outcomes")
    if 100 * seen >= least * declared:
        return []
    counted = f"{seen} of {declared} outcomes of decisions were seen, {100 * seen / declared:.1f}%"
    return [f"--penstock-cov-fail-under: {counted}, less than {least:g}%; see what is missing"]


def _written(coverage: Coverage, path: Path) -> str | None:
    """Write the file; what went wrong, or None."""
    try:
        path.write_text(coverage.to_json(), encoding="utf-8")
    except OSError as error:
        return f"--penstock-cov-json: {path} can't be written: {error.strerror}"
    return None


def _percentage(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 100:
        raise ArgumentTypeError(f"{text!r} is no percentage; give a number from 0 to 100")
    return value


_SENT: Final = "penstock_coverage"
