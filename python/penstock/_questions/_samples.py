"""Samples: what a comparison knows of the runs of one workflow, from rollups and from records.

Success, cost, latency and scores are exact, of all runs, from rollups. What is counted run by run
(retries, handoffs, first attempts, load) comes from the records of the first runs of the window: a
sample that only grows, as intervals that hold at every look need it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from penstock._evidence import Margin, Outcome, Sample, drop, rise
from penstock._evidence._compare import USUAL_MARGINS
from penstock._scorecard import Row, merge
from penstock._scorecard._histogram import bucket_of, quantiles
from penstock._scorecard._metrics import FAILURES

BY_RECORDS: Final = ("retry_burden", "handoff", "first_attempts", "load")
"""Metrics that are counted run by run."""
FIRST_RUNS: Final = 2_000
"""Runs whose records are read, of each side."""


def chosen(
    rows: Iterable[Row],
    workflow: str,
    version: str | None = None,
    overlay: str | None = None,
) -> list[Row]:
    """The rows of a workflow's runs and scores; of one version of it, or of all."""
    return [
        row
        for row in rows
        if row.kind in ("runs", "scores")
        and row.key["workflow"] == workflow
        and (version is None or row.key["version"] == version)
        and (overlay is None or (row.key["overlay"] or "").startswith(overlay))
    ]


def workflows_of(rows: Iterable[Row]) -> list[str]:
    """The workflows that rows are of."""
    return sorted({row.key["workflow"] for row in rows if row.kind == "runs"})


def margins_of(rows: Sequence[Row]) -> dict[str, Margin]:
    """The differences that matter: the usual ones, slow runs and each kind of score.

    Slow is what only 5 % of these runs are.
    """
    margins = dict(USUAL_MARGINS)
    times = merge(*(row.body["latency"] for row in rows if "latency" in row.body))
    slow = quantiles(times, 0.95)
    if slow is not None:
        margins["latency"] = rise(0.02, over=slow[0])
    for row in rows:
        if row.kind == "scores":
            margins[f"score:{row.key['kind']}"] = drop(0.05, relative=True)
    return margins


def sample_of(
    rows: Sequence[Row], outcomes: Iterable[Outcome], margins: Mapping[str, Margin]
) -> Sample:
    """What is known of some runs. O(numbers in the rows + outcomes).

    Args:
        rows: of these runs only, `unresolved` ones among them.
        outcomes: of the first of them.
        margins: by metric; both sides of a comparison need the same.
    """
    by_records = Sample({name: it for name, it in margins.items() if name in BY_RECORDS})
    for outcome in outcomes:
        by_records.add(outcome, elapsed=0.0)
    moments = dict(by_records.state()["moments"])
    runs = merge(*(_of_runs(row.body) for row in rows if row.kind == "runs"))
    scores: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        if row.kind == "scores":
            scores.setdefault(row.key["kind"], []).append(row.body)
    ended = runs.get("ended", {})
    good = int(ended.get("succeeded", 0))
    bad = sum(int(ended.get(cause, 0)) for cause in FAILURES)
    cost, costs = _costs(runs, good, good + bad)
    for metric, margin in margins.items():
        base, _, kind = metric.partition(":")
        if metric == "success":
            moments[metric] = _share(bad, good + bad)
        elif metric == "cost":
            moments[metric] = cost
        elif base == "latency":
            slow = _slower(runs.get("latency", {}), margin.over or 0.0)
            moments[metric] = _share(*slow)
        elif base == "score":
            moments[metric] = _mean(merge(*scores.get(kind, ())))
        elif metric not in BY_RECORDS:
            moments[metric] = _state(0)
    return Sample.restored(
        {
            "margins": {metric: margin.to_dict() for metric, margin in margins.items()},
            "horizon": None,
            "moments": moments,
            "costs": costs,
        }
    )


def versions_of(rows: Iterable[Row]) -> list[str]:
    """The versions that rows are of, overlays apart."""
    found = {
        (row.key["version"], row.key["overlay"] or "")
        for row in rows
        if row.kind == "runs" and row.body.get("accepted")
    }
    return [
        version + (f" + {overlay[:8]}" if overlay else "") for version, overlay in sorted(found)
    ]


def _of_runs(body: Mapping[str, Any]) -> dict[str, Any]:
    """What is about whole runs, without the nodes, which are most of a row."""
    return {name: body[name] for name in ("ended", "latency", "cost", "unpriced") if name in body}


def _costs(runs: Mapping[str, Any], good: int, count: int) -> tuple[list[Any], list[Any]]:
    """Moments of cost by success, and of cost by whether it is known."""
    money, missing = runs.get("cost", {}), runs.get("unpriced", {})
    lines = int(missing.get("of", 0))
    if not count or not (lines or money.get("nanos")):
        return _state(0), _state(count)
    nanos = int(money.get("nanos", 0))
    squares = max(float(money.get("squares", 0.0)) * 1e18 - nanos * nanos / count, 0.0)
    share = good / count
    cost = _state(
        count,
        up=nanos / count,
        up_squares=squares,
        down=share,
        down_squares=count * share * (1.0 - share),
        both=float(money.get("succeeded", 0)) - nanos * share,
    )
    priced = 1.0 - int(missing.get("lines", 0)) / lines if lines else 1.0
    return cost, _state(count, up=nanos / count, up_squares=squares, down=priced)


def _share(part: int, whole: int) -> list[Any]:
    if not whole:
        return _state(0)
    share = part / whole
    return _state(whole, up=share, up_squares=whole * share * (1.0 - share), down=1.0)


def _mean(score: Mapping[str, Any]) -> list[Any]:
    count = int(score.get("count", 0))
    if not count:
        return _state(0)
    mean = score["sum"] / count
    squares = max(score["squares"] - count * mean * mean, 0.0)
    return _state(count, up=mean, up_squares=squares, down=1.0)


def _slower(latency: Mapping[str, int], over: float) -> tuple[int, int]:
    """How many times are longer, and how many there are."""
    edge = bucket_of(int(over * 1e9))
    slow = sum(count for bucket, count in latency.items() if int(bucket) > edge)
    return slow, sum(latency.values())


def _state(
    count: int,
    *,
    up: float = 0.0,
    up_squares: float = 0.0,
    down: float = 0.0,
    down_squares: float = 0.0,
    both: float = 0.0,
) -> list[Any]:
    """As `Moments.state` writes it: by the names in their order."""
    return [both, count, down, down_squares, up, up_squares]
