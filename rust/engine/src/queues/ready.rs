//! The line in front of one queue: five bands, one served before the other, but for what has stood too long.
//!
//! Inside a band entries are served as they come, or, where a queue is shared out fairly, tenant by tenant.
//! One whose run has a deadline goes before those that can wait longer.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};

use super::control::Charge;
use super::fair::Fair;
use crate::ids::{NodeId, Place, RunKey, TenantId};

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

/// Later than any deadline.
pub const NEVER: u64 = u64::MAX;

/// Where an entry belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// 1 to 5.
    pub priority: u8,
    /// Whom it is for.
    pub tenant: TenantId,
    /// When it must have begun; [`NEVER`] if its run has no deadline.
    pub due_ns: u64,
}

impl Claim {
    /// A claim of nobody in particular.
    pub const fn of(priority: u8) -> Self {
        Self { priority, tenant: TenantId::NONE, due_ns: NEVER }
    }
}

/// In which order a line is served.
#[derive(Clone, Debug, PartialEq)]
pub struct Order {
    /// After so long a band gets a share of the dispatches; also what an entry without a deadline can wait, beside
    /// one that has one.
    pub aging_ns: u64,
    /// Millionths of the dispatches; 0 for strict bands.
    pub aging_share_ppm: u32,
    /// By tenant, if tenants take turns.
    pub weights: Option<BTreeMap<TenantId, f64>>,
}

impl Default for Order {
    fn default() -> Self {
        Self { aging_ns: 30_000_000_000, aging_share_ppm: 100_000, weights: None }
    }
}

/// Waiting entries by priority. Push and pop are O(1), or O(log) of the entries with a deadline and of the tenants
/// that wait; a withdrawn entry stays until it is met or [`ReadyQueue::compact`] drops it.
#[derive(Debug)]
pub struct ReadyQueue {
    /// Unless tenants take turns.
    bands: [Flow; BANDS as usize],
    /// If they do.
    fair: Option<Box<[Fair; BANDS as usize]>>,
    /// Bit b is set when band b holds an entry.
    occupied: u8,
    /// Whether a plain take of the first band's first entry would be wrong: tenants take turns, or some entries
    /// have a deadline.
    intricate: bool,
    len: usize,
    order: Order,
    /// What the dispatches have earned for bands that stood too long, in millionths of one.
    credit_ppm: u32,
}

const PPM: u32 = 1_000_000;

impl Default for ReadyQueue {
    fn default() -> Self {
        Self::new(Order::default())
    }
}

impl ReadyQueue {
    /// An empty line that is served in this order.
    pub fn new(order: Order) -> Self {
        let (fair, bands) = (fair(&order), Default::default());
        let intricate = fair.is_some();
        Self { bands, fair, occupied: 0, intricate, len: 0, order, credit_ppm: 0 }
    }

    /// Serves what waits in another order from now on. O(entries) if tenants begin or cease to take turns; of
    /// entries that wait already nobody knows whose they are.
    pub fn reorder(&mut self, order: Order) {
        if let (Some(fair), Some(weights)) = (&mut self.fair, &order.weights) {
            fair.iter_mut().for_each(|band| band.weigh(weights));
            self.order = order;
            return;
        }
        if self.order.weights.is_none() && order.weights.is_none() {
            self.order = order;
            return;
        }
        let mut new = Self::new(order);
        let patience_ns = self.order.aging_ns;
        for (band, priority) in (0..BANDS as usize).zip(1..) {
            let flows = match &mut self.fair {
                None => vec![std::mem::take(&mut self.bands[band])],
                Some(fair) => fair[band].take(),
            };
            let mut entries: Vec<(u64, Entry)> = Vec::new();
            for mut flow in flows {
                while let Some(entry) = flow.pop_dated(patience_ns) {
                    entries.push(entry);
                }
            }
            entries.sort_unstable_by_key(|(_, entry)| entry.seq);
            for (due_ns, entry) in entries {
                new.push(Claim { due_ns, ..Claim::of(priority) }, entry);
            }
        }
        *self = new;
    }

    /// What tenants were charged so far counts no more. O(tenants).
    pub(super) fn start_over(&mut self) {
        self.fair.iter_mut().flat_map(|fair| fair.iter_mut()).for_each(Fair::start_over);
    }

    /// Entries held, withdrawn ones included.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing is held.
    pub const fn is_empty(&self) -> bool {
        self.occupied == 0
    }

    /// Every entry, withdrawn ones included, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        let fair = self.fair.iter().flat_map(|fair| fair.iter()).flat_map(Fair::iter);
        self.bands.iter().flat_map(Flow::iter).chain(fair)
    }

    /// Adds an entry to the band of its priority.
    #[expect(clippy::inline_always, reason = "on the dispatch path")]
    #[inline(always)]
    pub fn push(&mut self, claim: Claim, entry: Entry) {
        let band = usize::from(claim.priority - 1);
        self.occupied |= 1 << band;
        self.len += 1;
        match &mut self.fair {
            None if claim.due_ns == NEVER => self.bands[band].undated.push_back(entry),
            None => {
                self.intricate = true;
                self.bands[band].push(claim.due_ns, entry);
            }
            Some(fair) => fair[band].push(claim.tenant, claim.due_ns, entry),
        }
    }

    /// What orders this line among others: (band, arrival) of the first entry of its most urgent band.
    pub fn head(&self) -> Option<(u8, u64)> {
        let band = self.first_band()?;
        self.front(band).map(|entry| (band as u8, entry.seq))
    }

    /// The priority to serve at `now_ns`, and its first entry, left in place.
    #[inline]
    pub fn peek(&self, now_ns: u64) -> Option<(u8, &Entry)> {
        let first = self.first_band()?;
        if self.is_plain() {
            return self.bands[first].undated.front().map(|entry| (first as u8 + 1, entry));
        }
        let band = self.next_band(first, now_ns);
        self.front(band).map(|entry| (band as u8 + 1, entry))
    }

    /// Takes the first entry of the priority that [`ReadyQueue::peek`] gave. Its tenant is charged for it, unless
    /// `cost` is `None`: then it is not served but has been withdrawn.
    #[inline]
    pub fn pop(&mut self, priority: u8, cost: Option<u64>) -> Option<Entry> {
        let band = usize::from(priority - 1);
        if !self.is_plain() {
            return self.pop_intricate(band, cost);
        }
        let entries = &mut self.bands[band].undated;
        let entry = entries.pop_front();
        if entries.is_empty() {
            self.occupied &= !(1 << band);
        }
        self.len -= 1;
        entry
    }

    /// Whether the first band's first entry is the one to serve, and no other band waits for its share.
    #[inline]
    const fn is_plain(&self) -> bool {
        !self.intricate && self.occupied & self.occupied.wrapping_sub(1) == 0
    }

    fn pop_intricate(&mut self, band: usize, cost: Option<u64>) -> Option<Entry> {
        if cost.is_some() && !self.occupied.is_power_of_two() {
            self.earn(band);
        }
        let patience_ns = self.order.aging_ns;
        let (entry, empty) = match &mut self.fair {
            None => (self.bands[band].pop(patience_ns), self.bands[band].is_empty()),
            Some(fair) => (fair[band].pop(patience_ns, cost), fair[band].is_empty()),
        };
        if empty {
            self.occupied &= !(1 << band);
        }
        self.len -= 1;
        if self.occupied == 0 {
            self.intricate = self.fair.is_some();
        }
        entry
    }

    /// What an entry was charged with turned out to be wrong.
    pub(super) fn settle(&mut self, charge: &Charge, cost: u64) {
        if let Some(fair) = &mut self.fair {
            fair[usize::from(charge.priority - 1)].settle(charge.tenant, charge.cost, cost);
        }
    }

    /// Drops the entries that `keep` refuses. O(entries).
    pub fn compact(&mut self, mut keep: impl FnMut(&Entry) -> bool) {
        self.len = 0;
        for band in 0..BANDS as usize {
            let mut left = 0;
            let counted = |entry: &Entry| {
                let kept = keep(entry);
                left += usize::from(kept);
                kept
            };
            match &mut self.fair {
                None => self.bands[band].compact(counted),
                Some(fair) => fair[band].compact(counted),
            }
            self.len += left;
            if left == 0 {
                self.occupied &= !(1 << band);
            }
        }
    }

    const fn first_band(&self) -> Option<usize> {
        if self.occupied == 0 { None } else { Some(self.occupied.trailing_zeros() as usize) }
    }

    /// The band to serve: the most urgent one, or one that stood too long and whose share has been earned.
    fn next_band(&self, first: usize, now_ns: u64) -> usize {
        if self.credit_ppm < PPM || self.occupied.is_power_of_two() {
            return first;
        }
        self.aged_band(first, now_ns).unwrap_or(first)
    }

    /// Of the bands behind the first, the one that has stood longest, if that is too long.
    fn aged_band(&self, first: usize, now_ns: u64) -> Option<usize> {
        let eligible_ns =
            |band: usize| self.front(band).map_or(u64::MAX, |entry| entry.eligible_ns);
        let oldest = (first + 1..BANDS as usize).min_by_key(|&band| eligible_ns(band))?;
        let since_ns = now_ns.checked_sub(eligible_ns(oldest))?;
        (since_ns >= self.order.aging_ns).then_some(oldest)
    }

    /// A dispatch earns its share; one of a band that stood too long has used it up.
    fn earn(&mut self, band: usize) {
        if Some(band) != self.first_band() {
            self.credit_ppm -= PPM;
        }
        self.credit_ppm = (self.credit_ppm + self.order.aging_share_ppm).min(PPM);
    }

    fn front(&self, band: usize) -> Option<&Entry> {
        match &self.fair {
            None => self.bands[band].peek(self.order.aging_ns),
            Some(fair) => fair[band].peek(self.order.aging_ns),
        }
    }
}

fn fair(order: &Order) -> Option<Box<[Fair; BANDS as usize]>> {
    let weights = order.weights.as_ref()?;
    Some(Box::new(std::array::from_fn(|_| Fair::new(weights.clone()))))
}

/// Entries of one band or tenant: first come first served, but for those that must begin in time.
#[derive(Debug, Default)]
pub(crate) struct Flow {
    undated: VecDeque<Entry>,
    /// Boxed, since few queues have one and each band is a word smaller.
    #[expect(clippy::box_collection, reason = "a band without it is smaller")]
    dated: Option<Box<BinaryHeap<Dated>>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Dated {
    due_ns: u64,
    entry: Entry,
}

impl Ord for Dated {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.due_ns, other.entry.seq).cmp(&(self.due_ns, self.entry.seq))
    }
}

impl PartialOrd for Dated {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Flow {
    #[inline]
    pub(crate) fn push(&mut self, due_ns: u64, entry: Entry) {
        if due_ns == NEVER {
            self.undated.push_back(entry);
        } else {
            self.dated.get_or_insert_default().push(Dated { due_ns, entry });
        }
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.undated.is_empty() && self.dated.is_none()
    }

    /// The first entry. One without a deadline counts as one that must begin `patience_ns` after it came.
    #[inline]
    pub(crate) fn peek(&self, patience_ns: u64) -> Option<&Entry> {
        if self.dated.is_none() {
            return self.undated.front();
        }
        let dated = self.dated.as_ref()?.peek()?;
        let first = self.undated.front();
        if self.is_dated_first(patience_ns) { Some(&dated.entry) } else { first }
    }

    #[inline]
    pub(crate) fn pop(&mut self, patience_ns: u64) -> Option<Entry> {
        if self.dated.is_none() {
            return self.undated.pop_front();
        }
        self.pop_dated(patience_ns).map(|(_, entry)| entry)
    }

    /// Takes the first entry, with the time when it must begin.
    fn pop_dated(&mut self, patience_ns: u64) -> Option<(u64, Entry)> {
        if !self.is_dated_first(patience_ns) {
            return self.undated.pop_front().map(|entry| (NEVER, entry));
        }
        let dated = self.dated.as_mut()?;
        let first = dated.pop();
        if dated.is_empty() {
            self.dated = None;
        }
        first.map(|it| (it.due_ns, it.entry))
    }

    fn is_dated_first(&self, patience_ns: u64) -> bool {
        let Some(dated) = self.dated.as_ref().and_then(|dated| dated.peek()) else { return false };
        self.undated
            .front()
            .is_none_or(|entry| dated.due_ns <= entry.eligible_ns.saturating_add(patience_ns))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Entry> {
        let dated = self.dated.iter().flat_map(|dated| dated.iter()).map(|it| &it.entry);
        self.undated.iter().chain(dated)
    }

    pub(crate) fn compact(&mut self, mut keep: impl FnMut(&Entry) -> bool) {
        self.undated.retain(&mut keep);
        if let Some(dated) = &mut self.dated {
            dated.retain(|it| keep(&it.entry));
            if dated.is_empty() {
                self.dated = None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn entry(seq: u64) -> Entry {
        Entry { seq, eligible_ns: 0, run: RunKey(seq), node: Place(0), template: NodeId(0) }
    }

    fn next(queue: &mut ReadyQueue, now_ns: u64) -> Option<Entry> {
        let (priority, _) = queue.peek(now_ns)?;
        queue.pop(priority, Some(1_000))
    }

    fn served(queue: &mut ReadyQueue) -> Vec<u64> {
        std::iter::from_fn(|| next(queue, 0)).map(|entry| entry.seq).collect()
    }

    #[test]
    fn lower_priority_numbers_go_first_and_ties_keep_their_order() {
        let mut queue = ReadyQueue::default();
        for (seq, priority) in [(1, 3), (2, 5), (3, 1), (4, 3), (5, 1)] {
            queue.push(Claim::of(priority), entry(seq));
        }
        assert_eq!(served(&mut queue), [3, 5, 1, 4, 2]);
        assert!(queue.is_empty() && queue.head().is_none());
    }

    #[test]
    fn compacting_drops_only_what_is_refused() {
        for weights in [None, Some(BTreeMap::new())] {
            let mut queue = ReadyQueue::new(Order { weights, ..Order::default() });
            for seq in 0..10 {
                let due_ns = if seq % 3 == 0 { seq } else { NEVER };
                let claim = Claim { due_ns, ..Claim::of(1 + (seq % 2) as u8) };
                queue.push(claim, entry(seq));
            }
            queue.compact(|entry| entry.seq % 2 == 1);
            assert_eq!((queue.len(), queue.head()), (5, Some((1, 3))));
            assert_eq!(served(&mut queue), [3, 9, 1, 5, 7]);
        }
    }

    #[test]
    fn a_deadline_goes_before_what_can_wait_longer() {
        let mut queue = ReadyQueue::default();
        queue.push(Claim::of(3), entry(1));
        for (seq, due_ns) in [(2, 50 * SECOND), (3, 20 * SECOND), (4, 29 * SECOND)] {
            queue.push(Claim { due_ns, ..Claim::of(3) }, entry(seq));
        }
        // Without one it can wait for 30 s.
        assert_eq!(served(&mut queue), [3, 4, 1, 2]);
    }

    #[test]
    fn a_band_that_stood_too_long_gets_its_share_and_no_more() {
        let mut queue = ReadyQueue::default();
        (0..1_000).for_each(|seq| queue.push(Claim::of(1), entry(seq)));
        (1_000..2_000).for_each(|seq| queue.push(Claim::of(5), entry(seq)));
        let low = |queue: &mut ReadyQueue, now_ns| {
            let served = (0..400).filter_map(|_| next(queue, now_ns));
            served.filter(|entry| entry.seq >= 1_000).count()
        };
        assert_eq!(low(&mut queue, 29 * SECOND), 0);
        assert_eq!(low(&mut queue, 30 * SECOND), 40);
    }

    #[test]
    fn tenants_take_turns_by_what_they_cost_and_one_that_returns_has_saved_nothing() {
        let weights = Some(BTreeMap::from([(TenantId(2), 2.0)]));
        let mut queue = ReadyQueue::new(Order { weights, ..Order::default() });
        let claim = |tenant: u64| Claim { tenant: TenantId(tenant as u32), ..Claim::of(3) };
        for seq in 0..300 {
            queue.push(claim(1 + seq / 100), entry(seq));
        }
        let mut served = [0; 4];
        for _ in 0..120 {
            let popped = next(&mut queue, 0).expect("an entry");
            served[1 + popped.seq as usize / 100] += 1;
        }
        assert_eq!(served[1..], [30, 60, 30]);
        (300..310).for_each(|seq| queue.push(claim(4), entry(seq)));
        let soon: Vec<u64> =
            (0..10).filter_map(|_| next(&mut queue, 0)).map(|entry| entry.seq).collect();
        assert_eq!(soon.iter().filter(|&&seq| seq >= 300).count(), 2, "{soon:?}");
    }

    #[test]
    fn who_was_charged_too_little_pays_later() {
        let mut queue =
            ReadyQueue::new(Order { weights: Some(BTreeMap::new()), ..Order::default() });
        let claim = |tenant: u64| Claim { tenant: TenantId(tenant as u32), ..Claim::of(3) };
        for seq in 0..2_000 {
            queue.push(claim(1 + seq % 2), entry(seq));
        }
        let mut cost = [0, 0];
        for _ in 0..1_000 {
            let tenant = next(&mut queue, 0).expect("an entry").seq % 2;
            let spent = if tenant == 0 { 4_000 } else { 1_000 };
            let fair = queue.fair.as_mut().expect("it is");
            fair[2].settle(TenantId(1 + tenant as u32), 1_000, spent);
            cost[tenant as usize] += spent;
        }
        let ratio = cost[0] as f64 / cost[1] as f64;
        assert!((0.99..1.01).contains(&ratio), "{cost:?}");
    }

    /// A tenant of the naive model: its entries, and when its next work starts and its last one ends.
    #[derive(Default)]
    struct Shop {
        entries: Vec<(u64, Entry)>,
        start: u64,
        finish: u64,
        seq: u64,
    }

    /// All of it, searched through each time.
    struct Naive {
        bands: [BTreeMap<u32, Shop>; BANDS as usize],
        now: [u64; BANDS as usize],
        fair: bool,
        credit_ppm: u32,
    }

    const AGING: u64 = 500;
    const SHARE: u32 = 300_000;

    impl Naive {
        fn first(&self, band: usize) -> Option<(u32, usize)> {
            let shops = self.bands[band].iter().filter(|(_, shop)| !shop.entries.is_empty());
            let (&tenant, shop) = shops.min_by_key(|(_, shop)| (shop.start, shop.seq))?;
            Some((tenant, Self::first_of(shop)))
        }

        /// Undated entries in order, but for dated ones that are due before the first of them has run out of
        /// patience.
        fn first_of(shop: &Shop) -> usize {
            let all = || shop.entries.iter().enumerate();
            let dated =
                all().filter(|(_, it)| it.0 != NEVER).min_by_key(|(_, it)| (it.0, it.1.seq));
            let undated = all().find(|(_, it)| it.0 == NEVER);
            match (dated, undated) {
                (Some((at, dated)), Some((_, undated)))
                    if dated.0 <= undated.1.eligible_ns + AGING =>
                {
                    at
                }
                (Some((at, _)), None) | (_, Some((at, _))) => at,
                (None, None) => unreachable!("a shop without entries is not asked"),
            }
        }

        fn band(&self, now_ns: u64) -> Option<usize> {
            let eligible = |band: usize| {
                let (tenant, at) = self.first(band)?;
                Some(self.bands[band][&tenant].entries[at].1.eligible_ns)
            };
            let first = (0..5).find(|&band| eligible(band).is_some())?;
            let others: Vec<_> =
                (first + 1..5).filter_map(|band| Some((eligible(band)?, band))).collect();
            let oldest = others.iter().min_by_key(|(since, _)| *since);
            match oldest {
                Some(&(since, band)) if self.credit_ppm >= PPM && now_ns >= since + AGING => {
                    Some(band)
                }
                _ => Some(first),
            }
        }

        fn pop(&mut self, now_ns: u64, cost: u64) -> Option<Entry> {
            let band = self.band(now_ns)?;
            let occupied: Vec<usize> = (0..5).filter(|&band| self.first(band).is_some()).collect();
            if occupied.len() > 1 {
                if band != occupied[0] {
                    self.credit_ppm -= PPM;
                }
                self.credit_ppm = (self.credit_ppm + SHARE).min(PPM);
            }
            let (tenant, at) = self.first(band)?;
            let shop = self.bands[band].get_mut(&tenant)?;
            let (_, entry) = shop.entries.remove(at);
            self.now[band] = self.now[band].max(shop.start);
            shop.finish = shop.start + cost;
            shop.start = shop.finish;
            if !shop.entries.is_empty() {
                shop.seq = shop.entries[Self::first_of(shop)].1.seq;
            }
            Some(entry)
        }

        fn push(&mut self, claim: Claim, entry: Entry) {
            let band = usize::from(claim.priority - 1);
            let tenant = if self.fair { claim.tenant.0 } else { 0 };
            let now = self.now[band];
            let shop = self.bands[band].entry(tenant).or_default();
            if shop.entries.is_empty() {
                shop.start = shop.finish.max(now);
                shop.seq = entry.seq;
            }
            shop.entries.push((claim.due_ns, entry));
        }
    }

    proptest::proptest! {
        #[test]
        fn it_serves_as_a_search_through_everything_does(
            fair in proptest::bool::ANY,
            steps in proptest::collection::vec(
                (0_u64..200, 1_u8..=5, 0_u32..5, 0_u64..2_000, proptest::bool::weighted(0.55)),
                1..300,
            ),
        ) {
            let order = Order {
                aging_ns: AGING,
                aging_share_ppm: SHARE,
                weights: fair.then(BTreeMap::new),
            };
            let mut queue = ReadyQueue::new(order);
            let mut naive =
                Naive { bands: Default::default(), now: [0; 5], fair, credit_ppm: 0 };
            let mut now_ns = 0;
            for (seq, (passed_ns, priority, tenant, due_ns, arrives)) in (0..).zip(steps) {
                now_ns += passed_ns;
                if arrives {
                    let due_ns = if due_ns < 1_000 { now_ns + due_ns } else { NEVER };
                    let claim = Claim { priority, tenant: TenantId(tenant), due_ns };
                    let entry = Entry { eligible_ns: now_ns, ..entry(seq) };
                    queue.push(claim, entry);
                    naive.push(claim, entry);
                } else {
                    let cost = 10 + u64::from(tenant);
                    let next = queue.peek(now_ns).map(|(priority, entry)| (priority, *entry));
                    let popped = next.and_then(|(priority, _)| queue.pop(priority, Some(cost)));
                    proptest::prop_assert_eq!(next.map(|(_, entry)| entry), popped);
                    proptest::prop_assert_eq!(popped, naive.pop(now_ns, cost));
                }
            }
        }
    }
}
