//! What the driver tells the engine.

use std::fmt;

use crate::accounts::AccountModel;
use crate::failure::{Failure, Refusal};
use crate::ids::{AttemptKey, Lsn, Place, PlanId, QueueId, ResourceId, RunKey, TenantId, ValueId};
use crate::queues::Limits;
use crate::record::{Durability, Score};

/// Something that happened outside, for [`crate::Engine::handle`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Time passed. Timers fire with every event; this one does nothing else.
    Tick,
    /// An attempt did not end at once: it is waiting for something, so its timeouts run from now on.
    Suspended {
        /// The attempt.
        attempt: AttemptKey,
    },
    /// An attempt gave a sign of life.
    Heartbeat {
        /// The attempt.
        attempt: AttemptKey,
    },
    /// An attempt returned.
    Done {
        /// The attempt.
        attempt: AttemptKey,
        /// What it returned.
        value: ValueId,
    },
    /// An attempt raised.
    Failed {
        /// The attempt.
        attempt: AttemptKey,
        /// What it raised.
        error: ValueId,
        /// What the retry policy says of it.
        failure: Failure,
    },
    /// An attempt ended because it was cancelled, by the engine or by somebody else.
    Cancelled {
        /// The attempt.
        attempt: AttemptKey,
        /// The cancellation it raised.
        error: ValueId,
    },
    /// An attempt was cut short by something that is not its own doing; it does not count.
    Interrupted {
        /// The attempt.
        attempt: AttemptKey,
    },
    /// An attempt said what it has used, in addition to what it said before.
    Used {
        /// The attempt.
        attempt: AttemptKey,
        /// Tokens.
        tokens: u32,
    },
    /// An attempt has spent something.
    Spent {
        /// The attempt.
        attempt: AttemptKey,
        /// What.
        resource: ResourceId,
        /// How many units of it.
        units: u64,
        /// Nano-dollars; `None` if it has no price.
        nanos: Option<i64>,
    },
    /// This engine's share of a queue's limits has changed.
    Limits {
        /// The queue.
        queue: QueueId,
        /// The share.
        limits: Limits,
    },
    /// An inline node gave a value.
    Decided {
        /// The run.
        run: RunKey,
        /// The node.
        node: Place,
        /// The value.
        value: ValueId,
    },
    /// A decision was taken: an outcome's number, 1 for a loop that is over, or a concurrency key.
    Chosen {
        /// The run.
        run: RunKey,
        /// The node.
        node: Place,
        /// Which.
        outcome: u64,
        /// Of a value that has to reach a threshold: how good it is.
        score: Option<Score>,
    },
    /// A tier of a cascade was judged. As `Chosen`, but where a budget is nearly spent it is taken all the same.
    Judged {
        /// The run.
        run: RunKey,
        /// The node.
        node: Place,
        /// Whether its value is good enough.
        accepted: bool,
        /// How good it is, if it has to reach a threshold.
        score: Option<Score>,
    },
    /// A map's items were counted.
    Counted {
        /// The run.
        run: RunKey,
        /// The node.
        node: Place,
        /// How many there are.
        count: u32,
    },
    /// An inline node raised.
    DecidedFailed {
        /// The run.
        run: RunKey,
        /// The node.
        node: Place,
        /// What it raised.
        error: ValueId,
        /// Why a handoff is refused by it, if one is.
        refusal: Option<Refusal>,
    },
    /// Everything up to this record is on disk.
    Synced {
        /// The record.
        lsn: Lsn,
    },
}

/// A run to accept.
#[derive(Clone, Copy, Debug)]
pub struct Accept<'a> {
    /// Its plan.
    pub plan: PlanId,
    /// Values of the plan's inputs, in order.
    pub inputs: &'a [ValueId],
    /// Whom it is for.
    pub tenant: TenantId,
    /// 1 to 5, for nodes that have none of their own; `None` leaves it to the steps.
    pub priority: Option<u8>,
    /// When it must be over, in engine time.
    pub deadline_ns: Option<u64>,
    /// What it may spend, if that is limited.
    pub budget: Option<AccountModel>,
    /// What must be on disk before what.
    pub durability: Durability,
    /// Whether the caller has seen to the queues' room before ([`crate::Engine::admits`]), as for a batch.
    pub admitted: bool,
}

/// Why a run was not accepted. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AcceptError {
    /// A queue of the workflow has no room; try again after this long.
    QueueFull {
        /// An estimate from the queue's present pace.
        retry_after_ns: u64,
        /// The queue.
        queue: QueueId,
    },
    /// What a queue of the workflow has admitted waits too long; try again after this long.
    Shedding {
        /// An estimate from the queue's present pace.
        retry_after_ns: u64,
        /// The queue.
        queue: QueueId,
    },
    /// The table of runs is full.
    RunsFull {
        /// Its limit.
        runs_max: usize,
    },
    /// As many inputs as the plan has were expected.
    InputCount {
        /// Inputs of the plan.
        expected: usize,
        /// Inputs given.
        given: usize,
    },
    /// The priority is not 1 to 5.
    Priority {
        /// The one given.
        given: u8,
    },
}

impl fmt::Display for AcceptError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::QueueFull { retry_after_ns, queue } => write!(
                formatter,
                "queue {} is full; try again in {:.3} s",
                queue.0,
                *retry_after_ns as f64 / 1e9
            ),
            Self::Shedding { retry_after_ns, queue } => write!(
                formatter,
                "what waits in queue {} waits too long; try again in {:.3} s",
                queue.0,
                *retry_after_ns as f64 / 1e9
            ),
            Self::RunsFull { runs_max } => {
                write!(formatter, "{runs_max} runs are under way, which is the limit")
            }
            Self::InputCount { expected, given } => {
                write!(formatter, "{expected} inputs are expected, {given} were given")
            }
            Self::Priority { given } => {
                write!(formatter, "priority {given} is not 1 to 5 (1 is served first)")
            }
        }
    }
}

impl std::error::Error for AcceptError {}
