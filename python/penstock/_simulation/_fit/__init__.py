"""Fit: a model of a workflow out of the journal of its runs."""

from ._coming import Wanted
from ._fitting import model_of
from ._loading import MOST_RUNS, fit_of_store, load
from ._stretches import stretches_of_store

__all__ = ["MOST_RUNS", "Wanted", "fit_of_store", "load", "model_of", "stretches_of_store"]
