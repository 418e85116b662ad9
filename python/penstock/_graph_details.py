"""What each kind of node needs when a graph is read from JSON, and what its value then is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from inspect import isclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast, get_args

from ._cases import narrowed
from ._contracts import Contract
from ._edges import either, list_of
from ._errors import DefinitionError
from ._failures import Failure
from ._graph import (
    Accept,
    Acquire,
    Cancel,
    Case,
    Collect,
    Detail,
    GraphNode,
    Map,
    OnTimeout,
    Race,
    Recurse,
    Shield,
    Sleep,
    Spawn,
    Switch,
    Undo,
    Wait,
)
from ._json_fields import Fields
from ._signals import Signal
from ._stages import Stage, Step

if TYPE_CHECKING:
    from ._workflows import Workflow

Identity: TypeAlias = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Definitions:
    """What a graph in JSON may name, as far as the stages that were passed have it.

    Attributes:
        steps: by name and version.
        workflows: by name and version, for spawn.
        contracts: by name.
    """

    steps: Mapping[Identity, Step[..., Any]]
    workflows: Mapping[Identity, Workflow[..., Any]]
    contracts: Mapping[str, Contract]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How many nodes, regions, calls and scopes a graph has."""

    nodes: int
    regions: int
    calls: int
    scopes: int


def definitions_of(stages: Iterable[Stage[..., Any]]) -> Definitions:
    """What the stages define, and what they use.

    Raises:
        DefinitionError: one is no stage, or two have one name and version.
    """
    steps: dict[Identity, Step[..., Any]] = {}
    workflows: dict[Identity, Workflow[..., Any]] = {}
    contracts = [Contract.of(kind) for kind in _BUILTIN]
    for stage in stages:
        for each in _used_by(stage):
            known: dict[Identity, Any] = steps if isinstance(each, Step) else workflows
            if known.setdefault((each.name, each.version), each) is not each:
                raise DefinitionError(
                    f"two stages have {'step' if known is steps else 'workflow'} {each.name!r} "
                    f"version {each.version!r}",
                    remedy="pass one of them, or change a version",
                )
            contracts += [contract for _, contract in each.inputs]
            contracts.append(each.contract)
            if each.graph is not None:
                contracts += [node.contract for node in each.graph.nodes]
    by_name = {contract.name: contract for contract in contracts}
    return Definitions(steps=steps, workflows=workflows, contracts=by_name)


def _used_by(stage: Stage[..., Any]) -> Iterator[Stage[..., Any]]:
    if not isinstance(cast("object", stage), Stage):
        raise DefinitionError(f"stages has {stage!r}", remedy="pass steps and workflows")
    yield stage
    for node in stage.graph.nodes if stage.graph is not None else ():
        if node.step is not None:
            yield node.step
        if isinstance(node.detail, Spawn):
            yield from _used_by(node.detail.workflow)


def detail_of(kind: str, entry: Fields, known: Definitions, sizes: Sizes) -> Detail | None:
    """The detail of a node of this kind; None for kinds that have none."""
    remedy = _UNREADABLE.get(kind)
    if kind in ("accept", "acquire", "switch") and "function" in entry.content:
        remedy = _DRAW
    if remedy is not None:
        entry.problem(f"kind {kind!r} can't be read from JSON; {remedy}")
        return None
    if kind not in _READERS:
        return None
    inner = entry.inner("detail", "its detail")
    return None if inner is None else _READERS[kind](inner, known, sizes)


def contract_of(
    node: GraphNode, nodes: Sequence[GraphNode], outputs: Sequence[int], declared: Contract
) -> Contract:
    """The contract of what a node gives, when those of its producers are known.

    Args:
        node: the node.
        nodes: all of them.
        outputs: by region, the node that gives its result.
        declared: what the JSON says, for what can't be derived.
    """
    given = [nodes[i].contract for i in node.inputs]
    detail = node.detail
    match detail:
        case Map():
            result = nodes[outputs[detail.body]].contract
            tolerant = detail.tolerated is not None
            return list_of(either([result, Contract.of(Failure)]) if tolerant else result)
        case Case() if given:
            switch = nodes[node.inputs[0]].detail
            if isinstance(switch, Switch) and detail.taken[0] < len(switch.keys):
                return narrowed(given[0], cast("type", switch.keys[detail.taken[0]]))
            return given[0]
        case Collect():
            return list_of(either(given))
        case Wait():
            return detail.signal.contract
        case Spawn() | Acquire():
            return Contract.of(str)
        case _:
            pass
    if node.step is not None:
        return node.step.contract
    if node.kind == "constant":
        return Contract.of(type(node.value))
    if node.kind in ("input", "recurse"):
        return node.contract if node.kind == "input" else declared
    if node.kind == "optional":
        given.append(Contract.of(None))
    return either(given)


def _switch(entry: Fields, known: Definitions, _sizes: Sizes) -> Switch:
    keys: list[object] = []
    for name in map(str, entry.items("keys")):
        key = known.contracts[name].annotation if name in known.contracts else None
        keys.append(type(None) if name == "None" else key)
        if not isclass(keys[-1]):
            entry.problem(f"type {name!r} is unknown; pass a step that uses it in stages")
    default = entry.flag("default")
    labels = tuple(map(str, entry.items("labels")))
    if len(labels) != len(keys) + default:
        entry.problem("labels has not one for each key and the default; correct it")
    return Switch(labels=labels, keys=tuple(keys), default=default, by_type=True)


def _case(entry: Fields, _known: Definitions, _sizes: Sizes) -> Case:
    return Case(taken=entry.indices("taken", 64))


def _accept(entry: Fields, _known: Definitions, sizes: Sizes) -> Accept:
    return Accept(
        contains=entry.index("contains", sizes.calls),
        explore=entry.number("explore", 0.0),
        tier=entry.flag("tier"),
    )


def _shield(entry: Fields, _known: Definitions, sizes: Sizes) -> Shield:
    return Shield(contains=entry.index("contains", sizes.calls))


def _collect(entry: Fields, _known: Definitions, _sizes: Sizes) -> Collect:
    return Collect(need=entry.integer("need", 0), cancel_rest=entry.flag("cancel_rest"))


def _race(entry: Fields, _known: Definitions, _sizes: Sizes) -> Race:
    return Race(cancel_rest=entry.flag("cancel_rest"))


def _map(entry: Fields, _known: Definitions, sizes: Sizes) -> Map:
    tolerated = entry.content.get("tolerated")
    return Map(
        body=entry.index("body", sizes.regions),
        concurrency=entry.integer("concurrency", 0),
        need=entry.integer("need", 0),
        tolerated=None if tolerated is None else entry.integer("tolerated"),
        cancel_rest=entry.flag("cancel_rest"),
    )


def _recurse(entry: Fields, _known: Definitions, sizes: Sizes) -> Recurse:
    return Recurse(body=entry.index("body", sizes.regions), max_depth=entry.integer("max_depth", 0))


def _wait(entry: Fields, known: Definitions, _sizes: Sizes) -> Wait | None:
    inner = entry.inner("signal", "its signal")
    if inner is None:
        return None
    name, kind = inner.text("name"), inner.text("contract")
    contract = known.contracts.get(kind)
    if contract is None:
        inner.problem(f"contract {kind!r} is unknown; pass a step that uses it in stages")
        return None
    on_timeout = entry.text("on_timeout", "fail")
    if on_timeout not in get_args(OnTimeout):
        entry.problem(f"on_timeout is {on_timeout!r}; give 'fail' or 'skip'")
    owner = entry.content.get("owner")
    return Wait(
        signal=Signal[Any](name or "?", contract.annotation),
        timeout=entry.number("timeout", 0.0),
        on_timeout=cast("OnTimeout", on_timeout),
        owner=None if owner is None else entry.text("owner"),
    )


def _sleep(entry: Fields, _known: Definitions, _sizes: Sizes) -> Sleep:
    return Sleep(seconds=entry.number("seconds"))


def _spawn(entry: Fields, known: Definitions, _sizes: Sizes) -> Spawn | None:
    name, version = entry.reference("workflow")
    workflow = known.workflows.get((name, version))
    if workflow is None and name:
        entry.problem(f"workflow {name!r} version {version!r} is unknown; pass it in stages")
    return None if workflow is None else Spawn(workflow=workflow)


def _acquire(entry: Fields, _known: Definitions, _sizes: Sizes) -> Acquire:
    return Acquire(key=None if entry.content.get("key") is None else entry.text("key"))


def _cancel(entry: Fields, _known: Definitions, sizes: Sizes) -> Cancel:
    return Cancel(scope=entry.index("scope", sizes.scopes))


def _undo(entry: Fields, _known: Definitions, sizes: Sizes) -> Undo:
    return Undo(of=entry.index("of", sizes.nodes))


_DRAW: Final = "its function is not in the text: draw the workflow in Python"
_UNREADABLE: Final[Mapping[str, str]] = {
    "apply": "make the function a step",
    "when": _DRAW,
    "loop": _DRAW,
}
_READERS: Final[Mapping[str, Callable[[Fields, Definitions, Sizes], Detail | None]]] = {
    "switch": _switch,
    "case": _case,
    "accept": _accept,
    "shield": _shield,
    "collect": _collect,
    "race": _race,
    "map": _map,
    "recurse": _recurse,
    "signal": _wait,
    "sleep": _sleep,
    "spawn": _spawn,
    "acquire": _acquire,
    "cancel": _cancel,
    "undo": _undo,
}
_BUILTIN: Final = (Any, bool, bytes, complex, dict, float, int, list, None, object, str)
