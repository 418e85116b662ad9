"""Comparing: baselines and versions of a store, saved, listed and compared."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from itertools import islice
from typing import TYPE_CHECKING, Final

from penstock._errors import DefinitionError
from penstock._evidence import Margin
from penstock._figures import horizon_of, overlay_of
from penstock._policies import word
from penstock._scorecard import Row

from ._baselines import Baseline, Contest, Part, contest, newest
from ._reading import rows_of_kinds, settled, stuck, terms_of, told
from ._runs import outcome_of
from ._samples import FIRST_RUNS, chosen, margins_of, sample_of, versions_of, workflows_of

if TYPE_CHECKING:
    from penstock._stored import RunFilter, StoreView


def baseline_of(
    view: StoreView,
    name: str,
    *,
    since: float,
    until: float,
    now: float,
    workflow: str | None = None,
    version: str | None = None,
) -> Baseline:
    """What is known of a window's runs: O(rows of the window), and the records of some runs.

    Args:
        view: of the store.
        name: of the baseline.
        since: seconds since 1970.
        until: likewise.
        now: likewise.
        workflow: only this one; all of them if not given.
        version: only this one, as "1.0.0" or, with an overlay, "1.0.0 + 3fa85f64".

    Raises:
        DefinitionError: the name can't be meant, or no run of these is over.
    """
    word(name, "the name of a baseline")
    rows = rows_of_kinds(view, since, until, *KINDS)
    names = workflows_of(rows) if workflow is None else [workflow]
    parts = [
        part(view, rows, each, since=since, until=until, now=now, version=version) for each in names
    ]
    known = tuple(each for each in parts if each.runs)
    if not known:
        raise DefinitionError(
            "no run of the window is over", remedy="give a longer one, or another workflow"
        )
    return Baseline(name=name, at=now, parts=known)


def save(view: StoreView, baseline: Baseline) -> None:
    """Keep a baseline in its store, also while a runtime has that open."""
    key = f"baseline:{baseline.name}:{uuid.uuid4().hex}"
    view.reader.note(key, KIND, baseline.name, baseline.at, baseline.to_json())


def baselines(view: StoreView, name: str | None = None) -> list[Baseline]:
    """The baselines that a store has, oldest first; of one name, or all."""
    return [
        Baseline.from_json(found, at, body) for _, found, at, body in view.reader.notes(KIND, name)
    ]


def baseline_named(view: StoreView, name: str) -> Baseline:
    """The last baseline of that name.

    Raises:
        DefinitionError: there is none.
    """
    found = newest(baselines(view, name)).get(name)
    if found is None:
        known = sorted({each.name for each in baselines(view)})
        raise DefinitionError(
            f"{view.path} has no baseline {name!r}",
            remedy=f"give one of {', '.join(known)}" if known else "save one first",
        )
    return found


def compare_now(
    view: StoreView,
    baseline: Baseline,
    *,
    now: float,
    since: float | None = None,
    until: float | None = None,
    workflow: str | None = None,
    version: str | None = None,
    alpha: float = 0.05,
) -> list[Contest]:
    """What runs now against a baseline, workflow by workflow.

    Args:
        view: of the store.
        baseline: what is compared with.
        now: seconds since 1970.
        since: runs from then on; from the end of the baseline if not given.
        until: runs before then.
        workflow: only this one.
        version: only this one; what has run since if not given.
        alpha: the probability, for each metric, that its interval is wrong at any look.
    """
    contests: list[Contest] = []
    read: dict[float, list[Row]] = {}
    end = now if until is None else until
    for old in baseline.parts:
        if workflow not in (None, old.workflow):
            continue
        start = old.until if since is None else since
        if start not in read:
            read[start] = rows_of_kinds(view, start, end, *KINDS)
        new = part(
            view,
            read[start],
            old.workflow,
            since=start,
            until=end,
            now=now,
            version=version,
            margins=old.sample.margins,
            horizon=old.horizon,
        )
        contests.append(contest(old, new, alpha=alpha))
    return contests


def compare_versions(
    view: StoreView,
    workflow: str,
    versions: tuple[str, str],
    *,
    since: float,
    until: float,
    now: float,
    alpha: float = 0.05,
) -> Contest:
    """Two versions of a workflow in one window, the first as the baseline."""
    rows = rows_of_kinds(view, since, until, *KINDS)
    found: list[Part] = []
    margins: dict[str, Margin] | None = None
    for version in versions:
        each = part(
            view,
            rows,
            workflow,
            since=since,
            until=until,
            now=now,
            version=version,
            margins=margins,
        )
        margins = each.sample.margins
        found.append(each)
    for version, each in zip(versions, found, strict=True):
        if not each.versions:
            known = ", ".join(versions_of(chosen(rows, workflow))) or "none"
            raise DefinitionError(
                f"no run of {workflow} {version} started in the window",
                remedy=f"give a longer one, or a version that did run: {known}",
            )
    return contest(*found, alpha=alpha)


def part(
    view: StoreView,
    rows: Sequence[Row],
    workflow: str,
    *,
    since: float,
    until: float,
    now: float,
    version: str | None = None,
    margins: dict[str, Margin] | None = None,
    horizon: float | None = None,
) -> Part:
    """What is known of the runs of one workflow, or of one version of it.

    Args:
        view: of the store.
        rows: of the window.
        workflow: by name.
        since: seconds since 1970.
        until: likewise; it ends before the first run that is still to be waited for.
        now: likewise.
        version: as "1.0.0" or "1.0.0 + 3fa85f64".
        margins: of the other side; those that fit these runs if not given.
        horizon: seconds, of the other side; by all versions of the window if not given.
    """
    of, plus, digest = (version or "").partition(" + ")
    overlay = digest if plus else None
    every = chosen(rows, workflow)
    horizon = horizon_of(every) if horizon is None else horizon
    end = settled(view, workflow, since, until, now=now, horizon=horizon)
    every += stuck(view, workflow, since, until, now=now, horizon=horizon)
    own = [row for row in chosen(every, workflow, of or None, overlay) if row.window < end]
    margins = margins_of(own) if margins is None else margins
    wanted: RunFilter = {
        "workflow": workflow,
        "version": of or None,
        "accepted_after": since,
        "accepted_before": end,
    }
    runs = (
        info
        for info in view.rising(**wanted)
        if overlay is None or overlay_of(info).startswith(overlay)
    )
    outcomes = map(outcome_of, told(view, islice(runs, FIRST_RUNS), terms_of(view)))
    return Part(
        workflow=workflow,
        versions=tuple(versions_of(own)),
        since=since,
        until=end,
        horizon=horizon,
        sample=sample_of(own, outcomes, margins),
    )


KIND: Final = "baseline"
KINDS: Final = ("runs", "scores")
