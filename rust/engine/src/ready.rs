//! The line in front of one queue: five strict bands, first come first served inside a band.

use std::collections::VecDeque;

use crate::ids::{NodeId, Place, RunKey};

/// Number of priority bands; priority 1 is served first.
pub const BANDS: u8 = 5;
/// The priority of what names none.
pub const DEFAULT_PRIORITY: u8 = 3;

/// A node that waits to be dispatched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Arrival number over all queues: what ties fall to.
    pub seq: u64,
    /// When it became eligible.
    pub eligible_ns: u64,
    /// Its run.
    pub run: RunKey,
    /// Its node.
    pub node: Place,
    /// The node's place in the plan.
    pub template: NodeId,
}

/// Waiting entries by priority. Push and pop are O(1); a withdrawn entry stays until it is met or
/// [`ReadyQueue::compact`] drops it.
#[derive(Debug, Default)]
pub struct ReadyQueue {
    bands: [VecDeque<Entry>; BANDS as usize],
    /// Bit b is set when band b holds an entry.
    occupied: u8,
    len: usize,
}

impl ReadyQueue {
    /// Entries held, withdrawn ones included.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing is held.
    pub const fn is_empty(&self) -> bool {
        self.occupied == 0
    }

    /// Adds an entry at the end of the band of `priority` (1 to 5).
    pub fn push(&mut self, priority: u8, entry: Entry) {
        let band = usize::from(priority - 1);
        self.bands[band].push_back(entry);
        self.occupied |= 1 << band;
        self.len += 1;
    }

    /// What orders this line among others: (band, arrival) of its first entry.
    pub fn head(&self) -> Option<(u8, u64)> {
        let band = self.first_band()?;
        self.bands[band].front().map(|entry| (band as u8, entry.seq))
    }

    /// The first entry, left in place.
    pub fn peek(&self) -> Option<&Entry> {
        self.bands[self.first_band()?].front()
    }

    /// Takes the first entry.
    pub fn pop(&mut self) -> Option<Entry> {
        let band = self.first_band()?;
        let entry = self.bands[band].pop_front();
        if self.bands[band].is_empty() {
            self.occupied &= !(1 << band);
        }
        self.len -= 1;
        entry
    }

    /// Drops the entries that `keep` refuses. O(entries).
    pub fn compact(&mut self, mut keep: impl FnMut(&Entry) -> bool) {
        self.len = 0;
        for (band, entries) in self.bands.iter_mut().enumerate() {
            entries.retain(&mut keep);
            self.len += entries.len();
            if entries.is_empty() {
                self.occupied &= !(1 << band);
            }
        }
    }

    const fn first_band(&self) -> Option<usize> {
        if self.occupied == 0 { None } else { Some(self.occupied.trailing_zeros() as usize) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(seq: u64) -> Entry {
        Entry { seq, eligible_ns: 0, run: RunKey(seq), node: Place(0), template: NodeId(0) }
    }

    #[test]
    fn lower_priority_numbers_go_first_and_ties_keep_their_order() {
        let mut queue = ReadyQueue::default();
        for (seq, priority) in [(1, 3), (2, 5), (3, 1), (4, 3), (5, 1)] {
            queue.push(priority, entry(seq));
        }
        let order: Vec<u64> = std::iter::from_fn(|| queue.pop()).map(|entry| entry.seq).collect();
        assert_eq!(order, [3, 5, 1, 4, 2]);
        assert!(queue.is_empty() && queue.head().is_none());
    }

    #[test]
    fn compacting_drops_only_what_is_refused() {
        let mut queue = ReadyQueue::default();
        (0..10).for_each(|seq| queue.push(1 + (seq % 2) as u8, entry(seq)));
        queue.compact(|entry| entry.seq % 2 == 1);
        assert_eq!((queue.len(), queue.head()), (5, Some((1, 1))));
    }
}
