"""Pages of the documentation whose programs run: what a line gives stands behind `# ->`."""

import re
from pathlib import Path
from types import ModuleType
from typing import Any, Final

DOCS: Final = Path(__file__).parents[1] / "docs"
CLAIM: Final = re.compile(r"^(?P<expression>\S.*?)  # -> (?P<result>.*)$")


def blocks(text: str, language: str = "python") -> list[str]:
    """The fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


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


def execute_up_to(number: int, programs: list[str], page: ModuleType) -> int:
    """Run a program after those above it, whose names it may use; how many claims it makes."""
    for before in range(getattr(page, "done", 0), number):
        execute(programs[before], page)
    page.__dict__["done"] = number + 1
    return execute(programs[number], page)
