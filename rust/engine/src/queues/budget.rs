//! The retry budget: retries are paid with what first attempts earn, so that they stay a share of the load.
//!
//! Each first attempt earns a part of a token, a few more come with time, and a retry costs one. Tokens that
//! nobody needed are lost after a while. Sources: Finagle's `RetryBudget`; the slots are those of tower's
//! `TpsBudget`.

/// How retries are paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BudgetModel {
    /// Millionths of a retry that a first attempt earns.
    pub ratio_ppm: u32,
    /// Millionths of a retry that are earned per second whatever the load.
    pub floor_ppm: u32,
    /// Millionths of a retry that are kept at most.
    pub stored_ppm: u32,
    /// How long what is earned is kept, in nanoseconds.
    pub window_ns: u64,
    /// What becomes of a retry that is not paid.
    pub on_denial: OnDenial,
}

/// What becomes of a node whose retry is denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnDenial {
    /// It waits, without a slot, until the queue is well again.
    Park,
    /// It has failed.
    Fail,
    /// Its run is kept aside until somebody sees to it.
    DeadLetter,
}

/// Millionths of a token.
type Ppm = u64;
/// A token: what a retry costs.
pub const TOKEN: Ppm = 1_000_000;
const SLOTS: usize = 10;

/// What is left to pay retries with. Every operation is O(1).
#[derive(Clone, Debug)]
pub struct Budget {
    model: BudgetModel,
    /// What was earned in each tenth of the window and is left of it.
    slots: [Ppm; SLOTS],
    total: Ppm,
    /// Number of the present tenth, counted from time 0, and its end.
    tenth: u64,
    tenth_ends_ns: u64,
    /// Up to when the floor has been paid out.
    paid_ns: u64,
}

impl Budget {
    /// A budget with so many tokens, at most what it may keep.
    pub fn new(model: BudgetModel, now_ns: u64, tokens: Ppm) -> Self {
        let tenth_ns = (model.window_ns / SLOTS as u64).max(1);
        let tenth = now_ns / tenth_ns;
        let tenth_ends_ns = (tenth + 1).saturating_mul(tenth_ns);
        let slots = [0; SLOTS];
        let mut budget = Self { model, slots, total: 0, tenth, tenth_ends_ns, paid_ns: now_ns };
        budget.earn(tokens);
        budget
    }

    pub(crate) const fn model(&self) -> &BudgetModel {
        &self.model
    }

    /// Goes on by another model, with what is left.
    pub(crate) fn change(&mut self, model: BudgetModel, now_ns: u64) {
        self.roll(now_ns);
        *self = Self::new(model, now_ns, self.total);
    }

    pub(crate) const fn change_floor(&mut self, floor_ppm: u32) {
        self.model.floor_ppm = floor_ppm;
    }

    /// What was there when it was last looked at.
    pub const fn total(&self) -> Ppm {
        self.total
    }

    /// Whether so much is there.
    pub fn has(&mut self, now_ns: u64, cost: Ppm) -> bool {
        self.roll(now_ns);
        self.total >= cost
    }

    /// A first attempt has started.
    #[inline]
    pub fn deposit(&mut self, now_ns: u64) {
        // What the floor brings may wait a little.
        if now_ns >= self.tenth_ends_ns || now_ns >= self.paid_ns + SELDOM_NS {
            self.roll(now_ns);
        }
        self.earn(self.model.ratio_ppm.into());
    }

    /// Pays for a retry; whether there was enough.
    #[inline]
    pub fn withdraw(&mut self, now_ns: u64, cost: Ppm) -> bool {
        self.roll(now_ns);
        #[cfg(feature = "planted")]
        let empty_pays = crate::planted::has(crate::planted::Bug::EmptyBudgetPays);
        #[cfg(feature = "planted")]
        let cost = if empty_pays { cost.min(self.total) } else { cost };
        if self.total < cost {
            return false;
        }
        self.total -= cost;
        // The oldest first: it would be lost first.
        let mut left = cost;
        for age in (0..SLOTS as u64).rev() {
            let slot = &mut self.slots[((self.tenth + SLOTS as u64 - age) % SLOTS as u64) as usize];
            let paid = left.min(*slot);
            *slot -= paid;
            left -= paid;
            if left == 0 {
                break;
            }
        }
        true
    }

    fn earn(&mut self, tokens: Ppm) {
        let room = Ppm::from(self.model.stored_ppm).saturating_sub(self.total);
        let earned = tokens.min(room);
        self.slots[(self.tenth % SLOTS as u64) as usize] += earned;
        self.total += earned;
    }

    /// Loses what is too old, and pays out the floor.
    #[inline]
    fn roll(&mut self, now_ns: u64) {
        if now_ns >= self.tenth_ends_ns {
            let tenth_ns = (self.model.window_ns / SLOTS as u64).max(1);
            self.expire(now_ns / tenth_ns);
            self.tenth_ends_ns = (self.tenth + 1).saturating_mul(tenth_ns);
        }
        let earned = u128::from(now_ns.saturating_sub(self.paid_ns))
            * u128::from(self.model.floor_ppm)
            / u128::from(NS_PER_S);
        if earned > 0 {
            let earned = Ppm::try_from(earned).unwrap_or(Ppm::MAX);
            // What is less than a millionth stays to be paid.
            let spent_ns =
                u128::from(earned) * u128::from(NS_PER_S) / u128::from(self.model.floor_ppm);
            self.paid_ns += spent_ns as u64;
            self.earn(earned);
        }
    }

    fn expire(&mut self, tenth: u64) {
        for passed in self.tenth + 1..=tenth.min(self.tenth + SLOTS as u64) {
            let slot = std::mem::take(&mut self.slots[(passed % SLOTS as u64) as usize]);
            self.total -= slot;
        }
        self.tenth = tenth;
    }
}

const NS_PER_S: u64 = 1_000_000_000;
const SELDOM_NS: u64 = 1_000_000;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn model(ratio_ppm: u32, floor_ppm: u32, stored_ppm: u32) -> BudgetModel {
        let (window_ns, on_denial) = (10_000_000_000, OnDenial::Park);
        BudgetModel { ratio_ppm, floor_ppm, stored_ppm, window_ns, on_denial }
    }

    /// Every token with the tenth of the window in which it was earned.
    struct Purse {
        earned: Vec<(u64, Ppm)>,
        most: Ppm,
    }

    impl Purse {
        fn total(&self) -> Ppm {
            self.earned.iter().map(|(_, tokens)| tokens).sum()
        }

        fn earn(&mut self, tenth: u64, tokens: Ppm) {
            let room = self.most.saturating_sub(self.total());
            self.earned.push((tenth, tokens.min(room)));
        }
    }

    proptest! {
        #[test]
        fn it_is_a_purse_whose_coins_expire(
            ratio_ppm in 0_u32..1_000_000,
            stored in 1_u32..20,
            asks in prop::collection::vec((0_u64..3_000, prop::bool::ANY, 1_u64..3), 1..300),
        ) {
            let stored_ppm = stored * 1_000_000;
            let mut budget = Budget::new(model(ratio_ppm, 0, stored_ppm), 0, 3 * TOKEN);
            let mut purse = Purse { earned: vec![], most: stored_ppm.into() };
            purse.earn(0, 3 * TOKEN);
            let mut now_ns = 0;
            for (passed_ms, first, tokens) in asks {
                now_ns += passed_ms * 1_000_000;
                let tenth = now_ns / 1_000_000_000;
                purse.earned.retain(|(earned, _)| earned + 10 > tenth);
                if first {
                    budget.deposit(now_ns);
                    purse.earn(tenth, ratio_ppm.into());
                } else {
                    let paid = budget.withdraw(now_ns, tokens * TOKEN);
                    prop_assert_eq!(paid, purse.total() >= tokens * TOKEN);
                    let mut left = if paid { tokens * TOKEN } else { 0 };
                    for (_, coin) in &mut purse.earned {
                        let taken = left.min(*coin);
                        *coin -= taken;
                        left -= taken;
                    }
                }
                prop_assert_eq!(budget.total(), purse.total());
            }
        }
    }

    #[test]
    fn the_floor_comes_with_time_however_often_one_looks() {
        let mut budget = Budget::new(model(0, 1_000_000, 10_000_000), 0, 0);
        let mut paid = 0;
        for now_ms in 0..10_000_u64 {
            paid += u32::from(budget.withdraw(now_ms * 1_000_000, TOKEN));
        }
        assert_eq!(paid, 9);
    }
}
