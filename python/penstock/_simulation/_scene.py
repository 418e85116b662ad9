"""Scene: a workflow under one policy in the world of a model, as the native side takes it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from penstock import _engine
from penstock._errors import DefinitionError
from penstock._graph import Accept, Acquire, Case, Graph, GraphNode, Wait
from penstock._policies import Queue

from ._bench import Bench
from ._changes import Change
from ._distributions import Distribution
from ._givers import givers_of, is_answer
from ._model import Model
from ._places import SignalModel
from ._steps import StepModel
from ._stretches import Stretches
from ._subject import judged_step, subject_of
from ._targets import Targets

if TYPE_CHECKING:
    from penstock._workflows import Workflow


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What surrounds a workflow besides its model.

    Attributes:
        queues: the runtime's own, which stand in for those that steps bring along.
        concurrency: attempts that run at once, as `Runtime(concurrency=)`.
        threads: of them, those of plain functions.
        deadline: seconds that each run has; None for no limit.
        seed: of the engine: what jitter and exploration are drawn from.
    """

    queues: tuple[Queue, ...] = ()
    concurrency: int = 1024
    threads: int = 32
    deadline: float | None = None
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What is played.

    Attributes:
        scenario: the native side's.
        change: the policy.
        resources: names by number.
        queues: names by number.
        slots: by the number of a queue, its name and its slots, where they are fixed.
        paths: of the nodes, by index.
        extrapolated: why what comes of it is more than was seen.
    """

    scenario: _engine.Scenario
    change: Change
    resources: tuple[str, ...]
    queues: tuple[str, ...]
    slots: Mapping[int, tuple[str, int]]
    paths: tuple[str, ...]
    extrapolated: tuple[str, ...]


def scene_of(
    workflow: Workflow[..., Any],
    model: Model,
    change: Change,
    world: World = World(),
    *,
    resources: Sequence[str] = (),
) -> Scene:
    """A workflow under a policy in the world of a model. O(nodes).

    Args:
        workflow: to be played.
        model: how it behaves.
        change: the policy.
        world: what surrounds it.
        resources: those that come first.

    Raises:
        DefinitionError: the model is not one of the workflow, or the policy can't be simulated.
    """
    bench = Bench(workflow, change, world.queues)
    spent = _Resources(resources)
    targets = Targets(workflow, world.queues)
    reader = _Reader(workflow.graph, model, change, targets, bench.tiers, spent)
    signals, desks = _signals(model, spent)
    rate = change.arrivals.get("rate")
    scenario = bench.native.scenario(
        bench.plan,
        {
            "arrivals": _arrivals(model, rate),
            "tenants": list(model.tenants.items()),
            "frailty": model.frailty,
            "nodes": [reader.node(place) for place in range(len(workflow.graph.nodes))],
            "outages": [
                {
                    "queue": bench.queues[outage.queue],
                    "at": list(outage.at),
                    "every": outage.every or 0.0,
                    "lasts": outage.lasts or 0.0,
                    "error": outage.error,
                    "slower": outage.slower,
                }
                for outage in model.outages
                if outage.queue in bench.queues
            ],
            "signals": signals,
            "desks": desks,
            "resources": len(spent.names),
            "concurrency": world.concurrency,
            "threads": world.threads,
            "seed": world.seed,
            "deadline": world.deadline,
            "budget": None,
        },
    )
    return Scene(
        scenario=scenario,
        change=change,
        resources=tuple(spent.names),
        queues=tuple(bench.queues),
        slots=bench.slots,
        paths=tuple(node.path for node in workflow.graph.nodes),
        extrapolated=change.extrapolates(model),
    )


def drifting_scenes(
    workflow: Workflow[..., Any],
    models: Sequence[Model],
    stretches: Stretches,
    change: Change,
    world: World = World(),
) -> list[Scene]:
    """As `scene_of`, in worlds that behave as in one stretch of time, then as in another.

    Args:
        workflow: to be played.
        models: one or more, of which all counts but how nodes behave.
        stretches: how nodes behave.
        change: the policy.
        world: what surrounds it.
    """
    names: tuple[str, ...] = ()
    others: list[_engine.Scenario] = []
    for each in (models[0], *stretches.models):
        scene = scene_of(workflow, each, change, world, resources=names)
        names = scene.resources
        others.append(scene.scenario)
    found = [scene_of(workflow, each, change, world, resources=names) for each in models]
    return [
        replace(it, scenario=it.scenario.drifting(others[1:], stretches.seconds)) for it in found
    ]


class _Resources:
    """Numbers of what is spent."""

    def __init__(self, names: Iterable[str]) -> None:
        self.names = list(names)

    def number(self, name: str) -> int:
        if name not in self.names:
            self.names.append(name)
        return self.names.index(name)


class _Reader:
    """Reads from a model what becomes of the nodes of a graph."""

    def __init__(
        self,
        graph: Graph,
        model: Model,
        change: Change,
        targets: Targets,
        tiers: Mapping[int, int],
        resources: _Resources,
    ) -> None:
        self._graph = graph
        self._model = model
        self._thresholds = change.thresholds
        self._tiers = tiers
        self._resources = resources
        self._labels = subject_of(graph).labels
        # Nodes of which one gives a value: it counts if it is known of each what that is worth.
        self._groups: dict[int, int] = {}
        self._unrated: set[int] = set()
        for number, places in enumerate((*_tiers(graph, targets), givers_of(graph))):
            if len(places) > 1 and all(self._quality(place) is not None for place in places):
                self._groups.update(dict.fromkeys(places, number))
                self._unrated.difference_update(places)
            elif len(places) > 1:
                self._unrated.update(places)

    def node(self, place: int) -> dict[str, object]:
        """What the native side takes of a node."""
        node = self._graph.nodes[place]
        if node.step is not None:
            runs = self._graph.nodes[self._tiers.get(place, place)].step or node.step
            return {"kind": "step", "step": self._step(place, self._model.steps[runs.name])}
        if is_answer(node):
            return {"kind": "answer", "quality": self._worth(place), "group": self._group(place)}
        choice = self._model.choices.get(node.path)
        if isinstance(node.detail, Accept) and node.function is not None:
            return self._judge(node, node.detail)
        if node.kind == "apply" and _refuses(self._graph, node):
            return {"kind": "fails", "shares": [1.0]}
        if choice is None or (isinstance(node.detail, Acquire) and node.detail.key is not None):
            return {"kind": "passive"}
        if choice.outcomes:
            labels = self._labels[node.path]
            return {"kind": "choice", "shares": [choice.outcomes.get(it, 0.0) for it in labels]}
        if choice.until:
            return {"kind": "until", "shares": list(choice.until)}
        if choice.count is not None:
            return {"kind": "count", "shape": choice.count.native()}
        return {"kind": "key", "keys": choice.keys}

    def _step(self, place: int, model: StepModel) -> dict[str, object]:
        failed = model.failed_latency
        return {
            "latency": model.latency.native(),
            "failed_latency": None if failed is None else failed.native(),
            "load": list(model.load),
            "failures": [
                (row.attempt, row.after, row.error, row.fatal, row.hang) for row in model.failures
            ],
            "spend": [
                (
                    self._resources.number(row.resource),
                    row.units.native(),
                    row.nanos_per_million / 1e6,
                    _SCALE,
                )
                for row in model.spend
            ],
            "failed_spend": model.failed_spend,
            "cut_spend": model.cut_spend,
            "quality": self._worth(place),
            "group": self._group(place),
        }

    def _judge(self, node: GraphNode, detail: Accept) -> dict[str, object]:
        at = self._thresholds.get(node.path, detail.at)
        return {
            "kind": "judge",
            "shares": [self._accepted(node, at)],
            "tier": detail.tier,
            "group": self._group(node.inputs[0]),
        }

    def _accepted(self, node: GraphNode, at: float | None) -> float:
        name = judged_step(self._graph, node)
        moved = self._tiers.get(node.inputs[0])
        if moved is not None:
            step = self._graph.nodes[moved].step
            name = None if step is None else step.name
        if name is not None:
            accepted = self._model.steps[name].accepts(at)
            if accepted is not None:
                return accepted
        choice = self._model.choices.get(node.path)
        if choice is None or not choice.outcomes:
            raise DefinitionError(
                f"the model does not say how often {node.path!r} accepts a value",
                remedy=f'add [choices."{node.path}"] with outcomes, or accepted to the step',
            )
        return choice.outcomes.get("accepted", 0.0)

    def _worth(self, place: int) -> float | None:
        """What the value of a node is worth, if that counts."""
        return None if place in self._unrated else self._quality(place)

    def _group(self, place: int) -> int | None:
        while self._graph.nodes[place].kind in ("merge", "shield"):
            place = self._graph.nodes[place].inputs[0]
        return self._groups.get(place)

    def _quality(self, place: int) -> float | None:
        node = self._graph.nodes[self._tiers.get(place, place)]
        if isinstance(node.detail, Wait):
            signal = self._model.signals.get(node.detail.signal.name)
            return None if signal is None else signal.quality
        step = None if node.step is None else self._model.steps.get(node.step.name)
        return None if step is None else step.quality


def _tiers(graph: Graph, targets: Targets) -> Iterator[list[int]]:
    """By cascade, the steps and answers in its tiers."""
    for ladder in targets.ladders.values():
        prefixes = [f"{ladder.path}/{tier}" for tier in ladder.tiers]
        yield [
            place
            for place, node in enumerate(graph.nodes)
            if (node.step is not None or is_answer(node))
            and any(node.path == it or node.path.startswith(f"{it}/") for it in prefixes)
        ]


def _refuses(graph: Graph, node: GraphNode) -> bool:
    """Whether it fails the run for a value below its step's threshold."""
    case = graph.nodes[node.inputs[0]] if node.inputs else None
    if case is None or not isinstance(case.detail, Case) or not case.inputs:
        return False
    judge = graph.nodes[case.inputs[0]].detail
    bar = isinstance(judge, Accept) and not judge.tier and judge.at is not None
    return bar and tuple(case.detail.taken) == (0,) and node.path.endswith("/rejected")


def _arrivals(model: Model, rate: float | None) -> tuple[str, list[float]]:
    arrivals = model.arrivals
    factor = 1.0 if rate is None else rate / arrivals.mean_rate
    if arrivals.kind == "trace":
        return "trace", [gap / arrivals.speed / factor for gap in arrivals.gaps]
    if arrivals.calm is not None and arrivals.busy is not None:
        calm, busy = arrivals.rates
        return "bursty", [calm * factor, arrivals.calm, busy * factor, arrivals.busy]
    return "poisson", [arrivals.mean_rate * factor]


def _signals(
    model: Model, resources: _Resources
) -> tuple[dict[str, dict[str, object]], list[dict[str, object]]]:
    """How signals are answered, and the desks that answer them."""
    signals: dict[str, dict[str, object]] = {}
    desks: list[dict[str, object]] = []
    for name, signal in model.signals.items():
        latency = signal.latency or Distribution.constant(0.0)
        signals[name] = {
            "answered": signal.answered,
            "latency": latency.native(),
            "minutes": None if signal.minutes is None else signal.minutes.native(),
            "price": _price(signal, resources),
            "desk": None if signal.staff is None else len(desks),
        }
        if signal.staff is not None and signal.minutes is not None:
            hours, days = signal.working
            desks.append(
                {
                    "staff": signal.staff,
                    "minutes": signal.minutes.native(),
                    "hours": hours,
                    "days": [day in days for day in range(7)],
                }
            )
    return signals, desks


def _price(signal: SignalModel, resources: _Resources) -> tuple[int, float, float] | None:
    if signal.minutes is None or signal.usd_per_hour is None:
        return None
    number = resources.number(f"human {signal.role}" if signal.role else "human")
    return number, signal.usd_per_hour * 1e9 / 60, _SCALE


_SCALE: Final = 1e6
"""Units are booked by the millionth, so that parts of one count."""
