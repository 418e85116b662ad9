"""Forks: the store of a runtime stays its process's own; a child that was forked keeps off."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Final
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from ._runtime import Runtime


def leave_to_parent(runtime: Runtime, lock: int | None) -> None:
    """Have children that are forked from now on refuse to use the runtime.

    Args:
        runtime: with a store.
        lock: the file whose lock keeps other processes out; a child would keep it locked after
            the parent's end.
    """
    if not _watched:
        _watched.append(True)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=_after_fork)
    _owned[runtime] = lock


def forget(runtime: Runtime) -> None:
    """The runtime has let go of its store."""
    _owned.pop(runtime, None)


def _after_fork() -> None:
    for runtime, lock in list(_owned.items()):
        runtime._forked()  # noqa: SLF001
        if lock is not None:
            with suppress(OSError):
                os.close(lock)
    _owned.clear()


_owned: Final[WeakKeyDictionary[Runtime, int | None]] = WeakKeyDictionary()
_watched: Final[list[bool]] = []
