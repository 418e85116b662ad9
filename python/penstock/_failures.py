"""Failure: what stands in a map's result for an item that failed."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """An item that failed for good in a `Flow.map` with `tolerated_failures`.

    Attributes:
        error: what the step raised.
        node: the path of the node that failed, such as "support/pages[3]".
        attempts: how often it was tried.
    """

    error: BaseException
    node: str
    attempts: int
