"""The catalogue of the patterns: the mark that a pattern's test wears."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias, TypeVar

Test = TypeVar("Test", bound=Callable[..., Any])
Grade: TypeAlias = Literal["direct", "composed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pattern:
    """One of the 43 workflow control-flow patterns, and how it is drawn here.

    Attributes:
        number: as in WCP-1 to WCP-43.
        name: as in the literature.
        grade: "direct" if one construct is made for it, "composed" if it takes several.
        construct: what is used, as code.
        how: one sentence: what makes it this pattern and not its neighbour.
    """

    number: int
    name: str
    grade: Grade
    construct: str
    how: str


CATALOGUE: Final[dict[int, Pattern]] = {}
"""The patterns of the test modules that are imported, by number."""


def pattern(
    number: int, name: str, grade: Grade, *, construct: str, how: str
) -> Callable[[Test], Test]:
    """Mark the test of a pattern; what stands above it in its module draws the pattern."""
    marked = Pattern(number=number, name=name, grade=grade, construct=construct, how=how)
    if CATALOGUE.setdefault(number, marked) != marked:
        raise ValueError(f"WCP-{number} is {CATALOGUE[number].name} already")
    return lambda test: test
