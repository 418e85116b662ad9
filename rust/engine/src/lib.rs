//! The core of penstock: a deterministic workflow engine without clock, I/O, thread or random source.
//!
//! The engine owns the state of every run, the order in which steps start, retry times, timeouts and
//! limits. The driver owns everything else: it runs the steps, keeps the values behind opaque
//! [`ValueId`]s, tells the time with each call, and carries records to the journal.
//!
//! One law: after a command, [`Engine::handle`] or [`Engine::dispatch`], drain [`Engine::poll`] until it
//! is empty, and only then mutate again. Debug builds assert it.
#![forbid(unsafe_code)]

mod accounts;
mod action;
mod attempt;
mod books;
mod coverage;
mod engine;
mod event;
mod failure;
mod ids;
mod keys;
mod layout;
mod metrics;
mod plan;
#[cfg(feature = "planted")]
pub mod planted;
mod queues;
mod record;
mod retry;
mod run;
mod slab;
mod stability;
mod state;
mod timers;

pub use accounts::{AccountId, AccountModel, AccountView, DAY_NS, Payer, Unpaid, WhenSpent};
pub use action::{Action, Evaluation, Outcome, Start};
pub use attempt::CancelCause;
pub use books::{
    Amount, Books, Entry as LedgerEntry, HandoffCounts, Kind as AttemptKind, Ledger, NodePage,
    Page, PageKey, RunEnd, Spending, WINDOW_NS, Waste,
};
pub use coverage::{Coverage, Exception};
pub use engine::{
    Again, AttemptView, Closed, Config, Engine, Hold, Inspection, Load, QueueCounts, Resolution,
    Restore, Stage, kept,
};
pub use event::{Accept, AcceptError, Event};
pub use failure::{Cause, Failure, Refusal};
pub use ids::{
    AttemptKey, Lsn, NodeId, Place, PlanId, QueueId, ResourceId, RunKey, StepId, TenantId, ValueId,
};
pub use layout::Layout;
pub use metrics::{AttemptMetrics, Distribution, Metrics, TenantMetrics, WorkflowMetrics};
pub use plan::{
    CallSpec, GraphSpec, Hedge, Lane, NodeKind, NodeSpec, OUTCOMES_MAX, Plan, Policy, RegionSpec,
};
pub use queues::{
    AdaptiveModel, BANDS, BreakerModel, BreakerState, Budget, BudgetModel, Claim, Cost, Counts,
    DEFAULT_PRIORITY, Entry, FairnessModel, Limits, NEVER, News, OnDenial, Order, PartId,
    PartModel, QueueModel, QueueView, Rate, ReadyQueue, ShedModel, TOKEN,
};
pub use record::{Body, Denial, Durability, Record, Score, Then};
pub use retry::{Jitter, RetryPolicy, draw, mix};
pub use run::{Base, Blame, Cell, Identity, Run, Source};
pub use stability::{Demand, Stability};
pub use state::{
    NODE_STATES, NODE_TABLE, NodeState, RUN_STATES, RUN_TABLE, RunStatus, TABLE_VERSION,
};
pub use timers::{Timer, TimerKind, Timers};
