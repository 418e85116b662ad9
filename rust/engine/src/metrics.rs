//! What the engine counts as it goes: attempts, retries, queue delay, durations.

use hdrhistogram::Histogram;

use crate::ids::StepId;

/// Times in a histogram of 1 % resolution (`HdrHistogram`), from 1 µs to a day; beyond is counted as a day.
#[derive(Clone, Debug)]
pub struct Distribution {
    times: Histogram<u32>,
    longest_ns: u64,
}

const RESOLUTION_NS: u64 = 1_000;
const LONGEST_NS: u64 = 86_400_000_000_000;

impl Default for Distribution {
    fn default() -> Self {
        let histogram = Histogram::new_with_bounds(RESOLUTION_NS, LONGEST_NS, 2);
        let times = histogram.expect("the bounds are constants that the histogram accepts");
        Self { times, longest_ns: 0 }
    }
}

impl Distribution {
    /// Counts one time.
    pub fn record(&mut self, time_ns: u64) {
        self.times.saturating_record(time_ns.max(1));
        self.longest_ns = self.longest_ns.max(time_ns);
    }

    /// Times counted.
    pub fn len(&self) -> u64 {
        self.times.len()
    }

    /// Whether nothing was counted.
    pub fn is_empty(&self) -> bool {
        self.times.is_empty()
    }

    /// The time below which a share `quantile` (0 to 1) of the counted ones lie; 0 if there are none.
    pub fn quantile_ns(&self, quantile: f64) -> u64 {
        self.times.value_at_quantile(quantile).min(self.longest_ns)
    }

    /// The longest time counted.
    pub const fn longest_ns(&self) -> u64 {
        self.longest_ns
    }
}

/// Counts of one step.
#[derive(Clone, Debug, Default)]
pub struct StepMetrics {
    /// Attempts dispatched, the first of each node included.
    pub attempts: u64,
    /// Attempts that were not the first of their node.
    pub retries: u64,
    /// Attempts that returned a value.
    pub succeeded: u64,
    /// Attempts that failed, timed out included.
    pub failed: u64,
    /// Attempts that were cut off when they ran too long.
    pub timeouts: u64,
    /// From eligible to dispatched.
    pub queue_delay: Distribution,
    /// From dispatched to ended.
    pub duration: Distribution,
}

/// Counts of one workflow.
#[derive(Clone, Debug, Default)]
pub struct WorkflowMetrics {
    /// Runs accepted.
    pub accepted: u64,
    /// Runs that succeeded.
    pub succeeded: u64,
    /// Runs that failed, past their deadline included.
    pub failed: u64,
    /// Runs that were cancelled.
    pub cancelled: u64,
    /// From accepted to ended.
    pub latency: Distribution,
}

/// Counts by step and workflow, in the order they were registered.
#[derive(Debug, Default)]
pub struct Metrics {
    /// By [`StepId`].
    pub steps: Vec<StepMetrics>,
    /// By [`crate::PlanId`].
    pub workflows: Vec<WorkflowMetrics>,
}

impl Metrics {
    pub(crate) fn step(&mut self, step: StepId) -> &mut StepMetrics {
        let index = step.0 as usize;
        if index >= self.steps.len() {
            self.steps.resize_with(index + 1, StepMetrics::default);
        }
        &mut self.steps[index]
    }
}
