"""Every contender computes every shape's result, so that the benchmark can't measure nonsense."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import pytest

from contenders import CONTENDERS, Contender, UnsupportedError
from measure import LOOPS
from shapes import TINY, Shape, shapes

EXPECTED: dict[str, Callable[[int], int]] = {
    "chain": lambda x: x + TINY.chain,
    "fan-out": lambda x: TINY.fan * (x + 1),
    "diamonds": lambda x: 2 * (x + 2) + 1,
    "waiting": lambda x: x + 1,
    "flaky": lambda x: x + 1,
}


async def results(contender: Contender, shape: Shape) -> list[Sequence[int]]:
    """Of two goes, since a measurement repeats a shape that has been prepared once."""
    async with contender.prepare(shape) as go:
        return [await go(), await go()]


@pytest.mark.parametrize("shape", [*shapes(TINY)], ids=str)
@pytest.mark.parametrize("contender", CONTENDERS, ids=str)
def test_a_contender_computes_what_the_shape_says(contender: Contender, shape: Shape) -> None:
    if contender.missing:
        pytest.skip(contender.missing)
    try:
        with asyncio.Runner(loop_factory=LOOPS[contender.loop]) as runner:
            seen = runner.run(results(contender, shape))
    except UnsupportedError as reason:
        pytest.skip(str(reason))
    expected = [EXPECTED[shape.name](x) for x in range(shape.runs)]
    assert [list(go) for go in seen] == [expected, expected]


@pytest.mark.parametrize("shape", [*shapes(TINY)], ids=str)
def test_a_shape_counts_the_attempts_it_is_charged_for(shape: Shape) -> None:
    """Times are given per attempt: a wrong count would make every ratio look fine and be wrong."""
    spawned = 0

    async def count() -> None:
        loop = asyncio.get_running_loop()

        def spawn(step: Coroutine[Any, Any, int]) -> asyncio.Task[int]:
            nonlocal spawned
            spawned += 1
            return loop.create_task(step)

        for x in range(shape.runs):
            await shape.plain(spawn, x)

    asyncio.run(count())
    assert spawned == shape.attempts
