//! When runs come.

use super::luck::Luck;
use super::model::Arrivals;

/// The times of arrivals, one after the other.
#[derive(Debug)]
pub(super) struct Clock<'a> {
    arrivals: &'a Arrivals,
    seed: u64,
    came: u64,
    /// The state of a bursty stream, and the seconds that are left of it.
    state: (usize, f64),
    changes: u64,
}

const GAPS: u64 = 1;
const STATES: u64 = 2;

impl<'a> Clock<'a> {
    pub(super) fn new(arrivals: &'a Arrivals, seed: u64) -> Self {
        let mut clock = Self { arrivals, seed, came: 0, state: (0, 0.0), changes: 0 };
        if let Arrivals::Bursty(states) = arrivals {
            // Where a stream that has long been going on would be met.
            let quiet = states[0].1 / (states[0].1 + states[1].1);
            let state = usize::from(Luck::of(seed, [STATES, 0, 1, 0]).share() >= quiet);
            clock.state = (state, clock.stay(states[state].1));
        }
        clock
    }

    /// Seconds from the last arrival to the next one. O(1), for bursty ones on average.
    pub(super) fn gap(&mut self) -> f64 {
        let nth = self.came;
        self.came += 1;
        match self.arrivals {
            Arrivals::Poisson(rate) => self.wait(nth) / rate,
            Arrivals::Trace(gaps) => gaps[(nth % gaps.len() as u64) as usize],
            Arrivals::Bursty(states) => {
                let (mut work, mut gap) = (self.wait(nth), 0.0);
                loop {
                    let (state, left) = self.state;
                    let needed = work / states[state].0;
                    if needed <= left {
                        self.state.1 -= needed;
                        return gap + needed;
                    }
                    work -= left * states[state].0;
                    gap += left;
                    let next = 1 - state;
                    self.state = (next, self.stay(states[next].1));
                }
            }
        }
    }

    fn wait(&self, nth: u64) -> f64 {
        Luck::of(self.seed, [GAPS, nth, 0, 0]).exponential()
    }

    fn stay(&mut self, mean: f64) -> f64 {
        self.changes += 1;
        mean * Luck::of(self.seed, [STATES, self.changes, 0, 0]).exponential()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bursty_stream_has_its_mean_rate_and_more_spread_than_a_steady_one() {
        let (quiet, busy) = ((10.0, 3.0), (100.0, 1.0));
        let mean = (10.0 * 3.0 + 100.0) / 4.0;
        for (arrivals, rate, bursty) in
            [(Arrivals::Poisson(50.0), 50.0, false), (Arrivals::Bursty([quiet, busy]), mean, true)]
        {
            let mut clock = Clock::new(&arrivals, 3);
            let gaps: Vec<f64> = (0..200_000).map(|_| clock.gap()).collect();
            let sum: f64 = gaps.iter().sum();
            assert!((gaps.len() as f64 / sum / rate - 1.0).abs() < 0.03, "{arrivals:?}");
            let mut counts = vec![0_u32; sum as usize + 1];
            let mut at = 0.0;
            for gap in gaps {
                at += gap;
                counts[at as usize] += 1;
            }
            let mean = f64::from(counts.iter().sum::<u32>()) / counts.len() as f64;
            let spread = counts.iter().map(|&it| (f64::from(it) - mean).powi(2)).sum::<f64>();
            let dispersion = spread / counts.len() as f64 / mean;
            assert_eq!(dispersion > 2.0, bursty, "{arrivals:?}: {dispersion}");
        }
    }

    #[test]
    fn a_trace_is_played_over_and_over() {
        let arrivals = Arrivals::Trace([0.5, 2.0].into());
        let mut clock = Clock::new(&arrivals, 0);
        let gaps: Vec<f64> = (0..5).map(|_| clock.gap()).collect();
        assert_eq!(gaps, [0.5, 2.0, 0.5, 2.0, 0.5]);
    }
}
