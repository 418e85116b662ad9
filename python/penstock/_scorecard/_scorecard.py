"""The scorecard: a window's metrics in four layers, as a whole and by group, with their trend."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final, get_args

from penstock._errors import DefinitionError, PenstockError
from penstock._policies._checks import one_of

from ._changes import change_of, version_name
from ._codec import read, written
from ._facts import Nodes, Notes, Overrun
from ._figures import Share
from ._groups import NONE, WHOLE, By, finder, owners, parts
from ._metrics import (
    Card,
    accepted_of,
    economics_of,
    point_of,
    quality_of,
    reliability_of,
)
from ._rows import Body, Row, between, combined, grid, merge


@dataclass(frozen=True, slots=True, kw_only=True)
class Scorecard:
    """The metrics of a window.

    Attributes:
        since: its start, in seconds since 1970; windows of rows that start then or later count.
        until: its end, which does not belong to it.
        by: what the groups are; None for the whole only.
        windows: starts of the windows that trends are shown by.
        width: of these, in seconds.
        whole: all of it.
        groups: the costliest first.
    """

    FORMAT: ClassVar[int] = 1

    since: float
    until: float
    by: str | None
    windows: tuple[float, ...]
    width: int
    whole: Card
    groups: tuple[Card, ...]

    def to_dict(self) -> dict[str, Any]:
        """As plain data; what has no data is None."""
        content: dict[str, Any] = written(self)
        return {"format": self.FORMAT, **content}

    def to_json(self) -> str:
        """As JSON, which `from_json` reads."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str | bytes) -> Scorecard:
        """The scorecard of `to_json`.

        Raises:
            PenstockError: it is none, or of another format.
        """
        try:
            content = json.loads(text)
            found = content.pop("format")
            if found == cls.FORMAT:
                scorecard: Scorecard = read(cls, content)
                return scorecard
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise PenstockError(
                f"this is no scorecard: {error}", remedy="give what Scorecard.to_json wrote"
            ) from None
        raise PenstockError(
            f"the scorecard has format {found!r}", remedy=f"give one of format {cls.FORMAT}"
        )


def scorecard(
    rows: Iterable[Row],
    *,
    since: float,
    until: float,
    by: By | None = None,
    nodes: Nodes | None = None,
    notes: Notes | None = None,
) -> Scorecard:
    """The scorecard of [since, until). O(numbers in the rows).

    Args:
        rows: of this window at least; runs that are open for longer than the horizon come as
            `unresolved` rows.
        since: seconds since 1970.
        until: likewise.
        by: what to group by.
        nodes: what is known of the nodes.
        notes: what is known of changes and budgets.

    Raises:
        DefinitionError: the window is empty, or nothing can be grouped by `by`.
    """
    if not since < until:
        raise DefinitionError(
            f"the window from {since:.0f} to {until:.0f} is empty",
            remedy="give an end that is after its start",
        )
    if by is not None:
        one_of(by, "by", get_args(By))
    nodes, notes = nodes or {}, notes or Notes()
    inside = list(between(rows, since, until))
    width = grid(inside, since, until)
    cells = list(combined(inside, width))
    sums = _sums(cells, by, nodes)
    starts = _starts(since, until, width)
    live = {
        (row.key["workflow"], row.key["version"], row.key["overlay"] or "")
        for row in cells
        if row.kind == "runs" and row.body.get("accepted")
    }

    def card(name: str, by: By | None) -> Card:
        unit = "nodes" if by in _OF_NODES else "runs"
        chosen = _chosen(name, by)
        change = None
        if by in (None, "workflow", "version"):
            change = change_of(notes, live, since, until, chosen)
        total, windows = sums[name if by is not None else WHOLE]
        points = [point_of(windows.get(start, {}), unit) for start in starts]
        return Card(
            name=name,
            unit=unit,
            accepted=accepted_of(total, unit),
            quality=quality_of(total, unit),
            reliability=reliability_of(total, unit),
            economics=economics_of(total, unit, _overruns(notes, name, by, since, until)),
            change=change,
            trend={metric: tuple(point[metric] for point in points) for metric in points[0]},
        )

    whole = card("all", None)
    groups = [card(name, by) for name in sums if name != WHOLE]
    groups.sort(key=lambda it: (-it.economics.cost.nanos, -it.accepted, it.name))
    return Scorecard(
        since=since,
        until=until,
        by=by,
        windows=starts,
        width=width,
        whole=whole,
        groups=tuple(groups),
    )


def unresolved(
    at: float,
    workflow: str,
    version: str,
    *,
    overlay: str = "",
    tenant: str | None = None,
    cause: str = "unresolved",
) -> Row:
    """The row of a run that started at `at` and is not over: a failure by its cause.

    It is open for longer than the horizon ("unresolved"), or can't be undone.
    """
    key = {"workflow": workflow, "version": version, "overlay": overlay, "tenant": tenant}
    return Row(at // 60 * 60, "runs", key, {"ended": {cause: 1}})


def _sums(
    cells: Sequence[Row], by: By | None, nodes: Nodes
) -> dict[str, tuple[Body, dict[float, Body]]]:
    """By group: the sums of all, and those by window."""
    found: dict[str, dict[float, list[Body]]] = {WHOLE: {}}
    facts, owner = finder(nodes), owners(nodes)
    for cell in cells:
        row = cell
        if cell.kind == "delays" and by == "owner":
            key = {**cell.key, "owner": owner.get(cell.key["step"])}
            row = Row(cell.window, cell.kind, key, cell.body)
        for name, body in parts(row, by, facts):
            found.setdefault(name, {}).setdefault(cell.window, []).append(body)
    sums: dict[str, tuple[Body, dict[float, Body]]] = {}
    for name, bodies in found.items():
        windows = {start: merge(*them) for start, them in bodies.items()}
        sums[name] = merge(*windows.values()), windows
    return sums


def _starts(since: float, until: float, width: int) -> tuple[float, ...]:
    first = int(since // width)
    last = int(-(-until // width))
    return tuple(float(number * width) for number in range(first, last))


def _chosen(name: str, by: By | None) -> Callable[[str, str], bool]:
    """Whether a workflow's version belongs to a card."""
    if by == "workflow":
        return lambda workflow, version: workflow == name  # noqa: ARG005
    if by == "version":
        return lambda workflow, version: name.partition(" + ")[0] == version_name(workflow, version)
    return lambda workflow, version: True  # noqa: ARG005


def _overruns(notes: Notes, name: str, by: By | None, since: float, until: float) -> Share | None:
    """Nano-dollars above budgets, and how often; None where they are not told apart."""
    if notes.overruns is None or by in _OF_NODES:
        return None
    chosen = _chosen(name, by)

    def mine(it: Overrun) -> bool:
        if by == "tenant":
            return (it.tenant or NONE) == name
        return chosen(it.workflow, it.version)

    found = [it for it in notes.overruns if since <= it.at < until and mine(it)]
    return Share(sum(it.nanos for it in found), len(found))


_OF_NODES: Final = ("step", "owner", "queue")
