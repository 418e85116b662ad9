"""Outlooks: what is known of each queue's stability under a load, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import ceil, floor, inf
from typing import Any, Final, Literal, TypeAlias

from ._demands import (
    Demand,
    advised,
    budget_in_words,
    demands,
    percent,
    retry_ratio,
    safe_up_to,
    told,
)
from ._errors import DefinitionError
from ._graph import Graph
from ._policies import Adaptive, RetryBudget
from ._stability import Stability, stability

Verdict: TypeAlias = Literal["stable", "a storm may last", "overloaded"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What is known of a queue, and judged if that is enough.

    Attributes:
        demand: what the steps ask of it.
        service: seconds that an attempt takes; None if nobody says.
        arrivals: first attempts per second; None if nobody says.
        found: where its load may stay; None if something is missing.
        safe: the utilisation above which a storm can last; None if that hangs on what is missing.
        missing: what is, each with the option or attribute that gives it.
    """

    demand: Demand
    service: float | None
    arrivals: float | None
    found: Stability | None
    safe: float | None
    missing: tuple[str, ...]

    @property
    def verdict(self) -> Verdict | None:
        """None if something is missing."""
        if self.found is None:
            return None
        if self.found.utilisation >= 1:
            return "overloaded"
        return "a storm may last" if self.found.vulnerable else "stable"

    @property
    def budget(self) -> RetryBudget | None:
        """What retries are paid from; None also if there is not one model of the queue."""
        return None if self.demand.model is None else self.demand.model.retry_budget

    @property
    def is_adaptive(self) -> bool:
        """Whether `Demand.at_once` is only what an `Adaptive` may come to."""
        model = self.demand.model
        return model is not None and isinstance(model.concurrency, Adaptive)

    @property
    def remedies(self) -> list[str]:
        """What takes the queue out of danger, the most useful first; nothing if it is in none."""
        at_once = self.demand.at_once
        if at_once is None or self.service is None:
            return []
        return list(_remedies(self, at_once, self.service))

    def facts(self) -> str:
        """What the verdict follows from, in a line."""
        asked = self.demand
        at_most = " (the most that its Adaptive allows)" if self.is_adaptive else ""
        parts = [", ".join(asked.steps)]
        if asked.at_once is not None:
            parts.append(f"{asked.at_once:,} at once{at_most}")
        if self.service is not None:
            parts.append(f"{told(self.service)} s each")
        if asked.timeout is not None:
            parts.append(f"timeout {told(asked.timeout)} s")
            parts.append(f"up to {asked.attempts:,} attempt{'s' if asked.attempts > 1 else ''}")
        if asked.model is not None:
            parts.append(budget_in_words(self.budget))
        return "; ".join(parts)

    def to_dict(self) -> dict[str, Any]:
        """As plain data; what is not known is None."""
        found, asked = self.found, self.demand
        return {
            "queue": asked.queue,
            "verdict": self.verdict,
            "arrivals": self.arrivals,
            "utilisation": None if found is None else found.utilisation,
            "amplification": None if found is None else found.amplification,
            "safe_utilisation": self.safe,
            "vulnerable": None if found is None else found.vulnerable,
            "loads": None if found is None else list(found.loads),
            "steps": list(asked.steps),
            "concurrency": asked.at_once,
            "adaptive": self.is_adaptive,
            "service_time": self.service,
            "timeout": asked.timeout,
            "max_attempts": asked.attempts,
            "retry_budget": None if self.budget is None else self.budget.to_dict(),
            "missing": list(self.missing),
            "remedies": self.remedies,
        }


def outlooks(
    graphs: Iterable[Graph],
    *,
    arrivals: Mapping[str | None, float],
    service: Mapping[str | None, float],
) -> list[Outlook]:
    """The outlook of each queue that workflows name.

    Args:
        graphs: of the workflows.
        arrivals: first attempts per second by the queue's name; of None for all others.
        service: seconds that an attempt takes, likewise, in place of what steps estimate.
    """
    return [
        _outlook(
            asked,
            arrivals.get(asked.queue, arrivals.get(None)),
            service.get(asked.queue, service.get(None, asked.service)),
        )
        for asked in demands(graphs)
    ]


def _outlook(asked: Demand, arrivals: float | None, service: float | None) -> Outlook:
    missing = _missing(asked, arrivals, service)
    budget = None if asked.model is None else asked.model.retry_budget
    found, safe = None, None
    if asked.at_once is not None and asked.timeout is not None and service is not None:
        safe = safe_up_to(asked.attempts, budget, asked.at_once / service)
        if arrivals is not None:
            try:
                found = _solved(asked, arrivals=arrivals, service=service, at_once=asked.at_once)
            except DefinitionError as error:
                missing.append(f"a number that can be solved for: {error}")
    return Outlook(
        demand=asked,
        service=service,
        arrivals=arrivals,
        found=found,
        safe=safe,
        missing=tuple(missing),
    )


def _solved(
    asked: Demand, *, arrivals: float, service: float, at_once: int, attempts: int | None = None
) -> Stability:
    """A queue under a load, or with a change to it."""
    budget = None if asked.model is None else asked.model.retry_budget
    return stability(
        arrivals=arrivals,
        concurrency=at_once,
        service_time=service,
        timeout=inf if asked.timeout is None else asked.timeout,
        max_attempts=attempts or asked.attempts,
        retry_ratio=retry_ratio(budget, arrivals),
    )


def _missing(asked: Demand, arrivals: float | None, service: float | None) -> list[str]:
    name, missing = asked.queue, list[str]()
    if not asked.models:
        missing.append(f"its model: give its steps the ps.Queue({name!r}, ...), not its name only")
    elif len(asked.models) > 1:
        count = len(asked.models)
        missing.append(f"one model: {count} different queues have this name, share one")
    elif asked.at_once is None:
        missing.append("its concurrency: give the ps.Queue what its dependency serves at once")
    if asked.timeout is None:
        missing.append("a timeout: none of its steps has one, give them timeout=")
    if service is None:
        named = ", ".join(repr(step) for step in asked.unestimated)
        missing.append(
            f"how long an attempt takes: give --service {name}=0.1, or "
            f"estimate=ps.Cost(seconds=0.1) to {named}"
        )
    if arrivals is None:
        missing.append(f"first attempts per second: give --arrivals {name}=40")
    return missing


def _remedies(outlook: Outlook, at_once: int, service: float) -> Iterator[str]:
    """Ways to take a queue out of danger, each tried: near the limit long waits count as well."""
    found, asked, safe, arrivals = outlook.found, outlook.demand, outlook.safe, outlook.arrivals
    if found is None or safe is None or arrivals is None or outlook.verdict == "stable":
        return

    def is_stable(**change: Any) -> bool:
        now: dict[str, Any] = {"arrivals": arrivals, "at_once": at_once, "service": service}
        return not _solved(asked, **(now | change)).vulnerable

    capacity, what = at_once / service, "max_limit" if outlook.is_adaptive else "concurrency"
    if found.utilisation < 1:
        better, how = advised(asked.attempts, capacity)
        safer = safe_up_to(asked.attempts, better, capacity)
        if safer > max(safe, found.utilisation):
            verb = "give it a" if outlook.budget is None else "lower its"
            yield f"{verb} ps.RetryBudget: with {how} it is safe up to {percent(safer)}"
        fewer = min(floor(1 / found.utilisation), asked.attempts - 1)
        if fewer > 0 and is_stable(attempts=fewer):
            count = "one attempt" if fewer == 1 else f"{fewer} attempts"
            yield f"allow its steps {count} only: safe up to {percent(1 / fewer)}"
    less = min(arrivals, safe * capacity)
    loads = (less * (1 - step / _STEPS) for step in range(_STEPS))
    load = next((load for load in loads if is_stable(arrivals=load)), None)
    if load is not None:
        yield f"send it at most {told(load)} first attempts a second"
    needed = ceil(max(found.utilisation / safe, 1.0) * at_once)
    sizes = (ceil(needed * (1 + step / _STEPS)) for step in range(_STEPS))
    size = next((size for size in sizes if size > at_once and is_stable(at_once=size)), None)
    if size is not None:
        wider = f"raise {what} from {at_once:,} to {size:,}"
        yield f"{wider}, if what it calls serves that many at once"


_STEPS: Final = 50
