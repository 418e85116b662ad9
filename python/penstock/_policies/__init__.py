"""Policies: frozen values: how often a step is tried, what it waits in, what is good enough."""

from ._budgets import Budget, Budgets, BudgetState, WhenSpent
from ._checks import Seconds, instance, number, seconds, whole, word
from ._expectations import Cost, Threshold
from ._json import Policy, canonical, plain
from ._limits import Adaptive, Breaker, CoDel, Fairness, RateLimit
from ._queues import Queue
from ._retention import Retention
from ._retry import Hedge, Jitter, RetryBudget, RetryPolicy

__all__ = [
    "Adaptive",
    "Breaker",
    "Budget",
    "BudgetState",
    "Budgets",
    "CoDel",
    "Cost",
    "Fairness",
    "Hedge",
    "Jitter",
    "Policy",
    "Queue",
    "RateLimit",
    "Retention",
    "RetryBudget",
    "RetryPolicy",
    "Seconds",
    "Threshold",
    "WhenSpent",
    "canonical",
    "instance",
    "number",
    "plain",
    "seconds",
    "whole",
    "word",
]
