//! A queue's retry budget, of which some runs may have a part of their own: what they spend, others can't miss.

use super::budget::{Budget, BudgetModel, TOKEN};

/// Who pays: [`PartId::REST`], or some runs alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PartId(pub u32);

impl PartId {
    /// All that have no part of their own.
    pub const REST: Self = Self(0);
}

/// A part, and its millionths of what the budget earns by time and may keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartModel {
    /// Whose.
    pub part: PartId,
    /// Millionths of the whole.
    pub share_ppm: u32,
}

/// A budget in parts; as long as there are none, it is that budget. What a first attempt earns is for its own part.
#[derive(Debug)]
pub(crate) struct Purse {
    /// Of the whole.
    model: BudgetModel,
    rest: Budget,
    parts: Vec<(PartModel, Budget)>,
}

impl Purse {
    pub(crate) fn new(model: BudgetModel, now_ns: u64, tokens: u64) -> Self {
        Self { model, rest: Budget::new(model, now_ns, tokens), parts: Vec::new() }
    }

    pub(crate) const fn model(&self) -> &BudgetModel {
        &self.model
    }

    /// What was there when it was last looked at.
    pub(crate) fn total(&self) -> u64 {
        self.rest.total() + self.parts.iter().map(|(_, budget)| budget.total()).sum::<u64>()
    }

    /// Goes on by another model, with what is left.
    pub(crate) fn change(&mut self, model: BudgetModel, now_ns: u64) {
        self.model = model;
        self.scale(now_ns);
    }

    pub(crate) fn change_floor(&mut self, floor_ppm: u32) {
        self.model.floor_ppm = floor_ppm;
        self.rest.change_floor(scaled(floor_ppm, self.rest_ppm()));
        for (part, budget) in &mut self.parts {
            budget.change_floor(scaled(floor_ppm, part.share_ppm));
        }
    }

    /// Starts over with so many tokens, in proportion.
    pub(crate) fn refill(&mut self, now_ns: u64, tokens: u64) {
        let parts: Vec<PartModel> = self.parts.iter().map(|(part, _)| *part).collect();
        *self = Self::new(self.model, now_ns, tokens);
        self.split(now_ns, &parts);
    }

    /// Has these parts from now on, and no others. A new one takes its share of what is there; what one that is no more
    /// had left goes to the rest.
    pub(crate) fn split(&mut self, now_ns: u64, parts: &[PartModel]) {
        if parts.iter().eq(self.parts.iter().map(|(part, _)| part)) {
            return;
        }
        let mut old = std::mem::take(&mut self.parts);
        let mut rest = self.rest.total();
        let total = rest;
        for &part in parts {
            let known = old.iter().position(|(it, _)| it.part == part.part);
            let budget = if let Some(place) = known {
                old.swap_remove(place).1
            } else {
                let tokens = total * u64::from(part.share_ppm) / WHOLE;
                rest = rest.saturating_sub(tokens);
                Budget::new(self.model, now_ns, tokens)
            };
            self.parts.push((part, budget));
        }
        rest += old.iter().map(|(_, budget)| budget.total()).sum::<u64>();
        self.rest = Budget::new(self.model, now_ns, rest);
        self.scale(now_ns);
    }

    fn rest_ppm(&self) -> u32 {
        let parts: u64 = self.parts.iter().map(|(part, _)| u64::from(part.share_ppm)).sum();
        WHOLE.saturating_sub(parts) as u32
    }

    /// Each part is what the whole is, by its share; but it can keep one token.
    fn scale(&mut self, now_ns: u64) {
        let model = self.model;
        let of = |share_ppm| BudgetModel {
            floor_ppm: scaled(model.floor_ppm, share_ppm),
            stored_ppm: scaled(model.stored_ppm, share_ppm).max(model.stored_ppm.min(TOKEN as u32)),
            ..model
        };
        self.rest.change(of(self.rest_ppm()), now_ns);
        for (part, budget) in &mut self.parts {
            budget.change(of(part.share_ppm), now_ns);
        }
    }

    #[inline]
    fn of(&mut self, part: PartId) -> &mut Budget {
        if part == PartId::REST { &mut self.rest } else { self.part(part) }
    }

    #[cold]
    fn part(&mut self, part: PartId) -> &mut Budget {
        let found = self.parts.iter_mut().find(|(it, _)| it.part == part);
        found.map_or(&mut self.rest, |(_, budget)| budget)
    }

    /// A first attempt has started.
    #[inline]
    pub(crate) fn deposit(&mut self, now_ns: u64, part: PartId) {
        self.of(part).deposit(now_ns);
    }

    /// Pays for a retry; whether there was enough. One that keeps less than it costs pays all that it can keep.
    #[inline]
    pub(crate) fn withdraw(&mut self, now_ns: u64, cost: u64, part: PartId) -> bool {
        let budget = self.of(part);
        budget.withdraw(now_ns, cost.min(budget.model().stored_ppm.into()))
    }

    /// Whether one of its parts has a token.
    pub(crate) fn has_token(&mut self, now_ns: u64) -> bool {
        let budgets = self.parts.iter_mut().map(|(_, budget)| budget);
        std::iter::once(&mut self.rest).chain(budgets).any(|budget| budget.has(now_ns, TOKEN))
    }

    /// Brings all of it up to the present.
    pub(crate) fn look(&mut self, now_ns: u64) {
        self.rest.has(now_ns, 0);
        for (_, budget) in &mut self.parts {
            budget.has(now_ns, 0);
        }
    }
}

/// Millionths of a whole.
const WHOLE: u64 = 1_000_000;

const fn scaled(ppm: u32, share_ppm: u32) -> u32 {
    (ppm as u64 * share_ppm as u64 / WHOLE) as u32
}

#[cfg(test)]
mod tests {
    use super::super::budget::OnDenial;
    use super::*;

    const ARM: PartId = PartId(1);

    fn purse(share_ppm: u32) -> Purse {
        let (window_ns, on_denial) = (10_000_000_000, OnDenial::Park);
        let (ratio_ppm, floor_ppm, stored_ppm) = (100_000, 0, 20_000_000);
        let model = BudgetModel { ratio_ppm, floor_ppm, stored_ppm, window_ns, on_denial };
        let mut purse = Purse::new(model, 0, 20 * TOKEN);
        purse.split(0, &[PartModel { part: ARM, share_ppm }]);
        purse
    }

    fn spend(purse: &mut Purse, part: PartId) -> usize {
        (0..100).take_while(|_| purse.withdraw(0, TOKEN, part)).count()
    }

    #[test]
    fn a_part_can_spend_its_share_and_no_more() {
        let mut purse = purse(100_000);
        assert_eq!(purse.total(), 20 * TOKEN);
        assert_eq!(spend(&mut purse, ARM), 2);
        assert_eq!(spend(&mut purse, PartId::REST), 18);
        assert!(!purse.has_token(0));
    }

    #[test]
    fn first_attempts_earn_for_their_own_part() {
        let mut purse = purse(500_000);
        assert_eq!((spend(&mut purse, ARM), spend(&mut purse, PartId::REST)), (10, 10));
        (0..20).for_each(|_| purse.deposit(0, ARM));
        assert!(purse.has_token(0));
        assert_eq!((spend(&mut purse, PartId::REST), spend(&mut purse, ARM)), (0, 2));
    }

    #[test]
    fn what_a_part_has_left_goes_back_to_the_rest() {
        let mut purse = purse(500_000);
        assert_eq!(spend(&mut purse, PartId::REST), 10);
        purse.split(0, &[PartModel { part: ARM, share_ppm: 900_000 }]);
        assert_eq!(purse.total(), 10 * TOKEN);
        purse.split(0, &[]);
        assert_eq!(spend(&mut purse, PartId::REST), 10);
        assert_eq!(spend(&mut purse, ARM), 0, "it pays as the rest does");
    }

    #[test]
    fn the_smallest_part_keeps_one_token() {
        let mut purse = purse(1);
        purse.refill(0, 20 * TOKEN);
        (0..50).for_each(|_| purse.deposit(0, ARM));
        assert_eq!(spend(&mut purse, ARM), 1);
    }

    #[test]
    fn the_floor_is_shared() {
        let mut purse = purse(250_000);
        purse.refill(0, 0);
        purse.change_floor(1_000_000);
        purse.look(8_000_000_000);
        assert_eq!(purse.total(), 8 * TOKEN);
        assert!((0..2).all(|_| purse.withdraw(8_000_000_000, TOKEN, ARM)));
        assert!(!purse.withdraw(8_000_000_000, TOKEN, ARM));
    }
}
