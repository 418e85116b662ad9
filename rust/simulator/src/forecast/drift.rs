//! A world that does not stay as it is: it behaves as in one stretch of time that was seen, then as in another.

use super::luck::Luck;
use super::model::{Drift, NodeModel};

/// How the nodes behave at a time.
#[derive(Debug)]
pub(super) struct Season<'a> {
    drift: Option<&'a Drift>,
    seed: u64,
    nth: Option<u64>,
    nodes: &'a [NodeModel],
}

const STRETCHES: u64 = 4;

impl<'a> Season<'a> {
    pub(super) fn new(nodes: &'a [NodeModel], drift: Option<&'a Drift>, seed: u64) -> Self {
        Self { drift: drift.filter(|it| !it.worlds.is_empty()), seed, nth: None, nodes }
    }

    /// Now, that is so long after the beginning. O(1).
    #[inline]
    pub(super) fn at(&mut self, now_ns: u64) -> &'a [NodeModel] {
        if let Some(drift) = self.drift {
            let nth = now_ns / drift.stretch_ns.max(1);
            if self.nth != Some(nth) {
                self.nth = Some(nth);
                self.nodes = self.drawn(drift, nth);
            }
        }
        self.nodes
    }

    /// What was seen might have been otherwise: it is drawn with replacement first, as many as there are, and each
    /// stretch from these (the two-stage bootstrap; Davison and Hinkley, 3.8).
    fn drawn(&self, drift: &'a Drift, nth: u64) -> &'a [NodeModel] {
        let count = drift.worlds.len();
        let drawn = |what| (Luck::of(self.seed, what).share() * count as f64) as u64;
        let place = drawn([STRETCHES, 1, nth, 0]);
        &drift.worlds[drawn([STRETCHES, 0, place, 0]) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drift() -> Drift {
        let worlds = (0..4).map(|keys| vec![NodeModel::Key(keys)]).collect();
        Drift { stretch_ns: 10, worlds }
    }

    fn seen(seed: u64) -> Vec<u64> {
        let drift = drift();
        let mut season = Season::new(&[], Some(&drift), seed);
        let keys = |nodes: &[NodeModel]| match nodes {
            [NodeModel::Key(keys)] => *keys,
            _ => panic!("no such world"),
        };
        (0..4_000).map(|now_ns| keys(season.at(now_ns))).collect()
    }

    #[test]
    fn a_stretch_is_of_one_world_and_each_world_comes_as_often() {
        let mut counts = [0; 4];
        for seed in 0..400 {
            let seen = seen(seed);
            assert!(seen.chunks(10).all(|stretch| stretch.iter().all(|it| *it == stretch[0])));
            for stretch in seen.chunks(10) {
                counts[stretch[0] as usize] += 1;
            }
        }
        for count in counts {
            assert!((f64::from(count) / 40_000.0 - 1.0).abs() < 0.1, "{counts:?}");
        }
    }

    #[test]
    fn another_seed_has_seen_other_worlds() {
        let share = |seed| seen(seed).iter().filter(|it| **it == 0).count();
        assert!((0..50).any(|seed| share(seed) == 0));
        assert!((0..50).any(|seed| share(seed) > 2_000));
    }

    #[test]
    fn without_drift_it_stays_as_it_is() {
        let usual = [NodeModel::Key(7)];
        let mut season = Season::new(&usual, None, 1);
        assert!(matches!(season.at(1 << 60), [NodeModel::Key(7)]));
    }
}
