//! Fair queueing: the tenants of one band take turns by what their work costs.
//!
//! Source: start-time fair queueing (Goyal, Vin, Cheng, SIGCOMM '96), which needs to know a cost only after the
//! work has begun. What is charged then is an estimate; the difference is settled when the work has ended, as
//! Kubernetes' priority and fairness does. A tenant that comes back starts with those that are there, so that
//! it can't save up its turns.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;

use super::ready::{Entry, Flow};
use crate::ids::TenantId;

/// Waiting entries by tenant. Push and pop are O(log tenants that wait).
#[derive(Debug, Default)]
pub(crate) struct Fair {
    tenants: Vec<Tenant>,
    places: FxHashMap<TenantId, u32>,
    free: Vec<u32>,
    /// Heap of the tenants that wait, by [`Tenant::key`].
    turns: Vec<u32>,
    /// The tenant that was looked up last, and its place.
    last: Option<(TenantId, u32)>,
    /// Start of the work that was begun last.
    now: u64,
    weights: BTreeMap<TenantId, f64>,
}

#[derive(Debug)]
struct Tenant {
    id: TenantId,
    waiting: Flow,
    /// When its next work starts, in virtual time.
    start: u64,
    /// When what it was charged for ends, in virtual time.
    finish: u64,
    /// Arrival of its first entry when it took its place: what ties fall to.
    seq: u64,
    /// Its place among the turns, or `ABSENT`.
    turn: u32,
    weight: f64,
}

impl Tenant {
    const fn key(&self) -> (u64, u64) {
        (self.start, self.seq)
    }
}

const ABSENT: u32 = u32::MAX;
/// Tenants without work that are remembered beyond as many as have some.
const IDLE_MAX: usize = 1_024;

impl Fair {
    pub(crate) fn new(weights: BTreeMap<TenantId, f64>) -> Self {
        Self { weights, ..Self::default() }
    }

    /// From now on tenants weigh this much.
    pub(crate) fn weigh(&mut self, weights: &BTreeMap<TenantId, f64>) {
        self.weights.clone_from(weights);
        for tenant in &mut self.tenants {
            tenant.weight = weights.get(&tenant.id).copied().unwrap_or(1.0);
        }
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.turns.is_empty()
    }

    pub(crate) fn push(&mut self, tenant: TenantId, due_ns: u64, entry: Entry) {
        let place = self.place(tenant);
        let now = self.now;
        let it = &mut self.tenants[place as usize];
        it.waiting.push(due_ns, entry);
        if it.turn == ABSENT {
            it.start = it.finish.max(now);
            it.seq = entry.seq;
            it.turn = self.turns.len() as u32;
            self.turns.push(place);
            self.sift_up(self.turns.len() - 1);
        }
    }

    /// The entry whose turn it is, left in place.
    #[inline]
    pub(crate) fn peek(&self, patience_ns: u64) -> Option<&Entry> {
        self.tenants[*self.turns.first()? as usize].waiting.peek(patience_ns)
    }

    /// Takes the entry whose turn it is, and charges its tenant for it if it is to be served.
    pub(crate) fn pop(&mut self, patience_ns: u64, cost: Option<u64>) -> Option<Entry> {
        let place = *self.turns.first()?;
        let it = &mut self.tenants[place as usize];
        let entry = it.waiting.pop(patience_ns);
        if let Some(cost) = cost {
            self.now = self.now.max(it.start);
            it.finish = it.start.saturating_add(weighed(cost, it.weight));
            it.start = it.finish;
        }
        if it.waiting.is_empty() {
            self.leave(place);
        } else {
            it.seq = it.waiting.peek(patience_ns).map_or(it.seq, |entry| entry.seq);
            if self.turns.len() > 1 {
                self.sift_down(0);
            }
        }
        entry
    }

    /// Work that was charged for turned out to cost something else.
    pub(crate) fn settle(&mut self, tenant: TenantId, charged: u64, cost: u64) {
        let Some(place) = self.find(tenant) else { return };
        let it = &mut self.tenants[place as usize];
        let (charged, cost) = (weighed(charged, it.weight), weighed(cost, it.weight));
        let settled = |time: u64| time.saturating_add(cost).saturating_sub(charged);
        it.finish = settled(it.finish);
        if it.turn != ABSENT {
            it.start = settled(it.start);
            if self.turns.len() == 1 {
                return;
            }
            let turn = it.turn as usize;
            let turn = self.sift_up(turn);
            self.sift_down(turn);
        }
    }

    /// Drops the entries that `keep` refuses. O(entries).
    pub(crate) fn compact(&mut self, mut keep: impl FnMut(&Entry) -> bool) {
        for place in 0..self.tenants.len() as u32 {
            let it = &mut self.tenants[place as usize];
            it.waiting.compact(&mut keep);
            if it.turn != ABSENT && it.waiting.is_empty() {
                self.leave(place);
            }
        }
    }

    /// Every entry, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.tenants.iter().flat_map(|tenant| tenant.waiting.iter())
    }

    /// What was charged so far counts no more: from now on another unit does.
    pub(crate) fn start_over(&mut self) {
        self.now = 0;
        for tenant in &mut self.tenants {
            (tenant.start, tenant.finish) = (0, 0);
        }
        for turn in (0..self.turns.len()).rev() {
            self.sift_down(turn);
        }
    }

    /// Gives every entry back.
    pub(crate) fn take(&mut self) -> Vec<Flow> {
        let old = std::mem::take(self);
        old.tenants.into_iter().map(|tenant| tenant.waiting).collect()
    }

    #[inline]
    fn find(&mut self, tenant: TenantId) -> Option<u32> {
        match self.last {
            Some((last, place)) if last == tenant => Some(place),
            _ => self.look_up(tenant),
        }
    }

    fn look_up(&mut self, tenant: TenantId) -> Option<u32> {
        let place = *self.places.get(&tenant)?;
        self.last = Some((tenant, place));
        Some(place)
    }

    fn place(&mut self, tenant: TenantId) -> u32 {
        if let Some(place) = self.find(tenant) {
            return place;
        }
        let weight = self.weights.get(&tenant).copied().unwrap_or(1.0);
        let (waiting, start, finish, seq, turn) = (Flow::default(), 0, 0, 0, ABSENT);
        let new = Tenant { id: tenant, waiting, start, finish, seq, turn, weight };
        let place = if let Some(place) = self.free.pop() {
            self.tenants[place as usize] = new;
            place
        } else {
            self.tenants.push(new);
            self.tenants.len() as u32 - 1
        };
        self.places.insert(tenant, place);
        place
    }

    /// A tenant has no work left.
    fn leave(&mut self, place: u32) {
        let turn = std::mem::replace(&mut self.tenants[place as usize].turn, ABSENT) as usize;
        let last = self.turns.len() - 1;
        self.turns.swap_remove(turn);
        if turn < last {
            self.tenants[self.turns[turn] as usize].turn = turn as u32;
            let turn = self.sift_up(turn);
            self.sift_down(turn);
        }
        if self.places.len() > 2 * self.turns.len() + 2 * IDLE_MAX {
            self.forget();
        }
    }

    /// Forgets tenants without work that have no debt either. O(tenants), amortised over those that left.
    #[cold]
    fn forget(&mut self) {
        self.last = None;
        for (place, tenant) in (0..).zip(&mut self.tenants) {
            if tenant.turn == ABSENT
                && tenant.finish <= self.now
                && self.places.remove(&tenant.id).is_some()
            {
                self.free.push(place);
            }
        }
    }

    fn key(&self, turn: usize) -> (u64, u64) {
        self.tenants[self.turns[turn] as usize].key()
    }

    fn sift_up(&mut self, mut turn: usize) -> usize {
        while turn > 0 {
            let parent = (turn - 1) / FAN;
            if self.key(parent) <= self.key(turn) {
                break;
            }
            self.swap(turn, parent);
            turn = parent;
        }
        turn
    }

    fn sift_down(&mut self, mut turn: usize) {
        loop {
            let first = FAN * turn + 1;
            let children = first..(first + FAN).min(self.turns.len());
            let Some(child) = children.min_by_key(|&child| self.key(child)) else { return };
            if self.key(turn) <= self.key(child) {
                return;
            }
            self.swap(turn, child);
            turn = child;
        }
    }

    fn swap(&mut self, a: usize, b: usize) {
        self.turns.swap(a, b);
        self.tenants[self.turns[a] as usize].turn = a as u32;
        self.tenants[self.turns[b] as usize].turn = b as u32;
    }
}

/// Children of a place in the heap.
const FAN: usize = 4;

/// What a cost is in virtual time. Most tenants weigh one, which needs no division.
#[inline]
fn weighed(cost: u64, weight: f64) -> u64 {
    if weight.to_bits() == 1.0_f64.to_bits() { cost } else { divided(cost, weight) }
}

#[cold]
fn divided(cost: u64, weight: f64) -> u64 {
    (cost as f64 / weight) as u64
}
