"""Durability: where a runtime's runs are kept, and what of them is on disk before what."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, cast, get_args

from ._errors import ContractError, DefinitionError, StoreCorrupt, StoreError, VersionConflict
from ._interfaces import (
    Interface,
    budget_interface,
    interfaces_of,
    pinned,
    queue_interface,
)
from ._payloads import Codec
from ._policies import Budget, word

if TYPE_CHECKING:
    from ._contracts import Contract
    from ._engine import Core
    from ._graph import Graph
    from ._policies import Queue
    from ._workflows import Workflow

Durability: TypeAlias = Literal["sync", "async", "exit"]
"""What is on disk before what.

"sync": a result, before any step that depends on it starts. "async": results are written behind,
so that a crash runs at most the last ones again. "exit": nothing between a run's start and its end.
A run's start and end, signals and commands are on disk before they are acknowledged in all three.
"""


def durability(value: object, name: str) -> Durability:
    """The value, if it is one.

    Raises:
        DefinitionError: it is not.
    """
    if value not in get_args(Durability):
        raise DefinitionError(f"{name} is {value!r}", remedy="give 'sync', 'async' or 'exit'")
    return cast("Durability", value)


def tags(value: Any) -> list[tuple[str, str]]:
    """What a run is found by.

    Raises:
        DefinitionError: it is no mapping of words to words.
    """
    if not isinstance(value, Mapping):
        raise DefinitionError(f"tags are {value!r}", remedy="give a mapping of str to str")
    pairs: Any = cast("Any", value).items()
    return [(word(key, "a tag"), word(tag, f"tag {key!r}")) for key, tag in pairs]


def location(store: object) -> Path | None:
    """Where the store is; None for memory.

    Raises:
        DefinitionError: it is no path, or of a kind that there is not.
    """
    if store is None:
        return None
    if isinstance(store, PathLike):
        return Path(cast("PathLike[str]", store))
    if not isinstance(store, str) or not store:
        raise DefinitionError(
            f"Runtime.store is {store!r}", remedy="give a path, 'sqlite:///path', or None"
        )
    scheme, mark, rest = store.partition("://")
    if not mark:
        return Path(store)
    if scheme == "sqlite" and rest.startswith("/") and len(rest) > 1:
        return Path(rest[1:])
    raise DefinitionError(
        f"there is no store for {store!r}", remedy="give a path, or 'sqlite:///path'"
    )


def checks_payloads(wanted: bool | None) -> bool:  # noqa: FBT001 (an argument of the user's)
    """Whether values are read back when they are written: as wanted, or else under pytest."""
    return "PYTEST_CURRENT_TEST" in os.environ if wanted is None else wanted


class Codecs:
    """One codec for each contract, as they build their adapters once.

    Args:
        check: whether each value is read back at once.
    """

    def __init__(self, *, check: bool) -> None:
        self._check = check
        self._codecs: dict[int, tuple[Contract, Codec]] = {}

    def of(self, contract: Contract) -> Codec:
        """The codec of a contract."""
        known = self._codecs.get(id(contract))
        if known is None:
            known = self._codecs[id(contract)] = (contract, Codec(contract, check=self._check))
        return known[1]


def refuse_exit(graph: Graph) -> None:
    """Check that a workflow may run with nothing kept in between.

    Raises:
        DefinitionError: it waits, signals, spawns, compensates, or has effects that happen once.
    """
    reasons = [f"{node.path} {_KEPT[node.kind]}" for node in graph.nodes if node.kind in _KEPT] + [
        f"{node.path} has effects='once'"
        for node in graph.nodes
        if node.step is not None and node.step.effects == "once"
    ]
    if reasons:
        raise DefinitionError(
            f"workflow {graph.name!r} can't run with durability='exit': {reasons[0]}",
            remedy="use 'sync' or 'async'; 'exit' keeps nothing between start and end",
        )


def keep_interfaces(core: Core, workflow: Workflow[..., Any]) -> None:
    """Keep what runs of the workflow are pinned to, and what they were limited by.

    Raises:
        VersionConflict: the store has runs of this name and version with another graph.
    """
    text = workflow.to_json()
    for known, kept in core.interfaces("graph", workflow.name, workflow.version):
        if known != pinned(workflow):
            raise VersionConflict(
                f"the store has runs of {workflow.name!r} version {workflow.version!r} with "
                f"another graph: {_difference(kept, text)}",
                remedy="give the changed workflow another version; both may be registered",
            )
    for interface in interfaces_of(workflow):
        keep(core, interface)


def keep_queue(core: Core, queue: Queue) -> None:
    """Keep the model of a queue that runs wait in, under its own digest."""
    keep(core, queue_interface(queue))


def keep(core: Core, interface: Interface) -> None:
    """Keep an interface, unless the store has it."""
    core.keep_interface(interface.identity, interface.content)


def keep_budget(core: Core, name: str, budget: Budget) -> None:
    """Keep a budget that money is spent from, under its own digest."""
    interface = budget_interface(name, budget)
    core.keep_interface(interface.identity, interface.content)


def _difference(kept: str, text: str) -> str:
    """What tells two graphs apart, in one line."""
    old, new = json.loads(kept)["graph"], json.loads(text)
    before = {node["path"]: node for node in old["nodes"]}
    after = {node["path"]: node for node in new["nodes"]}
    told = [f"{path} is gone" for path in before if path not in after]
    told += [f"{path} is new" for path in after if path not in before]
    for path in before.keys() & after.keys():
        fields = before[path].keys() | after[path].keys()
        indexed = {"inputs", "after", "gates"}
        changed = sorted(
            field for field in fields - indexed if before[path].get(field) != after[path].get(field)
        )
        told += [f"{path} has another {field}" for field in changed]
        ends = [
            [graph["nodes"][i]["path"] for i in nodes[path].get(field, ())]
            for graph, nodes in ((old, before), (new, after))
            for field in ("inputs",)
        ]
        if ends[0] != ends[1]:
            told.append(f"{path} takes {ends[1]}, not {ends[0]}")
    return "; ".join(told[:3]) or "its nodes are drawn in another order"


def payload_of(codec: Codec, value: object, what: str, run_id: str) -> bytes:
    """The JSON of a value that comes from outside.

    Raises:
        ContractError: it can't be written.
    """
    try:
        return codec.encode(value)
    except ContractError as error:
        raise error.at(run_id=run_id, node=what) from None


def store_error(message: str, corrupt: bool) -> StoreError:  # noqa: FBT001 (by the native side)
    """An error of the store, told by the native side."""
    what, _, remedy = message.partition("; ")
    return (StoreCorrupt if corrupt else StoreError)(what, remedy=remedy or None)


_KEPT: Final[Mapping[str, str]] = {
    "sleep": "sleeps",
    "signal": "waits for a signal",
    "spawn": "starts another run",
    "undo": "is a compensation",
}
