//! Runs of an earlier process: their state is the fold of their records, and what is soft follows from it.
//!
//! The driver restores one run after the other, draining in between, and then says [`Engine::go_on`]: only
//! then is it known who stands before whom, and who holds which key.

use std::collections::{BTreeMap, BTreeSet};

use super::Engine;
use crate::action::{Action, Evaluation};
use crate::books::{Ledger, RunEnd};
use crate::failure::Cause;
use crate::ids::{Lsn, Place, PlanId, RunKey, TenantId, ValueId};
use crate::plan::{NodeKind, Plan};
use crate::record::{Body, Denial, Durability, Record};
use crate::run::{Changes, Identity, Run};
use crate::state::{NodeState, RunStatus};
use crate::timers::TimerKind;

/// A run to restore.
#[derive(Clone, Copy, Debug)]
pub struct Restore<'a> {
    /// Its number, as [`Engine::number`] gave it.
    pub number: u64,
    /// Its plan, which must be the one it was accepted with.
    pub plan: PlanId,
    /// Values of the plan's inputs, in order.
    pub inputs: &'a [ValueId],
    /// Whom it is for.
    pub tenant: TenantId,
    /// What must be on disk before what.
    pub durability: Durability,
    /// All of its records that hold, in order; which run they name does not matter.
    pub records: &'a [Record],
    /// Records that it has had, those included that no longer hold because it was tried again.
    pub records_had: u32,
    /// How often the process went down while attempts of it were under way, this time included; 0 if it was
    /// not this time.
    pub recoveries: u32,
    /// If the run is tried again: its records are what is kept then.
    pub again: Option<Again>,
}

/// A run that was over and is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Again {
    /// How often that happened, this time included.
    pub generation: u32,
    /// The generation that its idempotency keys name.
    pub keys: u32,
    /// How it had ended before.
    pub was: Option<RunEnd>,
}

/// What restored runs wait for.
#[derive(Debug, Default)]
pub(super) struct Restored {
    eligible: Vec<Eligible>,
    asked: Vec<Asked>,
}

impl Restored {
    /// The nodes that wait, for their turn or for a key.
    pub(super) fn nodes(&self) -> impl Iterator<Item = (RunKey, Place)> {
        let eligible = self.eligible.iter().map(|it| (it.run, it.node));
        eligible.chain(self.asked.iter().map(|it| (it.run, it.node)))
    }
}

/// A concurrency key that a restored run asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Asked {
    since_ns: u64,
    number: u64,
    /// Among those of its run.
    nth: usize,
    key: u64,
    node: Place,
    run: RunKey,
}

/// A step of a restored run that is eligible.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Eligible {
    /// Those that may have brought the process down come last.
    recoveries: u32,
    since_ns: u64,
    number: u64,
    node: Place,
    run: RunKey,
}

/// What a fold gathers besides the run: what has been asked for and not answered yet.
#[derive(Default)]
pub(super) struct Open {
    /// Since when a node is eligible, for the first time and for the last.
    eligible: BTreeMap<Place, (u64, u64)>,
    backoff: BTreeMap<Place, u64>,
    parked: BTreeMap<Place, (u64, Denial)>,
    waits: BTreeMap<Place, u64>,
    evaluate: BTreeMap<Place, Evaluation>,
    /// Since when a node asks for its key, and how many did before.
    asked: BTreeMap<Place, (u64, usize)>,
    /// Attempts whose start is on record, and whose end is not.
    started: BTreeSet<Place>,
}

impl Engine {
    /// Goes on counting where an earlier process stopped: its last record, and how many runs it had accepted,
    /// which is one more than the last one's number. To be said before anything is accepted or restored.
    pub fn continue_after(&mut self, lsn: Lsn, runs: u64) {
        debug_assert!(self.runs.len() == 0 && self.records.is_empty(), "nothing has happened yet");
        self.lsn = lsn;
        self.synced = self.synced.max(lsn);
        self.number = runs;
    }

    /// Takes in a run of an earlier process as its records leave it. None of its steps starts before
    /// [`Engine::go_on`]; what the engine asks for meanwhile is to be answered after that, too.
    ///
    /// The run may be over when this returns, if only its end had not been recorded. Outcomes that are not
    /// known because the process went down are told by [`crate::Action::Stalled`]; what the run stood still
    /// for before is known by [`Engine::stalled`].
    ///
    /// # Panics
    /// If the records are not those of one run of this plan, in order.
    pub fn restore(&mut self, now_ns: u64, restore: &Restore<'_>) -> RunKey {
        self.begin(now_ns);
        let plan = self.plans[restore.plan.0 as usize].plan.clone();
        let identity = Identity {
            number: restore.number,
            plan_id: restore.plan,
            plan: &plan,
            inputs: restore.inputs,
            tenant: restore.tenant,
            durability: restore.durability,
        };
        let (mut run, open) = fold(&identity, restore.records, &mut self.changes);
        run.seq = restore.records_had;
        #[cfg(feature = "planted")]
        if crate::planted::has(crate::planted::Bug::PriorityIsLost) {
            run.priority = None;
        }
        let ending = run.ending.is_some();
        let deadline_ns = run.has_deadline().then_some(run.deadline_ns);
        let key = RunKey(self.runs.insert(run));
        self.metrics.workflows[restore.plan.0 as usize].accepted += 1;
        if let Some(deadline_ns) = deadline_ns {
            self.timers.insert(deadline_ns.max(now_ns), TimerKind::Deadline { run: key });
        }
        self.restore_keys(key, restore.number, &open);
        if restore.recoveries > 0 {
            self.commit(key, Place(0), 0, Body::Recovered { count: restore.recoveries });
            // Else a run that brings its process down at once would never be found out.
            if let Some(run) = self.runs.get_mut(key.0) {
                run.wait_for(self.lsn);
            }
        }
        if restore.again.is_none() {
            // Its end may have been told of in memory only, so that it was not under way any more.
            let lost = self.runs.get(key.0).map(Run::lost_attempts).unwrap_or_default();
            for (node, attempt) in lost {
                let Some(run) = self.runs.get(key.0) else { break };
                // What became of it is yet to be found out.
                if self.plans[run.plan.0 as usize].policy_at(run, node).once {
                    continue;
                }
                self.commit(key, node, attempt, Body::Interrupted);
            }
        }
        if let Some(Again { generation, keys, was }) = restore.again {
            self.commit(key, Place(0), 0, Body::Retried { generation, keys, was });
            if let Some(run) = self.runs.get_mut(key.0) {
                run.wait_for(self.lsn);
            }
        }
        self.restore_account(key);
        self.restore_timers(key, &plan, &open);
        let unknown = self.restore_unknown(key, &open);
        // Its outcomes may have become known just before the process went down.
        if self.runs.get(key.0).is_some_and(Run::may_go_on) {
            self.commit(key, Place(0), 0, Body::Resumed);
        }
        // The process may have gone down between the two records of a dead letter.
        let letter = |run: &Run| {
            run.status == RunStatus::Running && run.ending.is_none() && open.has_dead_letter(run)
        };
        if self.runs.get(key.0).is_some_and(letter) {
            self.commit(key, Place(0), 0, Body::Paused);
        }
        for (&node, &what) in &open.evaluate {
            self.evaluate(key, node, what);
        }
        self.restore_nodes(key, &plan, restore, &open, ending);
        self.settle(key);
        self.restore_sleep(key);
        for node in unknown {
            let cause = Cause::OutcomeUnknown;
            self.actions.push_back(Action::Stalled { run: key, node, cause });
        }
        key
    }

    /// Takes in a copy of another run's records as a run of its own, with a number and records of its own. As
    /// with [`Engine::restore`], none of its steps starts before [`Engine::go_on`].
    ///
    /// # Panics
    /// If the records are not those of one run of this plan, in order.
    pub fn fork(&mut self, now_ns: u64, restore: &Restore<'_>) -> RunKey {
        self.begin(now_ns);
        let number = self.number;
        self.number += 1;
        let first = self.records.len();
        for (seq, record) in (0..).zip(restore.records) {
            self.lsn.0 += 1;
            self.records.push(Record { lsn: self.lsn, seq, ..*record });
        }
        let last = self.records.len();
        let copies: Vec<Record> = self.records[first..last].to_vec();
        let boundary = self.lsn;
        let records_had = copies.len() as u32;
        let forked = Restore { number, records: &copies, records_had, ..*restore };
        let key = self.restore(now_ns, &forked);
        if let Some(run) = self.runs.get_mut(key.0) {
            run.wait_for(boundary);
        }
        for record in &mut self.records[first..last] {
            record.run = key;
        }
        key
    }

    /// Forgets a run that was just restored, as if it had not been. Its values are still the driver's.
    pub fn forget(&mut self, key: RunKey) {
        let Some(run) = self.runs.remove(key.0) else { return };
        if let Some(accounts) = &mut self.accounts {
            accounts.run_over(key);
        }
        let keys = run.more.map(|more| more.keys).unwrap_or_default();
        for (node, ask) in keys {
            if run.cells[node.index()].state != NodeState::Parked {
                self.keys.release(ask);
            }
        }
        self.restored.eligible.retain(|eligible| eligible.run != key);
        self.restored.asked.retain(|asked| asked.run != key);
        self.records.clear();
    }

    /// Every run is restored: what was due meanwhile happens, and what is eligible may start, in the order in
    /// which it became so.
    pub fn go_on(&mut self, now_ns: u64) {
        self.begin(now_ns);
        let Restored { mut eligible, mut asked } = std::mem::take(&mut self.restored);
        asked.sort_unstable();
        for Asked { key, node, run, .. } in asked {
            self.keys.ask(key, run, node);
        }
        self.fire_timers();
        eligible.sort_unstable();
        for Eligible { node, run, .. } in eligible {
            let boundary = self.runs.get(run.0).map_or(Lsn(0), Run::boundary);
            self.await_record(boundary, run, node);
        }
        self.take_turns();
    }

    /// Keys that nodes of the run hold are taken again; those it asks for wait until it is known who holds them.
    fn restore_keys(&mut self, run: RunKey, number: u64, open: &Open) {
        let Some(state) = self.runs.get(run.0) else { return };
        let keys = state.more.as_ref().map(|more| &more.keys).into_iter().flatten();
        for (&node, &key) in keys {
            if state.cells[node.index()].state == NodeState::Parked {
                let (since_ns, nth) = open.asked.get(&node).copied().unwrap_or_default();
                self.restored.asked.push(Asked { since_ns, number, nth, key, node, run });
            } else {
                self.keys.hold(key);
            }
        }
    }

    /// A run that stood still for want of a day's money may have it now, or with the next day.
    fn restore_sleep(&mut self, key: RunKey) {
        let Some(run) = self.runs.get(key.0).filter(|run| run.unpaid().is_some()) else { return };
        if let Some(unpaid) = run.ledger().and_then(Ledger::unpaid) {
            self.sleeps(key, &unpaid);
        }
    }

    fn restore_timers(&mut self, key: RunKey, plan: &Plan, open: &Open) {
        let Some(run) = self.runs.get(key.0) else { return };
        let policies = &self.plans[run.plan.0 as usize].policies;
        for (&node, &(first_ns, _)) in &open.eligible {
            let (_, template) = run.locate(plan, node);
            let policy = policies[template.index()].as_ref();
            let total_ns = policy.map_or(0, |policy| policy.total_timeout_ns);
            if total_ns > 0 && !run.cells[node.index()].is_over() {
                let at_ns = first_ns.saturating_add(total_ns).max(self.now_ns);
                self.timers.insert(at_ns, TimerKind::TotalTimeout { run: key, node });
            }
        }
        for (&node, &due_ns) in &open.waits {
            if run.cells[node.index()].state == NodeState::Awaiting {
                self.timers.insert(due_ns.max(self.now_ns), TimerKind::Wait { run: key, node });
            }
        }
        let Some(run) = self.runs.get_mut(key.0) else { return };
        for (&node, &due_ns) in &open.backoff {
            let cell = run.cells[node.index()];
            if cell.state == NodeState::Backoff && due_ns > self.now_ns {
                let attempts = cell.attempts;
                self.timers.insert(due_ns, TimerKind::Backoff { run: key, node, attempts });
            } else if cell.state == NodeState::Backoff {
                run.retry_due(node);
            }
        }
    }

    /// What may run at most once, was started and has not ended: nobody knows. Answers which nodes that are.
    fn restore_unknown(&mut self, key: RunKey, open: &Open) -> Vec<Place> {
        let mut unknown = Vec::new();
        #[cfg(feature = "planted")]
        if crate::planted::has(crate::planted::Bug::OnceIsTwice) {
            return unknown;
        }
        for &node in &open.started {
            let Some(run) = self.runs.get(key.0) else { break };
            let state = run.cells[node.index()].state;
            let live = matches!(state, NodeState::Ready | NodeState::Parked);
            if live && self.plans[run.plan.0 as usize].policy_at(run, node).once {
                self.commit(key, node, 1, Body::Unknown);
                unknown.push(node);
            }
        }
        unknown
    }

    /// Inline nodes are evaluated, steps wait for [`Engine::go_on`]; what is not needed any more is withdrawn.
    fn restore_nodes(
        &mut self,
        key: RunKey,
        plan: &Plan,
        restore: &Restore<'_>,
        Open { eligible, parked, .. }: &Open,
        ending: bool,
    ) {
        for (&node, &(_, since_ns)) in eligible {
            let Some(run) = self.runs.get(key.0) else { return };
            let (_, template) = run.locate(plan, node);
            let (state, kind) = (run.cells[node.index()].state, plan.kind(template));
            let is_forward = kind == NodeKind::Step;
            if matches!(state, NodeState::Ready | NodeState::Backoff | NodeState::Parked)
                && is_forward
                && (ending || run.is_withdrawn(node))
            {
                self.changes.withdrawn.push_back(node);
            } else if state == NodeState::Ready && kind.is_step() {
                let (recoveries, number) = (restore.recoveries, restore.number);
                self.restored.eligible.push(Eligible {
                    recoveries,
                    since_ns,
                    number,
                    node,
                    run: key,
                });
            } else if state == NodeState::Ready {
                self.changes.eligible.push(node);
            } else if state == NodeState::Parked
                && let Some(&(due_ns, denial)) = parked.get(&node)
            {
                self.changes.parked.push((node, due_ns, denial));
            }
        }
    }
}

/// A run as its records leave it, with what is open in it.
fn fold(identity: &Identity<'_>, records: &[Record], changes: &mut Changes) -> (Run, Open) {
    let (first, rest) = records.split_first().expect("a run has at least one record");
    let mut open = Open::default();
    let mut run = Run::accepted(identity, first, changes);
    open.take(first.at_ns, changes);
    for record in rest {
        open.answered(record);
        run.apply(identity.plan, record, changes);
        open.take(record.at_ns, changes);
    }
    // A paused run's nodes are eligible all the same: who resumes it finds them.
    (run, open)
}

impl Open {
    /// Whether the driver has been asked for a node, and has not answered.
    pub(super) fn is_asked(&self, node: Place) -> bool {
        self.evaluate.contains_key(&node)
    }

    /// Whether a step of the run is parked until somebody sees to it.
    fn has_dead_letter(&self, run: &Run) -> bool {
        let mut parked = self.parked.iter();
        parked.any(|(node, &(_, denial))| {
            denial.is_for_good() && run.cells[node.index()].state == NodeState::Parked
        })
    }

    /// What a record asks for.
    pub(super) fn take(&mut self, at_ns: u64, changes: &mut Changes) {
        for node in changes.eligible.drain(..) {
            self.eligible.entry(node).or_insert((at_ns, at_ns)).1 = at_ns;
        }
        for (node, due_ns) in changes.backoff.drain(..) {
            self.backoff.insert(node, due_ns);
            self.eligible.entry(node).or_insert((at_ns, at_ns)).1 = due_ns;
        }
        for (node, due_ns, denial) in changes.parked.drain(..) {
            self.parked.insert(node, (due_ns, denial));
            self.eligible.entry(node).or_insert((at_ns, at_ns)).1 = due_ns;
        }
        self.waits.extend(changes.waits.drain(..));
        self.evaluate.extend(changes.evaluate.drain(..));
        for (node, _) in changes.asked.drain(..) {
            self.asked.insert(node, (at_ns, self.asked.len()));
        }
        changes.released.clear();
        changes.withdrawn.clear();
        changes.stale_timers = 0;
    }

    fn begins_anew(&mut self, node: Place) {
        self.started.remove(&node);
        self.evaluate.remove(&node);
        self.eligible.remove(&node);
    }

    /// What a record answers.
    pub(super) fn answered(&mut self, record: &Record) {
        match record.body {
            Body::Started => {
                self.started.insert(record.node);
            }
            // Whoever resumed the run has seen to it.
            Body::Resumed => {
                for (_, denial) in self.parked.values_mut() {
                    *denial = Denial::Budget;
                }
            }
            Body::Resolved => self.begins_anew(record.node),
            Body::Failed { then, .. } if then.is_final() => self.begins_anew(record.node),
            Body::Done { .. }
            | Body::Failed { .. }
            | Body::Withdrawn
            | Body::Interrupted
            | Body::Unknown => {
                self.started.remove(&record.node);
                self.evaluate.remove(&record.node);
            }
            Body::Decided { .. } | Body::Chosen { .. } | Body::Opened { .. } => {
                self.evaluate.remove(&record.node);
            }
            _ => {}
        }
    }
}
