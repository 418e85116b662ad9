"""Runtime: the engine in one process and one event loop."""

from __future__ import annotations

import asyncio
import logging
import math
import random
import re
from asyncio import _get_running_loop  # the public one raises outside of a loop
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import suppress
from os import PathLike
from pathlib import Path
from threading import get_ident
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Literal, Self, TypeVar, cast, overload

from typing_extensions import Unpack

from . import _engine
from ._clock import VirtualLoop
from ._commands import Commands
from ._compaction import Compactor
from ._context import Context
from ._coverage import Coverage
from ._coverage_collect import collect, coverage_of_runtime
from ._driver import Driver
from ._durability import Codecs, Durability, checks_payloads, keep, location, refuse_exit
from ._durability import durability as checked_durability
from ._errors import (
    ContractError,
    DefinitionError,
    DuplicateRun,
    Overloaded,
    PenstockError,
    RunHeld,
    RunNotFound,
    RuntimeClosed,
    StoreError,
)
from ._events import EventsLost, Feed, QueueEvent
from ._evidence import Criteria, OnUndecided
from ._figures import open_rows, overlay_of, rows_of, rows_of_store, scorecard_of_store
from ._forks import forget, leave_to_parent
from ._graph import Wait
from ._interfaces import overlay_interface, prices_interface
from ._ledger import Desk, Ledger
from ._options import Task
from ._policies import (
    Budget,
    Budgets,
    BudgetState,
    Queue,
    Retention,
    Seconds,
    number,
    seconds,
    whole,
    word,
)
from ._prices import PriceBook, Prices
from ._pruning import Pruner
from ._registry import Registry
from ._releases import Release, ReleaseEvent, ReleaseRecord, Releases, StickyBy, with_releases
from ._releases._arms import RELEASE_TAG, Arm
from ._releases._forecast import horizon_from, needed, of_workflow
from ._releases._manager import Routed, Wanted, new_run_id
from ._run import Run, ended
from ._run_options import Admission, RunOptions, checked_options, fingerprint, optional_word
from ._scorecard import By, Notes, Overrun, Row, Scorecard, scorecard
from ._scores import Scored, Scores, not_known
from ._seen import Seen
from ._settings import Changes, Overlay, Setting
from ._signals import Signal
from ._spend import Spend
from ._stages import (
    A1,
    A2,
    A3,
    A4,
    A5,
    A6,
    Stage,
    Takes0,
    Takes1,
    Takes2,
    Takes3,
    Takes4,
    Takes5,
    Takes6,
)
from ._stats import Stats, stats_of
from ._stored import RunFilter, RunInfo, StoreView, remembered
from ._threads import Threads
from ._workflows import Workflow

if TYPE_CHECKING:
    from ._simulation._forecast import Forecast

R = TypeVar("R")
T = TypeVar("T")


class Runtime:
    """Runs workflows on the event loop that enters it.

    Leaving it starts nothing more, gives running attempts `grace` seconds, then interrupts them.
    Runs that have not ended by then go on when the store is opened again; without a store they are
    cancelled, with a warning in the log.

    Args:
        store: a path or "sqlite:///path" for runs that survive the process; None keeps them in
            memory. One runtime at a time may have a store open.
        workflows: to register now; others are registered by their first run.
        queues: in place of queues of the same name that steps bring along.
        budgets: what workflows and tenants may spend, each over all of its runs; what is in the
            store counts.
        concurrency: attempts under way at once, over all queues.
        threads: attempts of plain steps under way at once.
        grace: seconds that running attempts get when the runtime closes.
        cancel_grace: seconds a cancelled attempt may take to end before it is given up.
        durability: "sync", "async" or "exit": what of a run is on disk before what.
        max_recoveries: how often the process may go down with attempts of a run under way before
            that run is held as a dead letter.
        retention: how long the store keeps runs that have ended; for ever unless given.
        prices: what is spent is priced with; if not given, models by the `genai-prices` package
            when it is installed, and nothing else.
        check_payloads: whether every value that is stored is read back at once and compared; under
            pytest unless given.
        clock: seconds on the loop's own scale; if not given, the machine's clock or the virtual
            loop's.
        seed: of the jitter of retries; two runtimes of one seed draw the same. Random if not given.
        task: "own" gives every attempt an asyncio Task of its own from the start.
        name: for logs and threads.

    >>> import asyncio
    >>> import penstock as ps
    >>> @ps.step
    ... async def shout(text: str) -> str:
    ...     return text.upper()
    >>> async def main() -> str:
    ...     async with ps.Runtime() as rt:
    ...         return await rt.run(shout, "hello")
    >>> asyncio.run(main())
    'HELLO'
    """

    def __init__(
        self,
        store: str | PathLike[str] | None = None,
        *,
        workflows: Iterable[Stage[..., Any]] = (),
        queues: Iterable[Queue] = (),
        budgets: Budgets | None = None,
        concurrency: int = 1024,
        threads: int = 32,
        grace: Seconds = 10.0,
        cancel_grace: Seconds = 5.0,
        durability: Durability = "sync",
        max_recoveries: int = 3,
        retention: Retention | None = None,
        prices: Prices | None = None,
        check_payloads: bool | None = None,
        clock: Callable[[], float] | None = None,
        seed: int | None = None,
        task: Task = "auto",
        name: str = "penstock",
    ) -> None:
        self._workflows = tuple(map(_stage, workflows))
        self._queues = tuple(map(_queue, queues))
        self._budgets = None if budgets is None else _budgets(budgets)
        self._concurrency = whole(concurrency, "Runtime.concurrency")
        self._threads_most = whole(threads, "Runtime.threads", most=10_000)
        self._grace = seconds(grace, "Runtime.grace", zero=True)
        self._cancel_grace = seconds(cancel_grace, "Runtime.cancel_grace", zero=True)
        self._store = location(store)
        self._durability: Durability = checked_durability(durability, "Runtime.durability")
        self._max_recoveries = whole(max_recoveries, "Runtime.max_recoveries")
        self._retention = _retention(retention)
        self._prices = _prices(prices)
        self._check_payloads = check_payloads
        self._clock = clock
        self._seed = random.getrandbits(64) if seed is None else _seed(seed)
        if task not in ("own", "auto"):
            raise DefinitionError(f"Runtime.task is {task!r}", remedy="give 'own' or 'auto'")
        self._task: Task = task
        self._name = word(name, "Runtime.name")
        self._state: Literal["new", "open", "closed", "forked"] = "new"
        self._thread = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._core: _engine.Core
        self._driver: Driver
        self._registry: Registry
        self._plans: Mapping[Stage[..., Any], int]
        self._threads: Threads
        self._pruner: Pruner
        self._compactor: Compactor
        self._scores: Scores
        self._seen: Seen
        self._releases: Releases
        self._view: StoreView | None = None

    async def __aenter__(self) -> Self:
        if self._state != "new":
            raise RuntimeClosed(
                "a runtime is entered once", remedy="make a new Runtime for every 'async with'"
            )
        loop = asyncio.get_running_loop()
        clock = self._clock
        if clock is None and isinstance(loop, VirtualLoop):
            clock = loop.time
        self._loop = loop
        self._thread = get_ident()
        self._threads = Threads(loop, self._threads_most, f"{self._name}-thread")
        self._driver = driver = Driver(loop, self._threads)
        self._core = driver.core = _engine.Core(
            loop,
            driver,
            concurrency=self._concurrency,
            threads=self._threads_most,
            cancel_grace=self._cancel_grace,
            seed=self._seed,
            clock=clock,
            store=self._store,
            # A virtual loop must not wait for a thread.
            inline=isinstance(loop, VirtualLoop),
        )
        try:
            self._register(driver)
            self._recover(driver)
        except BaseException:
            self._core.suspend()
            self._threads.close()
            raise
        self._state = "open"
        return self

    def _register(self, driver: Driver) -> None:
        self._threads.open(self._core.threads_done)
        stored = self._store is not None
        driver.ledger = Ledger(self._core, self._prices, stored=stored)
        if stored and isinstance(self._prices, PriceBook):
            keep(self._core, prices_interface(self._prices))
        self._scores = Scores(self._core, self._store_view if stored else None)
        self._seen = Seen(
            self._core,
            lambda: coverage_of_runtime(self._core, self._plans),
            self._overruns,
            stored=stored,
        )
        codecs = None
        if self._store is not None:
            codecs = Codecs(check=checks_payloads(self._check_payloads))
        own_task = self._task == "own"
        self._registry = Registry(
            self._core,
            driver,
            self._queues,
            own_task=own_task,
            prices=self._prices,
            codecs=codecs,
        )
        self._plans = self._registry.plans
        if self._budgets is not None:
            self._registry.configure_budgets(self._budgets)
        for stage in self._workflows:
            self._registry.plan(stage.as_workflow())
        self._releases = Releases(self._core, self._registry, driver.feeds, stored=stored)
        self._releases.on_disk = self._on_disk
        driver.run_closed = self._releases.closed
        if stored:
            self._releases.read(self._store_view())

    def _recover(self, driver: Driver) -> None:
        """Let the runs of the store go on, and hear of what happens to it."""
        if self._store is None:
            return
        core = self._core
        _, held, lost = core.recover(self._max_recoveries)
        if lost:
            _log.warning(
                "figures of %d runs are lost: their workflow is not registered as it was", lost
            )
        self._releases.catch_up(self._runs_of_release, self._deadline_of)
        for run_id, why in held[:10]:
            _log.warning("%s holds run %s: %s", self._name, run_id, why)
        if len(held) > 10:
            _log.warning("%s holds %d runs in all", self._name, len(held))
        self._pruner = Pruner(core, self._store_view, self._name)
        self._compactor = Compactor(core, self._store_view, self._on_disk)
        if not isinstance(self._loop, VirtualLoop):
            self._compactor.start()
            self._seen.start(asyncio.get_running_loop())
        if self._retention is not None:
            self._pruner.keep(self._retention)
        driver.commanded = Commands(self).take
        leave_to_parent(self, core.lock_fd())
        if not isinstance(self._loop, VirtualLoop) and self._loop is not None:
            self._loop.add_reader(core.wake_fd(), core._woken)  # noqa: SLF001

    def _runs_of_release(self, record: ReleaseRecord, since: float) -> Iterable[RunInfo]:
        tags = {RELEASE_TAG: record.name}
        return self._store_view().every(workflow=record.workflow, tags=tags, accepted_after=since)

    def _deadline_of(self, run_id: str) -> float | None:
        """When a run of the store must be over, in seconds since 1970; None for never."""
        accepted = self._store_view().records(run_id)[:1]
        until = accepted[0].facts.get("deadline") if accepted else None
        return None if until is None else until / 1e9

    def _store_view(self) -> StoreView:
        """The read side of the store, opened when it is first needed."""
        if self._view is None:
            self._view = StoreView(cast("Path", self._store))
        return self._view

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._open()
        self._state = "closed"
        hurried = error is not None and not isinstance(error, Exception)
        try:
            self._core.pause_dispatch()
            await self._idle(0.0 if hurried else self._grace)
            self._core.interrupt()
            await self._idle(self._cancel_grace)
        finally:
            self._releases.close()
            self._seen.close()
            if self._store is not None:
                await self._pruner.close()
                await self._compactor.close()
                self._leave_store()
            elif unfinished := self._core.close():
                runs = "1 run" if unfinished == 1 else f"{unfinished} runs"
                _log.warning("%s closed with %s under way, now cancelled", self._name, runs)
            self._threads.close()
            for feed in self._driver.feeds:
                feed.close()
            collect(self._core, self._plans)

    def _leave_store(self) -> None:
        forget(self)
        if self._view is not None:
            self._view.close()
        if self._loop is not None and not isinstance(self._loop, VirtualLoop):
            self._loop.remove_reader(self._core.wake_fd())
        if unfinished := self._core.suspend():
            runs = "1 run goes" if unfinished == 1 else f"{unfinished} runs go"
            _log.info("%s closed; %s on when its store is opened", self._name, runs)

    # Running. One overload for each number of inputs, as for `Flow.call`.

    @overload
    async def run(self, stage: Takes0[R], /, **options: Unpack[RunOptions]) -> R: ...
    @overload
    async def run(self, stage: Takes1[A1, R], a1: A1, /, **options: Unpack[RunOptions]) -> R: ...
    @overload
    async def run(
        self, stage: Takes2[A1, A2, R], a1: A1, a2: A2, /, **options: Unpack[RunOptions]
    ) -> R: ...
    @overload
    async def run(
        self,
        stage: Takes3[A1, A2, A3, R],
        a1: A1,
        a2: A2,
        a3: A3,
        /,
        **options: Unpack[RunOptions],
    ) -> R: ...
    @overload
    async def run(
        self,
        stage: Takes4[A1, A2, A3, A4, R],
        a1: A1,
        a2: A2,
        a3: A3,
        a4: A4,
        /,
        **options: Unpack[RunOptions],
    ) -> R: ...
    @overload
    async def run(
        self,
        stage: Takes5[A1, A2, A3, A4, A5, R],
        a1: A1,
        a2: A2,
        a3: A3,
        a4: A4,
        a5: A5,
        /,
        **options: Unpack[RunOptions],
    ) -> R: ...
    @overload
    async def run(
        self,
        stage: Takes6[A1, A2, A3, A4, A5, A6, R],
        a1: A1,
        a2: A2,
        a3: A3,
        a4: A4,
        a5: A5,
        a6: A6,
        /,
        **options: Unpack[RunOptions],
    ) -> R: ...
    @overload
    async def run(
        self,
        stage: Callable[[Context, *tuple[A1, ...]], Coroutine[Any, Any, R]],
        /,
        *inputs: A1,
        **options: Unpack[RunOptions],
    ) -> R: ...
    @overload
    async def run(
        self,
        stage: Callable[[*tuple[A1, ...]], Coroutine[Any, Any, R]],
        /,
        *inputs: A1,
        **options: Unpack[RunOptions],
    ) -> R: ...
    @overload
    async def run(
        self,
        stage: Callable[[Context, *tuple[A1, ...]], R],
        /,
        *inputs: A1,
        **options: Unpack[RunOptions],
    ) -> R: ...
    @overload
    async def run(
        self, stage: Callable[[*tuple[A1, ...]], R], /, *inputs: A1, **options: Unpack[RunOptions]
    ) -> R: ...
    async def run(self, stage: Any, /, *inputs: Any, **options: Unpack[RunOptions]) -> Any:
        """Start a run and wait for its result. Cancelling this cancels the run, and waits for that.

        Args:
            stage: a workflow, or a step, which is run as a workflow of one node.
            inputs: one value for each input.
            options: see `RunOptions`.

        Raises:
            ContractError: an input does not satisfy its annotation.
            Overloaded: a queue is full.
            DuplicateRun: the run id is taken by a run with another workflow or input.
            RunError: the run did not succeed; see `Run.result`.
        """
        # The straight way first: a workflow that has run before, without options.
        if _get_running_loop() is not self._loop or self._state != "open":
            self._open()
        core, plan = self._core, self._plans.get(stage)
        if plan is None:
            plan = self._registry.plan(_stage(stage).as_workflow(len(inputs)))
        if options or self._releases.busy:
            key, new = await self._start(plan, stage, inputs, options, watch=False)
            future = core.wait(key)
        elif self._store is None:
            new = True
            key, future = core.run(plan, inputs)
        else:
            new = True
            key, future = core.run(plan, inputs, self._durability_of(stage, None))
        try:
            return await future
        except asyncio.CancelledError:
            if new and core.cancel(key):
                await ended(core.wait(key))
            raise

    @overload
    async def start(self, stage: Takes0[R], /, **options: Unpack[RunOptions]) -> Run[R]: ...
    @overload
    async def start(
        self, stage: Takes1[A1, R], a1: A1, /, **options: Unpack[RunOptions]
    ) -> Run[R]: ...
    @overload
    async def start(
        self, stage: Takes2[A1, A2, R], a1: A1, a2: A2, /, **options: Unpack[RunOptions]
    ) -> Run[R]: ...
    @overload
    async def start(
        self,
        stage: Takes3[A1, A2, A3, R],
        a1: A1,
        a2: A2,
        a3: A3,
        /,
        **options: Unpack[RunOptions],
    ) -> Run[R]: ...
    @overload
    async def start(
        self,
        stage: Takes4[A1, A2, A3, A4, R],
        a1: A1,
        a2: A2,
        a3: A3,
        a4: A4,
        /,
        **options: Unpack[RunOptions],
    ) -> Run[R]: ...
    @overload
    async def start(
        self,
        stage: Takes5[A1, A2, A3, A4, A5, R],
        a1: A1,
        a2: A2,
        a3: A3,
        a4: A4,
        a5: A5,
        /,
        **options: Unpack[RunOptions],
    ) -> Run[R]: ...
    @overload
    async def start(
        self,
        stage: Takes6[A1, A2, A3, A4, A5, A6, R],
        a1: A1,
        a2: A2,
        a3: A3,
        a4: A4,
        a5: A5,
        a6: A6,
        /,
        **options: Unpack[RunOptions],
    ) -> Run[R]: ...
    @overload
    async def start(
        self,
        stage: Callable[[Context, *tuple[A1, ...]], Coroutine[Any, Any, R]],
        /,
        *inputs: A1,
        **options: Unpack[RunOptions],
    ) -> Run[R]: ...
    @overload
    async def start(
        self,
        stage: Callable[[*tuple[A1, ...]], Coroutine[Any, Any, R]],
        /,
        *inputs: A1,
        **options: Unpack[RunOptions],
    ) -> Run[R]: ...
    @overload
    async def start(
        self,
        stage: Callable[[Context, *tuple[A1, ...]], R],
        /,
        *inputs: A1,
        **options: Unpack[RunOptions],
    ) -> Run[R]: ...
    @overload
    async def start(
        self, stage: Callable[[*tuple[A1, ...]], R], /, *inputs: A1, **options: Unpack[RunOptions]
    ) -> Run[R]: ...
    async def start(self, stage: Any, /, *inputs: Any, **options: Unpack[RunOptions]) -> Run[Any]:
        """Start a run and return its handle once it is accepted; runs no user code inline.

        The same `run_id` with the same workflow and input gives the same run, finished or not.
        Arguments and errors are those of `run`, without the run's own.
        """
        self._open()
        plan = self._registry.plan(_stage(stage).as_workflow(len(inputs)))
        key, _ = await self._start(plan, stage, inputs, options, watch=True)
        run: Run[Any] = Run(self, key)
        await self._on_disk()
        return run

    async def start_many(
        self,
        stage: Takes1[T, R] | Workflow[..., R],
        inputs: Iterable[T],
        *,
        run_ids: Iterable[str] | None = None,
        priority: int | None = None,
        tenant: str | Callable[[T], str | None] | None = None,
        deadline: Seconds | None = None,
        budget: Budget | None = None,
        admission: Admission = "raise",
        durability: Durability | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> list[Run[R]]:
        """Start a run for each input, in one crossing; all are accepted, or none.

        Args:
            stage: a workflow or a step.
            inputs: the input of each run; tuples where the workflow has not exactly one.
            run_ids: one for each input.
            priority: as for `start`.
            tenant: one for all, or a function of the input.
            deadline: as for `start`.
            budget: of each run, as for `start`.
            admission: "wait" accepts the runs piece by piece as there is room.
            durability: as for `start`.
            tags: of every run.
        """
        core = self._open()
        workflow = _stage(stage).as_workflow()
        plan = self._registry.plan(workflow)
        options: RunOptions = {"deadline": deadline, "budget": budget, "admission": admission}
        if priority is not None:
            options["priority"] = priority
        if tags is not None:
            options["tags"] = tags
        checked = checked_options(options)
        waits = checked.pop("admission") == "wait"
        checked["durability"] = self._durability_of(workflow, durability)
        values = list(inputs)
        ids: list[str | None] = [None] * len(values) if run_ids is None else [*run_ids]
        if len(ids) != len(values):
            raise ContractError(
                f"{len(values)} inputs came with {len(ids)} run_ids", remedy="give one for each"
            )
        single = workflow.graph.input_count == 1
        if self._releases.routed(workflow.name):
            return await self._start_each(workflow, values, ids, tenant, options)
        batch = [
            (
                arguments := (value,) if single else tuple(cast("Sequence[Any]", value)),
                optional_word(run_id, "run_id"),
                None if run_id is None else fingerprint(workflow.name, arguments),
                optional_word(tenant(value) if callable(tenant) else tenant, "tenant"),
            )
            for value, run_id in zip(values, ids, strict=True)
        ]
        if not waits:
            keys = core.start_many(plan, batch, **checked)
            accepted: list[Run[R]] = [Run(self, key) for key in keys]
            await self._on_disk()
            return accepted
        runs: list[Run[R]] = []
        while len(runs) < len(batch):
            room = core.room(plan)
            if room == 0:
                await core.when_room(plan)
                self._open()
                continue
            piece = batch[len(runs) : len(runs) + room]
            runs += [Run(self, key) for key in core.start_many(plan, piece, **checked)]
        await self._on_disk()
        return runs

    async def _start_each(
        self,
        workflow: Workflow[..., R],
        values: Sequence[Any],
        ids: Sequence[str | None],
        tenant: str | Callable[[Any], str | None] | None,
        options: RunOptions,
    ) -> list[Run[R]]:
        """As `start_many`, of a workflow that is being released: each run goes to its arm."""
        core, single = self._open(), workflow.graph.input_count == 1
        plan = self._registry.plan(workflow)
        if options.get("admission") != "wait" and core.room(plan) < len(values):
            raise Overloaded("there is no room for all of them", retry_after=1.0)
        runs: list[Run[R]] = []
        for value, run_id in zip(values, ids, strict=True):
            inputs = (value,) if single else tuple(cast("Sequence[Any]", value))
            of = tenant(value) if callable(tenant) else tenant
            own: dict[str, Any] = {**options, "run_id": run_id, "tenant": of}
            key, _ = await self._start(plan, workflow, inputs, own, watch=True)
            runs.append(Run(self, key))
        await self._on_disk()
        return runs

    def get(self, run_id: str) -> Run[Any]:
        """The handle of a run by its id.

        Raises:
            RunNotFound: there is no such run, or it ended too long ago (10,000 outcomes are kept).
        """
        core = self._open()
        key = core.find(run_id)
        if key is None:
            raise RunNotFound(
                "there is no run of that id",
                run_id=run_id,
                remedy="look at the id"
                if self._store is not None
                else "look at the id; of runs that are over, the last 10,000 are kept",
            )
        core.watch(key)
        return Run(self, key)

    async def runs(self, **wanted: Unpack[RunFilter]) -> list[RunInfo]:
        """The runs that a filter lets through, newest first; 1,000 at most unless it says more.

        With a store, these are all of its runs; without one, those under way and the last 10,000
        that have ended, whose tenant and tags are not kept.

        Args:
            wanted: see `RunFilter`.

        Raises:
            DefinitionError: a status is none; or tags are asked for, and there is no store.
            StoreError: the store can't be read.
        """
        self._open()
        asked: RunFilter = {"limit": 1_000, **wanted}
        if self._store is None:
            return remembered(self._core, self._registry.workflows, asked)
        with suppress(StoreError):  # what is on disk can be told all the same
            await self._on_disk()
        return await asyncio.to_thread(self._store_view().runs, **asked)

    async def join(self) -> None:
        """Wait until no run is under way. Runs that fail do so silently here.

        A paused run is waited for. One that somebody has to see to is not, as nothing of it is
        under way until then: whose effects could not be undone, whose outcome is not known, or
        whose retry nobody pays for.
        """
        core = self._open()
        stuck: set[int] = set()

        def under_way() -> list[int]:
            keys = (key for key in core.runs() if core.status(key) in _UNDER_WAY)
            return [key for key in keys if key not in stuck]

        while keys := under_way():
            for key in keys:
                future = core.wait(key)
                # Else it would be asked for over and over, and the loop have no turn.
                if future.done() and core.status(key) in _UNDER_WAY:
                    stuck.add(key)
                await ended(future)
        await self._on_disk()

    def configure(self, queue: Queue) -> None:
        """Serve a queue by another model from now on.

        What runs or waits stays as it is, and what was counted or saved up is kept where both
        models have it. In a store the model is kept beside the ones before.

        Args:
            queue: the new model, under the name of a queue that is in use.

        Raises:
            DefinitionError: no queue of this name is in use.
        """
        self._open()
        self._registry.configure(_queue(queue))
        self._driver.news(self._registry.number_of(queue.name), "configured")

    def configure_budgets(self, budgets: Budgets) -> None:
        """Let workflows and tenants spend so much from now on. Who is not named keeps what it has.

        Steps that wait for money are served at once; runs that are paused go on with `Run.resume`.
        In a store the budgets are kept beside the ones before.

        Raises:
            DefinitionError: who is named had no budget when the runtime was opened, so that nobody
                knows what was spent.
        """
        self._open()
        known = self._registry.budgets
        for payer, name, _ in _budgets(budgets).each():
            # A tenant that was not named had the budget of every other.
            had = (payer, name) in known or (payer == "tenant" and (payer, None) in known)
            if not had:
                raise DefinitionError(
                    f"{payer} {name!r} had no budget when the runtime was opened",
                    remedy="give it one in Runtime(budgets=ps.Budgets(...))",
                )
        self._registry.configure_budgets(budgets)

    def budgets(self) -> list[BudgetState]:
        """How the budgets of workflows and tenants stand; of tenants, those that had a run."""
        return [BudgetState.of(row) for row in self._open().budgets()]

    async def release(
        self,
        candidate: Workflow[..., Any],
        *,
        overlay: Overlay | Mapping[Setting[Any], Any] | None = None,
        baseline: str | None = None,
        share: float = 0.1,
        criteria: Criteria | None = None,
        on_undecided: OnUndecided = "hold",
        max_runs: int = 3_000,
        max_age: Seconds | None = None,
        horizon: Seconds | None = None,
        sticky_by: StickyBy = "run",
        gather: Seconds = 3_600.0,
        forecast: Forecast | None = None,
        again: bool = False,
    ) -> Release:
        """Send a share of a workflow's runs to a candidate, and let them decide what becomes of it.

        Asked for again, as by a service that has been started again, it is the same release.

        Args:
            candidate: the workflow that is to run; with `overlay` the one that runs now.
            overlay: what is changed in it: settings, or also retry policies and queues.
            baseline: version that runs now; what the last release left in force, or else the
                newest registered version other than the candidate's, if not given.
            share: of the runs, that go to the candidate.
            criteria: what it is judged by; the workflow's `rollback=`, or `Criteria()`.
            on_undecided: what happens at `max_runs` or `max_age`: "hold", "promote", "rollback".
            max_runs: of the candidate, that are judged.
            max_age: seconds.
            horizon: seconds from its start in which a run has to succeed, if its deadline does not
                say less; twice the time that 99.9 % of the last day's runs took, if not given.
            sticky_by: what stays in one arm together: "run", "tenant", or a function of the inputs.
            gather: seconds from the first run of what stays together, in which its runs count; it
                is judged as one after that.
            forecast: what was forecast of the candidate; it is kept with the release, and held
                against what comes of it: `penstock forecasts`.
            again: begin another one, of a candidate that was decided upon before.

        Raises:
            DefinitionError: the workflow is being released, or a value is out of its range.
        """
        core = self._open()
        workflow = _stage(candidate).as_workflow()
        self._registry.plan(workflow)
        if overlay is not None and not isinstance(overlay, Overlay):
            overlay = Overlay(settings=overlay)
        changes = None if overlay is None else Changes.of(overlay)
        known = self._releases.find(
            workflow.name,
            Arm(workflow.version, "" if changes is None else changes.digest),
            sticky_by,
        )
        if known is not None and not again:
            return known
        at = self._releases.baseline_of(workflow)
        if baseline is not None:
            at = Arm(word(baseline, "baseline"))
        elif changes is None and at.version == workflow.version and not at.overlay:
            at = Arm(self._registry.other_version(workflow))
        from ._pages import risk_page  # what looks at code and graphs is not needed to run them

        number(share, "share", above=0, below=1)
        criteria = criteria or workflow.rollback or Criteria()
        until = math.nextafter(core.now(), math.inf)
        rows = await self._rows(until - 86_400.0, until)
        card = of_workflow(rows, workflow.name, until - 86_400.0, until)
        wanted = Wanted(
            share=share,
            criteria=criteria,
            on_undecided=on_undecided,
            max_runs=max_runs,
            max_age=None if max_age is None else seconds(max_age, "max_age"),
            horizon=horizon_from(rows, workflow.name)
            if horizon is None
            else seconds(horizon, "horizon"),
            sticky_by=sticky_by,
            gather=seconds(gather, "gather"),
            needed=needed(card, criteria, share),
            risks=risk_page(workflow),
            registered=await self._registered(workflow),
            forecast=None if forecast is None else forecast.to_dict(),
        )
        text = "" if overlay is None else overlay.to_json()
        if overlay is not None and self._store is not None:
            keep(core, overlay_interface(workflow, overlay.digest, text))
        release = self._releases.begin(workflow, changes, text, at, wanted)
        await self._on_disk()
        return release

    async def _rows(self, since: float, until: float) -> list[Row]:
        """What was counted in a window, by the store or since the runtime was opened."""
        core = self._core
        if self._store is None:
            return rows_of(core.figures(), since, until)
        self._keep_figures()
        await self._on_disk()
        return await asyncio.to_thread(rows_of_store, self._store_view(), since, until)

    def _keep_figures(self) -> None:
        if self._releases.busy:
            self._releases.save()
        else:
            self._core.keep_figures()

    async def _registered(self, workflow: Workflow[..., Any]) -> float | None:
        """When the store saw a version first, in seconds since 1970."""
        if self._store is None:
            return None
        view, name, version = self._store_view(), workflow.name, workflow.version
        first = await asyncio.to_thread(lambda: view.oldest(workflow=name, version=version))
        return self._core.now() if first is None else first.accepted

    async def events(self) -> AsyncIterator[QueueEvent | ReleaseEvent | EventsLost]:
        """What happens to queues and releases from now on: storms, breakers, rollbacks.

        The ring holds 1,024 events, as that of `Run.events`. It ends when the runtime is closed.
        """
        self._open()
        feed = Feed[QueueEvent | ReleaseEvent]()
        self._driver.feeds.append(feed)
        try:
            while (event := await feed.next()) is not None:
                yield event
        finally:
            self._driver.feeds.remove(feed)

    def stats(self) -> Stats:
        """What was counted since the runtime was opened; also when it is closed again."""
        if self._state == "new":
            self._open()
        registry = self._registry
        return stats_of(self._core.stats(), registry.labels, registry.steps, registry.queues)

    async def scorecard(
        self, window: Seconds = 86_400.0, *, by: By | None = None, until: float | None = None
    ) -> Scorecard:
        """Quality, reliability, cost and changes of the runs of a window, with their trends.

        Without a store, of what was counted since the runtime was opened.

        Args:
            window: seconds up to `until`; windows of 60 s that start in it count.
            by: what to group by: "step", "workflow", "version", "owner", "tenant" or "queue".
            until: seconds since 1970; now if not given.

        Raises:
            DefinitionError: the window is empty, or nothing can be grouped by `by`.
            StoreError: the store can't be read or written.
        """
        core = self._open()
        # The window that begins at this very moment is one of them.
        end = math.nextafter(core.now(), math.inf) if until is None else until
        since = end - seconds(window, "window")
        if self._store is None:
            rows = rows_of(core.figures(), since, end)
            rows += self._open_rows(rows, since, end)
            facts = self._registry.facts()
            notes = with_releases(self._notes(), self._releases.records)
            return scorecard(rows, since=since, until=end, by=by, nodes=facts, notes=notes)
        self._keep_figures()
        self._seen.keep()
        await self._on_disk()
        return await asyncio.to_thread(
            scorecard_of_store,
            self._store_view(),
            since,
            end,
            by=by,
            now=core.now(),
            notes=self._notes(),
        )

    def _notes(self) -> Notes:
        """What this process knows beside the figures: of branches, and of budgets."""
        return self._seen.notes()

    def _overruns(self) -> list[Overrun] | None:
        """Of the budgets of workflows and tenants, as they stand; None where there are none."""
        core = self._core
        states = [BudgetState.of(row) for row in core.budgets()]
        overruns = [
            Overrun(
                at=core.now(),
                workflow=it.name if it.payer == "workflow" else "",
                version="",
                tenant=it.name if it.payer == "tenant" else None,
                nanos=it.spent.nanos - it.limit.nanos,
            )
            for it in states
            if it.spent.nanos > it.limit.nanos
        ]
        return overruns if states else None

    def _open_rows(self, rows: list[Row], since: float, until: float) -> list[Row]:
        core, workflows = self._core, self._registry.workflows
        return open_rows(
            lambda wanted: remembered(core, workflows, wanted), rows, since, until, now=core.now()
        )

    async def _score(self, key: int, run_id: str, kind: str, value: float) -> None:
        core = self._open()
        if self._store is not None:
            await self._on_disk()
            info = await asyncio.to_thread(self._store_view().run, run_id)
            if info is None:
                raise not_known(run_id)
            scored = Scored(info.accepted, info.workflow, info.version, overlay_of(info))
        else:
            plan, history = core.plan_of(key), core.history(key)
            if plan is None or not history:
                raise not_known(run_id)
            scored = Scored(history[0][0], *self._registry.workflows[plan], "")
        await self._scores.add(run_id, scored, kind, value)
        self._releases.scored(run_id, kind, value)
        await self._on_disk()

    def coverage(self, stage: Stage[..., Any] | None = None) -> Coverage:
        """Which parts of the workflows' graphs the runs that ended have shown; also when closed.

        Args:
            stage: a workflow or a step; all that are registered unless given.
        """
        if self._state == "new":
            self._open()
        plans = self._plans
        if stage is not None:
            wanted = _stage(stage).as_workflow()
            plans = {workflow: plan for workflow, plan in plans.items() if workflow is wanted}
        return coverage_of_runtime(self._core, plans)

    def __repr__(self) -> str:
        return f"<Runtime {self._name!r}: {self._state}>"

    def _open(self) -> _engine.Core:
        """The native side, if the runtime may be used from here."""
        if self._state != "open":
            raise RuntimeClosed(
                f"runtime {self._name!r} is {_STATES[self._state]}",
                remedy="fork before it is opened, or let the child ask the parent"
                if self._state == "forked"
                else "use it inside 'async with ps.Runtime(...) as rt:'",
            )
        if _get_running_loop() is not self._loop:  # None in another thread
            raise PenstockError(
                f"runtime {self._name!r} was used from another thread or event loop",
                remedy="use it on the loop that entered it: asyncio.run_coroutine_threadsafe",
            )
        return self._core

    async def _start(
        self,
        plan: int,
        stage: Stage[..., Any],
        inputs: tuple[Any, ...],
        options: Mapping[str, Any],
        *,
        watch: bool,
    ) -> tuple[int, bool]:
        core = self._open()
        checked = checked_options(options)
        waits = checked.pop("admission", "raise") == "wait"
        on_existing = checked.pop("on_existing", "return")
        checked["durability"] = self._durability_of(stage, checked.get("durability"))
        if checked.get("run_id") is not None:
            checked["fingerprint"] = fingerprint(stage.name, inputs)
        if checked.get("budget") is not None:
            self._registry.expect_priced(self._registry.graph(plan))
        routed = self._routed(plan, inputs, checked)
        plan = plan if routed is None else routed.plan
        while True:
            try:
                key, new = core.start(plan, inputs, watch=watch, waits=waits, **checked)
            except Overloaded:
                if not waits:
                    raise
            else:
                if new and routed is not None:
                    self._releases.started(routed, checked["run_id"], checked.get("deadline"))
                if not new and on_existing == "error":
                    if watch:
                        core.unwatch(key)
                    raise DuplicateRun(
                        "there is a run of that id already",
                        run_id=checked["run_id"],
                        remedy="choose another run_id, or on_existing='return'",
                    )
                if not new and on_existing == "retry":
                    key = await self._retried(key, checked["run_id"], watch=watch)
                return key, new
            await core.when_room(plan)
            self._open()

    def _routed(self, plan: int, inputs: tuple[Any, ...], checked: dict[str, Any]) -> Routed | None:
        """Where a run goes if its workflow is being released; its options are told so."""
        workflow, _ = self._registry.workflows[plan]
        if not self._releases.routed(workflow):
            return None
        if checked.get("run_id") is None:
            checked["run_id"] = new_run_id()
            checked["fingerprint"] = fingerprint(workflow, inputs)
        routed = self._releases.route(workflow, checked["run_id"], checked.get("tenant"), inputs)
        checked["tags"] = [*checked.get("tags", ()), *routed.tags]
        return routed

    def _durability_of(self, stage: Stage[..., Any], wanted: Durability | None) -> Durability:
        """What holds for a run: its own word, its workflow's, the runtime's."""
        workflow = stage.as_workflow() if isinstance(stage, Workflow) else None
        chosen: Durability = self._durability
        if wanted is not None:
            chosen = wanted
        elif workflow is not None and workflow.durability is not None:
            chosen = workflow.durability
        if chosen == "exit" and workflow is not None and self._store is not None:
            refuse_exit(workflow.graph)
        return chosen

    async def _retried(self, key: int, run_id: str, *, watch: bool) -> int:
        """The key of a run that is tried again, if there is anything to try again."""
        self._needs_store("on_existing='retry'")
        await self._on_disk()
        again, _ = self._core.retry(run_id, False)  # noqa: FBT003
        if again is None:
            return key
        if watch:
            self._core.watch(again)
            self._core.unwatch(key)
        return again

    def _needs_store(self, what: str) -> None:
        if self._store is None:
            raise PenstockError(
                f"{what} needs a store: in memory nothing is kept of a run that is over",
                remedy="open the runtime with Runtime(store=...)",
            )

    async def _on_disk(self) -> None:
        """Wait until everything said so far is on disk; at once without a store.

        Raises:
            StoreError: the store can't be written at the moment.
        """
        if self._store is None:
            return
        future = self._core.when_synced()
        if future is not None:
            await asyncio.shield(future)

    async def _idle(self, longest: float) -> None:
        """Wait until no attempt is under way, but not longer than so many seconds."""
        if self._core.running() and longest > 0:
            await asyncio.wait([self._core.when_idle()], timeout=longest)

    def _book_people(self, key: int, signal: Signal[Any], minutes: float, role: str | None) -> None:
        """Book what a person took for the signal, on the node that will take it, if one does."""
        core, plan = self._open(), self._core.plan_of(key)
        graph = None if plan is None else self._registry.graph(plan)
        waits = {
            node.path: node.detail
            for node in (graph.nodes if graph is not None else ())
            if isinstance(node.detail, Wait) and node.detail.signal == signal
        }
        path = next((path for path in core.awaiting(key) if _template(path) in waits), None)
        if path is not None:
            role = role or waits[_template(path)].owner or "reviewer"
            Spend(Desk(self._driver.ledger, core, path), key).human(minutes, role)

    def _signal_value(
        self, key: int, run_id: str, signal: Signal[Any], value: object
    ) -> tuple[object, bytes | None]:
        """The value as the run's node will have it, and as the store will, if there is one."""
        core = self._open()
        plan = core.plan_of(key)
        status = core.status(key)
        if status == "held":
            raise RunHeld("the run is held and takes no signal", run_id=run_id)
        if plan is None or status in (None, "succeeded", "failed", "cancelled", "compensated"):
            raise RunNotFound(
                f"the run is over ({status or 'forgotten'}) and takes no signal", run_id=run_id
            )
        graph = self._registry.graph(plan)
        waiting = [node.detail.signal for node in graph.nodes if isinstance(node.detail, Wait)]
        if signal not in waiting:
            known = ", ".join(repr(other) for other in dict.fromkeys(waiting)) or "none"
            raise DefinitionError(
                f"workflow {graph.name!r} waits for no {signal!r}; it waits for: {known}",
                remedy="send one of these, or draw flow.signal(...) for it",
            )
        try:
            checked = signal.contract.validate(value)
            codec = self._registry.codec(signal.contract)
            return checked, None if codec is None else codec.encode(checked)
        except ContractError as error:
            raise error.at(run_id=run_id, node=f"signal {signal.name!r}") from None

    def _forked(self) -> None:
        """This is a child of the process whose runtime it is."""
        self._state = "forked"

    def _forget(self, key: int) -> None:
        self._core.unwatch(key)


_UNDER_WAY: Final = ("running", "paused", "compensating")


def _template(path: str) -> str:
    """The path of a node in its graph: without the numbers of items."""
    return re.sub(r"\[\d+\]", "[]", path)


def _stage(stage: Any) -> Stage[..., Any]:
    if not isinstance(stage, Stage):
        raise DefinitionError(
            f"{stage!r} is no step and no workflow", remedy="pass the decorated function"
        )
    return cast("Stage[..., Any]", stage)


def _queue(queue: Any) -> Queue:
    if not isinstance(queue, Queue):
        raise DefinitionError(f"{queue!r} is no queue", remedy="pass ps.Queue(name, ...)")
    return queue


def _budgets(budgets: Any) -> Budgets:
    if not isinstance(budgets, Budgets):
        raise DefinitionError(
            f"Runtime.budgets is {budgets!r}",
            remedy="pass ps.Budgets(workflows={...}, tenants={...}, tenant=...)",
        )
    return budgets


def _retention(retention: Any) -> Retention | None:
    if retention is not None and not isinstance(retention, Retention):
        raise DefinitionError(
            f"Runtime.retention is {retention!r}", remedy="pass ps.Retention(...), or None"
        )
    return retention


def _prices(prices: Any) -> Prices:
    if prices is None:
        return PriceBook()
    if not isinstance(prices, Prices):
        raise DefinitionError(
            f"Runtime.prices is {prices!r}", remedy="pass ps.PriceBook(...), or PriceBook.load(...)"
        )
    return prices


def _seed(seed: Any) -> int:
    if type(seed) is not int:
        raise DefinitionError(f"Runtime.seed is {seed!r}", remedy="give an int, or None")
    return seed % 2**64


_log: Final = logging.getLogger("penstock")
_STATES: Final = {
    "new": "not open yet",
    "open": "open",
    "closed": "closed",
    "forked": "the parent's: this process is a fork of it",
}
