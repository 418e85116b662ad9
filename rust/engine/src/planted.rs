//! Bugs that are switched on one by one, to see whether the simulator finds them. Under a feature, so that no
//! build for users has any of it.

use std::cell::Cell;

/// A bug, by its place in [`BUGS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// A retry that is due is put in no line.
    DueRetryIsForgotten,
    /// What a record about money is numbered by is given out twice.
    LsnIsGivenTwice,
    /// What an attempt brings that was given up is taken all the same.
    LateResultCounts,
    /// A step that may run once is started again after a crash.
    OnceIsTwice,
    /// A result that is not on disk lets those start who depend on it.
    GateIsOpen,
    /// The timer of an earlier wait in line stands for a later one.
    StaleTimerFires,
    /// A queue with parked nodes and free slots sets no timer.
    QueueIsNotWoken,
    /// A node gets one attempt more than it may have.
    OneAttemptMore,
    /// Retries are paid from an empty budget.
    EmptyBudgetPays,
    /// What a second attempt spends is booked twice.
    SpendIsBookedTwice,
    /// What a run spends is not charged to its tenant's account.
    TenantIsNotCharged,
    /// A restored run has lost its priority.
    PriorityIsLost,
    /// A dispatch changes what only a record may.
    HiddenState,
    /// A concurrency key that is given back wakes nobody.
    KeyWakesNobody,
    /// What is parked at a breaker never comes back.
    DrainIsShut,
    /// What a failed attempt may have done is not undone.
    FailureIsNotUndone,
    /// Something is undone before what came after it.
    UndoneOutOfTurn,
    /// The slot of an attempt that ran out of time is given back twice.
    SlotIsGivenTwice,
    /// A concurrency key is given to whoever asks.
    KeyIsShared,
}

/// Every bug, with the invariant it breaks.
pub const BUGS: [(Bug, u8); 19] = [
    (Bug::DueRetryIsForgotten, 1),
    (Bug::LsnIsGivenTwice, 2),
    (Bug::LateResultCounts, 2),
    (Bug::OnceIsTwice, 3),
    (Bug::GateIsOpen, 3),
    (Bug::StaleTimerFires, 4),
    (Bug::QueueIsNotWoken, 4),
    (Bug::OneAttemptMore, 5),
    (Bug::EmptyBudgetPays, 5),
    (Bug::SpendIsBookedTwice, 6),
    (Bug::TenantIsNotCharged, 6),
    (Bug::PriorityIsLost, 7),
    (Bug::HiddenState, 7),
    (Bug::KeyWakesNobody, 8),
    (Bug::DrainIsShut, 8),
    (Bug::FailureIsNotUndone, 9),
    (Bug::UndoneOutOfTurn, 9),
    (Bug::SlotIsGivenTwice, 10),
    (Bug::KeyIsShared, 10),
];

thread_local! {
    static PLANTED: Cell<Option<Bug>> = const { Cell::new(None) };
}

/// From now on engines of this thread have a bug, or none.
pub fn plant(bug: Option<Bug>) {
    PLANTED.set(bug);
}

pub(crate) fn has(bug: Bug) -> bool {
    PLANTED.get() == Some(bug)
}
