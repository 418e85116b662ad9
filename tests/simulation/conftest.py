"""Folders of stores that many runs are written to."""

from __future__ import annotations

import tempfile
from collections.abc import Generator
from pathlib import Path

import pytest

MEMORY = Path("/dev") / "shm"


@pytest.fixture(scope="module")
def stores() -> Generator[Path]:
    """A folder in memory where there is one: in virtual time the disk is all that takes time."""
    where = MEMORY if MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(dir=where, prefix="penstock-") as folder:
        yield Path(folder)
