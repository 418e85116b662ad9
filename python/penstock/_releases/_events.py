"""Events of releases, for those who follow `Runtime.events`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseEvent:
    """Something that happened to a release.

    Attributes:
        at: when, in seconds since 1970.
        kind: "release_began", "release_share", "release_promoted", "release_rolled_back",
            "release_held", "release_void", "release_ended", or "drift_alarm".
        release: its name.
        workflow: what is released.
        reason: the evidence in a sentence, or who asked for it.
        owner: who answers for the workflow, or None.
        playbooks: what to do when steps of it fail, by step.
    """

    at: float
    kind: str
    release: str
    workflow: str
    reason: str
    owner: str | None
    playbooks: dict[str, str]
