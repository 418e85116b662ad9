//! From a decision to its record, and from what the record changed to the schedule.

use super::Engine;
use crate::action::{Action, Evaluation, Outcome};
use crate::attempt::CancelCause;
use crate::ids::{AttemptKey, Lsn, NodeId, Place, RunKey, TenantId, ValueId};
use crate::plan::{NodeKind, Policy};
use crate::queues::{Claim, DEFAULT_PRIORITY, Entry, NEVER};
use crate::record::{Body, Record};
use crate::run::{Ending, Run};
use crate::state::{NodeState, RunStatus};
use crate::timers::TimerKind;

impl Engine {
    /// Records a fact about a run and applies it. What it changed waits in `changes` for `settle`.
    pub(super) fn commit(&mut self, key: RunKey, node: Place, attempt: u32, body: Body) {
        let Some(run) = self.runs.get_mut(key.0) else { return };
        self.lsn.0 += 1;
        #[cfg(feature = "planted")]
        if crate::planted::has(crate::planted::Bug::LsnIsGivenTwice)
            && matches!(body, Body::Spent { .. })
        {
            self.lsn.0 -= 1;
        }
        let record = Record {
            lsn: self.lsn,
            run: key,
            seq: run.seq,
            at_ns: self.now_ns,
            node,
            attempt,
            body,
        };
        let registered = &mut self.plans[run.plan.0 as usize];
        let before = run.status;
        run.apply(&registered.plan, &record, &mut self.changes);
        registered.coverage.moved(before, run.status);
        let left_the_way = matches!(body, Body::Failed { .. } | Body::Withdrawn | Body::Fired);
        if left_the_way || (registered.plan.undoes && matches!(body, Body::Done { .. })) {
            let (_, template) = run.locate(&registered.plan, node);
            let policy = registered.policies[template.index()].as_ref();
            let attempts_max = policy.map_or(1, |policy| policy.retry.attempts_max.get());
            let last = attempts_max > 1 && attempt >= attempts_max;
            registered.coverage.recorded(&registered.plan, template, &body, last);
        }
        self.records.push(record);
        let ends_node = match body {
            Body::Done { .. } | Body::Withdrawn => true,
            Body::Failed { then, .. } => then.is_final(),
            _ => false,
        };
        let timed = |policy: &Policy| policy.total_timeout_ns > 0;
        if ends_node && registered.timed {
            let (_, template) = run.locate(&registered.plan, node);
            if registered.policies[template.index()].as_ref().is_some_and(timed) {
                self.timers.cancel(1);
            }
        }
    }

    /// Schedules what the last records changed: withdrawals, lines, timers, evaluations and the run's end.
    pub(super) fn settle(&mut self, key: RunKey) {
        loop {
            if !self.changes.is_plain() {
                self.settle_waits(key);
            }
            for at in 0..self.changes.eligible.len() {
                self.activate(key, self.changes.eligible[at]);
            }
            self.changes.eligible.clear();
            if self.changes.is_empty() && !self.end_if_over(key) {
                break;
            }
        }
        self.timers.cancel(std::mem::take(&mut self.changes.stale_timers));
        while let Some(key) = self.changes.released.pop() {
            self.keys.release(key);
        }
        self.drop_values();
    }

    /// What a record changed besides making nodes eligible.
    #[cold]
    fn settle_waits(&mut self, key: RunKey) {
        while let Some(node) = self.changes.withdrawn.pop_front() {
            self.withdraw(key, node);
        }
        for (node, due_ns) in std::mem::take(&mut self.changes.backoff) {
            let Some(run) = self.runs.get_mut(key.0) else { break };
            let cell = &run.cells[node.index()];
            if cell.state == NodeState::Backoff {
                let attempts = cell.attempts;
                // A slow disk may take longer than the pause between two attempts.
                run.wait_for(run.gate(self.lsn));
                self.timers.insert(due_ns, TimerKind::Backoff { run: key, node, attempts });
            }
        }
        for (node, due_ns, denial) in std::mem::take(&mut self.changes.parked) {
            self.park(key, node, due_ns, denial);
        }
        for (node, due_ns) in std::mem::take(&mut self.changes.waits) {
            self.timers.insert(due_ns, TimerKind::Wait { run: key, node });
        }
        for (node, ask) in std::mem::take(&mut self.changes.asked) {
            self.keys.ask(ask, key, node);
        }
        for (node, what) in std::mem::take(&mut self.changes.evaluate) {
            self.evaluate(key, node, what);
        }
    }

    /// Gives concurrency keys to those whose turn has come.
    #[inline]
    pub(super) fn take_turns(&mut self) {
        if self.keys.has_turns() {
            self.take_all_turns();
        }
    }

    #[cold]
    fn take_all_turns(&mut self) {
        while let Some((key, run, node)) = self.keys.next_turn() {
            // A paused run would keep the others waiting; it asks again when it is resumed.
            let wants = |run: &Run| {
                let waits = run.cells[node.index()].state == NodeState::Parked;
                waits && run.ending.is_none() && run.status != RunStatus::Paused
            };
            if self.runs.get(run.0).is_some_and(wants) {
                self.commit(run, node, 0, Body::Acquired);
                self.settle(run);
            } else {
                self.keys.release(key);
            }
        }
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
    pub(super) fn enter_line(&mut self, key: RunKey, node: Place) {
        let Some(run) = self.runs.get(key.0) else { return };
        let (_, template) = run.locate(&self.plans[run.plan.0 as usize].plan, node);
        self.enter_line_at(key, node, template);
    }

    fn enter_line_at(&mut self, key: RunKey, node: Place, template: NodeId) {
        let Some(run) = self.runs.get_mut(key.0) else { return };
        let waits = run.cells[node.index()].state == NodeState::Ready && !run.is_lined(node);
        if !waits || (run.status == RunStatus::Paused && run.ending.is_none()) {
            return;
        }
        if !self.abandoned.is_empty()
            && let Some(waits) = self.abandoned.get_mut(&(key, node))
        {
            *waits = true;
            return;
        }
        let policy = self.plans[run.plan.0 as usize].policy(template);
        self.arrivals += 1;
        run.lined(node, Some(self.arrivals));
        let (seq, eligible_ns) = (self.arrivals, self.now_ns);
        let entry = Entry { seq, eligible_ns, run: key, node, template };
        let mut claim = Claim { priority: run.priority(policy), tenant: run.tenant, due_ns: NEVER };
        let plan = &self.plans[run.plan.0 as usize].plan;
        if run.has_deadline() && matches!(plan.kind(template), NodeKind::Step) {
            let typical_ns = self.metrics.typical_ns(policy.step);
            claim.due_ns = run.deadline_ns.saturating_sub(typical_ns);
        }
        self.queues.push(policy.queue, policy.lane, claim, entry);
        if policy.queue_timeout_ns > 0 {
            let at_ns = self.now_ns.saturating_add(policy.queue_timeout_ns);
            self.timers
                .insert(at_ns, TimerKind::QueueTimeout { run: key, node, arrival: self.arrivals });
        }
    }

    /// Takes an eligible step out of its queue's line.
    pub(super) fn leave_line(&mut self, key: RunKey, node: Place) {
        let Some(run) = self.runs.get_mut(key.0) else { return };
        if !run.is_lined(node) {
            return;
        }
        run.lined(node, None);
        let policy = self.plans[run.plan.0 as usize].policy_at(run, node);
        let queue = policy.queue;
        self.timers.cancel(usize::from(policy.queue_timeout_ns > 0));
        if self.accounts.is_some() {
            self.gives_back(key, node);
        }
        if self.queues.withdraw(queue) {
            let runs = &self.runs;
            self.queues.compact(queue, |entry| {
                runs.get(entry.run.0).is_some_and(|run| run.is_lined_since(entry.node, entry.seq))
            });
        }
        if self.queues.get(queue).has_parked() {
            self.arm(queue);
        }
    }

    /// A node's inputs are all there: inline nodes are evaluated, steps wait for the disk or their queue.
    fn activate(&mut self, key: RunKey, node: Place) {
        let Some(run) = self.runs.get(key.0) else { return };
        let cell = &run.cells[node.index()];
        if cell.state != NodeState::Ready || run.is_withdrawn(node) {
            return;
        }
        let registered = &self.plans[run.plan.0 as usize];
        let (_, template) = run.locate(&registered.plan, node);
        let kind = registered.plan.kind(template);
        if !kind.is_step() {
            let what = match kind {
                NodeKind::Map { .. } => Evaluation::Count,
                NodeKind::Collect { .. } => Evaluation::Gather,
                _ => Evaluation::Function,
            };
            return self.evaluate(key, node, what);
        }
        let total_timeout_ns = registered.policy(template).total_timeout_ns;
        if total_timeout_ns > 0 && cell.attempts == 0 {
            let at_ns = self.now_ns.saturating_add(total_timeout_ns);
            self.timers.insert(at_ns, TimerKind::TotalTimeout { run: key, node });
        }
        self.await_disk_at(key, node, template);
    }

    /// An eligible step waits until what made it so is on disk, then in its queue's line.
    pub(super) fn await_disk(&mut self, key: RunKey, node: Place) {
        let Some(run) = self.runs.get(key.0) else { return };
        let (_, template) = run.locate(&self.plans[run.plan.0 as usize].plan, node);
        self.await_disk_at(key, node, template);
    }

    /// As [`Engine::await_disk`], for a record that is known.
    pub(super) fn await_record(&mut self, gate: Lsn, key: RunKey, node: Place) {
        if gate > self.synced {
            self.gated.push_back((gate, key, node));
        } else {
            self.enter_line(key, node);
        }
    }

    #[inline]
    fn await_disk_at(&mut self, key: RunKey, node: Place, template: NodeId) {
        let Some(run) = self.runs.get(key.0) else { return };
        let gate = run.gate(self.lsn);
        #[cfg(feature = "planted")]
        let gate = if crate::planted::has(crate::planted::Bug::GateIsOpen) { Lsn(0) } else { gate };
        if gate > self.synced {
            self.gated.push_back((gate, key, node));
        } else {
            self.enter_line_at(key, node, template);
        }
    }

    pub(super) fn evaluate(&mut self, key: RunKey, node: Place, what: Evaluation) {
        let Some(run) = self.runs.get_mut(key.0) else { return };
        let live = matches!(run.cells[node.index()].state, NodeState::Ready | NodeState::Running);
        if !live || run.is_withdrawn(node) {
            return;
        }
        run.evaluating(node);
        let (_, template) = run.locate(&self.plans[run.plan.0 as usize].plan, node);
        self.actions.push_back(Action::Evaluate { run: key, node, template, what });
    }

    /// A step is not needed any more: it leaves its line, or its attempt is told to stop.
    fn withdraw(&mut self, key: RunKey, node: Place) {
        let Some(run) = self.runs.get(key.0) else { return };
        if let Some(slot) = run.attempt_slot(node) {
            if let Some(attempt) = self.attempts.key_of(slot) {
                self.cancel_attempt(AttemptKey(attempt), CancelCause::Withdrawn);
            }
            return;
        }
        let state = run.cells[node.index()].state;
        if matches!(state, NodeState::Ready | NodeState::Backoff | NodeState::Parked) {
            self.leave_parked(key, node);
            self.leave_line(key, node);
            self.timers.cancel(usize::from(state == NodeState::Backoff));
            self.commit(key, node, 0, Body::Withdrawn);
        }
    }

    /// Ends a run that has nothing under way, or has it undo what it did; whether anything changed.
    fn end_if_over(&mut self, key: RunKey) -> bool {
        let Some(run) = self.runs.get(key.0).filter(|run| run.is_idle()) else { return false };
        let plan = &self.plans[run.plan.0 as usize].plan;
        let Some(body) = run.verdict(plan) else { return false };
        self.commit(key, Place(0), 0, body);
        match body {
            Body::Ended { status: RunStatus::CompensationFailed } => self.tell_stalled(key),
            Body::Ended { status } => self.over(key, status),
            _ => return true,
        }
        false
    }

    fn tell_stalled(&mut self, key: RunKey) {
        let Some(run) = self.runs.get(key.0) else { return };
        let blame = run.more.as_ref().and_then(|more| more.undo.blame);
        if let Some(blame) = blame {
            self.actions.push_back(Action::Stalled {
                run: key,
                node: blame.node,
                cause: blame.cause,
            });
        }
    }

    fn over(&mut self, key: RunKey, status: RunStatus) {
        self.drop_values();
        let Some(mut run) = self.runs.remove(key.0) else { return };
        if let Some(accounts) = &mut self.accounts {
            accounts.run_over(key);
        }
        self.close_watched(Some(key), &run, self.now_ns);
        let registered = &mut self.plans[run.plan.0 as usize];
        registered.coverage.add(&registered.plan, &run);
        let metrics = &mut self.metrics.workflows[run.plan.0 as usize];
        let latency_ns = self.now_ns - run.accepted_ns;
        self.books.page(run.accepted_ns, run.plan, run.tenant).close(
            &registered.plan,
            &registered.policies,
            &run,
            latency_ns,
        );
        metrics.latency.record(latency_ns);
        let outcome = match run.ending {
            None => {
                metrics.succeeded += 1;
                Outcome::Succeeded(run.result(&registered.plan))
            }
            Some(Ending::Failed(blame)) => {
                metrics.failed += 1;
                let attempts = run.attempts_of(&registered.plan, blame.node);
                Outcome::Failed { node: blame.node, attempts, cause: blame.cause }
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
        let band = usize::from(run.priority.unwrap_or(DEFAULT_PRIORITY) - 1);
        self.metrics.latency[band].record(latency_ns);
        if run.tenant != TenantId::NONE {
            self.metrics.of_tenant(run.tenant).latency.record(latency_ns);
        }
        if run.deadline_ns != u64::MAX {
            self.timers.cancel(1);
        }
        let layout = run.more.as_ref().is_some_and(|more| !more.openings.is_empty());
        let layout = layout.then(|| Box::new(run.layout()));
        let ledger = run.take_ledger();
        self.actions.push_back(Action::Ended { run: key, ledger, status, outcome, layout });
    }

    fn drop_values(&mut self) {
        for index in 0..self.changes.drops.len() {
            let value: ValueId = self.changes.drops[index];
            self.actions.push_back(Action::Drop { value });
        }
        self.changes.drops.clear();
    }
}
