//! Concurrency that follows latency: as long as attempts take no longer than they used to, more are let in.
//!
//! Source: Gradient2 of Netflix's concurrency-limits, over windows of attempts; on a service that says it is
//! overloaded, the limit shrinks at once (AIMD, 0.7).

/// How concurrency follows latency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdaptiveModel {
    /// What it starts with.
    pub initial: u32,
    /// It never goes below; at least 1.
    pub least: u32,
    /// It never goes above.
    pub most: u32,
}

/// Every operation is O(1).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Adaptive {
    model: AdaptiveModel,
    limit: f64,
    /// Smoothed over [`LONG`] windows, in nanoseconds.
    long_ns: f64,
    /// Of the present window: attempts, the sum of their times, and the most under way.
    count: u32,
    sum_ns: f64,
    running_most: u32,
}

/// Attempts in a window.
const WINDOW: u32 = 10;
/// Windows over which the long-term latency is smoothed.
const LONG: f64 = 600.0;
/// Room for growth, and how quickly the limit follows.
const HEADROOM: f64 = 4.0;
const SMOOTHING: f64 = 0.2;
/// What is left of the limit when the service says that it is overloaded.
const BACKOFF: f64 = 0.7;

impl Adaptive {
    pub(crate) fn new(model: AdaptiveModel) -> Self {
        let limit = f64::from(model.initial.clamp(model.least, model.most));
        Self { model, limit, long_ns: 0.0, count: 0, sum_ns: 0.0, running_most: 0 }
    }

    /// Goes on by another model from where it is.
    pub(crate) fn change(&mut self, model: AdaptiveModel) {
        self.model = model;
        self.set(self.limit);
    }

    /// Attempts that may be under way.
    pub(crate) const fn limit(&self) -> u32 {
        self.limit as u32
    }

    /// An attempt took so long, and so many were under way; whether the limit changed.
    pub(crate) fn took(&mut self, time_ns: u64, running: u32) -> bool {
        self.count += 1;
        self.sum_ns += time_ns as f64;
        self.running_most = self.running_most.max(running);
        if self.count < WINDOW {
            return false;
        }
        let short_ns = self.sum_ns / f64::from(self.count);
        let used = f64::from(self.running_most);
        (self.count, self.sum_ns, self.running_most) = (0, 0.0, 0);
        self.long_ns +=
            if self.long_ns == 0.0 { short_ns } else { (short_ns - self.long_ns) / LONG };
        if self.long_ns > 2.0 * short_ns {
            self.long_ns *= 0.9;
        }
        // What is not used says nothing of more.
        if used < self.limit / 2.0 {
            return false;
        }
        let gradient = (self.long_ns / short_ns.max(1.0)).clamp(0.5, 1.0);
        let wanted = gradient * self.limit + HEADROOM;
        self.set((1.0 - SMOOTHING) * self.limit + SMOOTHING * wanted)
    }

    /// The service said that it is overloaded; whether the limit changed.
    pub(crate) fn throttled(&mut self) -> bool {
        self.set(self.limit * BACKOFF)
    }

    fn set(&mut self, limit: f64) -> bool {
        let before = self.limit();
        self.limit = limit.clamp(f64::from(self.model.least), f64::from(self.model.most));
        self.limit() != before
    }
}
