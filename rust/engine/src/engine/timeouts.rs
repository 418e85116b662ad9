//! What happens when a timer fires.

use super::Engine;
use crate::attempt::{CancelCause, Phase};
use crate::failure::{Cause, Refusal};
use crate::ids::{AttemptKey, Place, RunKey};
use crate::plan::NodeKind;
use crate::record::{Body, Then};
use crate::run::Run;
use crate::state::NodeState;
use crate::timers::TimerKind;

impl Engine {
    pub(super) fn fire_timers(&mut self) {
        while let Some(timer) = self.timers.pop_due(self.now_ns) {
            if self.is_live(&timer.kind) {
                self.fire(timer.kind);
            } else {
                self.timers.found_stale();
            }
        }
    }

    /// Drops stale timers once they are most of what is kept. O(1) amortised over those dropped.
    pub(super) fn prune_timers(&mut self) {
        if self.timers.is_mostly_stale() {
            self.drop_stale_timers();
        }
    }

    /// Drops stale timers before an operator begins anew what they were set for. O(pending).
    pub(super) fn drop_stale_timers(&mut self) {
        let mut timers = std::mem::take(&mut self.timers);
        timers.prune(|kind| self.is_live(kind));
        self.timers = timers;
    }

    /// Whether a timer still stands for the state it was set for.
    pub(super) fn is_live(&self, kind: &TimerKind) -> bool {
        let attempt = |key: AttemptKey| self.attempts.get(key.0);
        let cell =
            |run: RunKey, node: Place| self.runs.get(run.0).map(|run| run.cells[node.index()]);
        match *kind {
            TimerKind::Backoff { run, node, attempts } => cell(run, node)
                .is_some_and(|it| it.state == NodeState::Backoff && it.attempts == attempts),
            TimerKind::QueueTimeout { run, node, arrival } => {
                self.runs.get(run.0).is_some_and(|run| {
                    #[cfg(feature = "planted")]
                    if crate::planted::has(crate::planted::Bug::StaleTimerFires) {
                        return run.is_lined(node);
                    }
                    run.is_lined_since(node, arrival) || run.is_parked_since(node, arrival)
                })
            }
            // What a node did is not known any better for having taken too long.
            TimerKind::TotalTimeout { run, node } => {
                cell(run, node).is_some_and(|it| !it.is_over() && it.state != NodeState::Unknown)
            }
            TimerKind::Wait { run, node } => {
                cell(run, node).is_some_and(|it| it.state == NodeState::Awaiting)
            }
            TimerKind::Deadline { run } => self.runs.get(run.0).is_some_and(Run::has_deadline),
            TimerKind::Queue { queue, at_ns } => self.queues.get(queue).is_armed_for(at_ns),
            TimerKind::Told | TimerKind::Midnight => true,
            TimerKind::Timeout { attempt: key }
            | TimerKind::Hedge { attempt: key }
            | TimerKind::Heartbeat { attempt: key } => {
                attempt(key).is_some_and(|it| it.phase == Phase::Running)
            }
            TimerKind::Grace { attempt: key } => {
                attempt(key).is_some_and(|it| matches!(it.phase, Phase::Cancelling(_)))
            }
        }
    }

    fn fire(&mut self, kind: TimerKind) {
        match kind {
            TimerKind::Backoff { run, node, .. } => {
                let Some(retried) = self.runs.get_mut(run.0) else { return };
                retried.retry_due(node);
                #[cfg(feature = "planted")]
                if crate::planted::has(crate::planted::Bug::DueRetryIsForgotten) {
                    return;
                }
                let gate = retried.boundary();
                self.await_record(gate, run, node);
            }
            TimerKind::QueueTimeout { run, node, .. } => {
                self.leave_parked(run, node);
                self.leave_line(run, node);
                self.fail_wait(run, node, Cause::QueueTimeout);
            }
            TimerKind::TotalTimeout { run, node } => self.total_timeout(run, node),
            TimerKind::Deadline { run } => {
                self.commit(run, Place(0), 0, Body::DeadlinePassed);
                self.settle(run);
            }
            TimerKind::Wait { run, node } => self.wait_over(run, node),
            TimerKind::Queue { queue, .. } => self.queue_due(queue),
            TimerKind::Told => self.tell(),
            TimerKind::Midnight => self.another_day(),
            TimerKind::Hedge { attempt } => {
                self.fired(attempt);
                self.hedge(attempt);
            }
            TimerKind::Timeout { attempt } => {
                self.fired(attempt);
                self.cancel_attempt(attempt, CancelCause::Timeout);
            }
            TimerKind::Heartbeat { attempt } => self.heartbeat(attempt),
            TimerKind::Grace { attempt } => self.abandon(attempt),
        }
    }

    /// A sleep is over, or nobody signalled in time.
    fn wait_over(&mut self, key: RunKey, node: Place) {
        let Some(run) = self.runs.get(key.0) else { return };
        let plan = &self.plans[run.plan.0 as usize].plan;
        let (_, template) = run.locate(plan, node);
        let body = match plan.kind(template) {
            NodeKind::Signal { fail: true, .. } => {
                let (cause, started_ns) = (Cause::SignalTimeout, self.now_ns);
                let is_review = !plan.inputs_of(template).is_empty();
                let refusal = is_review.then_some(Refusal::Timeout);
                Body::Failed { cause, started_ns, then: Then::Final, refusal }
            }
            _ => Body::Fired,
        };
        self.commit(key, node, 0, body);
        self.settle(key);
    }

    fn total_timeout(&mut self, run: RunKey, node: Place) {
        let Some(state) = self.runs.get(run.0) else { return };
        if let Some(key) = state.attempt_slot(node).and_then(|slot| self.attempts.key_of(slot)) {
            // An attempt that is already being stopped must not be tried again either.
            if let Some(attempt) = self.attempts.get_mut(key)
                && matches!(
                    attempt.phase,
                    Phase::Cancelling(CancelCause::Timeout | CancelCause::HeartbeatTimeout)
                )
            {
                attempt.phase = Phase::Cancelling(CancelCause::TotalTimeout);
            }
            self.cancel_attempt(AttemptKey(key), CancelCause::TotalTimeout);
        } else {
            self.leave_parked(run, node);
            self.leave_line(run, node);
            self.fail_wait(run, node, Cause::TotalTimeout);
        }
    }

    fn heartbeat(&mut self, key: AttemptKey) {
        self.fired(key);
        let Some(attempt) = self.attempts.get_mut(key.0) else { return };
        let Some(run) = self.runs.get(attempt.run.0) else { return };
        let policy = self.plans[run.plan.0 as usize].policy_at(run, attempt.node);
        let limit_ns = policy.heartbeat_timeout_ns;
        let at_ns = attempt.alive_ns.saturating_add(limit_ns);
        if at_ns > self.now_ns {
            attempt.timers += 1;
            self.timers.insert(at_ns, TimerKind::Heartbeat { attempt: key });
        } else {
            self.cancel_attempt(key, CancelCause::HeartbeatTimeout);
        }
    }

    /// A timer of an attempt has fired: it is no longer among those to cancel.
    fn fired(&mut self, key: AttemptKey) {
        if let Some(attempt) = self.attempts.get_mut(key.0) {
            attempt.timers = attempt.timers.saturating_sub(1);
        }
    }
}
