//! Which rows of the state machines were visited.

use std::collections::BTreeSet;

use penstock_engine::{NODE_STATES, NodeKind, NodeState, RunStatus};

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

    /// Notes a run's move. False if no row of the table leads there.
    pub(crate) fn run_moved(&mut self, from: RunStatus, to: RunStatus) -> bool {
        self.runs.insert((from, to));
        from.may_become(to)
    }

    /// Notes how a node came from one state to another within one event; `retried` if its attempt failed
    /// and is to be repeated. False if no rows of the table lead there. Where several ways do, none counts
    /// as visited.
    pub(crate) fn node_moved(
        &mut self,
        kind: NodeKind,
        from: NodeState,
        to: NodeState,
        retried: bool,
    ) -> bool {
        use NodeState::{Backoff, Parked, Ready, Running, Waiting};
        if from == to {
            return true;
        }
        let opens_at_once = matches!(kind, NodeKind::Loop { .. } | NodeKind::Recurse { .. });
        let between: Vec<Vec<NodeState>> = match (from, to) {
            (Running, Ready | Parked) if retried => vec![vec![Backoff]],
            (Waiting | Backoff, Running) if !opens_at_once => vec![vec![Ready]],
            _ if from.may_become(to) => vec![vec![]],
            _ => {
                let one = NODE_STATES.iter().map(|&it| vec![it]);
                let two =
                    NODE_STATES.iter().flat_map(|&a| NODE_STATES.iter().map(move |&b| vec![a, b]));
                let all = one.chain(two).filter(|it| is_way(from, it, to));
                let shortest = all.clone().map(|it| it.len()).min();
                all.filter(|it| Some(it.len()) == shortest).collect()
            }
        };
        if let [only] = between.as_slice() {
            let way: Vec<NodeState> = [from].into_iter().chain(only.clone()).chain([to]).collect();
            self.nodes.extend(way.windows(2).map(|pair| (pair[0], pair[1])));
        }
        !between.is_empty()
    }
}

fn is_way(from: NodeState, between: &[NodeState], to: NodeState) -> bool {
    let way: Vec<NodeState> =
        [from].into_iter().chain(between.iter().copied()).chain([to]).collect();
    way.windows(2).all(|pair| pair[0].may_become(pair[1]))
}
