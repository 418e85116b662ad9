"""Sequential tests on shares: exact at every look, against naive ways to work the same out."""

from __future__ import annotations

import itertools
import json
import random
from math import comb, exp, log, prod

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock._evidence._failures import (
    HARM_RATIOS,
    HarmTest,
    LimitTest,
    NoWorseTest,
    SampleRatioTest,
)

SHARES = st.sampled_from([0.05, 0.1, 0.25, 0.5])
ARMS = st.booleans()
RUNS = st.lists(st.tuples(ARMS, SHARES, st.sampled_from([0.0, 0.25, 1.0])), max_size=40)


@given(RUNS)
def test_harm_is_the_mean_of_the_likelihood_ratios(
    runs: list[tuple[bool, float, float]],
) -> None:
    test = HarmTest()
    for canary, share, failure in runs:
        test.failed(failure, canary=canary, share=share)

    def ratio(harm: float) -> float:
        factors = (
            ((harm if canary else 1.0) / (share * harm + 1.0 - share)) ** failure
            for canary, share, failure in runs
        )
        return float(prod(factors))

    naive = sum(map(ratio, HARM_RATIOS)) / len(HARM_RATIOS)
    assert test.e_value == pytest.approx(naive)


@given(st.lists(SHARES, min_size=1, max_size=6), st.sampled_from([1.0, 1.5]))
def test_no_harm_is_worth_one_on_average(shares: list[float], tolerated: float) -> None:
    """Over all ways in which the failures may fall, each as likely as it is without harm."""
    mean = 0.0
    for arms in itertools.product([True, False], repeat=len(shares)):
        test, chance = HarmTest(tolerated), 1.0
        for canary, share in zip(arms, shares, strict=True):
            test.failed(1.0, canary=canary, share=share)
            of_canary = share * tolerated / (share * tolerated + 1 - share)
            chance *= of_canary if canary else 1 - of_canary
        mean += chance * test.e_value
    assert mean == pytest.approx(1.0)


@given(
    history=RUNS,
    share=SHARES,
    base=st.floats(0.0005, 0.6),
    beyond=st.floats(0, 0.2),
    margin=st.sampled_from([(0.01, 1.0), (0.05, 0.95), (0.0, 1.2)]),
)
def test_a_candidate_that_is_too_bad_gains_nothing_on_average(
    history: list[tuple[bool, float, float]],
    share: float,
    base: float,
    beyond: float,
    margin: tuple[float, float],
) -> None:
    """Whatever was seen before: the next run multiplies the e-value by at most 1, on average."""
    offset, slope = margin
    canary_rate = offset + slope * base + beyond
    rates = {True: (share, min(canary_rate, 1.0)), False: (1 - share, base)}
    mean = 0.0
    for canary, failed in itertools.product([True, False], [0.0, 1.0]):
        test = NoWorseTest(offset=offset, slope=slope)
        for arm, past, failure in history:
            test.ran(failure, canary=arm, share=past)
        before = test.log_e
        test.ran(failed, canary=canary, share=share)
        chance, rate = rates[canary]
        mean += chance * (rate if failed else 1 - rate) * exp(test.log_e - before)
    assert mean <= 1.0 + 1e-6


def test_no_failures_at_all_show_what_the_rule_of_three_does() -> None:
    """With both arms faultless, 300 canary runs rule a rate of 1 % out: about 3 / 0.01."""
    test = NoWorseTest(offset=0.01)
    runs = 0
    dice = random.Random(1)
    while test.e_value < 20:
        canary = dice.random() < 0.5
        test.ran(0.0, canary=canary, share=0.5)
        runs += canary
    assert 250 < runs < 500


@given(st.lists(st.booleans(), max_size=30), st.sampled_from([0.01, 0.2]))
def test_a_limit_is_judged_by_the_mean_of_likelihood_ratios(
    runs: list[bool], allowed: float
) -> None:
    test = LimitTest(allowed)
    for over in runs:
        test.ran(float(over))
    ratios: list[float] = []
    for harm in HARM_RATIOS:
        odds = harm * allowed / (1 - allowed)
        rate = odds / (1 + odds)
        logs = (log(rate / allowed) if over else log((1 - rate) / (1 - allowed)) for over in runs)
        ratios.append(exp(sum(logs)))
    assert test.e_value == pytest.approx(sum(ratios) / len(ratios))


def test_right_sizes_are_worth_one_on_average() -> None:
    """Over all numbers of canary runs, each as likely as it is with the planned share."""
    runs, share = 12, 0.3
    mean = 0.0
    for canary in range(runs + 1):
        test = SampleRatioTest()
        for run in range(runs):
            test.started(canary=run < canary, share=share)
        mean += comb(runs, canary) * share**canary * (1 - share) ** (runs - canary) * test.e_value
    assert mean == pytest.approx(1.0)


def test_a_changed_share_keeps_what_was_seen_of_sizes() -> None:
    test = SampleRatioTest()
    for _ in range(300):
        test.started(canary=True, share=0.1)
    seen = test.e_value
    test.started(canary=False, share=0.5)
    assert test.e_value == pytest.approx(seen, rel=0.01)


@given(RUNS, st.integers(0, 40))
def test_what_is_saved_goes_on_as_if_nothing_had_happened(
    runs: list[tuple[bool, float, float]], saved_at: int
) -> None:
    tests = HarmTest(), NoWorseTest(offset=0.02), LimitTest(0.05), SampleRatioTest()
    going_on = tests
    for place, (canary, share, failure) in enumerate(runs):
        if place == saved_at:
            kept = [json.loads(json.dumps(test.state())) for test in tests]
            going_on = (
                HarmTest.restored(kept[0]),
                NoWorseTest.restored(kept[1]),
                LimitTest.restored(kept[2]),
                SampleRatioTest.restored(kept[3]),
            )
        for harm, no_worse, limit, sizes in {tests, going_on}:
            harm.failed(failure, canary=canary, share=share)
            no_worse.ran(failure, canary=canary, share=share)
            limit.ran(failure)
            sizes.started(canary=canary, share=share)
    assert [test.state() for test in going_on] == [test.state() for test in tests]
    assert [test.e_value for test in going_on] == [test.e_value for test in tests]
