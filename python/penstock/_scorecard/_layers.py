"""Layers: the lines that a card shows, in the order of the four layers, for text and HTML alike."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from . import _words as words
from ._figures import Handoffs, Share
from ._metrics import ATTEMPTS, Card


@dataclass(frozen=True, slots=True)
class Line:
    """One metric.

    Attributes:
        label: what it is.
        value: as text; "no data" without any.
        note: what stands behind it; may be empty.
        trend: which of the card's trends shows it; empty for none.
        inner: whether it is a part of the line before.
    """

    label: str
    value: str
    note: str = ""
    trend: str = ""
    inner: bool = False


def layers(card: Card) -> Iterator[tuple[str, list[Line]]]:
    """The titles of the layers and their lines."""
    yield "User outcome quality", _plain(_quality(card))
    yield "System reliability", _plain(_reliability(card))
    yield "Economic efficiency", _plain(_economics(card))
    if card.change is not None:
        yield "Change management", _plain(_change(card))


def _plain(lines: Iterable[Line]) -> list[Line]:
    """A figure that is not there needs no note."""
    return [replace(it, note="") if it.value == words.NO_DATA else it for it in lines]


def _quality(card: Card) -> Iterator[Line]:
    quality = card.quality
    yield _share("success rate", quality.success, "success")
    for cause, count in quality.causes.items():
        shown = words.percent(count / quality.success.whole)
        yield Line(words.CAUSES[cause], shown, f"{count:,}", inner=True)
    if card.unit == "runs":
        first = quality.first_success
        if first != quality.success:
            yield _share("before anybody tried again", first, inner=True)
        yield _share("first-pass yield", quality.first_pass, "first_pass")
    yield from _handoffs(quality.handoffs, quality.cross)
    yield _share("escalation rate", quality.escalation)
    if card.unit == "runs":
        yield _share("degraded runs", quality.degraded)
        for kind, score in quality.scores.items():
            yield Line(f"score: {kind}", words.score(score))
        if not quality.scores:
            yield Line("scores", words.NO_DATA)


def _handoffs(every: Handoffs, cross: Handoffs) -> Iterator[Line]:
    yield _share("handoff accuracy", Share(every.accepted, every.count), "handoffs")
    for name, label in words.REFUSED.items():
        if count := getattr(every, name):
            yield Line(label, words.percent(count / every.count), f"{count:,}", inner=True)
    if every.escaped:
        share = words.percent(every.escaped / every.accepted)
        yield Line("accepted, blamed later", share, f"{every.escaped:,}", inner=True)
    yield _share("between owners", Share(cross.accepted, cross.count), inner=True)


def _reliability(card: Card) -> Iterator[Line]:
    found = card.reliability
    yield _share("retry burden", found.retry_burden, "retry_burden")
    yield Line("by cost", words.percent(found.retry_cost.value), inner=True)
    for kind in ATTEMPTS[2:]:
        if count := found.attempts.get(kind):
            yield Line(f"{kind} attempts", f"{count:,}", inner=True)
    for label, times, trend in (
        ("queue delay", found.queue_delay, "queue_delay_p95"),
        ("attempt duration", found.duration, ""),
        ("run latency", found.latency, ""),
    ):
        if label == "run latency" and card.unit != "runs":
            continue
        told = words.NO_DATA if times is None else f"p95 {words.span(times.p95)}"
        note = "" if times is None else f"p50 {words.span(times.p50)}, p99 {words.span(times.p99)}"
        yield Line(label, told, note, trend)
    yield Line("park delay", words.seconds(found.park_delay), "mean of an attempt")
    yield _share("attempts timed out", found.timeouts)
    yield Line("retry amplification", words.number(found.amplification, "x"), "sent to first")
    yield Line("demand ratio", words.number(found.demand, "x"), "sent or denied to first")
    storms = words.number(found.storms)
    lasted = f"{words.span(found.storm_seconds)} in all" if found.storm_seconds else ""
    yield Line("retry storms", storms, lasted)
    if found.shed:
        yield Line("shed", f"{found.shed:,}")
    if card.unit == "runs":
        yield _share("recovered runs", found.recovered)
        yield _share("compensation success", found.compensation)


def _economics(card: Card) -> Iterator[Line]:
    money = card.economics
    cost = money.cost
    least = "≥ " if cost.unpriced and money.cost_per_success is not None else ""
    told = f"{least}{words.usd(money.cost_per_success)}"
    yield Line("cost per success", told, "all spend by successes", "cost_per_success")
    if card.unit == "runs":
        count, own = money.succeeded, money.of_successes
        mean = own / 1e9 / count if count and own is not None and cost.lines else None
        note = "" if money.deviation is None else f"± {words.usd(money.deviation)} of a run"
        yield Line("of the run itself", words.usd(mean), note, inner=True)
    share = words.percent(cost.unpriced_share) + " unpriced" if cost.unpriced else ""
    paid = words.usd(cost.usd) if cost.lines or cost.nanos else words.NO_DATA
    yield Line("spend", f"≥ {paid}" if share else paid, share, "spend")
    waste = money.waste
    wasted = words.usd(waste.wasted / 1e9) if waste.total else ""
    yield Line("waste", words.percent(waste.share), wasted, "waste")
    for name, label in words.WASTE.items():
        nanos = getattr(waste, name)
        if nanos and name != "useful":
            part = words.percent(nanos / waste.total) if waste.total else words.NO_DATA
            yield Line(label, part, words.usd(nanos / 1e9), inner=True)
    if card.unit == "runs":
        over = money.overruns
        told = words.NO_DATA if over is None else f"{over.whole:,}"
        above = f"{words.usd(over.part / 1e9)} above" if over is not None and over.whole else ""
        yield Line("budget overruns", told, above)
        yield Line(
            "runs ended by a budget", f"{money.stopped:,}" if card.accepted else words.NO_DATA
        )
        cash = None if money.cash is None else sum(it.nanos for it in money.cash.values()) / 1e9
        yield Line("booked in the window", words.usd(cash), "cash, whenever the run started")


def _change(card: Card) -> Iterator[Line]:
    change = card.change
    if change is None:
        return
    live = change.live
    listed = ", ".join(live[:3]) + (f" and {len(live) - 3} more" if len(live) > 3 else "")
    yield Line("versions live", f"{len(live)}" if live else words.NO_DATA, listed)
    yield Line("lead time", words.seconds(change.lead_time), "registered to all of the runs")
    yield _share("change failure rate", change.failure)
    kept = change.canary_rollbacks
    yield Line("canaries rolled back", words.percent(kept.value), _of(kept), inner=True)
    yield Line("time to detect", words.seconds(change.detect), "first bad start to alarm")
    yield Line("time to restore", words.seconds(change.restore), "alarm to last bad start")
    if not change.coverage:
        yield Line("branch coverage", words.NO_DATA)
    for version, share in change.coverage.items():
        yield Line("branch coverage", words.percent(share), version)
    if not change.drift:
        yield Line("drift", words.NO_DATA)
    for drift in change.drift:
        moved = f"{drift.baseline:.3g} to {drift.now:.3g}"
        alarm = ", alarm" if drift.alarm is not None else ", no alarm"
        yield Line(f"drift: {drift.metric}", moved, f"{drift.workflow} {drift.version}{alarm}")


def _share(label: str, share: Share, trend: str = "", *, inner: bool = False) -> Line:
    return Line(label, words.percent(share.value), _of(share), trend, inner=inner)


def _of(share: Share) -> str:
    return f"{share.part:,} of {share.whole:,}" if share.whole else ""
