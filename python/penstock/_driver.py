"""Driver: what the native side asks of Python. It calls these, never the other way round."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import Context as ContextVars
from copy import deepcopy
from threading import get_ident
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias, TypeVar, cast

from ._context import Context
from ._errors import (
    BreakerOpen,
    BudgetExceeded,
    BudgetSpent,
    CompensationFailed,
    ContractError,
    DeadlineExceeded,
    DuplicateRun,
    OutcomeUnknown,
    Overloaded,
    PenstockError,
    RetryAfter,
    RunCancelled,
    RunError,
    RunFailed,
    RunHeld,
    RunNotFound,
    RuntimeClosed,
    StoreCorrupt,
    StoreError,
)
from ._events import Event, Feed, QueueEvent, Row
from ._failures import Failure
from ._graph import Collect, Graph, GraphNode, Loop, Map, Recurse, Wait
from ._handoffs import refusal
from ._ledger import Ledger
from ._money import Usd
from ._payloads import decode_error, encode_error
from ._places import Judge
from ._policies import Queue, RetryPolicy
from ._prices import Rates
from ._releases import ReleaseEvent
from ._settings import Setting
from ._spend import SpendLine
from ._stages import Step
from ._stats import counted
from ._threads import Threads

if TYPE_CHECKING:
    from ._engine import Core

T = TypeVar("T")


class Command(NamedTuple):
    """What another process wants of a run.

    Attributes:
        number: in the store.
        key: a second command of this key is the same command.
        run_id: of the run, or empty.
        verb: what to do.
        arguments: JSON.
        actor: who asked.
    """

    number: int
    key: str
    run_id: str
    verb: str
    arguments: str
    actor: str


class Driver:
    """The hooks of one runtime's native side, and the host its contexts speak to.

    Attributes:
        overlays: by the number of a workflow, the values of settings that hold for its runs in
            place of their own, by name.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, threads: Threads) -> None:
        self._loop = loop
        self._thread = get_ident()
        self._threads = threads
        self.core: Core
        self.commanded: Callable[[Command], None] = lambda _: None
        self.ledger: Ledger
        self.run_closed: Callable[[str, int, float, float, str, tuple[str, int] | None], None] = (
            _nobody
        )
        self.graphs: list[Graph] = []
        self.queues: list[Queue] = []
        self.feeds: list[Feed[QueueEvent | ReleaseEvent]] = []
        self.overlays: dict[int, Mapping[str, object]] = {}
        self._storms: dict[str, float] = {}

    # Hooks, named as in the native `Hooks`.

    def classify(
        self, judge: Judge | None, error: BaseException
    ) -> tuple[bool, float | None, str | None]:
        """What becomes of a node whose attempt raised.

        Whether that is worth another attempt, how many seconds to wait at least, and, if a handoff
        is refused by it, why.
        """
        after = error.seconds if isinstance(error, RetryAfter) else None
        if judge is None:  # what is decided inline is not tried again
            return False, None, refusal(error, "error")
        refused = refusal(error, "error", givers=judge.givers, owners=judge.owners)
        return judge.retry.retries(error), after, refused

    def locate(self, run_id: str | None, path: str, error: BaseException) -> BaseException:
        """A contract's error with the run and node it happened to; any other error as it is."""
        return error.at(run_id=run_id, node=path) if isinstance(error, ContractError) else error

    def context(self, core: Core, attempt: int, step: Step[..., Any]) -> Context:
        """The context of an attempt that is about to start."""
        facts = core.attempt(attempt)
        if facts is None:
            raise RuntimeError(f"attempt {attempt} of step {step.name!r} is not under way")
        run_id, path, number, deadline, tenant, failure, keys = facts
        return Context(
            self,
            attempt,
            run_id=run_id,
            step=step.name,
            path=path,
            attempt=number,
            deadline=deadline,
            tenant=tenant,
            failure=_before(failure) if failure is not None else None,
            generation=keys,
        )

    def failure(
        self, plan: int, run_id: str, cause: str, why: str, at: Told | None
    ) -> PenstockError:
        """What awaiting a run that did not succeed raises."""
        if cause == "cancelled":
            return RunCancelled("the run was cancelled", run_id=run_id)
        if cause == "held":
            return RunHeld(
                f"the run is held: {why}",
                run_id=run_id,
                remedy="register what it needs and open the store again, or cancel the run",
            )
        if cause == "closed":
            return RuntimeClosed(
                "the runtime was closed before the run ended; it goes on when the store is opened",
                run_id=run_id,
            )
        if cause == "deadline" or at is None:
            return DeadlineExceeded(
                "the deadline passed before the run ended",
                run_id=run_id,
                remedy="give it a longer deadline, or look at Run.history for what took so long",
            )
        path, index, attempts, error, stalled = at
        if cause == "outcome_unknown":
            return OutcomeUnknown(
                "the attempt was cut off, and it may have had its effect all the same",
                run_id=run_id,
                node=path,
                remedy="find out, then call Run.resolve(node, result=... | retry=True | fail=True)",
            )
        if cause == "retry_denied":
            return RunHeld(
                f"no retry is paid for after {_attempts(attempts)}: the retry budget is spent",
                run_id=run_id,
                node=path,
                remedy="call Run.resume() once the queue is well again, or cancel the run",
            )
        if cause == "budget":
            return self._unpaid(run_id, path, stalled=stalled)
        node = self.graphs[plan].nodes[index]
        error = error or _reason(node, cause)
        tries = f" after {_attempts(attempts)}" if attempts else ""
        told = f"{type(error).__name__}: {_told(error)}"
        step = node.step.name if node.step is not None else path.rpartition("/")[2]
        playbook = node.step.playbook if node.step is not None else None
        failure: RunError
        if stalled:
            failure = CompensationFailed(
                f"an effect could not be undone{tries}: {told}",
                run_id=run_id,
                node=path,
                remedy=f"see {playbook}, then Run.resume()" if playbook else _RESUME,
            )
        else:
            failure = RunFailed(
                f"failed{tries}: {told}",
                run_id=run_id,
                step=step,
                attempts=attempts,
                node=path,
                remedy=f"see {playbook}" if playbook else _unpaid(node, cause, attempts, error),
            )
        failure.__cause__ = error
        return failure

    def _unpaid(self, run_id: str, path: str, *, stalled: bool) -> RunError:
        """What awaiting a run raises of which a step was not paid for."""
        key = self.core.find(run_id)
        unpaid = None if key is None else self.core.unpaid(key)
        told, remedy = unpaid_text(unpaid)
        if stalled:
            remedy = f"{remedy}, then call Run.resume(); or cancel the run"
            return RunHeld(f"it is paused, as {told}", run_id=run_id, node=path, remedy=remedy)
        error = BudgetExceeded(told, run_id=run_id, node=path, remedy=remedy)
        if unpaid is not None:
            payer, asked, spent, limit = unpaid
            error.payer, error.asked = payer, Usd(asked)
            error.spent, error.limit = Usd(spent), Usd(limit)
        return error

    def item_failure(
        self, plan: int, at: tuple[str, str, int, int, BaseException | None]
    ) -> Failure:
        """What stands in a map's list for an item that failed."""
        cause, path, index, attempts, error = at
        error = error or _reason(self.graphs[plan].nodes[index], cause)
        return Failure(error=error, node=path, attempts=attempts)

    def submit(
        self,
        attempt: int,
        function: Callable[..., object],
        arguments: tuple[Any, ...],
        context: ContextVars,
    ) -> None:
        """Run a plain function in the thread pool."""
        self._threads.submit(attempt, function, arguments, context)

    def publish(self, feed: Feed[Event], note: Row | Event) -> None:
        """Hand a follower an event."""
        feed.push(note if isinstance(note, Event) else Event.of(note))

    def refusal(self, kind: str, what: str, retry_after: float) -> Exception:
        """Why a run was not accepted, or is not known."""
        if kind == "queue":
            name = self.queues[int(what)].name
            return Overloaded(
                f"queue {name!r} is full",
                retry_after=retry_after,
                remedy=f"try again in {retry_after:.3g} s, or start with admission='wait'",
            )
        if kind == "shedding":
            name = self.queues[int(what)].name
            return Overloaded(
                f"what waits in queue {name!r} waits too long",
                retry_after=retry_after,
                remedy=f"try again in {retry_after:.3g} s, or start with admission='wait'",
            )
        if kind == "runs":
            return Overloaded(what, retry_after=retry_after)
        if kind == "duplicate":
            return DuplicateRun(
                "the id belongs to a run of another workflow or with another input",
                run_id=what,
                remedy="choose another run_id, or pass what that run was started with",
            )
        if kind in ("store", "corrupt"):
            what, _, remedy = what.partition("; ")
            error = StoreCorrupt if kind == "corrupt" else StoreError
            return error(what, remedy=remedy or None)
        if kind == "stalled":
            return StoreError(
                f"it is not confirmed on disk: {what.partition('; ')[0]}",
                remedy="mend that and ask again by the same run_id: it may be accepted by then",
            )
        if kind == "forgotten":
            return RunNotFound(
                "the run is over and its outcome is no longer kept",
                remedy="await it, or keep the handle that start gives, until it ends",
            )
        return ContractError(what, remedy="pass one value for each input of the workflow")

    def encode_error(self, error: BaseException) -> bytes:
        """An exception as a store keeps it."""
        return encode_error(error)

    def decode_error(self, payload: bytes) -> BaseException:
        """An exception that a store has kept."""
        return decode_error(bytes(payload))

    def command(
        self, number: int, key: str, run_id: str, verb: str, arguments: str, actor: str
    ) -> None:
        """Another process wants something of a run."""
        self.commanded(Command(number, key, run_id, verb, arguments, actor))

    def closed(
        self,
        run_id: str,
        plan: int,
        accepted: float,
        ended: float,
        body: str,
        root: tuple[str, int] | None,
    ) -> None:
        """A run of a watched workflow has ended, with these figures."""
        self.run_closed(run_id, plan, accepted, ended, body, root)

    def news(self, queue: int, kind: str) -> None:
        """Something happened to a queue."""
        name = self.queues[queue].name
        self._count_storm(name, kind)
        seen = counted(self.core.stats()["queues"][queue])
        level = logging.WARNING if kind in ("storm_started", "breaker_opened") else logging.INFO
        _log.log(
            level,
            "queue %r: %s (demand %.2f, goodput %.2f of first attempts, %d parked)",
            name,
            kind.replace("_", " "),
            seen.demand_ratio,
            seen.goodput,
            seen.parked,
        )
        if self.feeds:
            event = QueueEvent(
                at=self.now(),
                kind=kind,
                queue=name,
                demand_ratio=seen.demand_ratio,
                goodput=seen.goodput,
                parked=seen.parked,
                owners=self._owners(name),
                playbooks=self._playbooks(name),
            )
            for feed in self.feeds:
                feed.push(event)

    def _count_storm(self, queue: str, kind: str) -> None:
        """Count a storm where it begins, and how long it lasted where it ends."""
        now = self.now()
        if kind == "storm_started":
            self._storms[queue] = now
            body = {"storms": 1}
        elif kind == "storm_ended" and queue in self._storms:
            body = {"storm_ns": round((now - self._storms.pop(queue)) * 1e9)}
        else:
            return
        self.core.count([(now, "queues", json.dumps({"queue": queue}), json.dumps(body))])

    def _in_queue(self, name: str) -> Iterator[Step[..., Any]]:
        """The steps that wait in a queue."""
        for graph in self.graphs:
            for node in graph.nodes:
                queue: Queue | str | None = node.option("queue") if node.step else None
                if (
                    node.step
                    and (queue if isinstance(queue, str) else queue and queue.name) == name
                ):
                    yield node.step

    def _owners(self, queue: str) -> tuple[str, ...]:
        return tuple(sorted({step.owner for step in self._in_queue(queue) if step.owner}))

    def _playbooks(self, queue: str) -> dict[str, str]:
        return {step.name: step.playbook for step in self._in_queue(queue) if step.playbook}

    # The host of contexts.

    def used(self, attempt: int, tokens: int) -> None:
        """What an attempt has used, from any thread."""
        self.core.used(attempt, tokens)

    def spend(self, attempt: int, lines: Sequence[SpendLine]) -> None:
        """What an attempt has used, priced, from any thread."""
        self.ledger.book(attempt, lines)

    @property
    def rates(self) -> Rates:
        """What spend is priced with."""
        return self.ledger.rates

    def heartbeat(self, attempt: int) -> None:
        """A sign of life of an attempt, from any thread."""
        self.core.heartbeat(attempt)

    def emit(self, attempt: int, event: object) -> None:
        """An event of a step's own, from any thread."""
        if get_ident() == self._thread:
            self._emit(attempt, event)
        else:
            self._loop.call_soon_threadsafe(self._emit, attempt, event)

    def setting(self, attempt: int, setting: Setting[T]) -> T:
        """The value of a setting that holds for the run of an attempt, from any thread.

        What an attempt reads is read here and nowhere else.
        """
        if not isinstance(cast("object", setting), Setting):
            raise TypeError(f"{setting!r} is no setting; make it one: ps.Setting(name, value)")
        plan = self._plan_of(attempt) if self.overlays else None
        overlay = None if plan is None else self.overlays.get(plan)
        if overlay is not None and setting.name in overlay:
            return cast("T", deepcopy(overlay[setting.name]))
        return setting.value

    def is_cancelled(self, attempt: int) -> bool:
        """Whether an attempt has been told to stop, from any thread."""
        return self.core.is_cancelled(attempt)

    def is_to_save(self, attempt: int) -> bool:
        """Whether an attempt is to do with less, from any thread."""
        return self.core.is_to_save(attempt)

    def now(self) -> float:
        """Seconds since 1970, by the engine's clock."""
        return self.core.now()

    def _plan_of(self, attempt: int) -> int | None:
        """The number of the workflow that an attempt is of; None if it is not under way."""
        facts = self.core.attempt(attempt)
        run = None if facts is None else self.core.find(facts[0])
        return None if run is None else self.core.plan_of(run)

    def _emit(self, attempt: int, event: object) -> None:
        facts = self.core.attempt(attempt)
        if facts is not None:
            _, path, number, *_ = facts
            emitted = Event(at=self.now(), kind="emitted", node=path, attempt=number, value=event)
            self.core.emit(attempt, emitted)


def _nobody(*_: object) -> None:
    """Nobody listens."""


def _before(failure: tuple[str, BaseException | None]) -> BaseException:
    """The failure that led to a fallback."""
    cause, error = failure
    return error or _unraised(cause) or TimeoutError(f"{cause} passed")


def _unpaid(node: GraphNode, cause: str, attempts: int, error: BaseException) -> str | None:
    """What to do about a failure that a queue's budget has not paid to repeat."""
    retry: RetryPolicy | None = node.option("retry")
    queue: Queue | str | None = node.option("queue")
    tried = retry is None or attempts >= retry.max_attempts or not retry.retries(error)
    if tried or queue is None or cause not in ("error", "timeout", "heartbeat_timeout"):
        return None
    name = queue if isinstance(queue, str) else queue.name
    return (
        f"the retry budget of queue {name!r} paid for no further attempt; "
        "on_denial='park' waits for one"
    )


def unpaid_text(unpaid: tuple[str, int, int, int] | None) -> tuple[str, str]:
    """Why an attempt was not paid for, and what to do."""
    if unpaid is None:
        return "a budget is spent", "raise the budget"
    payer, asked, spent, limit = unpaid
    told = f"{Usd(spent)} of the {payer}'s budget of {Usd(limit)} is spent"
    told += f", and an attempt may cost {Usd(asked)}" * (asked > 0)
    return told, _RAISE[payer]


def _attempts(count: int) -> str:
    return "1 attempt" if count == 1 else f"{count} attempts"


def _unraised(cause: str) -> Exception | None:
    """The exception for a step that its queue did not let start."""
    if cause == "breaker_open":
        return BreakerOpen("the breaker of its queue is open: too many attempts failed")
    if cause == "budget":
        return BudgetSpent("a budget that it would have been paid from is spent")
    if cause == "deadline":
        return TimeoutError("it could not have ended before the run's deadline")
    return None


def _reason(node: GraphNode, cause: str) -> Exception:
    """The exception for a failure that no code of the user's raised."""
    if (unraised := _unraised(cause)) is not None:
        return unraised
    match node.detail:
        case Wait(signal=signal, timeout=seconds):
            return TimeoutError(f"signal {signal.name!r} did not come within {seconds:g} s")
        case Loop(max_iterations=most):
            return RuntimeError(f"the loop was not over after {most} iterations")
        case Recurse(max_depth=most):
            return RuntimeError(f"the recursion went deeper than {most}")
        case Collect(need=need) | Map(need=need):
            return RuntimeError(f"fewer than the {need} it needs succeeded")
        case _:
            seconds = node.option(cause if cause in _LIMITS else "timeout")  # type: ignore[arg-type]
            return TimeoutError(f"{cause} of {seconds:g} s passed")


def _told(error: BaseException) -> str:
    """What an exception says of itself, even if it can't."""
    try:
        return str(error)
    except Exception as broken:  # user code
        return f"(its message can't be shown: {type(broken).__name__})"


Told: TypeAlias = tuple[str, int, int, BaseException | None, bool]
"""Of a failure: path, node of the graph, attempts, exception, whether the run is stalled by it."""

_log: Final = logging.getLogger("penstock")
_RAISE: Final = {
    "run": "raise it: Run.configure_budget(...)",
    "workflow": "raise it: Runtime.configure_budgets(...)",
    "tenant": "raise it: Runtime.configure_budgets(...)",
}
_RESUME: Final = "repair what it needs, then call Run.resume()"
_LIMITS: Sequence[str] = ("timeout", "total_timeout", "heartbeat_timeout", "queue_timeout")
