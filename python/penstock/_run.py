"""Run: the handle of one execution."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, Final, Generic, Literal, TypeAlias, TypeVar, cast
from uuid import uuid4

from ._errors import DuplicateRun, RunHeld, RunNotFound
from ._events import Event, EventsLost, Feed
from ._figures import RunSpend
from ._policies import Budget, BudgetState, word
from ._policies._budgets import run_budget

if TYPE_CHECKING:
    from ._runtime import Runtime
    from ._signals import Signal

R_co = TypeVar("R_co", covariant=True)
T = TypeVar("T")

RunStatus: TypeAlias = Literal[
    "running",
    "paused",
    "compensating",
    "held",
    "succeeded",
    "failed",
    "cancelled",
    "compensated",
    "compensation_failed",
]


class _Unset:
    """Stands for a result that was not given: None may be one."""


_UNSET: Final = _Unset()


class Run(Generic[R_co]):
    """A handle of one run. As long as it is held, the run's outcome is kept.

    Attributes:
        run_id: the run's id, given to `start` or made up as a UUID.
    """

    __slots__ = ("_key", "_run_id", "_runtime")

    def __init__(self, runtime: Runtime, key: int) -> None:
        self._runtime = runtime
        self._key = key
        self._run_id: str | None = None

    def __del__(self) -> None:
        self._runtime._forget(self._key)  # noqa: SLF001

    @property
    def run_id(self) -> str:
        """The run's id."""
        if self._run_id is None:
            run_id = self._runtime._core.run_id(self._key)  # noqa: SLF001
            self._run_id = run_id if run_id is not None else "forgotten"
        return self._run_id

    @property
    def status(self) -> RunStatus:
        """Where the run is."""
        status = self._runtime._core.status(self._key)  # noqa: SLF001
        if status is None:
            raise RunNotFound("the run is no longer known", run_id=self.run_id)
        return cast("RunStatus", status)

    async def result(self) -> R_co:
        """Wait for the run to end and return its result. Cancelling this only stops waiting.

        Raises:
            RunFailed: a step failed for good; the step's exception is the `__cause__`.
            RunCancelled: the run was cancelled.
            DeadlineExceeded: its deadline passed.
            BudgetExceeded: a budget was spent.
            CompensationFailed: an effect could not be undone; see `resume`.
            RunHeld: it waits for somebody: a retry or an attempt is not paid for; see `resume`.
        """
        result: Any = await self._runtime._open().wait(self._key)  # noqa: SLF001
        return cast("R_co", result)

    async def cancel(self) -> bool:
        """Ask the run to stop; whether there was anything to stop. `result` tells when it has.

        What waits is withdrawn, what runs is cancelled, and the run ends once that has ended and
        its effects are undone.
        """
        cancelled = self._runtime._open().cancel(self._key)  # noqa: SLF001
        await self._runtime._on_disk()  # noqa: SLF001
        return cancelled

    async def pause(self) -> bool:
        """Let no further step of the run start; whether it was running. What runs goes on.

        A deadline goes on too, and a cancellation is still obeyed.
        """
        paused = self._runtime._open().pause(self._key)  # noqa: SLF001
        await self._runtime._on_disk()  # noqa: SLF001
        return paused

    async def resume(self) -> bool:
        """Let a paused run go on, or try again to undo what could not be undone.

        Returns whether there was anything to resume.
        """
        resumed = self._runtime._open().resume(self._key)  # noqa: SLF001
        await self._runtime._on_disk()  # noqa: SLF001
        return resumed

    async def resolve(
        self,
        node: str,
        *,
        result: object = _UNSET,
        retry: bool = False,
        fail: bool | BaseException = False,
    ) -> bool:
        """Tell what became of a node with effects "once" whose attempt was cut off.

        The run goes on once no such node is left. `unknown` names them.

        Args:
            node: its path, such as "shop/charge".
            result: it had its effect, and this is what the step would have returned.
            retry: it had none, and is to run again.
            fail: it has failed; an exception says how.

        Returns whether the node was one.

        Raises:
            ContractError: the result is not what the step returns.
            TypeError: not exactly one of `result`, `retry` and `fail` is given.
        """
        if (result is not _UNSET) + bool(retry) + bool(fail) != 1:
            raise TypeError("give exactly one of result=, retry=True and fail=True")
        core = self._runtime._open()  # noqa: SLF001
        if result is not _UNSET:
            done = core.resolve_unknown(self._key, node, "done", result)
        elif retry:
            done = core.resolve_unknown(self._key, node, "retry", None)
        else:
            given = isinstance(fail, BaseException)
            error = fail if given else RuntimeError("it was found to have failed")
            done = core.resolve_unknown(self._key, node, "failed", error)
        await self._runtime._on_disk()  # noqa: SLF001
        return done

    @property
    def degraded(self) -> bool:
        """Whether anything of the run was made cheaper to stay within a budget."""
        return self._runtime._core.is_degraded(self._key)  # noqa: SLF001

    @property
    def budget(self) -> BudgetState | None:
        """How the run's own budget stands; None if it has none, or is over."""
        row = self._runtime._core.budget_of(self._key)  # noqa: SLF001
        return None if row is None else BudgetState.of(row)

    async def configure_budget(self, budget: Budget) -> bool:
        """Let the run spend so much from now on, in place of what it was started with.

        A run that is paused for want of money goes on with `resume`.

        Returns whether the run is under way.

        Raises:
            DefinitionError: it is no budget, or for a day.
        """
        parts = run_budget(budget, "budget").parts
        changed = self._runtime._open().budget_run(self._key, parts)  # noqa: SLF001
        await self._runtime._on_disk()  # noqa: SLF001
        return changed

    async def retry(self, *, new_keys: bool = False) -> bool:
        """Try a run again that failed, was cancelled or was undone; needs a store.

        What its steps have given is kept, unless it was undone; what failed, and what comes after
        it, runs again with all its attempts. A dead letter goes on where it was. The run keeps its
        id, and counts a generation more.

        Args:
            new_keys: whether idempotency keys change, for a service that remembers the old ones.

        Returns whether there was anything to try again.

        Raises:
            RunHeld: its workflow is not registered as it was.
        """
        runtime = self._runtime
        core = runtime._open()  # noqa: SLF001
        runtime._needs_store("retry")  # noqa: SLF001
        await runtime._on_disk()  # noqa: SLF001
        key, why = core.retry(self.run_id, new_keys)
        if key is None:
            if "nothing to retry" in why:
                return False
            raise RunHeld(why, run_id=self.run_id)
        core.watch(key)
        self._key, before = key, self._key
        runtime._forget(before)  # noqa: SLF001
        await runtime._on_disk()  # noqa: SLF001
        return True

    async def fork(self, *, from_step: str | None = None, run_id: str | None = None) -> Run[R_co]:
        """Start a copy of a run that is over, and keep what was paid for; needs a store.

        Args:
            from_step: path of the node from which it runs again, such as "shop/charge", or of a
                workflow called in it, or of an item of a map ("shop/pages[3]"). Not given, only
                what failed or was undone runs again.
            run_id: of the copy; made up if not given. Its idempotency keys are its own.

        Raises:
            RunNotFound: the run is not over, or it has no such node.
            RunHeld: its workflow is not registered as it was.
            DuplicateRun: the id is taken.
        """
        runtime = self._runtime
        core = runtime._open()  # noqa: SLF001
        runtime._needs_store("fork")  # noqa: SLF001
        await runtime._on_disk()  # noqa: SLF001
        copy = word(run_id, "run_id") if run_id is not None else f"{self.run_id}~{uuid4().hex[:8]}"
        if core.find(copy) is not None:
            raise DuplicateRun(
                "there is a run of that id already", run_id=copy, remedy="choose another run_id"
            )
        key, why = core.fork(self.run_id, copy, from_step)
        if key is None:
            kind = RunHeld if "registered" in why else RunNotFound
            raise kind(f"it can't be forked: {why}", run_id=self.run_id)
        core.watch(key)
        run: Run[R_co] = Run(runtime, key)
        await runtime._on_disk()  # noqa: SLF001
        return run

    async def unknown(self) -> list[str]:
        """Paths of the nodes whose outcome nobody knows; see `resolve`."""
        return self._runtime._open().unknown(self._key)  # noqa: SLF001

    async def signal(
        self,
        signal: Signal[T],
        value: T,
        *,
        keep: bool = True,
        minutes: float | None = None,
        role: str | None = None,
    ) -> bool:
        """Bring the run a signal; it goes to the node that has waited for it longest.

        Args:
            signal: one that the run's workflow waits for.
            value: of the signal's type.
            keep: whether a signal that nobody waits for yet is kept for the next one who does.
            minutes: that a person took for it; booked on the node that takes it, at the price
                book's rate for the role. Such a signal is not kept for later.
            role: of that person; the owner of the node if not given.

        Returns whether the run took it in: False if it is ending, or if nobody waits for a signal
        that is not to be kept.

        Raises:
            ContractError: the value is not of the signal's type; the run goes on waiting.
            RunNotFound: the run is over, or no longer known.
            DefinitionError: no node of the workflow waits for this signal, or the role of the
                person has no price.
        """
        core = self._runtime._open()  # noqa: SLF001
        checked, payload = self._runtime._signal_value(  # noqa: SLF001
            self._key, self.run_id, signal, value
        )
        if minutes is not None:
            keep = False
            self._runtime._book_people(self._key, signal, minutes, role)  # noqa: SLF001
        taken = core.signal(self._key, signal.name, checked, keep, payload)
        await self._runtime._on_disk()  # noqa: SLF001
        return taken

    async def awaiting(self) -> list[str]:
        """Paths of the nodes that wait for a signal, longest first."""
        return self._runtime._open().awaiting(self._key)  # noqa: SLF001

    async def left_to_undo(self) -> list[str]:
        """Paths of the nodes whose effects would have to be undone, or could not be."""
        return self._runtime._open().left_to_undo(self._key)  # noqa: SLF001

    async def history(self, after: int = 0) -> list[Event]:
        """What was recorded of the run so far, oldest first, without the first `after` records."""
        rows = self._runtime._core.history(self._key)  # noqa: SLF001
        if rows is None:
            raise RunNotFound("the run's history is no longer kept", run_id=self.run_id)
        return [Event.of(row) for row in rows[after:]]

    async def picture(self) -> str:
        """The workflow's graph as SVG, coloured by what the run has done so far."""
        from ._picture import picture, states_of

        core = self._runtime._core  # noqa: SLF001
        plan = core.plan_of(self._key)
        if plan is None:
            raise RunNotFound("the run is no longer known", run_id=self.run_id)
        graph = self._runtime._registry.graph(plan)  # noqa: SLF001
        return picture(graph, states_of(graph, await self.history()))

    async def spend(self) -> RunSpend:
        """What the run has spent so far, by node, attempt and resource.

        Raises:
            RunNotFound: the run is no longer known.
        """
        rows = self._runtime._core.spent(self._key)  # noqa: SLF001
        if rows is None:
            raise RunNotFound("the run is no longer known", run_id=self.run_id)
        return RunSpend.of(rows)

    async def score(self, value: float, *, kind: str = "quality") -> None:
        """Say how good the run's outcome was, now or later; another score of a kind replaces it.

        Args:
            value: of the score, such as 0 to 1; of kind "value", dollars.
            kind: what it is about; scorecards show each kind with its mean.

        Raises:
            DefinitionError: the value is not finite.
            RunNotFound: the run is no longer known.
        """
        await self._runtime._score(self._key, self.run_id, kind, value)  # noqa: SLF001

    async def events(self) -> AsyncIterator[Event | EventsLost]:
        """What happens to the run from now on, until it has ended.

        The ring holds 1,024 events; a follower that is slower than that gets `EventsLost` in place
        of the oldest ones, and never holds the run up.
        """
        core, feed = self._runtime._open(), Feed[Event]()  # noqa: SLF001
        if not core.follow(self._key, feed):
            return
        try:
            while (event := await feed.next()) is not None:
                yield event
                if isinstance(event, Event) and event.kind == "ended":
                    return
        finally:
            core.unfollow(self._key, feed)

    def __repr__(self) -> str:
        status = self._runtime._core.status(self._key)  # noqa: SLF001
        return f"<Run {self.run_id!r}: {status or 'forgotten'}>"


async def ended(future: asyncio.Future[Any]) -> None:
    """Wait until a run's future is done, whatever it brings; a cancellation stops the wait."""
    try:
        await future
    except asyncio.CancelledError:
        raise
    except BaseException:  # only the end matters here
        return
