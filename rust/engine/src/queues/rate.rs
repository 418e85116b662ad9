//! Rate limits: the generic cell rate algorithm, which needs one number and no background work.
//!
//! Source: ITU-T I.371; the form is that of the `governor` crate.

/// So many units in so much time, and so many at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Picoseconds for one unit; more than 0.
    pub gap_ps: u64,
    /// Units that may come at once; at least 1.
    pub burst: u32,
}

/// What is left of a rate. Every operation is O(1).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gcra {
    gap_ps: u64,
    burst: u32,
    /// When all that was taken will have been earned: the theoretical arrival time.
    earned_ns: u64,
}

impl Gcra {
    pub(crate) const fn new(rate: Rate) -> Self {
        Self { gap_ps: rate.gap_ps, burst: rate.burst, earned_ns: 0 }
    }

    /// Goes on at another rate; what was taken stays taken.
    pub(crate) const fn change(&mut self, gap_ps: u64, burst: u32) {
        self.gap_ps = gap_ps;
        self.burst = burst;
    }

    /// From when on `units` may be taken. More than fit into a burst are let through when a whole burst is
    /// there.
    pub(crate) fn due_ns(&self, units: u32) -> u64 {
        let spared = self.burst - units.clamp(1, self.burst);
        self.earned_ns.saturating_sub(self.time_ns(spared))
    }

    pub(crate) fn take(&mut self, now_ns: u64, units: u32) {
        self.earned_ns = self.earned_ns.max(now_ns).saturating_add(self.time_ns(units));
    }

    /// An estimate turned out to be wrong.
    pub(crate) fn settle(&mut self, estimated: u32, used: u32) {
        let more_ns = self.time_ns(used.saturating_sub(estimated));
        let less_ns = self.time_ns(estimated.saturating_sub(used));
        self.earned_ns = self.earned_ns.saturating_add(more_ns).saturating_sub(less_ns);
    }

    fn time_ns(&self, units: u32) -> u64 {
        ((u128::from(units) * u128::from(self.gap_ps) + 500) / 1_000) as u64
    }
}
