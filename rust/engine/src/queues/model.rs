//! What a queue is to be like: the model of one dependency, as its user describes it.

use std::collections::BTreeMap;

use super::adaptive::AdaptiveModel;
use super::breaker::BreakerModel;
use super::budget::BudgetModel;
use super::rate::Rate;
use super::shed::ShedModel;
use crate::ids::TenantId;

/// The model of a dependency. What is `None` is not limited.
#[derive(Clone, Debug, PartialEq)]
pub struct QueueModel {
    /// Attempts of it that may be under way; the least of it and what `adaptive` finds.
    pub concurrency: u32,
    /// Entries that may wait before new runs are refused. Admitted work is never dropped.
    pub capacity: u32,
    /// How its concurrency follows its latency.
    pub adaptive: Option<AdaptiveModel>,
    /// Attempts per time.
    pub requests: Option<Rate>,
    /// Tokens per time, by each step's estimate and then by what it used.
    pub tokens: Option<Rate>,
    /// Whom its slots are shared out to.
    pub fairness: Option<FairnessModel>,
    /// How long a band may stand behind more urgent ones before it gets a share of the slots, in nanoseconds.
    /// It is also what an entry without a deadline is worth beside one that has one.
    pub aging_ns: u64,
    /// That share, in millionths of the dispatches; 0 for strict bands.
    pub aging_share_ppm: u32,
    /// What retries are paid from.
    pub budget: Option<BudgetModel>,
    /// When it is left alone.
    pub breaker: Option<BreakerModel>,
    /// When new runs are refused because those that were admitted wait too long.
    pub shed: Option<ShedModel>,
}

impl Default for QueueModel {
    fn default() -> Self {
        Self {
            concurrency: u32::MAX,
            capacity: Self::CAPACITY_MAX,
            adaptive: None,
            requests: None,
            tokens: None,
            fairness: None,
            aging_ns: 30_000_000_000,
            aging_share_ppm: 100_000,
            budget: None,
            breaker: None,
            shed: None,
        }
    }
}

impl QueueModel {
    /// The capacity of a queue that sets none.
    pub const CAPACITY_MAX: u32 = 1_000_000;

    /// The limits it starts with: its own, as long as it has no other host to share them with.
    pub fn limits(&self) -> Limits {
        Limits {
            concurrency: self.concurrency,
            requests_gap_ps: self.requests.map_or(0, |rate| rate.gap_ps),
            tokens_gap_ps: self.tokens.map_or(0, |rate| rate.gap_ps),
            floor_ppm: self.budget.map_or(0, |budget| budget.floor_ppm),
        }
    }
}

/// The share of a queue's limits that is this engine's. With one host, all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Attempts that may be under way.
    pub concurrency: u32,
    /// Millionths of a retry per second that are free.
    pub floor_ppm: u32,
    /// Picoseconds between two attempts; 0 for no limit.
    pub requests_gap_ps: u64,
    /// Picoseconds for each token; 0 for no limit.
    pub tokens_gap_ps: u64,
}

/// How slots are shared out among tenants.
#[derive(Clone, Debug, PartialEq)]
pub struct FairnessModel {
    /// What of a tenant counts.
    pub by: Cost,
    /// More than 0; 1 for a tenant that is not here.
    pub weights: BTreeMap<TenantId, f64>,
}

/// What an attempt costs its queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cost {
    /// Nanoseconds that it held its slot.
    #[default]
    Time,
    /// Tokens that it used.
    Tokens,
    /// One.
    Attempts,
}
