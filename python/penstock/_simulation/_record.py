"""The forecast record: what was forecast of released policies beside what was measured since.

A forecast is of the mean of many runs. What fewer runs come to lies farther from that by luck, so
its interval is widened for as many runs as were measured: by √(1 + simulated / measured). One that
was predicted of so many runs is widened only for fewer. A figure is covered if what was measured
lies in the widened interval.

Waits and latencies are held against it from the promotion on: as long as a candidate gets but a
share of the runs, the load that it was forecast for is not there.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING, Any, Final

from penstock._figures import open_rows, rows_of
from penstock._questions._words import columns
from penstock._releases import NOTE, ReleaseRecord, records_of
from penstock._scorecard import Row, scorecard
from penstock._scorecard._metrics import Card
from penstock._scorecard._words import counted, moment, percent

from ._figures import label, told
from ._forecast import Estimate, Forecast

if TYPE_CHECKING:
    from penstock._stored import StoreView


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """One figure of a forecast, held against what was measured.

    Attributes:
        metric: as the forecast names it.
        runs: that were measured.
        forecast: the figure, with its interval.
        low: the interval's lower end for as many runs as were measured; None without one.
        high: its upper end.
        measured: what was measured.
        baseline: what was measured in the baseline at the same time; None without data.
    """

    metric: str
    runs: int
    forecast: Estimate
    low: float | None
    high: float | None
    measured: float
    baseline: float | None

    @property
    def covered(self) -> bool | None:
        """Whether what was measured lies in the interval; None without one."""
        if self.low is None or self.high is None:
            return None
        return self.low <= self.measured <= self.high

    @property
    def beats_baseline(self) -> bool | None:
        """Whether it was nearer than "as the baseline has it"; None without that."""
        if self.baseline is None or self.forecast.value is None:
            return None
        return abs(self.forecast.value - self.measured) <= abs(self.baseline - self.measured)


@dataclass(frozen=True, slots=True, kw_only=True)
class ForecastRecord:
    """A released forecast with what came of it.

    Attributes:
        release: its name.
        workflow: what was released.
        candidate: the arm that was forecast, as people tell it.
        state: of the release.
        began: when, in seconds since 1970.
        until: up to when it was measured.
        runs: of the candidate, that are over since.
        forecast: as it was given.
        figures: those that were measured; none below 30 runs.
        promoted: when all runs went to it, or None.
    """

    release: str
    workflow: str
    candidate: str
    state: str
    began: float
    until: float
    runs: int
    forecast: Forecast
    figures: tuple[Scored, ...]
    promoted: float | None

    @property
    def covered(self) -> int:
        """How many figures were covered."""
        return sum(figure.covered is True for figure in self.figures)

    @property
    def judged(self) -> int:
        """How many figures have an interval, and were measured."""
        return sum(figure.covered is not None for figure in self.figures)

    def to_dict(self) -> dict[str, Any]:
        """All of it, ready for JSON."""
        return {
            "release": self.release,
            "workflow": self.workflow,
            "candidate": self.candidate,
            "state": self.state,
            "began": self.began,
            "until": self.until,
            "promoted": self.promoted,
            "runs": self.runs,
            "covered": self.covered,
            "judged": self.judged,
            "figures": [
                {
                    "metric": it.metric,
                    "runs": it.runs,
                    "forecast": it.forecast.to_dict(),
                    "low": it.low,
                    "high": it.high,
                    "measured": it.measured,
                    "baseline": it.baseline,
                    "covered": it.covered,
                }
                for it in self.figures
            ],
        }


def forecasts_of_store(
    view: StoreView, *, now: float, least_runs: int = 30
) -> list[ForecastRecord]:
    """The forecast record of a store, the oldest release first. O(rows since the oldest).

    Args:
        view: of the store.
        now: seconds since 1970.
        least_runs: of the candidate, below which nothing is held against a forecast.
    """
    known = [it for it in records_of(view.reader.notes(NOTE)) if it.forecast is not None]
    return [_scored(view, record, now, least_runs) for record in known]


def measured(card: Card) -> dict[str, float]:
    """What a scorecard says of the figures that a forecast has; those without data are left out."""
    quality, system, money = card.quality, card.reliability, card.economics
    latency, delay = system.latency, system.queue_delay
    score = quality.scores.get("quality")
    found = {
        "success": quality.success.value,
        "quality": None if score is None else score.mean,
        "retry_burden": system.retry_burden.value,
        "amplification": system.amplification,
        "cost": money.cost_per_success,
        "waste": money.waste.share,
    }
    for name in ("p50", "p95", "p99"):
        found[f"latency_{name}"] = None if latency is None else getattr(latency, name)
        found[f"queue_delay_{name}"] = None if delay is None else getattr(delay, name)
    return {name: value for name, value in found.items() if value is not None}


def widened(
    figure: Estimate, simulated: int, runs: int, of_runs: int | None = None
) -> tuple[float | None, float | None]:
    """An interval for what so many runs come to, in place of the mean of all, or of other ones.

    >>> widened(Estimate(10.0, 9.0, 11.0), 300, 100)
    (8.0, 12.0)
    >>> widened(Estimate(10.0, 9.0, 11.0), 300, 100, of_runs=100)
    (9.0, 11.0)
    """
    if figure.value is None or figure.low is None or figure.high is None or runs <= 0:
        return None, None
    by = sqrt(1 + simulated / runs if of_runs is None else max(of_runs / runs, 1.0))
    return (
        figure.value - by * (figure.value - figure.low),
        figure.value + by * (figure.high - figure.value),
    )


def lines(records: Sequence[ForecastRecord]) -> Iterator[str]:
    """The record as tables, the newest release first, and the share that was covered."""
    if not records:
        yield "no release has a forecast: rt.release(..., forecast=forecast) keeps one"
        return
    for record in reversed(records):
        yield (
            f"{record.release}: {record.state.replace('_', ' ')}, {moment(record.began)} to "
            f"{moment(record.until)}, {counted(record.runs, 'run')} of {record.candidate}"
        )
        if not record.figures:
            yield "  too few runs yet to hold it against"
        else:
            yield from (f"  {line}" for line in _table(record))
            if record.promoted is None:
                yield "  waits and latencies: once it is promoted and has all the load"
        yield ""
    covered, judged = sum(it.covered for it in records), sum(it.judged for it in records)
    if not judged:
        yield "Nothing is held against a forecast yet."
        return
    yield f"Covered: {covered} of {judged} figures ({percent(covered / judged)}); 95 % is promised."
    beside = [it.beats_baseline for record in records for it in record.figures]
    known = [it for it in beside if it is not None]
    if known:
        yield f"Nearer than the baseline's own figure: {sum(known)} of {len(known)}."


def _table(record: ForecastRecord) -> list[str]:
    marks = {True: "covered", False: "MISSED", None: "no interval"}
    rows = [
        (
            label(it.metric),
            told(it.metric, it.forecast.value),
            "-" if it.low is None else f"{told(it.metric, it.low)} to {told(it.metric, it.high)}",
            told(it.metric, it.measured),
            told(it.metric, it.baseline),
            marks[it.covered],
        )
        for it in record.figures
    ]
    head = ("figure", "forecast", "for so many runs", "measured", "baseline", "")
    return columns(head, rows)


def _scored(view: StoreView, record: ReleaseRecord, now: float, least_runs: int) -> ForecastRecord:
    over = record.state in ("rolled_back", "void", "ended")
    until = record.decided if over and record.decided is not None else now
    promoted = next((at for at, event, _ in record.events if event == "promoted"), None)
    forecast = Forecast.from_dict(record.forecast or {})
    arms = _Arms(view, record, until, now)
    candidate, baseline = arms.cards(record.began)
    later = None if promoted is None else arms.cards(promoted)[0]
    figures: list[Scored] = []
    for card, wanted in ((candidate, False), (later, True)):
        runs = 0 if card is None else card.quality.success.whole
        if card is None or runs < least_runs:
            continue
        # After a promotion nothing goes to the baseline any more.
        beside = {} if baseline is None or wanted else measured(baseline)
        figures += [
            _held(metric, forecast, value, runs, beside.get(metric))
            for metric, value in measured(card).items()
            if metric.startswith(_OF_LOAD) == wanted and forecast.figure(metric).value is not None
        ]
    return ForecastRecord(
        release=record.name,
        workflow=record.workflow,
        candidate=record.candidate.name,
        state=record.state,
        began=record.began,
        until=until,
        runs=0 if candidate is None else candidate.quality.success.whole,
        forecast=forecast,
        figures=tuple(figures),
        promoted=promoted,
    )


def _held(
    metric: str, forecast: Forecast, value: float, runs: int, baseline: float | None
) -> Scored:
    figure = forecast.figure(metric)
    low, high = widened(figure, forecast.runs, runs, forecast.of_runs)
    return Scored(
        metric=metric,
        runs=runs,
        forecast=figure,
        low=low,
        high=high,
        measured=value,
        baseline=baseline,
    )


class _Arms:
    """The runs of a release's arms, read once."""

    def __init__(self, view: StoreView, record: ReleaseRecord, until: float, now: float) -> None:
        self._view, self._record, self._until, self._now = view, record, until, now
        self._found = list(view.reader.metrics(record.began - _WIDEST, until))

    def cards(self, since: float) -> list[Card | None]:
        """Their scorecards from a time on, the candidate's first; None without any run."""
        # Rows are added up over wider windows below: what began before must be out by then.
        inside = [row for row in self._found if row[0] + _width(row[2]) > since]
        start = min((row[0] for row in inside), default=since)
        until = max(self._until, start + 1.0)
        rows = rows_of(inside, start, until)
        rows += open_rows(
            lambda wanted: self._view.every(**wanted),
            rows,
            since,
            until,
            now=self._now,
            horizon=self._record.options.get("horizon"),
        )
        found: list[Card | None] = []
        for arm in (self._record.candidate, self._record.baseline):
            key = (self._record.workflow, arm.version, arm.overlay)
            own = [row for row in rows if _arm(row) == key]
            found.append(scorecard(own, since=start, until=until).whole if own else None)
        return found


def _width(key: str) -> float:
    """Seconds of a window, by the key of its row."""
    return Row(0.0, "", json.loads(key), {}).width


def _arm(row: Row) -> tuple[str, str, str]:
    key = row.key
    return key.get("workflow") or "", key.get("version") or "", key.get("overlay") or ""


_WIDEST: Final = 86_400.0
_OF_LOAD: Final = ("latency", "queue_delay")
