//! From a decision to its record, and from what the record changed to the schedule.

use super::Engine;
use crate::action::{Action, Outcome};
use crate::attempt::CancelCause;
use crate::ids::{AttemptKey, Lsn, NodeId, RunKey, ValueId};
use crate::plan::{NodeKind, Policy};
use crate::ready::Entry;
use crate::record::{Body, Durability, Record, Then};
use crate::run::Ending;
use crate::state::{NodeState, RunStatus};
use crate::timers::TimerKind;

impl Engine {
    /// Records a fact about a run and applies it. What it changed waits in `changes` for `settle`.
    pub(super) fn commit(&mut self, key: RunKey, node: NodeId, attempt: u32, body: Body) -> Lsn {
        if let Some(run) = self.runs.get_mut(key.0) {
            self.lsn.0 += 1;
            let record = Record {
                lsn: self.lsn,
                run: key,
                seq: run.seq,
                at_ns: self.now_ns,
                node,
                attempt,
                body,
            };
            let registered = &self.plans[run.plan.0 as usize];
            run.apply(&registered.plan, &record, &mut self.changes);
            self.records.push(record);
            let ends_node = matches!(
                body,
                Body::Done { .. } | Body::Failed { then: Then::Final, .. } | Body::Withdrawn
            );
            let timed = |policy: &Policy| policy.total_timeout_ns > 0;
            if ends_node && registered.policies[node.index()].as_ref().is_some_and(timed) {
                self.timers.cancel(1);
            }
        }
        self.lsn
    }

    /// Schedules what the last records changed: lines, timers, cancellations, and the run's end.
    pub(super) fn settle(&mut self, key: RunKey, lsn: Lsn) {
        if std::mem::take(&mut self.changes.ending) {
            self.stop(key);
        }
        if let Some((node, due_ns)) = self.changes.backoff.take() {
            let attempts = self.runs.get(key.0).map_or(0, |run| run.cells[node.index()].attempts);
            self.timers.insert(due_ns, TimerKind::Backoff { run: key, node, attempts });
        }
        if !self.changes.eligible.is_empty() {
            let mut eligible = std::mem::take(&mut self.changes.eligible);
            for node in eligible.drain(..) {
                self.activate(key, node, lsn);
            }
            self.changes.eligible = eligible;
        }
        self.drop_values();
        self.end_if_over(key);
    }

    /// Everything up to `lsn` is on disk: what waited for it may start.
    pub(super) fn open_gates(&mut self, lsn: Lsn) {
        self.synced = self.synced.max(lsn);
        while let Some(&(gate, run, node)) = self.gated.front() {
            if gate > self.synced {
                break;
            }
            self.gated.pop_front();
            self.enter_line(run, node);
        }
    }

    /// Puts an eligible step into its queue's line, unless the node or its run went another way.
    pub(super) fn enter_line(&mut self, key: RunKey, node: NodeId) {
        let Some(run) = self.runs.get_mut(key.0) else { return };
        if run.cells[node.index()].state != NodeState::Ready || run.is_lined(node) {
            return;
        }
        if !self.abandoned.is_empty()
            && let Some(waits) = self.abandoned.get_mut(&(key, node))
        {
            *waits = true;
            return;
        }
        let policy = self.plans[run.plan.0 as usize].policy(node);
        self.arrivals += 1;
        run.lined(node, Some(self.arrivals));
        let entry = Entry { seq: self.arrivals, eligible_ns: self.now_ns, run: key, node };
        let priority = run.priority(policy);
        self.queues.push(policy.queue, policy.lane, priority, entry);
        if policy.queue_timeout_ns > 0 {
            let at_ns = self.now_ns.saturating_add(policy.queue_timeout_ns);
            self.timers
                .insert(at_ns, TimerKind::QueueTimeout { run: key, node, arrival: self.arrivals });
        }
    }

    /// Takes an eligible step out of its queue's line.
    pub(super) fn leave_line(&mut self, key: RunKey, node: NodeId) {
        let Some(run) = self.runs.get_mut(key.0) else { return };
        if !run.is_lined(node) {
            return;
        }
        run.lined(node, None);
        let policy = self.plans[run.plan.0 as usize].policy(node);
        let queue = policy.queue;
        self.timers.cancel(usize::from(policy.queue_timeout_ns > 0));
        if self.queues.withdraw(queue) {
            let runs = &self.runs;
            self.queues.compact(queue, |entry| {
                runs.get(entry.run.0).is_some_and(|run| run.is_lined_since(entry.node, entry.seq))
            });
        }
    }

    /// A node's inputs are all there: inline nodes are evaluated, steps wait for the disk or their queue.
    fn activate(&mut self, key: RunKey, node: NodeId, lsn: Lsn) {
        let Some(run) = self.runs.get_mut(key.0) else { return };
        let registered = &self.plans[run.plan.0 as usize];
        if registered.plan.kind(node) == NodeKind::Apply {
            run.dispatched(node, None);
            self.actions.push_back(Action::Evaluate { run: key, node });
            return;
        }
        let total_timeout_ns = registered.policy(node).total_timeout_ns;
        if total_timeout_ns > 0 && run.cells[node.index()].attempts == 0 {
            let at_ns = self.now_ns.saturating_add(total_timeout_ns);
            self.timers.insert(at_ns, TimerKind::TotalTimeout { run: key, node });
        }
        if run.durability == Durability::Sync && lsn > self.synced {
            self.gated.push_back((lsn, key, node));
        } else {
            self.enter_line(key, node);
        }
    }

    /// The run began to end: what is eligible is withdrawn, what runs is told to stop.
    fn stop(&mut self, key: RunKey) {
        self.changes.eligible.clear();
        self.changes.backoff = None;
        let Some(run) = self.runs.get(key.0) else { return };
        for index in 0..run.cells.len() as u32 {
            let node = NodeId(index);
            let Some(run) = self.runs.get(key.0) else { return };
            if let Some(slot) = run.attempt_slot(node) {
                if let Some(attempt) = self.attempts.key_of(slot) {
                    self.cancel_attempt(AttemptKey(attempt), CancelCause::RunEnding);
                }
                continue;
            }
            let state = run.cells[node.index()].state;
            if matches!(state, NodeState::Ready | NodeState::Backoff) {
                self.leave_line(key, node);
                self.timers.cancel(usize::from(state == NodeState::Backoff));
                self.commit(key, node, 0, Body::Withdrawn);
            }
        }
    }

    fn end_if_over(&mut self, key: RunKey) {
        let Some(status) = self.runs.get(key.0).and_then(crate::run::Run::verdict) else { return };
        self.commit(key, NodeId(0), 0, Body::Ended { status });
        self.drop_values();
        let Some(run) = self.runs.remove(key.0) else { return };
        let registered = &self.plans[run.plan.0 as usize];
        let metrics = &mut self.metrics.workflows[run.plan.0 as usize];
        metrics.latency.record(self.now_ns - run.accepted_ns);
        let outcome = match run.ending {
            None => {
                metrics.succeeded += 1;
                Outcome::Succeeded(run.cells[registered.plan.output.index()].value)
            }
            Some(Ending::Failed { node, cause }) => {
                metrics.failed += 1;
                Outcome::Failed { node, attempts: run.cells[node.index()].attempts, cause }
            }
            Some(Ending::Cancelled) => {
                metrics.cancelled += 1;
                Outcome::Cancelled
            }
            Some(Ending::Deadline) => {
                metrics.failed += 1;
                Outcome::DeadlineExceeded
            }
        };
        debug_assert!(status.is_terminal() && status != RunStatus::Compensated);
        if run.deadline_ns != u64::MAX {
            self.timers.cancel(1);
        }
        self.actions.push_back(Action::Ended { run: key, outcome });
    }

    fn drop_values(&mut self) {
        for index in 0..self.changes.drops.len() {
            let value: ValueId = self.changes.drops[index];
            self.actions.push_back(Action::Drop { value });
        }
        self.changes.drops.clear();
    }
}
