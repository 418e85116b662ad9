"""Registry: what a runtime has told its engine of workflows, steps and queues."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from ._durability import Codecs, keep_budget, keep_interfaces, keep_queue
from ._errors import DefinitionError, VersionConflict
from ._graph import Accept, Graph, GraphNode, Spawn, Switch
from ._handoffs import step_owners
from ._interfaces import pinned, settings_of
from ._places import Judge, Place, facts_of, places_of
from ._policies import Adaptive, Budget, Budgets, Cost, Hedge, Queue, RetryPolicy
from ._prices import PriceBook
from ._releases import Arm
from ._scorecard import NodeFacts
from ._settings import Changes
from ._stages import Stage, Step

if TYPE_CHECKING:
    from ._contracts import Contract
    from ._driver import Driver
    from ._engine import Core
    from ._payloads import Codec
    from ._prices import Prices
    from ._workflows import Workflow


class Registry:
    """Gives workflows, steps and queues the engine's numbers, each once.

    Attributes:
        plans: the number of each registered workflow.
        workflows: (name, version) by number.
        labels: the same, with the overlay that the number is of.
        steps: (name, version) by number.
        queues: by number; the first is the one of steps that name none.
        budgets: of workflows and tenants, by whose and the name; None for each other tenant.
    """

    def __init__(
        self,
        core: Core,
        driver: Driver,
        queues: Iterable[Queue],
        *,
        own_task: bool,
        prices: Prices,
        codecs: Codecs | None = None,
    ) -> None:
        self._core = core
        self._driver = driver
        self._own_task = own_task
        self._prices = prices
        self._codecs = codecs
        self.plans: dict[Stage[..., Any], int] = {}
        self._names: dict[tuple[str, str], Workflow[..., Any]] = {}
        self._overlays: dict[tuple[str, str, str], int] = {}
        self._queue_numbers: dict[str, int] = {_DEFAULT.name: 0}
        self._step_numbers: dict[tuple[str, str], int] = {}
        self._starts: dict[int, set[int]] = {}
        self.workflows: list[tuple[str, str]] = []
        self.labels: list[tuple[str, str]] = []
        self.steps: list[tuple[str, str]] = []
        self.queues: list[Queue] = driver.queues
        self.budgets: dict[tuple[str, str | None], Budget] = {}
        self.queues.append(_DEFAULT)
        # The runtime's own queues stand in for those of the same name that steps bring along.
        self._given = {queue.name for queue in queues}
        for queue in queues:
            self._add_queue(queue)

    def plan(self, workflow: Workflow[..., Any], changes: Changes | None = None) -> int:
        """The number of a workflow, which is registered if it is not yet.

        Args:
            workflow: what is registered.
            changes: those of an overlay; the workflow with it has a number of its own.

        Raises:
            VersionConflict: another workflow is registered under its name and version.
            DefinitionError: a step names a queue that nobody has defined.
        """
        number = self.plans.get(workflow)
        if number is not None and changes is not None:
            return self._overlaid(workflow, changes)
        if number is not None:
            return number
        identity = (workflow.name, workflow.version)
        known = self._names.setdefault(identity, workflow)
        if known is not workflow and known.digest != workflow.digest:
            raise VersionConflict(
                f"two different workflows are {workflow.name!r} version {workflow.version!r}",
                remedy="give the changed one another version",
            )
        digest = workflow.digest
        if self._codecs is not None:
            keep_interfaces(self._core, workflow)
            digest = pinned(workflow)
        number = self.plans[workflow] = self._add(workflow, digest, None)
        return number if changes is None else self._overlaid(workflow, changes)

    def _overlaid(self, workflow: Workflow[..., Any], changes: Changes) -> int:
        identity = (workflow.name, workflow.version, changes.digest)
        number = self._overlays.get(identity)
        if number is None:
            digest = workflow.digest if self._codecs is None else pinned(workflow)
            number = self._overlays[identity] = self._add(workflow, digest, changes)
            self._driver.overlays[number] = changes.settings
        return number

    def expect_priced(self, graph: Graph) -> None:
        """Refuse a budget for steps that say they use tokens, where none can have a price.

        What has no price can't be reserved and is never spent: such a budget would hold nothing.

        Raises:
            DefinitionError: there is such a step.
        """
        prices = self._prices
        if not isinstance(prices, PriceBook) or prices.unknown == "refuse" or prices.prices_models:
            return
        for node in graph.nodes:
            cost: Cost | None = None if node.step is None else node.option("estimate")
            if cost is not None and cost.tokens and cost.usd is cost.max_usd is None:
                raise DefinitionError(
                    f"a budget is to pay for step {node.step and node.step.name!r}, whose tokens "
                    f"have no price: {prices!r} has no models",
                    node=node.path,
                    remedy="give the models rates, or the step estimate=Cost(usd=...), or leave "
                    "the budget out",
                )

    def _add(self, workflow: Workflow[..., Any], digest: str, changes: Changes | None) -> int:
        tenants = any(payer == "tenant" for payer, _ in self.budgets)
        shared = tenants or ("workflow", workflow.name) in self.budgets
        if shared or workflow.budget is not None:
            self.expect_priced(workflow.graph)
        places = places_of(workflow.graph, workflow.owner)
        owners = step_owners(workflow.graph, workflow.owner)
        nodes = [
            (node.contract, *self._parts(node, place, owners, changes), self.codec(node.contract))
            for node, place in zip(workflow.graph.nodes, places, strict=True)
        ]
        overlay = "" if changes is None else changes.digest
        number = self._core.add_plan(workflow.plan, digest, nodes, overlay)
        starts = [it.detail for it in workflow.graph.nodes if isinstance(it.detail, Spawn)]
        self._starts[number] = {self.plan(it.workflow, changes) for it in starts}
        if workflow.budget is not None:
            self._core.limit_runs(number, workflow.budget.parts)
        self.workflows.append((workflow.name, workflow.version))
        self.labels.append((workflow.name, Arm(workflow.version, overlay).name))
        self._driver.graphs.append(workflow.graph)
        return number

    def codec(self, contract: Contract) -> Codec | None:
        """How values of a contract are stored; None without a store."""
        return None if self._codecs is None else self._codecs.of(contract)

    def changes(self, workflow: str, overlay: str, *, strict: bool = True) -> Changes:
        """What an overlay changes, from what a store has kept of it.

        Args:
            workflow: by name.
            overlay: JSON of it.
            strict: whether its settings must be those of today.

        Raises:
            DefinitionError: the workflow is not registered, or a setting is another one by now.
        """
        drawn = [it for (name, _), it in self._names.items() if name == workflow]
        settings = {it.name: it for flow in drawn for it in settings_of(flow)}
        changes = Changes.read(overlay, settings)
        for name, digest in changes.in_place_of.items():
            if strict and name in settings and settings[name].digest != digest:
                raise DefinitionError(
                    f"setting {name!r} is another one than the overlay was made for",
                    remedy="release an overlay of the present one, or end the release",
                )
        return changes

    def other_version(self, workflow: Workflow[..., Any]) -> str:
        """The version of a workflow that was registered last, other than its own.

        Raises:
            DefinitionError: there is none.
        """
        others = [v for name, v in self._names if name == workflow.name and v != workflow.version]
        if not others:
            raise DefinitionError(
                f"no other version of {workflow.name!r} is registered, that {workflow.version!r} "
                "could take the place of",
                remedy="pass the present one to Runtime(workflows=[...]) too, or give overlay=",
            )
        return others[-1]

    def slots(self) -> dict[str, int]:
        """How many attempts of each queue may be under way at once, where that is fixed."""
        return {it.name: it.concurrency for it in self.queues if isinstance(it.concurrency, int)}

    def named(self, name: str, version: str) -> Workflow[..., Any] | None:
        """A workflow by its name and version, if it is registered."""
        return self._names.get((name, version))

    def started_by(self, plan: int) -> set[int]:
        """Numbers of the workflows that runs of one may start, and those that these may."""
        found: set[int] = set()
        left = [plan]
        while left:
            new = self._starts[left.pop()] - found
            found |= new
            left += new
        return found

    def facts(self) -> dict[tuple[str, str, str], NodeFacts]:
        """What figures are told of the nodes of all workflows: by name, version and path."""
        return {
            (workflow.name, workflow.version, path): facts
            for workflow in self._names.values()
            for path, facts in facts_of(workflow.graph, workflow.owner).items()
        }

    def graph(self, plan: int) -> Graph:
        """The graph of a registered workflow, by its number."""
        return self._driver.graphs[plan]

    def _parts(
        self,
        node: GraphNode,
        place: Place,
        owners: Mapping[str, str | None],
        changes: Changes | None,
    ) -> tuple[object, dict[str, object] | None]:
        """What the native side needs for a node: its detail by kind, and a step's policy."""
        if node.step is not None:
            retry = _retry_of(node, changes)
            judge = Judge(retry, place.givers, owners)
            policy = self._policy(node, node.step, place, retry)
            policy["queue"] = queue = self._queue(node, changes)
            policy["queue_name"] = self.queues[queue].name
            return self._detail(node, node.step, judge), policy
        match node.detail:
            case Switch(by_type=True) as switch:
                return (switch.keys, _default(switch)), None
            case Switch() as switch:
                outcomes = {key: outcome for outcome, key in enumerate(switch.keys)}
                return (node.function, outcomes, _default(switch)), None
            case Accept(at=at, tier=tier):
                return (node.function, at, tier), None
            case Spawn(workflow=workflow):
                return self.plan(workflow, changes), None
            case _:
                return (node.value if node.kind == "constant" else node.function), None

    def _detail(self, node: GraphNode, step: Step[..., Any], judge: Judge) -> tuple[object, ...]:
        own = self._own_task or node.option("task") == "own"
        mode = "threads" if step.flavour == "plain" else "own" if own else "carrier"
        return (step, step.function, step.name, judge, mode, step.takes_context)

    def _policy(
        self, node: GraphNode, step: Step[..., Any], place: Place, retry: RetryPolicy
    ) -> dict[str, object]:
        hedge: Hedge | None = node.option("hedge")
        estimate: Cost | None = node.option("estimate")
        return {
            "step": self._step(step),
            "step_name": step.name,
            "stands_in": place.stands_in,
            "handoffs": place.handoffs,
            "priority": node.overrides.get("priority"),
            "step_priority": step.options.get("priority"),
            "max_attempts": retry.max_attempts,
            "initial_interval": retry.initial_interval,
            "backoff_coefficient": retry.backoff_coefficient,
            "max_interval": retry.max_interval,
            "jitter": retry.jitter,
            "retry_timeouts": retry.retries(TimeoutError()),
            "once": step.effects == "once",
            "cost": _cost(estimate),
            "tokens": estimate.tokens if estimate is not None else 0,
            "fallback": place.replaced,
            "hedge": hedge and (hedge.after or 0.0, hedge.quantile),
            "timeout": node.option("timeout") or 0.0,
            "total_timeout": node.option("total_timeout") or 0.0,
            "queue_timeout": node.option("queue_timeout") or 0.0,
            "heartbeat_timeout": node.option("heartbeat_timeout") or 0.0,
        }

    def _step(self, step: Step[..., Any]) -> int:
        identity = (step.name, step.version)
        if identity not in self._step_numbers:
            self._step_numbers[identity] = len(self.steps)
            self.steps.append(identity)
        return self._step_numbers[identity]

    def _queue(self, node: GraphNode, changes: Changes | None) -> int:
        queue: Queue | str | None = node.option("queue")
        if queue is None:
            return 0
        name = queue if isinstance(queue, str) else queue.name
        if changes is not None and name in changes.queues:
            return self._changed_queue(changes.queues[name], changes.digest)
        number = self._queue_numbers.get(name)
        if isinstance(queue, str) or name in self._given:
            if number is None:
                raise DefinitionError(
                    f"there is no queue {name!r}",
                    node=node.path,
                    remedy=f"pass Runtime(queues=[ps.Queue({name!r}, ...)]), or give it the Queue",
                )
            return number
        if number is None:
            return self._add_queue(queue)
        if self.queues[number] != queue:
            raise VersionConflict(
                f"two different queues are called {name!r}: {self.queues[number]!r} and {queue!r}",
                node=node.path,
                remedy="share one between the steps, or pass the right one to Runtime(queues=)",
            )
        return number

    def _changed_queue(self, queue: Queue, digest: str) -> int:
        """The queue of an overlay stands beside the one that it is tried in place of."""
        name = f"{queue.name}~{digest[:8]}"
        known = self._queue_numbers.get(name)
        return known or self._add_queue(Queue.from_dict({**queue.to_dict(), "name": name}))

    def _add_queue(self, queue: Queue) -> int:
        if queue.name in self._queue_numbers:
            raise DefinitionError(
                f"two queues are called {queue.name!r}", remedy="give each its own name"
            )
        number = self._core.add_queue(model_of(queue))
        if self._codecs is not None:
            keep_queue(self._core, queue)
        self._queue_numbers[queue.name] = number
        self.queues.append(queue)
        return number

    def number_of(self, queue: str) -> int:
        """The number of a queue, by its name."""
        return self._queue_numbers[queue]

    def configure_budgets(self, budgets: Budgets) -> None:
        """Let workflows and tenants spend so much from now on; those not named keep what they have.

        A workflow's budget is for its name: it holds for every version of it.
        """
        for payer, name, budget in budgets.each():
            if self._codecs is not None:
                keep_budget(self._core, f"{payer}:{name or '*'}", budget)
            self._core.configure_budget(payer, name, budget.parts)
            self.budgets[payer, name] = budget

    def configure(self, queue: Queue) -> None:
        """Serve the queue of this name by another model from now on.

        Raises:
            DefinitionError: there is no queue of this name.
        """
        number = self._queue_numbers.get(queue.name)
        if number is None:
            names = ", ".join(sorted(self._queue_numbers))
            raise DefinitionError(
                f"there is no queue {queue.name!r}",
                remedy=f"configure one of {names}; others come with the steps that name them",
            )
        if self._codecs is not None:
            keep_queue(self._core, queue)
        self._core.configure_queue(number, model_of(queue))
        self.queues[number] = queue
        # Steps that bring the former one along still mean this queue.
        self._given.add(queue.name)


def model_of(queue: Queue) -> dict[str, object]:
    """A queue as the native side takes it."""
    rates = {rate.unit: (rate.limit, rate.per, rate.burst) for rate in queue.rate_limit}
    concurrency, adaptive = queue.concurrency, None
    if isinstance(concurrency, Adaptive):
        adaptive = (concurrency.initial, concurrency.min_limit, concurrency.max_limit)
        concurrency = None
    fairness, budget, breaker, shed = (
        queue.fairness,
        queue.retry_budget,
        queue.breaker,
        queue.shed,
    )
    return {
        "concurrency": concurrency,
        "capacity": queue.capacity,
        "adaptive": adaptive,
        "requests": rates.get("requests"),
        "tokens": rates.get("tokens"),
        "fairness": fairness and (fairness.by, dict(fairness.weights)),
        "aging": queue.aging,
        "aging_share": queue.aging_share,
        "budget": budget
        and (budget.ratio, budget.floor, budget.stored, budget.window, budget.on_denial),
        "breaker": breaker
        and (
            breaker.failure_ratio,
            breaker.min_calls,
            breaker.window,
            breaker.open_for,
            breaker.max_open,
            breaker.probes,
        ),
        "shed": shed and (shed.target, shed.interval),
    }


def _cost(estimate: Cost | None) -> tuple[int, int]:
    """Nano-dollars that an attempt is expected to spend, and at most; 0 where that is not said."""
    if estimate is None:
        return 0, 0
    usd, most = estimate.usd, estimate.max_usd
    return 0 if usd is None else usd.nanos, 0 if most is None else most.nanos


def _retry_of(node: GraphNode, changes: Changes | None) -> RetryPolicy:
    if changes is not None and node.step is not None and node.step.name in changes.retry:
        return changes.retry[node.step.name]
    retry: RetryPolicy | None = node.option("retry")
    return retry or _ONCE


def _default(switch: Switch) -> int | None:
    return len(switch.keys) if switch.default else None


_ONCE: Final = RetryPolicy(max_attempts=1)
_DEFAULT: Final = Queue("default", retry_budget=None)
