"""Stages: what a node of a graph can run. Steps are defined here, workflows in `_workflows`.

    Stage
    ├── AsyncStep   an `async def` function
    ├── PlainStep   a plain `def` function, run in a thread
    └── Workflow    a graph of steps

Takes0 to Takes6 name the stages of 0 to 6 inputs for a checker, with the Context first, last or
absent. A ParamSpec can't wrap its members in `Node[...]`, so whatever takes a stage and its inputs
is a row of overloads over them, such as `Flow.call`:

    @overload
    def run(self, stage: Takes2[A1, A2, R], a1: A1, a2: A2, /) -> R: ...

Steps with `*parents` need four more, told apart by how they are called, and these come last.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable, Coroutine
from typing import (
    TYPE_CHECKING,
    Any,
    Generic,
    Literal,
    ParamSpec,
    Protocol,
    TypeAlias,
    TypeVar,
    cast,
    get_args,
    get_origin,
    overload,
)

from ._context import Context
from ._contracts import Contract
from ._errors import DefinitionError
from ._nodes import Node
from ._options import ConcurrencyKey, OnReject, Options, Task, checked
from ._policies import Cost, Hedge, Queue, RetryPolicy, Seconds, Threshold, word
from ._signatures import Side, step_signature

if TYPE_CHECKING:
    from ._graph import Graph
    from ._workflows import Workflow

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
A1 = TypeVar("A1")
A2 = TypeVar("A2")
A3 = TypeVar("A3")
A4 = TypeVar("A4")
A5 = TypeVar("A5")
A6 = TypeVar("A6")

Effects: TypeAlias = Literal["pure", "idempotent", "once"]
Flavour: TypeAlias = Literal["async", "plain"]


class Stage(Generic[P, R_co]):
    """What a node runs: a step or a workflow, with parameters P and result R.

    Attributes:
        name: its identity together with the version.
        version: changes when what it does changes.
        owner: the team that answers for it, or None.
        inputs: name and contract of each input.
        variadic: the one input takes any number of nodes.
        contract: of the result.
    """

    name: str
    version: str
    owner: str | None
    inputs: tuple[tuple[str, Contract], ...]
    variadic: bool = False
    contract: Contract

    @property
    def graph(self) -> Graph | None:
        """The graph of a workflow; None for a step."""
        return None

    def as_workflow(self, count: int | None = None) -> Workflow[P, R_co]:
        """This stage as a workflow: itself, or a graph of one node, which is kept.

        Args:
            count: how many inputs, for a step with `*parents`.
        """
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r} version {self.version!r}>"


Takes0: TypeAlias = Stage[[], R] | Stage[[Context], R]
Takes1: TypeAlias = Stage[[A1], R] | Stage[[Context, A1], R] | Stage[[A1, Context], R]
Takes2: TypeAlias = Stage[[A1, A2], R] | Stage[[Context, A1, A2], R] | Stage[[A1, A2, Context], R]
Takes3: TypeAlias = (
    Stage[[A1, A2, A3], R] | Stage[[Context, A1, A2, A3], R] | Stage[[A1, A2, A3, Context], R]
)
Takes4: TypeAlias = (
    Stage[[A1, A2, A3, A4], R]
    | Stage[[Context, A1, A2, A3, A4], R]
    | Stage[[A1, A2, A3, A4, Context], R]
)
Takes5: TypeAlias = (
    Stage[[A1, A2, A3, A4, A5], R]
    | Stage[[Context, A1, A2, A3, A4, A5], R]
    | Stage[[A1, A2, A3, A4, A5, Context], R]
)
Takes6: TypeAlias = (
    Stage[[A1, A2, A3, A4, A5, A6], R]
    | Stage[[Context, A1, A2, A3, A4, A5, A6], R]
    | Stage[[A1, A2, A3, A4, A5, A6, Context], R]
)


class Step(Stage[P, R_co]):
    """A function with a contract. Made by `step`; see there for the options.

    Attributes:
        function: the decorated function.
        flavour: "async" or "plain".
        takes_context: where the `Context` is injected: "first", "last" or None.
        effects: "pure", "idempotent", "once", or None if not declared.
        options: how its attempts run, as far as it says.
        playbook: what a person does when it fails, or None.
    """

    flavour: Flavour

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        name: str | None,
        version: str,
        owner: str | None,
        effects: Effects | None,
        playbook: str | None,
        options: Options,
    ) -> None:
        functools.update_wrapper(cast("Any", self), function, updated=())
        self.name = label(name if name is not None else function.__name__, "a step's name")
        signature = step_signature(function, f"step {self.name!r}")
        self.version = word(version, f"the version of step {self.name!r}")
        self.owner = owner
        self.effects = effects
        self.playbook = playbook
        self.options = options
        self.function = function
        self.inputs = signature.inputs
        self.variadic = signature.variadic
        self.takes_context: Side | None = signature.takes_context
        self.contract = signature.contract
        self._workflows: dict[int, Workflow[P, R_co]] = {}

    def as_workflow(self, count: int | None = None) -> Workflow[P, R_co]:
        """A workflow of this one step, with its name and version; drawn once, then kept."""
        from ._workflows import single

        inputs = len(self.inputs) if count is None or not self.variadic else count
        if inputs not in self._workflows:
            self._workflows[inputs] = single(self, inputs)
        return self._workflows[inputs]

    def _refuse_nodes(self, args: tuple[object, ...], kwargs: dict[str, object]) -> None:
        for value in (*args, *kwargs.values()):
            if isinstance(value, Node):
                raise DefinitionError(
                    f"step {self.name!r} was called with node {value.path!r}",
                    remedy=f"write flow.call({self.__name__}, ...) to put it into the graph",
                )

    def __reduce__(self) -> str:
        return self.__qualname__

    if TYPE_CHECKING:
        __name__: str
        __qualname__: str
        __wrapped__: Callable[..., Any]


class AsyncStep(Step[P, R_co]):
    """A step made of an `async def` function; `await step(...)` runs the plain function."""

    flavour: Flavour = "async"

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R_co]:
        """Call the function itself, outside of any run."""
        self._refuse_nodes(args, kwargs)
        return cast("Coroutine[Any, Any, R_co]", self.function(*args, **kwargs))


class PlainStep(Step[P, R_co]):
    """A step made of a plain `def` function; the runtime runs it in a thread of its pool."""

    flavour: Flavour = "plain"

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Call the function itself, in this thread and outside of any run."""
        self._refuse_nodes(args, kwargs)
        return cast("R_co", self.function(*args, **kwargs))


class StepDecorator(Protocol):
    """What `step` with options gives."""

    @overload
    def __call__(  # type: ignore[overload-overlap]  # a coroutine function is a function too
        self, function: Callable[P, Coroutine[Any, Any, R]], /
    ) -> AsyncStep[P, R]: ...
    @overload
    def __call__(self, function: Callable[P, R], /) -> PlainStep[P, R]: ...


@overload
def step(  # type: ignore[overload-overlap]  # a coroutine function is a function too
    function: Callable[P, Coroutine[Any, Any, R]], /
) -> AsyncStep[P, R]: ...
@overload
def step(function: Callable[P, R], /) -> PlainStep[P, R]: ...
@overload
def step(
    *,
    name: str | None = None,
    version: str = "1",
    owner: str | None = None,
    effects: Effects | None = None,
    retry: RetryPolicy | None = None,
    hedge: Hedge | None = None,
    timeout: Seconds | None = None,
    total_timeout: Seconds | None = None,
    heartbeat_timeout: Seconds | None = None,
    queue_timeout: Seconds | None = None,
    queue: Queue | str | None = None,
    estimate: Cost | None = None,
    priority: int | None = None,
    task: Task | None = None,
    compensate: Step[..., Any] | None = None,
    fallback: Stage[..., Any] | None = None,
    concurrency_key: ConcurrencyKey | None = None,
    accept: Threshold[Any] | None = None,
    on_reject: OnReject | None = None,
    playbook: str | None = None,
) -> StepDecorator: ...
def step(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    version: str = "1",
    owner: str | None = None,
    effects: Effects | None = None,
    playbook: str | None = None,
    **options: Any,
) -> Any:
    """Make a step of a function; bare, or with options. The function stays directly callable.

    Every input is annotated and passed by position; `*parents: T` takes any number. A parameter
    annotated `Context`, first or last, is injected. The return annotation is the step's contract.

    Args:
        function: `async def`, or plain `def` to be run in a thread.
        name: its identity; the function's name unless given. No "/", "[" or "]".
        version: changes when what it does changes.
        owner: the team that answers for it.
        effects: "pure", "idempotent", or "once" (at most one attempt).
        retry: how often a failed attempt is repeated; one attempt and no more unless given.
        hedge: when a slow attempt gets a second copy; not with effects="once" or `compensate`.
        timeout: seconds for one attempt.
        total_timeout: seconds for all attempts and the waits between them.
        heartbeat_timeout: seconds between two heartbeats of an attempt.
        queue_timeout: seconds in the queue.
        queue: a `Queue`, or its name.
        estimate: what one attempt is expected to use, such as Cost(tokens=1_200).
        priority: 1 to 5, lower first.
        task: "own" for an asyncio task from the start of each attempt; "auto" lets the runtime
            choose.
        compensate: a step that undoes the effect when the run fails later. It takes this step's
            inputs, then the result, or None if the step was interrupted; with its own policy.
        fallback: a step or a workflow that takes the same inputs when this step has failed.
        concurrency_key: steps of one key run one at a time; a name, or a function of the inputs.
        accept: the least score its value has to reach; the node that judges it is drawn after it.
        on_reject: what becomes of a value that does not reach it: "fail" (unless given) makes it a
            failure, which goes to the fallback where there is one; "fallback" demands one; "review"
            waits for the value of the signal "<step>-review" in its place, from the step's owner;
            or a signal of one's own for that.
        playbook: what a person does when it fails; a text or an address.
        **options: the options from retry to on_reject.

    Raises:
        DefinitionError: the function or an option breaks a rule; all of them at once.

    >>> import asyncio
    >>> import penstock as ps
    >>> @ps.step(timeout=2.0, retry=ps.RetryPolicy(max_attempts=5))
    ... async def shout(text: str) -> str:
    ...     return text.upper()
    >>> asyncio.run(shout("hello"))
    'HELLO'
    """

    def make(function: Callable[..., Any]) -> Step[..., Any]:
        kind = _kind(function)
        subject = f"step {name or function.__name__!r}"
        try:
            good = checked(options)
            _check_identity(owner, effects, playbook)
            if effects == "once":
                good["retry"] = _at_most_once(good.get("retry"))
            if "hedge" in good:
                _check_hedge(effects, good)
            _check_judged(good)
        except DefinitionError as error:
            raise DefinitionError.of(subject, error.problems) from None
        return kind(
            function,
            name=name,
            version=version,
            owner=owner,
            effects=effects,
            playbook=playbook,
            options=good,
        )

    return make if function is None else make(function)


def label(value: object, name: str) -> str:
    """Check that `value` can be one part of a path, and return it.

    Raises:
        DefinitionError: it is empty, or has "/", "[", "]" or an unprintable character in it.
    """
    text = word(value, name)
    if not text.isprintable() or not _RESERVED.isdisjoint(text):
        raise DefinitionError(
            f"{name} is {text!r}", remedy="leave out '/', '[', ']' and unprintable characters"
        )
    return text


def _kind(function: Any) -> type[Step[..., Any]]:
    if not (inspect.isfunction(function) or inspect.ismethod(function)):
        raise DefinitionError(
            f"{function!r} is no function", remedy="decorate an 'async def' or a 'def'"
        )
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise DefinitionError(
            f"step {function.__name__!r} yields", remedy="return one value, such as a list"
        )
    if inspect.iscoroutinefunction(function):
        return AsyncStep
    given = function.__annotations__.get("return")
    if (get_origin(given) or given) in (Awaitable, Coroutine):
        raise DefinitionError(
            f"step {function.__name__!r} is a plain def that returns an awaitable",
            remedy="make it 'async def' and await inside",
        )
    return PlainStep


def _check_identity(owner: object, effects: object, playbook: object) -> None:
    for name, value in (("owner", owner), ("playbook", playbook)):
        if value is not None:
            word(value, name)
    if effects is not None and effects not in get_args(Effects):
        raise DefinitionError(
            f"effects is {effects!r}", remedy="give 'pure', 'idempotent' or 'once'"
        )


def _at_most_once(retry: RetryPolicy | None) -> RetryPolicy:
    if retry is not None and retry.max_attempts > 1:
        raise DefinitionError(
            f"effects='once' does not go with {retry.max_attempts} attempts",
            remedy="give retry=RetryPolicy(max_attempts=1), or effects='idempotent'",
        )
    return retry or RetryPolicy(max_attempts=1)


def _check_hedge(effects: object, options: Options) -> None:
    if effects == "once":
        raise DefinitionError(
            "effects='once' does not go with hedge=, as a hedge runs it twice",
            remedy="leave hedge= out, or declare effects='idempotent'",
        )
    if "compensate" in options:
        raise DefinitionError(
            "compensate= does not go with hedge=, as a hedge runs it twice",
            remedy="leave hedge= out, as only one of the two effects would be undone",
        )


def _check_judged(good: Options) -> None:
    if "on_reject" in good and "accept" not in good:
        raise DefinitionError(NOTHING_JUDGED, remedy=GIVE_ACCEPT)


NOTHING_JUDGED = "on_reject= goes with accept=, as nothing is rejected without"
GIVE_ACCEPT = "give accept=ps.Threshold(score, at=0.7), or leave on_reject= out"
_RESERVED = frozenset("/[]")
