"""Settings: what may be one, how they are told apart, and what a step reads of them."""

from __future__ import annotations

import json
import pickle
from dataclasses import FrozenInstanceError
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

import penstock as ps
from loops import Task, virtual

json_values = st.recursive(
    st.text(st.characters(exclude_categories=["Cs"]))
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab"), inner, max_size=3),
    max_leaves=8,
).filter(lambda value: value is not None)


class Model(BaseModel):
    name: str
    temperature: float = 0.0


prompt = ps.Setting("draft.prompt", "Be brief.", version="3", owner="cx")
stops = ps.Setting("draft.stops", ["\n", "END"])
model = ps.Setting("draft.model", Model(name="large"))


@ps.step
async def draft(text: str, ctx: ps.Context) -> str:
    return f"{ctx.get(prompt)} {text} {ctx.get(model).name} {len(ctx.get(stops))}"


@ps.step
def plain(text: str, ctx: ps.Context) -> str:
    return f"{ctx.get(prompt)} {text}"


@given(json_values)
def test_whatever_json_has_may_be_a_setting_and_comes_back(value: Any) -> None:
    setting = ps.Setting("s", value)
    assert setting.value == value
    assert type(setting.value) is type(value)
    assert setting.to_dict()["value"] == value
    again: ps.Setting[Any] = pickle.loads(pickle.dumps(setting))  # noqa: S301
    assert again == setting
    assert again.value == value


@given(json_values, json_values)
def test_settings_are_told_apart_by_what_they_say(a: Any, b: Any) -> None:
    """Equal values have one digest in the same process and in the next; others never."""
    one, other = ps.Setting("s", a), ps.Setting("s", b)
    texts = [json.dumps(value, sort_keys=True) for value in (a, b)]
    assert (one.digest == other.digest) == (texts[0] == texts[1])
    assert ps.Setting("s", a, version="2").digest != one.digest
    assert ps.Setting("s", a, owner="cx").digest != one.digest
    assert {one: 1}[ps.Setting("s", a)] == 1


def test_a_digest_does_not_change_between_versions_of_penstock() -> None:
    """Stores have it in them: an attempt of last year is to be found by it."""
    assert prompt.digest == "e2b5a1354d25be904f2bb80db3d49abfe3246c50d85fc506e1c96386413ca2b1"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("", "x"), "a setting's name is ''; give a string that is not empty"),
        ((5, "x"), "a setting's name is 5"),
        (("s", None), "setting 's' is None; give a string, a finite number"),
        (("s", float("nan")), "setting 's' is nan: Out of range float values"),
        (("s", [1, float("inf")]), "setting 's' is [1, inf]"),
        (("s", (1, 2)), "setting 's' is (1, 2); give a string"),
        (("s", {"a": (1,)}), "setting 's' is {'a': (1,)}; give"),
        (("s", {1: "a"}), "dicts with string keys"),
        (("s", object()), "is not JSON serializable"),
        (("s", "\ud800"), "surrogates not allowed"),
        (("s", len), "is not JSON serializable"),
    ],
)
def test_what_is_no_setting_is_refused_with_the_remedy(arguments: Any, said: str) -> None:
    with pytest.raises(ps.DefinitionError) as caught:
        ps.Setting(*arguments)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"version": ""}, "the version of setting 's' is ''"),
        ({"version": 3}, "the version of setting 's' is 3"),
        ({"owner": " "}, "the owner of setting 's' is ' '"),
    ],
)
def test_a_wrong_version_or_owner_is_refused(options: Any, said: str) -> None:
    with pytest.raises(ps.DefinitionError) as caught:
        ps.Setting("s", "x", **options)
    assert said in str(caught.value)


def test_a_setting_does_not_change_by_what_somebody_does_to_its_value() -> None:
    """A list that one step appends to would be another list for all attempts after it."""
    given = ["a"]
    setting = ps.Setting("s", given)
    given.append("b")
    setting.value.append("c")
    assert setting.value == ["a"]
    with pytest.raises(FrozenInstanceError):
        setting.version = "2"  # type: ignore[misc]


async def _drafted(**options: Any) -> str:
    return await draft("hello", ps.testing.context(**options))


@virtual
async def test_a_test_sets_what_a_step_reads() -> None:
    recorder = ps.testing.Recorder()
    assert await _drafted(recorder=recorder) == "Be brief. hello large 2"
    assert recorder.read == ["draft.prompt", "draft.model", "draft.stops"]
    told = await _drafted(settings={prompt: "Be kind.", model: Model(name="small")})
    assert told == "Be kind. hello small 2"
    with pytest.raises(ps.DefinitionError, match=r"setting 'draft\.prompt' is a str"):
        await _drafted(settings={prompt: 5})


@virtual
async def test_a_step_in_a_run_reads_its_own_values_and_those_of_an_overlay(task: Task) -> None:
    """A release puts the values of its overlay in force for the runs of one version."""

    @ps.workflow(version="1")
    def first(flow: ps.Flow, text: ps.Node[str]) -> ps.Node[str]:
        return flow.call(draft, text)

    @ps.workflow(name="first", version="2")
    def second(flow: ps.Flow, text: ps.Node[str]) -> ps.Node[str]:
        return flow.call(draft, text)

    overlay = ps.Overlay(settings={prompt: "Be kind."})
    async with ps.Runtime(task=task, workflows=[first, second]) as rt:
        assert await rt.run(first, "a") == "Be brief. a large 2"
        number = rt._registry.plans[second]
        rt._driver.overlays[number] = overlay.values()
        assert await rt.run(first, "b") == "Be brief. b large 2"
        assert await rt.run(second, "b") == "Be kind. b large 2"
        del rt._driver.overlays[number]
        assert await rt.run(second, "c") == "Be brief. c large 2"


@virtual
async def test_a_step_in_a_thread_reads_settings_too(task: Task) -> None:
    async with ps.Runtime(task=task, workflows=[plain]) as rt:
        assert await rt.run(plain, "a") == "Be brief. a"


@virtual
async def test_what_is_no_setting_can_not_be_read(task: Task) -> None:
    @ps.step
    async def wrong(text: str, ctx: ps.Context) -> str:
        return ctx.get("draft.prompt")  # type: ignore[arg-type]  # on purpose

    async with ps.Runtime(task=task) as rt:
        with pytest.raises(ps.RunFailed, match=r"'draft\.prompt' is no setting") as caught:
            await rt.run(wrong, "a")
        assert isinstance(caught.value.__cause__, TypeError)
