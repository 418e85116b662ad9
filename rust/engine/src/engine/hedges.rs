//! Hedging: a second copy of an attempt that is slow. The first of the two to succeed counts.
//!
//! Source: Dean and Barroso, "The Tail at Scale" (2013). A copy is paid from the queue's retry budget and needs a
//! free slot, so that there are none when the queue has no room for them.

use super::Engine;
use crate::accounts::Answer;
use crate::action::{Action, Start};
use crate::attempt::{Attempt, CancelCause, Phase};
use crate::ids::AttemptKey;
use crate::plan::{Hedge, Lane, Policy};
use crate::queues::{Charge, Gate, Started};
use crate::state::RunStatus;
use crate::timers::TimerKind;

impl Engine {
    /// When a second copy of an attempt is due that started at `started_ns`, if ever.
    pub(super) fn hedge_at_ns(&mut self, policy: &Policy, started_ns: u64) -> Option<u64> {
        let delay_ns = match policy.hedge? {
            Hedge::After(delay_ns) => delay_ns,
            Hedge::Quantile(share) => self.metrics.slow_ns(policy.step, share)?,
        };
        Some(started_ns.saturating_add(delay_ns))
    }

    /// An attempt is slow: a copy of it starts, if its queue can spare it.
    pub(super) fn hedge(&mut self, key: AttemptKey) {
        let Some(attempt) = self.attempts.get(key.0).copied() else { return };
        let Some(run) = self.runs.get(attempt.run.0) else { return };
        let registered = &self.plans[run.plan.0 as usize];
        let (_, template) = run.locate(&registered.plan, attempt.node);
        let policy = *registered.policy(template);
        let plan = run.plan;
        let crowded = self.running >= self.config.concurrency
            || (attempt.lane == Lane::Threads && self.threads_running >= self.config.threads);
        let idle = run.status == RunStatus::Paused || run.is_withdrawn(attempt.node);
        if !self.dispatching || crowded || attempt.twin != AttemptKey::NONE || idle {
            return;
        }
        let queue = self.queues.get_mut(attempt.queue);
        let open = queue.gate(self.now_ns, policy.tokens) == Gate::Open;
        if !open || queue.is_full() {
            return;
        }
        let mut nanos = 0;
        if let Some(accounts) = &mut self.accounts {
            nanos = accounts.price(&policy);
            let payers = accounts.payers(attempt.run, plan, attempt.tenant);
            if !accounts.spares(self.now_ns, payers, nanos) {
                return;
            }
        }
        let part = self.parts.of(plan);
        if !queue.pays(self.now_ns, part) {
            return;
        }
        let cost = queue.cost(policy.step, policy.tokens);
        self.queues.serve_at_once(attempt.queue, self.now_ns);
        self.running += 1;
        self.threads_running += u32::from(attempt.lane == Lane::Threads);
        let copy = AttemptKey(self.attempts.insert(Attempt {
            started_ns: self.now_ns,
            alive_ns: self.now_ns,
            phase: Phase::Running,
            twin: key,
            timers: 0,
            suspended: false,
            called: false,
            copy: true,
            ..attempt
        }));
        if let Some(first) = self.attempts.get_mut(key.0) {
            first.twin = copy;
        }
        if let Some(accounts) = &mut self.accounts {
            let payers = accounts.payers(attempt.run, plan, attempt.tenant);
            if let Answer::Paid(hold) = accounts.ask(self.now_ns, payers, nanos, None) {
                accounts.takes_off(copy, policy.step, hold);
            }
        }
        if let Some(run) = self.runs.get_mut(attempt.run.0) {
            run.running += 1;
        }
        let metrics = self.metrics.of(attempt.series);
        metrics.attempts += 1;
        metrics.hedges += 1;
        let queue = self.queues.get_mut(attempt.queue);
        let (lane, step, tokens) = (attempt.lane as usize, policy.step, policy.tokens);
        let (tenant, priority) = (attempt.tenant, attempt.series.priority());
        let (used, lane) = (Charge::UNSAID, lane as u8);
        let charge = Charge { cost, tenant, step, tokens, used, lane, priority };
        let started = Started { attempt: copy, charge, first: None, delay_ns: 0 };
        queue.started(self.now_ns, &started);
        let (run, node, number, lane) = (attempt.run, attempt.node, attempt.number, attempt.lane);
        let start = Start { attempt: copy, run, plan, node, template, number, lane };
        self.told.copies.push_back(start);
    }

    /// The next copy to start.
    pub(super) fn next_copy(&mut self) -> Option<Start> {
        while let Some(start) = self.told.copies.pop_front() {
            // It may have been beaten or withdrawn meanwhile.
            if let Some(attempt) = self.attempts.get_mut(start.attempt.0) {
                attempt.called = true;
                return Some(start);
            }
        }
        None
    }

    /// One of two copies has succeeded: the other is told to stop, and nobody waits for it.
    pub(super) fn beat(&mut self, winner: &Attempt) {
        let key = winner.twin;
        let Some(loser) = self.attempts.get_mut(key.0) else { return };
        loser.twin = AttemptKey::NONE;
        self.ignore(key);
    }

    /// An attempt that is under way does not count any more.
    fn ignore(&mut self, key: AttemptKey) {
        let Some(attempt) = self.attempts.get_mut(key.0) else { return };
        let told = attempt.phase != Phase::Running;
        attempt.phase = Phase::Beaten;
        let timers = usize::from(std::mem::take(&mut attempt.timers));
        self.timers.cancel(timers);
        let (run, called, suspended) = (attempt.run, attempt.called, attempt.suspended);
        if let Some(run) = self.runs.get_mut(run.0) {
            run.running -= 1;
        }
        self.is_given_up(key);
        if !called {
            self.end_attempt(key, super::attempts::Ended::Cut);
        } else if suspended && !told {
            let cause = CancelCause::Beaten;
            self.actions.push_back(Action::Cancel { attempt: key, cause });
        }
    }

    /// Whether the other of two copies goes on, so that the end of this one decides nothing.
    pub(super) fn outlived(&mut self, attempt: &Attempt) -> bool {
        let key = attempt.twin;
        let Some(twin) = self.attempts.get_mut(key.0) else { return false };
        twin.twin = AttemptKey::NONE;
        if let Some(run) = self.runs.get_mut(attempt.run.0) {
            run.running -= 1;
            run.goes_on_with(attempt.node, key);
        }
        true
    }

    /// One of two copies did not end when cancelled: the other goes on, and nobody waits for this one.
    pub(super) fn given_up(&mut self, key: AttemptKey, attempt: &Attempt) -> bool {
        if !self.outlived(attempt) {
            return false;
        }
        if let Some(attempt) = self.attempts.get_mut(key.0) {
            attempt.phase = Phase::Beaten;
            attempt.twin = AttemptKey::NONE;
        }
        true
    }

    /// Sets the timer for a second copy.
    pub(super) fn set_hedge(&mut self, key: AttemptKey, policy: &Policy) {
        let Some(attempt) = self.attempts.get(key.0) else { return };
        if attempt.twin != AttemptKey::NONE {
            return;
        }
        let started_ns = attempt.started_ns;
        let Some(at_ns) = self.hedge_at_ns(policy, started_ns) else { return };
        self.timers.insert(at_ns, TimerKind::Hedge { attempt: key });
        if let Some(attempt) = self.attempts.get_mut(key.0) {
            attempt.timers += 1;
        }
    }
}
