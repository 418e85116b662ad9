"""What the processes of a crash test leave behind: one file that each of them appends lines to.

A line is written by one `write` of a file opened with O_APPEND, so that a SIGKILL leaves it whole
or not there. The kernel keeps it: only the machine going down could lose it, and that is not what
is tested here.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

Facts = dict[str, Any]


class Line(NamedTuple):
    """A line of the log.

    Attributes:
        what: "asked", "accepted", "effect", "signalled", "ended", "resolved", "wrong" or "open".
        life: of which process, counted from 0.
        at: seconds since 1970.
        facts: what else is known.
    """

    what: str
    life: int
    at: float
    facts: Facts


class Log:
    """Appends to the log, and reads what has been added since it was read last."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        self._read = 0
        self.life = 0

    def write(self, what: str, **facts: object) -> None:
        """Append a line."""
        text = json.dumps([what, self.life, time.time(), facts])
        os.write(self._descriptor, text.encode() + b"\n")

    def news(self) -> Iterator[Line]:
        """The lines that were added."""
        with self._path.open("rb") as file:
            file.seek(self._read)
            for text in file:
                if not text.endswith(b"\n"):
                    return
                self._read += len(text)
                yield Line(*json.loads(text))
