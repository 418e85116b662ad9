"""Text: the answers as lines, for people. Costs are of runs by their start."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from penstock._scorecard import Spend
from penstock._scorecard._words import counted, moment, percent, span, spent, usd

from ._features import Foretold
from ._impact import Decision, Impact
from ._storms import QueueStorms, Storms
from ._value import StepValue, Values
from ._words import columns


def of_values(found: Values, *, most: int = 20) -> Iterator[str]:
    """Which steps carry the most spend and the most value."""
    said = {
        "terms": f"a success is worth {usd(found.success)}, as its terms say",
        "scores": f"a success is worth {usd(found.success)}, the mean of its scores of value",
        None: "nobody said what a success is worth: give the workflow value=ps.usd(...)",
    }
    yield f"{found.workflow}: {counted(found.accepted, 'run')}; {said[found.source]}"
    head = ("step", "owner", "spend", "of all", "success with", "without", "worth a run", "")
    rows = [
        (
            each.step,
            each.owner or "nobody",
            spent(each.spend),
            "-" if each.share is None else percent(each.share),
            _rate(each.with_step.value, each.with_step.whole),
            _rate(each.without.value, each.without.whole),
            _worth(each),
            _why(each),
        )
        for each in found.steps[:most]
    ]
    yield from (f"  {line}" for line in columns(head, rows, left=("owner",)))
    if len(found.steps) > most:
        yield f"  and {counted(len(found.steps) - most, 'step')} more"
    known = [each for each in found.steps if each.total is not None]
    if known:
        best = max(known, key=lambda each: each.total or 0.0)
        yield f"  most spend: {found.steps[0].step}; most value, of those known: {best.step}"
    yield (
        f"  Value is by the records of {counted(found.runs, 'run')}. Runs without a step were other"
        " runs than those with it: a hint, no proof."
    )


def of_storms(found: Storms) -> Iterator[str]:
    """Where storms and tangles are."""
    stormy = [each for each in found.queues if each.found != "none"]
    if not stormy:
        queues = counted(len(found.queues), "queue")
        yield f"no storm in {queues}: no window with demand above 1.5 and goodput below 0.9"
    for each in stormy:
        yield from _of_queue(each)
    calm = [each for each in found.queues if each.found == "none" and each.demand is not None]
    if calm:
        told = ", ".join(f"{each.queue} {each.demand:.2f}" for each in calm[:8])
        yield f"calm, by demand: {told}"
    if not found.tangles:
        return
    yield ""
    head = ("workflow", "owner", "score", "nodes", "complexity", "degree", "loose joins", "")
    rows = [
        (
            f"{each.workflow} {each.version}",
            each.owner or "nobody",
            f"{each.shape.score:.2f}",
            f"{each.shape.nodes}",
            f"{each.shape.complexity}",
            f"{each.shape.degree}",
            f"{each.shape.loose_joins}",
            f"spaghetti: too many {each.worst}" if each.spaghetti else "",
        )
        for each in found.tangles
    ]
    yield from columns(head, rows, left=("owner",))
    yield "A score above 1.00 is called spaghetti; `penstock lint` says where."


def of_foretold(found: Foretold) -> Iterator[str]:
    """What predicts success."""
    what = "succeeded" if found.bar is None else f"scored above {found.bar:.3g}"
    runs = counted(found.runs, "run")
    yield f"{found.workflow}: {found.good:,} of {runs} {what}; known before the deciding node:"
    predictors = found.predictors
    if not predictors.found:
        yield f"  none: {predictors}"
        return
    yield from (f"  {each}" for each in predictors.found)
    judged = counted(len(predictors.judged), "feature")
    yield f"  of {judged} judged; at most one in twenty of those that are told is chance"


def of_impact(found: Impact) -> Iterator[str]:
    """What a change touches and costs."""
    if not found.steps:
        yield "nothing in the window: no step is touched"
        return
    days = (found.until - found.since) / 86_400
    share = f", {percent(found.spend / found.whole)} of all" if found.whole else ""
    yield f"spend on it in {days:.3g} days: {usd(found.spend / 1e9)}{share}"
    yield ""
    head = ("step", "workflow", "queue", "spend", "attempts", "when it fails", "owner")
    rows = [
        (
            each.step,
            each.workflow,
            each.queue,
            usd(each.nanos / 1e9),
            f"{each.attempts:,}",
            "has a fallback" if each.fallback else "NO FALLBACK",
            each.owner or "nobody",
        )
        for each in found.steps
    ]
    yield from columns(head, rows, left=("workflow", "queue", "when it fails"))
    yield ""
    for each in found.versions:
        open_runs = counted(each.open, "open run")
        owner = each.owner or "nobody"
        yield f"{each.workflow} {each.version}: {open_runs} pinned to it, owner {owner}"
    yield f"owners: {', '.join(found.owners) or 'nobody'}"
    yield f"contracts: {', '.join(found.contracts) or 'not known'}"
    if found.settings:
        yield f"settings that name it: {', '.join(found.settings)}"
    if found.lines:
        yield ""
        yield from _repriced(found)
    yield ""
    yield from map(_decided, found.decisions)


def _of_queue(found: QueueStorms) -> Iterator[str]:
    head = f"queue {found.queue}: "
    if found.storms is not None:
        head += f"{counted(found.storms, 'storm')}, {found.seconds or 0:.0f} s; "
    head += f"{counted(len(found.windows), 'window')} in a storm, peak demand {found.peak or 0:.2f}"
    yield f"{head}, {found.denied:,} retries denied"
    yield f"  found by: {found.rule}"
    for each in found.windows[:_WINDOWS]:
        yield (
            f"  {moment(each.start)} UTC, {each.width} s: demand {each.demand:.2f}, goodput "
            f"{each.goodput:.2f}, {each.denied:,} denied"
        )
    if len(found.windows) > _WINDOWS:
        yield f"  and {counted(len(found.windows) - _WINDOWS, 'window')} more"
    for step in found.steps:
        yield (
            f"  {step.step}: {step.retries:,} retries of {step.attempts:,} attempts, owner "
            f"{step.owner or 'nobody'}, playbook {step.playbook or 'none'}"
        )


def _repriced(found: Impact) -> Iterator[str]:
    old = sum(line.old for line in found.lines)
    yield f"re-priced: {usd(old / 1e9)} would be {_between(found.low, found.high)}"
    rows = [
        (
            f"{line.name} {line.resource}".strip(),
            f"{line.units:,}",
            spent(Spend(nanos=line.old, lines=line.lines, unpriced=line.unpriced)),
            _between(line.low, line.high) if line.told else "stays",
            line.why or "exact",
        )
        for line in found.lines
    ]
    lines = columns(("what", "units", "was", "would be", ""), rows)
    yield from (f"  {line}" for line in lines)
    if found.untold:
        yield f"  {usd(found.untold / 1e9)} can't be re-priced, and stays in the sum as it was"


def _between(low: int, high: int) -> str:
    if low == high:
        return usd(low / 1e9)
    return f"{usd(low / 1e9)} to {usd(high / 1e9)}"


def _decided(found: Decision) -> str:
    if found.canary is None or found.runs is None:
        return f"to decide a release of {found.workflow}: not known, no run of it is over"
    dollars = "" if found.dollars is None else f", {usd(found.dollars)} for them"
    days = "" if found.days is None else f", about {span(found.days * 86_400)} at this traffic"
    return (
        f"to decide a release of {found.workflow}: {found.canary:,} canary runs of {found.runs:,} "
        f"by {found.metric}{dollars}{days}"
    )


def _rate(value: float | None, count: int) -> str:
    return "-" if value is None else f"{percent(value)} of {count:,}"


def _worth(found: StepValue) -> str:
    if found.difference is None:
        return "not known"
    if found.worth is None:
        return f"{100 * found.difference:+.3g} points"
    return f"{'+' if found.worth >= 0 else ''}{usd(found.worth)}"


def _why(found: StepValue) -> str:
    """What a value is from, or why there is none."""
    without = found.without.whole
    if found.difference is None:
        return f"{counted(without, 'run')} without it"
    parts: Sequence[tuple[int, str]] = (
        (found.skipped, "skipped"),
        (without - found.skipped, "failed and contained"),
    )
    told = ", ".join(f"{count:,} {word}" for count, word in parts if count)
    low, high = (100 * (edge or 0.0) for edge in (found.low, found.high))
    return f"{low:+.3g} to {high:+.3g} points of success; without: {told}"


_WINDOWS = 5
