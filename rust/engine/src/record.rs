//! The facts a run is made of: what came from outside and what the scheduler decided.
//!
//! A run's state is a function of its own records alone, in `seq` order ([`crate::Run::apply`]).

use crate::accounts::{AccountModel, Unpaid};
use crate::books::RunEnd;
use crate::failure::{Cause, Refusal};
use crate::ids::{Lsn, Place, ResourceId, RunKey, ValueId};
use crate::state::RunStatus;

/// One fact about a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its place in the journal.
    pub lsn: Lsn,
    /// The run.
    pub run: RunKey,
    /// Its place in the run, dense from 0.
    pub seq: u32,
    /// Engine time.
    pub at_ns: u64,
    /// The node it is about; 0 where it is about the run.
    pub node: Place,
    /// The attempt it is about, from 1; 0 where there is none.
    pub attempt: u32,
    /// What happened.
    pub body: Body,
}

impl Record {
    /// An acceptance as it holds for a run that begins anew at `now_ns`: it has as long until its deadline as it had
    /// at first. Any other record is as it was.
    #[must_use]
    pub const fn renewed(mut self, now_ns: u64) -> Self {
        if let Body::Accepted { deadline_ns, .. } = &mut self.body
            && *deadline_ns != u64::MAX
        {
            *deadline_ns = now_ns.saturating_add(deadline_ns.saturating_sub(self.at_ns));
        }
        self
    }
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// The run was accepted; always the first record.
    Accepted {
        /// Priority of its nodes that have none of their own.
        priority: Option<u8>,
        /// When it must be over; `u64::MAX` for never.
        deadline_ns: u64,
    },
    /// The run may spend so much, from now on.
    Budgeted {
        /// What.
        model: AccountModel,
    },
    /// From now on something of it is made cheaper, to stay within a budget.
    Degraded,
    /// An attempt was not paid for; what became of the node is said by the record that follows.
    Denied {
        /// By whom, and why.
        unpaid: Unpaid,
    },
    /// An attempt returned a value.
    Done {
        /// The value.
        value: ValueId,
        /// When the attempt was dispatched.
        started_ns: u64,
        /// Whether it was the second of two copies.
        copy: bool,
    },
    /// An attempt has spent something.
    Spent {
        /// What.
        resource: ResourceId,
        /// How many units of it.
        units: u64,
        /// Nano-dollars; `None` if it has no price.
        nanos: Option<i64>,
        /// Whether it was the second of two copies.
        copy: bool,
    },
    /// An attempt or a wait failed.
    Failed {
        /// Why.
        cause: Cause,
        /// When the attempt was dispatched; when the wait ended, if there was none.
        started_ns: u64,
        /// What was decided.
        then: Then,
        /// If it refused a handoff, why.
        refusal: Option<Refusal>,
    },
    /// An attempt is about to start whose effect must be known: of a step with a compensation, or at most
    /// once.
    Started,
    /// An inline function gave a value.
    Decided {
        /// The value.
        value: ValueId,
    },
    /// A decision was taken: an outcome's number, whether a loop ends, or a concurrency key.
    Chosen {
        /// Which.
        outcome: u64,
        /// Of a value that has to reach a threshold: how good it is.
        score: Option<Score>,
    },
    /// A map opened its frames.
    Opened {
        /// How many items there are.
        count: u32,
    },
    /// A sleep or the wait for a signal is over by time.
    Fired,
    /// A signal came from outside.
    Signal {
        /// Index of its name.
        signal: u32,
        /// What it brought.
        value: ValueId,
    },
    /// A node holds its concurrency key.
    Acquired,
    /// A node that was to start is parked.
    Parked {
        /// Why.
        denial: Denial,
    },
    /// A node that had not ended was withdrawn: its run is ending, or its branch is not needed.
    Withdrawn,
    /// An attempt was cut short by the runtime's end; it does not count.
    Interrupted,
    /// An attempt did not end when cancelled; its result will be ignored.
    Abandoned,
    /// An attempt of a step that may run at most once was cut off: nobody knows whether it had its effect.
    Unknown,
    /// Somebody has found out that it had none: the node may be tried again.
    Resolved,
    /// The process went down while attempts of the run were under way.
    Recovered {
        /// How often that has happened.
        count: u32,
    },
    /// A user asked for the run to be cancelled.
    CancelRequested,
    /// The run's deadline passed.
    DeadlinePassed,
    /// No step of the run starts until it is resumed.
    Paused,
    /// The run goes on, or a compensation that failed is tried again.
    Resumed,
    /// The run is kept aside, as it can't go on here.
    Held,
    /// A run that was held goes on.
    Released,
    /// A run that was over is tried again: it is what [`crate::kept`] leaves of the records before.
    Retried {
        /// How often it was tried again as a whole.
        generation: u32,
        /// The generation that its idempotency keys name.
        keys: u32,
        /// How it had ended before; `None` of one that was held.
        was: Option<RunEnd>,
    },
    /// Everything under way has ended, and what the run did is undone.
    Compensating,
    /// The run is over.
    Ended {
        /// How.
        status: RunStatus,
    },
}

/// How good a value is: a finite number, kept by its bits so that records can be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Score(u64);

impl Score {
    /// The score of this number; `None` of one that is infinite or none.
    pub fn of(score: f64) -> Option<Self> {
        score.is_finite().then(|| Self(score.to_bits()))
    }

    /// Its bits, as [`Self::of_bits`] takes them.
    pub const fn to_bits(self) -> u64 {
        self.0
    }

    /// The score of these bits; `None` as in [`Self::of`].
    pub fn of_bits(bits: u64) -> Option<Self> {
        Self::of(f64::from_bits(bits))
    }

    /// The number.
    pub const fn number(self) -> f64 {
        f64::from_bits(self.0)
    }
}

/// What follows a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// Another attempt at this time.
    Retry {
        /// When it is due.
        due_ns: u64,
    },
    /// Another attempt once its queue is well again, and not before this time.
    Park {
        /// When it is due.
        due_ns: u64,
        /// Why it is not tried before.
        denial: Denial,
    },
    /// The node has failed for good.
    Final,
    /// The node has failed for good, as the queue's budget did not pay for a retry.
    Denied,
}

/// Why a node may not be tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denial {
    /// The queue's retry budget is spent.
    Budget,
    /// Its breaker is open.
    Breaker,
    /// Its retry budget is spent, and somebody has to see to the run.
    DeadLetter,
    /// The money is spent, and somebody has to see to the run.
    Money,
}

impl Denial {
    /// Every one, in the order of the enum.
    pub const ALL: [Self; 4] = [Self::Budget, Self::Breaker, Self::DeadLetter, Self::Money];

    /// The word for it in history and messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Budget => "budget",
            Self::Breaker => "breaker",
            Self::DeadLetter => "dead_letter",
            Self::Money => "money",
        }
    }

    /// Whether no queue lets it go: somebody has to.
    pub const fn is_for_good(self) -> bool {
        matches!(self, Self::DeadLetter | Self::Money)
    }
}

impl Then {
    /// Whether the node has failed for good.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Final | Self::Denied)
    }
}

/// What must be on disk before what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// A result is on disk before a step that depends on it starts.
    #[default]
    Sync,
    /// Results are written behind.
    Async,
    /// Results are not written.
    Exit,
}

impl Body {
    /// Whether it is about the run rather than about one of its nodes.
    pub const fn is_about_run(&self) -> bool {
        matches!(
            self,
            Self::Accepted { .. }
                | Self::Budgeted { .. }
                | Self::Degraded
                | Self::Signal { .. }
                | Self::Recovered { .. }
                | Self::Held
                | Self::Released
                | Self::Retried { .. }
                | Self::CancelRequested
                | Self::DeadlinePassed
                | Self::Paused
                | Self::Resumed
                | Self::Compensating
                | Self::Ended { .. }
        )
    }

    /// The word for it in history.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Accepted { .. } => "accepted",
            Self::Budgeted { .. } => "budgeted",
            Self::Degraded => "degraded",
            Self::Denied { .. } => "denied",
            Self::Done { .. } => "done",
            Self::Spent { .. } => "spent",
            Self::Failed { .. } => "failed",
            Self::Started => "started",
            Self::Decided { .. } => "decided",
            Self::Chosen { .. } => "chosen",
            Self::Opened { .. } => "opened",
            Self::Fired => "fired",
            Self::Signal { .. } => "signal",
            Self::Acquired => "acquired",
            Self::Parked { .. } => "parked",
            Self::Withdrawn => "withdrawn",
            Self::Interrupted => "interrupted",
            Self::Abandoned => "abandoned",
            Self::Unknown => "unknown",
            Self::Resolved => "resolved",
            Self::Recovered { .. } => "recovered",
            Self::Held => "held",
            Self::Released => "released",
            Self::Retried { .. } => "retried",
            Self::CancelRequested => "cancel_requested",
            Self::DeadlinePassed => "deadline_passed",
            Self::Paused => "paused",
            Self::Resumed => "resumed",
            Self::Compensating => "compensating",
            Self::Ended { .. } => "ended",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_takes_80_bytes() {
        assert_eq!(size_of::<Record>(), 80);
    }

    #[test]
    fn a_score_is_a_finite_number() {
        for none in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(Score::of(none), None);
        }
        assert_eq!(Score::of(0.7).map(Score::number), Some(0.7));
    }
}
