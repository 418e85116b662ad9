"""Rows: those of a store are added up as they are read, and a scorecard is the same."""

from __future__ import annotations

import json
import random

import pytest

from penstock._figures import rows_of
from penstock._scorecard import Row, scorecard
from scorecard.world import START, facts, runs_row


@pytest.mark.parametrize("hours", [1, 7, 48])
def test_rows_that_are_added_up_show_the_same_as_one_by_one(hours: int) -> None:
    """Also where the time begins in the midst of a window of the trend."""
    dice = random.Random(hours)
    minutes = dice.sample(range(hours * 60), hours * 30)
    every = [
        runs_row(dice, START + 60.0 * minute, tenant, 5, 0.1, "1.0.0")
        for minute in minutes
        for tenant in ("acme", None)
    ]
    rows = [row for row in every if row.kind == "runs"]
    found = [(it.window, it.kind, json.dumps(it.key), json.dumps(it.body)) for it in rows]
    since, until = START + 420.0, START + hours * 3_600.0 - 60.0
    inside = [row for row in rows if since <= row.window < until]
    added = rows_of(found, since, until)
    assert len(added) < len(inside)
    for by in (None, "tenant", "step"):
        one = scorecard(inside, since=since, until=until, by=by, nodes=facts()).to_dict()
        two = scorecard(added, since=since, until=until, by=by, nodes=facts()).to_dict()
        assert close(one, two)


def close(one: object, two: object) -> bool:
    """The same but for the last digit of a sum of floats."""
    if isinstance(one, dict) and isinstance(two, dict):
        return one.keys() == two.keys() and all(close(one[name], two[name]) for name in one)
    if isinstance(one, list | tuple) and isinstance(two, list | tuple):
        return len(one) == len(two) and all(map(close, one, two))
    if isinstance(one, float) and isinstance(two, float):
        return one == pytest.approx(two, rel=1e-9)
    return type(one) is type(two) and one == two


def test_what_starts_outside_the_time_is_left_out() -> None:
    key = '{"workflow": "w", "version": "1", "overlay": "", "tenant": null}'
    found = [(at, "runs", key, '{"accepted": 1}') for at in (0.0, 60.0, 120.0, 180.0)]
    assert rows_of(found, 60.0, 180.0) == [
        Row(60.0, "runs", json.loads(key), {"accepted": 1}),
        Row(120.0, "runs", json.loads(key), {"accepted": 1}),
    ]
    assert rows_of(found, 61.0, 120.0) == []
