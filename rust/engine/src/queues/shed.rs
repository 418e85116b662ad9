//! Shedding: when everything that was admitted has waited for too long, new runs are refused for a while.
//!
//! The judgement is `CoDel`'s (Nichols, Jacobson; RFC 8289) in the form of Facebook's Folly: a queue is overloaded
//! if even the shortest wait of an interval was above the target. Penstock only ever refuses what is not
//! admitted yet, so it asks how long a new entry would wait.

use std::cell::Cell;

/// When new runs are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShedModel {
    /// A wait that is still good, in nanoseconds.
    pub target_ns: u64,
    /// For how long the shortest wait is watched, in nanoseconds.
    pub interval_ns: u64,
}

/// Every operation is O(1).
#[derive(Clone, Debug)]
pub(crate) struct Shed {
    model: ShedModel,
    shortest_ns: u64,
    until_ns: u64,
    overloaded: bool,
    /// Whether anything was refused since this interval began.
    refused: Cell<bool>,
    /// The last dispatch, if others waited behind it, and the time between two such, smoothed.
    last_ns: u64,
    gap_ns: f64,
}

/// Over so many dispatches their pace is smoothed.
const PACE: f64 = 32.0;

impl Shed {
    pub(crate) const fn new(model: ShedModel) -> Self {
        Self {
            model,
            shortest_ns: 0,
            until_ns: 0,
            overloaded: false,
            refused: Cell::new(false),
            last_ns: 0,
            gap_ns: 0.0,
        }
    }

    /// Goes on by another model from where it is.
    pub(crate) const fn change(&mut self, model: ShedModel) {
        self.model = model;
    }

    /// An entry was dispatched after waiting for so long; `backlog` if others wait behind it.
    pub(crate) fn waited(&mut self, now_ns: u64, delay_ns: u64, backlog: bool) {
        if self.last_ns > 0 {
            let gap_ns = now_ns.saturating_sub(self.last_ns) as f64;
            self.gap_ns += if self.gap_ns == 0.0 { gap_ns } else { (gap_ns - self.gap_ns) / PACE };
        }
        self.last_ns = if backlog { now_ns } else { 0 };
        if now_ns >= self.until_ns {
            // The shortest wait of an interval that is over decides, unless it was that short only because others
            // were refused.
            let stands = self.until_ns > 0 && self.shortest_ns > self.model.target_ns;
            self.overloaded = stands || (self.overloaded && self.refused.take());
            self.refused.set(false);
            self.until_ns = now_ns.saturating_add(self.model.interval_ns);
            self.shortest_ns = delay_ns;
        } else {
            self.shortest_ns = self.shortest_ns.min(delay_ns);
        }
    }

    /// How many entries may stand in line.
    pub(crate) fn most(&self) -> u32 {
        if !self.overloaded || self.gap_ns <= 0.0 {
            return u32::MAX;
        }
        (self.longest_ns() as f64 / self.gap_ns) as u32 + 1
    }

    /// The longest wait that is admitted. The pace varies; with this margin the longest of a hundred waits is twice
    /// the target and one call, at most.
    const fn longest_ns(&self) -> u64 {
        self.model.target_ns.saturating_add(self.model.target_ns / 2)
    }

    /// How long to stay away, for an entry behind so many others; `None` if it may come.
    pub(crate) fn refuses(&self, before: usize) -> Option<u64> {
        let delay_ns = (before as f64 * self.gap_ns) as u64;
        let most_ns = self.longest_ns();
        let refused = self.overloaded && delay_ns > most_ns;
        self.refused.set(self.refused.get() || refused);
        refused.then(|| delay_ns - most_ns)
    }

    pub(crate) const fn is_overloaded(&self) -> bool {
        self.overloaded
    }
}
