//! What the engine asks of its driver.

use crate::attempt::CancelCause;
use crate::failure::Cause;
use crate::ids::{AttemptKey, NodeId, PlanId, RunKey, ValueId};
use crate::plan::Lane;

/// Something for the driver to do, from [`crate::Engine::poll`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Evaluate an inline node now and answer with [`crate::Event::Decided`] or `DecidedFailed`.
    Evaluate {
        /// The run.
        run: RunKey,
        /// The node.
        node: NodeId,
    },
    /// Tell an attempt to stop. It goes on to hold its slots until an event says that it has ended.
    Cancel {
        /// The attempt.
        attempt: AttemptKey,
        /// Why.
        cause: CancelCause,
    },
    /// Forget a value: nobody will ask for it again.
    Drop {
        /// The value.
        value: ValueId,
    },
    /// A run is over; its key is dead.
    Ended {
        /// The run.
        run: RunKey,
        /// How it ended.
        outcome: Outcome,
    },
}

/// How a run ended. A handle inside passes to the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The output node's value; [`ValueId::NONE`] if the output is a constant, which the driver keeps.
    Succeeded(ValueId),
    /// The first node that failed for good.
    Failed {
        /// The node.
        node: NodeId,
        /// Attempts it had.
        attempts: u32,
        /// Why.
        cause: Cause,
    },
    /// A user cancelled it.
    Cancelled,
    /// Its deadline passed.
    DeadlineExceeded,
}

/// An attempt to start, from [`crate::Engine::dispatch`]. It holds its slots from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    /// Its key, for the events about it.
    pub attempt: AttemptKey,
    /// The run.
    pub run: RunKey,
    /// The run's plan.
    pub plan: PlanId,
    /// The node.
    pub node: NodeId,
    /// Which attempt of the node, from 1.
    pub number: u32,
    /// Where it is to run.
    pub lane: Lane,
}
