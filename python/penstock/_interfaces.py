"""Interfaces: what a workflow is made of, each with a name, a version and a digest.

A store keeps them with the runs, so that each run can be told by what it ran under; a change of one
is another digest.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from ._engine import NODE_TABLE, RUN_TABLE, TABLE_VERSION
from ._places import facts_of
from ._policies import Budget, Queue, canonical
from ._prices import PriceBook
from ._reads import settings_read
from ._settings import Setting
from ._stages import Step

if TYPE_CHECKING:
    from ._workflows import Workflow


@dataclass(frozen=True, slots=True, kw_only=True)
class Interface:
    """One part of what runs run under.

    Attributes:
        kind: "graph", "policies", "terms", "state machines", "queue", "setting" and so on.
        name: of the workflow, queue or setting.
        version: its own, or that of the workflow.
        digest: tells it from others of its name and version; sha256 in hex.
        content: canonical JSON.
        owner: who answers for it, or None.
        first: when a run used it first, in seconds since 1970; None if that is not known.
        last: likewise, of the newest run.
    """

    kind: str
    name: str
    version: str
    digest: str
    content: str
    owner: str | None = None
    first: float | None = None
    last: float | None = None

    @property
    def identity(self) -> tuple[str, str, str, str]:
        """What a store knows it by."""
        return self.kind, self.name, self.version, self.digest

    def to_dict(self) -> dict[str, Any]:
        """All of it, ready for JSON."""
        content = {name: getattr(self, name) for name in self.__slots__ if name != "content"}
        return {**content, "content": json.loads(self.content)}


def interfaces_of(workflow: Workflow[..., Any]) -> Iterator[Interface]:
    """What a store keeps of a workflow, aside from the queues that its runs wait in."""
    name, version, owner = workflow.name, workflow.version, workflow.owner
    text = canonical({"graph": json.loads(workflow.to_json()), "digest": workflow.digest})
    yield Interface(
        kind="graph",
        name=name,
        version=version,
        digest=pinned(workflow),
        content=text,
        owner=owner,
    )
    yield _model("state machines", "penstock", str(TABLE_VERSION), _STATE_MACHINES)
    policies = {
        node.path: {option: _plain(node.option(option)) for option in _POLICIES}
        for node in workflow.graph.nodes
        if node.step is not None
    }
    yield _model("policies", name, version, policies, owner)
    read = settings_of(workflow)
    terms = {
        "owner": owner,
        "value": workflow.value,
        "rollback": workflow.rollback and workflow.rollback.to_dict(),
        "settings": {setting.name: setting.digest for setting in read},
        "queues": sorted({_name(queue) for queue in _queues(workflow)}),
        "nodes": {
            path: {name: fact for name, fact in asdict(facts).items() if fact is not None}
            for path, facts in facts_of(workflow.graph, owner).items()
        },
    }
    yield _model("terms", name, version, terms, owner)
    yield from map(setting_interface, read)


def setting_interface(setting: Setting[Any]) -> Interface:
    """A setting with its own value."""
    return Interface(
        kind="setting",
        name=setting.name,
        version=setting.version,
        digest=setting.digest,
        content=canonical(setting.to_dict()),
        owner=setting.owner,
    )


def queue_interface(queue: Queue) -> Interface:
    """The model of a queue that runs wait in."""
    return Interface(
        kind="queue",
        name=queue.name,
        version=queue.version,
        digest=queue.digest,
        content=canonical(queue.to_dict()),
    )


def budget_interface(name: str, budget: Budget) -> Interface:
    """A budget that money is spent from: of a workflow or a tenant."""
    return _model("budget", name, budget.version, budget.to_dict())


def prices_interface(book: PriceBook) -> Interface:
    """The rates that spend is priced with."""
    return Interface(
        kind="price book",
        name=book.package or "own",
        version=book.version,
        digest=book.digest,
        content=canonical(book.to_dict()),
    )


def overlay_interface(workflow: Workflow[..., Any], digest: str, content: str) -> Interface:
    """What a release changes in a workflow."""
    return Interface(
        kind="overlay",
        name=workflow.name,
        version=workflow.version,
        digest=digest,
        content=content,
        owner=workflow.owner,
    )


def queues_of(workflow: Workflow[..., Any]) -> list[Queue]:
    """The queues that a workflow brings along; those it only names are the runtime's to know."""
    return list(dict.fromkeys(q for q in _queues(workflow) if isinstance(q, Queue)))


def settings_of(workflow: Workflow[..., Any]) -> list[Setting[Any]]:
    """The settings that the steps of a workflow name in their code."""
    read = (setting for step in steps_of(workflow) for setting in settings_read(step.function))
    return list(dict.fromkeys(read))


def steps_of(workflow: Workflow[..., Any]) -> list[Step[..., Any]]:
    """The steps of a workflow, its compensations too, each once."""
    return list(dict.fromkeys(n.step for n in workflow.graph.nodes if n.step is not None))


def pinned(workflow: Workflow[..., Any]) -> str:
    """What a run is pinned to: the graph, and the order of its nodes, which records count by."""
    layout = json.dumps([workflow.digest, *(node.path for node in workflow.graph.nodes)])
    return hashlib.sha256(layout.encode()).hexdigest()


def _model(
    kind: str, name: str, version: str, content: object, owner: str | None = None
) -> Interface:
    text = canonical(content)
    digest = hashlib.sha256(text.encode()).hexdigest()
    return Interface(
        kind=kind, name=name, version=version, digest=digest, content=text, owner=owner
    )


def _queues(workflow: Workflow[..., Any]) -> Iterator[Queue | str]:
    for node in workflow.graph.nodes:
        queue: Queue | str | None = node.option("queue") if node.step is not None else None
        if queue is not None:
            yield queue


def _name(queue: Queue | str) -> str:
    return queue if isinstance(queue, str) else queue.name


def _plain(value: object) -> object:
    return value if isinstance(value, int | float | str | None) else repr(value)


_STATE_MACHINES: Final = {"run": RUN_TABLE, "node": NODE_TABLE}
_POLICIES: Final = (
    "retry",
    "hedge",
    "timeout",
    "total_timeout",
    "heartbeat_timeout",
    "queue_timeout",
    "queue",
    "estimate",
    "priority",
)
