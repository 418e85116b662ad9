//! When dependencies are out of order: failures of many attempts have one cause, and come together.

use penstock_engine::QueueId;

use super::luck::Luck;
use super::model::Outage;
use super::world::nanoseconds;

/// The outage that is or comes next, of each dependency that has any.
#[derive(Debug)]
pub(super) struct Weather<'a> {
    seed: u64,
    fronts: Vec<Front<'a>>,
}

#[derive(Debug)]
struct Front<'a> {
    queue: QueueId,
    outage: &'a Outage,
    nth: u64,
    from_ns: u64,
    to_ns: u64,
}

const OUTAGES: u64 = 3;

impl<'a> Weather<'a> {
    pub(super) fn new(outages: &'a [(QueueId, Outage)], seed: u64) -> Self {
        let mut fronts: Vec<Front<'_>> = outages
            .iter()
            .map(|(queue, outage)| Front { queue: *queue, outage, nth: 0, from_ns: 0, to_ns: 0 })
            .collect();
        for (place, front) in fronts.iter_mut().enumerate() {
            front.turn(seed, place as u64);
        }
        Self { seed, fronts }
    }

    /// What is out of order with a queue's dependency now. Time must not go back. O(outages).
    #[inline]
    pub(super) fn at(&mut self, queue: QueueId, now_ns: u64) -> Option<&'a Outage> {
        let mut worst: Option<&'a Outage> = None;
        for (place, front) in self.fronts.iter_mut().enumerate() {
            if front.queue != queue {
                continue;
            }
            while front.to_ns <= now_ns {
                front.turn(self.seed, place as u64);
            }
            if front.from_ns <= now_ns && worst.is_none_or(|it| it.error < front.outage.error) {
                worst = Some(front.outage);
            }
        }
        worst
    }
}

impl Front<'_> {
    /// Goes on to the next one.
    fn turn(&mut self, seed: u64, place: u64) {
        let nth = self.nth;
        self.nth += 1;
        if self.outage.at.is_empty() {
            let mut luck = Luck::of(seed, [OUTAGES, place, nth, 0]);
            let gap_ns = nanoseconds(self.outage.every * luck.exponential());
            self.from_ns = self.to_ns.saturating_add(gap_ns);
            let lasts_ns = nanoseconds(self.outage.lasts * luck.exponential());
            self.to_ns = self.from_ns.saturating_add(lasts_ns.max(1));
            return;
        }
        let next = self.outage.at.get(nth as usize);
        let (from, to) = next.copied().unwrap_or((f64::MAX, f64::MAX));
        (self.from_ns, self.to_ns) = (nanoseconds(from), nanoseconds(to));
    }
}
