"""Bench: a workflow registered to be played, under one policy, as a runtime would register it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final, cast

from penstock import _engine
from penstock._errors import DefinitionError
from penstock._graph import GraphNode, Map
from penstock._plan import plan_of
from penstock._policies import Queue
from penstock._prices import PriceBook
from penstock._registry import Registry, model_of
from penstock._settings import Changes

from ._changes import Change
from ._targets import DEFAULT, Ladder, Targets

if TYPE_CHECKING:
    from penstock._driver import Driver
    from penstock._engine import Core
    from penstock._workflows import Workflow

Policy = dict[str, object]


class Bench:
    """Stands for a runtime's native side: hands on to the simulation what a registry registers.

    Args:
        workflow: to be played.
        change: what is changed in it.
        queues: the runtime's own.

    Attributes:
        native: what holds it.
        plan: its number.
        queues: numbers by name.
        slots: by the number of a queue, its name and how many attempts may run at once, where
            that is fixed.
        tiers: by the index of a node, the step that runs there in place of its own.
    """

    def __init__(
        self, workflow: Workflow[..., Any], change: Change, queues: Iterable[Queue]
    ) -> None:
        self._workflow = workflow
        self._change = change
        self.tiers = _moved(Targets(workflow), change)
        self.native = _engine.Simulation()
        # The registry asks nothing else of a driver.
        driver = SimpleNamespace(queues=[], graphs=[], overlays={})
        given = {queue.name: queue for queue in queues} | dict(change.queues)
        default = given.pop(DEFAULT.name, None)
        registry = Registry(
            cast("Core", self),
            cast("Driver", driver),
            given.values(),
            # A model says what is spent, so that a budget always has something to hold.
            prices=PriceBook(package=None),
            own_task=False,
        )
        self.plan = registry.plan(workflow)
        if change.retry:
            self.plan = registry.plan(workflow, Changes(_DIGEST, {}, {}, change.retry, {}))
        if default is not None:
            self.native.configure_queue(0, model_of(default))
            registry.queues[0] = default
        if change.budget is not None:
            self.native.limit_runs(self.plan, change.budget.parts)
        self.queues = {queue.name: number for number, queue in enumerate(registry.queues)}
        self.slots = {
            number: (queue.name, queue.concurrency)
            for number, queue in enumerate(registry.queues)
            if isinstance(queue.concurrency, int)
        }

    def add_queue(self, parts: dict[str, object]) -> int:
        """As `Core.add_queue`."""
        return self.native.add_queue(parts)

    def limit_runs(self, plan: int, parts: Any) -> None:
        """In place of `Core.limit_runs`: what a run may spend is the policy's to say."""

    def add_plan(
        self,
        plan: _engine.Plan,
        digest: str,
        nodes: Sequence[tuple[object, object, Policy | None, None]],
        overlay: str,
    ) -> int:
        """As `Core.add_plan`, with what is changed beyond retry policies and queues."""
        graph = self._workflow.graph
        if plan is not self._workflow.plan:
            return self.native.add_plan(plan, digest, nodes, overlay)
        policies = [policy for _, _, policy, _ in nodes]
        named = {node.path: place for place, node in enumerate(graph.nodes)}
        changed = list(nodes)
        for place, node in enumerate(graph.nodes):
            policy = policies[place]
            if policy is None or node.step is None:
                continue
            source = self.tiers.get(place)
            if source is not None:
                policy = policies[named[graph.nodes[source].path]]
            step = graph.nodes[place if source is None else source].step
            options = self._change.options.get(step.name if step is not None else "", {})
            contract, detail, _, codec = changed[place]
            changed[place] = (contract, detail, _with(cast("Policy", policy), options), codec)
        if self._change.maps:
            parts = [_mapped(node, self._change.maps) for node in graph.nodes]
            plan = plan_of(replace(graph, nodes=tuple(parts)))
        return self.native.add_plan(plan, digest, changed, overlay)


def _with(policy: Policy, options: Mapping[str, Any]) -> Policy:
    """A policy with other options of its step."""
    found = dict(policy)
    for name, value in options.items():
        found[name] = _OPTIONS[name](value)
    return found


def _mapped(node: GraphNode, maps: Mapping[str, int]) -> GraphNode:
    detail = node.detail
    if not isinstance(detail, Map) or node.path not in maps:
        return node
    return replace(node, detail=replace(detail, concurrency=maps[node.path]))


def _moved(targets: Targets, change: Change) -> dict[int, int]:
    """By the index of a tier's node, that of the node whose step runs there in another order.

    Raises:
        DefinitionError: a tier is more than one step.
    """
    found: dict[int, int] = {}
    for path, order in change.orders.items():
        ladder = targets.ladders[path]
        places = [_place(targets, ladder, tier) for tier in ladder.tiers]
        for place, tier in zip(places, order, strict=True):
            found[place] = places[ladder.tiers.index(tier)]
    return found


def _place(targets: Targets, ladder: Ladder, tier: str) -> int:
    nodes = targets.workflow.graph.nodes
    prefix = f"{ladder.path}/{tier}"
    inside = [
        place
        for place, node in enumerate(nodes)
        if node.step is not None and (node.path == prefix or node.path.startswith(f"{prefix}/"))
    ]
    if len(inside) != 1:
        raise DefinitionError(
            f"tier {tier!r} of {ladder.path!r} runs {len(inside)} steps",
            remedy="only an order of tiers that are one step each can be simulated",
        )
    return inside[0]


_OPTIONS: Final[Mapping[str, Callable[[Any], object]]] = {
    "timeout": lambda value: value or 0.0,
    "total_timeout": lambda value: value or 0.0,
    "queue_timeout": lambda value: value or 0.0,
    "priority": lambda value: value,
    "hedge": lambda value: value and (value.after or 0.0, value.quantile),
}
_DIGEST: Final = "changed"
