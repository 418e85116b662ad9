"""Other engines (the extra `peers`), each in the fastest idiomatic way that was found for it.

pydantic-graph: one node per step, broadcast and list join (its `.map()` took longer).
LangGraph: a compiled StateGraph; a layer of many steps is sent by `Send` (the functional API took
longer or as long). Sayiir: `run_workflow` in one worker thread, as it blocks the caller; in the
loop's own thread it starts a thread for each step, which takes four times as long, and two workers
take longer than one.
"""

import asyncio
import operator
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from typing import Annotated, Any, TypedDict

from contenders.contender import Contender, RunOne, UnsupportedError, missing, one_by_one
from shapes import Layer, Shape, Step, UnavailableError

SHARE = 0.05


def pydantic_graph(shape: Shape) -> RunOne:
    if shape.failures:
        raise UnsupportedError("has no retry")
    library = import_module("pydantic_graph")
    graph = library.GraphBuilder(input_type=int, output_type=int)

    def node(step: Step, name: str, *, joined: bool) -> Any:
        async def single(ctx: Any) -> int:
            return await step(ctx.inputs)

        async def several(ctx: Any) -> int:
            return await step(*ctx.inputs)

        return graph.step(call=several if joined else single, node_id=name)

    before = [graph.start_node]
    for depth, layer in enumerate(shape.layers):
        joined = len(before) > 1
        if joined:
            join = graph.join(library.reduce_list_append, initial_factory=list[int])
            graph.add(graph.edge_from(*before).to(join))
            before = [join]
        nodes = [node(layer.step, f"{depth}-{i}", joined=joined) for i in range(layer.width)]
        graph.add(graph.edge_from(*before).to(*nodes))
        before = nodes
    graph.add(graph.edge_from(*before).to(graph.end_node))
    built = graph.build()
    return lambda x: built.run(inputs=x)


class State(TypedDict):
    """LangGraph's shared state: the last single value, and what a wide layer gathered."""

    value: int
    parts: Annotated[list[int], operator.add]


def langgraph(shape: Shape) -> RunOne:
    library, types = import_module("langgraph.graph"), import_module("langgraph.types")
    graph = library.StateGraph(State)
    retry = types.RetryPolicy(
        max_attempts=shape.failures + 1,
        initial_interval=shape.backoff,
        max_interval=shape.backoff,
        jitter=False,
        retry_on=UnavailableError,
    )

    def node(layer: Layer, *, joined: bool) -> Callable[[State], Any]:
        async def call(state: State) -> dict[str, int | list[int]]:
            result = await (layer.step(*state["parts"]) if joined else layer.step(state["value"]))
            return {"value": result} if layer.width == 1 else {"parts": [result]}

        return call

    policy = retry if shape.failures else None
    before, joined = library.START, False
    for depth, layer in enumerate(shape.layers):
        name = str(depth)
        graph.add_node(name, node(layer, joined=joined), retry_policy=policy)
        if layer.width == 1:
            graph.add_edge(before, name)
        else:
            graph.add_conditional_edges(before, sending(types.Send, name, layer.width), [name])
        before, joined = name, layer.width > 1
    graph.add_edge(before, library.END)
    built = graph.compile()
    config = {"recursion_limit": len(shape.layers) + 10}

    async def run(x: int) -> int:
        state: State = await built.ainvoke({"value": x, "parts": []}, config)
        return state["value"]

    return run


def sending(send: Callable[[str, State], Any], name: str, width: int) -> Callable[[State], Any]:
    return lambda state: [send(name, state)] * width


def sayiir(shape: Shape) -> RunOne:
    if shape.backoff:
        raise UnsupportedError("a run that waits holds its thread")
    library = import_module("sayiir")
    flow = library.Flow(shape.name)
    wide: Layer | None = None

    def named(step: Step, name: str) -> Any:
        async def call(x: int) -> int:
            return await step(x)

        retries = (
            library.RetryPolicy(shape.failures, shape.backoff, 1.0) if shape.failures else None
        )
        return library.task(name=name, retries=retries)(call)

    def joining(step: Step) -> Any:
        async def join(parts: Mapping[str, int]) -> int:
            return await step(*parts.values())

        return join

    for depth, layer in enumerate(shape.layers):
        if layer.width > 1:
            wide = layer
        elif wide is not None:
            fork = flow.fork()
            for i in range(wide.width):
                fork.branch(named(wide.step, f"{depth}-{i}"))
            flow, wide = fork.join(joining(layer.step), name=str(depth)), None
        else:
            flow = flow.then(named(layer.step, str(depth)))
    built = flow.build()
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(max_workers=1))
    return lambda x: asyncio.to_thread(library.run_workflow, built, x)


CONTENDERS = tuple(
    Contender(
        name=name,
        prepare=one_by_one(runner),
        share=SHARE,
        missing=missing(module, "make peers"),
    )
    for name, module, runner in (
        ("pydantic-graph", "pydantic_graph", pydantic_graph),
        ("LangGraph", "langgraph", langgraph),
        ("Sayiir", "sayiir", sayiir),
    )
)
