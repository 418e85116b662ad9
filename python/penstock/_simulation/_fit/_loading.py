"""Loading: which runs of a store a model is fitted to, and what is read of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from penstock._errors import DefinitionError
from penstock._questions._graphs import graph_of
from penstock._questions._reading import Terms, terms_of
from penstock._simulation._parts import nearest
from penstock._simulation._subject import DEFAULT, subject_of

from ._coming import Wanted
from ._fitting import model_of
from ._reading import Reader, intervals
from ._seen import Seen

if TYPE_CHECKING:
    from penstock._simulation._model import Model
    from penstock._stored import RunFilter, RunInfo, StoreView

MOST_RUNS: Final = 50_000
"""Runs that are read, the newest."""
Progress: TypeAlias = Callable[[int, int], None]
"""Told how many runs of how many have been read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """What a model is fitted to.

    Attributes:
        workflow: its name.
        version: of it.
        digest: of its graph.
        runs: in the order in which they were accepted.
        seen: what they tell.
        scores: by run, how good its value was.
        allowed: by the path of a node, how many attempts it may have.
        gaps: what could not be read.
    """

    workflow: str
    version: str
    digest: str | None
    runs: list[RunInfo]
    seen: Seen
    scores: Mapping[str, float]
    allowed: Mapping[str, int]
    gaps: tuple[str, ...]


def fit_of_store(
    view: StoreView,
    workflow: str | None = None,
    *,
    version: str | None = None,
    since: float | None = None,
    until: float | None = None,
    arrivals: Wanted = "auto",
    score: str = "quality",
    default_latency: float | None = None,
    most: int = MOST_RUNS,
    progress: Progress | None = None,
) -> Model:
    """A model of a workflow, fitted to its runs in a store. O(records).

    Args:
        view: of the store.
        workflow: its name; None if the store has runs of one only.
        version: of it; None for that of its newest run.
        since: runs accepted from then on, in seconds since 1970.
        until: runs accepted before.
        arrivals: "auto", "poisson", "bursty" or "trace".
        score: the kind of score that tells quality.
        default_latency: seconds of a step that never ran; None leaves it out.
        most: runs that are read, the newest.
        progress: told how far it is.

    Raises:
        DefinitionError: there are too few runs to fit anything to, or none of that workflow.
    """
    found = load(
        view,
        workflow,
        version=version,
        since=since,
        until=until,
        score=score,
        most=most,
        progress=progress,
    )
    return model_of(found, arrivals=arrivals, default_latency=default_latency)


def load(
    view: StoreView,
    workflow: str | None,
    *,
    version: str | None,
    since: float | None,
    until: float | None,
    score: str,
    most: int,
    progress: Progress | None,
) -> Loaded:
    """Read what a model is fitted to; see `fit_of_store`."""
    terms = terms_of(view)
    name = _named(terms, workflow, view)
    wanted: RunFilter = {"workflow": name, "accepted_after": since, "accepted_before": until}
    wanted |= {"version": version, "limit": 1}
    newest = next(view.every(**wanted), None)
    if newest is None:
        bounded = since is not None or until is not None
        raise _nothing(terms, view, name, version, bounded=bounded)
    wanted |= {"version": newest.version, "limit": most}
    runs = list(view.every(**wanted))[::-1]
    if len(runs) < 2:
        raise DefinitionError(
            f"{view.path} has one run of workflow {name!r} {newest.version} in that time, which "
            "tells nothing of rates",
            remedy="let some hundred run, or look further back",
        )
    content = view.graph(newest.run_id)
    if content is None:
        raise DefinitionError(
            f"{view.path} does not have the graph of workflow {name!r} {newest.version}",
            remedy="fit another version; `penstock interfaces` lists what it has",
        )
    graph = graph_of(content, {})
    seen = Seen(graph, subject_of(graph))
    own = terms.get((name, newest.version))
    others = _sharing(view, runs, own, terms, most)
    total = len(runs) + len(others)
    scores = _scores(view, score, {run.run_id for run in runs})
    total, read = len(runs) + len(others), 0

    def told() -> None:
        nonlocal read
        read += 1
        if progress is not None:
            progress(read, total)

    readers: dict[int, Reader] = {}
    for info in runs:
        known = view.graph(info.run_id) or content
        reader = readers.get(id(known))
        if reader is None:
            reader = readers[id(known)] = Reader(known, own, seen)
        records = view.records(info.run_id)
        if records:
            reader.read(info, records, scored=info.run_id in scores)
        told()
    _read_others(view, others, terms, seen, told)
    gaps = [f"{len(runs):,} runs were read, the newest"] if len(runs) == most else []
    pinned = sum("penstock.overlay" in run.tags for run in runs)
    if pinned:
        gaps.append(f"{pinned:,} runs were those of a release's candidate, and count like others")
    if len(others) == most:
        gaps.append(f"of other workflows in its queues, {most:,} runs were read, the newest")
    return Loaded(
        workflow=name,
        version=newest.version,
        digest=_digest(view, name, newest.version),
        runs=runs,
        seen=seen,
        scores=scores,
        allowed=_allowed(own),
        gaps=tuple(gaps),
    )


def _read_others(
    view: StoreView,
    runs: Iterable[RunInfo],
    terms: Mapping[tuple[str, str], Terms],
    seen: Seen,
    told: Callable[[], None],
) -> None:
    """What runs of other workflows had under way, and when."""
    for info in runs:
        queues = _queues(terms.get((info.workflow, info.version)))
        for path, start, end in intervals(view.records(info.run_id)):
            seen.others.setdefault(queues.get(path, DEFAULT), []).append((start, end))
        told()


def _sharing(
    view: StoreView,
    runs: list[RunInfo],
    own: Terms | None,
    terms: Mapping[tuple[str, str], Terms],
    most: int,
) -> list[RunInfo]:
    """Runs of others at the same time whose steps wait in the same queues."""
    mine = set(_queues(own).values()) - {DEFAULT}
    kinds = {runs[-1].workflow: runs[-1].version}
    sharing = {
        key
        for key, told in terms.items()
        if kinds.get(key[0]) != key[1] and mine & set(_queues(told).values())
    }
    found: list[RunInfo] = []
    for name, version in sorted(sharing):
        found += view.every(
            workflow=name,
            version=version,
            accepted_after=runs[0].accepted,
            accepted_before=runs[-1].accepted,
            limit=most - len(found),
        )
        if len(found) >= most:
            break
    return found


def _queues(terms: Terms | None) -> dict[str, str]:
    """By the path of a node, what it waits in."""
    nodes: Mapping[str, Mapping[str, Any]] = {} if terms is None else terms.nodes
    return {path: str(facts.get("queue") or DEFAULT) for path, facts in nodes.items()}


def _allowed(terms: Terms | None) -> dict[str, int]:
    """By the path of a node, how many attempts it may have."""
    nodes: Mapping[str, Mapping[str, Any]] = {} if terms is None else terms.nodes
    return {path: int(facts["attempts"]) for path, facts in nodes.items() if "attempts" in facts}


def _named(terms: Iterable[tuple[str, str]], workflow: str | None, view: StoreView) -> str:
    known = sorted({name for name, _ in terms})
    if not known:
        raise DefinitionError(f"{view.path} has no runs", remedy=_RUN_FIRST)
    if workflow is None and len(known) > 1:
        raise DefinitionError(
            f"{view.path} has runs of {len(known)} workflows",
            remedy=f"name one: {', '.join(known)}",
        )
    if workflow is not None and workflow not in known:
        raise DefinitionError(
            f"{view.path} has no run of workflow {workflow!r}",
            remedy=nearest(workflow, known, "workflows"),
        )
    return workflow or known[0]


def _nothing(
    terms: Iterable[tuple[str, str]],
    view: StoreView,
    name: str,
    version: str | None,
    *,
    bounded: bool,
) -> DefinitionError:
    versions = sorted({each for of, each in terms if of == name})
    if version is not None and version not in versions:
        return DefinitionError(
            f"{view.path} has no run of workflow {name!r} version {version!r}",
            remedy=f"the versions are {', '.join(versions)}",
        )
    return DefinitionError(
        f"{view.path} has no run of workflow {name!r}" + (" in that time" if bounded else ""),
        remedy="look further back" if bounded else _RUN_FIRST,
    )


def _digest(view: StoreView, name: str, version: str) -> str | None:
    """Of the graph that was registered last."""
    found = [
        content
        for of, each, _, content in view.reader.interfaces("graph")
        if (of, each) == (name, version)
    ]
    return None if not found else json.loads(found[-1]).get("digest")


def _scores(view: StoreView, kind: str, runs: set[str]) -> dict[str, float]:
    """By run, its last score of a kind."""
    found: dict[str, float] = {}
    for _, run_id, _, body in view.reader.notes("score"):
        if run_id in runs:
            note = json.loads(body)
            if note["kind"] == kind:
                found[run_id] = float(note["value"])
    return found


_RUN_FIRST: Final = "let some hundred run in a Runtime(store=...) first"
