//! Who answers signals: at once, or at a desk where people take one thing after the other in their hours.

use std::collections::VecDeque;

use penstock_engine::{Place, RunKey};

use super::model::Weekly;

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
