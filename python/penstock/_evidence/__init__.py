"""Evidence: whether a candidate is better or worse, at any look and at a known risk of error.

Pure: no clock, no I/O, no runtime. `Trial` judges one release, `compare` two sets of runs.
"""

from ._assignment import assign
from ._compare import Compared, Comparison, Sample, compare, runs_needed
from ._criteria import Criteria
from ._drift import DriftAlarm
from ._judge import Verdict
from ._margins import Margin, at_most, drop, rise
from ._outcomes import Outcome
from ._predictors import Predictor, Predictors, Row, predictors
from ._trial import Arm, OnUndecided, Trial
from ._watches import Evidence

__all__ = [
    "Arm",
    "Compared",
    "Comparison",
    "Criteria",
    "DriftAlarm",
    "Evidence",
    "Margin",
    "OnUndecided",
    "Outcome",
    "Predictor",
    "Predictors",
    "Row",
    "Sample",
    "Trial",
    "Verdict",
    "assign",
    "at_most",
    "compare",
    "drop",
    "predictors",
    "rise",
    "runs_needed",
]
