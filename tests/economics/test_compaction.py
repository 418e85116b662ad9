"""Old figures are kept in few rows, and say what they said."""

from __future__ import annotations

import dataclasses
import random
from contextlib import suppress
from pathlib import Path

import pytest

import penstock as ps
from penstock._compaction import Compactor
from penstock._figures import rows_of_store
from penstock._scorecard import scorecard
from penstock._stored import StoreView

BOOK = ps.PriceBook(rates={"tools": {"search": 0.0000037}}, package=None)
DAY = 86_400.0


@ps.step(owner="cx")
async def look(x: int, ctx: ps.Context) -> int:
    ctx.spend.tool("search", calls=x % 7 + 1)
    if x % 5 == 0:
        raise ValueError
    return x


def exact(card: ps.Scorecard) -> object:
    """All but a deviation, which is of floats: their sums hang on the order."""
    return dataclasses.replace(card.whole.economics, deviation=None)


def rows_in(view: StoreView) -> int:
    return len(view.reader.rollups(0.0, 1e11))


async def test_sums_stay_and_rows_go(tmp_path: Path) -> None:
    """Half a year of runs, of which the oldest are known by the day."""
    store, dice = tmp_path / "a.db", random.Random(3)
    time = 180 * DAY
    async with ps.Runtime(
        store, workflows=[look], prices=BOOK, clock=lambda: time, durability="async"
    ) as rt:
        days = (0, 1, 40, 100, 150, 179)
        times = sorted(time + (dice.choice(days) + dice.random() / 24) * DAY for _ in range(300))
        for number, at in enumerate(times):
            time = at
            run = await rt.start(look, number, tenant=f"t{number % 3}")
            with suppress(ps.RunFailed):
                await run.result()
            rt._core.keep_figures()
        await rt._on_disk()
        time = 360 * DAY
        now = rt._core.now()
        view = StoreView(store)
        before = scorecard(rows_of_store(view, 0.0, now + 60), since=0.0, until=now + 60)
        count = rows_in(view)
        compactor = Compactor(rt._core, lambda: view, rt._on_disk)
        fewer = await compactor.compact(now)
        assert fewer > count / 3
        assert rows_in(view) == count - fewer
        after = scorecard(rows_of_store(view, 0.0, now + 60), since=0.0, until=now + 60)
        assert exact(after) == exact(before)
        assert after.whole.economics.deviation == pytest.approx(before.whole.economics.deviation)
        assert after.whole.quality == before.whole.quality
        assert after.whole.reliability == before.whole.reliability
        widths = {row.width for row in rows_of_store(view, 0.0, now - 61 * DAY)}
        assert widths == {86_400}
        assert await compactor.compact(now) == 0, "there is nothing left to do"
        again = Compactor(rt._core, lambda: view, rt._on_disk)
        assert await again.compact(now) == 0, "and another process knows"
        view.close()
