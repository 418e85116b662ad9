"""Distributions: their formulas against sums over many quantiles."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import penstock as ps
from penstock._simulation import Arrivals, Distribution

D = Distribution
EVERY = [
    D.constant(2),
    D.uniform(1, 3),
    D.uniform(0, 0),
    D.exponential(2),
    D.lognormal(0.4, 0.6),
    D.gamma(2, 0.5),
    D.gamma(2, 2),
    D.gamma(5, 0.05),
    D.samples([0, 1, 1, 3, 10]),
    D.samples([7]),
]


@pytest.mark.parametrize("distribution", EVERY, ids=repr)
def test_mean_and_variation_are_those_of_the_quantiles(distribution: Distribution) -> None:
    count = 4_000
    values = [distribution.quantile((i + 0.5) / count) for i in range(count)]
    assert values == sorted(values)
    mean = sum(values) / count
    squares = sum(value * value for value in values) / count
    assert distribution.mean() == pytest.approx(mean, rel=4e-3)
    cv2 = squares / mean**2 - 1 if mean else 0.0
    assert distribution.cv2() == pytest.approx(cv2, rel=0.03, abs=1e-6)


def test_a_gamma_of_whole_shape_is_a_sum_of_exponentials() -> None:
    """Erlang's distribution in closed form."""
    shape = 4
    gamma = D.gamma(float(shape), 1 / math.sqrt(shape))
    for q in (0.001, 0.1, 0.5, 0.9, 0.999):
        x = gamma.quantile(q)
        above = sum(math.exp(-x) * x**k / math.factorial(k) for k in range(shape))
        assert 1 - above == pytest.approx(q, abs=1e-9)


@pytest.mark.parametrize("distribution", EVERY, ids=repr)
def test_a_scaled_one_is_the_same_in_another_unit(distribution: Distribution) -> None:
    scaled = distribution.scaled(60.0)
    assert scaled.mean() == pytest.approx(60 * distribution.mean())
    assert scaled.cv2() == pytest.approx(distribution.cv2())
    assert scaled.quantile(0.3) == pytest.approx(60 * distribution.quantile(0.3), rel=1e-9)


def test_the_ends_are_those_of_the_support() -> None:
    assert [it.quantile(0.0) for it in EVERY] == [2, 1, 0, 0, 0, 0, 0, 0, 0, 7]
    assert [it.quantile(1.0) for it in EVERY] == [2, 3, 0, *[math.inf] * 5, 10, 7]
    with pytest.raises(ps.DefinitionError, match=r"q is 1\.5"):
        D.constant(1).quantile(1.5)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=50))
def test_samples_reach_from_the_least_to_the_largest(values: list[float]) -> None:
    ordered = sorted(values)
    samples = D.samples(ordered)
    assert samples.quantile(0) == ordered[0]
    assert samples.quantile(1) == ordered[-1]
    assert ordered[0] * (1 - 1e-12) <= samples.mean() <= ordered[-1] * (1 + 1e-12)
    assert Distribution.from_dict(samples.to_dict()) == samples
    assert samples.native() == ("samples", ordered)


def test_rates_of_a_bursty_process_have_its_mean() -> None:
    bursty = Arrivals(kind="bursty", rate=20.0, burst=5.0, calm=60.0, busy=20.0)
    calm, busy = bursty.rates
    assert busy == 5 * calm
    assert (60 * calm + 20 * busy) / 80 == pytest.approx(20.0)
    trace = Arrivals(kind="trace", gaps=[0.0, 1.0, 3.0], speed=2.0)
    assert trace.mean_rate == 1.5
    assert trace.rates == (1.5, 1.5)
