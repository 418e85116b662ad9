//! The state of one run, and the one function that changes it.
//!
//! [`Run::apply`] is called with each record, live and when records are folded; it reads nothing but the
//! run, its plan and the record. What is *soft* (which eligible node has been dispatched) is kept by the
//! engine through [`Run::dispatched`] and [`Run::interrupted`] and is no part of the image.

use crate::failure::Cause;
use crate::ids::{AttemptKey, NodeId, PlanId, ValueId};
use crate::plan::{NodeKind, Plan, Policy, is_source};
use crate::ready::DEFAULT_PRIORITY;
use crate::record::{Body, Durability, Record, Then};
use crate::retry::draw;
use crate::state::{NodeState, RunStatus};

/// A node of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    /// The value it carries, [`ValueId::NONE`] before and after. Soft while ready (its place in the line)
    /// and while an attempt is under way (its slot).
    pub(crate) value: ValueId,
    /// Edges not taken yet.
    pub(crate) pending: u32,
    /// Consumers that may still ask for the value.
    pub(crate) uses: u32,
    /// Attempts that counted.
    pub(crate) attempts: u32,
    /// Where the node is.
    pub(crate) state: NodeState,
}

/// What marks an eligible node that stands in its queue's line: its arrival number, cut to size.
const fn place(arrival: u64) -> ValueId {
    ValueId((arrival % u32::MAX as u64) as u32)
}

/// Why a run stopped going on, while attempts of it are still to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// A node failed for good.
    Failed { node: NodeId, cause: Cause },
    /// A user cancelled it.
    Cancelled,
    /// Its deadline passed.
    Deadline,
}

/// What a run is made of besides its records.
#[derive(Clone, Copy, Debug)]
pub struct Identity<'a> {
    /// Its sequential number.
    pub number: u64,
    /// Its plan's id.
    pub plan_id: PlanId,
    /// Its plan.
    pub plan: &'a Plan,
    /// Values of the input nodes, in order.
    pub inputs: &'a [ValueId],
    /// What must be on disk before what.
    pub durability: Durability,
}

/// One execution of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Sequential number: the run's identity in jitter and journal.
    pub(crate) number: u64,
    pub(crate) deadline_ns: u64,
    pub(crate) accepted_ns: u64,
    pub(crate) cells: Box<[Cell]>,
    pub(crate) plan: PlanId,
    /// Records so far.
    pub(crate) seq: u32,
    /// Nodes that are not terminal.
    pub(crate) open: u32,
    /// Attempts and inline evaluations under way, abandoned ones excluded. Soft.
    pub(crate) running: u32,
    pub(crate) ending: Option<Ending>,
    pub(crate) status: RunStatus,
    pub(crate) priority: Option<u8>,
    pub(crate) durability: Durability,
}

/// What a record changed, for the scheduler to act upon.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// Nodes whose inputs are all there.
    pub(crate) eligible: Vec<NodeId>,
    /// A node that waits for a retry, and until when.
    pub(crate) backoff: Option<(NodeId, u64)>,
    /// Values nobody will ask for again.
    pub(crate) drops: Vec<ValueId>,
    /// The run began to end with this record.
    pub(crate) ending: bool,
}

impl Run {
    /// A run as its `Accepted` record leaves it.
    pub(crate) fn accepted(
        identity: &Identity<'_>,
        record: &Record,
        changes: &mut Changes,
    ) -> Self {
        let plan = identity.plan;
        let Body::Accepted { priority, deadline_ns } = record.body else {
            unreachable!("a run begins with its Accepted record");
        };
        let mut inputs = identity.inputs.iter();
        let mut open = 0;
        let cells = plan
            .nodes
            .iter()
            .enumerate()
            .map(|(index, node)| {
                let source = is_source(node.kind);
                if !source {
                    open += 1;
                    if node.pending == 0 {
                        changes.eligible.push(NodeId(index as u32));
                    }
                }
                let value = match node.kind {
                    NodeKind::Input => inputs.next().copied().unwrap_or(ValueId::NONE),
                    _ => ValueId::NONE,
                };
                Cell {
                    value,
                    pending: node.pending,
                    uses: node.uses,
                    attempts: 0,
                    state: if source {
                        NodeState::Succeeded
                    } else if node.pending == 0 {
                        NodeState::Ready
                    } else {
                        NodeState::Waiting
                    },
                }
            })
            .collect();
        Self {
            number: identity.number,
            deadline_ns,
            accepted_ns: record.at_ns,
            cells,
            plan: identity.plan_id,
            seq: 1,
            open,
            running: 0,
            ending: None,
            status: RunStatus::Running,
            priority,
            durability: identity.durability,
        }
    }

    /// The run as its records leave it: what recovery starts from, and what a live run is checked against.
    ///
    /// `records` are all of the run's, in order.
    ///
    /// # Panics
    /// If the records are not those of one run of this plan, in order.
    pub fn fold(identity: &Identity<'_>, records: &[Record]) -> Self {
        let (first, rest) = records.split_first().expect("a run has at least one record");
        let mut changes = Changes::default();
        let mut run = Self::accepted(identity, first, &mut changes);
        for record in rest {
            run.apply(identity.plan, record, &mut changes);
        }
        run
    }

    /// The only place where a record changes a run.
    pub(crate) fn apply(&mut self, plan: &Plan, record: &Record, changes: &mut Changes) {
        debug_assert_eq!(record.seq, self.seq, "records of a run are dense");
        self.seq += 1;
        let node = record.node;
        match record.body {
            Body::Done { value, .. } => {
                self.cells[node.index()].attempts = record.attempt;
                self.succeed(plan, node, value, changes);
            }
            Body::Decided { value } => self.succeed(plan, node, value, changes),
            Body::Failed { cause, then: Then::Retry { due_ns }, .. } => {
                self.cells[node.index()].attempts = record.attempt;
                if let Cause::Error(error) = cause {
                    changes.drops.push(error);
                }
                self.start_if_eligible(node);
                self.move_node(node, NodeState::Backoff);
                if due_ns <= record.at_ns {
                    self.move_node(node, NodeState::Ready);
                    changes.eligible.push(node);
                } else {
                    changes.backoff = Some((node, due_ns));
                }
            }
            Body::Failed { cause, then: Then::Final, .. } => {
                self.cells[node.index()].attempts = record.attempt;
                self.finish(plan, node, NodeState::Failed, changes);
                if self.ending.is_none() {
                    self.end(plan, Ending::Failed { node, cause }, changes);
                } else if let Cause::Error(error) = cause {
                    changes.drops.push(error);
                }
            }
            Body::Withdrawn => self.finish(plan, node, NodeState::Cancelled, changes),
            Body::CancelRequested => self.end(plan, Ending::Cancelled, changes),
            Body::DeadlinePassed => self.end(plan, Ending::Deadline, changes),
            Body::Interrupted | Body::Abandoned => {}
            Body::Ended { status } => {
                assert!(self.status.may_become(status), "{:?} -> {status:?}", self.status);
                self.status = status;
                self.release_everything(changes);
            }
            Body::Accepted { .. } => unreachable!("a run is accepted once"),
        }
    }

    /// The band a node of it waits in, 1 to 5: the node's own word, else the run's, else the step's.
    pub fn priority(&self, policy: &Policy) -> u8 {
        let priority = policy.priority.or(self.priority).or(policy.step_priority);
        priority.unwrap_or(DEFAULT_PRIORITY)
    }

    /// How the run would end if nothing of it were under way; `None` while it goes on.
    pub(crate) const fn verdict(&self) -> Option<RunStatus> {
        if self.running > 0 {
            return None;
        }
        match self.ending {
            Some(Ending::Cancelled) => Some(RunStatus::Cancelled),
            Some(_) => Some(RunStatus::Failed),
            None if self.open == 0 => Some(RunStatus::Succeeded),
            None => None,
        }
    }

    /// Notes with which arrival number an eligible node stands in its queue's line; `None` when it no
    /// longer does. Soft.
    pub(crate) fn lined(&mut self, node: NodeId, arrival: Option<u64>) {
        debug_assert_eq!(self.cells[node.index()].state, NodeState::Ready);
        self.cells[node.index()].value = arrival.map_or(ValueId::NONE, place);
    }

    /// Whether a node stands in its queue's line.
    pub(crate) fn is_lined(&self, node: NodeId) -> bool {
        let cell = &self.cells[node.index()];
        cell.state == NodeState::Ready && cell.value.is_some()
    }

    /// Whether a node stands in its queue's line since this arrival.
    pub(crate) fn is_lined_since(&self, node: NodeId, arrival: u64) -> bool {
        let cell = &self.cells[node.index()];
        cell.state == NodeState::Ready && cell.value == place(arrival)
    }

    /// Notes that an eligible node has been handed to the driver. Soft.
    pub(crate) fn dispatched(&mut self, node: NodeId, attempt: Option<AttemptKey>) {
        self.move_node(node, NodeState::Running);
        self.running += 1;
        self.cells[node.index()].value = attempt.map_or(ValueId::NONE, |key| ValueId(key.0 as u32));
    }

    /// Notes that a node's attempt is over or given up. Soft; the record that follows decides.
    pub(crate) fn released(&mut self, node: NodeId) {
        self.running -= 1;
        self.cells[node.index()].value = ValueId::NONE;
    }

    /// Notes that an attempt was cut short, so that the node is eligible again. Soft.
    pub(crate) fn interrupted(&mut self, node: NodeId) {
        self.move_node(node, NodeState::Ready);
    }

    /// Notes that a retry is due. Not recorded: it follows from the due time.
    pub(crate) fn retry_due(&mut self, node: NodeId) {
        self.move_node(node, NodeState::Ready);
    }

    /// Slot of the attempt under way at `node`.
    pub(crate) fn attempt_slot(&self, node: NodeId) -> Option<u32> {
        let cell = &self.cells[node.index()];
        (cell.state == NodeState::Running && cell.value.is_some()).then_some(cell.value.0)
    }

    /// A digest of what the records say: what is soft is folded away. Two runs that went through the
    /// same records have the same image.
    pub fn image(&self) -> u64 {
        let header = [
            self.number,
            self.deadline_ns,
            u64::from(self.seq),
            u64::from(self.open) << 8 | self.status as u64,
        ];
        let ending = match self.ending {
            None => 0,
            Some(Ending::Cancelled) => 1,
            Some(Ending::Deadline) => 2,
            Some(Ending::Failed { node, .. }) => 3 | u64::from(node.0) << 8,
        };
        self.cells.iter().fold(draw(ending, header), |hash, cell| {
            let (state, value) = match cell.state {
                NodeState::Ready | NodeState::Running | NodeState::Parked | NodeState::Backoff => {
                    (NodeState::Ready, ValueId::NONE)
                }
                state => (state, cell.value),
            };
            draw(
                hash,
                [
                    state as u64,
                    u64::from(value.0),
                    u64::from(cell.pending) << 32 | u64::from(cell.uses),
                    u64::from(cell.attempts),
                ],
            )
        })
    }

    fn succeed(&mut self, plan: &Plan, node: NodeId, value: ValueId, changes: &mut Changes) {
        self.finish(plan, node, NodeState::Succeeded, changes);
        let cell = &mut self.cells[node.index()];
        if cell.uses == 0 || self.ending.is_some() {
            changes.drops.push(value);
        } else {
            cell.value = value;
        }
        if self.ending.is_some() {
            return;
        }
        for &consumer in &plan.nodes[node.index()].consumers {
            let cell = &mut self.cells[consumer.index()];
            cell.pending -= 1;
            if cell.pending == 0 {
                self.move_node(consumer, NodeState::Ready);
                changes.eligible.push(consumer);
            }
        }
    }

    /// Brings a node to a terminal state and gives up its claim on its inputs.
    fn finish(&mut self, plan: &Plan, node: NodeId, state: NodeState, changes: &mut Changes) {
        if matches!(state, NodeState::Succeeded) {
            self.start_if_eligible(node);
        }
        self.move_node(node, state);
        self.open -= 1;
        for &input in &plan.nodes[node.index()].inputs {
            let cell = &mut self.cells[input.index()];
            cell.uses -= 1;
            // In any other state the value is soft: a place in a line, or the slot of an attempt.
            let carries = cell.state == NodeState::Succeeded && cell.value.is_some();
            if cell.uses == 0 && carries {
                changes.drops.push(std::mem::replace(&mut cell.value, ValueId::NONE));
            }
        }
    }

    /// The run stops going on: what has waited for inputs is withdrawn. Nodes that were eligible once are
    /// left to the scheduler, which knows which of them have started and records the others: whether a
    /// retry has come due or been dispatched is not in the records.
    fn end(&mut self, plan: &Plan, ending: Ending, changes: &mut Changes) {
        debug_assert!(self.ending.is_none(), "a run begins to end once");
        self.ending = Some(ending);
        changes.ending = true;
        for index in 0..self.cells.len() {
            if self.cells[index].state == NodeState::Waiting {
                self.finish(plan, NodeId(index as u32), NodeState::Cancelled, changes);
            }
        }
    }

    fn release_everything(&mut self, changes: &mut Changes) {
        let output = self.status == RunStatus::Succeeded;
        for cell in &mut self.cells {
            // The output's last use is the result itself, which the driver takes over.
            if cell.value.is_some() && !(output && cell.uses == 1) {
                changes.drops.push(std::mem::replace(&mut cell.value, ValueId::NONE));
            }
        }
    }

    /// In a fold neither a retry that comes due nor a dispatch is recorded: both follow from what the
    /// record says of the node.
    fn start_if_eligible(&mut self, node: NodeId) {
        if self.cells[node.index()].state == NodeState::Backoff {
            self.move_node(node, NodeState::Ready);
        }
        if self.cells[node.index()].state == NodeState::Ready {
            self.move_node(node, NodeState::Running);
        }
    }

    fn move_node(&mut self, node: NodeId, to: NodeState) {
        let cell = &mut self.cells[node.index()];
        assert!(
            cell.state.may_become(to),
            "illegal move of node {}: {} -> {}",
            node.0,
            cell.state.name(),
            to.name()
        );
        cell.state = to;
    }
}
