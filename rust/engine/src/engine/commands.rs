//! What a user or an operator wants of a run.

use super::Engine;
use crate::failure::Cause;
use crate::ids::{Place, RunKey, ValueId};
use crate::plan::Policy;
use crate::record::{Body, Then};
use crate::run::Run;
use crate::state::{NodeState, RunStatus};

/// What somebody has found out about a node whose outcome was not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// It had its effect, and this is its value.
    Done(ValueId),
    /// It had none, and is to be tried again.
    Retry,
    /// It has failed for good.
    Failed(ValueId),
}

impl Engine {
    /// Cancels a run: what waits is withdrawn, what runs is told to stop, and the run ends once that has
    /// ended and its effects are undone. Answers whether there was anything to cancel.
    pub fn cancel(&mut self, now_ns: u64, run: RunKey) -> bool {
        self.begin(now_ns);
        if self.runs.get(run.0).is_none_or(|run| !run.goes_on()) {
            return false;
        }
        self.commit(run, Place(0), 0, Body::CancelRequested);
        self.settle(run);
        self.take_turns();
        true
    }

    /// Lets no further step of a run start; what runs goes on. Answers whether the run was running.
    pub fn pause(&mut self, now_ns: u64, key: RunKey) -> bool {
        self.begin(now_ns);
        let Some(run) = self.runs.get(key.0) else { return false };
        if run.status != RunStatus::Running || run.ending.is_some() {
            return false;
        }
        self.commit(key, Place(0), 0, Body::Paused);
        self.stand_still(key);
        self.settle(key);
        true
    }

    /// No step of a run that has just been paused stands in a line any more. Not before it is paused: what one of its
    /// steps gives back may let another into its line.
    pub(super) fn stand_still(&mut self, key: RunKey) {
        let cells = self.runs.get(key.0).map_or(0, |run| run.cells.len() as u32);
        for index in 0..cells {
            self.leave_line(key, Place(index));
        }
    }

    /// Lets a paused run go on, or tries again to undo what could not be undone. Answers whether there was
    /// anything to resume.
    pub fn resume(&mut self, now_ns: u64, key: RunKey) -> bool {
        self.begin(now_ns);
        let Some(run) = self.runs.get(key.0) else { return false };
        let stands = matches!(run.status, RunStatus::Paused | RunStatus::CompensationFailed);
        if !stands || run.has_unknown() {
            return false;
        }
        let mut policies = self.plans[run.plan.0 as usize].policies.iter().map(Option::as_ref);
        if run.status == RunStatus::CompensationFailed && policies.any(is_limited) {
            self.drop_stale_timers();
        }
        self.go_on_with(key);
        true
    }

    /// Tells what became of a node whose outcome was not known. A run that stood still for nothing else goes
    /// on. Answers whether the node was one; if not, the value is still the caller's.
    pub fn resolve(
        &mut self,
        now_ns: u64,
        key: RunKey,
        node: Place,
        resolution: Resolution,
    ) -> bool {
        self.begin(now_ns);
        if self.node_state(key, node) != Some(NodeState::Unknown) {
            return false;
        }
        let Some(run) = self.runs.get(key.0) else { return false };
        let started_ns = now_ns;
        let body = match resolution {
            Resolution::Done(value) => Body::Done { value, started_ns, copy: false },
            Resolution::Failed(error) => Body::Failed {
                cause: Cause::Error(error),
                started_ns,
                then: Then::Final,
                refusal: None,
            },
            Resolution::Retry if run.is_withdrawn(node) => Body::Withdrawn,
            Resolution::Retry => Body::Resolved,
        };
        let attempt = u32::from(resolution != Resolution::Retry);
        let registered = &self.plans[run.plan.0 as usize];
        let (_, template) = run.locate(&registered.plan, node);
        if body == Body::Resolved && is_limited(registered.policies[template.index()].as_ref()) {
            self.drop_stale_timers();
        }
        self.commit(key, node, attempt, body);
        self.settle(key);
        self.go_on_if_known(key);
        self.take_turns();
        true
    }

    /// A run that stood still for nothing but outcomes that were not known goes on once they are.
    pub(super) fn go_on_if_known(&mut self, key: RunKey) {
        if self.runs.get(key.0).is_some_and(Run::may_go_on) {
            self.go_on_with(key);
        }
    }

    /// Everything that stood still goes on.
    pub(super) fn go_on_with(&mut self, key: RunKey) {
        let Some(run) = self.runs.get(key.0) else { return };
        let nodes = (0..run.cells.len() as u32).map(Place);
        let ready: Vec<Place> =
            nodes.filter(|it| run.cells[it.index()].state == NodeState::Ready).collect();
        let keys = run.more.as_ref().map(|more| &more.keys).into_iter().flatten();
        let parked = |it: &(&Place, &u64)| run.cells[it.0.index()].state == NodeState::Parked;
        for (&node, &ask) in keys.filter(parked) {
            self.keys.ask_again(ask, key, node);
        }
        let denied: Vec<Place> = (0..run.cells.len() as u32)
            .map(Place)
            .filter(|&node| run.is_parked_for_good(node))
            .collect();
        self.commit(key, Place(0), 0, Body::Resumed);
        for node in ready {
            self.await_disk(key, node);
        }
        for node in denied {
            self.unpark(key, node);
        }
        self.settle(key);
        self.take_turns();
    }

    /// Brings a signal to a run: to the node that has waited for it longest, or, if `keep`, to the next one
    /// that will. Answers whether it was taken in; if not, the value is still the caller's.
    pub fn signal(
        &mut self,
        now_ns: u64,
        key: RunKey,
        signal: u32,
        value: ValueId,
        keep: bool,
    ) -> bool {
        self.begin(now_ns);
        let Some(run) = self.runs.get(key.0).filter(|run| run.goes_on()) else {
            return false;
        };
        let plan = &self.plans[run.plan.0 as usize].plan;
        if !keep && run.who_awaits(plan, signal).is_none() {
            return false;
        }
        self.commit(key, Place(0), 0, Body::Signal { signal, value });
        self.settle(key);
        self.take_turns();
        true
    }
}

/// Whether all attempts and waits of a step together are limited.
fn is_limited(policy: Option<&Policy>) -> bool {
    policy.is_some_and(|policy| policy.total_timeout_ns > 0)
}
