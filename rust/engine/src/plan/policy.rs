//! How a step node is queued, limited and retried.

use crate::ids::{QueueId, StepId};
use crate::retry::RetryPolicy;

/// Where a step's attempts run. A whole word, so that what carries it has no gaps, which cost a wait to move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Lane {
    /// On the driver's event loop.
    Loop,
    /// In its thread pool, whose size is a limit of its own.
    Threads,
}

/// When a second copy of a slow attempt is started: after this long, or after as long as most attempts take.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Hedge {
    /// After so many nanoseconds.
    After(u64),
    /// After the time that this share of the step's attempts take, 0 to 1.
    Quantile(f64),
}

/// How a step node is queued, limited and retried. Zero means none for every duration.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of the step on its own")]
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Policy {
    /// What metrics are counted by.
    pub step: StepId,
    /// Where it waits.
    pub queue: QueueId,
    /// Where it runs.
    pub lane: Lane,
    /// 1 to 5, for this node whatever its run says.
    pub priority: Option<u8>,
    /// 1 to 5, for runs that say nothing.
    pub step_priority: Option<u8>,
    /// Tokens that an attempt is expected to use.
    pub tokens: u32,
    /// Nano-dollars that an attempt is expected to spend; 0 if nobody has said.
    pub estimate_nanos: i64,
    /// Nano-dollars that an attempt spends at most; 0 if nobody has said.
    pub max_nanos: i64,
    /// Whether another step takes its place when it has failed, so that it need not wait for its queue.
    pub fallback: bool,
    /// Whether it takes the place of another that has failed.
    pub stands_in: bool,
    /// Inputs that another step hands to it.
    pub handoffs: u8,
    /// Those of them that a step of another owner hands to it.
    pub cross_handoffs: u8,
    /// When a second copy of a slow attempt is started.
    pub hedge: Option<Hedge>,
    /// When it is tried again.
    pub retry: RetryPolicy,
    /// Whether an attempt that timed out may be tried again.
    pub retry_timeouts: bool,
    /// Whether it may run at most once: its start is on disk before it is called, and an attempt that is cut
    /// off leaves the outcome unknown.
    pub once: bool,
    /// Limit of one attempt.
    pub timeout_ns: u64,
    /// Limit of all attempts and waits.
    pub total_timeout_ns: u64,
    /// Limit of one wait in the queue.
    pub queue_timeout_ns: u64,
    /// Limit of an attempt's silence.
    pub heartbeat_timeout_ns: u64,
}
