//! What a user or an operator wants of a run.

use super::Engine;
use crate::ids::{Place, RunKey, ValueId};
use crate::record::Body;
use crate::state::{NodeState, RunStatus};

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
        for index in 0..run.cells.len() as u32 {
            self.leave_line(key, Place(index));
        }
        self.commit(key, Place(0), 0, Body::Paused);
        self.settle(key);
        true
    }

    /// Lets a paused run go on, or tries again to undo what could not be undone. Answers whether there was
    /// anything to resume.
    pub fn resume(&mut self, now_ns: u64, key: RunKey) -> bool {
        self.begin(now_ns);
        let Some(run) = self.runs.get(key.0) else { return false };
        if !matches!(run.status, RunStatus::Paused | RunStatus::CompensationFailed) {
            return false;
        }
        let nodes = (0..run.cells.len() as u32).map(Place);
        let ready: Vec<Place> =
            nodes.filter(|it| run.cells[it.index()].state == NodeState::Ready).collect();
        let keys = run.more.as_ref().map(|more| &more.keys).into_iter().flatten();
        let parked = |it: &(&Place, &u64)| run.cells[it.0.index()].state == NodeState::Parked;
        for (&node, &ask) in keys.filter(parked) {
            self.keys.ask(ask, key, node);
        }
        self.commit(key, Place(0), 0, Body::Resumed);
        for node in ready {
            self.await_disk(key, node);
        }
        self.settle(key);
        self.take_turns();
        true
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
