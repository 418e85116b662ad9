"""Storms are where the rows show them, told with those who see to them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock._questions import storms_of_store
from penstock._questions._reading import Terms
from penstock._questions._storms import is_stormy, storms
from penstock._scorecard import Row
from questions.world import FAR, changed, fill, looking, support
from scorecard import world


def terms() -> Terms:
    nodes = {
        f"support/{step}": {
            "step": step,
            "owner": world.OWNERS[step],
            "queue": world.QUEUES[step],
            "playbook": f"https://play/{step}",
        }
        for step in world.STEPS
    }
    return Terms(workflow="support", version="1.0.0", owner="cx", nodes=nodes)


def rows(*, counted: bool) -> list[Row]:
    """A day with an outage around 15:12; its storms counted by the engine, or not."""
    found: list[Row] = []
    for row in world.service():
        body, key = dict(row.body), dict(row.key)
        if row.kind == "queues" and not counted:
            for name in ("storms", "storm_ns"):
                body.pop(name, None)
        if row.kind == "delays":
            key["workflow"] = "support"
        found.append(Row(row.window, row.kind, key, body))
    return found


@pytest.mark.parametrize("counted", [True, False])
def test_the_outage_is_found_where_it_was(counted: bool) -> None:
    found = storms(rows(counted=counted), [terms()])
    worst = found.queues[0]
    assert worst.found == ("engine" if counted else "windows")
    hours = [(each.start - world.START) / 3_600 for each in worst.windows]
    assert hours
    assert hours == sorted(hours)
    assert 13.5 < min(hours)
    assert max(hours) < 17
    assert worst.peak is not None
    assert worst.demand is not None
    assert worst.peak > 1.5 > worst.demand > 1
    assert (worst.storms is not None) is counted


def test_who_sees_to_a_storm_is_told() -> None:
    queues = {each.queue: each for each in storms(rows(counted=True), [terms()]).queues}
    steps = queues["gpt"].steps
    assert {(each.step, each.owner, each.playbook) for each in steps} == {
        ("classify", "ml", "https://play/classify"),
        ("draft", "ml", "https://play/draft"),
    }
    # Only the windows of the storm count.
    sent = [row for row in rows(counted=True) if row.kind == "delays"]
    all_day = sum(row.body["retries"] for row in sent if row.key["step"] == "draft")
    (draft,) = (each for each in steps if each.step == "draft")
    assert 0 < draft.retries < all_day


counts = st.integers(0, 200)


@given(counts, counts, counts, counts)
def test_calm_is_no_storm(first: int, again: int, denied: int, failed: int) -> None:
    body = {
        "first": first,
        "attempts": first + again,
        "denied": denied,
        "succeeded": max(first - failed, 0),
    }
    if is_stormy(body):
        assert first + again + denied > 1.5 * first
        assert failed > 0 or denied > again or not first
    assert not is_stormy({**body, "attempts": first, "denied": 0})


def test_few_attempts_are_not_judged() -> None:
    assert not is_stormy({"first": 3, "attempts": 12, "denied": 4})
    assert is_stormy({"first": 10, "attempts": 20, "denied": 10, "succeeded": 2})


async def test_a_store_tells_its_shapes_and_its_queues(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    await fill(path, range(1, 31), changed)
    await fill(path, range(1, 31))
    with looking(path) as view:
        found = storms_of_store(view, since=0, until=FAR)
        assert storms_of_store(view, since=0, until=60).queues == ()
    assert {each.queue: each.demand for each in found.queues} == {"gpt": 1.0, "default": 1.0}
    assert {each.found for each in found.queues} == {"none"}
    (tangle,) = found.tangles
    # Of the versions the one that was started last.
    assert (tangle.workflow, tangle.version, tangle.owner) == ("support", "1.0.0", "cx")
    assert tangle.shape == support.lint().shape
    assert not tangle.spaghetti
