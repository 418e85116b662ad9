"""A purse: what steps spend, noted beside the books, and the books held against it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import penstock as ps
from penstock._scorecard import Card, Scorecard
from penstock._scorecard._figures import WASTED

PRICES = ps.PriceBook(
    rates={
        "models": {
            "small": {"input": 0.25, "cached": 0.025, "output": 2},
            "large": {"input": 1.25, "output": 10, "tiers": [{"above": 1_000, "input": 2.5}]},
        },
        "tools": {"search": 0.005},
        "humans": {"desk": {"hour": 45}},
    },
    version="test",
    package=None,
)


@dataclass
class Purse:
    """What was spent, as the steps know it.

    Attributes:
        runs: nano-dollars by run.
        paths: nano-dollars by path of the node.
    """

    runs: Counter[str] = field(default_factory=Counter[str])
    paths: Counter[str] = field(default_factory=Counter[str])

    @property
    def nanos(self) -> int:
        return sum(self.runs.values())

    def pay(self, ctx: ps.Context, nanos: int) -> None:
        """Book so many nano-dollars of "thing"."""
        ctx.spend.usd(f"{nanos}e-9", "thing")
        self.note(ctx, nanos)

    def note(self, ctx: ps.Context, nanos: int) -> None:
        """Something else was booked."""
        self.runs[ctx.run_id] += nanos
        self.paths[ctx.path] += nanos


def balanced(card: Card) -> int:
    """What a card of runs comes to, however it is added up; nothing may be unsettled."""
    money = card.economics
    nanos = money.cost.nanos
    assert sum(it.nanos for it in money.resources.values()) == nanos, "resources"
    assert sum(it.nanos for by in money.steps.values() for it in by.values()) == nanos, "steps"
    assert sum(it.nanos for it in money.tenants.values()) == nanos, "tenants"
    assert money.waste.total == nanos, "waste"
    assert money.waste.unsettled == 0, "unsettled"
    assert money.cash is not None or nanos == 0
    assert sum(it.nanos for it in (money.cash or {}).values()) == nanos, "cash"
    assert sum(it.lines for it in money.resources.values()) == money.cost.lines, "lines"
    assert sum(it.unpriced for it in money.resources.values()) == money.cost.unpriced, "unpriced"
    return nanos


async def audited(
    rt: ps.Runtime, purse: Purse, *runs: ps.Run[Any], window: float = 86_400.0
) -> Scorecard:
    """The scorecard of all, once attempts, nodes, runs, tenants and the window come to the same."""
    cards = {
        by: await rt.scorecard(window, by=by) for by in ("workflow", "version", "tenant", "step")
    }
    whole = cards["workflow"]
    assert balanced(whole.whole) == purse.nanos
    for by, card in cards.items():
        assert sum(group.economics.cost.nanos for group in card.groups) == purse.nanos, by
        assert sum(group.economics.waste.total for group in card.groups) == purse.nanos, by
        if by != "step":
            assert sum(balanced(group) for group in card.groups) == purse.nanos, by
    for run in runs:
        spend = await run.spend()
        assert spend.usd.nanos == purse.runs[run.run_id], run.run_id
    if runs:
        lines = [line for run in runs for line in (await run.spend()).lines]
        paths: Counter[str] = Counter()
        for line in lines:
            paths[line.node] += line.usd.nanos
        assert paths == purse.paths
    return whole


def wasted(card: Scorecard) -> dict[str, int]:
    """Nano-dollars by what became of them, without what is nothing."""
    waste = card.whole.economics.waste
    names = [*WASTED, "useful"]
    return {name: nanos for name in names if (nanos := getattr(waste, name))}
