"""Changes: what differs between two versions of a workflow, and how much it matters."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Final, Literal, TypeAlias

Verdict: TypeAlias = Literal["breaking", "risky", "compatible"]
Subject: TypeAlias = Literal["workflow", "contract", "node", "edge", "policy", "owner"]
VERDICTS: Final[tuple[Verdict, ...]] = ("breaking", "risky", "compatible")
"""The worst first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One difference.

    Attributes:
        verdict: "breaking": something that works with the old version fails with the new one;
            "risky": the types are the same, but what a run does, spends or waits for may differ;
            "compatible": neither.
        subject: what changed: "workflow", "contract", "node", "edge", "policy" or "owner".
        place: a path below the workflow; an edge as "a -> b"; empty for the workflow itself.
        what: what changed, in one clause.
        reason: why it is what it is.
    """

    verdict: Verdict
    subject: Subject
    place: str
    what: str
    reason: str

    def __str__(self) -> str:
        place = f" {self.place}" if self.place else ""
        return f"{self.verdict}: {self.subject}{place}: {self.what}; {self.reason}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """All that differs between two versions of a workflow.

    Attributes:
        old: name and version of the one.
        new: name and version of the other.
        changes: the worst first.
        unknown: what could not be compared, since one side does not tell it.
    """

    old: str
    new: str
    changes: tuple[Change, ...]
    unknown: tuple[str, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """That of the worst change; "compatible" if there is none."""
        return self.changes[0].verdict if self.changes else "compatible"

    @property
    def strands_runs(self) -> bool:
        """Whether the graph differs: runs that began with the old one need it until they end."""
        return any(change.subject in ("node", "edge", "contract") for change in self.changes)

    def at_least(self, verdict: Verdict) -> tuple[Change, ...]:
        """The changes of that verdict and worse."""
        wanted = VERDICTS[: VERDICTS.index(verdict) + 1]
        return tuple(change for change in self.changes if change.verdict in wanted)

    def to_json(self) -> str:
        """As JSON, for other tools."""
        content = {**asdict(self), "verdict": self.verdict, "strands_runs": self.strands_runs}
        return json.dumps(content, indent=2, ensure_ascii=False)

    def __str__(self) -> str:
        told = [f"{self.old} -> {self.new}: {self.verdict}", *map(str, self.changes)]
        return "\n".join(told)
