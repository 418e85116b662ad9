"""penstock: in the default carrier, and with a task for each attempt."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Literal

import penstock as ps
from contenders.contender import Contender, Go, Prepare, drive
from shapes import Shape, UnavailableError


def drawn(shape: Shape) -> ps.Workflow[[int], int]:
    """The shape as a workflow."""
    retry = ps.RetryPolicy(
        max_attempts=shape.failures + 1,
        initial_interval=shape.backoff,
        max_interval=shape.backoff,
        jitter="none",
        retry_on=(UnavailableError,),
    )

    steps = {layer.step: ps.step(effects="pure", retry=retry)(layer.step) for layer in shape.layers}

    @ps.workflow(name=shape.name)
    def workflow(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        nodes = [x]
        for layer in shape.layers:
            nodes = [flow.call(steps[layer.step], *nodes) for _ in range(layer.width)]
        return nodes[0]

    return workflow


def penstock(task: Literal["auto", "own"]) -> Prepare:
    @asynccontextmanager
    async def prepared(shape: Shape) -> AsyncGenerator[Go, None]:
        workflow = drawn(shape)

        async def all_at_once() -> Sequence[int]:
            runs = await runtime.start_many(workflow, range(shape.runs))
            return [await run.result() for run in runs]

        async with ps.Runtime(workflows=[workflow], task=task) as runtime:
            if shape.in_flight == shape.runs:
                yield all_at_once
            else:
                yield lambda: drive(partial(runtime.run, workflow), shape)

    return prepared


CONTENDERS = (
    Contender(name="penstock", prepare=penstock("auto")),
    Contender(name="penstock, own task", prepare=penstock("own")),
    Contender(name="penstock, asyncio", prepare=penstock("auto"), loop="asyncio"),
)
