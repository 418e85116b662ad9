"""Groups: what each row adds to the whole, and to each step, version, tenant... of it.

Sums are bodies themselves: "runs" without their nodes, "nodes" added up, "steps" and "tenants"
with their spend, "tiers" with first attempts by tier, "scores" by kind, "delays", "queues", "cash".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, Literal, TypeAlias

from ._changes import version_name
from ._facts import NodeFacts, Nodes
from ._rows import Body, Row, add, merge

By: TypeAlias = Literal["step", "workflow", "version", "owner", "tenant", "queue"]
Part: TypeAlias = tuple[str, Body]
"""The group, and what to add to it."""

WHOLE: Final = ""
NONE: Final = "(none)"


def parts(row: Row, by: By | None, facts: Callable[[Row, str], NodeFacts]) -> Iterator[Part]:
    """What a row adds to the whole (`WHOLE`) and to the groups."""
    if row.kind == "runs":
        sums = _of_runs(row, facts)
        yield WHOLE, sums
        if by in _OF_RUNS:
            yield _OF_RUNS[by](row.key), sums
        elif by is not None:
            yield from _of_nodes(row, by, facts)
        return
    body: Body = {row.kind: row.body}
    if row.kind == "scores":
        body = {"scores": {row.key["kind"]: row.body}}
    yield WHOLE, body
    name = _name(row, by)
    if name is not None:
        yield name, body


def finder(nodes: Nodes) -> Callable[[Row, str], NodeFacts]:
    """What finds the facts of a node in a row; a node that nobody knows is its own step."""
    known: dict[tuple[str, str, str], NodeFacts] = {}

    def find(row: Row, path: str) -> NodeFacts:
        key = (row.key["workflow"], row.key["version"], path)
        found = known.get(key)
        if found is None:
            found = known[key] = nodes.get(key) or NodeFacts(step=path)
        return found

    return find


def owners(nodes: Nodes) -> dict[str, str]:
    """The owner of each step; of the last version where that has changed."""
    last: dict[str, tuple[str, str]] = {}
    for it in nodes.values():
        if it.step not in last or last[it.step][0] <= it.version:
            last[it.step] = (it.version, it.owner or NONE)
    return {step: owner for step, (_, owner) in last.items()}


def _of_runs(row: Row, facts: Callable[[Row, str], NodeFacts]) -> Body:
    body = dict(row.body)
    by_path: Mapping[str, Body] = body.pop("nodes", {})
    steps: Body = {}
    tiers: Body = {}
    for path, node in by_path.items():
        known = facts(row, path)
        if "spend" in node:
            add(steps.setdefault(known.step, {}), node["spend"])
        if known.tier is not None and "first" in node:
            add(tiers, {str(known.tier): node["first"]})
    sums: Body = {"runs": body, "nodes": merge(*by_path.values()), "steps": steps, "tiers": tiers}
    if "cost" in body:
        missing = body.get("unpriced", {})
        spend = {
            "nanos": body["cost"].get("nanos", 0),
            "lines": missing.get("of", 0),
            "unpriced": missing.get("lines", 0),
        }
        sums["tenants"] = {row.key.get("tenant") or NONE: spend}
    return sums


def _of_nodes(row: Row, by: By, facts: Callable[[Row, str], NodeFacts]) -> Iterator[Part]:
    for path, node in row.body.get("nodes", {}).items():
        known = facts(row, path)
        sums: Body = {"nodes": node}
        if "spend" in node:
            sums["steps"] = {known.step: node["spend"]}
        if known.tier is not None and "first" in node:
            sums["tiers"] = {str(known.tier): node["first"]}
        name = {"step": known.step, "owner": known.owner, "queue": known.queue}[by]
        yield name or NONE, sums


def _name(row: Row, by: By | None) -> str | None:
    """The group that a row of another kind belongs to; None if to no single one."""
    if by is None or by not in _KNOWN_BY[row.kind]:
        return None
    if by in _OF_RUNS:
        return _OF_RUNS[by](row.key)
    return row.key.get(by) or NONE


_OF_RUNS: Final[Mapping[Any, Callable[[Mapping[str, Any]], str]]] = {
    "workflow": lambda key: key["workflow"],
    "version": lambda key: version_name(key["workflow"], key["version"], key["overlay"] or ""),
    "tenant": lambda key: key["tenant"] or NONE,
}
_KNOWN_BY: Final[Mapping[str, frozenset[str]]] = {
    "cash": frozenset(("workflow", "version", "tenant")),
    "scores": frozenset(("workflow", "version")),
    "delays": frozenset(("step", "queue", "owner")),
    "queues": frozenset(("queue",)),
}
