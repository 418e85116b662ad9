"""The open-loop load generator of the benchmarks: what a stall of the loop looks like to it."""

import asyncio

import pytest

from load import Load, compare, quantile
from penstock.testing import VirtualClock


def block(seconds: float) -> None:
    """Virtual time passes, and nobody has a turn."""
    asyncio.get_running_loop()._now += seconds  # type: ignore[attr-defined]


def test_a_stall_shows_in_the_open_loop_and_hides_in_the_closed_one() -> None:
    load = Load(rate=200.0, seconds=20.0, stall=1.0, block=block)
    found = VirtualClock().run(compare(load))
    opened, closed = found["open loop"], found["closed loop"]
    assert len(opened) == len(list(load.arrivals()))
    # A run that should have started just as the stall began waited for all of it.
    assert quantile(opened, 0.99) > 0.7
    assert max(opened) == pytest.approx(1, abs=0.05)
    assert quantile(closed, 0.99) < 0.01


def test_without_a_stall_both_see_the_same() -> None:
    found = VirtualClock().run(compare(Load(rate=200.0, seconds=5.0)))
    for latencies in found.values():
        assert quantile(latencies, 0.99) == pytest.approx(0.002, abs=1e-6)


def test_arrivals_come_at_the_rate_and_by_the_seed() -> None:
    arrivals = list(Load(rate=500.0, seconds=20.0).arrivals())
    assert len(arrivals) == pytest.approx(10_000, rel=0.05)
    assert arrivals == sorted(arrivals) == list(Load(rate=500.0, seconds=20.0).arrivals())
    assert arrivals != list(Load(rate=500.0, seconds=20.0, seed=2).arrivals())
    assert quantile([], 0.5) == 0
