//! How attempts end, and what is decided then.

use super::Engine;
use crate::action::Action;
use crate::attempt::{Attempt, CancelCause, Phase};
use crate::failure::{Cause, Failure, Refusal};
use crate::ids::{AttemptKey, Place, RunKey, TenantId, ValueId};
use crate::plan::{Lane, NodeKind};
use crate::queues::{BreakerState, News, OnDenial, Verdict};
use crate::record::{Body, Denial, Score, Then};
use crate::retry::draw;
use crate::state::{NodeState, RunStatus};
use crate::timers::TimerKind;

/// How an attempt ended, as the driver has it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ended {
    Succeeded,
    Failed(Failure),
    /// It was cancelled or cut off.
    Cut,
}

impl Engine {
    /// An attempt is waiting for something, so its timeouts run, and it can be told to stop.
    pub(super) fn suspended(&mut self, key: AttemptKey) {
        let Some(attempt) = self.attempts.get_mut(key.0) else { return };
        if std::mem::replace(&mut attempt.suspended, true) {
            return;
        }
        match attempt.phase {
            Phase::Running => {
                let Some(run) = self.runs.get(attempt.run.0) else { return };
                let policy = self.plans[run.plan.0 as usize].policy_at(run, attempt.node);
                if policy.timeout_ns > 0 {
                    let at_ns = attempt.started_ns.saturating_add(policy.timeout_ns);
                    self.timers.insert(at_ns, TimerKind::Timeout { attempt: key });
                    attempt.timers += 1;
                }
                let hedged = policy.hedge.is_some().then_some(*policy);
                if policy.heartbeat_timeout_ns > 0 {
                    let at_ns = attempt.alive_ns.saturating_add(policy.heartbeat_timeout_ns);
                    self.timers.insert(at_ns, TimerKind::Heartbeat { attempt: key });
                    attempt.timers += 1;
                }
                if let Some(policy) = hedged {
                    self.set_hedge(key, &policy);
                }
            }
            Phase::Cancelling(cause) => self.deliver_cancel(key, cause),
            Phase::Beaten => {
                let cause = CancelCause::Beaten;
                self.actions.push_back(Action::Cancel { attempt: key, cause });
            }
            Phase::Abandoned => {}
        }
    }

    /// Tells an attempt to stop, once; an attempt that has not suspended hears of it when it does.
    pub(super) fn cancel_attempt(&mut self, key: AttemptKey, cause: CancelCause) {
        let Some(twin) = self.attempts.get(key.0).map(|attempt| attempt.twin) else { return };
        self.stop(key, cause);
        // Each copy has a timeout of its own.
        let own = matches!(cause, CancelCause::Timeout | CancelCause::HeartbeatTimeout);
        if !own && twin != AttemptKey::NONE {
            self.stop(twin, cause);
        }
    }

    fn stop(&mut self, key: AttemptKey, cause: CancelCause) {
        let Some(attempt) = self.attempts.get_mut(key.0) else { return };
        if attempt.phase != Phase::Running {
            return;
        }
        attempt.phase = Phase::Cancelling(cause);
        self.timers.cancel(usize::from(std::mem::take(&mut attempt.timers)));
        if !attempt.called {
            self.uncalled(key, cause);
        } else if attempt.suspended {
            self.deliver_cancel(key, cause);
        }
    }

    /// An attempt is told to stop before the driver has heard of it.
    fn uncalled(&mut self, key: AttemptKey, cause: CancelCause) {
        if cause != CancelCause::Withdrawn {
            return self.attempt_interrupted(key);
        }
        if let Some(attempt) = self.end_attempt(key, Ended::Cut) {
            if self.outlived(&attempt) {
                return;
            }
            self.released(&attempt);
            self.commit(attempt.run, attempt.node, attempt.number, Body::Withdrawn);
        }
    }

    fn deliver_cancel(&mut self, key: AttemptKey, cause: CancelCause) {
        self.actions.push_back(Action::Cancel { attempt: key, cause });
        let at_ns = self.now_ns.saturating_add(self.config.cancel_grace_ns);
        self.timers.insert(at_ns, TimerKind::Grace { attempt: key });
        if let Some(attempt) = self.attempts.get_mut(key.0) {
            attempt.timers += 1;
        }
    }

    pub(super) fn attempt_done(&mut self, key: AttemptKey, value: ValueId) {
        let ended = Ended::Succeeded;
        let Some(attempt) = self.end_attempt(key, ended) else { return self.drop_value(value) };
        if self.ended_late(&attempt, value) {
            return;
        }
        if attempt.twin != AttemptKey::NONE {
            self.beat(&attempt);
        }
        self.released(&attempt);
        let (started_ns, copy) = (attempt.started_ns, attempt.copy);
        let body = Body::Done { value, started_ns, copy };
        self.commit(attempt.run, attempt.node, attempt.number, body);
        self.settle(attempt.run);
        self.told_late(&attempt);
    }

    pub(super) fn attempt_failed(&mut self, key: AttemptKey, error: ValueId, failure: Failure) {
        let ended = Ended::Failed(failure);
        let Some(attempt) = self.end_attempt(key, ended) else { return self.drop_value(error) };
        if self.ended_late(&attempt, error) {
            return;
        }
        if self.outlived(&attempt) {
            return self.drop_value(error);
        }
        self.released(&attempt);
        self.decide_failure(&attempt, Cause::Error(error), failure);
        self.told_late(&attempt);
    }

    /// An attempt that had been given up has said what nobody knew.
    fn told_late(&mut self, attempt: &Attempt) {
        if matches!(attempt.phase, Phase::Abandoned) {
            self.go_on_if_known(attempt.run);
        }
    }

    pub(super) fn attempt_cancelled(&mut self, key: AttemptKey, error: ValueId) {
        let ended = Ended::Cut;
        let Some(attempt) = self.end_attempt(key, ended) else { return self.drop_value(error) };
        if self.outlived(&attempt) {
            return self.drop_value(error);
        }
        match attempt.phase {
            Phase::Beaten => self.drop_value(error),
            Phase::Abandoned => self.abandoned_ended(&attempt, error),
            Phase::Cancelling(cause) => {
                self.drop_value(error);
                self.cut_short(&attempt, cause);
            }
            Phase::Running if self.is_once(&attempt) => {
                self.drop_value(error);
                self.outcome_unknown(&attempt);
            }
            // Nobody here asked for it: user code cancelled the attempt's task, or let the cancellation
            // of something it awaited escape. That fails the node; a retry would hide it.
            Phase::Running => {
                self.released(&attempt);
                self.decide_failure(&attempt, Cause::Error(error), Failure::FINAL);
            }
        }
    }

    pub(super) fn attempt_interrupted(&mut self, key: AttemptKey) {
        let Some(attempt) = self.end_attempt(key, Ended::Cut) else { return };
        if self.outlived(&attempt) {
            return;
        }
        match attempt.phase {
            Phase::Beaten => {}
            Phase::Abandoned => self.abandoned_ended(&attempt, ValueId::NONE),
            Phase::Cancelling(cause) => self.cut_short(&attempt, cause),
            Phase::Running => self.cut_short(&attempt, CancelCause::Interrupt),
        }
    }

    /// A cancelled attempt did not end in time: the run goes on without it, its slots stay taken.
    pub(super) fn abandon(&mut self, key: AttemptKey) {
        let Some(attempt) = self.attempts.get_mut(key.0) else { return };
        let Phase::Cancelling(cause) = attempt.phase else { return };
        attempt.phase = Phase::Abandoned;
        attempt.timers = 0;
        let copy = *attempt;
        self.is_given_up(key);
        let failed = timeout_cause(cause).is_some();
        let verdict = if failed { Verdict::Failed } else { Verdict::Unsaid };
        self.queues.get_mut(copy.queue).counted(verdict, true);
        self.tell_queue(key, &Attempt { phase: Phase::Cancelling(cause), ..copy }, verdict);
        if self.given_up(key, &copy) {
            return;
        }
        self.abandoned.insert((copy.run, copy.node), false);
        self.commit(copy.run, copy.node, copy.number, Body::Abandoned);
        self.cut_short(&copy, cause);
    }

    /// The driver has evaluated an inline node: `body` says what came of it.
    pub(super) fn evaluated(&mut self, key: RunKey, node: Place, body: Body) {
        let wanted = self.runs.get_mut(key.0).is_some_and(|run| run.evaluated(node));
        if wanted {
            self.commit(key, node, 0, body);
        } else {
            match body {
                Body::Decided { value } => self.drop_value(value),
                Body::Failed { cause: Cause::Error(error), .. } => self.drop_value(error),
                _ => {}
            }
        }
        self.settle(key);
    }

    /// A decision was taken; a share of a tier's accepted values goes on to the next tier all the same.
    pub(super) fn chosen(&mut self, key: RunKey, node: Place, outcome: u64, score: Option<Score>) {
        let mut outcome = outcome;
        if let Some(run) = self.runs.get(key.0) {
            let plan = &self.plans[run.plan.0 as usize].plan;
            let (_, template) = run.locate(plan, node);
            if let NodeKind::Accept { explore: share @ 1.., .. } = plan.kind(template)
                && outcome == 1
            {
                let parts = [run.number, u64::from(node.0), 0, 1];
                let explores = draw(self.config.seed, parts) >> 32 < u64::from(share);
                outcome += u64::from(explores);
            }
        }
        self.evaluated(key, node, Body::Chosen { outcome, score });
    }

    pub(super) fn evaluation_failed(
        &mut self,
        key: RunKey,
        node: Place,
        error: ValueId,
        refusal: Option<Refusal>,
    ) {
        let cause = Cause::Error(error);
        let (started_ns, then) = (self.now_ns, Then::Final);
        let body = Body::Failed { cause, started_ns, then, refusal };
        self.evaluated(key, node, body);
    }

    /// Fails a node that has no attempt under way: it waited for too long.
    pub(super) fn fail_wait(&mut self, run: RunKey, node: Place, cause: Cause) {
        let Some(state) = self.runs.get(run.0) else { return };
        let attempts = state.cells[node.index()].attempts;
        let (started_ns, then) = (self.now_ns, Then::Final);
        let registered = &self.plans[state.plan.0 as usize];
        let (_, template) = state.locate(&registered.plan, node);
        let is_handed = registered.policies[template.index()].is_some_and(|it| it.handoffs > 0);
        let is_taken = attempts > 0 || cause != Cause::QueueTimeout;
        let refusal = (is_handed && !is_taken).then_some(Refusal::Timeout);
        let body = Body::Failed { cause, started_ns, then, refusal };
        self.commit(run, node, attempts, body);
        self.settle(run);
    }

    /// Whether an attempt ended only after it was given up or had run out of time: what it brought is
    /// dropped then, and its timeout stands. Not so where it says what nobody knew.
    fn ended_late(&mut self, attempt: &Attempt, result: ValueId) -> bool {
        #[cfg(feature = "planted")]
        if crate::planted::has(crate::planted::Bug::LateResultCounts)
            && attempt.phase == Phase::Abandoned
            && self.node_state(attempt.run, attempt.node).is_some()
        {
            let body = Body::Done { value: result, started_ns: attempt.started_ns, copy: false };
            self.commit(attempt.run, attempt.node, attempt.number, body);
            return true;
        }
        match attempt.phase {
            Phase::Abandoned if self.is_unknown(attempt) => {
                self.abandoned.remove(&(attempt.run, attempt.node));
                return false;
            }
            Phase::Abandoned => self.abandoned_ended(attempt, result),
            Phase::Beaten => self.drop_value(result),
            Phase::Cancelling(_) if self.is_once(attempt) => return false,
            Phase::Cancelling(cause) => {
                let Some(cause) = timeout_cause(cause) else { return false };
                self.drop_value(result);
                if !self.outlived(attempt) {
                    self.fail(attempt, cause);
                }
            }
            Phase::Running => return false,
        }
        true
    }

    fn cut_short(&mut self, attempt: &Attempt, cause: CancelCause) {
        if attempt.called && self.is_once(attempt) {
            return self.outcome_unknown(attempt);
        }
        if let Some(cause) = timeout_cause(cause) {
            return self.fail(attempt, cause);
        }
        self.released(attempt);
        let gone = self.runs.get(attempt.run.0).is_some_and(|run| run.is_withdrawn(attempt.node));
        let body = if gone { Body::Withdrawn } else { Body::Interrupted };
        self.commit(attempt.run, attempt.node, attempt.number, body);
        if !gone {
            if let Some(run) = self.runs.get_mut(attempt.run.0) {
                run.interrupted(attempt.node);
            }
            self.enter_line(attempt.run, attempt.node);
        }
        self.settle(attempt.run);
    }

    /// Whether an attempt is the only one its node may have.
    fn is_once(&self, attempt: &Attempt) -> bool {
        self.runs
            .get(attempt.run.0)
            .is_some_and(|run| self.plans[run.plan.0 as usize].policy_at(run, attempt.node).once)
    }

    fn is_unknown(&self, attempt: &Attempt) -> bool {
        self.node_state(attempt.run, attempt.node) == Some(NodeState::Unknown)
    }

    /// An attempt was cut off, and nobody knows whether it had its effect: somebody has to find out.
    fn outcome_unknown(&mut self, attempt: &Attempt) {
        self.released(attempt);
        // Compensations go on, whatever the outcome of another is.
        let was_running = self.status(attempt.run) == Some(RunStatus::Running);
        self.commit(attempt.run, attempt.node, attempt.number, Body::Unknown);
        if was_running {
            self.stand_still(attempt.run);
        }
        self.settle(attempt.run);
        let (run, node, cause) = (attempt.run, attempt.node, Cause::OutcomeUnknown);
        self.actions.push_back(Action::Stalled { run, node, cause });
    }

    fn fail(&mut self, attempt: &Attempt, cause: Cause) {
        self.released(attempt);
        let retryable = cause != Cause::TotalTimeout
            && self.runs.get(attempt.run.0).is_some_and(|run| {
                self.plans[run.plan.0 as usize].policy_at(run, attempt.node).retry_timeouts
            });
        self.decide_failure(attempt, cause, Failure { retryable, ..Failure::FINAL });
    }

    fn decide_failure(&mut self, attempt: &Attempt, cause: Cause, failure: Failure) {
        let Some(run) = self.runs.get(attempt.run.0) else { return };
        let policy = self.plans[run.plan.0 as usize].policy_at(run, attempt.node);
        let (retry, fallback) = (&policy.retry, policy.fallback);
        let (_, template) = run.locate(&self.plans[run.plan.0 as usize].plan, attempt.node);
        let kind = self.plans[run.plan.0 as usize].plan.kind(template);
        // A compensation goes on, whatever its run does.
        let may_stand_still =
            run.status == RunStatus::Running && run.ending.is_none() && kind == NodeKind::Step;
        let again = failure.retryable
            && !run.is_withdrawn(attempt.node)
            && attempt.number < retry.attempts_max.get();
        #[cfg(feature = "planted")]
        let again = again
            || (crate::planted::has(crate::planted::Bug::OneAttemptMore)
                && failure.retryable
                && !run.is_withdrawn(attempt.node)
                && attempt.number == retry.attempts_max.get());
        let then = if again {
            let parts = [run.number, u64::from(attempt.node.0), u64::from(attempt.number), 0];
            let delay_ns = retry
                .delay_ns(attempt.number, draw(self.config.seed, parts))
                .max(failure.retry_after_ns.unwrap_or(0));
            let due_ns = self.now_ns.saturating_add(delay_ns);
            let last = attempt.number + 1 >= retry.attempts_max.get();
            let timed_out = matches!(cause, Cause::Timeout | Cause::HeartbeatTimeout);
            let queue = self.queues.get_mut(attempt.queue);
            match queue.denies(self.now_ns, timed_out, last, self.parts.of(run.plan)) {
                None => Then::Retry { due_ns },
                Some(OnDenial::Fail) => Then::Denied,
                Some(_) if fallback => Then::Denied,
                Some(OnDenial::DeadLetter) if may_stand_still => {
                    return self.dead_letter(attempt, cause, failure.refusal);
                }
                Some(_) => Then::Park { due_ns, denial: Denial::Budget },
            }
        } else {
            Then::Final
        };
        let (started_ns, refusal) = (attempt.started_ns, failure.refusal);
        let body = Body::Failed { cause, started_ns, then, refusal };
        self.commit(attempt.run, attempt.node, attempt.number, body);
        self.settle(attempt.run);
    }

    /// Nobody pays for another attempt: the run stands still until somebody sees to it.
    fn dead_letter(&mut self, attempt: &Attempt, cause: Cause, refusal: Option<Refusal>) {
        let (run, node) = (attempt.run, attempt.node);
        let then = Then::Park { due_ns: self.now_ns, denial: Denial::DeadLetter };
        let body = Body::Failed { cause, started_ns: attempt.started_ns, then, refusal };
        self.commit(run, node, attempt.number, body);
        self.commit(run, Place(0), 0, Body::Paused);
        self.stand_still(run);
        self.settle(run);
        self.actions.push_back(Action::Stalled { run, node, cause: Cause::RetryDenied });
    }

    /// Takes an attempt that has really ended off the books and gives its slots back.
    #[expect(clippy::inline_always, reason = "on the dispatch path; an attempt is long to move")]
    #[inline(always)]
    pub(super) fn end_attempt(&mut self, key: AttemptKey, ended: Ended) -> Option<Attempt> {
        let attempt = self.attempts.remove(key.0)?;
        self.running -= 1;
        let timed_out =
            matches!(attempt.phase, Phase::Cancelling(cause) if timeout_cause(cause).is_some());
        let verdict = match ended {
            // What was given up has been judged.
            _ if matches!(attempt.phase, Phase::Abandoned) => Verdict::Unsaid,
            _ if timed_out => Verdict::Failed,
            Ended::Succeeded => Verdict::Answered,
            Ended::Failed(Failure { retryable: false, .. }) => Verdict::Refused,
            Ended::Failed(Failure { retry_after_ns: Some(_), .. }) => Verdict::Throttled,
            Ended::Failed(_) => Verdict::Failed,
            Ended::Cut => Verdict::Unsaid,
        };
        if !self.given_up.is_empty() {
            self.given_up.remove(&key);
        }
        if self.accounts.is_some() {
            self.landed(key);
        }
        #[cfg(feature = "planted")]
        if crate::planted::has(crate::planted::Bug::SlotIsGivenTwice) && timed_out {
            self.running = self.running.saturating_sub(1);
        }
        // What nobody needs any more has been told to stop.
        let wanted = matches!(attempt.phase, Phase::Running);
        let listens = self.queues.release(attempt.queue, self.now_ns, verdict, wanted);
        if attempt.lane == Lane::Threads {
            self.threads_running -= 1;
            self.queues.unblock();
        }
        self.timers.cancel(usize::from(attempt.timers));
        if !matches!(attempt.phase, Phase::Abandoned) {
            let time_ns = self.now_ns - attempt.started_ns;
            if self.watching.has(attempt.plan) {
                self.watching.held(&attempt, time_ns);
            }
            let metrics = self.metrics.of(attempt.series);
            metrics.held_ns += time_ns;
            metrics.duration.record(time_ns);
            match ended {
                _ if timed_out => {
                    metrics.failed += 1;
                    metrics.timeouts += 1;
                }
                Ended::Succeeded => metrics.succeeded += 1,
                _ if wanted => metrics.failed += 1,
                _ => {}
            }
            if attempt.tenant != TenantId::NONE {
                let metrics = self.metrics.of_tenant(attempt.tenant);
                metrics.held_ns += time_ns;
                metrics.duration.record(time_ns);
            }
        }
        if listens {
            self.tell_queue(key, &attempt, verdict);
        }
        Some(attempt)
    }

    /// A queue that listens hears how an attempt of it has ended.
    fn tell_queue(&mut self, key: AttemptKey, attempt: &Attempt, verdict: Verdict) {
        self.roll(attempt.queue);
        let (started_ns, id) = (attempt.started_ns, attempt.queue);
        let breaker = match attempt.phase {
            Phase::Abandoned => None,
            _ => self.queues.ended(self.now_ns, id, key, started_ns, verdict),
        };
        let news = breaker.and_then(|state| match state {
            BreakerState::Open => Some(News::BreakerOpened),
            BreakerState::Closed => Some(News::BreakerClosed),
            BreakerState::HalfOpen => None,
        });
        self.tell_of(id, news);
        self.arm(id);
    }

    /// The late end of an abandoned attempt: its result is ignored, and the node may go on.
    fn abandoned_ended(&mut self, attempt: &Attempt, result: ValueId) {
        self.drop_value(result);
        if self.abandoned.remove(&(attempt.run, attempt.node)) == Some(true) {
            self.enter_line(attempt.run, attempt.node);
        }
    }

    /// Gives the node back, unless it was when the attempt was given up.
    fn released(&mut self, attempt: &Attempt) {
        if !matches!(attempt.phase, Phase::Abandoned) || !self.is_unknown(attempt) {
            self.release_node(attempt.run, attempt.node);
        }
    }

    fn release_node(&mut self, run: RunKey, node: Place) {
        if let Some(run) = self.runs.get_mut(run.0) {
            run.released(node);
        }
    }

    pub(super) fn drop_value(&mut self, value: ValueId) {
        if value.is_some() {
            self.actions.push_back(Action::Drop { value });
        }
    }
}

const fn timeout_cause(cause: CancelCause) -> Option<Cause> {
    match cause {
        CancelCause::Timeout => Some(Cause::Timeout),
        CancelCause::TotalTimeout => Some(Cause::TotalTimeout),
        CancelCause::HeartbeatTimeout => Some(Cause::HeartbeatTimeout),
        CancelCause::Withdrawn | CancelCause::Beaten | CancelCause::Interrupt => None,
    }
}
