"""Prints coverage: a table of percentages by workflow, and what is missing, by its name."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Final

from ._coverage import MEASURES, Coverage, Missing, WorkflowCoverage
from ._errors import PenstockError


def read(path: str | Path) -> Coverage:
    """The coverage in a file of `--penstock-cov-json` or `Coverage.to_json`.

    Raises:
        PenstockError: there is no such file, or something else is in it.
    """
    try:
        return Coverage.from_json(Path(path).read_bytes())
    except OSError as error:
        raise PenstockError(
            f"{path} can't be read: {error.strerror}", remedy="give a file of --penstock-cov-json"
        ) from None
    except PenstockError as error:
        raise PenstockError(f"{path}: {error.what}", remedy=error.remedy) from None


def report(
    coverage: Coverage, *, seen: Coverage | None = None, width: int = 80, colour: bool = False
) -> str:
    """The table and what is missing; with `seen`, what that has and `coverage` has not.

    A table by rich if that is installed, else in plain text.

    Args:
        coverage: what was tested.
        seen: what production saw, to be compared with it.
        width: of the terminal, in columns.
        colour: whether to colour it.
    """
    if seen is None:
        parts = [part for part in coverage.missing() if part.measure != "moves"]
        listed = _listing(parts, "never seen")
    else:
        parts = coverage.missing(seen)
        listed = _listing(parts, "seen, but not tested")
        if not parts:
            listed = iter(["everything that was seen is tested"])
    return "\n".join([_table(coverage, width, colour=colour), *listed]) + "\n"


def _table(coverage: Coverage, width: int, *, colour: bool) -> str:
    rows = [_row(label, workflow) for label, workflow in coverage.labelled()]
    if len(rows) > 1:
        runs = sum(workflow.runs for workflow in coverage.workflows)
        totals = [_percent(*coverage.counts(name)) for name in MEASURES]
        rows.append(["in total", str(runs), *totals])
    try:
        return _rich_table(rows, width, colour=colour)
    except ImportError:
        return _plain_table([["workflow", "runs", *MEASURES], *rows])


def _row(label: str, workflow: WorkflowCoverage) -> list[str]:
    measures = [workflow.measures[name] for name in MEASURES]
    cells = [_percent(m.seen, len(m.declared)) if m.complete else "unknown" for m in measures]
    return [label, str(workflow.runs), *cells]


def _percent(seen: int, declared: int) -> str:
    """Rounded down, so that 100% is all of it; "-" where there is nothing to be seen."""
    return f"{100 * seen // declared}%" if declared else "-"


def _plain_table(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if place else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )


def _rich_table(rows: Sequence[Sequence[str]], width: int, *, colour: bool) -> str:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("workflow", overflow="fold")
    for name in ("runs", *MEASURES):
        table.add_column(name, justify="right", no_wrap=True)
    for name, runs, *cells in rows:
        table.add_row(Text(name), runs, *(Text(cell, style=_style(cell)) for cell in cells))
    file = io.StringIO()
    console = Console(
        file=file, width=width, force_terminal=colour, no_color=not colour, legacy_windows=False
    )
    console.print(table)
    return file.getvalue().rstrip("\n")


def _style(cell: str) -> str:
    if not cell.endswith("%"):
        return "dim"
    percent = int(cell[:-1])
    return "green" if percent == 100 else "yellow" if percent >= 80 else "red"


def _listing(parts: Iterable[Missing], heading: str) -> Iterator[str]:
    for workflow, of_workflow in groupby(parts, key=lambda part: part.workflow):
        yield f"\n{workflow}: {heading}"
        for measure, of_measure in groupby(of_workflow, key=lambda part: part.measure):
            yield from _group(measure, [part.part for part in of_measure])


def _group(measure: str, parts: Sequence[str]) -> Iterator[str]:
    listed = [*parts[:_LISTED]]
    if rest := len(parts) - len(listed):
        listed.append(f"and {rest} more")
    for place, part in enumerate(listed):
        yield f"  {'' if place else measure:<10}  {part}"


_LISTED: Final = 12
