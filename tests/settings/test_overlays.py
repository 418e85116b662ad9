"""Overlays: what a release may change without another graph, and how two of them are told apart."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError
from typing import Any

import pytest

import penstock as ps

prompt = ps.Setting("draft.prompt", "Be brief.", version="3", owner="cx")
share = ps.Setting("share", 0.5)
limit = ps.Setting("limit", 5)
flag = ps.Setting("flag", value=False)
ONCE = ps.RetryPolicy(max_attempts=1)
QUEUE = ps.Queue("gpt", concurrency=4)


@ps.step
async def draft(text: str) -> str:
    return text


@ps.step(effects="once")
async def charge(text: str) -> str:
    return text


def test_an_overlay_tells_all_that_it_changes() -> None:
    overlay = ps.Overlay(settings={prompt: "Be kind."}, retry={draft: ONCE}, queues=[QUEUE])
    content = json.loads(overlay.to_json())
    assert content == {
        "settings": {
            "draft.prompt": {
                "value": "Be kind.",
                "digest": ps.Setting("draft.prompt", "Be kind.", version="3", owner="cx").digest,
                "in_place_of": prompt.digest,
            }
        },
        "retry": {"draft": ONCE.to_dict()},
        "queues": {"gpt": QUEUE.to_dict()},
    }
    assert overlay.values() == {"draft.prompt": "Be kind."}
    assert repr(overlay) == "Overlay(settings=['draft.prompt'], retry=['draft'], queues=['gpt'])"


def test_equal_overlays_have_one_digest_and_others_another() -> None:
    one = ps.Overlay(settings={prompt: "Be kind.", limit: 7})
    assert one == ps.Overlay(settings={limit: 7, prompt: "Be kind."})
    assert len({one, ps.Overlay(settings={limit: 7, prompt: "Be kind."})}) == 1
    others = [
        ps.Overlay(settings={prompt: "Be kind.", limit: 8}),
        ps.Overlay(settings={prompt: "Be kind."}),
        ps.Overlay(settings={prompt: "Be kind.", limit: 7}, retry={draft: ONCE}),
        ps.Overlay(settings={prompt: "Be kind.", limit: 7}, queues=[QUEUE]),
    ]
    assert len({one.digest, *(other.digest for other in others)}) == 5


def test_an_overlay_is_frozen_with_all_that_is_in_it() -> None:
    words = ps.Setting("words", ["a"])
    value = ["b"]
    overlay = ps.Overlay(settings={words: value})
    before = overlay.digest
    value.append("c")
    assert ps.Overlay(settings=overlay.settings).digest == before
    with pytest.raises(TypeError):
        overlay.settings[words] = ["d"]  # type: ignore[index]
    with pytest.raises(FrozenInstanceError):
        overlay.queues = ()  # type: ignore[misc]


def test_an_int_stands_in_for_a_float_as_everywhere() -> None:
    value = ps.Overlay(settings={share: 1}).values()["share"]
    assert (value, type(value)) == (1.0, float)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "the overlay changes nothing; give settings=, retry= or queues="),
        ({"settings": {prompt: 5}}, "setting 'draft.prompt' is a str, and was given 5"),
        ({"settings": {limit: True}}, "setting 'limit' is a int, and was given True"),
        ({"settings": {limit: 1.5}}, "setting 'limit' is a int"),
        ({"settings": {flag: 1}}, "setting 'flag' is a bool, and was given 1"),
        ({"settings": {share: float("inf")}}, "setting 'share' is inf"),
        ({"settings": {prompt: None}}, "was given None"),
        ({"settings": {"draft.prompt": "x"}}, "give it by the setting"),
        ({"settings": [prompt]}, "give a dict"),
        (
            {"settings": {prompt: "x", ps.Setting("draft.prompt", "other"): "y"}},
            "two of setting 'draft.prompt'",
        ),
        ({"retry": {"draft": ONCE}}, "give it by the step"),
        ({"retry": {draft: 3}}, "the retry of step 'draft' is 3; give a RetryPolicy"),
        ({"retry": {charge: ps.RetryPolicy()}}, "step 'charge' has effects='once'"),
        ({"queues": ["gpt"]}, "queues is 'gpt'; give queues"),
        ({"queues": [QUEUE, ps.Queue("gpt")]}, "two of queue 'gpt'"),
    ],
)
def test_an_overlay_that_can_not_be_meant_is_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ps.DefinitionError) as caught:
        ps.Overlay(**given)
    assert said in str(caught.value)
