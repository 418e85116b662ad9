"""Changes: what became of releases, from the notes that the store keeps of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Final

from ._facts import Drift, Notes, ReleaseNote
from ._figures import Share


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """How changes go. Times are medians, in seconds.

    Attributes:
        live: versions, with their overlays, that runs started on.
        lead_time: from a version's first registration to all of the runs.
        failure: full releases that were rolled back, alarmed or reverted within 7 days, of all.
        canary_rollbacks: candidates that the gate kept out, of all releases that ended.
        detect: from the first bad start to the alarm.
        restore: from the alarm to the last start on the bad version.
        coverage: share of the branches that were seen, by version.
        drift: of metrics from their baselines.
    """

    live: tuple[str, ...]
    lead_time: float | None
    failure: Share
    canary_rollbacks: Share
    detect: float | None
    restore: float | None
    coverage: Mapping[str, float]
    drift: tuple[Drift, ...]


def change_of(
    notes: Notes,
    live: Iterable[tuple[str, str, str]],
    since: float,
    until: float,
    chosen: Callable[[str, str], bool],
) -> Change:
    """The layer of the changes.

    Args:
        notes: of the store.
        live: workflow, version and overlay that runs started on.
        since: the window's start.
        until: its end.
        chosen: whether a workflow and version belong to the card.
    """
    versions = sorted({it for it in live if chosen(it[0], it[1])})
    releases = [it for it in notes.releases or () if chosen(it.workflow, it.version)]
    full = [it for it in releases if it.full is not None and since <= it.full < until]
    ended = [it for it in releases if it.ended is not None and since <= it.ended < until]
    kept_out = [it for it in ended if it.outcome == "rolled_back" and it.full is None]
    alarmed = [it for it in releases if it.alarm is not None and since <= it.alarm < until]
    return Change(
        live=tuple(version_name(*it) for it in versions),
        lead_time=_median(_between(it.registered, it.full) for it in full),
        failure=Share(sum(map(_failed, full)), len(full)),
        canary_rollbacks=Share(len(kept_out), len(ended)),
        detect=_median(_between(it.first_bad, it.alarm) for it in alarmed),
        restore=_median(_between(it.alarm, it.last_bad) for it in alarmed),
        coverage={
            version_name(*key): share for key, share in notes.coverage.items() if chosen(*key)
        },
        drift=tuple(it for it in notes.drift if chosen(it.workflow, it.version)),
    )


def version_name(workflow: str, version: str, overlay: str = "") -> str:
    """How a version is called: "support 1.2.0", with the overlay's digest if there is one."""
    return f"{workflow} {version} + {overlay[:8]}" if overlay else f"{workflow} {version}"


def _failed(release: ReleaseNote) -> bool:
    """Whether it went wrong within a week of having all of the runs."""
    times = (release.undone, release.alarm)
    full = release.full or 0.0
    return any(at is not None and full <= at < full + _WEEK for at in times)


def _between(start: float | None, end: float | None) -> float | None:
    return None if start is None or end is None else max(end - start, 0.0)


def _median(spans: Iterable[float | None]) -> float | None:
    known = [it for it in spans if it is not None]
    return median(known) if known else None


_WEEK: Final = 7 * 86_400
