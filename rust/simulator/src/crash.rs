//! The process goes down, and the next one restores what is on disk.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use penstock_engine::{Lsn, Restore, RunKey, TenantId, draw};

use crate::checker::{Checked, Crashed};
use crate::shadow::Shadow;
use crate::world::{Coming, Happening, World, engine, exponential};

impl World<'_> {
    /// Says when the process will go down.
    pub(crate) fn schedule_crashes(&mut self) {
        let span_ns = self.workload.gap_ns * self.workload.runs;
        for nth in 0..self.workload.behaviour.crashes {
            let dice = draw(self.workload.seed, [10, nth, 0, 0]);
            self.schedule(dice % (1 + span_ns), Happening::Crash);
        }
    }

    /// Whether the process goes down now.
    pub(crate) fn is_doomed(&mut self) -> bool {
        self.doomed.take_if(|calls| *calls <= self.report.events).is_some()
    }

    /// The engine is thrown away, and a new one goes on with what had reached the disk.
    pub(crate) fn crash(&mut self) -> Checked {
        self.report.crashes += 1;
        let crash = self.report.crashes;
        let dice = |what: u64| draw(self.workload.seed, [14, what, crash, 0]);
        let cut = self.cut(dice(1), dice(2));
        let under_way: BTreeSet<RunKey> =
            self.attempts.iter().flatten().map(|start| start.run).collect();
        let Crashed { mut runs, revived, vanished } = self.checker.crashed(&self.engine, cut)?;
        self.report.vanished += vanished;
        for tag in revived.into_iter().filter_map(|number| self.ends.remove(&number)) {
            *self.report.ended(tag) -= 1;
        }
        self.attempts.clear();
        self.evaluating.clear();
        self.synced = cut;
        self.now_ns +=
            exponential(1 + dice(3) % (20 * self.workload.behaviour.duration_ns), dice(4));
        self.engine = engine(self.workload);
        self.booked = 0;
        let known = runs.iter().map(|shadow| shadow.number + 1).max();
        self.number = known.max(self.ends.keys().max().map(|number| number + 1)).unwrap_or(0);
        self.engine.continue_after(cut, self.number);
        let coming = std::mem::take(&mut self.coming);
        runs.sort_by_key(|shadow| draw(dice(5), [shadow.number; 4]));
        let mut moved = BTreeMap::new();
        for shadow in runs {
            let was_under_way = under_way.contains(&shadow.key);
            let before = shadow.key;
            moved.insert(before, self.restore(shadow, was_under_way)?);
        }
        self.hash([10, cut.0, moved.len() as u64, 0]);
        self.outlive(coming.into_vec(), &moved);
        self.engine.go_on(self.now_ns);
        self.drain(false)
    }

    /// What is on disk: as much as the engine has heard of, or more, or all but the end of what came of a call.
    fn cut(&mut self, how: u64, dice: u64) -> Lsn {
        let unheard = self.engine.lsn().0 - self.synced.0;
        let batches = std::mem::take(&mut self.batches).into_iter();
        let torn: Vec<(Lsn, Lsn)> = batches.filter(|(first, last)| first < last).collect();
        match how % 3 {
            0 => self.synced,
            1 if !torn.is_empty() => {
                let (first, last) = torn[(dice % torn.len() as u64) as usize];
                Lsn(first.0 + draw(dice, [0; 4]) % (last.0 - first.0))
            }
            _ => Lsn(self.synced.0 + dice % (1 + unheard)),
        }
    }

    fn restore(&mut self, shadow: Shadow, was_under_way: bool) -> Result<RunKey, String> {
        let records = shadow.watched.as_ref().map_or(&[][..], |watched| &watched.records);
        let key = self.engine.restore(
            self.now_ns,
            &Restore {
                number: shadow.number,
                plan: shadow.plan,
                inputs: &shadow.inputs,
                tenant: TenantId::NONE,
                durability: shadow.durability,
                records,
                records_had: records.len() as u32,
                again: None,
                recoveries: if was_under_way { shadow.recoveries() + 1 } else { 0 },
            },
        );
        self.report.restored += 1;
        self.checker.restored(&self.engine, key, shadow);
        self.take(false)?;
        Ok(key)
    }

    /// What was to happen inside the process does not; users go on as they would have.
    fn outlive(&mut self, coming: Vec<Reverse<Coming>>, moved: &BTreeMap<RunKey, RunKey>) {
        let now = |run: RunKey| moved.get(&run).copied();
        let outlived = coming.into_iter().filter_map(|Reverse((at_ns, seq, happening))| {
            let happening = match happening {
                Happening::Arrival(_) | Happening::Crash => happening,
                Happening::UserCancels(run) => Happening::UserCancels(now(run)?),
                Happening::Pauses(run) => Happening::Pauses(now(run)?),
                Happening::Resumes(run) => Happening::Resumes(now(run)?),
                Happening::Resolves(run, node) => Happening::Resolves(now(run)?, node),
                Happening::Signal(run, signal) => Happening::Signal(now(run)?, signal),
                Happening::Ends(..)
                | Happening::Heartbeat(_)
                | Happening::Answered(_)
                | Happening::Synced(_) => return None,
            };
            Some(Reverse((at_ns, seq, happening)))
        });
        self.coming.extend(outlived);
    }
}
