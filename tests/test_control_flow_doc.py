"""docs/control-flow.md shows programs that run, and says what they give."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import pytest

import penstock as ps

TEXT: Final = (Path(__file__).parents[1] / "docs" / "control-flow.md").read_text("utf-8")
BLOCKS: Final = re.findall(r"^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
CLAIM: Final = re.compile(r"^(?P<expression>\S.*?)  # -> (?P<result>.*)$")


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
    for before in range(getattr(page, "done", 0), number):
        execute(BLOCKS[before], page)
    page.__dict__["done"] = number + 1
    claims = execute(BLOCKS[number], page)
    assert claims or number == 0


def execute(block: str, page: ModuleType) -> int:
    """Run a block, and hold each claim against what its line gives; how many there were."""
    claims, statements = 0, list[str]()
    for line in [*block.splitlines(), ""]:
        claim = CLAIM.match(line)
        if not claim:
            statements.append(line)
            continue
        exec("\n".join(statements), page.__dict__)  # noqa: S102  # our own page
        statements.clear()
        given: Any = eval(claim["expression"], page.__dict__)  # noqa: S307
        assert repr(given) == claim["result"], claim["expression"]
        claims += 1
    exec("\n".join(statements), page.__dict__)  # noqa: S102
    return claims


def test_every_method_of_flow_is_on_the_page() -> None:
    methods = [name for name in dir(ps.Flow) if not name.startswith("_")]
    assert len(methods) > 15
    missing = [name for name in methods if f"**`{name}`**" not in TEXT]
    assert not missing
