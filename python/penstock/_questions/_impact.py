"""Impact: what a change of a model, a queue or prices would touch and cost, before it is made."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from math import sqrt
from typing import Any, ClassVar, Final

from penstock._evidence import runs_needed
from penstock._evidence._compare import USUAL_MARGINS
from penstock._prices import Prices
from penstock._scorecard import Row, merge
from penstock._scorecard._rows import Body

from ._reading import Terms
from ._reprice import TOKENS, Line, kind_of, repriced
from ._runs import DEFAULT, Plan
from ._samples import chosen, sample_of

Version = tuple[str, str]
"""A workflow and its version."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What is thought of. Each part narrows what is touched.

    Attributes:
        model: names of models, with * and ? as in a shell: "claude-*" is a provider's.
        to: the model that would take its place.
        queue: by name.
        prices: the rates that would hold; None to leave them.
    """

    model: str | None = None
    to: str | None = None
    queue: str | None = None
    prices: Prices | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TouchedStep:
    """A step that the change touches.

    Attributes:
        step: its name.
        workflow: that it belongs to.
        owner: who answers for it; None if nobody is named.
        queue: that it waits in.
        nanos: nano-dollars spent on what changes, in the window.
        attempts: first attempts in the window.
        fallback: whether another step or a cascade's next tier takes over when it fails.
        contracts: names of what it takes and gives.
    """

    step: str
    workflow: str
    owner: str | None
    queue: str
    nanos: int
    attempts: int
    fallback: bool
    contracts: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pinned:
    """A version that the change touches.

    Attributes:
        workflow: its name.
        version: of it.
        owner: who answers for it; None if nobody is named.
        open: runs under way, which are pinned to it.
    """

    workflow: str
    version: str
    owner: str | None
    open: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What it takes to decide a release of the change, in one workflow.

    Attributes:
        workflow: its name.
        metric: that takes the most runs: "success" or "cost".
        canary: runs of the candidate; None if the window does not tell.
        runs: of both arms.
        dollars: that the canary's cost; None without prices.
        days: at the traffic of the part of the window that has runs.
    """

    workflow: str
    metric: str | None = None
    canary: int | None = None
    runs: int | None = None
    dollars: float | None = None
    days: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Impact:
    """What a change touches and costs.

    Attributes:
        since: start of the window, in seconds since 1970.
        until: its end.
        steps: by what they spend on what changes, the most first.
        owners: of these steps and their workflows.
        versions: that have these steps.
        contracts: names of all that these steps take and give.
        unguarded: steps of these without a fallback and without a cascade.
        settings: names of the settings that name the model.
        spend: nano-dollars spent on what changes, in the window.
        whole: all nano-dollars of the window.
        lines: the same spend at the new rates; empty without new rates.
        decisions: by workflow.
    """

    DERIVED: ClassVar = ("low", "high", "untold")

    since: float
    until: float
    steps: tuple[TouchedStep, ...]
    owners: tuple[str, ...]
    versions: tuple[Pinned, ...]
    contracts: tuple[str, ...]
    unguarded: tuple[str, ...]
    settings: tuple[str, ...]
    spend: int
    whole: int
    lines: tuple[Line, ...]
    decisions: tuple[Decision, ...]

    @property
    def low(self) -> int:
        """Nano-dollars at the new rates, at least; what can't be told at its old amount."""
        return sum(line.low for line in self.lines)

    @property
    def high(self) -> int:
        """Likewise, at most."""
        return sum(line.high for line in self.lines)

    @property
    def untold(self) -> int:
        """Nano-dollars of the old amount whose new one can't be told."""
        return sum(line.old for line in self.lines if not line.told)


def impact(
    change: Change,
    rows: Sequence[Row],
    terms: Mapping[Version, Terms],
    *,
    since: float,
    until: float,
    at: float,
    modes: Mapping[str, Collection[str]],
    open_runs: Callable[[str, str], int],
    settings: Iterable[str] = (),
    share: float = 0.1,
) -> Impact:
    """What a change touches and costs. O(numbers in the rows + nodes).

    Args:
        change: what is thought of.
        rows: of the window.
        terms: of the versions.
        since: start of the window, in seconds since 1970.
        until: its end.
        at: the instant whose rates are meant, likewise.
        modes: by kind and name ("model:gpt"), those that were booked aside from the usual one.
        open_runs: how many runs of a version are under way.
        settings: names of those that name the model.
        share: of the runs that a release would give to the candidate.
    """
    queued = _queued(rows)
    sums, whole = _sums(change, rows, terms, queued)
    lines: list[Line] = []
    if change.prices is not None:
        lines = [
            _line(label, body, sums, change, change.prices, at=at, modes=modes)
            for label, body in sums.items()
            if label != "context"
        ]
    if change.model is None and change.queue is None:
        # Of all that has a price only that is touched whose price is another.
        lines = [line for line in lines if not line.same]
        named = {f"{line.resource}:{line.name}" for line in lines}
        sums = {label: body for label, body in sums.items() if label in named}
    touched: dict[Version, set[str]] = {}
    spends: dict[tuple[str, str], list[Body]] = {}
    firsts: dict[tuple[str, str], int] = {}
    for key, path, node in _nodes(rows):
        step, queue = _place(terms.get(key), path, queued)
        spend = node.get("spend", {})
        mine = [body for label, body in spend.items() if label in sums]
        if change.queue not in (None, queue) or not (mine or _is_whole(change)):
            continue
        touched.setdefault(key, set()).add(path)
        spends.setdefault((step, key[0]), []).extend(mine)
        firsts[step, key[0]] = firsts.get((step, key[0]), 0) + int(node.get("first", 0))
    last = _order(rows, terms)
    steps = _steps(dict(sorted(touched.items(), key=last)), terms, spends, firsts, queued)
    known = [terms.get(key) or Terms(workflow=key[0], version=key[1]) for key in sorted(touched)]
    owners = [*(each.owner for each in steps), *(each.owner for each in known)]
    return Impact(
        since=since,
        until=until,
        steps=tuple(steps),
        owners=tuple(sorted({it for it in owners if it})),
        versions=tuple(
            Pinned(
                workflow=each.workflow,
                version=each.version,
                owner=each.owner,
                open=open_runs(each.workflow, each.version),
            )
            for each in known
        ),
        contracts=tuple(sorted({name for step in steps for name in step.contracts})),
        unguarded=tuple(dict.fromkeys(each.step for each in steps if not each.fallback)),
        settings=tuple(sorted(set(settings))),
        spend=sum(int(body.get("nanos", 0)) for body in sums.values()),
        whole=whole,
        lines=tuple(sorted(lines, key=lambda it: (-it.old, it.name, it.resource))),
        decisions=tuple(
            decision(name, rows, share=share)
            for name in sorted({workflow for workflow, _ in touched})
        ),
    )


def decision(workflow: str, rows: Sequence[Row], *, share: float) -> Decision:
    """The runs and the dollars that a release of a change takes, by what the window tells.

    Args:
        workflow: its name.
        rows: of the window.
        share: of the runs that the candidate would get.
    """
    margins = {name: USUAL_MARGINS[name] for name in ("success", "cost")}
    own = [row for row in chosen(rows, workflow) if row.kind == "runs"]
    sample = sample_of(own, (), margins)
    runs = sample.costs.count
    if not runs:
        return Decision(workflow=workflow)
    needed: dict[str, int] = {}
    # As if there had been one good and one bad run more: nobody is known never to fail.
    failing = (sample.moments("success").up * runs + 1.0) / (runs + 2.0)
    deviation = sqrt(failing * (1.0 - failing))
    needed["success"] = runs_needed(margins["success"].by, deviation=deviation, share=share)
    cost = sample.moments("cost")
    ratio = cost.ratio
    if ratio:
        spread = sqrt(cost.variance(ratio))
        matters = margins["cost"].by * ratio * cost.down
        if spread:
            needed["cost"] = runs_needed(matters, deviation=spread, share=share)
    metric = max(needed, key=needed.__getitem__)
    canary = needed[metric]
    priced = sample.costs.down >= _PRICED
    return Decision(
        workflow=workflow,
        metric=metric,
        canary=canary,
        runs=round(canary / share),
        dollars=canary * sample.costs.up / 1e9 if priced else None,
        days=canary / share / runs * _days(own),
    )


def _order(
    rows: Iterable[Row], terms: Mapping[Version, Terms]
) -> Callable[[tuple[Version, object]], tuple[float, int]]:
    """What sorts versions by when they ran last, and then as the store came to know them."""
    last: dict[Version, float] = {}
    for row in rows:
        if row.kind == "runs":
            key = row.key["workflow"], row.key["version"]
            last[key] = max(last.get(key, 0.0), row.window)
    places = {key: place for place, key in enumerate(terms)}
    return lambda item: (last.get(item[0], 0.0), places.get(item[0], -1))


def _days(rows: Sequence[Row]) -> float:
    """From the first window to the end of the last one."""
    first = min(row.window for row in rows)
    return (max(row.window + row.width for row in rows) - first) / 86_400


def _queued(rows: Iterable[Row]) -> dict[str, str]:
    """By step, the queue that its attempts waited in."""
    return {row.key["step"]: row.key["queue"] for row in rows if row.kind == "delays"}


def _place(terms: Terms | None, path: str, queued: Mapping[str, str]) -> tuple[str, str]:
    """The step and the queue of a node; a node that nobody knows is its own step."""
    facts: Mapping[str, Any] = {} if terms is None else terms.nodes.get(path, {})
    step = str(facts.get("step", path))
    return step, str(facts.get("queue") or queued.get(step) or DEFAULT)


def _is_whole(change: Change) -> bool:
    """Whether a step is touched whatever it spends."""
    return change.queue is not None and change.model is None


def _nodes(rows: Iterable[Row]) -> Iterator[tuple[Version, str, Mapping[str, Any]]]:
    for row in rows:
        if row.kind == "runs":
            for path, node in row.body.get("nodes", {}).items():
                yield (row.key["workflow"], row.key["version"]), path, node


def _sums(
    change: Change,
    rows: Sequence[Row],
    terms: Mapping[Version, Terms],
    queued: Mapping[str, str],
) -> tuple[dict[str, Body], int]:
    """By resource and name, what was spent on what may change; and all that was spent."""
    found: dict[str, list[Body]] = {}
    whole = 0
    for key, path, node in _nodes(rows):
        spend = node.get("spend", {})
        whole += sum(int(body.get("nanos", 0)) for body in spend.values())
        if change.queue is not None and _place(terms.get(key), path, queued)[1] != change.queue:
            continue
        for label, body in spend.items():
            resource, _, name = label.partition(":")
            is_model = kind_of(resource) == "model"
            if change.model is None or (is_model and fnmatchcase(name, change.model)):
                found.setdefault(label, []).append(body)
    return {label: merge(*bodies) for label, bodies in found.items()}, whole


def _line(
    label: str,
    body: Mapping[str, Any],
    changed: Mapping[str, object],
    change: Change,
    book: Prices,
    *,
    at: float,
    modes: Mapping[str, Collection[str]],
) -> Line:
    resource, _, name = label.partition(":")
    kind = kind_of(resource)
    return repriced(
        label,
        body,
        book,
        at=at,
        modes=modes.get(f"{kind}:{name}", ()),
        to=change.to if kind == "model" else None,
        requests=resource not in TOKENS or f"request:{name}" in changed,
    )


def _steps(
    touched: Mapping[Version, Collection[str]],
    terms: Mapping[Version, Terms],
    spends: Mapping[tuple[str, str], Sequence[Body]],
    firsts: Mapping[tuple[str, str], int],
    queued: Mapping[str, str],
) -> list[TouchedStep]:
    """By step and workflow; of what differs between versions the last one that ran tells."""
    found: dict[tuple[str, str], TouchedStep] = {}
    for key in touched:
        known = terms.get(key)
        nodes: Mapping[str, Mapping[str, Any]] = {} if known is None else known.nodes
        graph = None if known is None else known.graph
        plan = Plan.of(graph, {"nodes": nodes})
        guarded: dict[str, bool] = {}
        for path in sorted(touched[key]):
            step, queue = _place(known, path, queued)
            place = plan.places.get(path)
            safe = path in plan.tiers or (place is not None and place.replaced)
            guarded[step] = guarded.get(step, True) and safe
            before = found.get((step, key[0]))
            contracts = _contracts(graph, path)
            found[step, key[0]] = TouchedStep(
                step=step,
                workflow=key[0],
                owner=nodes.get(path, {}).get("owner"),
                queue=queue,
                nanos=int(merge(*spends.get((step, key[0]), ())).get("nanos", 0)),
                attempts=firsts.get((step, key[0]), 0),
                fallback=guarded[step],
                contracts=tuple(dict.fromkeys((*(before.contracts if before else ()), *contracts))),
            )
    return sorted(found.values(), key=lambda it: (-it.nanos, -it.attempts, it.step, it.workflow))


def _contracts(graph: Mapping[str, Any] | None, path: str) -> list[str]:
    """The names of what a node takes and gives."""
    nodes: list[Mapping[str, Any]] = [] if graph is None else graph["nodes"]
    node = next((each for each in nodes if each["path"] == path), None)
    if node is None:
        return []
    return [*(nodes[place]["contract"] for place in node["inputs"]), node["contract"]]


_PRICED: Final = 0.99
"""The share of lines with a price below which there are no dollars."""
