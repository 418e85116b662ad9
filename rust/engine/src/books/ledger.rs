//! What a run has spent so far, entry by entry.
//!
//! The ledger follows from the run's records alone. Which of it was waste is known when the run is over
//! ([`super::close`]).

use smallvec::SmallVec;

use crate::accounts::Unpaid;
use crate::failure::Refusal;
use crate::ids::{Place, ResourceId};

/// Units of a resource, and what they cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    /// Times something was booked.
    pub lines: u64,
    /// Units: tokens and calls by one, times and minutes by the millionth.
    pub units: u64,
    /// Nano-dollars of what has a price.
    pub nanos: i64,
    /// Times something was booked that has no price.
    pub unpriced: u64,
}

impl Amount {
    /// One booking.
    pub const fn of(units: u64, nanos: Option<i64>) -> Self {
        match nanos {
            Some(nanos) => Self { lines: 1, units, nanos, unpriced: 0 },
            None => Self { lines: 1, units, nanos: 0, unpriced: 1 },
        }
    }

    /// The sum with another; at the end of the range it stays there, as the driver refuses what would go beyond.
    pub(crate) const fn add(&mut self, other: &Self) {
        self.lines += other.lines;
        self.units = self.units.saturating_add(other.units);
        self.nanos = self.nanos.saturating_add(other.nanos);
        self.unpriced += other.unpriced;
    }
}

/// What one attempt of a node has spent of one resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The node.
    pub node: Place,
    /// The attempt, from 1.
    pub attempt: u32,
    /// The resource.
    pub resource: ResourceId,
    /// How often the run had been tried again before.
    pub generation: u16,
    /// Whether the second of two copies of the attempt has spent it.
    pub copy: bool,
    /// Whether the attempt was cut off by no doing of its own, so that it does not count.
    pub cut: bool,
    /// How much.
    pub amount: Amount,
}

/// What a run has spent, and what else its figures need that its nodes do not say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    pub(crate) entries: SmallVec<[Entry; 2]>,
    /// Handoffs that were refused, by who refused or should have given.
    pub(crate) refusals: Vec<(Place, Refusal)>,
    /// Attempts since the run was tried again.
    pub(crate) again: Vec<Place>,
    /// How often it was tried again as a whole.
    pub(crate) generation: u16,
    /// How it had ended before that.
    pub(crate) was: Option<crate::books::RunEnd>,
    /// How often the process went down under it.
    pub(crate) recovered: u32,
    /// Whether anything of it was made cheaper to stay within a budget.
    pub(crate) degraded: bool,
    /// Why an attempt was not paid for, the last time.
    pub(crate) unpaid: Option<Unpaid>,
}

impl Ledger {
    /// Books what an attempt has spent. O(resources of the attempt).
    pub(crate) fn spent(
        &mut self,
        node: Place,
        attempt: u32,
        copy: bool,
        resource: ResourceId,
        amount: Amount,
    ) {
        let generation = self.generation;
        self.book(Entry { node, attempt, resource, generation, copy, cut: false, amount });
    }

    /// Books an amount. O(resources of the attempt).
    pub(crate) fn book(&mut self, entry: Entry) {
        let same = |it: &&mut Entry| {
            it.node == entry.node
                && it.attempt == entry.attempt
                && it.resource == entry.resource
                && it.generation == entry.generation
                && it.copy == entry.copy
                && !it.cut
        };
        match self.entries.iter_mut().rev().take(LOOK_BACK).find(same) {
            Some(known) => known.amount.add(&entry.amount),
            None => self.entries.push(entry),
        }
    }

    /// An attempt of a node was cut off.
    pub(crate) fn cut(&mut self, node: Place, attempt: u32) {
        for entry in &mut self.entries {
            entry.cut |= entry.node == node && entry.attempt >= attempt;
        }
    }

    /// What became of attempts of a node is not known, or is: then they have to be made again.
    pub(crate) fn doubt(&mut self, node: Place, attempts: u32, repeated: bool) {
        for entry in &mut self.entries {
            if entry.node == node && entry.attempt > attempts {
                entry.cut = repeated;
            }
        }
    }

    /// Everything that was booked.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Nano-dollars in all, of what has a price.
    pub fn nanos(&self) -> i64 {
        self.entries.iter().fold(0, |sum: i64, entry| sum.saturating_add(entry.amount.nanos))
    }

    /// The same, since the run was tried again as a whole.
    pub(crate) fn nanos_since_again(&self) -> i64 {
        let new = self.entries.iter().filter(|entry| entry.generation == self.generation);
        new.fold(0, |sum: i64, entry| sum.saturating_add(entry.amount.nanos))
    }

    /// Whether anything of the run was made cheaper to stay within a budget.
    pub const fn is_degraded(&self) -> bool {
        self.degraded
    }

    /// Why an attempt was not paid for, the last time that happened.
    pub const fn unpaid(&self) -> Option<Unpaid> {
        self.unpaid
    }

    pub(crate) fn image(&self) -> u64 {
        let counts = [
            self.refusals.len() as u64,
            self.again.len() as u64,
            self.recovered.into(),
            self.unpaid.map_or(0, |unpaid| unpaid.asked_nanos.cast_unsigned() ^ 1 << 63),
        ];
        self.entries.iter().fold(
            crate::retry::draw(u64::from(self.generation) << 1 | u64::from(self.degraded), counts),
            |hash, entry| {
                let Amount { lines, units, nanos, unpriced } = entry.amount;
                let which = u64::from(entry.node.0) << 32 | u64::from(entry.attempt);
                let what = u64::from(entry.resource.0) << 2
                    | u64::from(entry.cut) << 1
                    | u64::from(entry.copy);
                crate::retry::draw(
                    hash,
                    [which, what, units ^ lines << 48, nanos.cast_unsigned() ^ unpriced],
                )
            },
        )
    }
}

/// Entries that are looked at for one to add to.
const LOOK_BACK: usize = 8;
