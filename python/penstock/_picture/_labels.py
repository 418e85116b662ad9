"""Labels: what is written on a node, and how much room it takes."""

from __future__ import annotations

from dataclasses import dataclass
from math import fsum
from typing import Final

from penstock._graph import (
    Accept,
    Acquire,
    Collect,
    Graph,
    GraphNode,
    Loop,
    Map,
    Recurse,
    Region,
    Sleep,
    Spawn,
    Wait,
)
from penstock._policies import RetryPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """The text of a node.

    Attributes:
        title: the last part of its path, shortened to fit.
        note: a line below it, smaller; may be empty.
        width: of the wider line, in pixels.
    """

    title: str
    note: str
    width: float


def label(graph: Graph, node: GraphNode) -> Label:
    """What is written on `node`: its name in the sub-workflow, and what is special about it."""
    region = graph.regions[node.region]
    title = shortened(_title(node, region), _LONGEST)
    note = _note(node)
    note = "" if note == title else shortened(note, _LONGEST + 6)
    return Label(title=title, note=note, width=max(width(title, TITLE), width(note, NOTE)))


def width(text: str, size: float) -> float:
    """About how wide `text` is in pixels in a sans-serif face of `size` pixels, rather too wide."""
    return size * fsum(_WIDTHS.get(char, 0.62 if char.islower() else 0.7) for char in text)


def shortened(text: str, most: int) -> str:
    """The text with its middle left out where it has more than `most` characters."""
    if len(text) <= most:
        return text
    half = (most - 1) // 2
    return f"{text[:half]}…{text[-half:]}"


def duration(seconds: float) -> str:
    """Seconds as one would say them: "250 ms", "20 s", "3 d"."""
    for unit, length in _UNITS:
        if seconds >= length:
            return f"{seconds / length:.3g} {unit}"
    return f"{seconds * 1000:.3g} ms"


def _title(node: GraphNode, region: Region) -> str:
    """The path below the region; of a case only its label; of a body's own step its name."""
    below = node.path.removeprefix(region.prefix).lstrip("/")
    if node.kind == "case" and below.endswith("]"):
        return below[below.rindex("[") + 1 : -1]
    if not below:
        return node.step.name if node.step else node.path.rpartition("/")[2]
    return " / ".join(below.split("/")[-2:])


def _note(node: GraphNode) -> str:
    parts: tuple[str | None, ...]
    match node.detail:
        case Accept(explore=explore):
            parts = "accept", f"explores {explore:.3g}" if explore else ""
        case Acquire(key=key):
            parts = (f"key {key!r}" if key else "one at a time by key",)
        case Collect(need=need):
            parts = "collect", f"needs {need}" if need else ""
        case Loop(max_iterations=most):
            parts = "loop", f"≤ {most} times"
        case Map(concurrency=width, need=need):
            together = f"{width} at once" if width else ""
            parts = "for each", together, f"needs {need}" if need else ""
        case Recurse(max_depth=depth):
            parts = "recurse", f"≤ {depth} deep" if depth else ""
        case Sleep(seconds=seconds):
            parts = (f"sleep {duration(seconds)}",)
        case Spawn(workflow=workflow):
            parts = (f"spawn {workflow.name}",)
        case Wait(signal=signal, timeout=timeout, owner=owner):
            limit = f"≤ {duration(timeout)}" if timeout else ""
            parts = owner, f"waits for {signal.name}", limit
        case _:
            parts = _plain_note(node)
    return " · ".join(part for part in parts if part)


def _plain_note(node: GraphNode) -> tuple[str | None, ...]:
    if node.kind in ("input", "constant"):
        return (node.contract.name,)
    if node.step is not None:
        retry: RetryPolicy | None = node.option("retry")
        many = retry is not None and retry.max_attempts > 1
        return node.step.owner, f"≤ {retry.max_attempts} attempts" if retry and many else ""
    return () if node.kind == "case" else (node.kind,)


TITLE: Final = 13.0
NOTE: Final = 10.5
_LONGEST: Final = 34
_UNITS: Final = (("d", 86400.0), ("h", 3600.0), ("min", 60.0), ("s", 1.0))
_NARROW: Final = dict.fromkeys("ijlft.,:;'|!()[]/ ", 0.38)
_WIDE: Final = dict.fromkeys("mwMW@%", 0.95)
_WIDTHS: Final = {**_NARROW, **_WIDE}
