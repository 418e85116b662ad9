"""Collects the coverage of every runtime that closes while somebody asks for it."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING, Any, Final, Protocol

from ._coverage import Coverage

if TYPE_CHECKING:
    from ._stages import Stage


class Core(Protocol):
    """The native side, as far as it counts."""

    def coverage(self, plan: int, /) -> Any:
        """The counters of a plan; see `_coverage_graph.Counters`."""


class Collector:
    """The sum of what was collected so far. Runtimes may close in several threads at once."""

    def __init__(self) -> None:
        self._coverage = Coverage()
        self._lock = Lock()

    @property
    def coverage(self) -> Coverage:
        """Of all runtimes that have closed since."""
        return self._coverage

    def add(self, coverage: Coverage) -> None:
        """Add what one runtime, or another collector, has seen."""
        with self._lock:
            self._coverage += coverage


@contextmanager
def collecting() -> Generator[Collector]:
    """Collect from every runtime of this process that closes inside of the `with`."""
    collector = Collector()
    _collectors.append(collector)
    try:
        yield collector
    finally:
        _collectors.remove(collector)


def collect(core: Core, plans: Mapping[Stage[..., Any], int]) -> None:
    """Tell the collectors what a runtime has counted; it calls this when it has closed.

    Costs nothing if there are none, else O(nodes + edges) of its workflows.
    """
    if _collectors:
        coverage = coverage_of_runtime(core, plans)
        for collector in [*_collectors]:
            collector.add(coverage)


def coverage_of_runtime(core: Core, plans: Mapping[Stage[..., Any], int]) -> Coverage:
    """What the runs of a runtime's workflows have shown so far."""
    from ._coverage_graph import coverage_of

    return Coverage.of(
        coverage_of(stage.as_workflow(), core.coverage(plan)) for stage, plan in plans.items()
    )


_collectors: Final[list[Collector]] = []
