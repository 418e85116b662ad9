"""The thread pool in which plain steps run.

Its threads are daemons, unlike those of concurrent.futures: a step that never returns must not keep
the process from ending. How many attempts it gets at once is the engine's business.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextvars import Context
from queue import SimpleQueue
from typing import Any, TypeAlias

Ended: TypeAlias = tuple[int, object, BaseException | None]
_Job: TypeAlias = tuple[int, Callable[..., object], tuple[Any, ...], Context]


class Threads:
    """Runs functions in threads and hands their outcomes to the loop, many in one hop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, most: int, name: str) -> None:
        """Start nothing yet; `most` threads are made as they are needed."""
        self._loop = loop
        self._most = most
        self._name = name
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._ended: list[Ended] = []
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._busy = 0
        self._deliver: Callable[[list[Ended]], None] | None = None
        # A virtual loop must not jump while a thread is at work in real time.
        self._hold: Callable[[int], None] = getattr(loop, "hold", lambda _: None)

    def open(self, deliver: Callable[[list[Ended]], None]) -> None:
        """Outcomes go to `deliver`, on the loop's thread."""
        self._deliver = deliver

    def submit(
        self,
        attempt: int,
        function: Callable[..., object],
        arguments: tuple[Any, ...],
        context: Context,
    ) -> None:
        """Run `function(*arguments)` in `context`, in a thread."""
        self._busy += 1
        self._hold(1)
        if self._busy > len(self._threads) < self._most:
            name = f"{self._name}-{len(self._threads) + 1}"
            thread = threading.Thread(target=self._work, name=name, daemon=True)
            self._threads.append(thread)
            thread.start()
        self._jobs.put((attempt, function, arguments, context))

    def close(self) -> None:
        """Let every thread end once it has nothing to do; waits for none."""
        self._deliver = None
        for _ in self._threads:
            self._jobs.put(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            attempt, function, arguments, context = job
            try:
                outcome: Ended = (attempt, context.run(function, *arguments), None)
            except BaseException as error:  # the run's business, whatever it is
                outcome = (attempt, None, error)
            del job, function, arguments, context
            with self._lock:
                first = not self._ended
                self._ended.append(outcome)
            del outcome
            if first:
                try:
                    self._loop.call_soon_threadsafe(self._hand_over)
                except RuntimeError:  # the loop is closed: nobody waits any more
                    return

    def _hand_over(self) -> None:
        with self._lock:
            ended, self._ended = self._ended, []
        self._busy -= len(ended)
        self._hold(-len(ended))
        if self._deliver is not None and ended:
            self._deliver(ended)
