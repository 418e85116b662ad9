"""Ways to run a coroutine test: in virtual time, or on the loops that services use.

Whatever the loop's exception handler is told (an exception nobody retrieved, a task destroyed
while it was pending) fails the test.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import inspect
from collections.abc import Callable, Coroutine
from typing import Any, Literal, ParamSpec, TypeAlias, TypeVar

import pytest
import uvloop

import penstock as ps
from penstock._clock import VirtualLoop

P = ParamSpec("P")
T = TypeVar("T")
Task: TypeAlias = Literal["own", "auto"]
NewLoop: TypeAlias = Callable[[], asyncio.AbstractEventLoop]

LOOPS: tuple[NewLoop, ...] = (asyncio.SelectorEventLoop, uvloop.new_event_loop)
on_loops = pytest.mark.parametrize("new_loop", LOOPS, ids=["asyncio", "uvloop"])


def run_on(new_loop: NewLoop, main: Coroutine[Any, Any, T], *, debug: bool = False) -> T:
    """Run `main` on a new loop to which nobody may have complained by the end."""
    complaints: list[dict[str, Any]] = []
    with asyncio.Runner(loop_factory=new_loop, debug=debug) as runner:
        runner.get_loop().set_exception_handler(lambda _, context: complaints.append(context))
        result = runner.run(main)
        gc.collect()
        runner.run(asyncio.sleep(0))
    assert not complaints, complaints
    return result


def virtual(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """The test runs in virtual time."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        run_on(VirtualLoop, test(*args, **kwargs))

    return run


def both_loops(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """The test runs in real time, on asyncio's own loop and on uvloop."""

    @functools.wraps(test)
    def run(*args: Any, new_loop: NewLoop, **kwargs: Any) -> None:
        run_on(new_loop, test(*args, **kwargs))

    own = inspect.signature(test).parameters.values()
    loop = inspect.Parameter("new_loop", inspect.Parameter.KEYWORD_ONLY)
    run.__signature__ = inspect.Signature([*own, loop])  # type: ignore[attr-defined]  # for pytest
    marked: Callable[..., None] = on_loops(run)
    return marked


@ps.step
async def noop(x: int) -> int:
    """Nothing, without suspending: what shares a carrier with others."""
    return x


async def start_amid(
    rt: ps.Runtime, stage: ps.Stage[[], T], *, before: int = 3, after: int = 3
) -> ps.Run[T]:
    """Start a run between others that share its carrier, if there is one."""
    await rt.start_many(noop, range(before))
    run = await rt.start(stage)
    await rt.start_many(noop, range(after))
    return run


async def run_amid(rt: ps.Runtime, stage: ps.Stage[[], T]) -> T:
    """The result of a run between others, none of which suffers."""
    ended = rt.stats().workflows["noop"].succeeded if "noop" in rt.stats().workflows else 0
    run = await start_amid(rt, stage)
    try:
        return await run.result()
    finally:
        await rt.run(noop, 0)
        assert rt.stats().workflows["noop"].succeeded == ended + 7
