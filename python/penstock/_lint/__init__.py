"""Lint: what in a workflow that can be run is likely to cause trouble.

What can't work at all is refused when a workflow is defined; this is about the rest: repeated and
stranded effects, storms of retries, waits without end, work that nobody answers for, tangles. The
rules are those of the literature as far as the model leaves room for the mistake; `RULES` is the
table of them.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import asdict, dataclass
from math import isfinite

from penstock._graph import Graph

from . import _bounds, _control, _effects, _ownership, _shape, _source, _storms
from ._bounds import Worst
from ._findings import NOT_CHECKED, RULES, SEVERITIES, Finding, Rule, Severity, number
from ._shape import Shape
from ._subject import Subject

__all__ = [
    "NOT_CHECKED",
    "RULES",
    "SEVERITIES",
    "Finding",
    "Report",
    "Rule",
    "Severity",
    "Shape",
    "Worst",
    "lint",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What lint has to say about a workflow.

    Attributes:
        name: of the workflow.
        version: of the workflow.
        findings: the severest first.
        shape: how tangled the graph is.
        worst: how often and how long a run can try.
    """

    name: str
    version: str
    findings: tuple[Finding, ...]
    shape: Shape
    worst: Worst

    def at_least(self, severity: Severity) -> tuple[Finding, ...]:
        """The findings of that severity and above."""
        wanted = SEVERITIES[: SEVERITIES.index(severity) + 1]
        return tuple(finding for finding in self.findings if finding.severity in wanted)

    def to_json(self) -> str:
        """The report as JSON, for other tools; a time without limit is null."""
        content = asdict(self)
        if not isfinite(self.worst.seconds):
            content["worst"]["seconds"] = None
        return json.dumps(content, indent=2, ensure_ascii=False)


def lint(
    graph: Graph,
    *,
    owner: str | None = None,
    rollback: object = None,
    deadline: float | None = None,
    items: int = 1,
    ignore: Collection[str] = (),
) -> Report:
    """Look for what is likely to cause trouble.

    Args:
        graph: of the workflow.
        owner: of the workflow; answers for steps without an owner of their own.
        rollback: the workflow's criteria for taking a release back.
        deadline: seconds that a run has, to compare its worst case with.
        items: how many items a map is taken to have, for the worst case.
        ignore: codes of findings to leave out; "R1" stands for R1.1, R1.2 and so on.

    O(nodes² / 64 + edges), and it reads the source of each step once.
    """
    subject = Subject(
        graph=graph, owner=owner, has_rollback=rollback is not None, deadline=deadline, items=items
    )
    found = [finding for rules in _CHECKS for finding in rules(subject)]
    kept = [f for f in found if f.code not in ignore and f.code.partition(".")[0] not in ignore]
    kept.sort(key=lambda finding: (SEVERITIES.index(finding.severity), number(finding.code)))
    return Report(
        name=graph.name,
        version=graph.version,
        findings=tuple(kept),
        shape=_shape.shape(subject),
        worst=_bounds.worst(subject),
    )


_CHECKS = (
    _effects.check,
    _source.check,
    _bounds.check,
    _storms.check,
    _control.check,
    _ownership.check,
    _shape.check,
)
