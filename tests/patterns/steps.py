"""What happens to an order: the steps that the patterns are drawn with."""

from __future__ import annotations

import penstock as ps


@ps.step
async def pick(order: str) -> str:
    return f"{order} picked"


@ps.step
async def pack(order: str) -> str:
    return f"{order} packed"


@ps.step
async def bill(order: str) -> str:
    return f"{order} billed"


@ps.step
async def insure(order: str) -> str:
    return f"{order} insured"


@ps.step
async def declare(order: str) -> str:
    return f"{order} declared"


@ps.step
async def notify(order: str) -> str:
    return f"{order} notified"


@ps.step
async def ask_by_air(order: str) -> str:
    return f"{order} by air"


@ps.step
async def ask_by_sea(order: str) -> str:
    return f"{order} by sea"


@ps.step
async def ask_by_rail(order: str) -> str:
    return f"{order} by rail"


@ps.step
async def ship(order: str) -> str:
    return f"{order} shipped"


@ps.step
async def send(packed: str, billed: str) -> str:
    return f"{packed} + {billed}"


@ps.step
async def compare(offers: list[str]) -> str:
    return " | ".join(offers)
