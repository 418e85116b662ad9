"""Simulation: what a workflow does in a model of the world, before anybody pays for it."""

from ._arrivals import Arrivals
from ._changes import Change
from ._distributions import Distribution
from ._forecast import Estimate, Forecast
from ._model import Fitted, Model
from ._places import Choice, Outage, SignalModel
from ._predict import predict
from ._scene import World
from ._simulate import simulate, sweep
from ._steps import FailureRow, SpendRow, StepModel
from ._stretches import Stretches

__all__ = [
    "Arrivals",
    "Change",
    "Choice",
    "Distribution",
    "Estimate",
    "FailureRow",
    "Fitted",
    "Forecast",
    "Model",
    "Outage",
    "SignalModel",
    "SpendRow",
    "StepModel",
    "Stretches",
    "World",
    "predict",
    "simulate",
    "sweep",
]
