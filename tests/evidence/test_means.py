"""Running moments and bounds on means, against the definitions."""

from __future__ import annotations

import json
import random
from math import inf, log, sqrt
from statistics import fmean, variance

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock._evidence._means import Moments, contrast, merged, radius

VALUES = st.floats(-1e6, 1e6)
PAIRS = st.lists(st.tuples(VALUES, st.sampled_from([0.0, 1.0, 3.0])), min_size=2, max_size=30)


def moments(pairs: list[tuple[float, float]]) -> Moments:
    made = Moments()
    for up, down in pairs:
        made.add(up, down)
    return made


@given(PAIRS, st.floats(-10, 10))
def test_moments_are_those_of_the_whole_list(
    pairs: list[tuple[float, float]], ratio: float
) -> None:
    made = moments(pairs)
    assert made.up == pytest.approx(fmean(up for up, _ in pairs), abs=1e-6)
    assert made.down == pytest.approx(fmean(down for _, down in pairs))
    naive = variance(up - ratio * down for up, down in pairs)
    assert made.variance(ratio) == pytest.approx(naive, rel=1e-6, abs=1e-3)


@given(st.lists(PAIRS, min_size=1, max_size=4))
def test_merged_moments_are_those_of_all_runs(parts: list[list[tuple[float, float]]]) -> None:
    together = merged(map(moments, parts))
    whole = moments([pair for part in parts for pair in part])
    assert together.count == whole.count
    assert together.up == pytest.approx(whole.up, abs=1e-6)
    assert together.down == pytest.approx(whole.down)
    assert together.variance(0.5) == pytest.approx(whole.variance(0.5), rel=1e-6, abs=1e-3)


@given(PAIRS)
def test_moments_are_saved_exactly(pairs: list[tuple[float, float]]) -> None:
    made = moments(pairs)
    again = Moments.restored(json.loads(json.dumps(made.state())))
    for each in made, again:
        each.add(0.1, 0.7)
    assert again.state() == made.state()


def test_a_contrast_of_one_stratum_is_the_textbook_one() -> None:
    dice = random.Random(2)
    canary = [(dice.gauss(11, 3), 1.0) for _ in range(50)]
    baseline = [(dice.gauss(10, 2), 1.0) for _ in range(450)]
    found = contrast([(moments(canary), moments(baseline))])
    assert found is not None
    new, old = ([up for up, _ in arm] for arm in (canary, baseline))
    assert found.value == pytest.approx(fmean(new) - fmean(old))
    spread = variance(new) + variance(old) * len(new) / len(old)
    assert found.deviation == pytest.approx(sqrt(spread))


def test_a_service_that_gets_dearer_while_the_share_grows_is_no_difference() -> None:
    """Each arm costs the same in each stretch: pooled, the canary would look dearer by far."""
    dice = random.Random(3)
    early = [(1.0 + dice.random(), 1.0) for _ in range(1000)]
    late = [(9.0 + dice.random(), 1.0) for _ in range(1000)]
    strata = [
        (moments(early[:100]), moments(early[100:])),
        (moments(late[:900]), moments(late[900:])),
    ]
    found = contrast(strata)
    assert found is not None
    assert abs(found.value) < 0.2
    pooled = merged(one for one, _ in strata).up - merged(two for _, two in strata).up
    assert pooled > 5


def test_cost_per_success_differs_where_the_successes_do() -> None:
    """The same spend with fewer successes is dearer, though the mean cost of a run is not."""
    cheap = moments([(2.0, 1.0)] * 100)
    dear = moments([(2.0, 1.0), (2.0, 0.0)] * 50)
    found = contrast([(dear, cheap)])
    assert found is not None
    assert found.value / found.scale == pytest.approx(4.0 - 2.0)
    assert contrast([(cheap, moments([(2.0, 0.0)] * 100))]) is None  # no success, no cost of one


@pytest.mark.parametrize("runs", [100, 500, 3_000])
def test_the_radius_is_the_published_one(runs: int) -> None:
    alpha, best_at = 0.01, 500
    rho = (2 * log(1 / alpha) + log(1 + 2 * log(1 / alpha))) / best_at
    inner = 2 * (runs * rho + 1) / (runs**2 * rho) * log(sqrt(runs * rho + 1) / alpha)
    assert radius(runs, 2.0, alpha=alpha, best_at=best_at) == pytest.approx(2.0 * sqrt(inner))
    assert radius(0, 2.0, alpha=alpha, best_at=best_at) == inf


def test_looking_after_every_run_finds_a_difference_that_is_not_there_in_few_cases() -> None:
    """One-sided at 5 %, exponential costs, from 100 runs on: a z-test would err in about 30 %."""
    errors, releases = 0, 300
    for release in range(releases):
        dice = random.Random(f"peek {release}")
        canary, baseline = Moments(), Moments()
        for run in range(1_500):
            canary.add(dice.expovariate(1.0))
            baseline.add(dice.expovariate(1.0))
            found = contrast([(canary, baseline)]) if run >= 100 else None
            if found and found.value > radius(run, found.deviation, alpha=0.05, best_at=500):
                errors += 1
                break
    assert errors / releases <= 0.05
