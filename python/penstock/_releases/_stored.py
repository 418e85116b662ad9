"""What a store knows of releases: notes, one for each thing that happened, folded into records."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final, Literal, TypeAlias

from penstock._scorecard import Drift, Notes, ReleaseNote
from penstock._scorecard._facts import Outcome

from ._arms import Arm

ReleaseState: TypeAlias = Literal["running", "held", "promoted", "rolled_back", "void", "ended"]

NOTE: Final = "release"


@dataclass(slots=True, kw_only=True)
class ReleaseRecord:
    """A release, as its notes leave it; times in seconds since 1970.

    Attributes:
        name: of the release.
        workflow: what is released.
        owner: who answers for the workflow.
        baseline: what ran before.
        candidate: what is to run.
        overlay: JSON of what the candidate changes; empty for another version.
        share: of the runs that the candidate gets.
        criteria: JSON of what it is judged by.
        options: of its trial.
        sticky_by: "run", "tenant" or "function".
        began: when it did.
        state: where it is.
        decided: when that was decided.
        reason: why, in a sentence with its numbers.
        evidence: of each criterion, in a sentence.
        by: "criteria", or who has decided.
        alarm: when runs of the promoted candidate began to fail more often.
        usual: share of its runs that failed when it was promoted.
        drifted: share of those since then, at the alarm.
        registered: when the candidate's version was first seen.
        risks: the page of risks at its beginning.
        forecast: what was forecast of the candidate, as plain data; None if nothing was.
        events: all that happened, (when, what, why).
    """

    name: str
    workflow: str
    owner: str | None
    baseline: Arm
    candidate: Arm
    overlay: str
    share: float
    criteria: str
    options: Mapping[str, Any]
    sticky_by: str
    began: float
    registered: float | None = None
    risks: str = ""
    forecast: Mapping[str, Any] | None = None
    state: ReleaseState = "running"
    decided: float | None = None
    reason: str = ""
    evidence: tuple[str, ...] = ()
    by: str = ""
    alarm: float | None = None
    usual: float | None = None
    drifted: float | None = None
    events: list[tuple[float, str, str]] = field(default_factory=list[tuple[float, str, str]])

    @property
    def in_force(self) -> bool:
        """Whether it says where runs go."""
        return self.state in ("running", "held", "promoted")

    def took(self, at: float, body: Mapping[str, Any]) -> None:
        """What a later note changes."""
        event, reason = body["event"], body.get("reason", "")
        self.events.append((at, event, reason))
        if event == "share":
            self.share = body["share"]
        elif event == "alarm":
            self.alarm = at
            self.usual, self.drifted = body.get("usual"), body.get("drifted")
        elif event != "began":
            self.state, self.decided, self.reason = event, at, reason
            self.evidence, self.by = tuple(body.get("evidence", ())), body.get("by", "")

    def began_note(self) -> dict[str, Any]:
        """The body of the note that it begins with."""
        names = ("workflow", "owner", "overlay", "share", "criteria", "options", "sticky_by")
        told = {name: getattr(self, name) for name in (*names, "registered", "risks")}
        arms = {"baseline": asdict(self.baseline), "candidate": asdict(self.candidate)}
        if self.forecast is not None:
            told["forecast"] = self.forecast
        return {"event": "began", **told, **arms}

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain data."""
        return asdict(self)


def with_releases(notes: Notes, records: Sequence[ReleaseRecord]) -> Notes:
    """What scorecards are told, with releases and how runs have drifted since."""
    drift = [
        Drift(
            workflow=it.workflow,
            version=it.candidate.version,
            metric="success",
            baseline=1 - it.usual,
            now=1 - it.drifted,
            alarm=it.alarm,
        )
        for it in records
        if it.usual is not None and it.drifted is not None
    ]
    return replace(notes, releases=[_note(record) for record in records], drift=drift)


def _note(record: ReleaseRecord) -> ReleaseNote:
    at = {event: when for when, event, _ in record.events}
    full = at.get("promoted")
    undone = at.get("rolled_back") if full is not None else None
    outcome: Outcome = "promoted" if record.state == "ended" else record.state
    return ReleaseNote(
        workflow=record.workflow,
        version=record.candidate.version,
        overlay=record.candidate.overlay,
        registered=record.registered,
        full=full,
        ended=record.decided,
        outcome=outcome,
        undone=undone,
        first_bad=full if undone is not None else None,
        alarm=record.alarm if undone is None else record.alarm or undone,
        last_bad=undone,
    )


def records_of(notes: Iterable[tuple[int, str, float, str]]) -> list[ReleaseRecord]:
    """Releases in the order they began, from the notes of a store."""
    found: dict[str, ReleaseRecord] = {}
    for _, name, at, text in notes:
        body = json.loads(text)
        if body["event"] == "began":
            content = {key: value for key, value in body.items() if key != "event"}
            content["baseline"] = Arm(**content["baseline"])
            content["candidate"] = Arm(**content["candidate"])
            found[name] = ReleaseRecord(name=name, began=at, **content)
        if name in found:
            found[name].took(at, body)
    return list(found.values())
