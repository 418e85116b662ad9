//! What the engine counts as it goes: attempts, retries, queue delay, durations.

use std::collections::BTreeMap;

use crate::ids::{PlanId, QueueId, StepId, TenantId};
use crate::queues::BANDS;

/// Times in a histogram of 1 % resolution, up to a day; beyond is counted as a day. O(1) to count, O(buckets) to
/// ask.
///
/// Buckets are as wide as half a microsecond up to 131 µs, and from there as a 128th of the power of two they
/// stand in, as in Gil Tene's `HdrHistogram`. Room is made for a power of two when a time falls into it.
#[derive(Clone, Debug, Default)]
pub struct Distribution {
    powers: [Option<Box<[u32; PER_POWER]>>; POWERS],
    len: u64,
    longest_ns: u64,
}

/// Nanoseconds of the narrowest bucket, as a power of two.
const NARROWEST: u32 = 9;
/// Buckets of each power of two, as a power of two.
const PER_POWER_LOG: u32 = 7;
const PER_POWER: usize = 1 << PER_POWER_LOG;
const POWERS: usize = 32;
const LONGEST_NS: u64 = 86_400_000_000_000;

impl Distribution {
    /// Counts one time.
    #[inline]
    pub fn record(&mut self, time_ns: u64) {
        let bucket = bucket(time_ns);
        let power = &mut self.powers[bucket >> PER_POWER_LOG];
        let counts = match power {
            Some(counts) => counts,
            None => make_room(power),
        };
        let count = &mut counts[bucket & (PER_POWER - 1)];
        *count = count.saturating_add(1);
        self.len += 1;
        self.longest_ns = self.longest_ns.max(time_ns);
    }

    /// Counts so many times of a bucket, as [`Self::since`] tells them; nothing where there is no such bucket.
    pub fn add(&mut self, bucket: usize, count: u32) {
        let Some(power) = self.powers.get_mut(bucket >> PER_POWER_LOG) else { return };
        let counts = power.get_or_insert_with(|| Box::new([0; PER_POWER]));
        let ours = &mut counts[bucket & (PER_POWER - 1)];
        *ours = ours.saturating_add(count);
        self.len += u64::from(count);
        self.longest_ns = self.longest_ns.max(last_of(bucket));
    }

    /// Counts all that another has counted, too.
    pub fn merge(&mut self, other: &Self) {
        for (ours, theirs) in self.powers.iter_mut().zip(&other.powers) {
            let Some(theirs) = theirs else { continue };
            let ours = ours.get_or_insert_with(|| Box::new([0; PER_POWER]));
            for (count, more) in ours.iter_mut().zip(theirs.iter()) {
                *count = count.saturating_add(*more);
            }
        }
        self.len += other.len;
        self.longest_ns = self.longest_ns.max(other.longest_ns);
    }

    /// How often a time fell into each bucket, since an earlier state of this distribution: (bucket, count).
    pub fn since(&self, earlier: &Self) -> Vec<(usize, u32)> {
        let mut more = Vec::new();
        if self.len == earlier.len {
            return more;
        }
        for (power, (ours, theirs)) in self.powers.iter().zip(&earlier.powers).enumerate() {
            let Some(ours) = ours else { continue };
            for (place, &count) in ours.iter().enumerate() {
                let before = theirs.as_ref().map_or(0, |theirs| theirs[place]);
                if count > before {
                    more.push(((power << PER_POWER_LOG) + place, count - before));
                }
            }
        }
        more
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
        let mut sum = 0;
        for (power, counts) in self.powers.iter().enumerate() {
            for (place, &count) in counts.iter().flat_map(|counts| counts.iter().enumerate()) {
                sum += u64::from(count);
                if sum >= rank {
                    return last_of((power << PER_POWER_LOG) + place).min(self.longest_ns);
                }
            }
        }
        self.longest_ns
    }

    /// The mean of the counted times, each taken as the middle of its bucket; 0 if there are none. O(buckets).
    pub fn mean_ns(&self) -> f64 {
        let mut sum = 0.0;
        for (power, counts) in self.powers.iter().enumerate() {
            for (place, &count) in counts.iter().flat_map(|counts| counts.iter().enumerate()) {
                let bucket = (power << PER_POWER_LOG) + place;
                let first = if bucket == 0 { 0 } else { last_of(bucket - 1) + 1 };
                sum += f64::from(count) * (first + last_of(bucket)) as f64 / 2.0;
            }
        }
        if self.len == 0 { 0.0 } else { sum / self.len as f64 }
    }

    /// The longest time counted.
    pub const fn longest_ns(&self) -> u64 {
        self.longest_ns
    }
}

#[cold]
fn make_room(power: &mut Option<Box<[u32; PER_POWER]>>) -> &mut Box<[u32; PER_POWER]> {
    power.insert(Box::new([0; PER_POWER]))
}

/// Which bucket a time is counted in.
const fn bucket(time_ns: u64) -> usize {
    let units = (if time_ns < LONGEST_NS { time_ns } else { LONGEST_NS }) >> NARROWEST;
    let powers = (units >> PER_POWER_LOG | 1).ilog2();
    ((powers as u64) << PER_POWER_LOG) as usize + (units >> powers) as usize
}

/// The longest time that is counted in a bucket.
const fn last_of(bucket: usize) -> u64 {
    let powers = ((bucket >> PER_POWER_LOG) as u64).saturating_sub(1);
    let units = bucket as u64 - (powers << PER_POWER_LOG);
    ((units + 1) << powers << NARROWEST) - 1
}

/// Counts of attempts: of a step, a queue, or a priority.
#[derive(Clone, Debug, Default)]
pub struct AttemptMetrics {
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
    /// Second copies of slow attempts; they count as attempts, too.
    pub hedges: u64,
    /// Nanoseconds that its attempts held their slots.
    pub held_ns: u64,
    /// Nanoseconds that nodes were parked before they came back.
    pub parked_ns: u64,
    /// From eligible to dispatched.
    pub queue_delay: Distribution,
    /// From dispatched to ended.
    pub duration: Distribution,
}

impl AttemptMetrics {
    /// Counts all that another has counted, too.
    pub fn merge(&mut self, other: &Self) {
        self.attempts += other.attempts;
        self.retries += other.retries;
        self.succeeded += other.succeeded;
        self.failed += other.failed;
        self.timeouts += other.timeouts;
        self.hedges += other.hedges;
        self.held_ns += other.held_ns;
        self.parked_ns += other.parked_ns;
        self.queue_delay.merge(&other.queue_delay);
        self.duration.merge(&other.duration);
    }
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

/// Counts of one tenant.
#[derive(Clone, Debug, Default)]
pub struct TenantMetrics {
    /// Attempts dispatched.
    pub attempts: u64,
    /// Nanoseconds that its attempts held their slots.
    pub held_ns: u64,
    /// From eligible to dispatched.
    pub queue_delay: Distribution,
    /// From dispatched to ended.
    pub duration: Distribution,
    /// From accepted to ended.
    pub latency: Distribution,
}

/// Which attempts are counted together: those of a workflow's step in a queue, by priority.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SeriesId(u32);

impl SeriesId {
    /// What no step is counted by.
    pub(crate) const NONE: Self = Self(u32::MAX);

    /// That of a priority, 1 to 5, of the same step and queue.
    #[inline]
    pub(crate) const fn of(self, priority: u8) -> Self {
        Self(self.0 + priority as u32 - 1)
    }

    /// The priority it is of.
    pub(crate) const fn priority(self) -> u8 {
        (self.0 % BANDS as u32) as u8 + 1
    }
}

/// Counts by step, queue, priority, tenant and workflow. Each attempt is counted once; a view adds up.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Steps of workflows in queues, in the order they came.
    known: Vec<(PlanId, StepId, QueueId)>,
    /// By [`SeriesId`]: five for each of those that are known.
    series: Vec<AttemptMetrics>,
    /// By [`crate::PlanId`].
    pub workflows: Vec<WorkflowMetrics>,
    /// Run latency by priority, 1 to 5.
    pub latency: [Distribution; BANDS as usize],
    tenants: BTreeMap<TenantId, TenantMetrics>,
    /// How long attempts of a step typically take, and of how many that was said.
    typical: Vec<(u64, u64)>,
    /// Likewise, how long slow ones take, by step and share.
    slow: BTreeMap<(StepId, u64), (u64, u64)>,
}

/// Tenants that are counted apart; the others are counted together, as nobody's.
const TENANTS_MAX: usize = 1_000;
/// So many attempts must have ended before it is said how long they take.
const TYPICAL_MIN: u64 = 20;

impl Metrics {
    /// Makes room for a step in a queue; gives the series of its most urgent attempts.
    pub(crate) fn register(&mut self, plan: PlanId, step: StepId, queue: QueueId) -> SeriesId {
        let own = self.known.iter().rposition(|&(of, ..)| of != plan).map_or(0, |at| at + 1);
        let known = self.known[own..].iter().position(|&it| it == (plan, step, queue));
        let known = known.map(|at| own + at);
        let place = known.unwrap_or_else(|| {
            self.known.push((plan, step, queue));
            self.series.extend((0..BANDS).map(|_| AttemptMetrics::default()));
            self.known.len() - 1
        });
        let steps = self.typical.len().max(step.0 as usize + 1);
        self.typical.resize(steps, (0, 0));
        SeriesId(place as u32 * u32::from(BANDS))
    }

    /// The counts of a series.
    #[inline]
    pub(crate) fn of(&mut self, series: SeriesId) -> &mut AttemptMetrics {
        &mut self.series[series.0 as usize]
    }

    /// The counts of a tenant.
    pub(crate) fn of_tenant(&mut self, tenant: TenantId) -> &mut TenantMetrics {
        let room = self.tenants.len() < TENANTS_MAX || self.tenants.contains_key(&tenant);
        self.tenants.entry(if room { tenant } else { TenantId::NONE }).or_default()
    }

    /// How long an attempt of a step typically takes: the median; 0 while too few have ended.
    pub(crate) fn typical_ns(&mut self, step: StepId) -> u64 {
        let said = self.typical[step.0 as usize];
        let new = self.said_anew(step, said, 0.5);
        self.typical[step.0 as usize] = new;
        new.1
    }

    /// The time that a share of a step's attempts take; `None` while too few have ended.
    pub(crate) fn slow_ns(&mut self, step: StepId, share: f64) -> Option<u64> {
        let key = (step, share.to_bits());
        let said = self.slow.get(&key).copied().unwrap_or_default();
        let new = self.said_anew(step, said, share);
        self.slow.insert(key, new);
        (new.0 > 0).then_some(new.1)
    }

    /// A quantile and of how many attempts it was said, anew once there are an eighth more. O(1) amortised.
    fn said_anew(&self, step: StepId, said: (u64, u64), share: f64) -> (u64, u64) {
        let ended: u64 = self.all(|it, _| it == step).map(|it| it.duration.len()).sum();
        if ended < TYPICAL_MIN || ended < said.0 + said.0.div_ceil(8).max(1) {
            return said;
        }
        (ended, self.step(step).duration.quantile_ns(share))
    }

    /// The series of steps in queues that `wanted` says yes to.
    fn all(
        &self,
        wanted: impl Fn(StepId, QueueId) -> bool,
    ) -> impl Iterator<Item = &AttemptMetrics> {
        let series = self.series.chunks_exact(usize::from(BANDS));
        let known = self.known.iter().zip(series);
        known.filter(move |((_, step, queue), _)| wanted(*step, *queue)).flat_map(|(_, of)| of)
    }

    /// What is counted apart: a workflow's step in a queue, its priority, 1 to 5, and the counts.
    pub fn series(&self) -> impl Iterator<Item = ((PlanId, StepId, QueueId), u8, &AttemptMetrics)> {
        let bands = self.series.chunks_exact(usize::from(BANDS));
        let all = self.known.iter().zip(bands);
        all.flat_map(|(known, bands)| (1..).zip(bands).map(move |(band, it)| (*known, band, it)))
    }

    /// Steps that were registered.
    pub fn step_count(&self) -> u32 {
        self.typical.len() as u32
    }

    /// Attempts of a step.
    pub fn step(&self, step: StepId) -> AttemptMetrics {
        sum(self.all(|it, _| it == step))
    }

    /// Attempts of a queue.
    pub fn queue(&self, queue: QueueId) -> AttemptMetrics {
        sum(self.all(|_, it| it == queue))
    }

    /// Attempts of a priority, 1 to 5.
    pub fn priority(&self, priority: u8) -> AttemptMetrics {
        sum(self.series.iter().skip(usize::from(priority - 1)).step_by(usize::from(BANDS)))
    }

    /// By tenant: the first thousand that came; [`TenantId::NONE`] stands for all others.
    pub fn tenants(&self) -> impl Iterator<Item = (TenantId, &TenantMetrics)> {
        self.tenants.iter().map(|(tenant, metrics)| (*tenant, metrics))
    }
}

fn sum<'a>(all: impl Iterator<Item = &'a AttemptMetrics>) -> AttemptMetrics {
    let mut sum = AttemptMetrics::default();
    all.for_each(|metrics| sum.merge(metrics));
    sum
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
        for at in 0..POWERS * PER_POWER - 1 {
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
