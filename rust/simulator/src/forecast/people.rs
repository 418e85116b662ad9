//! Who answers signals: at once, or at a desk where people take one thing after the other in their hours.

use std::collections::VecDeque;

use penstock_engine::{NodeId, NodeKind, Place, RunKey};

use super::luck::Luck;
use super::model::{NodeModel, Weekly};
use super::world::{Happening, VALUE, World, nanoseconds, slot};

const SIGNALS: u64 = 13;

/// What somebody is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Question {
    pub(super) run: RunKey,
    pub(super) node: Place,
    pub(super) signal: u32,
}

/// A desk as it stands.
#[derive(Debug, Default)]
pub(super) struct Line {
    pub(super) waiting: VecDeque<Question>,
    pub(super) busy: u32,
    /// Whether somebody comes to open it.
    pub(super) opens: bool,
}

pub(super) const DAY_NS: u64 = 86_400_000_000_000;

impl Weekly {
    /// All hours of all days.
    pub const ALWAYS: Self = Self { from_ns: 0, to_ns: DAY_NS, days: [true; 7] };

    /// When it is next within these hours; now if it is. There have to be some.
    pub fn next_ns(&self, now_ns: u64) -> u64 {
        let (today, time_ns) = (now_ns / DAY_NS, now_ns % DAY_NS);
        for day in today..=today + 7 {
            if !self.days[(day % 7) as usize] {
                continue;
            }
            if day > today {
                return day * DAY_NS + self.from_ns;
            }
            if time_ns < self.to_ns {
                return now_ns.max(day * DAY_NS + self.from_ns);
            }
        }
        now_ns
    }
}

impl World<'_> {
    /// Somebody is asked for each signal that is waited for and was not asked for yet.
    pub(super) fn ask(&mut self) {
        while let Some(run) = self.touched.pop() {
            let new: Vec<Place> = self
                .engine
                .awaiting(run)
                .iter()
                .copied()
                .filter(|&node| !self.asked.contains(&(run, node)))
                .collect();
            for node in new {
                let signal = self.engine.template(run, node).and_then(|of| self.signal_of(of));
                if let Some(signal) = signal {
                    self.asked.insert((run, node));
                    self.ask_for(Question { run, node, signal });
                }
            }
        }
    }

    fn signal_of(&self, of: NodeId) -> Option<u32> {
        match self.scene.plan.kind(of) {
            NodeKind::Signal { signal, .. } => Some(signal),
            _ => None,
        }
    }

    fn luck_of(&self, question: &Question) -> Luck {
        let number = self.known[slot(question.run.0)].number;
        Luck::of(self.seed, [SIGNALS, number, u64::from(question.node.0), 0])
    }

    fn ask_for(&mut self, question: Question) {
        let Some(model) = &self.scene.model.signals[question.signal as usize] else { return };
        let mut luck = self.luck_of(&question);
        if luck.share() >= model.answered {
            return;
        }
        match model.desk {
            None => {
                let time_ns = nanoseconds(model.latency.draw(&mut luck));
                self.schedule(time_ns, Happening::Answers(question));
            }
            Some(desk) => {
                self.desks[desk as usize].waiting.push_back(question);
                self.serve(desk);
            }
        }
    }

    /// Whoever is free takes what has waited longest, once it is time to work.
    pub(super) fn serve(&mut self, number: u32) {
        let desk = &self.scene.model.desks[number as usize];
        let opens_ns = desk.hours.next_ns(self.now_ns);
        let line = &mut self.desks[number as usize];
        if opens_ns > self.now_ns {
            if !line.opens && !line.waiting.is_empty() {
                line.opens = true;
                self.schedule(opens_ns - self.now_ns, Happening::Opens(number));
            }
            return;
        }
        while self.desks[number as usize].busy < desk.staff {
            let line = &mut self.desks[number as usize];
            let Some(question) = line.waiting.pop_front() else { return };
            if self.engine.status(question.run).is_none() {
                continue;
            }
            line.busy += 1;
            let minutes = self.minutes_of(&question);
            self.schedule(nanoseconds(60.0 * minutes), Happening::Answers(question));
        }
    }

    /// Minutes of somebody's time that an answer takes.
    fn minutes_of(&self, question: &Question) -> f64 {
        let Some(model) = &self.scene.model.signals[question.signal as usize] else { return 0.0 };
        let desk = model.desk.map(|desk| &self.scene.model.desks[desk as usize].minutes);
        let mut luck = self.luck_of(question);
        // The first two draws are whether it is answered, and when.
        luck.share();
        luck.share();
        desk.or(model.minutes.as_ref()).map_or(0.0, |shape| shape.draw(&mut luck))
    }

    pub(super) fn answered(&mut self, question: Question) {
        let Question { run, node, signal } = question;
        let Some(model) = &self.scene.model.signals[signal as usize] else { return };
        let minutes = self.minutes_of(&question);
        if let Some(desk) = model.desk {
            self.desks[desk as usize].busy -= 1;
        }
        if self.engine.status(run).is_some() {
            let batch = self.known[slot(run.0)].batch as usize;
            self.batches[batch].minutes += (minutes * 1e6).round() as u64;
            if let Some((resource, price)) = model.price {
                let units = (minutes * price.scale).round() as u64;
                let nanos = (minutes * price.nanos).round() as i64;
                let spent = (resource, units, Some(nanos));
                self.played.events += 1;
                self.engine.spend_on(self.now_ns, run, node, spent);
                self.drain();
            }
            let of = self.engine.template(run, node);
            if let Some(NodeModel::Answer(quality, group)) =
                of.map(|of| &self.scene.model.nodes[of.index()])
            {
                self.rate(run, *quality, *group);
            }
            self.played.events += 1;
            self.engine.signal(self.now_ns, run, signal, VALUE, false);
            self.drain();
        }
        self.asked.remove(&(run, node));
        if let Some(desk) = model.desk {
            self.serve(desk);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_desk_opens_in_the_morning_of_its_next_day() {
        let hour = DAY_NS / 24;
        let weekdays = [true, true, true, true, true, false, false];
        let desk = Weekly { from_ns: 9 * hour, to_ns: 17 * hour, days: weekdays };
        for (now, opens) in [(0, 9), (9, 9), (12, 12), (17, 24 + 9), (4 * 24 + 18, 7 * 24 + 9)] {
            assert_eq!(desk.next_ns(now * hour), opens * hour, "hour {now}");
        }
        assert_eq!(Weekly::ALWAYS.next_ns(5 * DAY_NS + 1), 5 * DAY_NS + 1);
    }
}
