"""Frontier: many policies forecast, and those among them that no other beats."""

from ._choosing import Chosen
from ._frontier import Frontier, Point, frontier
from ._sweep import Evaluate, Progress, evaluator
from ._vary import Range, Vary

__all__ = [
    "Chosen",
    "Evaluate",
    "Frontier",
    "Point",
    "Progress",
    "Range",
    "Vary",
    "evaluator",
    "frontier",
]
