"""The scorecard: metrics of a window in four layers, and where one run's money and time went.

Pure: from rollup rows and records to values, text and HTML. Nothing here reads a store.
"""

from __future__ import annotations

from ._changes import Change
from ._facts import Drift, NodeFacts, Nodes, Notes, Overrun, ReleaseNote
from ._figures import Handoffs, Score, Share, Spend, Spread, Waste
from ._groups import By
from ._metrics import Card, Economics, Quality, Reliability
from ._rows import Row, merge
from ._scorecard import Scorecard, scorecard, unresolved

__all__ = [
    "By",
    "Card",
    "Change",
    "Drift",
    "Economics",
    "Handoffs",
    "NodeFacts",
    "Nodes",
    "Notes",
    "Overrun",
    "Quality",
    "ReleaseNote",
    "Reliability",
    "Row",
    "Score",
    "Scorecard",
    "Share",
    "Spend",
    "Spread",
    "Waste",
    "merge",
    "scorecard",
    "unresolved",
]
