"""Prices that change: from an instant on, in UTC, for what is booked then and not for what was."""

from __future__ import annotations

from bisect import bisect_right
from datetime import UTC, date, datetime, timedelta, timezone
from math import inf, nextafter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import penstock as ps
from penstock._prices import Kind, Rate, Rates, Snapshot

MIDNIGHT = datetime(2026, 12, 1, tzinfo=UTC).timestamp()


def book(*entries: Any, version: str = "1") -> ps.PriceBook:
    return ps.PriceBook(rates={"tools": {"t": list(entries)}}, version=version, package=None)


def nanos(book: ps.PriceBook, at: float) -> int | None:
    rate = book.rate("tool", "t", at)
    return rate.tiers[0].amount("tool", 1) if rate.tiers else None


def test_a_price_changes_at_midnight_utc_to_the_last_instant() -> None:
    found = book(1, {"usd": 2, "from": "2026-12-01"})
    before, after = (
        found.rate("tool", "t", nextafter(MIDNIGHT, 0)),
        found.rate("tool", "t", MIDNIGHT),
    )
    assert nanos(found, nextafter(MIDNIGHT, 0)) == 10**9
    assert nanos(found, MIDNIGHT) == 2 * 10**9
    assert (before.since, before.until) == (-inf, MIDNIGHT)
    assert (after.since, after.until) == (MIDNIGHT, inf)


@pytest.mark.parametrize(
    "instant",
    [
        "2026-12-01",
        "2026-12-01T00:00:00Z",
        "2026-12-01T05:30:00+05:30",
        "2026-11-30T16:00:00-08:00",
        date(2026, 12, 1),
        datetime(2026, 12, 1, tzinfo=UTC),
        datetime(2026, 12, 1, 9, tzinfo=timezone(timedelta(hours=9))),
    ],
    ids=str,
)
def test_an_instant_is_the_same_in_every_time_zone(instant: Any) -> None:
    assert book(1, {"usd": 2, "from": instant}) == book(1, {"usd": 2, "from": "2026-12-01"})


def test_what_has_no_price_yet_has_none() -> None:
    found = book({"usd": 2, "from": "2026-12-01"})
    assert nanos(found, MIDNIGHT - 1) is None
    assert found.rate("tool", "t", MIDNIGHT - 1).until == MIDNIGHT
    recorder = ps.testing.Recorder(time=MIDNIGHT - 1, prices=found)
    ctx = ps.testing.context(recorder=recorder)
    with pytest.raises(ps.DefinitionError, match="'t' has no price"):
        ctx.spend.tool("t")
    recorder.time = MIDNIGHT
    ctx.spend.tool("t")
    assert [line.nanos for line in ctx.spend.lines] == [2 * 10**9]


@given(
    st.dictionaries(st.integers(0, 2_000_000_000), st.integers(0, 100), min_size=1, max_size=6),
    st.lists(st.integers(-1, 2_000_000_001), min_size=1, max_size=20),
)
def test_the_entry_that_holds_is_the_last_that_has_begun(
    by_time: dict[int, int], asked: list[int]
) -> None:
    entries = [{"usd": usd, "from": datetime.fromtimestamp(at, UTC)} for at, usd in by_time.items()]
    found = book(*entries)
    starts = sorted(by_time)
    for at in [*asked, *starts, *(start - 1 for start in starts)]:
        place = bisect_right(starts, at)
        expected = by_time[starts[place - 1]] * 10**9 if place else None
        rate = found.rate("tool", "t", float(at))
        assert nanos(found, float(at)) == expected
        assert rate.since <= at < rate.until
        assert rate.since == (starts[place - 1] if place else -inf)
        assert rate.until == (starts[place] if place < len(starts) else inf)


def test_a_step_that_runs_over_midnight_pays_each_call_at_its_own_time() -> None:
    """Rates are resolved once and kept: they must not be kept for longer than they hold."""
    recorder = ps.testing.Recorder(
        time=MIDNIGHT - 0.001,
        prices=ps.PriceBook(
            rates={
                "models": {"m": [{"input": 1}, {"input": 2, "from": "2026-12-01"}]},
                "tools": {"t": [1, {"usd": 2, "from": "2026-12-01"}]},
            },
            package=None,
        ),
    )
    ctx = ps.testing.context(recorder=recorder)
    for time in (MIDNIGHT - 0.001, MIDNIGHT, MIDNIGHT - 1.0, MIDNIGHT + 86_400):
        recorder.time = time
        ctx.spend.tokens("m", input=1_000_000)
        ctx.spend.tool("t")
    paid = [line.nanos for line in ctx.spend.lines]
    assert paid == [10**9, 10**9, 2 * 10**9, 2 * 10**9, 10**9, 10**9, 2 * 10**9, 2 * 10**9]
    assert len({line.rate for line in ctx.spend.lines}) == 4


def test_old_totals_do_not_move_when_the_book_does() -> None:
    """What a store keeps beside each line is enough to come to the same amount again."""
    old = ps.PriceBook(
        rates={
            "models": {"m": {"input": 1.337, "output": 7.1, "tiers": [{"above": 9, "input": 3}]}}
        },
        version="old",
        package=None,
    )
    ctx = ps.testing.context(prices=old)
    for sent in range(1, 20):
        ctx.spend.tokens("m", input=sent, output=sent * 7)
    kept = {tier.digest: tier.to_json() for tier in old.rate("model", "m", 0.0).tiers}
    new = ps.PriceBook(rates={"models": {"m": {"input": 99, "output": 99}}}, package=None)
    moved = ps.testing.context(prices=new)
    for line in ctx.spend.lines:
        snapshot = Snapshot.from_json(kept[line.rate])
        assert snapshot.digest == line.rate
        assert snapshot.amount(line.resource, line.units) == line.nanos
    moved.spend.tokens("m", input=1)
    assert moved.spend.lines[0].rate not in kept


class Counted:
    """Prices that count how often they are asked."""

    unknown = "refuse"
    source = "counted"

    def __init__(self) -> None:
        self.asked = 0

    def rate(self, kind: Kind, name: str, at: float, mode: str = "") -> Rate:
        self.asked += 1
        day = at // 86_400 * 86_400
        prices = {"tool": (int(day), 1)}
        return Rate((Snapshot.of(kind, name, prices, source=self.source),), day, day + 86_400)


def test_a_rate_is_asked_for_once_as_long_as_it_holds() -> None:
    prices = Counted()
    rates = Rates(prices)  # type: ignore[arg-type]  # `unknown` is no literal there
    for hour in range(72):
        rate = rates.find("tool", "t", hour * 3600.0)
        assert rate.tiers[0].amount("tool", 1) == hour // 24 * 86_400
    assert prices.asked == 3
    (snapshot,) = rates.find("tool", "t", 0.0).tiers
    assert rates.snapshot(snapshot.digest) == snapshot


def test_names_without_end_do_not_fill_the_memory() -> None:
    rates = Rates(Counted())  # type: ignore[arg-type]  # as above
    for number in range(10_000):
        rates.find("tool", str(number), 0.0)
    assert len(rates.resolved) <= 4096


def test_dates_in_a_file_are_those_of_toml(tmp_path: Path) -> None:
    file = tmp_path / "prices.toml"
    for written in (
        "2026-12-01",
        "2026-12-01T00:00:00Z",
        "2026-12-01T01:00:00+01:00",
        "'2026-12-01'",
    ):
        file.write_text(f"[[tools.t]]\nusd = 1\n[[tools.t]]\nusd = 2\nfrom = {written}\n")
        found = ps.PriceBook.load(file)
        assert found.rates == book(1, {"usd": 2, "from": "2026-12-01"}).rates
