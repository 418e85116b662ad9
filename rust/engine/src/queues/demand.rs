//! What is asked of a queue and what comes of it, second by second, and whether that is a retry storm.
//!
//! Per second: first attempts F, attempts sent A, denied retries D, attempts that succeeded in time G and late
//! X. A working budget keeps A near F, so that it is the *demand*, (A + D) / F, that shows a storm.

/// What was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// First attempts.
    pub first: u64,
    /// Attempts sent, the first ones included.
    pub sent: u64,
    /// Retries that were denied.
    pub denied: u64,
    /// Attempts that succeeded before their run's deadline.
    pub good: u64,
    /// Attempts that succeeded after it, or that nobody needed any more.
    pub late: u64,
    /// Attempts that said whether they succeeded.
    pub ended: u64,
}

impl Counts {
    /// (A + D) / F: what is asked for, by what was asked for first; 1 if nothing was.
    pub fn demand_ratio(&self) -> f64 {
        ratio(self.sent + self.denied, self.first)
    }

    /// G / F: what came of it.
    pub fn goodput_ratio(&self) -> f64 {
        ratio(self.good, self.first)
    }

    /// Of what was asked for again, how much was denied.
    fn denied_ratio(&self) -> f64 {
        let again = (self.sent + self.denied).saturating_sub(self.first);
        if again == 0 { 0.0 } else { self.denied as f64 / again as f64 }
    }
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.first += other.first;
        self.sent += other.sent;
        self.denied += other.denied;
        self.good += other.good;
        self.late += other.late;
        self.ended += other.ended;
    }
}

fn ratio(part: u64, whole: u64) -> f64 {
    match (part, whole) {
        (0, 0) => 1.0,
        (_, 0) => f64::INFINITY,
        _ => part as f64 / whole as f64,
    }
}

/// A storm began or ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weather {
    Storm,
    Calm,
}

/// Seconds that are kept.
const SECONDS: usize = 64;
const SECOND_NS: u64 = 1_000_000_000;
/// A storm begins when the demand is above this in [`STORMY`] of the last [`JUDGED`] seconds...
const DEMAND_HIGH: f64 = 1.5;
const STORMY: usize = 3;
const JUDGED: usize = 5;
/// ...and the goodput of these is below this, or most of what was asked for again was denied.
const GOODPUT_LOW: f64 = 0.9;
const DENIED_HIGH: f64 = 0.5;
/// It takes so many attempts and denials in these seconds to judge.
const VOLUME: u64 = 20;
/// It ends when for so many seconds demand was below this and goodput above that.
const CALM: u32 = 30;
const DEMAND_LOW: f64 = 1.1;
const GOODPUT_HIGH: f64 = 0.95;

/// Counts by second, and whether there is a storm. Every operation is O(1).
#[derive(Clone, Debug)]
pub(crate) struct Demand {
    /// The present second.
    now: Counts,
    /// Those before, by their number.
    seconds: Box<[Counts; SECONDS]>,
    /// Number of the present second, counted from time 0, and its end.
    second: u64,
    ends_ns: u64,
    /// Since the beginning, without the present second.
    total: Counts,
    stormy: bool,
    /// Whether the last second looked like a storm: then the next one is judged as soon as it is over.
    suspicious: bool,
    calm_seconds: u32,
}

impl Default for Demand {
    fn default() -> Self {
        Self {
            now: Counts::default(),
            seconds: Box::new([Counts::default(); SECONDS]),
            second: 0,
            ends_ns: SECOND_NS,
            total: Counts::default(),
            stormy: false,
            suspicious: false,
            calm_seconds: 0,
        }
    }
}

impl Demand {
    /// The counts of the present second.
    #[inline]
    pub(crate) const fn now(&mut self) -> &mut Counts {
        &mut self.now
    }

    /// Whether the present second is over, so that [`Demand::roll`] has something to judge.
    #[inline]
    pub(crate) const fn is_over(&self, now_ns: u64) -> bool {
        now_ns >= self.ends_ns
    }

    /// Goes on to the second of `now_ns`; what has changed then, if anything has.
    #[cold]
    pub(crate) fn roll(&mut self, now_ns: u64) -> Option<Weather> {
        let before = self.stormy;
        let second = now_ns / SECOND_NS;
        // Seconds in which nothing happened change nothing after the first few.
        let judged = second.min(self.second + SECONDS as u64 + u64::from(CALM));
        while self.second < judged {
            let counts = std::mem::take(&mut self.now);
            self.total += counts;
            self.seconds[(self.second % SECONDS as u64) as usize] = counts;
            self.judge(counts);
            self.second += 1;
        }
        if second > self.second {
            *self.seconds = [Counts::default(); SECONDS];
            self.second = second;
        }
        self.ends_ns = (second + 1) * SECOND_NS;
        match (before, self.stormy) {
            (false, true) => Some(Weather::Storm),
            (true, false) => Some(Weather::Calm),
            _ => None,
        }
    }

    /// Whether there is a storm.
    pub(crate) const fn is_stormy(&self) -> bool {
        self.stormy
    }

    /// Whether the present second is to be judged as soon as it is over, whatever happens.
    pub(crate) const fn is_watched(&self) -> bool {
        self.stormy || self.suspicious
    }

    /// When the present second ends.
    pub(crate) const fn ends_ns(&self) -> u64 {
        self.ends_ns
    }

    /// Since the beginning.
    pub(crate) fn total(&self) -> Counts {
        let mut total = self.total;
        total += self.now;
        total
    }

    /// Of the last `count` seconds, the present one included.
    pub(crate) fn last(&self, count: usize) -> Counts {
        let mut sum = self.now;
        for age in 1..count as u64 {
            if let Some(second) = self.second.checked_sub(age) {
                sum += self.seconds[(second % SECONDS as u64) as usize];
            }
        }
        sum
    }

    /// Judges the second that is over.
    fn judge(&mut self, counts: Counts) {
        self.suspicious = counts.demand_ratio() > DEMAND_HIGH;
        if self.stormy {
            // Over some seconds, as what is under way changes from one to the next; one in which nothing was asked
            // for is as calm as any.
            let mut last = counts;
            last += self.last(JUDGED);
            let calm = last.demand_ratio() < DEMAND_LOW && last.goodput_ratio() > GOODPUT_HIGH;
            self.calm_seconds = if calm { self.calm_seconds + 1 } else { 0 };
            self.stormy = self.calm_seconds < CALM;
            return;
        }
        if !self.suspicious {
            return;
        }
        let mut last = counts;
        last += self.last(JUDGED);
        let stormy = (0..JUDGED as u64)
            .filter_map(|age| self.second.checked_sub(age))
            .filter(|second| {
                self.seconds[(second % SECONDS as u64) as usize].demand_ratio() > DEMAND_HIGH
            })
            .count();
        self.stormy = stormy >= STORMY
            && last.sent + last.denied >= VOLUME
            && (last.goodput_ratio() < GOODPUT_LOW || last.denied_ratio() > DENIED_HIGH);
        self.calm_seconds = 0;
    }
}
