"""Shapes: one SVG outline for each kind of node, and the colours."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final
from xml.sax.saxutils import escape, quoteattr

from penstock._graph import NodeKind

Box = tuple[float, float, float, float]
"""x, y, width and height in pixels."""


@dataclass(frozen=True, slots=True)
class Look:
    """How a kind or a state is painted.

    Attributes:
        fill: of the shape.
        line: its outline.
        text: of the title.
        dashes: of the outline; empty for a solid one.
    """

    fill: str
    line: str
    text: str = "#0f172a"
    dashes: str = ""


def outline(kind: NodeKind, box: Box, paint: str) -> str:
    """The shape of a node of `kind` that fills `box`; `paint` is its attributes."""
    return _OUTLINES.get(kind, _rounded)(box, paint)


def indent(kind: NodeKind, height: float) -> float:
    """Pixels that the shape of `kind` takes from the room for text, on either side."""
    return height * _INDENTS.get(_OUTLINES.get(kind, _rounded), 0.0)


def text(
    x: float,
    y: float,
    content: str,
    size: float,
    fill: str,
    *,
    anchor: str = "middle",
    bold: bool = False,
) -> str:
    """One line of text with its baseline at y."""
    weight = ' font-weight="600"' if bold else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size:g}" fill="{fill}" '
        f'text-anchor="{anchor}"{weight}>{escape(content)}</text>'
    )


def attribute(content: str) -> str:
    """The value of an attribute, quoted and escaped."""
    return quoteattr(content)


def words(content: str) -> str:
    """The text of an element, escaped."""
    return escape(content)


def rectangle(box: Box, paint: str, radius: float) -> str:
    """A rectangle with round corners."""
    x, y, width, height = box
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" '
        f'rx="{radius:g}" {paint}/>'
    )


def _rounded(box: Box, paint: str) -> str:
    return rectangle(box, paint, 6)


def _pill(box: Box, paint: str) -> str:
    return rectangle(box, paint, box[3] / 2)


def _soft(box: Box, paint: str) -> str:
    return rectangle(box, paint, 14)


def _hexagon(box: Box, paint: str) -> str:
    x, y, width, height = box
    cut, middle = height / 3, y + height / 2
    return _polygon(
        [
            (x, middle),
            (x + cut, y),
            (x + width - cut, y),
            (x + width, middle),
            (x + width - cut, y + height),
            (x + cut, y + height),
        ],
        paint,
    )


def _arrow(box: Box, paint: str) -> str:
    """A flag with a notch at its left: something comes in from outside."""
    x, y, width, height = box
    notch = height / 4
    return _polygon(
        [
            (x, y),
            (x + width, y),
            (x + width, y + height),
            (x, y + height),
            (x + notch, y + height / 2),
        ],
        paint,
    )


def _double(box: Box, paint: str) -> str:
    """A frame in a frame: another run."""
    x, y, width, height = box
    inner = (x + 3.5, y + 3.5, width - 7, height - 7)
    return rectangle(box, paint, 6) + rectangle(inner, paint, 3)


def _polygon(points: list[tuple[float, float]], paint: str) -> str:
    listed = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polygon points="{listed}" stroke-linejoin="round" {paint}/>'


_OUTLINES: Final[Mapping[NodeKind, Callable[[Box, str], str]]] = {
    "input": _pill,
    "apply": _soft,
    "switch": _hexagon,
    "when": _hexagon,
    "accept": _hexagon,
    "case": _pill,
    "merge": _pill,
    "collect": _pill,
    "race": _pill,
    "optional": _pill,
    "signal": _arrow,
    "sleep": _arrow,
    "spawn": _double,
}
_INDENTS: Final[Mapping[Callable[[Box, str], str], float]] = {
    _hexagon: 1 / 3,
    _pill: 1 / 4,
    _arrow: 1 / 4,
}
_DECISION: Final = Look("#fef3c7", "#b45309")
_JOIN: Final = Look("#e0e7ff", "#4f46e5")
_WAIT: Final = Look("#f3e8ff", "#7e22ce")
_GIVEN: Final = Look("#f1f5f9", "#64748b")
_GUARD: Final = Look("#f8fafc", "#64748b", dashes="4 3")
KINDS: Final[Mapping[NodeKind, Look]] = {
    "input": _GIVEN,
    "constant": _GIVEN,
    "step": Look("#ffffff", "#334155"),
    "apply": Look("#ecfeff", "#0e7490"),
    "switch": _DECISION,
    "when": _DECISION,
    "accept": _DECISION,
    "case": Look("#fffbeb", "#d97706"),
    "merge": _JOIN,
    "collect": _JOIN,
    "race": _JOIN,
    "optional": _JOIN,
    "map": Look("#f8fafc", "#4f46e5"),
    "loop": Look("#f8fafc", "#4f46e5"),
    "recurse": Look("#f8fafc", "#4f46e5"),
    "signal": _WAIT,
    "sleep": _WAIT,
    "spawn": Look("#ffffff", "#334155"),
    "acquire": _GUARD,
    "shield": _GUARD,
    "cancel": Look("#fff1f2", "#be123c", dashes="4 3"),
    "undo": Look("#fdf2f8", "#be185d", dashes="4 3"),
}
STATES: Final[Mapping[str, Look]] = {
    "succeeded": Look("#dcfce7", "#15803d"),
    "failed": Look("#fee2e2", "#b91c1c"),
    "skipped": Look("#f8fafc", "#cbd5e1", "#94a3b8", "4 3"),
    "running": Look("#dbeafe", "#1d4ed8"),
    "waiting": Look("#fef9c3", "#a16207"),
    "cancelled": Look("#ffedd5", "#c2410c"),
    "compensated": Look("#f3e8ff", "#7e22ce"),
    "compensation_failed": Look("#fae8ff", "#a21caf"),
    "covered": Look("#dcfce7", "#15803d"),
    "missed": Look("#fee2e2", "#b91c1c"),
}
PENDING: Final = Look("#ffffff", "#cbd5e1", "#64748b")
"""Of a node that a run did not come to."""
OWNERS: Final = (
    "#0ea5e9",
    "#10b981",
    "#8b5cf6",
    "#ec4899",
    "#ca8a04",
    "#4338ca",
    "#14b8a6",
    "#64748b",
)
