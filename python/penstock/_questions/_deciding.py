"""Deciding: the node at which a run was decided, and what was known before.

Of a run that failed that is the node that failed it; of one that a deadline or a budget ended, the
one that ended last or was open; of a success the last step of the critical path. What came at that
node or later is its outcome in other words, and foretells nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from penstock._scorecard._path import Paths

from ._runs import RunTold, template


@dataclass(frozen=True, slots=True, kw_only=True)
class Deciding:
    """Where a run was decided.

    Attributes:
        path: of the node, with the place of an item of a map: "flow/pages[3]/read".
        at: when all that it needs was there, in seconds since 1970.
        paths: what waited for what.
    """

    path: str
    at: float
    paths: Paths

    @property
    def node(self) -> str:
        """The node's path in the graph."""
        return template(self.path)


def deciding(run: RunTold) -> Deciding | None:
    """Where a run was decided; None if it has no node with a time of its own. O(records)."""
    paths = Paths(run.records, run.plan.graph, run.accepted)
    path: str | None = run.records[-1]["facts"].get("path")
    if run.succeeded or path not in paths.instances:
        path = paths.last()
        while run.succeeded and path is not None and paths.waits(path) is not None:
            path = paths.eligible(path)[1]
    if path is None:
        return None
    return Deciding(path=path, at=paths.eligible(path)[0], paths=paths)
