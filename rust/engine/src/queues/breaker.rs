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
    /// Number of the present tenth, counted from time 0.
    tenth: u64,
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
        self.model = model;
        self.open_ns = self.open_ns.clamp(model.open_ns, model.open_max_ns);
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

    fn part(&mut self, now_ns: u64) -> &mut (u32, u32) {
        let tenth = now_ns / (self.model.window_ns / PARTS as u64).max(1);
        if tenth > self.tenth {
            for passed in self.tenth + 1..=tenth.min(self.tenth + PARTS as u64) {
                self.parts[(passed % PARTS as u64) as usize] = (0, 0);
            }
            self.tenth = tenth;
        }
        &mut self.parts[(self.tenth % PARTS as u64) as usize]
    }
}

const PPM: u64 = 1_000_000;
