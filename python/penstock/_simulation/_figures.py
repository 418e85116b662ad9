"""Figures: what the metrics of a forecast are called, how they are told, and what is asked of them.

"p95" is short for "latency_p95", and "wait_p95" for "queue_delay_p95".
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, cast

from penstock._errors import DefinitionError
from penstock._policies import number
from penstock._scorecard._words import percent, seconds, usd

from ._forecast import Estimate, Forecast
from ._targets import did_you_mean

Sign: TypeAlias = Literal[">=", "<="]


@dataclass(frozen=True, slots=True)
class Requirement:
    """What a figure has to be. It has to hold at the end of the interval where it is worst.

    Attributes:
        metric: as a forecast names it.
        sign: ">=" or "<=".
        bound: the least or the most.

    >>> [str(each) for each in requirements("success>=99%, p95<=4")]
    ['success >= 99.0 %', 'p95 <= 4 s']
    """

    metric: str
    sign: Sign
    bound: float

    def end(self, figure: Estimate) -> float | None:
        """The end of an interval where it is worst; the value without one, None without data."""
        end = figure.low if self.sign == ">=" else figure.high
        return figure.value if end is None else end

    def holds(self, forecast: Forecast) -> bool:
        """Whether it holds, as sure as the interval is; without data it does not."""
        return self.met(self.end(forecast.figure(self.metric)))

    def met(self, value: float | None) -> bool:
        """Whether a value is good enough; none is not."""
        if value is None:
            return False
        return value >= self.bound if self.sign == ">=" else value <= self.bound

    def __str__(self) -> str:
        return f"{label(self.metric)} {self.sign} {told(self.metric, self.bound)}"


def requirements(text: str) -> tuple[Requirement, ...]:
    """What a text asks for: "success>=0.99,p95<=4".

    Raises:
        DefinitionError: it can't be read, or names no figure; all of it at once.
    """
    found: list[Requirement] = []
    problems: list[str] = []
    for part in filter(None, map(str.strip, text.split(","))):
        match = _REQUIREMENT.fullmatch(part)
        if match is None:
            problems.append(f"{part!r} asks for nothing; write it as success>=0.99 or p95<=4")
            continue
        metric = named(match["metric"])
        if not is_metric(metric):
            remedy = did_you_mean(match["metric"], (*METRICS, *_SHORT))
            problems.append(f"there is no figure {match['metric']!r}; {remedy}")
            continue
        bound = float(match["bound"]) / (100 if match["percent"] else 1)
        found.append(Requirement(metric, cast("Sign", match["sign"]), bound))
    if not found and not problems:
        problems.append(f"{text!r} asks for nothing; write it as success>=0.99,p95<=4")
    if problems:
        raise DefinitionError.of("what is required", problems)
    return tuple(found)


def checked(asked: str | Iterable[Requirement] | None) -> tuple[Requirement, ...]:
    """Requirements, given as a text or as they are; none for None."""
    if asked is None:
        return ()
    found = requirements(asked) if isinstance(asked, str) else tuple(asked)
    for each in found:
        number(each.bound, each.metric)
    return found


def named(metric: str) -> str:
    """A metric by its whole name."""
    return _SHORT.get(metric, metric)


def is_metric(metric: str) -> bool:
    """Whether a forecast may have it."""
    return metric in METRICS or metric.startswith(_BY_NAME)


def label(metric: str) -> str:
    """What a metric is called: "p95", "wait p95", "utilisation:gpt"."""
    base, colon, name = metric.partition(":")
    return f"{LABELS.get(base, base)}{colon}{name}" if base != "cost" or not name else metric


def told(metric: str, value: float | None) -> str:
    """A value in its unit: "$0.0136", "3.1 s", "99.2 %"; "-" without data.

    >>> told("latency_p95", 3.104), told("utilisation:gpt", 0.81), told("cost", None)
    ('3.1 s', '81.0 %', '-')
    """
    if value is None:
        return "-"
    base = metric.partition(":")[0]
    if base == "cost":
        return usd(value)
    if base.startswith(TIMES):
        return seconds(value)
    if base in SHARES:
        return percent(value)
    return f"{value:.3g}"


def told_range(metric: str, figure: Estimate) -> str:
    """A figure with its interval: "3.1 s (2.9 s to 3.4 s)"."""
    if figure.value is None:
        return "-"
    value, low, high = (told(metric, it) for it in (figure.value, figure.low, figure.high))
    return value if figure.low is None or low == high else f"{value} ({low} to {high})"


def told_about(metric: str, figure: Estimate) -> str:
    """A figure with half its interval: "$0.0142 ± 1.8 %", "79.8 % ± 1.6", the latter in points."""
    value, low, high = figure.value, figure.low, figure.high
    text = told(metric, value)
    if value is None or low is None or high is None or high <= low:
        return text
    half = (high - low) / 2
    if half <= 1e-9 * abs(value):
        return text
    if metric.partition(":")[0] in SHARES:
        return f"{text} ± {100 * half:.2g}"
    if half > abs(value):  # a percentage would be beyond all measure
        return f"{told(metric, low)} to {told(metric, high)}"
    return f"{text} ± {100 * half / abs(value):.2g} %"


LABELS: Final = {
    "cost": "cost per success",
    "latency_p50": "p50",
    "latency_p95": "p95",
    "latency_p99": "p99",
    "queue_delay_p50": "wait p50",
    "queue_delay_p95": "wait p95",
    "queue_delay_p99": "wait p99",
    "retry_burden": "retry burden",
    "human_minutes": "human minutes",
    "slot_seconds": "slot-seconds",
}
"""What metrics are called, where it is not their name."""
METRICS: Final = (
    "success",
    "quality",
    "latency_p50",
    "latency_p95",
    "latency_p99",
    "queue_delay_p50",
    "queue_delay_p95",
    "queue_delay_p99",
    "retry_burden",
    "amplification",
    "cost",
    "waste",
    "human_minutes",
    "throughput",
    "slot_seconds",
    "refused",
    "unfinished",
)
"""The metrics of each forecast."""
_BY_NAME: Final = ("cost:", "utilisation:", "queue_delay_p")
_SHORT: Final = {
    "p50": "latency_p50",
    "p95": "latency_p95",
    "p99": "latency_p99",
    "wait_p50": "queue_delay_p50",
    "wait_p95": "queue_delay_p95",
    "wait_p99": "queue_delay_p99",
}
TIMES: Final = ("latency", "queue_delay")
"""What the names of times begin with."""
SHARES: Final = frozenset(
    {"success", "quality", "waste", "utilisation", "retry_burden", "refused", "unfinished"}
)
"""Metrics that are a share of a whole."""
_REQUIREMENT: Final = re.compile(
    r"(?P<metric>[A-Za-z_][^<>=]*?)\s*(?P<sign>>=|<=)\s*\$?(?P<bound>-?\d+(\.\d+)?(e-?\d+)?)\s*"
    r"(?P<percent>%)?(?:\s*s)?"
)
