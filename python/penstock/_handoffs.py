"""Handoffs: which edges carry a value from one owner to another, and why one is refused."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from ._errors import ContractError, RecordedError, Reject, ThresholdError
from ._graph import Graph, GraphNode, Loop, Map, Recurse, Wait

Refusal: TypeAlias = Literal["contract", "threshold", "rejected", "wrong_owner", "timeout"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Handoff:
    """An edge on which work goes from one owner to another.

    Attributes:
        start: index of the producer; what passes values on (a case, a merge, an apply) may be one.
        end: index of the node that works on it.
        givers: the owners of what made the value, other than the taker.
        taker: the owner of `end`.
    """

    start: int
    end: int
    givers: tuple[str, ...]
    taker: str


def owner_of(node: GraphNode, default: str | None = None) -> str | None:
    """Who answers for the work of `node`; None for what only passes values on.

    Args:
        node: of a graph.
        default: the owner of its workflow, for a step that has none of its own.
    """
    if node.step is not None:
        return node.step.owner or default
    return node.detail.owner if isinstance(node.detail, Wait) else None


def handoffs(graph: Graph, default: str | None = None) -> list[Handoff]:
    """Every edge between two owners, whatever passes the value on in between. O(nodes + edges).

    Args:
        graph: of a workflow.
        default: the owner of the workflow.
    """
    makers = makers_of(graph, default)
    found: list[Handoff] = []
    for index, node in enumerate(graph.nodes):
        taker = owner_of(node, default)
        if taker is None or node.kind == "undo":
            continue
        for producer in dict.fromkeys(node.inputs):
            givers = tuple(sorted(makers[producer] - {taker}))
            if givers:
                found.append(Handoff(start=producer, end=index, givers=givers, taker=taker))
    return found


def refusal(
    error: BaseException | None,
    cause: str,
    *,
    givers: Collection[str] = (),
    owners: Mapping[str, str | None] | None = None,
) -> Refusal | None:
    """Why the failure of a node counts as a refused handoff; None if it is a failure of its own.

    Args:
        error: what it failed with, also as a store gives it back; None if nothing was raised.
        cause: as the engine and the history have it: "error", "timeout", "queue_timeout" and so on.
        givers: the owners of the work it was handed: `makers_of` of its producers.
        owners: by step, its owner: `step_owners`.

    A value that breaks its contract is refused where it was returned, so "contract" and "threshold"
    count once, against the node that gave it. "wrong_owner" is a `Reject` to a step of an owner who
    did not hand the work over.

    >>> from penstock import Reject
    >>> owners = {"draft": "cx", "price": "billing"}
    >>> refusal(Reject("no price", to="draft"), "error", givers=["cx"], owners=owners)
    'rejected'
    >>> refusal(Reject("no price", to="price"), "error", givers=["cx"], owners=owners)
    'wrong_owner'
    """
    if isinstance(error, Reject):
        if error.to is None:
            return "rejected"
        known = owners or {}
        owner = known.get(error.to)
        mine = owner in givers if owner is not None else error.to in known and not givers
        return "rejected" if mine else "wrong_owner"
    kind = error.type if isinstance(error, RecordedError) else None
    if isinstance(error, ThresholdError) or kind == _type(ThresholdError):
        return "threshold"
    if isinstance(error, ContractError) or kind == _type(ContractError):
        return "contract"
    return "timeout" if cause in _TIMEOUTS else None


def step_owners(graph: Graph, default: str | None = None) -> dict[str, str | None]:
    """The owner of each step of a graph, by the step's name.

    Args:
        graph: of a workflow.
        default: the owner of the workflow.
    """
    steps = (node.step for node in graph.nodes if node.kind == "step")
    return {step.name: step.owner or default for step in steps if step is not None}


def makers_of(graph: Graph, default: str | None = None) -> list[frozenset[str]]:
    """For each node, the owners whose work its value is. O(nodes + edges).

    Args:
        graph: of a workflow.
        default: the owner of the workflow.
    """
    makers: list[frozenset[str]] = [frozenset()] * len(graph.nodes)
    bodies: set[int] = set()

    def fill(region: int, given: list[frozenset[str]]) -> frozenset[str]:
        bodies.add(region)
        place = graph.regions[region]
        for index in range(place.start, place.stop):
            node = graph.nodes[index]
            owner = owner_of(node, default)
            if node.kind == "input":
                position = index - place.start
                makers[index] |= given[position] if position < len(given) else frozenset()
            elif owner is not None:
                makers[index] = frozenset({owner})
            else:
                arriving = [makers[i] for i in node.inputs]
                makers[index] = frozenset[str]().union(*arriving)
                body = body_of(node)
                if body is not None and body not in bodies:
                    makers[index] = fill(body, arriving)
        return makers[place.output]

    fill(0, [])
    return makers


def body_of(node: GraphNode) -> int | None:
    """The region that `node` repeats, or None."""
    return node.detail.body if isinstance(node.detail, Map | Loop | Recurse) else None


def _type(kind: type[BaseException]) -> str:
    """A class as `_payloads.told` names it."""
    return f"{kind.__module__}.{kind.__qualname__}"


_TIMEOUTS: Final = frozenset(
    {"timeout", "total_timeout", "heartbeat_timeout", "queue_timeout", "signal_timeout"}
)
