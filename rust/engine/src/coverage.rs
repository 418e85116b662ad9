//! Which parts of a plan the runs so far have shown: what tests and production are compared by.
//!
//! Counted when a run ends, by template node, so that items and iterations add up; what leaves the straight
//! way is counted when it is recorded.

use std::collections::{BTreeMap, BTreeSet};

use crate::failure::Cause;
use crate::ids::{NodeId, Place};
use crate::plan::{NodeKind, PAIRED_DECISIONS_MAX, Plan};
use crate::record::{Body, Then};
use crate::run::{Frame, Run};
use crate::state::{NODE_STATES, NodeState, RUN_STATES, RunStatus};

/// What the runs of one plan have shown. O(nodes of a run) at its end.
#[derive(Clone, Debug, Default)]
pub struct Coverage {
    /// Runs that have ended.
    pub runs: u64,
    /// By node, how often it ended succeeded, failed, cancelled, skipped.
    pub nodes: Vec<[u64; 4]>,
    /// By node, how often a decision had each outcome; empty for other nodes.
    pub outcomes: Vec<Vec<u64>>,
    /// (decision, outcome, later decision, outcome) seen in one run of a frame.
    pub pairs: BTreeSet<(u32, u32, u32, u32)>,
    /// How often a node left the straight way, and how.
    pub exceptions: BTreeMap<(u32, Exception), u64>,
    /// By node, how often what it opens was repeated, as bits: 1 never, 2 once, 4 more, 8 to the bound.
    pub loops: Vec<u8>,
    moves: [u16; NODE_STATES.len()],
    run_moves: [u16; RUN_STATES.len()],
    /// Nodes of each region that tell more than how they ended.
    telling: Vec<Vec<NodeId>>,
    /// Whether any region has decisions to be paired.
    pairs_counted: bool,
    /// Decisions of each region; none where there are too many for their pairs to be counted.
    decisions: Vec<Vec<NodeId>>,
}

/// How a node leaves the straight way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exception {
    /// An attempt failed and another follows.
    Retry,
    /// All attempts failed.
    Exhausted,
    /// Some limit of time passed.
    Timeout,
    /// It was told to stop.
    Cancel,
    /// Its effect was undone.
    Compensate,
    /// Its value was rejected, or its tier failed.
    Reject,
    /// Its failure, or a signal that did not come, was skipped.
    Skip,
}

impl Exception {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Exhausted => "exhausted",
            Self::Timeout => "timeout",
            Self::Cancel => "cancel",
            Self::Compensate => "compensate",
            Self::Reject => "reject",
            Self::Skip => "skip",
        }
    }
}

impl Coverage {
    pub(crate) fn new(plan: &Plan) -> Self {
        let decisions: Vec<Vec<NodeId>> = plan
            .regions
            .iter()
            .map(|region| {
                let nodes = (region.start..region.start + region.len).map(NodeId);
                let found: Vec<NodeId> =
                    nodes.filter(|&node| plan.kind(node).outcomes() > 0).collect();
                if found.len() > PAIRED_DECISIONS_MAX { Vec::new() } else { found }
            })
            .collect();
        let telling = plan.regions.iter().map(|region| {
            let nodes = (region.start..region.start + region.len).map(NodeId);
            nodes.filter(|&node| tells(plan.kind(node))).collect()
        });
        Self {
            telling: telling.collect(),
            nodes: vec![[0; 4]; plan.len()],
            outcomes: plan
                .nodes
                .iter()
                .map(|node| vec![0; node.kind.outcomes() as usize])
                .collect(),
            loops: vec![0; plan.len()],
            pairs_counted: decisions.iter().any(|decisions| decisions.len() > 1),
            decisions,
            ..Self::default()
        }
    }

    /// Moves of nodes that were seen, as (before, after).
    pub fn moves(&self) -> impl Iterator<Item = (NodeState, NodeState)> {
        let seen =
            |from: NodeState, to: NodeState| self.moves[from as usize] & (1 << to as u16) != 0;
        NODE_STATES.iter().flat_map(move |&from| {
            NODE_STATES.iter().filter(move |&&to| seen(from, to)).map(move |&to| (from, to))
        })
    }

    /// Moves of runs that were seen, as (before, after).
    pub fn run_moves(&self) -> impl Iterator<Item = (RunStatus, RunStatus)> {
        let seen =
            |from: RunStatus, to: RunStatus| self.run_moves[from as usize] & (1 << to as u16) != 0;
        RUN_STATES.iter().flat_map(move |&from| {
            RUN_STATES.iter().filter(move |&&to| seen(from, to)).map(move |&to| (from, to))
        })
    }

    pub(crate) fn moved(&mut self, from: RunStatus, to: RunStatus) {
        if from != to {
            self.run_moves[from as usize] |= 1 << to as u16;
        }
    }

    /// A record that is off the straight way; `last` if the node's retry policy allows no further attempt.
    pub(crate) fn recorded(&mut self, plan: &Plan, node: NodeId, body: &Body, last: bool) {
        let kind = plan.kind(node);
        let mut seen = |exception| *self.exceptions.entry((node.0, exception)).or_default() += 1;
        match *body {
            Body::Failed { cause, then, .. } => {
                let late = !matches!(
                    cause,
                    Cause::Error(_) | Cause::NotEnough | Cause::Exhausted | Cause::BreakerOpen
                );
                if late {
                    seen(Exception::Timeout);
                }
                match then {
                    Then::Retry { .. } | Then::Park { .. } => seen(Exception::Retry),
                    Then::Final if last => seen(Exception::Exhausted),
                    Then::Final | Then::Denied => {}
                }
            }
            Body::Withdrawn => seen(Exception::Cancel),
            Body::Fired if matches!(kind, NodeKind::Signal { .. }) => {
                seen(Exception::Timeout);
                seen(Exception::Skip);
            }
            _ => {}
        }
        let over = match body {
            Body::Done { .. } => true,
            Body::Failed { then, .. } => then.is_final(),
            _ => false,
        };
        if let NodeKind::Undo { of } = kind
            && over
        {
            *self.exceptions.entry((of, Exception::Compensate)).or_default() += 1;
        }
    }

    /// A run has ended.
    pub(crate) fn add(&mut self, plan: &Plan, run: &Run) {
        self.runs += 1;
        for (seen, moves) in self.moves.iter_mut().zip(run.moves) {
            *seen |= moves;
        }
        if run.more.is_none() {
            self.add_frames(plan, run, 0, Frame::OUTERMOST, 1);
        } else {
            for (region, frame, count) in run.all_openings(plan) {
                self.add_frames(plan, run, region, frame, count);
            }
        }
        if self.pairs_counted {
            self.add_pairs(plan, run);
        }
    }

    /// Frames of a region that were opened together, from the first one on.
    fn add_frames(&mut self, plan: &Plan, run: &Run, region: usize, first: Frame, count: u32) {
        let it = &plan.regions[region];
        let len = it.len as usize;
        let ends = &mut self.nodes[it.start as usize..][..len];
        let cells = &run.cells[first.place(NodeId(it.start)).index()..][..len * count as usize];
        for cells in cells.chunks_exact(len) {
            for (ends, cell) in ends.iter_mut().zip(cells) {
                if let Some(end) = cell.end() {
                    ends[end as usize] += 1;
                }
            }
        }
        if self.telling[region].is_empty() {
            return;
        }
        let frames = std::iter::successors(Some(first), |frame| Some(frame.next(it.len)));
        for frame in frames.take(count as usize) {
            for at in 0..self.telling[region].len() {
                let node = self.telling[region][at];
                self.tell(plan, run, node, frame.place(node));
            }
        }
    }

    /// What a decision, a shield or something that is repeated has shown.
    fn tell(&mut self, plan: &Plan, run: &Run, node: NodeId, place: Place) {
        let mut seen = |exception| *self.exceptions.entry((node.0, exception)).or_default() += 1;
        let kind = plan.kind(node);
        if let Some(outcome) = run.outcome(plan, place) {
            self.outcomes[node.index()][outcome as usize] += 1;
            if matches!(kind, NodeKind::Accept { .. }) && outcome == 0 {
                seen(Exception::Reject);
            }
        }
        if matches!(kind, NodeKind::Shield { .. }) && run.was_shielded(plan, place) {
            seen(Exception::Skip);
        }
        if let Some(bits) = run.repeated(plan, place) {
            self.loops[node.index()] |= bits;
        }
    }

    fn add_pairs(&mut self, plan: &Plan, run: &Run) {
        for (region, frame) in run.all_frames(plan) {
            let outcomes: Vec<(u32, u32)> = self.decisions[region]
                .iter()
                .filter_map(|&node| Some((node.0, run.outcome(plan, frame.place(node))?)))
                .collect();
            for (at, &(node, outcome)) in outcomes.iter().enumerate() {
                for &(other, its) in &outcomes[at + 1..] {
                    self.pairs.insert((node, outcome, other, its));
                }
            }
        }
    }
}

const fn tells(kind: NodeKind) -> bool {
    let repeats = matches!(kind, NodeKind::Map { .. } | NodeKind::Loop { .. });
    kind.outcomes() > 0 || repeats || matches!(kind, NodeKind::Shield { .. })
}
