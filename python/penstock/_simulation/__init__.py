"""Simulation: what a workflow does in a model of the world, before anybody pays for it."""

from ._arrivals import Arrivals
from ._distributions import Distribution
from ._model import Fitted, Model
from ._places import Choice, Outage, SignalModel
from ._steps import FailureRow, SpendRow, StepModel

__all__ = [
    "Arrivals",
    "Choice",
    "Distribution",
    "FailureRow",
    "Fitted",
    "Model",
    "Outage",
    "SignalModel",
    "SpendRow",
    "StepModel",
]
