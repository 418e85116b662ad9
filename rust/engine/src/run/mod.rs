//! The state of one run, and the one function that changes it.
//!
//! [`Run::apply`] is called with each record, live and when records are folded; it reads nothing but the
//! run, its plan and the record. What is *soft* (which eligible node has been dispatched) is kept by the
//! engine through [`Run::dispatched`] and [`Run::interrupted`] and is no part of the image.
//!
//! The chapters: `flow` takes values along edges, `values` knows who still needs them, `frames` opens
//! maps, loops and recursions, `contain` says how far a failure goes, `undo` compensates, `seen` tells coverage.

mod contain;
mod flow;
mod frames;
mod seen;
mod undo;
mod values;

use std::collections::{BTreeMap, VecDeque};

use crate::accounts::AccountModel;
use crate::action::Evaluation;
use crate::books::{Amount, Ledger};
use crate::failure::{Cause, Refusal};
use crate::ids::{AttemptKey, Lsn, NodeId, Place, PlanId, TenantId, ValueId};
use crate::layout::{Layout, Span};
use crate::plan::{Plan, Policy};
use crate::queues::DEFAULT_PRIORITY;
use crate::record::{Body, Denial, Durability, Record, Then};
use crate::retry::draw;
use crate::state::{NODE_STATES, NodeState, RunStatus};

pub(crate) use frames::{Frame, Opening};
pub(crate) use seen::End;
pub use values::{Base, Source};

/// A node of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    /// The value it carries, [`ValueId::NONE`] before and after; for a node that passes another's value on,
    /// the place of that one. Soft while ready (its place in the line) and while an attempt is under way
    /// (its slot).
    pub(crate) value: ValueId,
    /// Edges not resolved yet; while it is compensated, consumers not undone yet.
    pub(crate) pending: u32,
    /// Consumers that may still ask for the value.
    pub(crate) uses: u32,
    /// Attempts that counted. Of a decision, its outcome plus 1; of a join, its taken inputs; of what opens
    /// frames, its latest opening plus 1.
    pub(crate) attempts: u32,
    /// Where the node is.
    pub(crate) state: NodeState,
    flags: u8,
}

/// Its branch is not needed any more: its edges are resolved, however it ends.
const WITHDRAWN: u8 = 1;
/// An attempt of it may have had effects.
const STARTED: u8 = 2;
/// It carried a value, or passed one on.
const VALUED: u8 = 64;
/// The driver evaluates it. Soft.
const EVALUATED: u8 = 4;
/// Its value came of the second of two copies of its attempt.
const COPY: u8 = 32;
/// It is to be undone, after what came after it.
const UNDOING: u8 = 8;
/// Its turn to be undone has come.
const TURNED: u8 = 16;

impl Cell {
    const fn is(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Whether it has ended, whatever of it has been undone since.
    pub(crate) const fn is_over(&self) -> bool {
        self.state.is_terminal() || matches!(self.state, NodeState::Compensating)
    }

    /// Whether its value came of the second of two copies of its attempt.
    pub(crate) const fn is_copys(&self) -> bool {
        self.is(COPY)
    }

    /// Whether it gave its value, whatever of it has been undone since.
    const fn has_given(&self) -> bool {
        match self.state {
            NodeState::Succeeded => true,
            NodeState::Compensating | NodeState::Compensated | NodeState::CompensationFailed => {
                self.value.is_some()
            }
            _ => false,
        }
    }

    /// Whether `value` is what the node carries, and not something soft.
    const fn carries(&self) -> bool {
        !matches!(self.state, NodeState::Ready | NodeState::Running | NodeState::Parked)
    }
}

/// What marks an eligible node that stands in its queue's line: its arrival number, cut to size.
const fn place(arrival: u64) -> ValueId {
    ValueId((arrival % u32::MAX as u64) as u32)
}

/// Why a run stopped going on, while attempts of it are still to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// A node failed for good.
    Failed(Blame),
    /// A user cancelled it.
    Cancelled,
    /// Its deadline passed.
    Deadline,
}

/// The node whose failure it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blame {
    /// The node.
    pub node: Place,
    /// Why it failed.
    pub cause: Cause,
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
    /// Whom it is for.
    pub tenant: TenantId,
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
    /// Its own acceptance, which is on disk before any of its steps starts. Soft.
    boundary: Lsn,
    /// The outermost frame's nodes, then those of each opening.
    pub(crate) cells: Vec<Cell>,
    pub(crate) plan: PlanId,
    /// Whom it is for. Soft.
    pub(crate) tenant: TenantId,
    /// Nodes of the outermost frame.
    outermost: u32,
    /// Records so far.
    pub(crate) seq: u32,
    /// Nodes that are not terminal, compensations apart.
    pub(crate) open: u32,
    /// Attempts and inline evaluations under way, abandoned ones excluded. Soft.
    pub(crate) running: u32,
    pub(crate) ending: Option<Ending>,
    pub(crate) status: RunStatus,
    pub(crate) priority: Option<u8>,
    pub(crate) durability: Durability,
    /// Moves its nodes have made, a bit for each state by the state before.
    pub(crate) moves: [u16; NODE_STATES.len()],
    /// What few runs have.
    pub(crate) more: Option<Box<More>>,
}

/// What only runs with frames, waits, contained failures, keys or compensation have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct More {
    /// In the order they were opened, which is the order of their cells.
    pub(crate) openings: Vec<Opening>,
    /// Nodes that wait for a signal, longest first.
    pub(crate) awaiting: Vec<Place>,
    /// Signals that nobody has waited for yet.
    pub(crate) signals: VecDeque<(u32, ValueId)>,
    /// Contained failures, by what heard of them: a join or tier, or a frame's first cell.
    pub(crate) failures: BTreeMap<Place, Blame>,
    /// Concurrency keys asked for or held.
    pub(crate) keys: BTreeMap<Place, u64>,
    /// Nodes whose outcome nobody knows.
    pub(crate) unknown: u32,
    /// Whether the run stands still because of those alone.
    stands_still: bool,
    pub(crate) undo: undo::Undo,
    /// Races that are over, and which input has won.
    pub(crate) winners: Vec<(Place, Place)>,
    /// What it has spent, and how it came to where it is.
    pub(crate) ledger: Ledger,
    /// Whether there is anything in the ledger.
    has_ledger: bool,
    /// What it may spend, if that is limited.
    account: Option<AccountModel>,
    /// What it stands still for, as nobody paid for it.
    unpaid: Option<Place>,
}

/// What a record changed, for the scheduler to act upon.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// Time of the record.
    pub(crate) at_ns: u64,
    /// Nodes whose inputs are all there.
    pub(crate) eligible: Vec<Place>,
    /// Nodes that need the driver once more.
    pub(crate) evaluate: Vec<(Place, Evaluation)>,
    /// Nodes that wait for a retry, and until when.
    pub(crate) backoff: Vec<(Place, u64)>,
    /// Steps that are parked, not to start before when, and why.
    pub(crate) parked: Vec<(Place, u64, Denial)>,
    /// Nodes that sleep or wait for a signal, and until when at most.
    pub(crate) waits: Vec<(Place, u64)>,
    /// Timers nobody waits for any more.
    pub(crate) stale_timers: usize,
    /// Steps to be withdrawn, whether or not they have started.
    pub(crate) withdrawn: VecDeque<Place>,
    /// Concurrency keys asked for.
    pub(crate) asked: Vec<(Place, u64)>,
    /// Concurrency keys given back.
    pub(crate) released: Vec<u64>,
    /// Values nobody will ask for again.
    pub(crate) drops: Vec<ValueId>,
    /// What follows within the run.
    work: VecDeque<Work>,
}

/// What follows from a change within the same record.
#[derive(Clone, Copy, Debug)]
enum Work {
    /// The edges that leave a node are taken, or skipped.
    Resolved(Place, Resolution),
    /// A loop or recursion begins. Not done at once, so that a deep recursion needs no deep stack.
    FramesOpened { opening: u32 },
    /// Every node of a frame is terminal.
    FrameOver { opening: u32, item: u32 },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Resolution {
    Taken,
    Skipped,
}

impl Changes {
    /// Whether there is nothing to do but to start what is eligible, as most often.
    pub(crate) fn is_plain(&self) -> bool {
        self.evaluate.is_empty()
            && self.backoff.is_empty()
            && self.parked.is_empty()
            && self.waits.is_empty()
            && self.withdrawn.is_empty()
            && self.asked.is_empty()
    }

    /// Whether the scheduler has nothing left to do.
    pub(crate) fn is_empty(&self) -> bool {
        self.eligible.is_empty() && self.is_plain()
    }
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
        let region = &plan.regions[0];
        let mut run = Self {
            number: identity.number,
            deadline_ns,
            accepted_ns: record.at_ns,
            boundary: record.lsn,
            cells: Vec::with_capacity(region.len as usize),
            plan: identity.plan_id,
            tenant: identity.tenant,
            outermost: region.len,
            seq: 1,
            open: region.open,
            running: 0,
            ending: None,
            status: RunStatus::Running,
            priority,
            durability: identity.durability,
            moves: [0; NODE_STATES.len()],
            more: None,
        };
        run.add_cells(plan, 0, 1);
        // The inputs are a region's first nodes.
        for (cell, &value) in run.cells.iter_mut().zip(identity.inputs) {
            cell.value = value;
        }
        changes.at_ns = record.at_ns;
        run.start_frame(plan, Frame::OUTERMOST, region, changes);
        run.propagate(plan, changes);
        run
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
        changes.at_ns = record.at_ns;
        let node = record.node;
        match record.body {
            Body::Done { value, copy, .. } => {
                let cell = &mut self.cells[node.index()];
                cell.attempts = record.attempt;
                cell.flags |= if copy { COPY } else { 0 };
                self.attempted(node, None);
                self.begin_to_end(node);
                self.step_done(plan, node, value, changes);
            }
            Body::Spent { resource, units, nanos, copy } => {
                let amount = Amount::of(units, nanos);
                self.ledger_mut().spent(node, record.attempt, copy, resource, amount);
            }
            Body::Budgeted { model } => self.more().account = Some(model),
            Body::Degraded => self.ledger_mut().degraded = true,
            Body::Denied { unpaid } => self.ledger_mut().unpaid = Some(unpaid),
            Body::Failed { cause, then: Then::Retry { due_ns }, refusal, .. } => {
                self.attempted(node, refusal);
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
                    changes.backoff.push((node, due_ns));
                }
            }
            Body::Failed { cause, then: Then::Park { due_ns, denial }, refusal, .. } => {
                self.attempted(node, refusal);
                self.cells[node.index()].attempts = record.attempt;
                if let Cause::Error(error) = cause {
                    changes.drops.push(error);
                }
                self.start_if_eligible(node);
                self.move_node(node, NodeState::Backoff);
                self.park(node, due_ns, denial, changes);
            }
            Body::Parked { denial } => self.park(node, record.at_ns, denial, changes),
            Body::Failed { cause, refusal, .. } => {
                let (_, template) = self.locate(plan, node);
                if let Some(refusal) = refusal {
                    self.ledger_mut().refusals.push((node, refusal));
                }
                if plan.kind(template).is_step() {
                    self.attempted(node, None);
                    self.cells[node.index()].attempts = record.attempt;
                    self.found_out(node);
                }
                self.node_failed(plan, node, cause, changes);
            }
            Body::Withdrawn => {
                self.found_out(node);
                self.finish(plan, node, NodeState::Cancelled, changes);
                self.gone(plan, node, changes);
            }
            Body::Started => self.cells[node.index()].flags |= STARTED,
            Body::Decided { value } => self.decided(plan, node, value, changes),
            Body::Chosen { outcome, .. } => self.chosen(plan, node, outcome, changes),
            Body::Opened { count } => self.opened(plan, node, count, changes),
            Body::Fired => self.fired(plan, node, changes),
            Body::Signal { signal, value } => self.signalled(plan, signal, value, changes),
            Body::Acquired => self.succeed(plan, node, ValueId::NONE, changes),
            Body::CancelRequested => self.end(plan, Ending::Cancelled, changes),
            Body::DeadlinePassed => self.end(plan, Ending::Deadline, changes),
            Body::Paused => self.move_run(RunStatus::Paused),
            Body::Resumed if self.status == RunStatus::Paused => self.go_on(),
            Body::Resumed => self.undo_again(plan, changes),
            Body::Compensating => self.undo_everything(plan, changes),
            Body::Unknown => self.cut_off(node),
            Body::Resolved => self.try_again(node, changes),
            Body::Interrupted => {
                if let Some(ledger) = self.spent_mut() {
                    ledger.cut(node, record.attempt);
                }
            }
            Body::Recovered { .. } => self.recovered(),
            Body::Retried { generation, was, .. } => {
                let ledger = self.ledger_mut();
                ledger.generation = u16::try_from(generation).unwrap_or(u16::MAX);
                ledger.was = was;
                ledger.again.clear();
            }
            Body::Abandoned | Body::Held | Body::Released => {}
            Body::Ended { status } => {
                self.move_run(status);
                if status != RunStatus::CompensationFailed {
                    self.release_everything(plan, changes);
                }
            }
            Body::Accepted { .. } => unreachable!("a run is accepted once"),
        }
        self.propagate(plan, changes);
    }

    /// What it has spent, if anything.
    pub fn ledger(&self) -> Option<&Ledger> {
        self.more.as_ref().filter(|more| more.has_ledger).map(|more| &more.ledger)
    }

    /// Takes the ledger out, of a run that is over.
    pub(crate) fn take_ledger(&mut self) -> Option<Box<Ledger>> {
        let more = self.more.as_mut().filter(|more| more.has_ledger)?;
        more.has_ledger = false;
        Some(Box::new(std::mem::take(&mut more.ledger)))
    }

    /// The ledger, which is begun if it has not been.
    pub(crate) fn ledger_mut(&mut self) -> &mut Ledger {
        let more = self.more();
        more.has_ledger = true;
        &mut more.ledger
    }

    /// What it may spend, if that is limited.
    pub fn account(&self) -> Option<AccountModel> {
        self.more.as_ref()?.account
    }

    /// The node it stands still for, as nobody paid for it.
    pub(crate) fn unpaid(&self) -> Option<Place> {
        self.more.as_ref()?.unpaid
    }

    fn spent_mut(&mut self) -> Option<&mut Ledger> {
        self.more.as_mut().filter(|more| more.has_ledger).map(|more| &mut more.ledger)
    }

    /// An attempt of a step has ended, and may have refused what it was given.
    #[inline]
    fn attempted(&mut self, node: Place, refusal: Option<Refusal>) {
        if let Some(refusal) = refusal {
            self.ledger_mut().refusals.push((node, refusal));
        }
        if let Some(ledger) = self.spent_mut()
            && ledger.generation > 0
        {
            ledger.again.push(node);
        }
    }

    /// The process went down: what attempts under way had spent was for nothing.
    fn recovered(&mut self) {
        let ledger = self.ledger_mut();
        ledger.recovered += 1;
        let mut entries = std::mem::take(&mut ledger.entries);
        for entry in &mut entries {
            let cell = &self.cells[entry.node.index()];
            entry.cut |= !cell.is_over() && cell.attempts < entry.attempt;
        }
        self.ledger_mut().entries = entries;
    }

    /// Nodes that have spent for an attempt whose end is not on record: it is repeated.
    pub(crate) fn lost_attempts(&self) -> Vec<(Place, u32)> {
        let entries = self.ledger().map_or(&[][..], Ledger::entries);
        let lost = entries.iter().filter(|entry| {
            let cell = &self.cells[entry.node.index()];
            let waits =
                matches!(cell.state, NodeState::Ready | NodeState::Backoff | NodeState::Parked);
            !entry.cut && waits && cell.attempts < entry.attempt
        });
        let mut lost: Vec<_> = lost.map(|entry| (entry.node, entry.attempt)).collect();
        lost.sort_unstable();
        lost.dedup();
        lost
    }

    /// The run's own priority, if it was given one.
    pub const fn own_priority(&self) -> Option<u8> {
        self.priority
    }

    /// What must be on disk before what.
    pub const fn durability(&self) -> Durability {
        self.durability
    }

    /// The band a node of it waits in, 1 to 5: the node's own word, else the run's, else the step's.
    pub fn priority(&self, policy: &Policy) -> u8 {
        let priority = policy.priority.or(self.priority).or(policy.step_priority);
        priority.unwrap_or(DEFAULT_PRIORITY)
    }

    /// The record that must be on disk before a step starts that is eligible after `last`.
    pub(crate) const fn gate(&self, last: Lsn) -> Lsn {
        match self.durability {
            Durability::Sync => last,
            Durability::Async | Durability::Exit => self.boundary,
        }
    }

    /// The record that must be on disk before any step of it starts.
    pub(crate) const fn boundary(&self) -> Lsn {
        self.boundary
    }

    /// Whether a place is that of the same node in this run as in another of its plan: so it is, unless frames
    /// were opened in another order.
    pub(crate) fn has_place_of(&self, other: &Self, plan: &Plan, place: Place) -> bool {
        if place.0 < self.outermost {
            return true;
        }
        let Some(index) = other.locate(plan, place).0.opening() else { return false };
        let openings = |run: &Self| run.layout().openings;
        let (own, theirs) = (openings(self), openings(other));
        let index = index as usize;
        own.len() > index && own[..=index] == theirs[..=index]
    }

    /// No step of it starts before this record is on disk, whatever its durability.
    pub(crate) const fn wait_for(&mut self, boundary: Lsn) {
        self.boundary = boundary;
    }

    /// Whether nothing of it is ready or under way. O(nodes).
    pub fn is_waiting(&self) -> bool {
        self.running == 0 && self.cells.iter().all(|cell| cell.state != NodeState::Ready)
    }

    /// Attempts and inline evaluations that it waits for.
    pub const fn under_way(&self) -> u32 {
        self.running
    }

    /// Whether it has begun to end: a node failed for good, somebody cancelled it, or it is late.
    pub const fn is_ending(&self) -> bool {
        self.ending.is_some()
    }

    /// Whether the driver has been asked for a node and has not answered.
    pub fn is_asked(&self, node: Place) -> bool {
        self.cells.get(node.index()).is_some_and(|cell| cell.is(EVALUATED))
    }

    /// Whether a step stays parked until somebody sees to the run.
    pub fn stays_parked(&self, node: Place) -> bool {
        self.is_parked_for_good(node)
    }

    /// Whether it has neither begun to end nor stalled.
    pub(crate) fn goes_on(&self) -> bool {
        self.ending.is_none() && !self.status.is_terminal()
    }

    /// Whether its deadline still stands. Where effects of withdrawn branches could not be undone at first,
    /// nothing else is left to be late.
    pub(crate) fn has_deadline(&self) -> bool {
        self.deadline_ns != u64::MAX && self.goes_on() && self.status != RunStatus::Compensating
    }

    /// Whether nothing of it is under way and, unless it is ending, nothing of it waits.
    #[inline]
    pub(crate) fn is_idle(&self) -> bool {
        let waits = self.open > 0 || matches!(self.status, RunStatus::Paused);
        self.running == 0 && (!waits || (self.ending.is_some() && !self.has_unknown()))
    }

    /// What is to be recorded now that nothing of the run is under way; `None` while something is.
    pub(crate) fn verdict(&self, plan: &Plan) -> Option<Body> {
        if !self.is_idle() {
            return None;
        }
        let ended = |status| Some(Body::Ended { status });
        if plan.undoes {
            if self.is_undoing() || self.status == RunStatus::CompensationFailed {
                return None;
            }
            if self.undo_failures() > 0 {
                return ended(RunStatus::CompensationFailed);
            }
            if self.ending.is_some() && self.has_to_undo(plan) {
                return Some(Body::Compensating);
            }
        }
        match self.ending {
            None => ended(RunStatus::Succeeded),
            Some(_) if self.status == RunStatus::Compensating => ended(RunStatus::Compensated),
            Some(Ending::Cancelled) => ended(RunStatus::Cancelled),
            Some(_) => ended(RunStatus::Failed),
        }
    }

    // What is soft.

    /// Notes with which arrival number an eligible node stands in its queue's line; `None` when it no
    /// longer does.
    pub(crate) fn lined(&mut self, node: Place, arrival: Option<u64>) {
        debug_assert_eq!(self.cells[node.index()].state, NodeState::Ready);
        self.cells[node.index()].value = arrival.map_or(ValueId::NONE, place);
    }

    /// Whether a node stands in its queue's line.
    pub fn is_lined(&self, node: Place) -> bool {
        let cell = &self.cells[node.index()];
        cell.state == NodeState::Ready && cell.value.is_some()
    }

    /// Whether a node stands in its queue's line since this arrival.
    pub(crate) fn is_lined_since(&self, node: Place, arrival: u64) -> bool {
        let cell = &self.cells[node.index()];
        cell.state == NodeState::Ready && cell.value == place(arrival)
    }

    /// Notes that an eligible step has been handed to the driver.
    pub(crate) fn dispatched(&mut self, node: Place, attempt: AttemptKey) {
        self.move_node(node, NodeState::Running);
        self.running += 1;
        self.cells[node.index()].value = ValueId(attempt.0 as u32);
        #[cfg(feature = "planted")]
        if crate::planted::has(crate::planted::Bug::HiddenState) {
            self.cells[node.index()].flags |= STARTED;
        }
    }

    /// Notes that another attempt stands for an eligible step that was handed to the driver.
    pub(crate) fn goes_on_with(&mut self, node: Place, attempt: AttemptKey) {
        self.cells[node.index()].value = ValueId(attempt.0 as u32);
    }

    /// Notes that a step's attempt is over or given up; the record that follows decides.
    pub(crate) fn released(&mut self, node: Place) {
        self.running -= 1;
        self.cells[node.index()].value = ValueId::NONE;
    }

    /// Notes that an attempt was cut short, so that the node is eligible again.
    pub(crate) fn interrupted(&mut self, node: Place) {
        self.move_node(node, NodeState::Ready);
    }

    /// Notes that a retry is due. Not recorded: it follows from the due time.
    pub(crate) fn retry_due(&mut self, node: Place) {
        self.move_node(node, NodeState::Ready);
    }

    /// Notes which entry stands for a parked step.
    pub(crate) fn parked_as(&mut self, node: Place, arrival: u64) {
        debug_assert_eq!(self.cells[node.index()].state, NodeState::Parked);
        self.cells[node.index()].value = place(arrival);
    }

    /// Whether a step is parked since this arrival.
    pub(crate) fn is_parked_since(&self, node: Place, arrival: u64) -> bool {
        let cell = &self.cells[node.index()];
        cell.state == NodeState::Parked && cell.value == place(arrival)
    }

    /// Whether a step is parked until somebody sees to the run: no queue keeps it.
    pub(crate) fn is_parked_for_good(&self, node: Place) -> bool {
        let cell = &self.cells[node.index()];
        let asks = self.more.as_ref().is_some_and(|more| more.keys.contains_key(&node));
        cell.state == NodeState::Parked && !cell.value.is_some() && !asks
    }

    /// A step that is parked until somebody sees to the run. O(nodes).
    pub(crate) fn parked_for_good(&self) -> Option<Place> {
        let mut places = (0..self.cells.len() as u32).map(Place);
        places.find(|&node| self.is_parked_for_good(node))
    }

    /// Notes that a parked step may go on. Not recorded: what comes of it is.
    pub(crate) fn unparked(&mut self, node: Place) {
        self.cells[node.index()].value = ValueId::NONE;
        self.move_node(node, NodeState::Ready);
    }

    /// Notes that the driver evaluates an inline node.
    pub(crate) fn evaluating(&mut self, node: Place) {
        if self.cells[node.index()].state == NodeState::Ready {
            self.move_node(node, NodeState::Running);
        }
        self.cells[node.index()].flags |= EVALUATED;
        self.running += 1;
    }

    /// Notes that the driver has evaluated an inline node; whether the answer is still wanted.
    pub(crate) fn evaluated(&mut self, node: Place) -> bool {
        let Some(cell) = self.cells.get_mut(node.index()) else { return false };
        if !cell.is(EVALUATED) {
            return false;
        }
        cell.flags &= !EVALUATED;
        self.running -= 1;
        cell.state == NodeState::Running && self.ending.is_none()
    }

    /// Whether the driver was asked for a node, and its answer is wanted.
    pub(crate) fn awaits_answer(&self, node: Place) -> bool {
        let cell = self.cells.get(node.index());
        let asked = cell.is_some_and(|it| it.is(EVALUATED) && it.state == NodeState::Running);
        asked && self.ending.is_none()
    }

    /// Slot of the attempt under way at `node`, which is a step.
    pub(crate) fn attempt_slot(&self, node: Place) -> Option<u32> {
        let cell = &self.cells[node.index()];
        (cell.state == NodeState::Running && cell.value.is_some()).then_some(cell.value.0)
    }

    /// Whether whatever comes of a node is not needed any more.
    pub(crate) fn is_withdrawn(&self, node: Place) -> bool {
        self.cells[node.index()].is(WITHDRAWN)
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
            Some(Ending::Failed(blame)) => 3 | u64::from(blame.node.0) << 8,
        };
        let more = self.more.as_ref().map_or(0, |more| more.image());
        let given = u64::from(self.priority.unwrap_or(0)) << 8 | self.durability as u64;
        let more = draw(more, [given, self.accepted_ns, self.outermost.into(), 0]);
        self.cells.iter().fold(draw(ending ^ more, header), |hash, cell| {
            let (state, value) = match cell.state {
                NodeState::Ready | NodeState::Running | NodeState::Backoff | NodeState::Parked => {
                    (NodeState::Ready, ValueId::NONE)
                }
                state => (state, cell.value),
            };
            let flags = cell.flags & !EVALUATED;
            draw(
                hash,
                [
                    state as u64 | u64::from(flags) << 8,
                    u64::from(value.0),
                    u64::from(cell.pending) << 32 | u64::from(cell.uses),
                    u64::from(cell.attempts),
                ],
            )
        })
    }

    /// Attempts that a node had; 0 for what is no step.
    pub(crate) fn attempts_of(&self, plan: &Plan, node: Place) -> u32 {
        let (_, template) = self.locate(plan, node);
        let attempts = self.cells[node.index()].attempts;
        if plan.kind(template).is_step() { attempts } else { 0 }
    }

    /// Where each of its nodes is, in the order of their places.
    pub fn states(&self) -> impl Iterator<Item = NodeState> {
        self.cells.iter().map(|cell| cell.state)
    }

    /// The nodes whose values a node is given, in order.
    #[inline]
    pub fn inputs(&self, plan: &Plan, node: Place) -> impl Iterator<Item = Place> {
        let (frame, template) = self.locate(plan, node);
        plan.inputs_of(template).iter().map(move |&input| frame.place(input))
    }

    /// Where the nodes of its frames stand.
    pub fn layout(&self) -> Layout {
        let openings = self.more.as_ref().map_or(&[][..], |more| &more.openings);
        let span = |it: &Opening| Span {
            owner: it.owner,
            region: it.region,
            base: it.base,
            first: it.first,
        };
        Layout { openings: openings.iter().map(span).collect() }
    }

    fn more(&mut self) -> &mut More {
        self.more.get_or_insert_default()
    }

    /// An attempt was cut off, and nobody knows whether it had its effect: the run stands still.
    fn cut_off(&mut self, node: Place) {
        let attempts = self.cells[node.index()].attempts;
        if let Some(ledger) = self.spent_mut() {
            ledger.doubt(node, attempts, false);
        }
        self.start_if_eligible(node);
        self.cells[node.index()].value = ValueId::NONE;
        self.move_node(node, NodeState::Unknown);
        let stands_still = self.status == RunStatus::Running;
        if stands_still {
            self.move_run(RunStatus::Paused);
        }
        let more = self.more();
        more.unknown += 1;
        more.stands_still |= stands_still;
    }

    /// Somebody has found out what a node that was cut off has done.
    fn found_out(&mut self, node: Place) {
        if self.cells[node.index()].state == NodeState::Unknown {
            self.more().unknown -= 1;
        }
    }

    /// A node that was cut off had no effect: it is eligible again.
    fn try_again(&mut self, node: Place, changes: &mut Changes) {
        let attempts = self.cells[node.index()].attempts;
        if let Some(ledger) = self.spent_mut() {
            ledger.doubt(node, attempts, true);
        }
        self.found_out(node);
        self.move_node(node, NodeState::Ready);
        changes.eligible.push(node);
    }

    /// A paused run goes on.
    fn go_on(&mut self) {
        self.move_run(RunStatus::Running);
        if let Some(more) = &mut self.more {
            more.stands_still = false;
            more.unpaid = None;
        }
    }

    /// Whether the outcome of some node is not known.
    pub(crate) fn has_unknown(&self) -> bool {
        self.more.as_ref().is_some_and(|more| more.unknown > 0)
    }

    /// Nodes whose outcome is not known.
    pub(crate) fn unknown_nodes(&self) -> impl Iterator<Item = Place> {
        let places = (0..).map(Place).zip(&self.cells);
        places.filter(|(_, cell)| cell.state == NodeState::Unknown).map(|(place, _)| place)
    }

    /// Whether it stands still only because of outcomes that were not known, and now are.
    pub(crate) fn may_go_on(&self) -> bool {
        self.more.as_ref().is_some_and(|more| more.stands_still && more.unknown == 0)
            && self.status == RunStatus::Paused
    }

    /// A step waits until its queue is well again.
    fn park(&mut self, node: Place, due_ns: u64, denial: Denial, changes: &mut Changes) {
        // In a fold it may have been let go of meanwhile, which is not recorded.
        if self.cells[node.index()].state != NodeState::Parked {
            self.move_node(node, NodeState::Parked);
        }
        if denial == Denial::Money {
            self.more().unpaid = Some(node);
        }
        changes.parked.push((node, due_ns, denial));
    }

    /// A step's attempt has ended, whether or not it was known to be under way.
    fn begin_to_end(&mut self, node: Place) {
        self.found_out(node);
        self.start_if_eligible(node);
    }

    /// In a fold neither a retry that comes due, nor what is parked no longer, nor a dispatch is recorded: all follow from what the
    /// record says of the node.
    fn start_if_eligible(&mut self, node: Place) {
        if matches!(self.cells[node.index()].state, NodeState::Backoff | NodeState::Parked) {
            self.move_node(node, NodeState::Ready);
        }
        if self.cells[node.index()].state == NodeState::Ready {
            self.move_node(node, NodeState::Running);
        }
    }

    #[inline]
    fn move_node(&mut self, node: Place, to: NodeState) {
        let cell = &mut self.cells[node.index()];
        if !cell.state.may_become(to) {
            refuse_move(node, cell.state, to);
        }
        self.moves[cell.state as usize] |= 1 << to as u16;
        cell.state = to;
    }

    fn move_run(&mut self, to: RunStatus) {
        assert!(self.status.may_become(to), "{:?} -> {to:?}", self.status);
        self.status = to;
    }

    /// The frame a node stands in, and its place in the plan. O(log openings).
    #[inline]
    pub(crate) fn locate(&self, plan: &Plan, node: Place) -> (Frame, NodeId) {
        if node.0 < self.outermost {
            return (Frame::OUTERMOST, NodeId(node.0));
        }
        let frame = self.frame_of(plan, node);
        (frame, frame.node(node))
    }
}

impl More {
    fn image(&self) -> u64 {
        let mut hash = draw(
            self.openings.len() as u64,
            [
                self.awaiting.len() as u64,
                self.signals.len() as u64,
                u64::from(self.unknown),
                self.undo.image(),
            ],
        );
        hash ^= if self.has_ledger { self.ledger.image() } else { 0 };
        for node in &self.awaiting {
            hash = draw(hash, [u64::from(node.0), 2, 0, 0]);
        }
        for &(signal, value) in &self.signals {
            hash = draw(hash, [signal.into(), value.0.into(), 3, 0]);
        }
        for (race, winner) in &self.winners {
            hash = draw(hash, [race.0.into(), winner.0.into(), 4, 0]);
        }
        if let Some(model) = &self.account {
            hash = draw(hash, [model.limit_nanos.cast_unsigned(), model.degrade_ppm.into(), 5, 0]);
        }
        let unpaid = self.unpaid.map_or(0, |node| u64::from(node.0) + 1);
        hash = draw(hash, [unpaid, self.stands_still.into(), 6, 0]);
        for (node, blame) in &self.failures {
            hash = draw(hash, [u64::from(node.0), u64::from(blame.node.0), 0, 0]);
        }
        for (node, &key) in &self.keys {
            hash = draw(hash, [u64::from(node.0), key, 1, 0]);
        }
        for opening in &self.openings {
            hash = draw(hash, opening.image());
        }
        hash
    }
}

/// # Panics
/// Always: a move that is in no table is a defect of the engine.
#[cold]
fn refuse_move(node: Place, from: NodeState, to: NodeState) -> ! {
    panic!("illegal move of node {}: {} -> {}", node.0, from.name(), to.name())
}
