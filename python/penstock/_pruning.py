"""Pruning: a runtime forgets ended runs of its store, in slices, while it goes on."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from ._engine import Core
    from ._policies import Retention
    from ._stored import StoreView

PERIOD: Final = 60.0
"""Seconds between two looks for runs that are to be forgotten."""


class Pruner:
    """Forgets ended runs beside the runtime's work; at most one such pass at a time.

    Args:
        core: of the runtime.
        view: gives the store's read side.
        name: of the runtime, for logs.
    """

    def __init__(self, core: Core, view: Callable[[], StoreView], name: str) -> None:
        self._core = core
        self._view = view
        self._name = name
        self._turn = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    def keep(self, retention: Retention) -> None:
        """Hold to a retention from now on."""
        self._add(self._hold_to(retention))

    def start(
        self,
        max_age: float | None,
        max_runs: int | None,
        tell: Callable[[int | BaseException], None],
    ) -> None:
        """Forget what is beyond the limits, and tell how many runs that were."""

        async def pass_through() -> None:
            try:
                tell(await self.prune(max_age, max_runs))
            except Exception as error:
                _log.exception("%s could not forget runs", self._name)
                tell(error)

        self._add(pass_through())

    async def prune(self, max_age: float | None, max_runs: int | None) -> int:
        """Forget what is beyond the limits; gives how many runs that were. O(runs of the store).

        Raises:
            StoreError: the store can't be read.
        """
        async with self._turn:
            after = None if max_age is None else self._core.now() - max_age
            prunable = self._view().reader.prunable
            slices = await asyncio.to_thread(prunable, ended_after=after, ended_max=max_runs)
            forgotten = 0
            for runs in slices:
                forgotten += self._core.prune(runs)
                # The writer deletes a slice in some milliseconds; those of runs go between two.
                await asyncio.sleep(_PAUSE)
            return forgotten

    async def close(self) -> None:
        """Stop; what is not forgotten by now stays."""
        for task in self._tasks:
            task.cancel()
        for task in [*self._tasks]:
            with suppress(asyncio.CancelledError):
                await task

    async def _hold_to(self, retention: Retention) -> None:
        while True:
            try:
                forgotten = await self.prune(retention.max_age, retention.max_runs)
            except Exception:
                _log.exception("%s could not forget runs; it tries again", self._name)
            else:
                if forgotten:
                    _log.info("%s has forgotten %d ended runs", self._name, forgotten)
            await asyncio.sleep(PERIOD)

    def _add(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work, name=f"{self._name}-retention")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


_log: Final = logging.getLogger("penstock")
_PAUSE: Final = 0.01
