"""Simulation: what a workflow would come to under other policies, before anybody pays for it.

The engine that runs production plays a model of it, in virtual time. A model is a file; `Model.fit`
makes one from a store. `simulate` gives a forecast for each policy, `frontier` those of many that
no other beats, and `capacity` how many slots or people an objective takes.

See docs/models.md and docs/frontier.md.
"""

from ._simulation import (
    Arrivals,
    Change,
    Choice,
    Distribution,
    Estimate,
    FailureRow,
    Fitted,
    Forecast,
    Model,
    Outage,
    SignalModel,
    SpendRow,
    StepModel,
    Stretches,
    World,
    predict,
    simulate,
    sweep,
)
from ._simulation._capacity import Capacity, capacity, erlang_b, erlang_c
from ._simulation._frontier import Frontier, Range, Vary, frontier

__all__ = [
    "Arrivals",
    "Capacity",
    "Change",
    "Choice",
    "Distribution",
    "Estimate",
    "FailureRow",
    "Fitted",
    "Forecast",
    "Frontier",
    "Model",
    "Outage",
    "Range",
    "SignalModel",
    "SpendRow",
    "StepModel",
    "Stretches",
    "Vary",
    "World",
    "capacity",
    "erlang_b",
    "erlang_c",
    "frontier",
    "predict",
    "simulate",
    "sweep",
]
