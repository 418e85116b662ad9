"""The README's ten lines: two steps run side by side, a third waits for both.

Run it with `python examples/quickstart.py`.
"""

# ruff: noqa: ARG001  # a step that stands in for a database does not look at its input

import asyncio

import penstock as ps


@ps.step(timeout=2.0, retry=ps.RetryPolicy(max_attempts=3))
async def classify(ticket: str) -> str:
    return "billing" if "invoice" in ticket else "general"


@ps.step
async def count_orders(ticket: str) -> int:
    return 2


@ps.step
async def reply(topic: str, orders: int) -> str:
    return f"A {topic} question about {orders} orders"


@ps.workflow(version="1.0.0", owner="support")
def answer(flow: ps.Flow, ticket: ps.Node[str]) -> ps.Node[str]:
    topic = flow.call(classify, ticket)
    orders = flow.call(count_orders, ticket)  # runs beside classify
    return flow.call(reply, topic, orders)  # waits for both


async def main() -> None:
    async with ps.Runtime(workflows=[answer]) as rt:
        print(await rt.run(answer, "Where is my invoice?"))


asyncio.run(main())
