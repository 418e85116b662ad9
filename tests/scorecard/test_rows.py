"""Rows: adding up, windows, and the buckets of the engine's histograms."""

from __future__ import annotations

import copy
from itertools import chain, pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock._scorecard import Row, merge, scorecard
from penstock._scorecard._histogram import bucket_of, first_of, last_of, quantiles
from penstock._scorecard._rows import add, between, combined, grid

names = st.sampled_from("abc")
# One name is always a number or always a body, as in the rows.
bodies = st.dictionaries(
    st.sampled_from(["x", "y", "z"]), st.integers(-(10**15), 10**15)
) | st.fixed_dictionaries(
    {},
    optional={
        "x": st.integers(0, 10**15),
        "in": st.dictionaries(names, st.integers(0, 10**15), max_size=3),
        "deep": st.dictionaries(names, st.dictionaries(names, st.integers(0, 9)), max_size=3),
    },
)


def naive(bodies: list[dict[str, Any]]) -> dict[str, Any]:
    total: dict[str, Any] = {}
    for body in bodies:
        add(total, body)
    return total


@given(st.lists(bodies, max_size=9))
def test_bodies_add_up_in_any_order_and_grouping(given_bodies: list[dict[str, Any]]) -> None:
    before = copy.deepcopy(given_bodies)
    total = merge(*given_bodies)
    assert total == naive(given_bodies)
    assert merge(*given_bodies[::-1]) == total
    half = len(given_bodies) // 2
    assert merge(merge(*given_bodies[:half]), merge(*given_bodies[half:])) == total
    add(total, {"in": {"a": 1}, "deep": {"a": {"a": 1}}})
    assert given_bodies == before, "the sum shares no part with what it is the sum of"


@pytest.mark.parametrize(
    ("bucket", "first", "last"),
    [
        (0, 0, 511),
        (1, 512, 1_023),
        (255, 130_560, 131_071),
        (256, 131_072, 132_095),
        (383, 261_120, 262_143),
        (384, 262_144, 264_191),
    ],
)
def test_buckets_are_those_of_the_engine(bucket: int, first: int, last: int) -> None:
    assert (first_of(bucket), last_of(bucket)) == (first, last)
    assert bucket_of(first) == bucket_of(last) == bucket


@given(st.integers(0, 86_400_000_000_000))
def test_a_time_is_in_its_bucket_which_is_narrow(time_ns: int) -> None:
    bucket = bucket_of(time_ns)
    first, last = first_of(bucket), last_of(bucket)
    assert first <= time_ns <= last
    assert last - first <= max(first / 127, 512)


@given(st.lists(st.integers(0, 10**12), min_size=1))
def test_quantiles_are_within_a_bucket_of_the_exact_ones(times: list[int]) -> None:
    counts: dict[str, int] = {}
    for time in times:
        counts[str(bucket_of(time))] = counts.get(str(bucket_of(time)), 0) + 1
    found = quantiles(counts, 0.0, 0.5, 1.0)
    assert found is not None
    exact = sorted(times)
    for share, seconds in zip((0.0, 0.5, 1.0), found, strict=True):
        rank = max(-(-int(share * 2) * len(exact) // 2), 1)
        assert seconds == last_of(bucket_of(exact[rank - 1])) / 1e9
    assert quantiles({}, 0.5) is None


rows = st.builds(
    lambda window, width, count: Row(
        float(window * width), "queues", {"queue": "gpt", "width": width}, {"first": count}
    ),
    st.integers(0, 500),
    st.sampled_from([60, 3_600, 86_400]),
    st.integers(0, 10**6),
)


@given(st.lists(rows), st.lists(st.integers(0, 500 * 86_400), min_size=2, max_size=2, unique=True))
def test_spans_that_meet_count_each_row_once(found: list[Row], cuts: list[int]) -> None:
    low, high = sorted(cuts)
    ends = (0, low, high, 10**9)
    parts = [list(between(found, *pair)) for pair in pairwise(ends)]
    assert sorted(map(id, chain.from_iterable(parts))) == sorted(map(id, found))
    width = grid(found, 0, 10**9)
    assert width >= max((row.width for row in found), default=60)
    total = sum(row.body["first"] for row in combined(found, width))
    assert total == sum(row.body["first"] for row in found)


def test_a_window_has_its_start_and_not_its_end() -> None:
    found = [
        Row(at, "queues", {"queue": "gpt"}, {"first": count, "attempts": count})
        for at, count in ((0.0, 1), (60.0, 10), (120.0, 100))
    ]
    for since, until, count in ((60, 120, 10), (59.9, 120.1, 110), (60.1, 120, 0)):
        inside = sum(row.body["first"] for row in between(found, since, until))
        assert inside == count
    card = scorecard(found, since=60, until=120)
    assert card.windows == (60.0,)
    assert card.whole.reliability.amplification == 1.0


def test_old_rows_do_not_leave_holes_in_a_trend() -> None:
    """A row of an hour would be a spike in a trend by minutes."""
    coarse = [
        Row(hour * 3_600.0, "queues", {"queue": "gpt", "width": 3_600}, {"first": 1})
        for hour in range(6)
    ]
    card = scorecard(coarse, since=0, until=6 * 3_600)
    assert card.width == 3_600
    assert card.windows == tuple(hour * 3_600.0 for hour in range(6))
