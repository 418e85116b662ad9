//! What came of it: the engine's own figures, by batch of runs.

use penstock_engine::{
    AttemptKind, Distribution, Engine, Page, PlanId, QueueId, RunEnd, TenantId, Waste,
};

/// Figures of the runs that came one after the other: batches are nearly independent of each other, so that how
/// they differ says how sure a mean of them is (batch means; Law and Kelton, 9.5.3).
#[derive(Clone, Debug)]
pub struct Batch {
    /// Runs that came.
    pub offered: u64,
    /// Runs that were not accepted.
    pub refused: u64,
    /// Runs that ended, by [`RunEnd`].
    pub ended: [i64; RunEnd::COUNT],
    /// Runs that succeeded without anything being done twice, refused or mended.
    pub first_pass: u64,
    /// Runs of which something was made cheaper to stay within a budget.
    pub degraded: u64,
    /// From acceptance to the end.
    pub latency: Distribution,
    /// From eligible to dispatched, of attempts, by queue.
    pub delays: Vec<Distribution>,
    /// Nano-dollars.
    pub nanos: i64,
    /// Nano-dollars by [`Waste`].
    pub waste: [i64; Waste::COUNT],
    /// Attempts by [`AttemptKind`].
    pub attempts: [u64; AttemptKind::COUNT],
    /// Second copies of slow attempts.
    pub hedges: u64,
    /// Units and nano-dollars by resource.
    pub resources: Vec<(u64, i64)>,
    /// Nanoseconds that attempts held slots, by queue.
    pub held_ns: Vec<u64>,
    /// Somebody's time, in millionths of a minute.
    pub minutes: u64,
    /// Runs whose quality is known, and the sum of it.
    pub rated: (u64, f64),
    /// From the first of them to the first of the next ones.
    pub span_ns: u64,
}

/// What came of a scene.
#[derive(Clone, Debug, Default)]
pub struct Played {
    /// In the order the runs came.
    pub batches: Vec<Batch>,
    /// Calls of the engine: runs, events, attempts, signals.
    pub events: u64,
    /// Time that passed in the world.
    pub elapsed_ns: u64,
    /// Runs that did not end: they wait for somebody who does not come.
    pub unfinished: u64,
    /// Attempts, and those of them with more beside them than the model knows of, by node.
    pub beyond: Vec<(u64, u64)>,
    /// A digest of every attempt's start and end, in order.
    pub hash: u64,
    /// Whether somebody had it stop before its end.
    pub stopped: bool,
}

impl Batch {
    pub(super) fn new(queues: usize, resources: u32) -> Self {
        Self {
            offered: 0,
            refused: 0,
            ended: [0; RunEnd::COUNT],
            first_pass: 0,
            degraded: 0,
            latency: Distribution::default(),
            delays: vec![Distribution::default(); queues],
            nanos: 0,
            waste: [0; Waste::COUNT],
            attempts: [0; AttemptKind::COUNT],
            hedges: 0,
            resources: vec![(0, 0); resources as usize],
            held_ns: vec![0; queues],
            minutes: 0,
            rated: (0, 0.0),
            span_ns: 0,
        }
    }

    /// Adds what a page of the engine's books says of its runs.
    pub(super) fn add(&mut self, page: &Page) {
        add_each(&mut self.ended, &page.ended);
        add_each(&mut self.waste, &page.waste);
        self.first_pass += page.first_pass;
        self.degraded += page.degraded;
        self.latency.merge(&page.latency);
        self.nanos += page.nanos;
        for (resource, amount) in page.cash.iter() {
            let sum = &mut self.resources[resource.0 as usize];
            *sum = (sum.0 + amount.units, sum.1 + amount.nanos);
        }
        for node in (0..page.node_count()).filter_map(|node| page.node(node)) {
            for (sum, more) in self.attempts.iter_mut().zip(node.attempts) {
                *sum += more;
            }
        }
    }

    /// Adds what the engine has measured of the attempts of one plan.
    pub(super) fn measure(&mut self, engine: &Engine, of: PlanId) {
        for ((plan, _, QueueId(queue)), _, metrics) in engine.metrics().series() {
            if plan == of {
                self.delays[queue as usize].merge(&metrics.queue_delay);
                self.held_ns[queue as usize] += metrics.held_ns;
                self.hedges += metrics.hedges;
            }
        }
    }
}

fn add_each<const N: usize>(sums: &mut [i64; N], more: &[i64; N]) {
    for (sum, more) in sums.iter_mut().zip(more) {
        *sum += more;
    }
}

/// For whom a run is, by a share of all.
pub(super) fn tenant_of(tenants: &[(TenantId, f64)], share: f64) -> TenantId {
    let mut sum = 0.0;
    for (tenant, part) in tenants {
        sum += part;
        if share < sum {
            return *tenant;
        }
    }
    tenants.last().map_or(TenantId::NONE, |(tenant, _)| *tenant)
}
