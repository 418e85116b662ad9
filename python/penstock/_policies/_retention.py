"""Retention: how long a store keeps what is over."""

from __future__ import annotations

from dataclasses import dataclass

from penstock._errors import DefinitionError

from ._checks import Seconds, seconds, whole
from ._json import Policy


@dataclass(frozen=True, slots=True, kw_only=True, init=False, repr=False)
class Retention(Policy):
    """How long a store keeps runs that have ended; both limits hold. Others are kept for ever.

    Attributes:
        max_age: seconds since a run ended, or None for no limit.
        max_runs: how many that ended last, or None for no limit.

    Raises:
        DefinitionError: a limit is out of its range, or none is given.

    >>> import penstock as ps
    >>> ps.Retention(max_age=30 * 86_400, max_runs=100_000)
    Retention(max_age=2592000.0, max_runs=100000)
    """

    max_age: float | None
    max_runs: int | None

    def __init__(self, *, max_age: Seconds | None = None, max_runs: int | None = None) -> None:
        if max_age is None and max_runs is None:
            raise DefinitionError(
                "Retention has no limit", remedy="give max_age= or max_runs=, or leave it out"
            )
        self._keep(
            max_age=None if max_age is None else seconds(max_age, "Retention.max_age", zero=True),
            max_runs=None if max_runs is None else whole(max_runs, "Retention.max_runs", least=0),
        )
