"""Listing: the interfaces of workflows, as they are declared or as a store has kept them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from penstock._figures import OVERLAY_TAG
from penstock._interfaces import (
    Interface,
    interfaces_of,
    queue_interface,
    queues_of,
    setting_interface,
)
from penstock._settings import Setting
from penstock._workflows import Workflow

if TYPE_CHECKING:
    from penstock._stored import StoreView


def declared(
    workflows: Iterable[Workflow[..., Any]], settings: Iterable[Setting[Any]] = ()
) -> list[Interface]:
    """The interfaces of workflows, and of settings that are there beside them, each once.

    Their digests are those a store keeps, so that a listing of each can be compared.
    """
    found: dict[tuple[str, ...], Interface] = {}
    for workflow in workflows:
        for interface in (*interfaces_of(workflow), *map(queue_interface, queues_of(workflow))):
            found.setdefault(interface.identity, interface)
    for interface in map(setting_interface, settings):
        found.setdefault(interface.identity, interface)
    return sorted(found.values(), key=_order)


def kept(view: StoreView) -> list[Interface]:
    """The interfaces that a store has kept, with their first and last use by a run that is there.

    A graph, policies and terms are used by the runs of their workflow's version, a setting by those
    of the workflows whose steps name it, a queue by those whose steps name that, an overlay by
    those that were started under it, and a price book by every run where the store has but one.
    O(versions · log runs).
    """
    rows = [
        Interface(kind=kind, name=name, version=version, digest=digest, content=content)
        for kind in KINDS
        for name, version, digest, content in view.reader.interfaces(kind)
    ]
    uses = _Uses(view, rows)
    return sorted((uses.completed(row) for row in rows), key=_order)


class _Uses:
    """Who used what, and when, as far as the terms of the workflows tell."""

    def __init__(self, view: StoreView, rows: Iterable[Interface]) -> None:
        self._view = view
        self._owners: dict[tuple[str, str], str | None] = {}
        self._users: dict[tuple[str, str], list[tuple[str, str]]] = {}
        self._times: dict[tuple[str, str], tuple[float, float]] = {}
        self._books = 0
        for row in rows:
            self._books += row.kind == "price book"
            workflow = row.name, row.version
            if row.kind == "terms":
                terms: dict[str, Any] = json.loads(row.content)
                self._owners[workflow] = terms["owner"]
                for part in (*terms["settings"].values(), *terms["queues"]):
                    self._users.setdefault(("part", part), []).append(workflow)
            elif row.kind == "graph":
                self._times.update(_times(view, *workflow))

    def completed(self, row: Interface) -> Interface:
        """The row with its owner, and when it was used."""
        workflow = row.name, row.version
        if row.kind in _OF_A_WORKFLOW:
            return self._used(replace(row, owner=self._owners.get(workflow)), [workflow])
        if row.kind == "setting":
            owner = json.loads(row.content)["owner"]
            users = self._users.get(("part", row.digest), [])
            return self._used(replace(row, owner=owner), users)
        if row.kind == "queue":
            return self._used(row, self._users.get(("part", row.name), []))
        if row.kind == "overlay":
            tags = {OVERLAY_TAG: row.digest}
            newest, oldest = self._view.runs(tags=tags, limit=1), self._view.oldest(tags=tags)
            if not newest or oldest is None:
                return row
            return replace(row, first=oldest.accepted, last=newest[0].accepted)
        if row.kind in _OF_MONEY and not (row.kind == "price book" and self._books == 1):
            return row
        return self._used(row, [*self._times])

    def _used(self, row: Interface, workflows: list[tuple[str, str]]) -> Interface:
        times = [self._times[each] for each in workflows if each in self._times]
        if not times:
            return row
        return replace(row, first=min(t for t, _ in times), last=max(t for _, t in times))


def _times(
    view: StoreView, name: str, version: str
) -> Iterator[tuple[tuple[str, str], tuple[float, float]]]:
    """When the first and the last run of a version were accepted; nothing if there is none."""
    newest = view.runs(workflow=name, version=version, limit=1)
    oldest = view.oldest(workflow=name, version=version)
    if newest and oldest is not None:
        yield (name, version), (oldest.accepted, newest[0].accepted)


def _order(row: Interface) -> tuple[int, str, str, float]:
    return KINDS.index(row.kind), row.name, row.version, row.first or 0.0


KINDS: Final = (
    "graph",
    "policies",
    "terms",
    "state machines",
    "queue",
    "setting",
    "overlay",
    "budget",
    "price book",
    "rate",
)
"""The kinds that are listed, in this order."""
_OF_A_WORKFLOW: Final = ("graph", "policies", "terms")
_OF_MONEY: Final = ("budget", "price book", "rate")
"""Records name a rate by its digest; which runs they are of is not looked up."""
