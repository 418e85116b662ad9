"""Selects the workflows to report: by name, by module, or as module:workflow."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from typing import Any

from ._coverage import Coverage, Identity, WorkflowCoverage
from ._coverage_graph import coverage_of
from ._errors import PenstockError
from ._workflows import Workflow


def select(coverage: Coverage, wanted: Iterable[str]) -> tuple[Coverage, list[str]]:
    """The part of `coverage` that is wanted, and a message for each name that means nothing.

    What is no name of a workflow that ran is imported as a module; its workflows are reported even
    if they never ran.
    """
    ran = {workflow.identity: workflow for workflow in coverage.workflows}
    kept: dict[Identity, WorkflowCoverage] = {}
    problems: list[str] = []
    for name in wanted:
        found = [workflow for workflow in ran.values() if workflow.name == name]
        if not found:
            try:
                drawn = map(coverage_of, _drawn(name))
                found = [ran.get(blank.identity, blank) for blank in drawn]
            except PenstockError as error:
                problems.append(f"--penstock-cov: {error}")
        kept |= {workflow.identity: workflow for workflow in found}
    return Coverage.of(kept.values()), problems


def _drawn(name: str) -> list[Workflow[..., Any]]:
    """The workflows of "module" or "module:workflow".

    Raises:
        PenstockError: there are none.
    """
    place, _, attribute = name.partition(":")
    try:
        module = importlib.import_module(place)
    except ModuleNotFoundError as error:
        if not f"{place}.".startswith(f"{error.name}."):
            raise PenstockError(f"module {place!r} can't be imported: {error}") from error
        raise PenstockError(
            f"no workflow {name!r} ran, and there is no such module",
            remedy="give the name of a workflow, a module, or module:workflow",
        ) from None
    except Exception as error:
        raise PenstockError(
            f"module {place!r} can't be imported: {type(error).__name__}: {error}"
        ) from error
    names = vars(module)
    values: Iterable[Any] = [names.get(attribute)] if attribute else names.values()
    drawn: list[Workflow[..., Any]] = [value for value in values if isinstance(value, Workflow)]
    if drawn:
        return drawn
    raise PenstockError(
        f"there is no workflow {attribute!r} in {place!r}"
        if attribute
        else f"there is no workflow in {place!r}",
        remedy="look for the one that has it",
    )
