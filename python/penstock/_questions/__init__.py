"""Questions: what a team decides by: baselines, comparisons, value, storms, predictors, impact.

Rollups answer what is about all runs, records of a sample what is about single ones. What reads a
store takes a `StoreView`; the rest is pure.
"""

from __future__ import annotations

from ._asking import foretold_of_store, impact_of_store, storms_of_store, values_of_store
from ._baselines import Baseline, Contest, Part, contest, newest
from ._comparing import (
    baseline_named,
    baseline_of,
    baselines,
    compare_now,
    compare_versions,
    save,
)
from ._features import Foretold
from ._impact import Change, Impact
from ._storms import Storms
from ._value import Values

__all__ = [
    "Baseline",
    "Change",
    "Contest",
    "Foretold",
    "Impact",
    "Part",
    "Storms",
    "Values",
    "baseline_named",
    "baseline_of",
    "baselines",
    "compare_now",
    "compare_versions",
    "contest",
    "foretold_of_store",
    "impact_of_store",
    "newest",
    "save",
    "storms_of_store",
    "values_of_store",
]
