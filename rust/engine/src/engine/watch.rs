//! Runs of workflows that are looked at one by one, as those of a release are.

use std::collections::BTreeMap;

use smallvec::SmallVec;

use super::Engine;
use crate::attempt::Attempt;
use crate::books::{Page, PageKey, WINDOW_NS};
use crate::ids::{NodeId, PlanId, QueueId, RunKey};
use crate::plan::{NodeKind, Plan};
use crate::run::{End, Frame, Run};

/// What a run has asked of queues.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Nanoseconds that its attempts held slots, by queue.
    pub held_ns: SmallVec<[(QueueId, u64); 2]>,
    /// The longest that one of its attempts waited.
    pub delay_ns: u64,
}

/// A run that has ended, with its figures alone.
#[derive(Clone, Debug)]
pub struct Closed {
    /// The run; unknown where an earlier process had it.
    pub run: Option<RunKey>,
    /// When it was accepted.
    pub accepted_ns: u64,
    /// When it ended.
    pub ended_ns: u64,
    /// Its figures.
    pub page: Page,
    /// What it has asked of queues, in this process.
    pub load: Load,
    /// How many detached runs it has started.
    pub spawned: u32,
}

/// Which workflows are watched, and what was seen of their runs.
#[derive(Debug, Default)]
pub(super) struct Watching {
    plans: Vec<PlanId>,
    loads: BTreeMap<RunKey, Load>,
    closed: Vec<Closed>,
}

impl Watching {
    /// Whether runs of a workflow are watched. O(workflows that are).
    #[inline]
    pub(super) fn has(&self, plan: PlanId) -> bool {
        !self.plans.is_empty() && self.plans.contains(&plan)
    }

    /// An attempt of a watched run is dispatched.
    #[cold]
    pub(super) fn dispatched(&mut self, run: RunKey, delay_ns: u64) {
        let load = self.loads.entry(run).or_default();
        load.delay_ns = load.delay_ns.max(delay_ns);
    }

    /// An attempt of a watched run has held its slot.
    #[cold]
    pub(super) fn held(&mut self, attempt: &Attempt, time_ns: u64) {
        let Some(load) = self.loads.get_mut(&attempt.run) else { return };
        match load.held_ns.iter_mut().find(|(queue, _)| *queue == attempt.queue) {
            Some((_, held_ns)) => *held_ns += time_ns,
            None => load.held_ns.push((attempt.queue, time_ns)),
        }
    }
}

impl Engine {
    /// From now on, or no longer, every run of a workflow that ends is kept for [`Engine::take_closed`].
    pub fn watch_plan(&mut self, plan: PlanId, on: bool) {
        self.watching.plans.retain(|&it| it != plan);
        if on {
            self.watching.plans.push(plan);
        }
        if self.watching.plans.is_empty() {
            self.watching.loads.clear();
        }
    }

    /// The runs of watched workflows that have ended since the last time.
    pub fn take_closed(&mut self) -> Vec<Closed> {
        std::mem::take(&mut self.watching.closed)
    }

    /// Whether any have.
    #[inline]
    pub const fn has_closed(&self) -> bool {
        !self.watching.closed.is_empty()
    }

    /// Keeps the figures of a run that has ended, if its workflow is watched.
    pub(super) fn close_watched(&mut self, key: Option<RunKey>, run: &Run, ended_ns: u64) {
        if !self.watching.has(run.plan) {
            return;
        }
        let registered = &self.plans[run.plan.0 as usize];
        let window_ns = run.accepted_ns - run.accepted_ns % WINDOW_NS;
        let mut page = Page::new(PageKey { window_ns, plan: run.plan, tenant: run.tenant });
        let latency_ns = ended_ns.saturating_sub(run.accepted_ns);
        page.close(&registered.plan, &registered.policies, run, latency_ns);
        let load = key.and_then(|key| self.watching.loads.remove(&key)).unwrap_or_default();
        let accepted_ns = run.accepted_ns;
        let spawned = spawned(&registered.plan, run);
        self.watching.closed.push(Closed { run: key, accepted_ns, ended_ns, page, load, spawned });
    }
}

/// How many detached runs a run has started. O(nodes).
fn spawned(plan: &Plan, run: &Run) -> u32 {
    let has_started = |frame: Frame, node: NodeId| {
        matches!(plan.kind(node), NodeKind::Spawn)
            && run.cells[frame.place(node).index()].end() == Some(End::Succeeded)
    };
    let frames = run.all_frames(plan).map(|(region, frame)| {
        let region = &plan.regions[region];
        let nodes = (region.start..region.start + region.len).map(NodeId);
        nodes.filter(|&node| has_started(frame, node)).count() as u32
    });
    frames.sum()
}
