"""Releases: a candidate gets a share of the runs, is judged by them, and stays or goes."""

from ._arms import Arm, StickyBy
from ._events import ReleaseEvent
from ._manager import Releases
from ._release import Release
from ._stored import NOTE, ReleaseRecord, ReleaseState, records_of, with_releases

__all__ = [
    "NOTE",
    "Arm",
    "Release",
    "ReleaseEvent",
    "ReleaseRecord",
    "ReleaseState",
    "Releases",
    "StickyBy",
    "records_of",
    "with_releases",
]
