//! The two state machines, one table each. Nothing in penstock changes state but along a row of these.
//!
//! The tables are the agreed version 1 and hold the whole life of a run; the driver's enums, the docs'
//! diagrams and the coverage universe are made from them.

/// Version of both tables; the journal names it.
pub const TABLE_VERSION: u32 = 1;

macro_rules! states {
    ($(#[$doc:meta])* $name:ident, $all:ident, $allname:literal { $($(#[$vdoc:meta])* $variant:ident = $text:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum $name { $($(#[$vdoc])* $variant),* }

        #[doc = $allname]
        pub const $all: &[$name] = &[$($name::$variant),*];

        impl $name {
            /// The word used for this state in Python, docs and CLI.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text),* }
            }
        }
    };
}

states!(
    /// Where a run is.
    RunStatus, RUN_STATES, "Every run state, in the order of the enum." {
        /// Accepted and going on.
        Running = "running",
        /// Stopped by an operator or an unknown outcome; goes on when resumed.
        Paused = "paused",
        /// Undoing its effects.
        Compensating = "compensating",
        /// Kept aside: unregistered workflow, another graph digest, or a dead letter.
        Held = "held",
        /// Every node is terminal and none failed the run.
        Succeeded = "succeeded",
        /// A node failed for good, or the deadline passed.
        Failed = "failed",
        /// Withdrawn by a user.
        Cancelled = "cancelled",
        /// Undone after a failure, cancel or deadline.
        Compensated = "compensated",
        /// Some effect could not be undone.
        CompensationFailed = "compensation_failed",
    }
);

states!(
    /// Where a node of a run is.
    NodeState, NODE_STATES, "Every node state, in the order of the enum." {
        /// Some input is not there yet.
        Waiting = "waiting",
        /// All inputs are there; it waits in its queue.
        Ready = "ready",
        /// An attempt is under way.
        Running = "running",
        /// It failed and waits for its next attempt.
        Backoff = "backoff",
        /// It waits, without a slot, for a budget, breaker or limit.
        Parked = "parked",
        /// It waits for a signal or a timer.
        Awaiting = "awaiting",
        /// An effect whose outcome nobody knows.
        Unknown = "unknown",
        /// It carries a value.
        Succeeded = "succeeded",
        /// It failed for good.
        Failed = "failed",
        /// It was withdrawn.
        Cancelled = "cancelled",
        /// Its branch was not taken.
        Skipped = "skipped",
        /// Its effect is being undone.
        Compensating = "compensating",
        /// Its effect is undone.
        Compensated = "compensated",
        /// Its effect could not be undone.
        CompensationFailed = "compensation_failed",
    }
);

/// Legal moves of a run: (from, to, cause).
pub const RUN_TABLE: &[(RunStatus, RunStatus, &str)] = {
    use RunStatus::{
        Cancelled, Compensated, Compensating, CompensationFailed, Failed, Held, Paused, Running,
        Succeeded,
    };
    &[
        (Running, Succeeded, "every node is terminal"),
        (Running, Failed, "a node failed for good, or the deadline passed"),
        (Running, Cancelled, "cancel"),
        (Running, Paused, "pause, or an unknown outcome"),
        (Running, Compensating, "failure, cancel or deadline with effects to undo"),
        (Running, CompensationFailed, "an effect of a withdrawn branch could not be undone"),
        (Running, Held, "unregistered workflow, other graph digest, dead letter"),
        (Paused, Running, "resume"),
        (Paused, Cancelled, "cancel"),
        (Paused, Failed, "deadline"),
        (Paused, Compensating, "cancel or deadline with effects to undo"),
        (Paused, CompensationFailed, "an effect of a withdrawn branch could not be undone"),
        (Compensating, Compensated, "every effect is undone"),
        (Compensating, CompensationFailed, "an effect could not be undone"),
        (CompensationFailed, Compensating, "resume"),
        (Compensating, Succeeded, "the effects of withdrawn branches are undone"),
        (Held, Running, "workflow registered, or released by an operator"),
        (Held, Cancelled, "cancel"),
        (Failed, Running, "retry"),
        (Cancelled, Running, "retry"),
        (Compensated, Running, "retry"),
    ]
};

/// Legal moves of a node: (from, to, cause).
pub const NODE_TABLE: &[(NodeState, NodeState, &str)] = {
    use NodeState::{
        Awaiting, Backoff, Cancelled, Compensated, Compensating, CompensationFailed, Failed,
        Parked, Ready, Running, Skipped, Succeeded, Unknown, Waiting,
    };
    &[
        (Waiting, Ready, "every input is there"),
        (Waiting, Skipped, "an input is skipped"),
        (Waiting, Cancelled, "the run is ending"),
        (Waiting, Awaiting, "a wait node's inputs are there"),
        (Waiting, Parked, "a concurrency key is asked for"),
        (Waiting, Running, "a loop or recursion opens its frame"),
        (Waiting, Succeeded, "it passes an input on"),
        (Waiting, Failed, "too few inputs are taken"),
        (Ready, Running, "dispatched"),
        (Ready, Parked, "denied by a budget, breaker or limit"),
        (Ready, Failed, "queue timeout, total timeout, deadline or denial"),
        (Ready, Cancelled, "the run is ending"),
        (Running, Succeeded, "the attempt returned a value"),
        (Running, Failed, "the attempt failed for good"),
        (Running, Cancelled, "the attempt was cancelled"),
        (Running, Backoff, "the attempt failed and will be retried"),
        (Running, Ready, "interrupted: not an attempt"),
        (Running, Unknown, "an effect was cut off"),
        (Running, Skipped, "the predicate says no"),
        (Running, Parked, "a concurrency key is asked for"),
        (Backoff, Ready, "the retry is due"),
        (Backoff, Parked, "denied by a budget, breaker or limit"),
        (Backoff, Failed, "total timeout, deadline or denial"),
        (Backoff, Cancelled, "the run is ending"),
        (Parked, Ready, "released"),
        (Parked, Succeeded, "it holds its concurrency key"),
        (Parked, Failed, "total timeout, deadline or denial"),
        (Parked, Cancelled, "the run is ending"),
        (Awaiting, Succeeded, "the signal or timer came"),
        (Awaiting, Failed, "the wait timed out"),
        (Awaiting, Skipped, "the wait timed out"),
        (Awaiting, Cancelled, "the run is ending"),
        (Unknown, Succeeded, "resolved"),
        (Unknown, Ready, "resolved: retry"),
        (Unknown, Failed, "resolved: failed"),
        (Unknown, Cancelled, "resolved: not done, and not needed any more"),
        (Succeeded, Compensating, "undo"),
        (Failed, Compensating, "undo"),
        (Cancelled, Compensating, "undo"),
        (Compensating, Compensated, "undone"),
        (Compensating, CompensationFailed, "could not be undone"),
        (CompensationFailed, Compensating, "resume"),
        (Failed, Ready, "a compensation is resumed"),
    ]
};

impl RunStatus {
    /// Left only by an operator's command.
    pub const fn is_terminal(self) -> bool {
        matches!(
            self,
            Self::Succeeded
                | Self::Failed
                | Self::Cancelled
                | Self::Compensated
                | Self::CompensationFailed
        )
    }

    /// Whether the table has a row from here to `to`.
    pub fn may_become(self, to: Self) -> bool {
        RUN_TABLE.iter().any(|row| row.0 == self && row.1 == to)
    }
}

impl NodeState {
    /// Whether the node has its final outcome (compensation apart).
    pub const fn is_terminal(self) -> bool {
        matches!(
            self,
            Self::Succeeded
                | Self::Failed
                | Self::Cancelled
                | Self::Skipped
                | Self::Compensated
                | Self::CompensationFailed
        )
    }

    /// Whether the table has a row from here to `to`. O(1): the table is folded into a bit matrix.
    pub const fn may_become(self, to: Self) -> bool {
        NODE_MATRIX[self as usize] & (1 << to as u16) != 0
    }
}

const NODE_MATRIX: [u16; NODE_STATES.len()] = {
    let mut matrix = [0; NODE_STATES.len()];
    let mut row = 0;
    while row < NODE_TABLE.len() {
        matrix[NODE_TABLE[row].0 as usize] |= 1 << NODE_TABLE[row].1 as u16;
        row += 1;
    }
    matrix
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_matrix_is_the_table() {
        for &from in NODE_STATES {
            for &to in NODE_STATES {
                let row = NODE_TABLE.iter().any(|row| row.0 == from && row.1 == to);
                assert_eq!(from.may_become(to), row, "{from:?} -> {to:?}");
            }
        }
    }

    #[test]
    fn every_state_can_be_reached_and_every_live_one_left() {
        for &state in &NODE_STATES[1..] {
            assert!(NODE_TABLE.iter().any(|row| row.1 == state), "{state:?} is unreachable");
        }
        for &state in NODE_STATES.iter().filter(|state| !state.is_terminal()) {
            assert!(NODE_TABLE.iter().any(|row| row.0 == state), "{state:?} is a trap");
        }
        for &state in RUN_STATES.iter().filter(|state| !state.is_terminal()) {
            assert!(RUN_TABLE.iter().any(|row| row.0 == state), "{state:?} is a trap");
        }
    }

    #[test]
    fn a_succeeded_run_is_left_by_nothing() {
        assert!(RUN_TABLE.iter().all(|row| row.0 != RunStatus::Succeeded));
    }
}
