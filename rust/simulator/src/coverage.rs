//! Which rows of the state machines were visited.

use std::collections::BTreeSet;

use penstock_engine::{NODE_TABLE, NodeState, RUN_TABLE, RunStatus};

/// Moves that were seen. A move is seen by comparing a node before and after an event, so that a retry
/// without a wait shows as one move along two rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Of runs.
    pub runs: BTreeSet<(RunStatus, RunStatus)>,
    /// Of nodes.
    pub nodes: BTreeSet<(NodeState, NodeState)>,
}

impl Coverage {
    /// Adds what another world saw.
    pub fn merge(&mut self, other: &Self) {
        self.runs.extend(&other.runs);
        self.nodes.extend(&other.nodes);
    }

    pub(crate) fn run_ended(&mut self, status: RunStatus) -> bool {
        self.runs.insert((RunStatus::Running, status));
        RUN_TABLE.iter().any(|row| (row.0, row.1) == (RunStatus::Running, status))
    }

    /// Notes how a node came from one state to another within one event; `retried` if its attempt failed
    /// and is to be repeated. False if no rows of the table lead there.
    pub(crate) fn node_moved(&mut self, from: NodeState, to: NodeState, retried: bool) -> bool {
        use NodeState::{Backoff, Ready, Running, Waiting};
        let between: &[NodeState] = match (from, to) {
            _ if from == to => return true,
            (Running, Ready) if retried => &[Backoff],
            (Waiting | Backoff, Running) => &[Ready],
            _ => &[],
        };
        let mut here = from;
        for &next in between.iter().chain([&to]) {
            if !NODE_TABLE.iter().any(|row| (row.0, row.1) == (here, next)) {
                return false;
            }
            self.nodes.insert((here, next));
            here = next;
        }
        true
    }
}
