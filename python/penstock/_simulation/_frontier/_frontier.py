"""Frontier: what policies would cost, how long runs would take and how many would succeed."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from penstock._policies import whole
from penstock._simulation._changes import Change
from penstock._simulation._figures import Requirement, checked
from penstock._simulation._forecast import NO_DATA, Estimate, Forecast
from penstock._simulation._scene import World

from ._choosing import Chosen, choose, feasible, third_of
from ._sweep import FRESH, Evaluate, Progress, Swept, evaluator, sweep
from ._vary import Range, Vary

if TYPE_CHECKING:
    from penstock._simulation._model import Model
    from penstock._workflows import Workflow


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One policy.

    Attributes:
        number: of the policy; 0 is the present one.
        change: what it changes.
        swept: what was forecast of it beside all others.
        again: what was forecast of it on a fresh seed; None if it was not.
        extrapolated: why that says more than the model has seen; empty if it does not.
    """

    number: int
    change: Change
    swept: Forecast
    again: Forecast | None
    extrapolated: tuple[str, ...]

    @property
    def forecast(self) -> Forecast:
        """That on the fresh seed, if there is one.

        The best of many forecasts is better than what comes of it: some of what made it the best
        was luck.
        """
        return self.swept if self.again is None else self.again

    def to_dict(self) -> dict[str, Any]:
        """All of it, ready for JSON."""
        return {
            "number": self.number,
            "changes": self.change.to_dict(),
            "set": list(self.change.texts),
            "fresh": self.again is not None,
            **self.forecast.to_dict(),
            "extrapolated": list(self.extrapolated),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Frontier:
    """What came of many policies; made by `frontier`.

    Attributes:
        workflow: its name.
        version: of it.
        runs: that were simulated under each policy.
        seed: of the sweep.
        planned: how many policies there were to be.
        third: the third axis beside cost per success and p95: "quality" if it is known, else
            "success".
        points: the policies that were forecast; the first is the present one.
        chosen: what stands out among those that are not extrapolated.
        require: what is asked of a policy.
        feasible: the numbers of those that meet it, on a fresh seed, the cheapest first.
        left_out: why combinations of the vary file were left out.
        stopped: whether it was interrupted.
    """

    workflow: str
    version: str
    runs: int
    seed: int
    planned: int
    third: str
    points: tuple[Point, ...]
    chosen: Chosen
    require: tuple[Requirement, ...]
    feasible: tuple[int, ...]
    left_out: tuple[str, ...]
    stopped: bool

    @property
    def present(self) -> Point:
        """The policy that is in force."""
        return self.points[0]

    @property
    def front(self) -> tuple[Point, ...]:
        """Those that no other beats, by cost."""
        return tuple(self.points[number] for number in self.chosen.front)

    @property
    def knee(self) -> Point | None:
        """Where the frontier bends most: past it a little less of one costs much of another."""
        return None if self.chosen.knee is None else self.points[self.chosen.knee]

    @property
    def cheapest(self) -> Point | None:
        """The cheapest that meets what is required; None if none does, or nothing is."""
        return self.points[self.feasible[0]] if self.feasible else None

    @property
    def done(self) -> int:
        """How many policies were forecast."""
        return len(self.points)

    @property
    def fresh(self) -> bool:
        """Whether all that stand out were forecast on a fresh seed."""
        return all(self.points[number].again is not None for number in self.chosen.front)

    @property
    def knows_quality(self) -> bool:
        """Whether anything is known of quality."""
        return self.present.forecast.figure("quality").value is not None

    def saved_a_day(self, point: Point) -> Estimate:
        """Dollars less a day for as many successes as there are at present; below 0 for more."""
        now, then = self.present.forecast, point.forecast
        cost, other = now.figure("cost"), then.figure("cost")
        many = now.figure("throughput").value
        if many is None or cost.value is None or other.value is None:
            return NO_DATA
        day = many * _DAY
        if point.number == 0:
            return Estimate(0.0, 0.0, 0.0)
        low = high = None
        if None not in (cost.low, cost.high, other.low, other.high):
            low = day * ((cost.low or 0.0) - (other.high or 0.0))
            high = day * ((cost.high or 0.0) - (other.low or 0.0))
        return Estimate(day * (cost.value - other.value), low, high)

    def to_dict(self) -> dict[str, Any]:
        """All of it, ready for JSON."""
        knee, cheapest = self.knee, self.cheapest
        return {
            "workflow": self.workflow,
            "version": self.version,
            "runs": self.runs,
            "seed": self.seed,
            "policies": self.done,
            "planned": self.planned,
            "stopped": self.stopped,
            "axes": ["cost", "latency_p95", self.third],
            "require": [str(each) for each in self.require],
            "present": 0,
            "knee": None if knee is None else knee.number,
            "cheapest": None if cheapest is None else cheapest.number,
            "feasible": list(self.feasible),
            "frontier": list(self.chosen.front),
            "better": self.chosen.better,
            "distance": self.chosen.distance,
            "hypervolume": self.chosen.hypervolume,
            "present_hypervolume": self.chosen.present_volume,
            "left_out": list(self.left_out),
            "points": [
                {**point.to_dict(), "saved_a_day": self.saved_a_day(point).to_dict()}
                for point in self.points
            ],
        }

    def to_text(self) -> str:
        """It as a table and sentences."""
        from ._text import lines

        return "\n".join(lines(self)) + "\n"

    def to_html(self) -> str:
        """It as one page with a picture, which needs nothing from outside."""
        from ._html import page

        return page(self)


def frontier(
    workflow: Workflow[..., Any],
    model: Model,
    vary: Vary | Mapping[str, Range | Sequence[Any]],
    *,
    runs: int = 40_000,
    require: str | Iterable[Requirement] | None = None,
    seed: int = 0,
    world: World | None = None,
    evaluate: Evaluate | None = None,
    progress: Progress | None = None,
) -> Frontier:
    """Forecast many policies, and find those that no other beats.

    All are run on the same arrivals and the same luck; those that stand out are then run again on a
    fresh seed, and these figures are the ones that are told. Ctrl-C keeps what is done.

    Args:
        workflow: whose policies are varied.
        model: of it.
        vary: what is varied.
        runs: of each policy.
        require: what is asked of a policy, such as "success>=0.99,p95<=4".
        seed: of the simulation.
        world: what surrounds it: the runtime's own queues and limits.
        evaluate: forecasts policies, in place of the simulator.
        progress: told after each chunk.

    Raises:
        DefinitionError: the model is not one of the workflow, a value of `vary` can't be, or a
            requirement can't be read.
        KeyboardInterrupt: nothing was done yet.

    >>> import penstock as ps
    >>> from penstock._simulation import Model
    >>> gpt = ps.Queue("gpt", concurrency=2)
    >>> @ps.step(queue=gpt)
    ... async def shout(word: str) -> str:
    ...     return word.upper()
    >>> workflow = shout.as_workflow()
    >>> model = Model.of(workflow, default_latency=0.2, rate=5.0)
    >>> found = frontier(workflow, model, {"queue.gpt.concurrency": [1, 2, 4]}, runs=2_000)
    >>> [point.change.texts for point in found.points]
    [(), ('queue.gpt.concurrency=1',), ('queue.gpt.concurrency=4',)]
    """
    whole(runs, "runs")
    asked = checked(require)
    vary = vary if isinstance(vary, Vary) else Vary(vary)
    model.check(workflow)
    world = world or World()
    changes, left_out = vary.changes(workflow, queues=world.queues)
    evaluate = evaluate or evaluator(workflow, model, world=world)
    swept = sweep(evaluate, changes, runs=runs, seed=seed, progress=progress)
    reasons = [
        tuple(dict.fromkeys((*change.extrapolates(model), *forecast.extrapolated)))
        for change, forecast in zip(changes, swept.forecasts, strict=False)
    ]
    solid = frozenset(number for number, why in enumerate(reasons) if not why)
    sizes = {number: len(change.values) for number, change in enumerate(changes)}
    search = _Search(swept, solid, asked, sizes)
    while not search.stopped and (numbers := search.wanted()):
        asked_for = [changes[number] for number in numbers]
        behind = len(changes) + len(search.again)
        again = sweep(
            evaluate, asked_for, runs=runs, seed=seed + FRESH, progress=_after(behind, progress)
        )
        search.take(numbers, again)
    return Frontier(
        workflow=workflow.name,
        version=workflow.version,
        runs=runs,
        seed=seed,
        planned=len(changes),
        third=search.third,
        points=tuple(
            Point(
                number=number,
                change=changes[number],
                swept=forecast,
                again=search.again.get(number),
                extrapolated=reasons[number],
            )
            for number, forecast in enumerate(swept.forecasts)
        ),
        chosen=search.chosen(),
        require=asked,
        feasible=tuple(search.feasible()) if asked else (),
        left_out=tuple(left_out),
        stopped=search.stopped,
    )


class _Search:
    """What stands out, forecast again on a fresh seed until it is known.

    Args:
        swept: what came of all policies.
        solid: the numbers of those that are not extrapolated.
        require: what is asked of a policy.
        sizes: how much each changes.
    """

    def __init__(
        self,
        swept: Swept,
        solid: Collection[int],
        require: Sequence[Requirement],
        sizes: Mapping[int, int],
    ) -> None:
        self.stopped = swept.stopped
        self.again: dict[int, Forecast] = {}
        self.third = third_of(swept.forecasts)
        self._swept = {number: it for number, it in enumerate(swept.forecasts) if number in solid}
        self._require, self._sizes = require, sizes
        self._hopes = feasible(self._swept, require, sizes) if require else []
        self._first = choose(self._swept, self.third, sizes=sizes)

    def wanted(self) -> list[int]:
        """The numbers of those that are to be forecast again; none once all is known."""
        if not self.again:
            numbers = (0, self._first.knee, *self._hopes[:_AT_ONCE], *self._first.front)
            return list(dict.fromkeys(number for number in numbers if number is not None))
        if self.feasible():
            return []
        return [number for number in self._hopes if number not in self.again][:_AT_ONCE]

    def take(self, numbers: Sequence[int], swept: Swept) -> None:
        """Take in what came of it."""
        self.again |= dict(zip(numbers, swept.forecasts, strict=False))
        self.stopped |= swept.stopped

    def feasible(self) -> list[int]:
        """The numbers of those that meet what is required, the cheapest first."""
        if self.stopped:
            return feasible(self._known(), self._require, self._sizes)
        known = {number: it for number, it in self._known().items() if number in self.again}
        return feasible(known, self._require, self._sizes)

    def chosen(self) -> Chosen:
        """What stands out. What was not forecast again can't, unless it was interrupted."""
        if self.stopped:
            return self._first
        return choose(self._known(), self.third, among=self.again, sizes=self._sizes)

    def _known(self) -> dict[int, Forecast]:
        """The figures that are told."""
        return {number: self.again.get(number, it) for number, it in self._swept.items()}


def _after(done: int, progress: Progress | None) -> Progress | None:
    """Progress that begins after what is done already."""
    if progress is None:
        return None
    return lambda count, total: progress(done + count, done + total)


_AT_ONCE: Final = 4
_DAY: Final = 86_400
