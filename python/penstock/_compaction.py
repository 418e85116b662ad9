"""Compaction: old figures are kept in few rows, so that trends of years stay quick to read.

Figures are written every ten seconds, each time a row more for a window of a minute. Behind the
present these rows become one for each minute; after two days one for each hour, after sixty days
one for each day. Sums stay what they were, to the nano-dollar.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ._scorecard import merge

if TYPE_CHECKING:
    from ._engine import Core
    from ._stored import StoreView


class Level(NamedTuple):
    """From which age on windows have which width; in seconds."""

    age: float
    width: int


LEVELS: Final = (Level(300.0, 60), Level(2 * 86_400.0, 3_600), Level(60 * 86_400.0, 86_400))
PERIOD: Final = 600.0
"""Seconds between two looks."""
STATE: Final = "compacted"
_CHUNK: Final = {60: 3_600.0, 3_600: 86_400.0, 86_400: 30 * 86_400.0}


class Compactor:
    """Compacts a store's figures beside the runtime's work.

    Args:
        core: of the runtime.
        view: gives the store's read side.
        on_disk: waits until all that was said so far is on disk.
    """

    def __init__(
        self, core: Core, view: Callable[[], StoreView], on_disk: Callable[[], Any]
    ) -> None:
        self._core = core
        self._view = view
        self._on_disk = on_disk
        self._task: asyncio.Task[None] | None = None
        self._done: dict[str, float] | None = None

    def start(self) -> None:
        """Compact now and then, until closed."""
        self._task = asyncio.get_running_loop().create_task(self._forever())

    async def close(self) -> None:
        """Stop; what is not compacted by now stays as it is."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def compact(self, now: float) -> int:
        """Compact what is old enough; gives how many rows fewer there are. O(rows since last time).

        Raises:
            StoreError: the store can't be read or written.
        """
        fewer = 0
        for level in LEVELS:
            fewer += await self._level(level, now)
        return fewer

    async def _level(self, level: Level, now: float) -> int:
        done = self._known()
        reader = self._view().reader
        width, chunk = level.width, _CHUNK[level.width]
        until = (now - level.age) // width * width
        at, fewer = done.get(str(width), 0.0), 0
        if at == 0.0:
            first = await asyncio.to_thread(reader.first_window)
            at = until if first is None else first // width * width
        while at < until:
            end = min(at + chunk, until)
            rows = await asyncio.to_thread(reader.rollups, at, end)
            outdated, merged = await asyncio.to_thread(_merged, rows, width)
            done[str(width)] = end
            self._core.replace_figures(outdated, merged, [(STATE, json.dumps(done))])
            await self._on_disk()
            fewer += len(outdated) - len(merged)
            at = end
        return fewer

    def _known(self) -> dict[str, float]:
        done = self._done
        if done is None:
            kept = self._core.state(STATE)
            done = self._done = {} if kept is None else dict(json.loads(kept))
        return done

    async def _forever(self) -> None:
        while True:
            await asyncio.sleep(PERIOD)
            try:
                await self.compact(self._core.now())
            except Exception:
                _log.exception("old figures could not be compacted; it is tried again")


def _merged(
    rows: list[tuple[int, str, str, int, str]], width: int
) -> tuple[list[tuple[int, str, str, int]], list[tuple[float, str, str, str]]]:
    """Rows that go, and those that take their place: one for each window of `width`."""
    found: dict[tuple[int, str, str], list[tuple[int, str, str, int, str]]] = {}
    for row in rows:
        window, kind, key, _, _ = row
        start = window // 10**9 // width * width
        found.setdefault((start, kind, _widened(key, width)), []).append(row)
    outdated: list[tuple[int, str, str, int]] = []
    merged: list[tuple[float, str, str, str]] = []
    for (start, kind, key), alike in found.items():
        if len(alike) == 1 and (alike[0][0], alike[0][2]) == (start * 10**9, key):
            continue
        outdated += [(window, kind, key, number) for window, kind, key, number, _ in alike]
        body = merge(*(json.loads(body) for *_, body in alike))
        merged.append((float(start), kind, key, json.dumps(body)))
    return outdated, merged


def _widened(key: str, width: int) -> str:
    """A key with the width of its window, which is not said of a minute."""
    if width == LEVELS[0].width:
        return key
    content = json.loads(key)
    content["width"] = max(width, content.get("width", 0))
    return json.dumps(content, sort_keys=True, separators=(",", ":"))


_log: Final = logging.getLogger("penstock")
