"""Options: what a step, a workflow and a call may each say about how a step runs.

The nearest one wins: the call, then the step, then the workflow, then the runtime.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, TypedDict, cast

from ._errors import DefinitionError
from ._policies import Cost, Hedge, Queue, RetryPolicy, Seconds, Threshold, instance, seconds, word

if TYPE_CHECKING:
    from ._signals import Signal
    from ._stages import Stage, Step

Task: TypeAlias = Literal["own", "auto"]
ConcurrencyKey: TypeAlias = str | Callable[..., object]
OnReject: TypeAlias = "Literal['fail', 'fallback', 'review'] | Signal[Any]"


class Options(TypedDict, total=False):
    """How the attempts of a step run; durations are seconds or a timedelta, more than 0.

    Attributes:
        retry: how often a failed attempt is repeated.
        hedge: when a slow attempt gets a second copy; only where the step may run twice.
        timeout: for one attempt.
        total_timeout: for all attempts of a node and the waits between them.
        heartbeat_timeout: between two heartbeats of an attempt.
        queue_timeout: for the wait in the queue.
        queue: what the step waits in, or its name.
        estimate: what one attempt is expected to use.
        priority: 1 to 5, lower first.
        task: "own" gives each attempt an asyncio task from the start, "auto" lets the runtime
            choose.
        compensate: undoes the step's effect; takes the step's inputs, then its result or None.
        fallback: takes the same inputs when the step has failed for good; a step or a workflow.
        concurrency_key: steps of one key run one at a time; a name, or a function of the inputs.
        accept: what the step's value has to be good for.
        on_reject: what becomes of a value that is not: "fail", "fallback", or "review" by a person,
            who answers with a signal; a signal of one's own is a review too.
    """

    retry: RetryPolicy | None
    hedge: Hedge | None
    timeout: Seconds | None
    total_timeout: Seconds | None
    heartbeat_timeout: Seconds | None
    queue_timeout: Seconds | None
    queue: Queue | str | None
    estimate: Cost | None
    priority: int | None
    task: Task | None
    compensate: Step[..., Any] | None
    fallback: Stage[..., Any] | None
    concurrency_key: ConcurrencyKey | None
    accept: Threshold[Any] | None
    on_reject: OnReject | None


OptionName: TypeAlias = Literal[
    "retry",
    "hedge",
    "timeout",
    "total_timeout",
    "heartbeat_timeout",
    "queue_timeout",
    "queue",
    "estimate",
    "priority",
    "task",
    "compensate",
    "fallback",
    "concurrency_key",
    "accept",
    "on_reject",
]

STRUCTURAL: Final[tuple[OptionName, ...]] = (
    "compensate",
    "fallback",
    "concurrency_key",
    "accept",
    "on_reject",
)
"""The options that become nodes of the graph."""


def checked(options: Mapping[str, object]) -> Options:
    """The options that are not None, with durations in float seconds.

    Raises:
        DefinitionError: an unknown option, or a value out of its range; all of them at once.
    """
    problems: list[str] = []
    good: dict[str, object] = {}
    for name, value in options.items():
        if name not in _CHECKS:
            known = ", ".join(_CHECKS)
            problems.append(f"{name!r} is no option; the options are {known}")
        elif value is not None:
            try:
                good[name] = _CHECKS[name](value)
            except DefinitionError as error:
                problems += error.problems
    if problems:
        raise DefinitionError("; ".join(problems), problems=problems)
    return cast("Options", good)


def priority(value: object) -> int:
    """Check that `value` is an int (a bool is none) from 1 to 5, and return it.

    Raises:
        DefinitionError: it is not.
    """
    if type(value) is not int or not 1 <= value <= 5:
        raise DefinitionError(
            f"priority is {value!r}", remedy="give 1 (first), 2, 3 (the usual), 4 or 5 (last)"
        )
    return value


def _retry(value: object) -> RetryPolicy:
    remedy = "give a RetryPolicy, such as RetryPolicy(max_attempts=3)"
    return instance(value, "retry", RetryPolicy, remedy)


def _hedge(value: object) -> Hedge:
    return instance(value, "hedge", Hedge, "give a Hedge, such as Hedge(after=0.5)")


def _estimate(value: object) -> Cost:
    return instance(value, "estimate", Cost, "give a Cost, such as Cost(tokens=1_200)")


def _queue(value: object) -> Queue | str:
    if isinstance(value, Queue):
        return value
    if isinstance(value, str):
        return word(value, "queue")
    raise DefinitionError(f"queue is {value!r}", remedy="give a Queue, or its name")


def _task(value: object) -> Task:
    if value == "own":
        return "own"
    if value == "auto":
        return "auto"
    raise DefinitionError(f"task is {value!r}", remedy="give 'own' or 'auto'")


def _compensate(value: object) -> Step[..., Any]:
    from ._stages import Step

    if not isinstance(value, Step):
        raise DefinitionError(
            f"compensate is {value!r}",
            remedy="give a step that takes the same inputs, then the result or None",
        )
    return cast("Step[..., Any]", value)


def _fallback(value: object) -> Stage[..., Any]:
    from ._stages import Stage

    if not isinstance(value, Stage):
        raise DefinitionError(
            f"fallback is {value!r}", remedy="give a step or a workflow that takes the same inputs"
        )
    return cast("Stage[..., Any]", value)


def _concurrency_key(value: object) -> ConcurrencyKey:
    if isinstance(value, str):
        return word(value, "concurrency_key")
    if not callable(value):
        raise DefinitionError(
            f"concurrency_key is {value!r}", remedy="give a name, or a function of the inputs"
        )
    return value


def _accept(value: Any) -> Threshold[Any]:
    instance(value, "accept", Threshold, "give a Threshold, such as Threshold(score, at=0.7)")
    threshold: Threshold[Any] = value
    return threshold


def _on_reject(value: Any) -> OnReject:
    from ._signals import Signal

    known: OnReject = value
    if not isinstance(cast("object", value), Signal) and value not in (
        "fail",
        "fallback",
        "review",
    ):
        raise DefinitionError(
            f"on_reject is {value!r}",
            remedy="give 'fail', 'fallback' or 'review', or the signal that a review answers with",
        )
    return known


def _duration(name: str) -> Callable[[object], float]:
    return lambda value: seconds(value, name)


_CHECKS: Final[Mapping[str, Callable[[object], Any]]] = {
    "retry": _retry,
    "hedge": _hedge,
    "timeout": _duration("timeout"),
    "total_timeout": _duration("total_timeout"),
    "heartbeat_timeout": _duration("heartbeat_timeout"),
    "queue_timeout": _duration("queue_timeout"),
    "queue": _queue,
    "estimate": _estimate,
    "priority": priority,
    "task": _task,
    "compensate": _compensate,
    "fallback": _fallback,
    "concurrency_key": _concurrency_key,
    "accept": _accept,
    "on_reject": _on_reject,
}
