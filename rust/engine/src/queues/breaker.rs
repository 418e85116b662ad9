//! The breaker: a queue whose attempts fail too often is left alone for a while, then tried carefully.
//!
//! The scheme is resilience4j's, with a window of ten parts as Hystrix has it. How long it stays open doubles
//! each time it opens again, and is spread by up to a quarter, so that many hosts do not probe at once.

use crate::retry::draw;

/// When a queue is left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerModel {
    /// Millionths of the attempts that must have failed; more than 0.
    pub failure_ppm: u32,
    /// Attempts that it takes to judge.
    pub calls_min: u32,
    /// How far back it looks, in nanoseconds.
    pub window_ns: u64,
    /// How long it opens at first, and at most, in nanoseconds.
    pub open_ns: u64,
    /// See `open_ns`.
    pub open_max_ns: u64,
    /// Attempts that it is tried with.
    pub probes: u32,
}

/// Where a breaker is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BreakerState {
    /// Attempts pass.
    #[default]
    Closed,
    /// None does.
    Open,
    /// A few do, as probes.
    HalfOpen,
}

impl BreakerState {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

const PARTS: usize = 10;

/// Every operation is O(1).
#[derive(Clone, Debug)]
pub(crate) struct Breaker {
    model: BreakerModel,
    state: BreakerState,
    /// Calls and failures by tenth of the window.
    parts: [(u32, u32); PARTS],
    /// Number of the present tenth, counted from time 0, and its end.
    tenth: u64,
    tenth_ends_ns: u64,
    /// Since when it is in its state, and until when it is open.
    since_ns: u64,
    until_ns: u64,
    /// How long it opens the next time.
    open_ns: u64,
    /// How often it opened: what its jitter is drawn by.
    opened: u64,
    seed: u64,
    /// Of the present probes: let through, and ended as failures and otherwise.
    sent: u32,
    failed: u32,
    passed: u32,
}

impl Breaker {
    pub(crate) const fn new(model: BreakerModel, seed: u64) -> Self {
        Self {
            model,
            state: BreakerState::Closed,
            parts: [(0, 0); PARTS],
            tenth: 0,
            tenth_ends_ns: 0,
            since_ns: 0,
            until_ns: 0,
            open_ns: model.open_ns,
            opened: 0,
            seed,
            sent: 0,
            failed: 0,
            passed: 0,
        }
    }

    /// Goes on by another model from where it is.
    pub(crate) fn change(&mut self, model: BreakerModel) {
        let same = model.window_ns == self.model.window_ns;
        self.model = model;
        self.open_ns = self.open_ns.clamp(model.open_ns, model.open_max_ns);
        if !same {
            self.parts = [(0, 0); PARTS];
            (self.tenth, self.tenth_ends_ns) = (0, 0);
        }
    }

    pub(crate) const fn state(&self) -> BreakerState {
        self.state
    }

    /// When it is tried again, while it is open.
    pub(crate) fn next_ns(&self) -> Option<u64> {
        (self.state == BreakerState::Open).then_some(self.until_ns)
    }

    /// Probes that may be sent now.
    pub(crate) fn probes_left(&self, now_ns: u64) -> u32 {
        match self.state {
            _ if self.is_due(now_ns) => self.model.probes,
            BreakerState::HalfOpen => self.model.probes.saturating_sub(self.sent),
            BreakerState::Closed | BreakerState::Open => 0,
        }
    }

    /// Whether it is time to try it, or to try it anew: probes that say nothing for as long as it was open have
    /// said enough.
    fn is_due(&self, now_ns: u64) -> bool {
        match self.state {
            BreakerState::Closed => false,
            BreakerState::Open => now_ns >= self.until_ns,
            BreakerState::HalfOpen => now_ns >= self.since_ns.saturating_add(self.open_ns),
        }
    }

    /// Whether an attempt may start now. Asking may begin the probes.
    pub(crate) fn admits(&mut self, now_ns: u64) -> bool {
        if self.is_due(now_ns) {
            self.enter(BreakerState::HalfOpen, now_ns);
        }
        match self.state {
            BreakerState::Closed => true,
            BreakerState::Open => false,
            BreakerState::HalfOpen => self.sent < self.model.probes,
        }
    }

    /// An attempt that [`Breaker::admits`] allowed has started.
    pub(crate) fn sent(&mut self) {
        if self.state == BreakerState::HalfOpen {
            self.sent += 1;
        }
    }

    /// An attempt that began at `started_ns` ended without saying anything: it was cut off.
    pub(crate) fn unsaid(&mut self, started_ns: u64) {
        if self.state == BreakerState::HalfOpen && started_ns >= self.since_ns {
            self.sent = self.sent.saturating_sub(1);
        }
    }

    /// An attempt that began at `started_ns` has ended; whether the state changed.
    pub(crate) fn ended(&mut self, now_ns: u64, started_ns: u64, failed: bool) -> bool {
        match self.state {
            BreakerState::Closed => {
                let part = self.part(now_ns);
                part.0 += 1;
                part.1 += u32::from(failed);
                let trips = failed && self.is_failing();
                if trips {
                    self.open(now_ns);
                }
                trips
            }
            BreakerState::HalfOpen if started_ns >= self.since_ns => {
                *(if failed { &mut self.failed } else { &mut self.passed }) += 1;
                self.judge(now_ns)
            }
            // It began before.
            BreakerState::HalfOpen | BreakerState::Open => false,
        }
    }

    /// Whether the probes so far decide.
    fn judge(&mut self, now_ns: u64) -> bool {
        let reaches = |failed: u32| {
            u64::from(failed) * PPM
                >= u64::from(self.model.failure_ppm) * u64::from(self.model.probes)
        };
        if reaches(self.failed) {
            self.open_ns = self.open_ns.saturating_mul(2).min(self.model.open_max_ns);
            self.open(now_ns);
        } else if self.failed + self.passed >= self.model.probes {
            self.open_ns = self.model.open_ns;
            self.parts = [(0, 0); PARTS];
            self.enter(BreakerState::Closed, now_ns);
        } else {
            return false;
        }
        true
    }

    fn is_failing(&self) -> bool {
        let (calls, failures) = self.parts.iter().fold((0_u64, 0_u64), |sum, part| {
            (sum.0 + u64::from(part.0), sum.1 + u64::from(part.1))
        });
        calls >= u64::from(self.model.calls_min)
            && failures * PPM >= calls * u64::from(self.model.failure_ppm)
    }

    fn open(&mut self, now_ns: u64) {
        self.opened += 1;
        let spread_ns = self.open_ns / 4;
        let dice = draw(self.seed, [self.opened, 0, 0, 2]) >> 32;
        let jitter_ns = ((u128::from(spread_ns) * u128::from(dice)) >> 32) as u64;
        self.until_ns = now_ns.saturating_add(self.open_ns).saturating_add(jitter_ns);
        self.enter(BreakerState::Open, now_ns);
    }

    fn enter(&mut self, state: BreakerState, now_ns: u64) {
        self.state = state;
        self.since_ns = now_ns;
        (self.sent, self.failed, self.passed) = (0, 0, 0);
    }

    /// Goes on to the present tenth.
    fn forget(&mut self, now_ns: u64) {
        let tenth_ns = (self.model.window_ns / PARTS as u64).max(1);
        let tenth = now_ns / tenth_ns;
        for passed in self.tenth + 1..=tenth.min(self.tenth + PARTS as u64) {
            self.parts[(passed % PARTS as u64) as usize] = (0, 0);
        }
        self.tenth = tenth;
        self.tenth_ends_ns = (tenth + 1).saturating_mul(tenth_ns);
    }

    fn part(&mut self, now_ns: u64) -> &mut (u32, u32) {
        if now_ns >= self.tenth_ends_ns {
            self.forget(now_ns);
        }
        &mut self.parts[(self.tenth % PARTS as u64) as usize]
    }
}

const PPM: u64 = 1_000_000;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MODEL: BreakerModel = BreakerModel {
        failure_ppm: 500_000,
        calls_min: 4,
        window_ns: 1_000,
        open_ns: 500,
        open_max_ns: 2_000,
        probes: 3,
    };

    /// What a breaker is to do, from everything that ever happened.
    #[derive(Default)]
    struct Log {
        /// When, and whether it failed, since it was closed last.
        ended: Vec<(u64, bool)>,
        probing_since: Option<u64>,
        probes: (u32, u32, u32),
        /// How long it opens next, in multiples of the first time.
        opens: u64,
    }

    proptest! {
        #[test]
        fn it_opens_and_closes_as_a_log_of_everything_says(
            seed in any::<u64>(),
            steps in prop::collection::vec((0_u64..300, prop::bool::weighted(0.6)), 1..300),
        ) {
            let mut breaker = Breaker::new(MODEL, seed);
            let mut log = Log { opens: 1, ..Log::default() };
            let mut now_ns = 1;
            for (passed_ns, failed) in steps {
                now_ns += passed_ns;
                let before = breaker.state();
                let until_ns = breaker.next_ns();
                let admits = breaker.admits(now_ns);
                match before {
                    BreakerState::Closed => prop_assert!(admits),
                    BreakerState::Open => {
                        prop_assert_eq!(admits, until_ns.is_some_and(|it| now_ns >= it));
                        if admits {
                            log.probing_since = Some(now_ns);
                            log.probes = (0, 0, 0);
                        }
                    }
                    BreakerState::HalfOpen => {
                        let since = log.probing_since.expect("it probes");
                        if now_ns >= since + log.opens * MODEL.open_ns {
                            log.probing_since = Some(now_ns);
                            log.probes = (0, 0, 0);
                        }
                        prop_assert_eq!(admits, log.probes.0 < MODEL.probes);
                    }
                }
                if !admits {
                    continue;
                }
                breaker.sent();
                let changed = breaker.ended(now_ns, now_ns, failed);
                if log.probing_since.is_some() {
                    log.probes.0 += 1;
                    log.probes.1 += u32::from(failed);
                    log.probes.2 += u32::from(!failed);
                    if log.probes.1 >= 2 {
                        log.opens = (log.opens * 2).min(4);
                        log.probing_since = None;
                        prop_assert!(changed && breaker.state() == BreakerState::Open);
                    } else if log.probes.1 + log.probes.2 == 3 {
                        (log.opens, log.probing_since) = (1, None);
                        log.ended.clear();
                        prop_assert!(changed && breaker.state() == BreakerState::Closed);
                    }
                } else {
                    log.ended.push((now_ns / 100, failed));
                    let last = log.ended.iter().filter(|(tenth, _)| tenth + 10 > now_ns / 100);
                    let (calls, failures) = last.fold((0, 0), |sum, it| (sum.0 + 1, sum.1 + i32::from(it.1)));
                    let trips = failed && calls >= 4 && 2 * failures >= calls;
                    prop_assert_eq!(changed, trips);
                    prop_assert_eq!(breaker.state() == BreakerState::Open, trips);
                }
                if let Some(until_ns) = breaker.next_ns() {
                    let open_ns = log.opens * MODEL.open_ns;
                    prop_assert!((now_ns + open_ns..=now_ns + open_ns + open_ns / 4).contains(&until_ns));
                }
            }
        }
    }

    #[test]
    fn what_began_before_it_opened_does_not_close_it() {
        let mut breaker = Breaker::new(MODEL, 1);
        (0..4).for_each(|_| _ = breaker.ended(10, 5, true));
        assert_eq!(breaker.state(), BreakerState::Open);
        assert!(breaker.admits(10_000));
        (0..9).for_each(|_| assert!(!breaker.ended(10_000, 9, false)));
        assert_eq!(breaker.state(), BreakerState::HalfOpen);
        // A probe that was cut off gives its place to another.
        (0..3).for_each(|_| breaker.sent());
        assert!(!breaker.admits(10_001));
        breaker.unsaid(10_000);
        assert!(breaker.admits(10_001));
    }
}
