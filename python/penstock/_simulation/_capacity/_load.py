"""Load: what comes to a queue or to a desk, and what each takes, by the model and the policies."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING, Any, Final

from penstock._errors import DefinitionError
from penstock._graph import Accept, GraphNode, Map, Wait
from penstock._policies import Queue, RetryBudget, RetryPolicy
from penstock._simulation._arrivals import Arrivals
from penstock._simulation._changes import Change
from penstock._simulation._model import Model
from penstock._simulation._subject import queue_of
from penstock._simulation._targets import ONCE, did_you_mean

from ._attempts import Attempts, attempts_of
from ._erlang import Line
from ._visits import visits_of

if TYPE_CHECKING:
    from penstock._workflows import Workflow


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What comes to a queue or a desk.

    Attributes:
        first: first attempts per second; of a desk, cases.
        attempts: for each of them, retries included.
        service: seconds that an attempt takes, on the average.
        cs2: the squared coefficient of variation of that: of a mixture of good and failed ones.
        ca2: of the times between arrivals.
        steps: that wait in it.
        warnings: why the formula is off here.
    """

    first: float
    attempts: float
    service: float
    cs2: float
    ca2: float
    steps: tuple[str, ...]
    warnings: tuple[str, ...]

    @property
    def offered(self) -> float:
        """How many would be busy at once if there were enough, in erlangs."""
        return self.first * self.attempts * self.service

    def line(self, servers: int) -> Line:
        """The formula's queue."""
        return Line(
            arrivals=self.first * self.attempts,
            service=self.service,
            servers=servers,
            ca2=self.ca2,
            cs2=self.cs2,
        )


def load_of_queue(workflow: Workflow[..., Any], model: Model, change: Change, queue: Queue) -> Load:
    """What comes to a queue. O(nodes · iterations of the fixed point).

    More in flight may make attempts slower, slower ones time out, and what times out is repeated:
    the load is the one that brings itself about, found by going on from none.

    Raises:
        DefinitionError: no step waits in it, or attempts may hang without a timeout.
    """
    graph = workflow.graph
    waiting = [node for node in graph.nodes if node.step and queue_of(node) == queue.name]
    if not waiting:
        known = {queue_of(node) for node in graph.nodes if node.step is not None}
        raise DefinitionError(
            f"no step waits in queue {queue.name!r}", remedy=did_you_mean(queue.name, known)
        )
    rate = change.arrivals.get("rate", model.arrivals.mean_rate)
    budget = queue.retry_budget
    flight, load = 0.0, None
    for _ in range(_ROUNDS):
        world = _World(workflow, model, change, {queue.name: flight}, budget, load)
        load = _summed(world, waiting, rate, model)
        if abs(load.offered - flight) <= _CLOSE * max(flight, 1.0):
            break
        flight = (flight + load.offered) / 2
    if load is None:
        raise AssertionError("a round was made")
    return load


class _World:
    """What nodes do at so many attempts in flight."""

    def __init__(
        self,
        workflow: Workflow[..., Any],
        model: Model,
        change: Change,
        flight: dict[str, float],
        budget: RetryBudget | None,
        before: Load | None,
    ) -> None:
        self.graph, self.model, self.change = workflow.graph, model, change
        self._flight = flight
        self._retries: float | None = None
        if budget is not None:
            first = before.first if before is not None else model.arrivals.mean_rate
            self._retries = budget.ratio + (budget.floor / first if first > 0 else 0.0)
        self._known: dict[int, Attempts] = {}

    def attempts(self, node: GraphNode) -> Attempts:
        """What becomes of a first attempt of a node."""
        found = self._known.get(id(node))
        if found is None:
            found = self._known[id(node)] = self._made(node)
        return found

    def _made(self, node: GraphNode) -> Attempts:
        step = node.step
        if step is None:
            raise AssertionError("only steps are attempted")
        options = self.change.options.get(step.name, {})
        retry: RetryPolicy = self.change.retry.get(step.name) or node.option("retry") or ONCE
        timeout = options["timeout"] if "timeout" in options else node.option("timeout")
        known = self.model.steps[step.name]
        queue = queue_of(node)
        here = queue in self._flight
        return attempts_of(
            step.name,
            known,
            retry,
            timeout,
            slower=factor(known.load, self._flight[queue]) if here else 1.0,
            retries=self._retries if here else None,
        )

    def at(self, node: GraphNode) -> float | None:
        """The least score that a node accepts."""
        detail = node.detail
        usual = detail.at if isinstance(detail, Accept) else None
        return self.change.thresholds.get(node.path, usual)

    def visits(self) -> list[float]:
        """By node, how often a run comes to it."""
        return visits_of(self.graph, self.model, lambda node: self.attempts(node).success, self.at)


def _summed(world: _World, waiting: list[GraphNode], rate: float, model: Model) -> Load:
    """What all steps of a queue bring to it."""
    places = {id(node): place for place, node in enumerate(world.graph.nodes)}
    visits = world.visits()
    first = count = held = squares = 0.0
    for node in waiting:
        often = visits[places[id(node)]]
        found = world.attempts(node)
        first += often
        count += often * found.count
        held += often * found.held
        squares += often * found.squares
    service = held / count if count else 0.0
    cs2 = max(squares / count / service**2 - 1, 0.0) if service else 0.0
    arrivals = model.arrivals
    steps = dict.fromkeys(node.step.name for node in waiting if node.step is not None)
    return Load(
        first=rate * first,
        attempts=count / first if first else 1.0,
        service=service,
        cs2=cs2,
        ca2=ca2_of(arrivals),
        steps=tuple(steps),
        warnings=tuple(_warnings(world, waiting, cs2, arrivals, model)),
    )


def load_of_desk(workflow: Workflow[..., Any], model: Model, change: Change, signal: str) -> Load:
    """What comes to the desk that answers a signal.

    Raises:
        DefinitionError: nobody waits for it, or the model has no minutes for it.
    """
    waits = [
        (place, node)
        for place, node in enumerate(workflow.graph.nodes)
        if isinstance(node.detail, Wait) and node.detail.signal.name == signal
    ]
    known = model.signals.get(signal)
    if not waits or known is None:
        there = {
            it.detail.signal.name for it in workflow.graph.nodes if isinstance(it.detail, Wait)
        }
        raise DefinitionError(
            f"no node waits for signal {signal!r}", remedy=did_you_mean(signal, there)
        )
    if known.minutes is None:
        raise DefinitionError(
            f"the model does not say how long an answer to {signal!r} takes",
            remedy=f"give [signals.{signal}] its minutes, and staff for the present",
        )
    world = _World(workflow, model, change, {}, None, None)
    visits = world.visits()
    rate = change.arrivals.get("rate", model.arrivals.mean_rate)
    often = sum(visits[place] for place, _ in waits) * known.answered
    warnings: list[str] = []
    (start, end), days = known.working
    working = (end - start) * len(days) / _WEEK
    if working < 1:
        warnings.append(
            f"the desk works {100 * working:.0f} % of the week: what comes at other times waits, "
            "which is in no formula; its load is that of the working hours"
        )
    cs2 = known.minutes.cv2()
    if cs2 > _SPREAD:
        warnings.append(f"the answers take very different times (cs² {cs2:.2g})")
    return Load(
        first=rate * often / working,
        attempts=1.0,
        service=60 * known.minutes.mean(),
        cs2=cs2,
        ca2=ca2_of(model.arrivals),
        steps=(),
        warnings=(*warnings, *_bursts(model.arrivals)),
    )


def factor(load: tuple[tuple[float, float], ...], flight: float) -> float:
    """What latencies are multiplied with at so many attempts in flight."""
    if not load:
        return 1.0
    before = load[0]
    if flight <= before[0]:
        return before[1]
    for point in load[1:]:
        if flight <= point[0]:
            share = (flight - before[0]) / (point[0] - before[0])
            return before[1] + share * (point[1] - before[1])
        before = point
    return before[1]


def ca2_of(arrivals: Arrivals) -> float:
    """The squared coefficient of variation of the times between arrivals.

    Of the two states by Fischer and Meier-Hellstern (The Markov-modulated Poisson process cookbook,
    1993); that those are correlated as well makes waits longer than this tells.
    """
    if arrivals.kind == "trace":
        mean = sum(arrivals.gaps) / len(arrivals.gaps)
        variance = sum((gap - mean) ** 2 for gap in arrivals.gaps) / len(arrivals.gaps)
        return variance / mean**2
    if arrivals.calm is None or arrivals.busy is None:
        return 1.0
    slow, fast = arrivals.rates
    away, back = 1 / arrivals.calm, 1 / arrivals.busy
    top = 2 * away * back * (slow - fast) ** 2
    return 1 + top / ((away + back) ** 2 * (slow * fast + slow * back + fast * away))


def _warnings(
    world: _World, waiting: list[GraphNode], cs2: float, arrivals: Arrivals, model: Model
) -> Iterator[str]:
    """Why the formula is off, whatever the concurrency is."""
    if cs2 > _SPREAD:
        yield f"attempts take very different times (cs² {cs2:.2g}): two moments don't tell the wait"
    names = {node.step.name for node in waiting if node.step is not None}
    slowed = sorted(name for name in names if len(model.steps[name].load) > 1)
    if slowed:
        yield f"{', '.join(slowed)}: the latency follows the load"
    queues = {queue_of(node) for node in waiting}
    retried = any(world.attempts(node).count > 1.001 for node in waiting)
    if any(outage.queue in queues for outage in model.outages):
        yield (
            "the queue has outages, in which retries come together"
            if retried
            else ("the queue has outages")
        )
    if any(node.option("hedge") is not None for node in waiting):
        yield "hedges are in no formula"
    regions = {node.detail.body for node in world.graph.nodes if isinstance(node.detail, Map)}
    if any(node.region in regions for node in waiting):
        yield "the items of a map arrive together"
    yield from _bursts(arrivals)


def _bursts(arrivals: Arrivals) -> Iterator[str]:
    if arrivals.kind == "bursty":
        yield "arrivals are bursty: whole busy times are longer than the formula looks"
    elif arrivals.kind == "trace" and sqrt(ca2_of(arrivals)) > 1.3:
        yield "arrivals come in bursts"


_SPREAD: Final = 1.5
_WEEK: Final = 7 * 86_400
_ROUNDS: Final = 60
_CLOSE: Final = 1e-4
