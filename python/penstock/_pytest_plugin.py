"""The pytest plugin: the `virtual_clock` fixture."""

from __future__ import annotations

import pytest


@pytest.fixture
def virtual_clock() -> object:
    """A `penstock.testing.VirtualClock`: `virtual_clock.run(main())` takes no real time."""
    # Imported here, so that a test run that does not use penstock does not load it.
    from penstock.testing import VirtualClock

    return VirtualClock()
