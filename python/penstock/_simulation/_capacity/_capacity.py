"""Capacity: how many slots of a queue, or people at a desk, it takes to reach an objective."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from math import ceil, isfinite
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from penstock._errors import DefinitionError
from penstock._policies import whole
from penstock._simulation._changes import Change
from penstock._simulation._figures import Requirement, checked
from penstock._simulation._forecast import NO_DATA, Estimate, Forecast
from penstock._simulation._frontier._sweep import FRESH, Evaluate, Progress, evaluator
from penstock._simulation._scene import World

from ._erlang import QUANTILES, least
from ._load import Load
from ._servers import Asking, Slots, Staff

if TYPE_CHECKING:
    from penstock._simulation._model import Model
    from penstock._workflows import Workflow


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A number of servers that was looked at.

    Attributes:
        servers: how many.
        formula: by what is required, what the formula says; no entry where it says nothing.
        forecast: what the simulation says; None if it was not asked.
        again: likewise on a fresh seed.
    """

    servers: int
    formula: Mapping[str, float]
    forecast: Forecast | None = None
    again: Forecast | None = None

    @property
    def told(self) -> Forecast | None:
        """That on the fresh seed, if there is one."""
        return self.again or self.forecast


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """How many it takes; made by `capacity`.

    Attributes:
        what: "queue" or "desk".
        name: of the queue, or of the desk's signal.
        present: how many there are; None if that is not fixed.
        require: what is to be reached.
        load: what comes.
        formula: how many it takes by formula; None if it says nothing, or no number is enough.
        simulated: how many it takes by simulation; None if no number is enough, or it was not
            asked.
        trials: all numbers that were looked at, the least first.
        runs: that were simulated for each.
        warnings: why the formula is known to be off.
        notes: what else is to be minded.
    """

    what: str
    name: str
    present: int | None
    require: tuple[Requirement, ...]
    load: Load
    formula: int | None
    simulated: int | None
    trials: tuple[Trial, ...]
    runs: int
    warnings: tuple[str, ...]
    notes: tuple[str, ...]

    def figure(self, trial: Trial, metric: str) -> Estimate:
        """What the simulation says of a number of servers."""
        return NO_DATA if trial.told is None else _figure(trial.told, metric, self.name)

    def to_dict(self) -> dict[str, Any]:
        """All of it, ready for JSON."""
        load = self.load
        return {
            "what": self.what,
            "name": self.name,
            "present": self.present,
            "require": [str(each) for each in self.require],
            "formula": self.formula,
            "simulated": self.simulated,
            "runs": self.runs,
            "load": {
                "first_attempts": load.first,
                "attempts_each": load.attempts,
                "service": load.service,
                "cs2": load.cs2,
                "ca2": load.ca2,
                "offered": load.offered,
                "steps": list(load.steps),
            },
            "trials": [
                {
                    "servers": it.servers,
                    "formula": {k: v if isfinite(v) else None for k, v in it.formula.items()},
                    "simulated": {
                        each.metric: self.figure(it, each.metric).to_dict()
                        for each in self.require
                        if it.told is not None
                    },
                }
                for it in self.trials
            ],
            "warnings": list(self.warnings),
            "notes": list(self.notes),
        }

    def to_text(self) -> str:
        """It as a table and sentences."""
        from ._text import lines

        return "\n".join(lines(self)) + "\n"


def capacity(
    workflow: Workflow[..., Any],
    model: Model,
    *,
    queue: str | None = None,
    signal: str | None = None,
    require: str | Iterable[Requirement],
    change: Change | None = None,
    runs: int = 20_000,
    seed: int = 0,
    world: World | None = None,
    simulated: bool = True,
    evaluate: Callable[[Model], Evaluate] | None = None,
    progress: Progress | None = None,
) -> Capacity:
    """How many slots of a queue, or people at a desk, it takes: by formula and by simulation.

    The formula is right for what it knows: a queue with Poisson arrivals and times that do not hang
    on the load. The simulation plays the workflow, with the least number of servers found by
    halving; that number is then held against a fresh seed.

    Args:
        workflow: that waits there.
        model: of it.
        queue: whose concurrency is asked for; or give `signal`.
        signal: whose desk's staff is asked for.
        require: what is to be reached, such as "wait_p95<=2": waits are those of the queue.
        change: what is different from the present besides.
        runs: that are simulated for each number.
        seed: of the simulation.
        world: what surrounds the workflow.
        simulated: whether to simulate.
        evaluate: forecasts policies under a model, in place of the simulator.
        progress: told how many numbers were looked at; how many there will be is not known.

    Raises:
        DefinitionError: the queue or the desk is not there, or what is required can't be read.

    >>> import penstock as ps
    >>> from penstock._simulation import Model
    >>> gpt = ps.Queue("gpt", concurrency=2)
    >>> @ps.step(queue=gpt)
    ... async def shout(word: str) -> str:
    ...     return word.upper()
    >>> workflow = shout.as_workflow()
    >>> model = Model.of(workflow, default_latency=0.5, rate=10.0)
    >>> capacity(workflow, model, queue="gpt", require="wait_p95<=0.5", simulated=False).formula
    7
    """
    whole(runs, "runs")
    asked = checked(require)
    world = world or World()
    change = Change(workflow, queues=world.queues) if change is None else change
    model.check(workflow)
    if (queue is None) == (signal is None):
        raise DefinitionError("a queue or a desk is asked for", remedy="give queue= or signal=")
    asking: Asking
    if queue is not None:
        asking = Slots(workflow, model, change, world, queue)
    else:
        asking = Staff(workflow, model, change, signal or "")
    search = _Search(asking, asked, runs=runs, seed=seed, progress=progress)
    make = evaluate or partial(evaluator, workflow, world=world)
    formula = search.by_formula()
    found = search.by_simulation(make, formula) if simulated else None
    return Capacity(
        what=asking.what,
        name=asking.name,
        present=asking.present,
        require=asked,
        load=asking.load,
        formula=formula,
        simulated=found,
        trials=tuple(search.trials[number] for number in sorted(search.trials)),
        runs=runs,
        warnings=tuple(search.warnings(found or formula)),
        notes=(*asking.notes(), *search.notes()),
    )


class _Search:
    """Looks for the least number of servers; what was looked at is kept as trials."""

    def __init__(
        self,
        asking: Asking,
        require: tuple[Requirement, ...],
        *,
        runs: int,
        seed: int,
        progress: Progress | None,
    ) -> None:
        self.trials: dict[int, Trial] = {}
        self._asking, self._require = asking, require
        self._runs, self._seed, self._progress = runs, seed, progress
        self._of_all = False
        self._looked = 0

    def by_formula(self) -> int | None:
        """The least number by formula; None if it says nothing of what is required."""
        if not self._formula(1):
            return None
        asked = [each for each in self._require if each.metric in self._formula(1)]

        def holds(servers: int) -> bool:
            found = self._formula(servers)
            return all(each.met(found[each.metric]) for each in asked)

        start = max(ceil(self._asking.load.offered), 1)
        found = least(holds, start=start)
        for servers in {found, self._asking.present}:
            if servers is not None:
                self._trial(servers)
        return found

    def by_simulation(self, make: Callable[[Model], Evaluate], formula: int | None) -> int | None:
        """The least number by simulation; None if no number that can be is enough."""
        load = self._asking.load.offered
        most = max(_TIMES * ceil(load + 1), _TIMES * (formula or 1), _FEWEST)

        def holds(servers: int) -> bool:
            return self._holds(self._played(make, servers))

        if self._asking.present is not None:
            holds(self._asking.present)
        start = formula or max(ceil(load), 1)
        found = least(holds, start=start, most=most)
        while found is not None:  # the least of several is a lucky one
            if self._holds(self._played(make, found, fresh=True)):
                return found
            found = found + 1 if found < most else None
        return None

    def warnings(self, servers: int | None) -> Iterable[str]:
        """Why the formula is off."""
        yield from self._asking.load.warnings
        if servers is not None and self._asking.load.line(servers).utilisation > _BUSY:
            busy = self._asking.load.line(servers).utilisation
            yield f"at {100 * busy:.0f} % utilisation a little more load makes waits much longer"

    def notes(self) -> Iterable[str]:
        """What the simulation does not see."""
        if self._of_all:
            yield (
                "the simulated waits are those of all queues together; if others have room, those "
                f"of {self._asking.name} are longer"
            )

    def _formula(self, servers: int) -> dict[str, float]:
        """What the formula says of what is required, by metric."""
        line = self._asking.load.line(servers)
        found: dict[str, float] = {}
        for each in self._require:
            base, _, name = each.metric.partition(":")
            if name not in ("", self._asking.name):
                continue
            if base in QUANTILES:
                found[each.metric] = line.wait(QUANTILES[base])
            elif base == "utilisation":
                found[each.metric] = line.utilisation
        return found

    def _trial(self, servers: int) -> Trial:
        trial = self.trials.get(servers)
        if trial is None:
            formula = MappingProxyType(self._formula(servers))
            trial = self.trials[servers] = Trial(servers=servers, formula=formula)
        return trial

    def _played(
        self, make: Callable[[Model], Evaluate], servers: int, *, fresh: bool = False
    ) -> Forecast:
        trial = self._trial(servers)
        known = trial.again if fresh else trial.forecast
        if known is not None:
            return known
        model, change = self._asking.policy(servers)
        seed = self._seed + (FRESH if fresh else 0)
        found = make(model)([change], self._runs, seed)
        if not found:
            raise KeyboardInterrupt
        seen = replace(trial, again=found[0]) if fresh else replace(trial, forecast=found[0])
        self.trials[servers] = seen
        self._looked += 1
        if self._progress is not None:
            self._progress(self._looked, 0)
        return found[0]

    def _holds(self, forecast: Forecast) -> bool:
        name = self._asking.name
        for each in self._require:
            alone = each.metric in QUANTILES and f"{each.metric}:{name}" not in forecast.metrics
            self._of_all |= alone and self._asking.others
            if not each.met(each.end(_figure(forecast, each.metric, name))):
                return False
        return True


def _figure(forecast: Forecast, metric: str, name: str) -> Estimate:
    """A figure of a queue, if there is one of it alone."""
    own = forecast.metrics.get(f"{metric}:{name}")
    return forecast.figure(metric) if own is None else own


_BUSY: Final = 0.85
_TIMES: Final = 16
_FEWEST: Final = 64
