"""The frontier of points: held against what is told by its definition alone, in O(n²)."""

from __future__ import annotations

import random
from itertools import combinations
from math import isclose

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock._simulation._frontier._dominance import (
    Objectives,
    hypervolume,
    knee,
    nearest_better,
    non_dominated,
)

# Few values, so that many are equal in one number or in all.
COARSE = st.integers(0, 6).map(float)
FINE = st.floats(0, 10)
POINTS = st.one_of(
    *(
        st.lists(st.tuples(*[values] * count), max_size=40)
        for values in (COARSE, FINE)
        for count in (2, 3)
    )
)


def beats(one: Objectives, other: Objectives) -> bool:
    return one != other and all(a <= b for a, b in zip(one, other, strict=True))


@given(POINTS)
def test_the_frontier_is_what_no_point_beats(points: list[Objectives]) -> None:
    naive = [
        place
        for place, point in enumerate(points)
        if not any(beats(other, point) for other in points)
    ]

    assert non_dominated(points) == naive


@given(st.lists(st.tuples(COARSE, COARSE, COARSE), max_size=7))
def test_the_hypervolume_is_that_of_the_union_of_the_boxes(points: list[Objectives]) -> None:
    """By inclusion and exclusion: what any of the boxes has, with what two have counted once."""
    most = (6.0, 6.0, 6.0)
    expected = 0.0
    for count in range(1, len(points) + 1):
        for chosen in combinations(points, count):
            volume = 1.0
            for axis in range(3):
                volume *= max(most[axis] - max(point[axis] for point in chosen), 0.0)
            expected += volume if count % 2 else -volume

    assert hypervolume(points, most) == pytest.approx(expected)


@given(st.lists(st.tuples(COARSE, COARSE), max_size=9))
def test_of_two_numbers_it_is_an_area(points: list[Objectives]) -> None:
    flat = hypervolume(points, (6.0, 6.0))
    cells = sum(any(x <= i and y <= j for x, y in points) for i in range(6) for j in range(6))

    assert flat == pytest.approx(cells)


def test_the_hypervolume_of_many_points_is_the_share_of_a_shower_that_they_beat() -> None:
    drawn = random.Random(5)
    points = [tuple(drawn.random() for _ in range(3)) for _ in range(200)]
    shower = [tuple(drawn.random() for _ in range(3)) for _ in range(20_000)]
    front = [points[place] for place in non_dominated(points)]
    hit = sum(any(beats(point, drop) for point in front) for drop in shower) / len(shower)

    assert isclose(hypervolume(points, (1.0, 1.0, 1.0)), hit, abs_tol=0.015)


@given(st.lists(st.tuples(FINE, FINE, FINE), max_size=20))
def test_points_off_the_frontier_add_nothing(points: list[Objectives]) -> None:
    front = [points[place] for place in non_dominated(points)]

    assert hypervolume(points, (10.0,) * 3) == pytest.approx(hypervolume(front, (10.0,) * 3))


def test_a_hundred_thousand_points_take_no_time() -> None:
    drawn = random.Random(1)
    points = [(x := drawn.random(), 1 - x, drawn.random()) for _ in range(100_000)]

    assert len(non_dominated(points)) == len(points)  # the naive way compares 10 billion pairs


def test_the_knee_is_the_farthest_from_the_chord() -> None:
    assert knee([(0.0, 1.0), (0.1, 0.3), (0.4, 0.2), (1.0, 0.0)]) == 1
    assert knee([(0.0, 1.0, 0.5), (0.2, 0.2, 0.2), (1.0, 0.0, 0.4), (0.8, 0.9, 0.0)]) == 1


def test_a_straight_frontier_and_one_that_bends_away_have_no_knee() -> None:
    assert knee([(0.0, 1.0), (0.5, 0.5), (1.0, 0.0)]) is None
    assert knee([(0.0, 1.0), (0.8, 0.8), (1.0, 0.0)]) is None
    assert knee([(0.0, 1.0), (1.0, 0.0)]) is None
    assert knee([(0.0, 0.0)] * 3) is None
    assert knee([]) is None


def test_the_nearest_point_that_is_better_in_everything() -> None:
    others = [(0.0, 0.0), (0.4, 0.5), (0.1, 0.9)]

    found = nearest_better((0.5, 0.5), others)
    assert found is not None
    assert found[0] == 1
    assert found[1] == pytest.approx(0.1)
    assert nearest_better((0.0, 0.0), others) is None
