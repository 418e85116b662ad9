"""Diff: what a change of a workflow means for its callers, its runs and its dependencies."""

from __future__ import annotations

from typing import Any

from penstock._workflows import Workflow

from ._changes import VERDICTS, Change, Difference, Verdict
from ._compare import compare
from ._interface import interface, parsed

__all__ = ["VERDICTS", "Change", "Difference", "Verdict", "compare", "diff", "interface", "parsed"]


def diff(old: Workflow[..., Any] | str, new: Workflow[..., Any] | str) -> Difference:
    """Compare two versions of a workflow: nodes, edges, contracts, policies and owners.

    Args:
        old: a workflow, or the JSON of one. `penstock graph --format json` writes all there is to
            compare, `Workflow.to_json` the graph only.
        new: the same.

    Raises:
        DefinitionError: a text is no workflow.

    >>> import penstock as ps
    >>> @ps.step
    ... async def shout(text: str) -> str:
    ...     return text.upper()
    >>> patient = ps.RetryPolicy(max_attempts=3)
    >>> def drawn(version: str, **options: object) -> ps.Workflow[[str], str]:
    ...     @ps.workflow(version=version)
    ...     def echo(flow: ps.Flow, text: ps.Node[str]) -> ps.Node[str]:
    ...         return flow.call(shout, text, **options)
    ...
    ...     return echo
    >>> print(ps.diff(drawn("1"), drawn("2", retry=patient)))
    echo 1 -> echo 2: risky
    risky: policy shout: attempts 1 -> 3; a failing dependency gets up to 3 times the calls, not 1
    """
    return compare(_content(old, "the old workflow"), _content(new, "the new workflow"))


def _content(side: Workflow[..., Any] | str, source: str) -> dict[str, Any]:
    return interface(side) if isinstance(side, Workflow) else parsed(side, source)
