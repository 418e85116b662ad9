//! The process goes down, and the next one restores what is on disk.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use penstock_engine::{Restore, RunKey, draw};

use crate::checker::{Checked, Crashed, Violation};
use crate::disk::Disk;
use crate::shadow::Shadow;
use crate::workload::Workload;
use crate::world::{Coming, Happening, Report, World, engine, exponential, simulate};

/// Plays a world once as it is, and then once for each point at which its process may go down: there it does. Of
/// very many points a share is drawn from the seed.
///
/// # Errors
/// As [`simulate`].
pub fn crash_everywhere(workload: &Workload) -> Result<Report, Violation> {
    let mut all = simulate(workload)?;
    let step = all.points.div_ceil(POINTS_MAX).max(1);
    for point in (1 + workload.seed / 8 % step..=all.points).step_by(step as usize) {
        let down = Workload { down_at: Some(point), ..workload.clone() };
        all.merge(&simulate(&down)?);
    }
    Ok(all)
}

/// Points at which a world has its process go down.
const POINTS_MAX: u64 = 32;

impl World<'_> {
    /// The engine is thrown away, and a new one goes on with what had reached the disk.
    pub(crate) fn crash(&mut self) -> Checked {
        self.report.crashes += 1;
        let crash = self.report.crashes;
        let dice = |what: u64| draw(self.workload.seed, [14, what, crash, 0]);
        let cut = self.disk.cut(dice(1), dice(2));
        let under_way: BTreeSet<RunKey> =
            self.attempts.iter().flatten().map(|start| start.run).collect();
        let Crashed { mut runs, revived, vanished } = self.checker.crashed(&self.engine, cut)?;
        self.report.vanished += vanished;
        for tag in revived.into_iter().filter_map(|number| self.ends.remove(&number)) {
            *self.report.ended(tag) -= 1;
        }
        self.attempts.clear();
        self.evaluating.clear();
        self.disk = Disk::after(cut);
        (self.down, self.drained, self.wakes) = (false, true, None);
        self.now_ns +=
            exponential(1 + dice(3) % (20 * self.workload.behaviour.duration_ns), dice(4));
        self.engine = engine(self.workload);
        self.checker.money.crashed(cut);
        self.checker.money.open(self.workload, &mut self.engine, self.now_ns);
        let known = runs.iter().map(|shadow| shadow.number + 1).max();
        self.number = known.max(self.ends.keys().max().map(|number| number + 1)).unwrap_or(0);
        self.engine.continue_after(cut, self.number);
        self.checker.watched().for_each(|plan| self.engine.watch_plan(plan, true));
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
        self.checker.ticked_ns = self.now_ns;
        self.drain(false)
    }

    fn restore(&mut self, shadow: Shadow, was_under_way: bool) -> Result<RunKey, String> {
        let records = shadow.watched.as_ref().map_or(&[][..], |watched| &watched.records);
        let key = self.engine.restore(
            self.now_ns,
            &Restore {
                number: shadow.number,
                plan: shadow.plan,
                inputs: &shadow.inputs,
                tenant: shadow.tenant,
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
                Happening::Arrival(_)
                | Happening::Crash
                | Happening::Jumps(_)
                | Happening::Reconfigured(..)
                | Happening::Released(_)
                | Happening::Calm
                | Happening::Attends => happening,
                Happening::UserCancels(run) => Happening::UserCancels(now(run)?),
                Happening::Pauses(run) => Happening::Pauses(now(run)?),
                Happening::Resumes(run) => Happening::Resumes(now(run)?),
                Happening::Resolves(run, node) => Happening::Resolves(now(run)?, node),
                Happening::Signal(run, signal) => Happening::Signal(now(run)?, signal),
                Happening::Ends(..)
                | Happening::Heartbeat(_)
                | Happening::Answered(_)
                | Happening::Flush
                | Happening::Commits(_)
                | Happening::Synced(_) => return None,
            };
            Some(Reverse((at_ns, seq, happening)))
        });
        self.coming.extend(outlived);
    }
}
