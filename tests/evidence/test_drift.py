"""The alarm for after a promotion."""

from __future__ import annotations

import json
import random
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

import penstock as ps
from penstock._evidence import DriftAlarm


def runs_until_alarm(rate: float, dice: random.Random, most: int = 20_000) -> int | None:
    alarm = DriftAlarm(0.02, drifted=0.10)
    for run in range(1, most + 1):
        if alarm.ran(failure=dice.random() < rate):
            return run
    return None


def test_a_drift_is_found_within_120_runs_on_average() -> None:
    delays = [runs_until_alarm(0.10, random.Random(f"drift {seed}")) for seed in range(300)]
    assert fmean(delay or 20_000 for delay in delays) <= 120


def test_without_drift_it_is_quiet_for_20_000_runs_in_nine_of_ten_cases() -> None:
    alarms = [runs_until_alarm(0.02, random.Random(f"quiet {seed}")) for seed in range(100)]
    assert sum(alarm is not None for alarm in alarms) <= 10


@given(st.lists(st.booleans(), max_size=60), st.integers(0, 60))
def test_it_is_the_largest_sum_of_a_tail_and_is_saved_exactly(
    runs: list[bool], saved_at: int
) -> None:
    from math import log

    alarm = DriftAlarm(0.1, drifted=0.3, runs_between=1_000)
    for place, failure in enumerate(runs):
        if place == saved_at:
            alarm = DriftAlarm.restored(json.loads(json.dumps(alarm.state())))
        alarm.ran(failure=failure)
    steps = [log(0.3 / 0.1) if failure else log(0.7 / 0.9) for failure in runs]
    tails = [sum(steps[first:]) for first in range(len(steps) + 1)]
    assert alarm.sum == pytest.approx(max(tails))
    assert alarm.runs == len(runs)


def test_an_alarm_stays_on_and_says_what_for() -> None:
    alarm = DriftAlarm(0.02)
    while not alarm.ran(failure=True):
        pass
    for _ in range(10_000):
        assert alarm.ran(failure=False)
    assert "failures went from 2.00% towards 3.92%" in alarm.evidence


@pytest.mark.parametrize(("usual", "drifted"), [(0, None), (1, None), (0.2, 0.2), (0.2, 1)])
def test_rates_that_can_not_be_meant_are_refused(usual: float, drifted: float | None) -> None:
    with pytest.raises(ps.DefinitionError, match="DriftAlarm"):
        DriftAlarm(usual, drifted=drifted)
