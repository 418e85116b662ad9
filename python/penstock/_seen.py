"""Seen: what a store is told of branches and budgets, for those who only read it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from ._scorecard import Notes, Overrun

if TYPE_CHECKING:
    import asyncio

    from ._coverage import Coverage
    from ._engine import Core

Graph = tuple[str, str, str]
"""Name and version of a workflow, and the digest of its graph."""

STATE: Final = "seen"
PERIOD: Final = 60.0
"""Seconds between two times that it is written."""


class Seen:
    """Which branches runs have shown, in this process and before, and budgets that are exceeded.

    Args:
        core: of the runtime.
        coverage: what runs have shown in this process.
        overruns: of budgets, as they stand; None where there are no budgets.
        stored: whether there is a store.
    """

    def __init__(
        self,
        core: Core,
        coverage: Callable[[], Coverage],
        overruns: Callable[[], list[Overrun] | None],
        *,
        stored: bool,
    ) -> None:
        self._core = core
        self._coverage = coverage
        self._overruns = overruns
        self._stored = stored
        self._before: dict[Graph, set[str]] | None = None
        self._written = ""
        self._timer: asyncio.TimerHandle | None = None

    def notes(self) -> Notes:
        """What a scorecard is told of it."""
        return Notes(coverage=_shares(self._branches()), overruns=self._overruns())

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Write it now and then, until closed."""

        def again() -> None:
            self.keep()
            self._timer = loop.call_later(PERIOD, again)

        self._timer = loop.call_later(PERIOD, again)

    def keep(self) -> None:
        """Have the store know it, if it has changed. O(nodes and edges of all workflows)."""
        overruns = self._overruns()
        content = {
            "branches": [
                [*graph, len(declared), sorted(seen)]
                for graph, (declared, seen) in sorted(self._branches().items())
            ],
            "overruns": None if overruns is None else [asdict(it) for it in overruns],
        }
        text = json.dumps(content)
        if text != self._written:
            self._written = text
            self._core.replace_figures((), (), [(STATE, text)])

    def close(self) -> None:
        """Write what there is."""
        if self._timer is not None:
            self._timer.cancel()
        if self._stored:
            self.keep()

    def _branches(self) -> dict[Graph, tuple[set[str], set[str]]]:
        """Of each graph the outcomes that there are, and those that were seen."""
        if self._before is None:
            kept = self._core.state(STATE) if self._stored else None
            self._before = {} if kept is None else _read(json.loads(kept))
        found: dict[Graph, tuple[set[str], set[str]]] = {}
        for workflow in self._coverage().workflows:
            declared = workflow.measures["outcomes"].declared
            seen = {part for part, count in declared.items() if count}
            before = self._before.get(workflow.identity, set[str]())
            found[workflow.identity] = set(declared), seen | before & declared.keys()
        return found


def notes_of(kept: str | None) -> Notes:
    """What was written, as a scorecard is told it."""
    if kept is None:
        return Notes()
    content = json.loads(kept)
    overruns = content["overruns"]
    return Notes(
        coverage={
            (name, version): len(seen) / declared
            for name, version, _, declared, seen in content["branches"]
            if declared
        },
        overruns=None if overruns is None else [Overrun(**it) for it in overruns],
    )


def _read(content: Mapping[str, Any]) -> dict[Graph, set[str]]:
    rows: Iterable[list[Any]] = content["branches"]
    return {(name, version, digest): set(seen) for name, version, digest, _, seen in rows}


def _shares(
    branches: Mapping[Graph, tuple[set[str], set[str]]],
) -> dict[tuple[str, str], float]:
    return {
        (name, version): len(seen) / len(declared)
        for (name, version, _), (declared, seen) in branches.items()
        if declared
    }
