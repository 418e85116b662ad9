"""Vary: a file of values becomes policies; the present one is the first of them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import penstock as ps
from penstock._simulation._changes import Change
from penstock._simulation._frontier._vary import Range, Vary
from simulation.flows import support


def test_a_grid_has_every_combination_and_the_present_point_first() -> None:
    vary = Vary({"queue.gpt.concurrency": [16, 32], "step.small.retry.max_attempts": [1, 2, 4]})

    changes, left_out = vary.changes(support)

    assert changes[0] == Change(support, {})
    assert len(changes) == 7
    assert not left_out
    assert {(c.queues["gpt"].concurrency, c.retry["small"].max_attempts) for c in changes[1:]} == {
        (concurrency, attempts) for concurrency in (16, 32) for attempts in (1, 2, 4)
    }


def test_what_is_so_already_is_no_change() -> None:
    """The present values stand in most vary files, and would give the present point again."""
    vary = Vary({"queue.gpt.concurrency": [8, 16], "step.small.retry.max_attempts": [3, 2]})

    changes, _ = vary.changes(support)

    assert [change.texts for change in changes] == [
        (),
        ("step.small.retry.max_attempts=2",),
        ("queue.gpt.concurrency=16",),
        ("queue.gpt.concurrency=16", "step.small.retry.max_attempts=2"),
    ]


def test_combinations_that_can_not_be_are_left_out_and_told() -> None:
    retry = "step.small.retry"
    vary = Vary({f"{retry}.initial_interval": [0.1, 5.0], f"{retry}.max_interval": [5.0, 9.0]})

    assert len(vary.changes(support)[0]) == 5
    changes, left_out = Vary(
        {f"{retry}.initial_interval": [0.1, 8.0], f"{retry}.max_interval": [5.0, 9.0]}
    ).changes(support)
    assert len(changes) == 4
    assert any("raise max_interval" in why for why in left_out)


def test_a_value_that_can_not_be_at_all_is_an_error() -> None:
    with pytest.raises(ps.DefinitionError) as raised:
        Vary({"queue.gpt.concurrency": [0, 8], "step.smal.timeout": [1]}).changes(support)

    assert len(raised.value.problems) == 2


def test_more_combinations_than_policies_are_sampled_evenly() -> None:
    vary = Vary(
        {"queue.gpt.concurrency": list(range(10, 20)), "step.small.retry.max_attempts": [1, 2]},
        policies=10,
    )

    changes, _ = vary.changes(support)

    assert len(changes) == 11
    # A Latin hypercube: ten policies of ten values have each of them about once.
    seen = Counter(change.queues["gpt"].concurrency for change in changes[1:])
    assert len(seen) >= 8
    assert min(Counter(c.retry["small"].max_attempts for c in changes[1:]).values()) >= 4


def test_the_same_seed_gives_the_same_policies_and_another_others() -> None:
    def sampled(seed: int) -> list[Change]:
        choices = {"cascade.answer.at": Range(0.1, 0.9), "arrivals.rate": Range(1.0, 50.0)}
        return Vary(choices, policies=20, combine="sample", seed=seed).changes(support)[0]

    assert sampled(3) == sampled(3)
    assert sampled(3) != sampled(4)
    assert len(sampled(3)) == 21


@settings(deadline=None, max_examples=40)
@given(
    st.integers(1, 30),
    st.sampled_from(["grid", "sample"]),
    st.lists(st.integers(1, 50), min_size=1, max_size=8),
    st.sampled_from([None, 3]),
)
def test_policies_are_different_and_not_more_than_asked_for(
    policies: int, combine: str, values: list[int], steps: int | None
) -> None:
    choices = {"queue.gpt.concurrency": values, "cascade.answer.at": Range(0.1, 0.9, steps=steps)}
    vary = Vary.from_dict({"vary": choices, "policies": policies, "combine": combine})

    changes, _ = vary.changes(support)

    assert 1 <= len(changes) <= policies + 1
    assert len({change.effect for change in changes}) == len(changes)
    assert not changes[0]


def test_ranges() -> None:
    assert Range(1, 3).values() == [1, 2, 3]
    assert Range(1, 100, steps=2).values() == [1, 100]
    assert Range(0.5, 0.9, steps=5).values() == [0.5, 0.6, 0.7, 0.8, 0.9]
    assert Range(1, 1000, steps=4, scale="log").values() == [1, 10, 100, 1000]
    assert {Range(0.0, 1.0, steps=3).drawn(share / 9) for share in range(10)} == {0.0, 0.5, 1.0}


def test_a_file(tmp_path: Path) -> None:
    file = tmp_path / "vary.toml"
    file.write_text(
        'policies = 30\ncombine = "sample"\nseed = 4\n[vary]\n'
        '"queue.gpt.concurrency" = [16, 32]\n'
        "step.small.timeout = { low = 1.0, high = 9.0, steps = 3 }\n"
        '"queue.gpt.breaker" = ["none", { window = 20 }]\n',
        "utf-8",
    )

    vary = Vary.read(file)

    assert (vary.policies, vary.combine, vary.seed, vary.size) == (30, "sample", 4, 12)
    assert vary.choices["step.small.timeout"] == Range(1.0, 9.0, steps=3)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("policies = ", "write it as TOML"),
        ("policy = 3", "did you mean 'policies'"),
        ("vary = 3", "make it a table"),
        ("[vary]", "nothing is varied"),
        ('combine = "all"\n[vary]\n"arrivals.rate" = [1]', "give 'grid' or 'sample'"),
        ('policies = 0\n[vary]\n"arrivals.rate" = [1]', "a whole number from 1"),
        ('[vary]\n"arrivals.rate" = 4', "give a list of values"),
        ('[vary]\n"arrivals.rate" = []', "give a list of values"),
        ('[vary]\n"arrivals.rate" = [nan]', "no finite number"),
        ('[vary]\n"arrivals.rate" = { low = 3, high = 1 }', "give low below high"),
        ('[vary]\n"arrivals.rate" = { low = 0, high = 1, scale = "log" }', "more than 0"),
        ('[vary]\n"arrivals.rate" = { low = 0, high = 1, step = 3 }', "a range has no 'step'"),
    ],
)
def test_what_is_wrong_with_a_file_is_told_with_its_name(
    text: str, told: str, tmp_path: Path
) -> None:
    file = tmp_path / "vary.toml"
    file.write_text(text, "utf-8")

    with pytest.raises(ps.DefinitionError, match=told) as raised:
        Vary.read(file)

    assert str(file) in str(raised.value)


@settings(deadline=None, max_examples=60)
@given(
    st.fixed_dictionaries(
        {},
        optional={
            "queue.gpt.concurrency": st.sampled_from([8, 9]),
            "queue.gpt.rate_limit.limit": st.sampled_from([600, 1200]),
            "queue.gpt.rate_limit.burst": st.sampled_from([10, 20]),
            "step.small.retry.max_attempts": st.sampled_from([3, 4]),
            "step.small.timeout": st.sampled_from([5, 6]),
            "cascade.answer.at": st.sampled_from([0.7, 0.8]),
            "cascade.answer.order": st.permutations(["small", "medium", "large"]),
            "map.pages.concurrency": st.sampled_from([3, 4]),
            "setting.draft.tone": st.sampled_from(["kind", "short"]),
            "budget.usd": st.sampled_from([0.05, 0.06]),
        },
    )
)
def test_a_simplified_change_comes_to_the_same(values: dict[str, object]) -> None:
    change = Change(support, values)
    simple = change.simplified()

    assert simple.effect == change.effect
    assert set(simple.values) <= set(change.values)
    for key in simple.values:
        rest = {name: it for name, it in simple.values.items() if name != key}
        assert Change(support, rest).effect != change.effect  # each of them is needed
