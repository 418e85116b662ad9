//! Deadlines, kept in a heap with lazy deletion.
//!
//! A timer is never searched for: whoever no longer needs one says so with [`Timers::cancel`], and what
//! fires is checked against the state it was set for. Stale entries are pruned once they outnumber twice
//! the live ones by a thousand (the rule of trio's deadline heap).

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use crate::ids::{AttemptKey, Place, QueueId, RunKey};

/// What a timer is for. Each names the state it was set for, so that a late one is told from a live one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimerKind {
    /// A retry is due after `attempts` attempts.
    Backoff {
        /// The run.
        run: RunKey,
        /// The node.
        node: Place,
        /// Attempts counted when it was set.
        attempts: u32,
    },
    /// The node has waited in its queue for long enough.
    QueueTimeout {
        /// The run.
        run: RunKey,
        /// The node.
        node: Place,
        /// Its arrival in the line.
        arrival: u64,
    },
    /// The node has taken too long, all attempts and waits together.
    TotalTimeout {
        /// The run.
        run: RunKey,
        /// The node.
        node: Place,
    },
    /// A sleep is over, or the wait for a signal.
    Wait {
        /// The run.
        run: RunKey,
        /// The node.
        node: Place,
    },
    /// The run's deadline.
    Deadline {
        /// The run.
        run: RunKey,
    },
    /// A queue has something to do that no event brings about.
    Queue {
        /// The queue.
        queue: QueueId,
        /// When it was set for.
        at_ns: u64,
    },
    /// Those who wait for another day's money may have it.
    Midnight,
    /// Entries were turned away by their queue, or something happened to one.
    Told,
    /// A slow attempt may get a second copy.
    Hedge {
        /// The attempt.
        attempt: AttemptKey,
    },
    /// An attempt has run for too long.
    Timeout {
        /// The attempt.
        attempt: AttemptKey,
    },
    /// An attempt may have gone silent.
    Heartbeat {
        /// The attempt.
        attempt: AttemptKey,
    },
    /// A cancelled attempt should have ended by now.
    Grace {
        /// The attempt.
        attempt: AttemptKey,
    },
}

/// A deadline and its purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timer {
    /// When it fires.
    pub at_ns: u64,
    seq: u64,
    /// What for.
    pub kind: TimerKind,
}

impl Ord for Timer {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at_ns, other.seq).cmp(&(self.at_ns, self.seq))
    }
}

impl PartialOrd for Timer {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Pending timers, earliest first; ties fire in the order they were set. Insert is O(log n), cancel O(1)
/// amortised.
#[derive(Debug, Default)]
pub struct Timers {
    heap: BinaryHeap<Timer>,
    stale: usize,
    seq: u64,
}

/// Stale entries that are tolerated beyond twice the live ones.
const STALE_SLACK: usize = 1_000;

impl Timers {
    /// Sets a timer.
    pub fn insert(&mut self, at_ns: u64, kind: TimerKind) {
        self.seq += 1;
        self.heap.push(Timer { at_ns, seq: self.seq, kind });
    }

    /// Notes that `count` pending timers are no longer wanted.
    pub const fn cancel(&mut self, count: usize) {
        self.stale += count;
    }

    /// Pending timers, stale ones included.
    pub fn len(&self) -> usize {
        self.heap.len()
    }

    /// Pending timers, stale ones included, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Timer> {
        self.heap.iter()
    }

    /// Whether nothing is pending.
    pub fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }

    /// When the earliest pending timer fires.
    pub fn next_at_ns(&self) -> Option<u64> {
        self.heap.peek().map(|timer| timer.at_ns)
    }

    /// The earliest pending timer.
    pub fn peek(&self) -> Option<&Timer> {
        self.heap.peek()
    }

    /// Takes the earliest timer if it is due at `now_ns`.
    pub fn pop_due(&mut self, now_ns: u64) -> Option<Timer> {
        self.heap.peek().filter(|timer| timer.at_ns <= now_ns)?;
        self.heap.pop()
    }

    /// Takes the earliest timer, due or not; for dropping stale ones at the head.
    pub fn pop_stale(&mut self) {
        self.heap.pop();
        self.found_stale();
    }

    /// Notes that a popped timer turned out to be stale.
    pub const fn found_stale(&mut self) {
        self.stale = self.stale.saturating_sub(1);
    }

    /// Whether pruning pays.
    pub fn is_mostly_stale(&self) -> bool {
        self.stale > 2 * self.heap.len().saturating_sub(self.stale) + STALE_SLACK
    }

    /// Drops every timer that `live` refuses. O(pending).
    pub fn prune(&mut self, mut live: impl FnMut(&TimerKind) -> bool) {
        self.heap.retain(|timer| live(&timer.kind));
        self.stale = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deadline(run: u64) -> TimerKind {
        TimerKind::Deadline { run: RunKey(run) }
    }

    #[test]
    fn timers_fire_in_order_and_ties_in_the_order_they_were_set() {
        let mut timers = Timers::default();
        for (at, run) in [(30, 0), (10, 1), (20, 2), (10, 3)] {
            timers.insert(at, deadline(run));
        }
        let due: Vec<TimerKind> =
            std::iter::from_fn(|| timers.pop_due(20)).map(|timer| timer.kind).collect();
        assert_eq!(due, [deadline(1), deadline(3), deadline(2)]);
        assert_eq!(timers.next_at_ns(), Some(30));
    }

    #[test]
    fn cancelled_timers_do_not_pile_up() {
        let mut timers = Timers::default();
        let mut peak = 0;
        for run in 0..100_000 {
            timers.insert(1_000 + run, deadline(run));
            timers.cancel(1);
            if timers.is_mostly_stale() {
                timers.prune(|_| false);
            }
            peak = peak.max(timers.len());
        }
        assert!(peak <= 2 * STALE_SLACK, "{peak} stale timers were kept");
    }
}
