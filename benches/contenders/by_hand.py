"""The executor a good engineer writes by hand: TaskGroup, graphlib, a semaphore and tenacity."""

import asyncio
from graphlib import TopologicalSorter
from importlib import import_module

from contenders.contender import Contender, RunOne, missing, one_by_one
from shapes import Shape, Step, UnavailableError

CONCURRENCY = 1024


def by_hand(shape: Shape) -> RunOne:
    steps, parents = drawn(shape)
    slots = asyncio.Semaphore(CONCURRENCY)

    async def run(x: int) -> int:
        graph = TopologicalSorter(parents)
        graph.prepare()
        values: dict[int, int] = {}

        async def node(i: int) -> None:
            inputs = [values[parent] for parent in parents[i]] or [x]
            async with slots:
                values[i] = await steps[i](*inputs)
            graph.done(i)
            start_ready()

        def start_ready() -> None:
            for i in graph.get_ready():
                group.create_task(node(i))

        async with asyncio.TaskGroup() as group:
            start_ready()
        return values[len(steps) - 1]

    return run


def drawn(shape: Shape) -> tuple[list[Step], dict[int, list[int]]]:
    """The steps by node, and the parents of each node."""
    steps: list[Step] = []
    parents: dict[int, list[int]] = {}
    before: list[int] = []
    for layer in shape.layers:
        step = persistent(layer.step, shape) if shape.failures else layer.step
        nodes = list(range(len(steps), len(steps) + layer.width))
        steps += [step] * layer.width
        parents |= dict.fromkeys(nodes, before)
        before = nodes
    return steps, parents


def persistent(step: Step, shape: Shape) -> Step:
    library = import_module("tenacity")
    attempts = library.AsyncRetrying(
        stop=library.stop_after_attempt(shape.failures + 1),
        wait=library.wait_fixed(shape.backoff),
        retry=library.retry_if_exception_type(UnavailableError),
        reraise=True,
    )

    async def attempted(*inputs: int) -> int:
        result: int = await attempts.copy()(step, *inputs)
        return result

    return attempted


CONTENDERS = (
    Contender(
        name="by hand",
        prepare=one_by_one(by_hand),
        missing=missing("tenacity", "pip install tenacity"),
    ),
)
