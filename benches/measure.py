"""How a shape is timed: contenders in turn (A B A B ...), so that ratios come from one run.

A sample is taken on a fresh loop. Setting up (the graph, the runtime) is outside the timed part.
Every sample starts from a collected heap, with the collector on and what was there before frozen.
A shape that waits is timed in processor time, the others by the wall clock.
"""

import asyncio
import gc
import math
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import uvloop

from contenders import Contender, UnsupportedError
from contenders.contender import Go
from shapes import Shape

LOOPS: Mapping[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}
SAMPLE_SECONDS = 0.1  # what a sample takes at least


class Session:
    """A contender with a shape set up on a loop of its own, ready to be timed."""

    def __init__(self, contender: Contender, shape: Shape) -> None:
        self.shape = shape.scaled(contender.share)
        self._contender = contender
        self._runner = asyncio.Runner(loop_factory=LOOPS[contender.loop])
        self._stack = AsyncExitStack()

    def __enter__(self) -> Self:
        try:
            self._go = self._runner.run(self._opened())
        except BaseException:
            self._runner.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        with self._runner:
            self._runner.run(self._stack.aclose())

    def go(self, times: int = 1) -> float:
        """Make all runs of the shape so many times; returns the seconds per attempt."""
        return self._runner.run(self._timed(times)) / (self.shape.attempts * times)

    async def _opened(self) -> Go:
        return await self._stack.enter_async_context(self._contender.prepare(self.shape))

    async def _timed(self, times: int) -> float:
        clock = time.process_time if self.shape.backoff else time.perf_counter
        gc.collect()
        gc.freeze()
        begin = clock()
        for _ in range(times):
            await self._go()
        seconds = clock() - begin
        gc.unfreeze()
        return seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """Seconds per attempt of one shape by contender, one for each round; and who was left out."""

    seconds: Mapping[str, Sequence[float]]
    skipped: Mapping[str, str]

    def ratio(self, contender: str, baseline: str) -> tuple[float, float]:
        """The median ratio of the rounds, and half their range."""
        pairs = zip(self.seconds[contender], self.seconds[baseline], strict=True)
        ratios = [ours / theirs for ours, theirs in pairs]
        return statistics.median(ratios), (max(ratios) - min(ratios)) / 2


def compare(shape: Shape, contenders: Iterable[Contender], rounds: int) -> Samples:
    """Time a shape on the contenders in turn; the first, untimed round warms up and calibrates."""
    times: dict[Contender, int] = {}
    skipped: dict[str, str] = {}
    for contender in contenders:
        try:
            times[contender] = calibrated(contender, shape)
        except UnsupportedError as reason:
            skipped[contender.name] = str(reason)
    seconds: dict[str, list[float]] = {contender.name: [] for contender in times}
    for _ in range(rounds):
        for contender, goes in times.items():
            with Session(contender, shape) as session:
                seconds[contender.name].append(session.go(goes))
    return Samples(seconds=seconds, skipped=skipped)


def calibrated(contender: Contender, shape: Shape) -> int:
    """How many goes make a sample of `SAMPLE_SECONDS`; one, if the shape waits."""
    if contender.missing:
        raise UnsupportedError(contender.missing)
    with Session(contender, shape) as session:
        seconds = session.go() * session.shape.attempts
    return 1 if shape.backoff else max(1, math.ceil(SAMPLE_SECONDS / seconds))
