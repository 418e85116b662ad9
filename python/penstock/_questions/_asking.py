"""Asking: the questions put to a store, with what each needs from it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from itertools import islice
from typing import TYPE_CHECKING, Any, cast

from penstock._errors import DefinitionError
from penstock._figures import nodes_of_store
from penstock._prices import PriceBook
from penstock._scorecard import Row

from ._features import MOST_RUNS, Foretold, foretold
from ._impact import Change, Impact, impact
from ._reading import OPEN, Terms, rows_of_kinds, terms_of, told
from ._samples import chosen, workflows_of
from ._storms import Storms, storms
from ._value import Values, values

if TYPE_CHECKING:
    from penstock._stored import StoreView


def values_of_store(
    view: StoreView,
    *,
    since: float,
    until: float,
    workflow: str | None = None,
    most: int = MOST_RUNS,
) -> list[Values]:
    """What each step costs and is worth, by workflow.

    O(rows of the window), and the records of some runs.

    Args:
        view: of the store.
        since: seconds since 1970.
        until: likewise.
        workflow: only this one.
        most: how many of its newest runs are looked at.
    """
    rows = rows_of_kinds(view, since, until, "runs", "scores")
    terms = terms_of(view)
    found: list[Values] = []
    for name in _named(workflow, rows):
        own = chosen(rows, name)
        infos = view.every(workflow=name, accepted_after=since, accepted_before=until, limit=most)
        worth = [each.value for each in terms.values() if each.workflow == name]
        found.append(
            values(
                name,
                own,
                told(view, infos, terms),
                nodes_of_store(view, own),
                value=next((value for value in reversed(worth) if value is not None), None),
            )
        )
    return found


def storms_of_store(view: StoreView, *, since: float, until: float) -> Storms:
    """Where storms and tangles are. O(rows of the window), and the graphs of what ran in it."""
    rows = rows_of_kinds(view, since, until, "queues", "delays")
    names = {row.key.get("workflow") for row in rows if row.kind == "delays"}
    known = [each for each in terms_of(view).values() if each.workflow in names]
    return storms(rows, sorted(known, key=lambda each: _last(view, each)))


def foretold_of_store(
    view: StoreView,
    workflow: str,
    *,
    outcome: str = "success",
    most: int = MOST_RUNS,
    since: float | None = None,
    until: float | None = None,
) -> Foretold:
    """What predicts the outcome of a workflow's runs, by the records of its newest ones.

    Args:
        view: of the store.
        workflow: by name.
        outcome: "success" or "score:<kind>".
        most: how many runs are looked at.
        since: runs that started then or later, in seconds since 1970.
        until: likewise, before then.

    Raises:
        DefinitionError: the store has no such workflow, or the outcome is none.
    """
    infos = view.every(workflow=workflow, accepted_after=since, accepted_before=until)
    terms = terms_of(view)
    if not any(name == workflow for name, _ in terms):
        known = ", ".join(sorted({name for name, _ in terms})) or "none"
        raise DefinitionError(
            f"{view.path} has no workflow {workflow!r}", remedy=f"give one that it has: {known}"
        )
    over = (info for info in infos if info.ended is not None)
    scores = outcome.startswith("score:")
    return foretold(workflow, outcome, told(view, islice(over, most), terms, scores=scores))


def impact_of_store(
    view: StoreView,
    change: Change,
    *,
    since: float,
    until: float,
    at: float,
    share: float = 0.1,
) -> Impact:
    """What a change would touch and cost. O(rows of the window + open runs of what it touches).

    Args:
        view: of the store.
        change: what is thought of; with `to` and no prices the store's own price book holds.
        since: seconds since 1970.
        until: likewise.
        at: the instant whose rates are meant, likewise.
        share: of the runs that a release would give to the candidate.

    Raises:
        DefinitionError: nothing is changed, or there is no price book.
    """
    if change.model is None and change.queue is None and change.prices is None:
        raise DefinitionError("no change is given", remedy="name a model, a queue or prices")
    if change.to is not None:
        if change.model is None:
            raise DefinitionError(
                f"nothing is to be replaced by {change.to!r}", remedy="name the model, too"
            )
        if change.prices is None:
            change = Change(
                model=change.model, to=change.to, queue=change.queue, prices=_book(view)
            )
    return impact(
        change,
        rows_of_kinds(view, since, until, "runs", "delays"),
        terms_of(view),
        since=since,
        until=until,
        at=at,
        modes=_modes(view),
        open_runs=lambda workflow, version: _count(
            view.every(workflow=workflow, version=version, status=OPEN)
        ),
        settings=_settings(view, change.model),
        share=share,
    )


def _named(workflow: str | None, rows: Iterable[Row]) -> list[str]:
    known = workflows_of(rows)
    if workflow is not None and workflow not in known:
        raise DefinitionError(
            f"no run of {workflow!r} started in the window",
            remedy=f"give a longer one, or one that did run: {', '.join(known) or 'none'}",
        )
    return known if workflow is None else [workflow]


def _last(view: StoreView, terms: Terms) -> float:
    """When the newest run of a version was accepted."""
    newest = view.runs(workflow=terms.workflow, version=terms.version, limit=1)
    return newest[0].accepted if newest else 0.0


def _book(view: StoreView) -> PriceBook:
    """The last price book that the store was opened with."""
    books = view.reader.interfaces("price book")
    if len({name for name, *_ in books}) != 1:
        many = "books of several packages" if books else "no price book"
        raise DefinitionError(f"{view.path} has {many}", remedy="give the rates as a file")
    return PriceBook.from_dict(json.loads(books[-1][3]))


def _modes(view: StoreView) -> dict[str, set[str]]:
    """By kind and name, the modes that were ever booked aside from the usual one."""
    found: dict[str, set[str]] = {}
    for name, mode, _, _ in view.reader.interfaces("rate"):
        if mode != "usual":
            found.setdefault(name, set()).add(mode)
    return found


def _settings(view: StoreView, model: str | None) -> list[str]:
    """The settings whose value names a model."""
    if model is None:
        return []
    return [
        name
        for name, _, _, content in view.reader.interfaces("setting")
        if any(fnmatchcase(text, model) for text in _texts(json.loads(content).get("value")))
    ]


def _texts(content: Any) -> Iterable[str]:
    """All texts in plain data."""
    if isinstance(content, str):
        yield content
    elif isinstance(content, dict):
        for value in cast("dict[str, Any]", content).values():
            yield from _texts(value)
    elif isinstance(content, list):
        for value in cast("Sequence[Any]", content):
            yield from _texts(value)


def _count(runs: Iterable[object]) -> int:
    return sum(1 for _ in runs)
