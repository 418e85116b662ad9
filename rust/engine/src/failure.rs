//! Why an attempt or a node failed, as the engine sees it.

use crate::ids::ValueId;

/// What the driver says of an exception a step raised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Whether the step's retry policy names it.
    pub retryable: bool,
    /// Not before this long from now, if the step or the service said so.
    pub retry_after_ns: Option<u64>,
    /// If it refuses a handoff, why.
    pub refusal: Option<Refusal>,
}

impl Failure {
    /// Never tried again.
    pub const FINAL: Self = Self { retryable: false, retry_after_ns: None, refusal: None };
}

/// Why a handoff was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Refusal {
    /// The value breaks its producer's contract.
    Contract,
    /// Its score is below its threshold.
    Threshold,
    /// The receiver will not have it.
    Rejected,
    /// The receiver has said that another than its producer has to see to it.
    WrongOwner,
    /// Nobody took it in time.
    Timeout,
}

impl Refusal {
    /// Every one, in the order of the enum.
    pub const ALL: [Self; 5] =
        [Self::Contract, Self::Threshold, Self::Rejected, Self::WrongOwner, Self::Timeout];
    /// How many there are.
    pub const COUNT: usize = Self::ALL.len();

    /// The word for it in history and messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Contract => "contract",
            Self::Threshold => "threshold",
            Self::Rejected => "rejected",
            Self::WrongOwner => "wrong_owner",
            Self::Timeout => "timeout",
        }
    }

    /// The one that a word stands for.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.name() == name)
    }
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
    /// A budget that it would have been paid from is spent.
    Budget,
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
            Self::Budget => "budget",
            Self::SignalTimeout => "signal_timeout",
            Self::NotEnough => "not_enough",
            Self::Exhausted => "exhausted",
            Self::OutcomeUnknown => "outcome_unknown",
        }
    }
}
