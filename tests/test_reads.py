"""What the code of a step reaches beside its inputs, found without running it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest

import penstock as ps
import reading
from penstock._reads import settings_read, state_shared

first = ps.Setting("first", "a")
second = ps.Setting("second", "b")
TABLE: dict[str, str] = {}
FIXED = ("a", "b")
counter = 0


def nothing(text: str, ctx: ps.Context) -> str:
    return ctx.first + text  # type: ignore[attr-defined, no-any-return]  # a name is not enough


async def both(text: str, ctx: ps.Context) -> str:
    return ctx.get(second) + ctx.get(first) + ctx.get(second)


def inside(ctx: ps.Context) -> list[str]:
    return [ctx.get(first) for _ in range(3)] + list(map(lambda _: ctx.get(second), "a"))  # noqa: C417


def elsewhere(ctx: ps.Context) -> str:
    return ctx.get(reading.prompt) + ctx.get(reading.Prompts.long)


def around() -> Callable[..., Any]:
    mine = ps.Setting("mine", 1)

    def step(ctx: ps.Context) -> int:
        return ctx.get(mine)

    return step


@pytest.mark.parametrize(
    ("function", "names"),
    [
        (nothing, []),
        (both, ["second", "first"]),
        (inside, ["first", "second"]),
        (elsewhere, ["module.prompt", "module.long"]),
        (around(), ["mine"]),
        (partial(both, "x"), ["second", "first"]),
        (len, []),
        (SimpleNamespace(), []),
    ],
)
def test_the_settings_that_code_names(function: Any, names: list[str]) -> None:
    assert [setting.name for setting in settings_read(function)] == names


def keeps(text: str) -> str:
    return TABLE.setdefault(text, text)


def counts(text: str) -> str:
    global counter  # noqa: PLW0603
    counter += 1
    return text


def fixed(text: str) -> str:
    local = {text: 1}
    return FIXED[local[text]] + str(reading.LIMITS)


def of_module(text: str) -> str:
    return str(reading.SEEN) + text


def closes() -> Callable[..., Any]:
    seen: list[str] = []

    def step(text: str) -> str:
        seen.append(text)
        return text

    return step


@pytest.mark.parametrize(
    ("function", "told"),
    [
        (keeps, ["uses TABLE, a dict that others see as well"]),
        (counts, ["assigns counter of its module"]),
        (fixed, []),
        (of_module, ["uses reading.SEEN, a set that others see as well"]),
        (closes(), ["uses seen, a list that others see as well"]),
        (nothing, []),
    ],
)
def test_the_state_that_code_shares(function: Any, told: list[str]) -> None:
    """What one attempt leaves for another does not travel on an edge, and is lost in a crash."""
    assert state_shared(function) == told
