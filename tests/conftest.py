"""Fixtures of all tests."""

from __future__ import annotations

import gc
from typing import cast

import pytest

from loops import Task


@pytest.fixture(params=["own", "auto"])
def task(request: pytest.FixtureRequest) -> Task:
    """Both ways to dispatch an async step: in a task of its own, and on a carrier."""
    return cast("Task", request.param)


@pytest.fixture(autouse=True, scope="session")
def _frozen() -> None:
    """What is imported stays: the collections of the tests need not walk it."""
    gc.collect()
    gc.freeze()
