//! What the engine asks of its driver.

use crate::attempt::CancelCause;
use crate::books::Ledger;
use crate::failure::Cause;
use crate::ids::{AttemptKey, NodeId, Place, PlanId, QueueId, RunKey, ValueId};
use crate::layout::Layout;
use crate::plan::Lane;
use crate::queues::News;
use crate::run::Base;
use crate::state::RunStatus;

/// Something for the driver to do, from [`crate::Engine::poll`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Evaluate an inline node now and answer with [`crate::Event::Decided`], `Chosen`, `Counted` or
    /// `DecidedFailed`.
    Evaluate {
        /// The run.
        run: RunKey,
        /// The node.
        node: Place,
        /// The node's place in the plan.
        template: NodeId,
        /// What of it.
        what: Evaluation,
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
    /// Something happened to a queue.
    Queue {
        /// The queue.
        queue: QueueId,
        /// What.
        news: News,
    },
    /// A run is over; its key is dead.
    Ended {
        /// The run.
        run: RunKey,
        /// What it has spent, if anything.
        ledger: Option<Box<Ledger>>,
        /// Its last state.
        status: RunStatus,
        /// How it ended, before any compensation.
        outcome: Outcome,
        /// Where the nodes of its frames stood, if it had any.
        layout: Option<Box<Layout>>,
    },
    /// A run stays as it is until somebody sees to it: an effect could not be undone, or what a node did is
    /// not known.
    Stalled {
        /// The run.
        run: RunKey,
        /// The compensation that failed, or the node nobody knows of; an error is the engine's until the run
        /// goes on.
        node: Place,
        /// Why.
        cause: Cause,
    },
}

/// What of a node the driver evaluates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evaluation {
    /// Its function, with its inputs' values; answered by a value, an outcome or a key, as the kind says.
    Function,
    /// How many items a map's first input has: answered by [`crate::Event::Counted`].
    Count,
    /// The list of a map's results or of a collect's taken inputs: answered by a value.
    Gather,
    /// Whether a loop is over, given its last value: answered by an outcome, 1 for yes.
    Until,
}

/// How a run ended. A handle inside passes to the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The output node's value.
    Succeeded(Base),
    /// The first node that failed for good.
    Failed {
        /// The node.
        node: Place,
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
    pub node: Place,
    /// The node's place in the plan.
    pub template: NodeId,
    /// Which attempt of the node, from 1.
    pub number: u32,
    /// Where it is to run.
    pub lane: Lane,
}
