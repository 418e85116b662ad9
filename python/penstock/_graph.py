"""Graph: a workflow, compiled to data. `Flow` draws it; what runs it looks no further.

A graph is divided into regions, and edges stay inside of one. Region 0 is the workflow; what `map`,
`loop` and `recurse` repeat is a region each, of which a run opens a frame per item, iteration or
level. A sub-workflow is part of the region it is called in, as a call instance: a group of nodes
whose failure can be contained as one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from ._contracts import Contract
from ._options import OptionName, Options
from ._signals import Signal
from ._stages import Step

if TYPE_CHECKING:
    from ._workflows import Workflow

NodeKind: TypeAlias = Literal[
    "input",
    "constant",
    "step",
    "apply",
    "switch",
    "case",
    "when",
    "merge",
    "collect",
    "race",
    "optional",
    "accept",
    "shield",
    "map",
    "loop",
    "recurse",
    "signal",
    "sleep",
    "spawn",
    "acquire",
    "cancel",
    "undo",
]
OnExhausted: TypeAlias = Literal["fail", "last"]
OnTimeout: TypeAlias = Literal["fail", "skip"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Switch:
    """An exclusive choice, by key or by type. Its outcomes are the keys, then the default.

    Attributes:
        labels: what each outcome is called, the default too.
        keys: what the key function gives, or the classes that are tested in this order.
        default: whether there is an outcome for everything else.
        by_type: whether the keys are classes.
    """

    labels: tuple[str, ...]
    keys: tuple[object, ...]
    default: bool
    by_type: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Passes the value of its switch or accept node on, for some outcomes of it.

    Attributes:
        taken: the outcomes.
    """

    taken: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Accept:
    """Judges a value: 0 rejected or failed, 1 accepted, 2 accepted and explored further.

    Attributes:
        contains: the call instance whose failure counts as a rejection.
        explore: the share of accepted values that get outcome 2.
        at: the least score that is accepted, if the function gives one; else it gives a bool.
        tier: whether it judges a tier of a cascade, which a budget may keep from the next one.
    """

    contains: int
    explore: float = 0.0
    at: float | None = None
    tier: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Shield:
    """Passes a value on; a failure becomes a skip.

    Attributes:
        contains: the call instance whose failure that is.
    """

    contains: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Collect:
    """Joins the taken inputs to a list.

    Attributes:
        need: how many are enough; 0 waits for all.
        cancel_rest: whether the others are cancelled then.
    """

    need: int
    cancel_rest: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Race:
    """Takes the first success.

    Attributes:
        cancel_rest: whether the others are cancelled then.
    """

    cancel_rest: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Map:
    """Runs a frame of `body` for each item; the first input has the items, others are shared.

    Attributes:
        body: region.
        concurrency: frames open at once; 0 for all.
        need: how many successes are enough; 0 for all.
        tolerated: failures that do not fail the node; None if the first one does.
        cancel_rest: whether the other frames are cancelled when there are enough.
    """

    body: int
    concurrency: int
    need: int
    tolerated: int | None
    cancel_rest: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Loop:
    """Runs `body` on its own result, the first time on the first input, until the function says so.

    Attributes:
        body: region.
        max_iterations: 1 or more.
        on_exhausted: what the last iteration without a yes means.
    """

    body: int
    max_iterations: int
    on_exhausted: OnExhausted


@dataclass(frozen=True, slots=True, kw_only=True)
class Recurse:
    """Opens one frame of `body`.

    Attributes:
        body: region; the one this node is in, unless `max_depth` is 0.
        max_depth: frames inside each other; 0 for a call of a recursive workflow from outside.
    """

    body: int
    max_depth: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Waits for a signal. An input is for the reader of the signal only: it is not passed on.

    Attributes:
        signal: what is waited for.
        timeout: seconds; 0.0 for none.
        on_timeout: what happens after them.
        owner: the person or team that answers; None if it is no human handoff.
    """

    signal: Signal[Any]
    timeout: float
    on_timeout: OnTimeout
    owner: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sleep:
    """Passes its input on later.

    Attributes:
        seconds: more than 0.
    """

    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Spawn:
    """Starts a run of its own with its inputs; the value is the id of that run.

    Attributes:
        workflow: what is started.
    """

    workflow: Workflow[..., Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Acquire:
    """Waits for a concurrency key. Released when every node that holds it is over.

    Attributes:
        key: if it is constant. Else the function gives it, or without one the only input.
    """

    key: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancel:
    """Withdraws a scope when its input is taken, and passes the value on.

    Attributes:
        scope: index in `Graph.scopes`.
    """

    scope: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Undo:
    """Compensates an effect; no part of the forward flow.

    Its inputs are those of the node it undoes, then that node itself (None if it gave no value).

    Attributes:
        of: the node it undoes.
    """

    of: int


Detail: TypeAlias = (
    Switch
    | Case
    | Accept
    | Shield
    | Collect
    | Race
    | Map
    | Loop
    | Recurse
    | Wait
    | Sleep
    | Spawn
    | Acquire
    | Cancel
    | Undo
)


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphNode:
    """One place in a graph.

    Attributes:
        path: readable and unique, such as "support/draft" or, in a body, "support/pages[]/draft".
        kind: what the node does.
        contract: of the value it carries.
        region: index in `Graph.regions`.
        inputs: indices of the producers, in argument order; may repeat.
        gates: indices of nodes that must be taken, without their value being used.
        after: indices of nodes waited for, taken or skipped, without taking their value.
        call: the call instance it was drawn in.
        scope: the innermost scope it was drawn in, an index in `Graph.scopes`.
        holds: the acquire node whose key it needs.
        detail: by kind; None for input, constant, step, apply, when, merge and optional.
        step: of kinds step and undo.
        function: of kind apply; the key of a switch, the predicate of a when, what an accept node
            judges by, until when a loop goes on, what gives an acquire node its key.
        value: of kind constant.
        overrides: options of the call, stronger than the step's.
        defaults: options of the workflow, weaker than the step's.
    """

    path: str
    kind: NodeKind
    contract: Contract
    region: int = 0
    inputs: tuple[int, ...] = ()
    gates: tuple[int, ...] = ()
    after: tuple[int, ...] = ()
    call: int = 0
    scope: int | None = None
    holds: int | None = None
    detail: Detail | None = None
    step: Step[..., Any] | None = None
    function: Callable[..., object] | None = None
    value: object = None
    overrides: Options = field(default_factory=Options)
    defaults: Options = field(default_factory=Options)

    def option(self, name: OptionName) -> Any:
        """What the call, else the step, else the workflow says; None if none of them does."""
        value = self.overrides.get(name)
        if value is None and self.step is not None:
            value = self.step.options.get(name)
        return self.defaults.get(name) if value is None else value


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """The nodes from `start` to before `stop`, inputs first.

    Attributes:
        prefix: what the paths of its nodes begin with; ends in "[]" if it is repeated.
        start: index of its first node.
        stop: index after its last node.
        input_count: how many of them are inputs.
        output: index of the node whose value is the result.
    """

    prefix: str
    start: int
    stop: int
    input_count: int
    output: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Nodes that are withdrawn as one.

    Attributes:
        path: such as "support/payment".
        parent: index of the scope around it, or None.
    """

    path: str
    parent: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """A compiled workflow: in each region, producers come before consumers.

    Attributes:
        name: of the workflow; every path begins with it.
        version: of the workflow.
        nodes: by region.
        regions: the workflow itself, then the bodies.
        calls: the call instance around each call instance; a region's root is its own.
        outputs: for each call instance, the node that carries its result.
        scopes: all of them.
    """

    name: str
    version: str
    nodes: tuple[GraphNode, ...]
    regions: tuple[Region, ...]
    calls: tuple[int, ...]
    outputs: tuple[int, ...]
    scopes: tuple[Scope, ...] = ()

    @property
    def output(self) -> int:
        """Index of the node whose value is the result of the workflow."""
        return self.regions[0].output

    @property
    def input_count(self) -> int:
        """How many of the nodes are inputs of the workflow."""
        return self.regions[0].input_count
