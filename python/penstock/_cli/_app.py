"""The commands, one module each; this one only lists them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import typer

from ._capacity import capacity
from ._compare import baseline, compare
from ._coverage import coverage
from ._diff import diff
from ._frontier import forecasts, frontier
from ._graph import graph
from ._lint import lint
from ._model import model
from ._orders import budget, cancel, fork, pause, resolve, resume, retry, signal
from ._pages import contracts, interfaces, risks
from ._questions import impact, predictors, storms, value
from ._releases import releases
from ._runs import dead_letters, runs
from ._scorecard import explain, scorecard
from ._show import show
from ._simulate import simulate
from ._stability import stability
from ._upkeep import export, prune, verify

app = typer.Typer(
    name="penstock",
    help="Look at typed workflows, and at the runs of a store, also while a service runs them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
_PANELS: Final[Mapping[str, Sequence[Callable[..., None]]]] = {
    "Workflows": (
        lint,
        stability,
        diff,
        graph,
        coverage,
        interfaces,
        contracts,
        risks,
    ),
    "Runs of a store": (runs, show, explain, scorecard, releases, dead_letters, export),
    "Forecasts": (simulate, frontier, capacity, forecasts),
    "Questions to a store": (compare, value, storms, predictors, impact),
    "Orders to the runtime that has a store open": (
        cancel,
        pause,
        resume,
        budget,
        retry,
        fork,
        signal,
        resolve,
    ),
    "Upkeep of a store": (prune, verify),
}
for _panel, _commands in _PANELS.items():
    for _command in _commands:
        app.command(rich_help_panel=_panel)(_command)
app.add_typer(model, rich_help_panel="Forecasts")
app.add_typer(baseline, rich_help_panel="Questions to a store")
