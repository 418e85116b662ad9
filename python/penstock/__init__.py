"""Typed workflow graphs of async steps, dispatched by a Rust core inside your own event loop."""

from . import testing
from ._context import Context
from ._contracts import Contract
from ._errors import (
    BudgetExceeded,
    CompensationFailed,
    ContractError,
    DeadlineExceeded,
    DefinitionError,
    DuplicateRun,
    LeaseLost,
    NonRetryable,
    Overloaded,
    PenstockError,
    RetryAfter,
    RunCancelled,
    RunError,
    RunFailed,
    RunNotFound,
    RuntimeClosed,
    StoreCorrupt,
    StoreError,
    VersionConflict,
)
from ._events import Event, EventsLost
from ._flow import Flow, Overrides
from ._nodes import Node
from ._policies import Queue, RetryPolicy
from ._run import Run
from ._runtime import Runtime
from ._stages import AsyncStep, PlainStep, Stage, step
from ._stats import Stats
from ._workflows import Workflow, workflow

__all__ = [
    "AsyncStep",
    "BudgetExceeded",
    "CompensationFailed",
    "Context",
    "Contract",
    "ContractError",
    "DeadlineExceeded",
    "DefinitionError",
    "DuplicateRun",
    "Event",
    "EventsLost",
    "Flow",
    "LeaseLost",
    "Node",
    "NonRetryable",
    "Overloaded",
    "Overrides",
    "PenstockError",
    "PlainStep",
    "Queue",
    "RetryAfter",
    "RetryPolicy",
    "Run",
    "RunCancelled",
    "RunError",
    "RunFailed",
    "RunNotFound",
    "Runtime",
    "RuntimeClosed",
    "Stage",
    "Stats",
    "StoreCorrupt",
    "StoreError",
    "VersionConflict",
    "Workflow",
    "step",
    "testing",
    "workflow",
]
