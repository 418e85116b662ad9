"""Testing: virtual time, scripted faults, and a context for calling a step directly."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias, TypeVar, cast

from . import _engine
from ._clock import VirtualClock
from ._context import Context
from ._errors import DefinitionError
from ._policies import Seconds, seconds
from ._prices import PriceBook, Rates
from ._settings import Overlay, Setting
from ._spend import SpendLine
from ._stages import Step

__all__ = ["Fault", "Hang", "Recorder", "Slow", "VirtualClock", "context", "faults"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Slow:
    """An attempt that takes so many seconds longer.

    Attributes:
        seconds: before the step's own function is called.
    """

    seconds: Seconds


@dataclass(frozen=True, slots=True)
class Hang:
    """An attempt that never ends by itself; it can be cancelled."""


Fault: TypeAlias = BaseException | type[BaseException] | Slow | Hang | None
"""What an attempt does instead: raise, be slow, hang, or (None) run as it is."""


@contextmanager
def faults(script: Mapping[Step[..., Any], Sequence[Fault]]) -> Generator[None]:
    """Script the attempts of steps, in order, in every runtime of this process.

    Args:
        script: for each step what its next attempts do; when they are used up, it runs as it is.

    Raises:
        DefinitionError: something in it is no step or no fault.

    >>> import asyncio
    >>> import penstock as ps
    >>> @ps.step(retry=ps.RetryPolicy(max_attempts=3))
    ... async def shout(text: str, ctx: ps.Context) -> str:
    ...     return f"{text.upper()} ({ctx.attempt})"
    >>> async def main() -> str:
    ...     with ps.testing.faults({shout: [TimeoutError, ps.testing.Slow(3600), None]}):
    ...         async with ps.Runtime() as rt:
    ...             return await rt.run(shout, "hello")
    >>> ps.testing.VirtualClock().run(main())
    'HELLO (2)'
    """
    planned = {_step(step): deque(map(_checked, attempts)) for step, attempts in script.items()}
    _scripts.append(planned)
    _engine.inject_faults(_substitute)
    try:
        yield
    finally:
        _scripts.remove(planned)
        if not _scripts:
            _engine.inject_faults(None)


@dataclass(slots=True)
class Recorder:
    """What a context from `context` was told.

    Attributes:
        heartbeats: how many it gave.
        emitted: the events it emitted.
        tokens: how many it used.
        settings: by name, the values that hold in place of the settings' own.
        read: the names of the settings it read, in that order.
        cancelled: what `Context.cancelled` answers.
        degraded: what `Context.degraded` answers.
        time: what the clock says, in seconds since 1970.
        lines: what it spent.
        prices: what that is priced with; by default everything is booked without a price.
    """

    heartbeats: int = 0
    emitted: list[object] = field(default_factory=list[object])
    tokens: int = 0
    settings: dict[str, Any] = field(default_factory=dict[str, Any])
    read: list[str] = field(default_factory=list[str])
    cancelled: bool = False
    degraded: bool = False
    time: float = 0.0
    lines: list[SpendLine] = field(default_factory=list[SpendLine])
    prices: PriceBook = field(default_factory=lambda: PriceBook(unknown="unpriced", package=None))
    rates: Rates = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        self.rates = Rates(self.prices)

    def heartbeat(self, _attempt: int, /) -> None:
        """Count one."""
        self.heartbeats += 1

    def used(self, _attempt: int, tokens: int, /) -> None:
        """Add them up."""
        self.tokens += tokens

    def spend(self, _attempt: int, lines: Sequence[SpendLine], /) -> None:
        """Keep them."""
        self.lines += lines

    def emit(self, _attempt: int, event: object, /) -> None:
        """Keep one."""
        self.emitted.append(event)

    def setting(self, _attempt: int, setting: Setting[T], /) -> T:
        """What the test has set, else its own value."""
        self.read.append(setting.name)
        return cast("T", self.settings.get(setting.name, setting.value))

    def is_cancelled(self, _attempt: int, /) -> bool:
        """What the test has set."""
        return self.cancelled

    def is_to_save(self, _attempt: int, /) -> bool:
        """What the test has set."""
        return self.degraded

    def now(self) -> float:
        """What the test has set."""
        return self.time


def context(
    *,
    run_id: str = "test",
    step: str = "step",
    path: str = "workflow/step",
    attempt: int = 1,
    deadline: float | None = None,
    tenant: str | None = None,
    settings: Mapping[Setting[Any], Any] | None = None,
    recorder: Recorder | None = None,
    prices: PriceBook | None = None,
) -> Context:
    """A context for calling a step directly: `await retrieve(query, ps.testing.context())`.

    Args:
        run_id: what `Context.run_id` says, and so on.
        step: likewise.
        path: likewise.
        attempt: likewise.
        deadline: likewise.
        tenant: likewise.
        settings: by setting, the value that `Context.get` gives in place of its own.
        prices: what `Context.spend` prices by; not together with a recorder.
        recorder: what keeps what the context is told.

    Raises:
        DefinitionError: a value is not of its setting's type.

    >>> import penstock as ps
    >>> recorder = ps.testing.Recorder()
    >>> ctx = ps.testing.context(attempt=2, recorder=recorder)
    >>> ctx.emit("half")
    >>> ctx.attempt, recorder.emitted
    (2, ['half'])

    What it books is priced with `prices`; without them, and without a recorder that has some, it is
    booked without a price.

    >>> ctx.spend.tool("search", calls=2)
    >>> [(line.name, line.units, line.nanos) for line in ctx.spend.lines]
    [('search', 2, None)]
    """
    if recorder is None:
        recorder = Recorder() if prices is None else Recorder(prices=prices)
    elif prices is not None:
        raise DefinitionError(
            "context was given a recorder and prices", remedy="give Recorder(prices=...)"
        )
    if settings:
        recorder.settings.update(Overlay(settings=settings).values())
    return Context(
        recorder,
        0,
        run_id=run_id,
        step=step,
        path=path,
        attempt=attempt,
        deadline=deadline,
        tenant=tenant,
    )


_scripts: Final[list[dict[Step[..., Any], deque[Fault]]]] = []


def _step(step: Any) -> Step[..., Any]:
    if not isinstance(step, Step):
        raise DefinitionError(f"{step!r} is no step", remedy="use the decorated function")
    return cast("Step[..., Any]", step)


def _checked(fault: object) -> Fault:
    if fault is None or isinstance(fault, BaseException | Hang):
        return fault
    if isinstance(fault, Slow):
        seconds(fault.seconds, "Slow", zero=True)
        return fault
    if isinstance(fault, type) and issubclass(fault, BaseException):
        return fault
    raise DefinitionError(
        f"{fault!r} is no fault", remedy="give an exception, Slow(seconds), Hang() or None"
    )


def _substitute(step: Step[..., Any]) -> Callable[..., Any] | None:
    """What an attempt of `step` calls instead of its function; None for the function itself."""
    for script in reversed(_scripts):
        attempts = script.get(step)
        if attempts:
            return _scripted(step, attempts.popleft())
    return None


def _scripted(step: Step[..., Any], fault: Fault) -> Callable[..., Any] | None:
    if fault is None:
        return None

    async def attempt(*arguments: Any) -> Any:
        if isinstance(fault, Hang):
            await asyncio.get_running_loop().create_future()
        if not isinstance(fault, Slow):
            raise fault  # type: ignore[misc]  # Hang never gets here
        await asyncio.sleep(seconds(fault.seconds, "Slow", zero=True))
        if step.flavour == "plain":
            return await asyncio.to_thread(step.function, *arguments)
        return await step.function(*arguments)

    return attempt
