//! The store of a world: records go out in batches, a transaction takes all that wait, and who waits is told later.
//!
//! As in the runtime: what somebody waits for is handed over at once, the rest after a while; a transaction that is
//! refused is tried again with the same records after a pause that doubles; and nobody hears of a record before it
//! is on disk. So there is a point after each of these at which the process may go down.

use penstock_engine::{Body, Durability, Lsn, Record, draw};

use crate::checker::Checked;
use crate::world::{Happening, World, exponential};

/// Where the process may go down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Point {
    /// Records are written down in memory.
    Appended,
    /// They are handed over to the store.
    Sent,
    /// They are on disk, and nobody knows.
    Written,
    /// It was told that they are.
    Told,
    /// An attempt is about to be called.
    Called,
}

impl Point {
    pub(crate) const ALL: [Self; 5] =
        [Self::Appended, Self::Sent, Self::Written, Self::Told, Self::Called];
}

/// What has come of the records of this process.
#[derive(Debug)]
pub(crate) struct Disk {
    /// The last that is written down.
    appended: Lsn,
    /// The last that is handed over.
    sent: Lsn,
    /// The last on disk.
    pub(crate) written: Lsn,
    /// Up to where the transaction goes that is under way.
    writing: Option<Lsn>,
    /// Refusals in a row.
    refusals: u32,
    /// Whether what nobody waits for will be handed over.
    flushes: bool,
    /// First and last records that came of one call and may not be on disk.
    pub(crate) batches: Vec<(Lsn, Lsn)>,
}

/// What nobody waits for is handed over after this long.
const LAZY_NS: u64 = 50_000_000;
/// After a refusal; doubled with each one, up to the longest.
const PAUSE_FIRST_NS: u64 = 50_000_000;
const PAUSE_LAST_NS: u64 = 1_000_000_000;
/// A slow transaction takes so many times as long.
const SLOW: u64 = 50;

impl Disk {
    /// Of a process that goes on after what is on disk.
    pub(crate) fn after(lsn: Lsn) -> Self {
        Self {
            appended: lsn,
            sent: lsn,
            written: lsn,
            writing: None,
            refusals: 0,
            flushes: false,
            batches: Vec::new(),
        }
    }

    /// What is on disk after a crash: what is known to be, with the transaction under way, with some of it, or all
    /// but the end of what came of one call.
    pub(crate) fn cut(&self, how: u64, dice: u64) -> Lsn {
        let torn: Vec<(Lsn, Lsn)> =
            self.batches.iter().copied().filter(|(first, last)| first < last).collect();
        match how % 4 {
            0 => self.written,
            1 => self.writing.unwrap_or(self.written),
            2 if !torn.is_empty() => {
                let (first, last) = torn[(dice % torn.len() as u64) as usize];
                Lsn(first.0 + draw(dice, [0; 4]) % (last.0 - first.0)).max(self.written)
            }
            _ => Lsn(self.written.0 + dice % (1 + self.appended.0 - self.written.0)),
        }
    }
}

impl World<'_> {
    /// The records of one call are written down.
    pub(crate) fn appended(&mut self, records: &[Record]) -> Checked {
        let (Some(first), Some(last)) = (records.first(), records.last()) else { return Ok(()) };
        if !self.workload.config.journaled {
            return Ok(());
        }
        self.disk.appended = last.lsn;
        self.disk.batches.push((first.lsn, last.lsn));
        let mut urgent = false;
        for record in records {
            let sync = self.checker.durability(record.run)? == Durability::Sync;
            urgent |= sync || record.body.is_about_run() || record.body == Body::Started;
        }
        self.reach(Point::Appended);
        if urgent {
            self.flush();
        } else if !std::mem::replace(&mut self.disk.flushes, true) {
            self.schedule(LAZY_NS, Happening::Flush);
        }
        Ok(())
    }

    /// What is written down is handed over.
    pub(crate) fn flush(&mut self) {
        if self.is_down() || self.disk.sent == self.disk.appended {
            return;
        }
        self.disk.sent = self.disk.appended;
        self.reach(Point::Sent);
        if self.disk.writing.is_none() {
            self.begin();
        }
    }

    pub(crate) fn flush_lazily(&mut self) {
        self.disk.flushes = false;
        self.flush();
    }

    /// A transaction begins with all that waits.
    fn begin(&mut self) {
        self.disk.writing = Some(self.disk.sent);
        let takes_ns = self.commit_ns();
        self.schedule(takes_ns, Happening::Commits(self.disk.sent));
    }

    fn commit_ns(&self) -> u64 {
        let behaviour = &self.workload.behaviour;
        let dice = |what| draw(self.workload.seed, [20, what, self.disk.sent.0, self.now_ns]);
        match dice(1) % 1_000 {
            _ if self.is_calm() => behaviour.sync_ns,
            slow if slow < behaviour.slow => exponential(SLOW * (1 + behaviour.sync_ns), dice(2)),
            _ => behaviour.sync_ns,
        }
    }

    /// A transaction ends, or is refused.
    pub(crate) fn commits(&mut self, lsn: Lsn) {
        if self.disk.writing != Some(lsn) {
            return;
        }
        let dice =
            draw(self.workload.seed, [21, lsn.0, self.disk.refusals.into(), self.now_ns]) % 1_000;
        if dice < self.workload.behaviour.refusing && !self.is_calm() {
            let pause_ns = PAUSE_FIRST_NS << self.disk.refusals.min(5);
            self.disk.refusals += 1;
            self.report.refusals += 1;
            let takes_ns = pause_ns.min(PAUSE_LAST_NS) + self.commit_ns();
            return self.schedule(takes_ns, Happening::Commits(lsn));
        }
        self.disk.refusals = 0;
        self.disk.written = lsn;
        self.disk.writing = None;
        self.disk.batches.retain(|(_, last)| *last > lsn);
        self.reach(Point::Written);
        // The loop has other things to do.
        let told_ns = if dice.is_multiple_of(3) { dice * 1_000 } else { 0 };
        self.schedule(told_ns, Happening::Synced(lsn));
        if self.disk.sent > lsn && !self.is_down() {
            self.begin();
        }
    }

    /// One of the points at which the process may go down.
    pub(crate) fn reach(&mut self, point: Point) {
        self.report.points += 1;
        if self.workload.down_at == Some(self.report.points) {
            self.goes_down(point);
        }
        if let Some((at, left)) = &mut self.doomed
            && *at == point
        {
            if *left == 0 {
                self.goes_down(point);
            } else {
                *left -= 1;
            }
        }
    }

    fn goes_down(&mut self, point: Point) {
        if !self.is_calm() {
            self.report.down_at[point as usize] += 1;
            self.down = true;
        }
        self.doomed = None;
    }
}
