"""Virtual time: an asyncio loop whose clock jumps to the next deadline when everything waits."""

from __future__ import annotations

import asyncio
import math
import selectors
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from typing import Any, Final, TypeVar, TypeVarTuple

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class VirtualLoop(asyncio.SelectorEventLoop):
    """A selector loop in virtual time. I/O and threads are waited for in real time."""

    def __init__(self) -> None:
        self._now = 0.0
        self._held = 0
        self._jumping = _JumpingSelector(self)
        super().__init__(self._jumping)
        self._clock_resolution = 1e-9

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._now

    def hold(self, count: int) -> None:
        """Keep time from jumping while `count` more (or fewer, if negative) threads are at work."""
        self._held += count

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts
    ) -> asyncio.Future[T]:
        """As usual; time stands still until the function has returned."""
        future = super().run_in_executor(executor, func, *args)
        self.hold(1)
        future.add_done_callback(lambda _: self.hold(-1))
        return future

    async def shutdown_default_executor(self, *args: Any, **kwargs: Any) -> None:
        """As usual; time stands still until the threads have ended."""
        self.hold(1)
        try:
            await super().shutdown_default_executor(*args, **kwargs)
        finally:
            self.hold(-1)

    def _patience(self, timeout: float | None) -> float | None:
        """Real seconds to wait before time jumps by `timeout`; None for as long as it takes."""
        if self._held > 0:
            return None
        if self._jumping.has_io():
            return None if timeout is None else _SILENCE
        if timeout is None:
            raise RuntimeError(
                "in virtual time everything waits and no timer is set: nothing would ever wake it; "
                "look for a future that nobody resolves"
            )
        return 0.0

    def _jump(self, timeout: float) -> None:
        self._now += timeout
        if math.ulp(self._now) > self._clock_resolution:
            # Past half a year a float is coarser than the resolution: a timer that is due now would
            # never count as due.
            self._now = math.nextafter(self._now, math.inf)


class _JumpingSelector(selectors.DefaultSelector):
    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def has_io(self) -> bool:
        """Whether something beside the loop's own wake-up pipe is registered."""
        return len(self.get_map()) > 1

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        # What is real may take its time, but virtual time must not outrun it.
        patience = self._loop._patience(timeout)  # noqa: SLF001
        if patience != 0:
            ready = super().select(patience)
        if not ready and timeout is not None and patience is not None:
            self._loop._jump(timeout)  # noqa: SLF001
        return ready


class VirtualClock:
    """Runs a coroutine in virtual time: a three-day retry takes a millisecond.

    When everything waits, time jumps to the next deadline, of engine timers and `asyncio.sleep`
    alike. Work in threads takes the time it takes; sockets are waited for until they have been
    silent for a tenth of a real second.

    >>> import asyncio
    >>> from penstock.testing import VirtualClock
    >>> async def nap() -> float:
    ...     await asyncio.sleep(3 * 86_400)
    ...     return asyncio.get_running_loop().time()
    >>> VirtualClock().run(nap())
    259200.0
    """

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        """Run `main` to its end on a new virtual loop and return its result.

        Raises:
            RuntimeError: everything waits and no timer is set, so nothing would ever happen; or an
                event loop is running already.
        """
        if asyncio._get_running_loop() is not None:  # noqa: SLF001
            main.close()
            raise RuntimeError(
                "virtual time needs an event loop of its own, but one is running here; "
                "call it from a plain function"
            )
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            return runner.run(main)


# Real seconds without a sign from any socket after which nothing more is expected of them.
_SILENCE: Final = 0.1
