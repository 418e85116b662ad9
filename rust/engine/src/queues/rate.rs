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
    /// 1,024ths of a nanosecond for one unit: a shift is quicker than a division.
    gap: u64,
    burst: u32,
    /// When all that was taken will have been earned: the theoretical arrival time.
    earned_ns: u64,
}

impl Gcra {
    pub(crate) const fn new(rate: Rate) -> Self {
        Self { gap: fine(rate.gap_ps), burst: rate.burst, earned_ns: 0 }
    }

    /// Goes on at another rate; what was taken stays taken.
    pub(crate) const fn change(&mut self, gap_ps: u64, burst: u32) {
        self.gap = fine(gap_ps);
        self.burst = burst;
    }

    /// From when on `units` may be taken; 0 if nothing has to be earned. More than fit into a burst are let through when a whole burst is
    /// there.
    #[inline]
    pub(crate) fn due_ns(&self, now_ns: u64, units: u32) -> u64 {
        if self.earned_ns <= now_ns {
            return 0;
        }
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
        ((u128::from(units) * u128::from(self.gap)) >> 10) as u64
    }
}

const fn fine(gap_ps: u64) -> u64 {
    ((gap_ps as u128 * 1_024 + 500) / 1_000) as u64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A bucket that fills by one unit each gap, up to a burst: what the rate means.
    struct Bucket {
        /// Nanoseconds' worth of units.
        level_ns: i128,
        at_ns: u64,
    }

    proptest! {
        /// The bucket, counted out, lets through what the algorithm lets through.
        #[test]
        fn it_is_a_bucket_that_fills_with_time(
            gap_ns in 1_u64..1_000,
            burst in 1_u32..20,
            asks in prop::collection::vec((0_u64..5_000, 1_u32..30, 0_u32..30), 1..200),
        ) {
            let mut gcra = Gcra::new(Rate { gap_ps: gap_ns * 1_000, burst });
            let (gap, most) = (i128::from(gap_ns), i128::from(gap_ns) * i128::from(burst));
            let mut bucket = Bucket { level_ns: most, at_ns: 0 };
            let mut now_ns = 0;
            for (passed_ns, units, used) in asks {
                now_ns += passed_ns;
                bucket.level_ns = (bucket.level_ns + i128::from(now_ns - bucket.at_ns)).min(most);
                bucket.at_ns = now_ns;
                let wanted = gap * i128::from(units.min(burst));
                let lets = gcra.due_ns(now_ns, units) <= now_ns;
                prop_assert_eq!(lets, bucket.level_ns >= wanted);
                if lets {
                    gcra.take(now_ns, units);
                    bucket.level_ns -= gap * i128::from(units);
                    if used > 0 {
                        // What is given back never makes the bucket fuller than full.
                        gcra.settle(units, used);
                        bucket.level_ns += gap * (i128::from(units) - i128::from(used));
                        bucket.level_ns = bucket.level_ns.min(most);
                    }
                }
            }
        }
    }
}
