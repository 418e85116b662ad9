//! What the engine counts as it goes: attempts, retries, queue delay, durations.

use crate::ids::StepId;

/// Times in a histogram of 1 % resolution, up to a day; beyond is counted as a day. O(1) to count, O(buckets) to
/// ask.
///
/// Buckets are as wide as half a microsecond up to 131 µs, and from there as a 128th of the power of two they
/// stand in, as in Gil Tene's `HdrHistogram`.
#[derive(Clone, Debug)]
pub struct Distribution {
    counts: Box<[u32; BUCKETS]>,
    len: u64,
    longest_ns: u64,
}

/// Nanoseconds of the narrowest bucket, as a power of two.
const NARROWEST: u32 = 9;
/// Buckets of each power of two, as a power of two.
const PER_POWER: u32 = 7;
const BUCKETS: usize = 1 << 12;
const LONGEST_NS: u64 = 86_400_000_000_000;

impl Default for Distribution {
    fn default() -> Self {
        Self { counts: Box::new([0; BUCKETS]), len: 0, longest_ns: 0 }
    }
}

impl Distribution {
    /// Counts one time.
    #[inline]
    pub fn record(&mut self, time_ns: u64) {
        let count = &mut self.counts[bucket(time_ns)];
        *count = count.saturating_add(1);
        self.len += 1;
        self.longest_ns = self.longest_ns.max(time_ns);
    }

    /// Times counted.
    pub const fn len(&self) -> u64 {
        self.len
    }

    /// Whether nothing was counted.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The time below which a share `quantile` (0 to 1) of the counted ones lie; 0 if there are none.
    pub fn quantile_ns(&self, quantile: f64) -> u64 {
        let rank = (quantile * self.len as f64).ceil().max(1.0) as u64;
        let below = self.counts.iter().scan(0, |sum, &count| {
            *sum += u64::from(count);
            Some(*sum)
        });
        let bucket = below.take_while(|&sum| sum < rank).count();
        last_of(bucket).min(self.longest_ns)
    }

    /// The longest time counted.
    pub const fn longest_ns(&self) -> u64 {
        self.longest_ns
    }
}

/// Which bucket a time is counted in.
const fn bucket(time_ns: u64) -> usize {
    let units = (if time_ns < LONGEST_NS { time_ns } else { LONGEST_NS }) >> NARROWEST;
    let powers = (units >> PER_POWER | 1).ilog2();
    ((powers as u64) << PER_POWER) as usize + (units >> powers) as usize
}

/// The longest time that is counted in a bucket.
const fn last_of(bucket: usize) -> u64 {
    let powers = ((bucket >> PER_POWER) as u64).saturating_sub(1);
    let units = bucket as u64 - (powers << PER_POWER);
    ((units + 1) << powers << NARROWEST) - 1
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
    /// Makes room for a step.
    pub(crate) fn register(&mut self, step: StepId) {
        let len = self.steps.len().max(step.0 as usize + 1);
        self.steps.resize_with(len, StepMetrics::default);
    }

    /// The counts of a step that was registered.
    #[inline]
    pub(crate) fn step(&mut self, step: StepId) -> &mut StepMetrics {
        &mut self.steps[step.0 as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::retry::draw;

    #[test]
    fn a_quantile_is_at_most_one_percent_beyond_the_time_it_stands_for() {
        let mut distribution = Distribution::default();
        let mut times: Vec<u64> =
            (0..10_000).map(|n| draw(1, [n, 0, 0, 0]) >> (18 + n % 40)).collect();
        for &time_ns in &times {
            distribution.record(time_ns);
        }
        times.sort_unstable();
        for percent in 1..=100 {
            let (time, found) =
                (times[percent * 100 - 1], distribution.quantile_ns(percent as f64 / 100.0));
            let width = (time / 100).max(1 << NARROWEST);
            assert!((time..=time + width).contains(&found), "{percent} %: {found} for {time}");
        }
    }

    #[test]
    fn times_follow_each_other_through_the_buckets_and_end_with_a_day() {
        for at in 0..BUCKETS - 1 {
            let last = last_of(at);
            assert_eq!(bucket(last), at.min(bucket(LONGEST_NS)));
            assert_eq!(bucket(last + 1), (at + 1).min(bucket(LONGEST_NS)));
        }
        let mut distribution = Distribution::default();
        assert_eq!((distribution.quantile_ns(0.5), distribution.is_empty()), (0, true));
        distribution.record(u64::MAX);
        distribution.record(0);
        assert_eq!((distribution.len(), distribution.quantile_ns(0.5)), (2, 511));
    }
}
