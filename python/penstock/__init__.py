"""Typed workflow graphs of async steps, dispatched by a Rust core inside your own event loop."""

from . import testing
from ._cases import Cases, TypeCases
from ._context import Context
from ._contracts import Contract
from ._coverage import Coverage
from ._diff import Change, Difference, diff
from ._errors import (
    BreakerOpen,
    BudgetExceeded,
    BudgetSpent,
    CompensationFailed,
    ContractError,
    DeadlineExceeded,
    DefinitionError,
    DuplicateRun,
    LeaseLost,
    NonRetryable,
    OutcomeUnknown,
    Overloaded,
    PenstockError,
    RecordedError,
    Reject,
    RetryAfter,
    RunCancelled,
    RunError,
    RunFailed,
    RunHeld,
    RunNotFound,
    RuntimeClosed,
    StoreCorrupt,
    StoreError,
    ThresholdError,
    VersionConflict,
)
from ._events import Event, EventsLost, QueueEvent
from ._evidence import Criteria, at_most, drop, rise
from ._failures import Failure
from ._figures import RunSpend, SpentLine
from ._flow import Flow
from ._flow_calls import Overrides
from ._lint import Finding, Report
from ._money import usd
from ._nodes import Node
from ._policies import (
    Adaptive,
    Breaker,
    Budget,
    Budgets,
    BudgetState,
    CoDel,
    Cost,
    Fairness,
    Hedge,
    Queue,
    RateLimit,
    Retention,
    RetryBudget,
    RetryPolicy,
    Threshold,
)
from ._prices import PriceBook
from ._releases import Release, ReleaseEvent
from ._run import Run
from ._runtime import Runtime
from ._scopes import FlowScope
from ._scorecard import Scorecard
from ._settings import Overlay, Setting
from ._signals import Signal
from ._stability import Stability, stability
from ._stages import AsyncStep, PlainStep, Stage, step
from ._stats import QueueStats, Stats
from ._stored import RunInfo
from ._workflows import Workflow, workflow

__all__ = [
    "Adaptive",
    "AsyncStep",
    "Breaker",
    "BreakerOpen",
    "Budget",
    "BudgetExceeded",
    "BudgetSpent",
    "BudgetState",
    "Budgets",
    "Cases",
    "Change",
    "CoDel",
    "CompensationFailed",
    "Context",
    "Contract",
    "ContractError",
    "Cost",
    "Coverage",
    "Criteria",
    "DeadlineExceeded",
    "DefinitionError",
    "Difference",
    "DuplicateRun",
    "Event",
    "EventsLost",
    "Failure",
    "Fairness",
    "Finding",
    "Flow",
    "FlowScope",
    "Hedge",
    "LeaseLost",
    "Node",
    "NonRetryable",
    "OutcomeUnknown",
    "Overlay",
    "Overloaded",
    "Overrides",
    "PenstockError",
    "PlainStep",
    "PriceBook",
    "Queue",
    "QueueEvent",
    "QueueStats",
    "RateLimit",
    "RecordedError",
    "Reject",
    "Release",
    "ReleaseEvent",
    "Report",
    "Retention",
    "RetryAfter",
    "RetryBudget",
    "RetryPolicy",
    "Run",
    "RunCancelled",
    "RunError",
    "RunFailed",
    "RunHeld",
    "RunInfo",
    "RunNotFound",
    "RunSpend",
    "Runtime",
    "RuntimeClosed",
    "Scorecard",
    "Setting",
    "Signal",
    "SpentLine",
    "Stability",
    "Stage",
    "Stats",
    "StoreCorrupt",
    "StoreError",
    "Threshold",
    "ThresholdError",
    "TypeCases",
    "VersionConflict",
    "Workflow",
    "at_most",
    "diff",
    "drop",
    "rise",
    "stability",
    "step",
    "testing",
    "usd",
    "workflow",
]
