"""docs/control-flow.md shows programs that run, and says what they give."""

import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Final

import pytest

import penstock as ps
from pages import DOCS, blocks, execute_up_to

TEXT: Final = (DOCS / "control-flow.md").read_text("utf-8")
BLOCKS: Final = blocks(TEXT)


@pytest.fixture(scope="module")
def page() -> Iterator[ModuleType]:
    """A module that holds what the page has defined so far."""
    module = ModuleType("control_flow_page")
    sys.modules[module.__name__] = module
    yield module
    del sys.modules[module.__name__]


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_a_program_gives_what_the_page_says(number: int, page: ModuleType) -> None:
    """Each after the ones above it, whose names it may use."""
    assert execute_up_to(number, BLOCKS, page) or number == 0


def test_every_method_of_flow_is_on_the_page() -> None:
    methods = [name for name in dir(ps.Flow) if not name.startswith("_")]
    assert len(methods) > 15
    missing = [name for name in methods if f"**`{name}`**" not in TEXT]
    assert not missing
