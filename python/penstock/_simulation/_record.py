"""The forecast record: what was forecast of released policies beside what was measured since.

A forecast is of the mean of many runs. What fewer runs come to lies farther from that by luck, so
its interval is widened for as many runs as were measured: by √(1 + simulated / measured). A figure
is covered if what was measured lies in the widened interval.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING, Any, Final

from penstock._figures import open_rows, rows_of_store
from penstock._policies import Seconds
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
        forecast: the figure, with its interval.
        low: the interval's lower end for as many runs as were measured; None without one.
        high: its upper end.
        measured: what was measured.
        baseline: what was measured in the baseline at the same time; None without data.
    """

    metric: str
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
            "runs": self.runs,
            "covered": self.covered,
            "judged": self.judged,
            "figures": [
                {
                    "metric": it.metric,
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


def widened(figure: Estimate, simulated: int, runs: int) -> tuple[float | None, float | None]:
    """An interval for what so many runs come to, in place of the mean of all.

    >>> widened(Estimate(10.0, 9.0, 11.0), 300, 100)
    (8.0, 12.0)
    """
    if figure.value is None or figure.low is None or figure.high is None or runs <= 0:
        return None, None
    by = sqrt(1 + simulated / runs)
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
    forecast = Forecast.from_dict(record.forecast or {})
    arms = [
        _card(view, record, arm.version, arm.overlay, until, now)
        for arm in (record.candidate, record.baseline)
    ]
    candidate, baseline = arms
    runs = 0 if candidate is None else candidate.quality.success.whole
    figures: list[Scored] = []
    if candidate is not None and runs >= least_runs:
        other: Mapping[str, float] = {} if baseline is None else measured(baseline)
        for metric, value in measured(candidate).items():
            figure = forecast.figure(metric)
            if figure.value is None:
                continue
            low, high = widened(figure, forecast.runs, runs)
            figures.append(
                Scored(
                    metric=metric,
                    forecast=figure,
                    low=low,
                    high=high,
                    measured=value,
                    baseline=other.get(metric),
                )
            )
    return ForecastRecord(
        release=record.name,
        workflow=record.workflow,
        candidate=record.candidate.name,
        state=record.state,
        began=record.began,
        until=until,
        runs=runs,
        forecast=forecast,
        figures=tuple(figures),
    )


def _card(
    view: StoreView, record: ReleaseRecord, version: str, overlay: str, until: float, now: float
) -> Card | None:
    """The scorecard of an arm's runs since the release began; None without any."""
    since = record.began - _WIDEST
    arm = (record.workflow, version, overlay)
    rows = [row for row in rows_of_store(view, since, until) if _arm(row) == arm]
    rows = [row for row in rows if row.window + row.width > record.began]
    if not rows:
        return None
    horizon: Seconds | None = record.options.get("horizon")
    late = open_rows(
        lambda wanted: view.every(**wanted),
        rows,
        record.began,
        until,
        now=now,
        horizon=None if horizon is None else float(horizon),  # type: ignore[arg-type]
    )
    own: Iterable[Row] = (row for row in late if _arm(row) == arm)
    start = min(row.window for row in rows)
    return scorecard([*rows, *own], since=start, until=max(until, start + 1.0)).whole


def _arm(row: Row) -> tuple[str, str, str]:
    key = row.key
    return key.get("workflow") or "", key.get("version") or "", key.get("overlay") or ""


_WIDEST: Final = 86_400.0
