"""The commands, one module each; this one only lists them."""

from __future__ import annotations

import typer

from ._coverage import coverage
from ._diff import diff
from ._graph import graph
from ._lint import lint

app = typer.Typer(
    name="penstock",
    help="Look at typed workflows without running them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for command in (lint, diff, graph, coverage):
    app.command()(command)
