"""The errors penstock raises, and those a step raises to steer what becomes of it.

    Exception
    ├── PenstockError             what happened, to which run and node, and the remedy
    │   ├── DefinitionError       a step, a policy or a workflow is wrong; it never ran
    │   ├── ContractError         a value does not satisfy the annotation of its edge
    │   │   └── ThresholdError    a value's score is below its step's threshold
    │   ├── RunError              a run ended without a result
    │   │   ├── RunFailed         a step failed for good; its exception is the __cause__
    │   │   ├── RunCancelled      somebody cancelled the run
    │   │   ├── DeadlineExceeded  the run's deadline passed
    │   │   ├── BudgetExceeded    the run's budget was spent
    │   │   ├── CompensationFailed  undoing a failed run's effects failed as well
    │   │   ├── OutcomeUnknown    an effect that may happen once was cut off; somebody must look
    │   │   └── RunHeld           the run can't go on here, and is kept aside
    │   ├── Overloaded            a queue is full; try again after `retry_after` seconds
    │   ├── BudgetSpent           a step is not paid for, and there is a fallback
    │   ├── BreakerOpen           a queue is left alone for a while, and there is a fallback
    │   ├── RunNotFound           no run has that id
    │   ├── DuplicateRun          the id belongs to a run with another input
    │   ├── RuntimeClosed         the runtime does not accept work any more
    │   ├── VersionConflict       two definitions share a name and a version
    │   └── StoreError            the journal can't be read or written
    │       ├── StoreCorrupt      a record is damaged, or of an unknown format
    │       └── LeaseLost         another host took the run over
    ├── NonRetryable              raised by a step: fail now, whatever the retry policy says
    │   └── Reject                raised by a step: what it was handed is not good enough
    ├── RetryAfter                raised by a step: try again, but not before `seconds`
    └── RecordedError             stands for what a step raised in an earlier process

`NonRetryable`, `Reject` and `RetryAfter` stand outside the tree: they are messages of a step to its
runtime, so that `except PenstockError` in a step's body does not swallow them. All of these can be
pickled; as with every exception, `__cause__` does not travel.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from math import isfinite
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from ._money import Usd
    from ._stages import Stage


class PenstockError(Exception):
    """The root of penstock's errors.

    Attributes:
        what: what happened, in one clause.
        run_id: the run it happened to, or None.
        node: the path of the node it happened to, or None.
        remedy: what to do about it, or None.
    """

    def __init__(
        self,
        what: str,
        *,
        run_id: str | None = None,
        node: str | None = None,
        remedy: str | None = None,
    ) -> None:
        super().__init__(what)
        self.what = what
        self.run_id = run_id
        self.node = node
        self.remedy = remedy

    def __str__(self) -> str:
        places = (("run", self.run_id), ("node", self.node))
        place = ", ".join(f"{kind} {name!r}" for kind, name in places if name is not None)
        text = f"{place}: {self.what}" if place else self.what
        return f"{text}; {self.remedy}" if self.remedy else text

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.args, self.__dict__)


class DefinitionError(PenstockError):
    """A step, a policy or a workflow is defined wrongly; raised before anything runs.

    Attributes:
        problems: every problem found, each naming its node and the remedy.
    """

    def __init__(
        self,
        what: str,
        *,
        node: str | None = None,
        remedy: str | None = None,
        problems: Sequence[str] = (),
    ) -> None:
        super().__init__(what, node=node, remedy=remedy)
        self.problems: tuple[str, ...] = tuple(problems) or (str(self),)

    @classmethod
    def of(cls, subject: str, problems: Sequence[str]) -> DefinitionError:
        """One error for all `problems` (one or more) of `subject`: "workflow 'support'"."""
        if len(problems) == 1:
            return cls(f"{subject}: {problems[0]}", problems=problems)
        lines = "".join(f"\n- {problem}" for problem in problems)
        return cls(f"{subject} has {len(problems)} problems:{lines}", problems=problems)


class ContractError(PenstockError):
    """A value does not satisfy the annotation of the edge it travels on.

    Retried only if a policy's `retry_on` names it.
    """

    def at(self, *, run_id: str | None, node: str) -> ContractError:
        """This error with the run and the node it happened to."""
        return type(self)(self.what, run_id=run_id, node=node, remedy=self.remedy)


class ThresholdError(ContractError):
    """A value's score is below the threshold of the step that gave it: `accept=` of that step."""


class RunError(PenstockError):
    """A run ended without a result.

    Attributes:
        run_id: the run.
    """

    run_id: str

    def __init__(
        self, what: str, *, run_id: str, node: str | None = None, remedy: str | None = None
    ) -> None:
        super().__init__(what, run_id=run_id, node=node, remedy=remedy)


class RunFailed(RunError):
    """A step failed for good and nothing contained it; its exception is the `__cause__`.

    Attributes:
        step: the name of the step that failed (of the node, where there is no step).
        attempts: how often it was tried.
    """

    def __init__(
        self,
        what: str,
        *,
        run_id: str,
        step: str,
        attempts: int,
        node: str | None = None,
        remedy: str | None = None,
    ) -> None:
        super().__init__(what, run_id=run_id, node=node, remedy=remedy)
        self.step = step
        self.attempts = attempts


class RunCancelled(RunError):
    """Somebody cancelled the run, or the runtime closed before it ended."""


class DeadlineExceeded(RunError):
    """The run's deadline passed before it ended."""


class BudgetExceeded(RunError):
    """A budget that the run is paid from was spent before it ended: its own, or another's.

    Attributes:
        payer: whose it is: "run", "workflow" or "tenant"; None if that is not known any more.
        limit: what may be spent of it.
        spent: what was spent.
        asked: what was to be reserved for the attempt that was not paid for.
    """

    payer: str | None = None
    limit: Usd | None = None
    spent: Usd | None = None
    asked: Usd | None = None


class CompensationFailed(RunError):
    """A run failed, and undoing one of its effects failed as well."""


class OutcomeUnknown(RunError):
    """A step with effects "once" was cut off, so nobody knows whether it had its effect.

    The run has not ended: it stands still until `Run.resolve` says what became of that node.
    """


class RunHeld(RunError):
    """The run is kept aside until somebody sees to it.

    Its workflow is not registered, it brought the process down, or no retry is paid for.
    """


class BreakerOpen(PenstockError):
    """The queue's breaker is open, so the step was not tried: `ctx.failure` of its fallback."""


class BudgetSpent(PenstockError):
    """A budget is spent, so the step was not tried: `ctx.failure` of its fallback."""


class Overloaded(PenstockError):
    """A queue is full, or what waits in it waits too long: the run was not accepted, nothing kept.

    Attributes:
        retry_after: seconds after which another try is worthwhile.
    """

    def __init__(
        self,
        what: str,
        *,
        retry_after: float,
        run_id: str | None = None,
        node: str | None = None,
        remedy: str | None = None,
    ) -> None:
        super().__init__(what, run_id=run_id, node=node, remedy=remedy)
        self.retry_after = retry_after


class RunNotFound(PenstockError):
    """No run has that id: it never was, or its outcome is no longer kept."""


class DuplicateRun(PenstockError):
    """The id belongs to a run of another workflow or with another input."""


class RuntimeClosed(PenstockError):
    """The runtime is not open: not entered yet, or closed already."""


class VersionConflict(PenstockError):
    """Two different definitions share a name and a version."""


class StoreError(PenstockError):
    """The journal can't be read or written."""


class StoreCorrupt(StoreError):
    """A record of the journal is damaged, or of a format this version does not know."""


class LeaseLost(StoreError):
    """Another host took the run over while this one was working on it."""


class NonRetryable(Exception):
    """Raised by a step: fail now, whatever the retry policy says.

    >>> import penstock as ps
    >>> @ps.step
    ... async def charge(card: str) -> str:
    ...     raise ps.NonRetryable("the card is stolen")
    """


class Reject(NonRetryable):
    """Raised by a step: what it was handed is not good enough, and who has to do it again.

    It fails the step and is not retried; in the books it is a refused handoff. Doing it again is
    what `Flow.loop` is for.

    Args:
        reason: why, for the books.
        to: the step, or the name of it, whose work that was; None for whoever handed it over.

    Attributes:
        reason: as given.
        to: the name of that step, or None.

    Raises:
        ValueError: the reason is empty, or `to` is no step.

    >>> import penstock as ps
    >>> @ps.step
    ... async def draft(ticket: str) -> str:
    ...     return ticket
    >>> @ps.step
    ... async def check(text: str) -> str:
    ...     raise ps.Reject("it names no price", to=draft)
    """

    def __init__(self, reason: str, *, to: Stage[..., Any] | str | None = None) -> None:
        if not isinstance(cast("object", reason), str) or not reason.strip():
            raise ValueError(f"Reject takes a reason, not {reason!r}")
        name: object = to if to is None or isinstance(to, str) else getattr(to, "name", None)
        if to is not None and (not isinstance(name, str) or not name.strip()):
            raise ValueError(f"Reject(to=) takes a step or the name of one, not {to!r}")
        super().__init__(reason)
        self.reason = reason
        self.to = None if name is None else str(name)

    def __str__(self) -> str:
        return self.reason if self.to is None else f"{self.reason} (back to {self.to})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _rejected, (self.reason, self.to)


class RetryAfter(Exception):
    """Raised by a step: try again, but not before `seconds` have passed.

    It counts as an attempt, and is retried whatever `retry_on` and `never_on` say.

    Args:
        seconds: 0 or more, finite.
        message: why, for the history.

    Raises:
        ValueError: `seconds` is negative or not finite.
    """

    def __init__(self, seconds: float | timedelta, message: str = "") -> None:
        delay = seconds.total_seconds() if isinstance(seconds, timedelta) else float(seconds)
        if not (isfinite(delay) and delay >= 0):
            raise ValueError(f"RetryAfter takes 0 or more seconds, not {seconds!r}")
        super().__init__(delay, message)
        self.seconds = delay
        self.message = message

    def __str__(self) -> str:
        return self.message or f"try again after {self.seconds:g} s"


class RecordedError(Exception):
    """Stands for an exception that a step raised in an earlier process.

    Built-in exceptions come back as what they were; others as this.

    Attributes:
        type: module and name of its class, such as "shop.errors.CardStolen".
        traceback: as text.
    """

    def __init__(self, message: str, *, type: str, traceback: str) -> None:  # noqa: A002
        super().__init__(message)
        self.type = type
        self.traceback = traceback

    def __str__(self) -> str:
        return f"{self.type}: {self.args[0]}"

    def __reduce__(self) -> tuple[object, ...]:
        return _recorded, (self.args[0], self.type, self.traceback)


def _rejected(reason: str, to: str | None) -> Reject:
    return Reject(reason, to=to)


def _recorded(message: str, kind: str, traceback: str) -> RecordedError:
    return RecordedError(message, type=kind, traceback=traceback)


def _rebuild(
    kind: type[PenstockError], args: tuple[Any, ...], state: dict[str, Any]
) -> PenstockError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(state)
    return error
