//! When a failed step is tried again.

use std::num::NonZeroU32;

/// How often and how soon a failed step is tried again. Which failures are worth it is the driver's
/// verdict ([`crate::Failure::retryable`]): only it knows the exception's class.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RetryPolicy {
    /// Attempts in all, the first one included.
    pub attempts_max: NonZeroU32,
    /// Ceiling of the wait before the second attempt.
    pub initial_ns: u64,
    /// Factor by which the ceiling grows with each further attempt; at least 1.
    pub coefficient: f64,
    /// The ceiling never grows past this.
    pub max_ns: u64,
    /// How the wait is drawn below the ceiling.
    pub jitter: Jitter,
}

/// How a wait is drawn below its ceiling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Jitter {
    /// The ceiling itself.
    None,
    /// Half of it, and a uniform part of the other half.
    Equal,
    /// Uniform in [0, ceiling): spreads a herd best (Brooker, "Exponential backoff and jitter").
    Full,
}

impl RetryPolicy {
    /// One attempt, no retry.
    pub const ONCE: Self = Self {
        attempts_max: NonZeroU32::MIN,
        initial_ns: 0,
        coefficient: 1.0,
        max_ns: 0,
        jitter: Jitter::None,
    };

    /// Nanoseconds to wait after attempt number `attempt` (from 1) failed. `draw` is uniform in all of
    /// `u64`; the same draw gives the same wait.
    pub fn delay_ns(&self, attempt: u32, draw: u64) -> u64 {
        let exponent = i32::try_from(attempt.saturating_sub(1)).unwrap_or(i32::MAX);
        let grown = self.initial_ns as f64 * self.coefficient.powi(exponent);
        let ceiling = if grown < self.max_ns as f64 { grown as u64 } else { self.max_ns };
        match self.jitter {
            Jitter::None => ceiling,
            Jitter::Equal => ceiling / 2 + scale(draw, ceiling - ceiling / 2),
            Jitter::Full => scale(draw, ceiling),
        }
    }
}

/// `draw / 2^64 * range`, rounded down.
fn scale(draw: u64, range: u64) -> u64 {
    ((u128::from(draw) * u128::from(range)) >> 64) as u64
}

/// A uniform draw that depends on its parts alone, so that a retry time needs no generator state, is the
/// same after recovery, and is common to two simulated policies. Mixer: `SplitMix64` (Steele et al. 2014).
pub fn draw(seed: u64, parts: [u64; 4]) -> u64 {
    parts.iter().fold(mix(seed), |hash, part| mix(hash ^ part))
}

/// A bijection of `u64` whose outputs look random: `SplitMix64`'s step (Steele et al. 2014).
pub const fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn policy(jitter: Jitter) -> RetryPolicy {
        RetryPolicy {
            attempts_max: NonZeroU32::new(10).expect("10 is not 0"),
            initial_ns: SECOND / 10,
            coefficient: 2.0,
            max_ns: 20 * SECOND,
            jitter,
        }
    }

    #[test]
    fn the_ceiling_doubles_up_to_the_cap() {
        let waits: Vec<u64> = (1..=10).map(|n| policy(Jitter::None).delay_ns(n, 0)).collect();
        assert_eq!(&waits[..3], &[SECOND / 10, SECOND / 5, SECOND * 2 / 5]);
        assert_eq!(&waits[8..], &[20 * SECOND, 20 * SECOND]);
        assert_eq!(policy(Jitter::None).delay_ns(u32::MAX, 0), 20 * SECOND);
    }

    #[test]
    fn full_jitter_is_uniform_below_the_ceiling() {
        let policy = policy(Jitter::Full);
        let waits: Vec<u64> =
            (0..10_000).map(|run| policy.delay_ns(3, draw(7, [run, 0, 3, 0]))).collect();
        let ceiling = SECOND * 2 / 5;
        assert!(waits.iter().all(|&wait| wait < ceiling));
        for tenth in 0..10 {
            let (low, high) = (ceiling / 10 * tenth, ceiling / 10 * (tenth + 1));
            let share = waits.iter().filter(|&&wait| (low..high).contains(&wait)).count();
            assert!((850..1150).contains(&share), "{share} waits in tenth {tenth}");
        }
    }

    #[test]
    fn equal_jitter_never_waits_less_than_half() {
        let ceiling = SECOND / 10;
        for run in 0..1_000 {
            let wait = policy(Jitter::Equal).delay_ns(1, draw(7, [run, 0, 1, 0]));
            assert!((ceiling / 2..ceiling).contains(&wait));
        }
    }

    #[test]
    fn a_draw_depends_on_every_part() {
        let base = draw(1, [2, 3, 4, 5]);
        assert_eq!(base, draw(1, [2, 3, 4, 5]));
        for other in [[9, 3, 4, 5], [2, 9, 4, 5], [2, 3, 9, 5], [2, 3, 4, 9]] {
            assert_ne!(base, draw(1, other));
        }
        assert_ne!(base, draw(2, [2, 3, 4, 5]));
    }
}
