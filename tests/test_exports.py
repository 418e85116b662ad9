"""What `import penstock` offers, and what it must not cost."""

import json
import subprocess
import sys
from types import ModuleType

import pytest

import penstock as ps

PROBE = """
import json, sys, threading

sockets, children = [], []

def watch(event, args):
    if event in {"socket.connect", "socket.getaddrinfo", "socket.bind"}:
        sockets.append(event)
    elif event in {"subprocess.Popen", "os.fork", "os.exec", "os.posix_spawn", "os.system"}:
        children.append(event)

sys.addaudithook(watch)
import penstock

print(json.dumps({
    "modules": sorted(sys.modules),
    "sockets": sockets,
    "children": children,
    "threads": threading.active_count(),
}))
"""


def test_names_are_sorted_and_importable() -> None:
    assert list(ps.__all__) == sorted(set(ps.__all__))
    for name in ps.__all__:
        assert hasattr(ps, name), f"penstock.__all__ names {name}, which penstock does not have"


def test_every_public_name_is_exported() -> None:
    public = {
        name
        for name, value in vars(ps).items()
        if not name.startswith("_") and not isinstance(value, ModuleType)
    }
    assert public <= set(ps.__all__)


@pytest.mark.parametrize("name", [n for n in ps.__all__ if callable(getattr(ps, n))])
def test_every_export_says_what_it_is(name: str) -> None:
    assert (getattr(ps, name).__doc__ or "").strip(), f"penstock.{name} has no docstring"


def test_import_is_light_and_touches_nothing_outside() -> None:
    """A service pays for what it uses: no optional package, socket, child or thread on import."""
    answer = subprocess.run(
        [sys.executable, "-c", PROBE], check=True, capture_output=True, text=True
    )
    probe = json.loads(answer.stdout)
    optional = {"genai_prices", "hypothesis", "langgraph", "pytest", "rich", "typer", "uvloop"}
    assert optional.isdisjoint(probe["modules"])
    assert probe["sockets"] == []
    assert probe["children"] == []
    assert probe["threads"] == 1
