"""A service that is killed with SIGKILL keeps its promises: the quick version of `make chaos`."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[2]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no SIGKILL")
def test_what_was_promised_holds_after_kills() -> None:
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-m", "durable.crash", "--kills", "12", "--seed", "1"],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(TESTS)},
        timeout=100,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert re.search(r"^12 kills in \d+ lives", ran.stdout, re.MULTILINE)
    ended = re.search(r"^(\d+) runs ended exactly once; (\d+) results", ran.stdout, re.MULTILINE)
    assert ended is not None
    assert int(ended[1]) > 100
    assert int(ended[2]) > 300
