"""Servers: what is asked for: the slots of a queue, or the people at a desk."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from penstock._errors import DefinitionError
from penstock._policies import Adaptive
from penstock._simulation._changes import Change
from penstock._simulation._model import Model
from penstock._simulation._scene import World
from penstock._simulation._subject import queue_of
from penstock._simulation._targets import DEFAULT, Targets, did_you_mean

from ._load import Load, load_of_desk, load_of_queue

if TYPE_CHECKING:
    from penstock._workflows import Workflow


class Asking:
    """What is asked for: how many servers of what.

    Attributes:
        what: "queue" or "desk".
        name: of the queue, or of the desk's signal.
        present: how many there are; None if that is not fixed.
        load: what comes.
        others: whether work waits elsewhere too.
    """

    what: str
    name: str
    present: int | None
    load: Load
    others: bool

    def policy(self, servers: int) -> tuple[Model, Change]:
        """The model and the policy with so many."""
        raise NotImplementedError

    def notes(self) -> Iterable[str]:
        """What stands in the way besides."""
        return ()


class Slots(Asking):
    """The slots of a queue."""

    what = "queue"

    def __init__(
        self,
        workflow: Workflow[..., Any],
        model: Model,
        change: Change,
        world: World,
        name: str,
    ) -> None:
        self._targets = Targets(workflow, world.queues)
        if name not in self._targets.queues:
            raise DefinitionError(
                f"there is no queue {name!r}", remedy=did_you_mean(name, self._targets.queues)
            )
        self.name, self._model, self._change = name, model, change
        self._queue = change.queues.get(name, self._targets.queues[name])
        concurrency = self._queue.concurrency
        self.present = concurrency if isinstance(concurrency, int) else None
        if self.present is None and name == DEFAULT.name:
            self.present = world.concurrency
        self.load = load_of_queue(workflow, model, change, self._queue)
        nodes = workflow.graph.nodes
        self.others = any(node.step and queue_of(node) != name for node in nodes)

    def policy(self, servers: int) -> tuple[Model, Change]:
        """The model and the policy with so many slots."""
        key = f"queue.{self.name}.concurrency"
        other = {name: it for name, it in self._change.values.items() if not name.startswith(key)}
        return self._model, Change.of(self._targets, {**other, key: servers})

    def notes(self) -> Iterable[str]:
        """What stands in the way besides the slots."""
        if isinstance(self._queue.concurrency, Adaptive):
            yield "its concurrency is adaptive; a fixed one is looked at here"
        for limit in self._queue.rate_limit:
            yield f"it has a rate limit of {limit.unit}, which no formula knows"
        if self._queue.shed is not None:
            yield "it refuses runs when others wait for too long (shed)"


class Staff(Asking):
    """The people at the desk of a signal."""

    what = "desk"

    def __init__(
        self, workflow: Workflow[..., Any], model: Model, change: Change, name: str
    ) -> None:
        self.name, self._model, self._change = name, model, change
        self.load = load_of_desk(workflow, model, change, name)
        self.present = model.signals[name].staff
        self.others = False

    def policy(self, servers: int) -> tuple[Model, Change]:
        """The model with so many people, and the policy."""
        desk = replace(self._model.signals[self.name], staff=servers)
        signals = {**self._model.signals, self.name: desk}
        return replace(self._model, signals=signals), self._change
