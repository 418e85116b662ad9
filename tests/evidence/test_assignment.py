"""Which runs go to the canary."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from penstock._evidence import assign

KEYS = st.text(max_size=20)


@given(KEYS, KEYS, st.floats(0, 1), st.floats(0, 1))
def test_a_larger_share_only_adds(salt: str, key: str, one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert assign(salt, key, high) >= assign(salt, key, low)
    assert assign(salt, key, 1.0)
    assert not assign(salt, key, 0.0)


def test_the_share_is_met() -> None:
    chosen = sum(assign("release", f"run-{run}", 0.1) for run in range(20_000))
    assert abs(chosen - 2_000) < 5 * (20_000 * 0.1 * 0.9) ** 0.5


def test_another_release_shares_out_anew() -> None:
    """Of those in the one canary a tenth are in the other: two releases do not mix up."""
    first = [run for run in range(20_000) if assign("a", str(run), 0.1)]
    both = sum(assign("b", str(run), 0.1) for run in first)
    assert abs(both - len(first) / 10) < 5 * (len(first) * 0.09) ** 0.5


def test_it_is_the_same_for_ever() -> None:
    """Runs that are stored keep their arm through every new version of the package."""
    chosen = [run for run in range(60) if assign("support-2", f"ticket-{run}", 0.1)]
    assert chosen == CHOSEN


CHOSEN = [13, 23, 24, 33, 34, 47, 55]
