//! Why an attempt or a node failed, as the engine sees it.

use crate::ids::ValueId;

/// What the driver says of an exception a step raised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Whether the step's retry policy names it.
    pub retryable: bool,
    /// Not before this long from now, if the step or the service said so.
    pub retry_after_ns: Option<u64>,
}

impl Failure {
    /// Never tried again.
    pub const FINAL: Self = Self { retryable: false, retry_after_ns: None };
}

/// Why a node failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// An exception; the driver keeps it.
    Error(ValueId),
    /// One attempt ran longer than `timeout`.
    Timeout,
    /// All attempts and waits together took longer than `total_timeout`.
    TotalTimeout,
    /// The attempt gave no sign of life for `heartbeat_timeout`.
    HeartbeatTimeout,
    /// It waited in its queue longer than `queue_timeout`.
    QueueTimeout,
    /// It could not have ended before its run's deadline.
    Deadline,
    /// Its queue's breaker is open, and there is a fallback.
    BreakerOpen,
    /// Its queue's retry budget is spent, and somebody has to see to the run. It has not failed.
    RetryDenied,
    /// The signal it waits for did not come in time.
    SignalTimeout,
    /// Fewer inputs or items succeeded than it needs, and no failure is to blame.
    NotEnough,
    /// A loop reached its last iteration, or a recursion its greatest depth.
    Exhausted,
    /// It was cut off and may run at most once, so that nobody knows what it did. It has not failed: the run
    /// waits for somebody to find out.
    OutcomeUnknown,
}

impl Cause {
    /// The word for it in history and messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Error(_) => "error",
            Self::Timeout => "timeout",
            Self::TotalTimeout => "total_timeout",
            Self::HeartbeatTimeout => "heartbeat_timeout",
            Self::QueueTimeout => "queue_timeout",
            Self::Deadline => "deadline",
            Self::BreakerOpen => "breaker_open",
            Self::RetryDenied => "retry_denied",
            Self::SignalTimeout => "signal_timeout",
            Self::NotEnough => "not_enough",
            Self::Exhausted => "exhausted",
            Self::OutcomeUnknown => "outcome_unknown",
        }
    }
}
