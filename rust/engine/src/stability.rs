//! Whether a queue can stay in a retry storm by itself: the loads at which its retries feed themselves.
//!
//! With so many failures that what is tried again brings so many failures, a dependency stays overloaded after
//! what overloaded it is gone: it is *metastable* (Bronson et al., `HotOS` '21; Huang et al., OSDI '22). The loads
//! at which a queue may stay are the fixed points of λ' = λ·Σ P(λ')^i, where P is the share of the attempts that
//! take longer than their timeout. Service is taken to be M/M/c, and attempts that nobody waits for are served
//! all the same.

/// What the loads of a queue follow from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Demand {
    /// First attempts per second; more than 0.
    pub arrivals: f64,
    /// Attempts that the dependency serves at once; at least 1.
    pub servers: u32,
    /// Seconds that serving one takes on average; more than 0.
    pub service_s: f64,
    /// Seconds after which an attempt is given up and may be tried again; more than 0.
    pub timeout_s: f64,
    /// Attempts in all; at least 1.
    pub attempts_max: u32,
    /// What a retry budget allows, as a share of the first attempts; infinite without one.
    pub retry_ratio: f64,
}

/// Where a queue may stay.
#[derive(Clone, Debug, PartialEq)]
pub struct Stability {
    /// Attempts per second at which it may stay, lowest first; each second one is a tipping point.
    pub loads: Vec<f64>,
    /// Attempts per first attempt at worst.
    pub amplification_max: f64,
    /// First attempts by what can be served.
    pub utilisation: f64,
    /// Up to this utilisation no storm can last.
    pub safe_utilisation: f64,
}

impl Stability {
    /// Whether a storm may last after what began it is gone.
    pub fn is_vulnerable(&self) -> bool {
        self.loads.len() > 1 || self.utilisation > self.safe_utilisation
    }
}

/// Points at which the fixed point is looked for.
const GRID: u32 = 512;
const BISECTIONS: u32 = 60;

impl Demand {
    /// The loads at which the queue may stay. O(512 · servers).
    pub fn stability(&self) -> Stability {
        let amplification_max = f64::from(self.attempts_max).min(1.0 + self.retry_ratio);
        let most = self.arrivals * amplification_max;
        let gap = |load: f64| self.asked(load) - load;
        let mut loads = Vec::new();
        let mut low = self.arrivals;
        for step in 1..=GRID {
            let share = f64::from(step) / f64::from(GRID);
            let high = (most - self.arrivals).mul_add(share, self.arrivals);
            if gap(low) > 0.0 && gap(high) <= 0.0 || gap(low) < 0.0 && gap(high) >= 0.0 {
                loads.push(bisect(gap, low, high));
            }
            low = high;
        }
        if loads.is_empty() {
            // Nothing fails, or everything does.
            loads.push(if gap(self.arrivals) <= 1e-9 { self.arrivals } else { most });
        }
        let utilisation = self.arrivals * self.service_s / f64::from(self.servers);
        Stability {
            loads,
            amplification_max,
            utilisation,
            safe_utilisation: 1.0 / amplification_max,
        }
    }

    /// Attempts per second that are asked for when so many are made.
    fn asked(&self, load: f64) -> f64 {
        let failing = self.late(load);
        let tries = (0..i32::try_from(self.attempts_max).unwrap_or(i32::MAX))
            .map(|nth| failing.powi(nth))
            .sum::<f64>();
        self.arrivals * tries.min(1.0 + self.retry_ratio)
    }

    /// The share of the attempts that take longer than their timeout, by the waiting time of M/M/c.
    fn late(&self, load: f64) -> f64 {
        let (servers, rate) = (f64::from(self.servers), 1.0 / self.service_s);
        let offered = load * self.service_s;
        if offered >= servers {
            return 1.0;
        }
        let waits = erlang_c(self.servers, offered);
        let (served, free) = ((-rate * self.timeout_s).exp(), servers - 1.0 - offered);
        let late = if free.abs() < 1e-9 {
            served * waits.mul_add(rate * self.timeout_s, 1.0)
        } else {
            served * (1.0 + waits * (1.0 - (-rate * self.timeout_s * free).exp()) / free)
        };
        late.clamp(0.0, 1.0)
    }
}

/// The share of calls that have to wait for a server (Erlang C), by the recursion of Erlang B. O(servers).
fn erlang_c(servers: u32, offered: f64) -> f64 {
    let blocked = (1..=servers).fold(1.0, |blocked, n| {
        let carried = offered * blocked;
        carried / (f64::from(n) + carried)
    });
    let idle = 1.0 - offered / f64::from(servers);
    blocked / (idle + (1.0 - idle) * blocked)
}

fn bisect(gap: impl Fn(f64) -> f64, mut low: f64, mut high: f64) -> f64 {
    let rises = gap(low) < 0.0;
    for _ in 0..BISECTIONS {
        let middle = f64::midpoint(low, high);
        if (gap(middle) < 0.0) == rises {
            low = middle;
        } else {
            high = middle;
        }
    }
    low
}

#[cfg(test)]
mod tests {
    use super::*;

    fn demand(utilisation: f64, retry_ratio: f64) -> Demand {
        Demand {
            arrivals: 100.0 * utilisation,
            servers: 10,
            service_s: 0.1,
            timeout_s: 1.0,
            attempts_max: 3,
            retry_ratio,
        }
    }

    #[test]
    fn three_attempts_are_safe_below_a_third_and_a_budget_up_to_nine_tenths() {
        for (utilisation, retry_ratio, vulnerable) in [
            (0.30, f64::INFINITY, false),
            (0.40, f64::INFINITY, true),
            (0.70, f64::INFINITY, true),
            (0.70, 0.1, false),
            (0.85, 0.1, false),
            (0.95, 0.1, true),
        ] {
            let stability = demand(utilisation, retry_ratio).stability();
            assert_eq!(stability.is_vulnerable(), vulnerable, "{utilisation}: {stability:?}");
        }
    }

    #[test]
    fn a_vulnerable_queue_has_a_good_load_a_tipping_point_and_a_storm() {
        let Stability { loads, .. } = demand(0.7, f64::INFINITY).stability();
        let [good, tipping, storm] = loads[..] else { panic!("{loads:?}") };
        assert!((70.0..72.0).contains(&good) && (209.0..=210.0).contains(&storm), "{loads:?}");
        assert!(good < tipping && tipping < 100.0, "{loads:?}");
    }

    #[test]
    fn erlang_c_is_what_the_tables_say() {
        assert!((erlang_c(1, 0.5) - 0.5).abs() < 1e-12);
        assert!((erlang_c(2, 1.0) - 1.0 / 3.0).abs() < 1e-12);
        assert!((erlang_c(10, 8.0) - 0.409_2).abs() < 1e-3);
    }
}
