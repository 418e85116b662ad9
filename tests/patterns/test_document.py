"""docs/patterns.md is made from the tests: `PENSTOCK_BLESS=1 pytest tests/patterns` writes it."""

from __future__ import annotations

import ast
import importlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from patterns.catalogue import CATALOGUE, Pattern

HERE: Final = Path(__file__).parent
DOCUMENT: Final = HERE.parents[1] / "docs" / "patterns.md"
SECTIONS: Final = (
    "basic_control_flow",
    "synchronization",
    "discriminators",
    "multiple_instances",
    "state_based",
    "cancellation",
    "iteration",
    "termination",
    "triggers",
)
INTRODUCTION: Final = """\
# Workflow control-flow patterns

The 43 patterns of Russell, ter Hofstede, van der Aalst and Mulyar (*Workflow Control-Flow Patterns:
A Revised View*, BPM-06-22), and how each is drawn. Made from the tests in `tests/patterns`, each of
which runs its pattern in virtual time and tells it from its neighbours; regenerate with
`PENSTOCK_BLESS=1 pytest tests/patterns`.

*Direct*: one construct is made for it. *Composed*: it takes several, as shown. A graph has no
cycles, and a node of it has one value: what a process model calls several threads, tokens or
firings are iterations of a `loop`, items of a `map`, or runs here, and patterns about them are
composed from those. An example may use what one above it in the same section defines.
"""
IMPORTS: Final = """\
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Literal

import penstock as ps
"""


@dataclass(frozen=True, slots=True)
class Drawing:
    pattern: Pattern
    source: str


def module_path(section: str) -> Path:
    return HERE / f"test_{section}.py"


def drawings(section: str) -> Iterator[Drawing]:
    """Each pattern of a section with what stands above its test, in the order of the numbers."""
    importlib.import_module(f"patterns.test_{section}")
    text = module_path(section).read_text("utf-8")
    above: list[str] = []
    found: list[Drawing] = []
    for statement in ast.parse(text).body:
        number = pattern_number(statement)
        if number is not None:
            found.append(Drawing(CATALOGUE[number], joined(above)))
            above = []
        elif not isinstance(statement, ast.Expr | ast.Import | ast.ImportFrom):
            above.append(source(text, statement))
    assert not above, f"{section}: no pattern's test stands below {above[0]!r}"
    yield from sorted(found, key=lambda drawing: drawing.pattern.number)


def pattern_number(statement: ast.stmt) -> int | None:
    """What `@pattern` says, of a test that wears it."""
    for decorator in getattr(statement, "decorator_list", []):
        match decorator:
            case ast.Call(func=ast.Name("pattern"), args=[ast.Constant(int(number)), *_]):
                return number
            case _:
                pass
    return None


def source(text: str, statement: ast.stmt) -> str:
    decorators: list[ast.expr] = getattr(statement, "decorator_list", [])
    first = min([statement.lineno, *(decorator.lineno for decorator in decorators)])
    return "\n".join(text.splitlines()[first - 1 : statement.end_lineno])


def joined(sources: list[str]) -> str:
    """Definitions apart by two lines, and assignments that follow each other by none."""
    text = ""
    for before, after in zip(["", *sources], sources, strict=False):
        together = not (before.startswith(_BLOCKS) or after.startswith(_BLOCKS))
        text += ("" if not text else "\n" if together else "\n\n\n") + after
    return text


def document() -> str:
    sections = {section: list(drawings(section)) for section in SECTIONS}
    rows = sorted(
        (it.pattern for found in sections.values() for it in found), key=lambda it: it.number
    )
    lines = [INTRODUCTION, "| WCP | pattern | grade | construct |", "| ---: | --- | --- | --- |"]
    lines += [
        f"| [{it.number}](#wcp-{it.number}) | {it.name} | {it.grade} | {it.construct} |"
        for it in rows
    ]
    direct = sum(it.grade == "direct" for it in rows)
    lines += ["", f"{direct} direct, {len(rows) - direct} composed.", ""]
    lines += ["What the examples share:", "", *fenced(shared())]
    for section, found in sections.items():
        lines += [f"## {title(section)}", ""]
        for drawing in found:
            it = drawing.pattern
            lines += [f'<a id="wcp-{it.number}"></a>', f"### {it.number} {it.name}", ""]
            lines += [f"{it.grade.capitalize()}: {it.construct}. {it.how}", ""]
            lines += fenced(drawing.source)
    return "\n".join(lines).rstrip() + "\n"


def shared() -> str:
    """The imports and the steps."""
    steps = (HERE / "steps.py").read_text("utf-8")
    return IMPORTS + steps.partition("import penstock as ps\n")[2].rstrip()


def fenced(code: str) -> list[str]:
    return ["```python", code, "```", ""]


def title(section: str) -> str:
    docstring = ast.get_docstring(ast.parse(module_path(section).read_text("utf-8")))
    assert docstring is not None
    return docstring.rstrip(".")


_BLOCKS: Final = ("@", "def ", "class ", "async ")


def test_every_test_module_is_a_section() -> None:
    modules = {path.stem for path in HERE.glob("test_*.py")} - {Path(__file__).stem}
    assert modules == {f"test_{section}" for section in SECTIONS}


def test_every_pattern_has_its_test() -> None:
    found = [it.pattern.number for section in SECTIONS for it in drawings(section)]
    assert sorted(found) == list(range(1, 44))


def test_the_document_is_what_the_tests_say() -> None:
    made = document()
    if "PENSTOCK_BLESS" in os.environ:
        DOCUMENT.write_text(made, "utf-8")
    written = DOCUMENT.read_text("utf-8") if DOCUMENT.exists() else ""
    assert written == made, "regenerate it: PENSTOCK_BLESS=1 pytest tests/patterns"


@pytest.mark.parametrize("section", SECTIONS)
def test_the_examples_of_a_section_can_be_copied(section: str) -> None:
    code = "\n\n\n".join([shared(), *(drawing.source for drawing in drawings(section))])
    exec(compile(code, section, "exec", dont_inherit=True), {"__name__": section})  # noqa: S102
