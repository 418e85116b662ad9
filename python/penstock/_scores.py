"""Scores: how good the outcomes of runs were, as people or other programs say, at any time."""

from __future__ import annotations

import asyncio
import json
import math
from typing import TYPE_CHECKING, Final, NamedTuple

from ._errors import DefinitionError, RunNotFound
from ._figures import score_row
from ._policies import word

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._engine import Core
    from ._stored import StoreView


class Scored(NamedTuple):
    """The run that is scored: when it was accepted, and what it ran."""

    accepted: float
    workflow: str
    version: str
    overlay: str


class Scores:
    """Takes scores in, one of each kind for a run: a later one replaces it.

    Args:
        core: of the runtime.
        view: opens the store's read side; None without a store.
    """

    def __init__(self, core: Core, view: Callable[[], StoreView] | None) -> None:
        self._core = core
        self._view = view
        self._last: dict[tuple[str, str], tuple[int, float | None]] = {}

    async def add(self, run_id: str, scored: Scored, kind: str, value: float) -> None:
        """Take in a score; it is in the store with the next write.

        Raises:
            DefinitionError: the value is not finite, or the kind is no word.
        """
        word(kind, "a score's kind")
        if isinstance(value, bool) or not math.isfinite(_number(value)):
            raise DefinitionError(f"the score is {value!r}", remedy="give a finite number")
        if (run_id, kind) not in self._last:
            found = await self._before(run_id, kind)
            self._last.setdefault((run_id, kind), found)
        count, before = self._last.pop((run_id, kind))
        if len(self._last) >= _KEPT:
            del self._last[next(iter(self._last))]
        self._last[run_id, kind] = (count + 1, value)
        key = {**scored._asdict(), "kind": kind}
        accepted = key.pop("accepted")
        body = {**key, "value": value, "accepted": accepted}
        row = score_row(scored.accepted, key, value, before)
        name = f"score:{run_id}:{kind}:{count}"
        self._core.note(name, "score", run_id, json.dumps(body, sort_keys=True), [row])

    async def _before(self, run_id: str, kind: str) -> tuple[int, float | None]:
        """How often the run was scored, and how at last."""
        if self._view is None:
            return 0, None
        notes = await asyncio.to_thread(self._view().reader.notes, "score", run_id)
        values = [note["value"] for *_, body in notes if (note := json.loads(body))["kind"] == kind]
        return len(values), values[-1] if values else None


def not_known(run_id: str) -> RunNotFound:
    """What a score of a run raises that is forgotten."""
    return RunNotFound(
        "the run is no longer known, so that it can't be scored",
        run_id=run_id,
        remedy="open the runtime with a store, which keeps runs for as long as its retention says",
    )


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else math.nan


_KEPT: Final = 10_000
