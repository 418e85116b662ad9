//! The books: what runs have spent and how they fared, by window of time, workflow and tenant.
//!
//! Two bases that are never mixed. The *cohort* of a window is the runs accepted in it, counted when they end. Its
//! *cash* is what was booked in it. Pages only ever grow, so that a driver may take them away at any time
//! ([`Books::take`]), keep them and add up.

mod close;
mod ledger;
mod page;

use crate::ids::{PlanId, ResourceId, TenantId};

pub use ledger::{Amount, Entry, Ledger};
pub use page::{HandoffCounts, Kind, NodePage, Page, PageKey, RunEnd, Spending, Waste};

/// Nanoseconds of a window.
pub const WINDOW_NS: u64 = 60_000_000_000;

/// Pages that are kept where nobody takes them; beyond, the oldest window goes.
const PAGES_MAX: usize = 65_536;

/// What was counted and booked since it was taken away last.
#[derive(Debug, Default)]
pub struct Books {
    pages: Vec<Page>,
    /// The page that was looked at last.
    last: usize,
    places: std::collections::BTreeMap<PageKey, usize>,
}

impl Books {
    /// The page of what happened at a time.
    #[inline]
    pub(crate) fn page(&mut self, at_ns: u64, plan: PlanId, tenant: TenantId) -> &mut Page {
        let key = PageKey { window_ns: at_ns - at_ns % WINDOW_NS, plan, tenant };
        if self.pages.get(self.last).is_none_or(|page| page.key != key) {
            self.turn_to(key);
        }
        &mut self.pages[self.last]
    }

    #[cold]
    fn turn_to(&mut self, key: PageKey) {
        if let Some(&place) = self.places.get(&key) {
            self.last = place;
            return;
        }
        if self.pages.len() >= PAGES_MAX {
            self.forget_oldest();
        }
        self.last = self.pages.len();
        self.places.insert(key, self.last);
        self.pages.push(Page::new(key));
    }

    fn forget_oldest(&mut self) {
        let oldest = self.pages.iter().map(|page| page.key.window_ns).min();
        self.pages.retain(|page| Some(page.key.window_ns) != oldest);
        self.places = (0..).zip(&self.pages).map(|(place, page)| (page.key, place)).collect();
    }

    /// An attempt has booked an amount at this time.
    pub(crate) fn cash(
        &mut self,
        at_ns: u64,
        plan: PlanId,
        tenant: TenantId,
        resource: ResourceId,
        amount: &Amount,
    ) {
        self.page(at_ns, plan, tenant).cash.add(resource, amount);
    }

    /// What was counted since [`Books::take`].
    pub fn pages(&self) -> &[Page] {
        &self.pages
    }

    /// What was counted since the last time, which is forgotten here.
    pub fn take(&mut self) -> Vec<Page> {
        self.places.clear();
        self.last = 0;
        std::mem::take(&mut self.pages)
    }
}
