//! What is parked at a queue, and how quickly it comes back once the queue is well again.
//!
//! It comes back by what the retry budget has left, and by a *drain* whose rate grows as long as attempts
//! succeed and is halved when they do not: additive increase, multiplicative decrease, as TCP has it.

use std::collections::VecDeque;

use super::ready::BANDS;
use crate::ids::{Place, RunKey};

/// A node that is parked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ParkedEntry {
    /// What the node is marked with as long as this entry stands for it.
    pub(crate) seq: u64,
    pub(crate) run: RunKey,
    pub(crate) node: Place,
    /// Not before.
    pub(crate) due_ns: u64,
    /// Since when.
    pub(crate) since_ns: u64,
}

/// Every operation is O(1), but for entries that were withdrawn, which leave when they are met.
#[derive(Debug, Default)]
pub(crate) struct Parked {
    /// By priority; of each, those with attempts to spare, and those with one left.
    lines: [[VecDeque<ParkedEntry>; 2]; BANDS as usize],
    /// Without those withdrawn.
    len: u32,
    held: usize,
    drain: Drain,
}

impl Parked {
    pub(crate) const fn len(&self) -> u32 {
        self.len
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn push(&mut self, priority: u8, last: bool, entry: ParkedEntry) {
        self.lines[usize::from(priority - 1)][usize::from(last)].push_back(entry);
        self.len += 1;
        self.held += 1;
    }

    /// The most urgent entry that is due, among those with attempts to spare unless `last` may go, too.
    pub(crate) fn pop(&mut self, now_ns: u64, last: bool) -> Option<ParkedEntry> {
        for lines in &mut self.lines {
            for line in &mut lines[..=usize::from(last)] {
                // Waits are short beside a parking, so few stand before one that is due.
                for _ in 0..line.len().min(LOOKED_AT) {
                    let entry = line.pop_front()?;
                    if entry.due_ns <= now_ns {
                        self.held -= 1;
                        return Some(entry);
                    }
                    line.push_back(entry);
                }
            }
        }
        None
    }

    /// Every entry, withdrawn ones included.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &ParkedEntry> {
        self.lines.iter().flatten().flatten()
    }

    /// A popped entry stood for its node.
    pub(crate) const fn released(&mut self) {
        self.len -= 1;
    }

    /// A node is parked no longer; its entry leaves when it is met. Whether most of the entries are withdrawn.
    pub(crate) const fn withdraw(&mut self) -> bool {
        self.len -= 1;
        self.held > 2 * self.len as usize + 1_000
    }

    /// Drops the entries that `keep` refuses. O(entries).
    pub(crate) fn compact(&mut self, mut keep: impl FnMut(&ParkedEntry) -> bool) {
        self.held = 0;
        for line in self.lines.iter_mut().flatten() {
            line.retain(&mut keep);
            self.held += line.len();
        }
    }

    pub(crate) const fn drain(&mut self) -> &mut Drain {
        &mut self.drain
    }
}

const LOOKED_AT: usize = 8;

/// How many entries may come back, by how attempts fare.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Drain {
    /// Per second.
    rate: f64,
    /// Of an entry, what has been earned.
    earned: f64,
    at_ns: u64,
    adjusted_ns: u64,
    /// Between two probes of a queue of which nothing is known.
    probe_ns: u64,
    probed_ns: u64,
}

impl Default for Drain {
    fn default() -> Self {
        let probe_ns = PROBE_NS;
        Self { rate: 0.0, earned: 0.0, at_ns: 0, adjusted_ns: 0, probe_ns, probed_ns: 0 }
    }
}

/// How attempts of the last seconds fared.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Health {
    /// Of those that ended, how many succeeded; `None` if none ended.
    pub(crate) share: Option<f64>,
    /// Likewise, of the last few; what is not known counts as well.
    pub(crate) recent: f64,
    /// How many succeeded per second.
    pub(crate) per_s: f64,
}

impl Health {
    /// Whether enough succeed for parked work to come back.
    pub(crate) fn is_good(&self) -> bool {
        self.share.is_some_and(|share| share >= GOOD)
    }

    /// Whether so few succeed that a run's last attempt would be wasted.
    pub(crate) fn is_bad(&self) -> bool {
        self.recent < BAD || self.share.is_some_and(|share| share < BAD)
    }
}

/// Of the attempts, how many must succeed for the drain to grow.
const GOOD: f64 = 0.9;
const BAD: f64 = 0.5;
/// It grows by the larger of one per second and this share of what succeeds, each second.
const GROWTH: f64 = 0.05;
const SECOND_NS: u64 = 1_000_000_000;
const PROBE_NS: u64 = 1_000_000_000;
const PROBE_MAX_NS: u64 = 60_000_000_000;

impl Drain {
    /// How many entries may come back by now.
    pub(crate) fn earn(&mut self, now_ns: u64, health: Health) -> u32 {
        let passed_ns = now_ns.saturating_sub(self.at_ns).min(SECOND_NS);
        self.at_ns = now_ns;
        if now_ns.saturating_sub(self.adjusted_ns) >= SECOND_NS {
            self.adjusted_ns = now_ns;
            self.rate = match health.share {
                Some(share) if share >= GOOD => self.rate + 1.0_f64.max(GROWTH * health.per_s),
                Some(_) => self.rate / 2.0,
                None => self.rate,
            };
            if self.rate < 0.5 && !health.is_good() {
                self.rate = 0.0;
            }
        }
        if health.is_good() {
            self.probe_ns = PROBE_NS;
            self.earned += self.rate * passed_ns as f64 / SECOND_NS as f64;
        } else {
            self.earned = 0.0;
        }
        let whole = self.earned.floor();
        self.earned -= whole;
        whole as u32
    }

    /// Whether one entry may come back to see how the queue fares, since nothing else shows it.
    pub(crate) fn probes(&mut self, now_ns: u64, health: Health) -> bool {
        if health.share.is_some() || now_ns.saturating_sub(self.probed_ns) < self.probe_ns {
            return false;
        }
        self.probed_ns = now_ns;
        self.probe_ns = self.probe_ns.saturating_mul(2).min(PROBE_MAX_NS);
        true
    }

    /// When to ask again.
    pub(crate) fn next_ns(&self, now_ns: u64) -> u64 {
        let wait_ns = if self.rate > 0.0 {
            ((1.0 - self.earned).max(0.0) / self.rate * SECOND_NS as f64) as u64
        } else {
            SECOND_NS
        };
        now_ns.saturating_add(wait_ns.clamp(SOONEST_NS, SECOND_NS / 4))
    }
}

/// More often than this nobody comes back; then several at once.
const SOONEST_NS: u64 = 5_000_000;
