//! The end of a world: faults stop, people see to what waits for them, and every run must end in time.

use penstock_engine::{NodeKind, Place, Run, RunKey, RunStatus, draw};

use crate::checker::{Checked, broken};
use crate::world::{End, Happening, World, exponential};

/// How long after the last fault every run must be over, in virtual time.
pub const ENDS_WITHIN_NS: u64 = 600_000_000_000;
/// How often people look after what waits for them.
const ATTENDS_NS: u64 = 1_000_000_000;
/// Calls in which time may stand still.
const STILL_MAX: u64 = 500_000;

impl World<'_> {
    /// Whether faults have stopped.
    pub(crate) const fn is_calm(&self) -> bool {
        self.calm_ns.is_some()
    }

    /// From now on nothing fails, hangs or goes down.
    pub(crate) fn calm(&mut self) -> Checked {
        self.calm_ns = Some(self.now_ns);
        self.doomed = None;
        let mean_ns = self.workload.behaviour.duration_ns;
        for start in self.attempts.clone().into_iter().flatten() {
            let dice = draw(self.workload.seed, [22, start.attempt.0, 0, 0]);
            self.schedule(exponential(mean_ns, dice), Happening::Ends(start.attempt, End::Done));
        }
        let queues = self.workload.queues.len();
        (0..queues).try_for_each(|queue| self.configure(queue, 0))?;
        self.provide_all()?;
        if draw(self.workload.seed, [23; 4]).is_multiple_of(4) {
            let runs: Vec<RunKey> = self.engine.runs().collect();
            for run in runs {
                self.happen(Happening::UserCancels(run))?;
            }
        }
        self.attend()
    }

    /// People see to what waits for them.
    pub(crate) fn attend(&mut self) -> Checked {
        let runs: Vec<RunKey> = self.engine.runs().collect();
        for &run in &runs {
            for node in self.engine.unknown(run) {
                self.happen(Happening::Resolves(run, node))?;
            }
            self.provide(run)?;
            let status = self.engine.status(run);
            if matches!(status, Some(RunStatus::Paused | RunStatus::CompensationFailed)) {
                self.happen(Happening::Resumes(run))?;
            }
            let awaited: Vec<u32> = self
                .engine
                .awaiting(run)
                .iter()
                .filter_map(|&it| self.signal_of(run, it))
                .collect();
            for signal in awaited {
                self.happen(Happening::Signal(run, signal))?;
            }
        }
        self.schedule(ATTENDS_NS, Happening::Attends);
        Ok(())
    }

    fn signal_of(&self, run: RunKey, node: Place) -> Option<u32> {
        let plan = self.engine.plan_of(run)?;
        match self.engine.plan(plan).kind(self.engine.template(run, node)?) {
            NodeKind::Signal { signal, .. } => Some(signal),
            _ => None,
        }
    }

    /// I8: time goes on, and every run is over soon after the last fault.
    pub(crate) fn is_in_time(&mut self) -> Checked {
        let (since_ns, calls) = self.moved;
        if since_ns != self.now_ns {
            self.moved = (self.now_ns, self.report.events);
        } else if self.report.events - calls > STILL_MAX {
            return broken(8, format!("time stands still at {}", self.now_ns));
        }
        let late = self
            .calm_ns
            .is_some_and(|calm_ns| self.now_ns > calm_ns.saturating_add(ENDS_WITHIN_NS));
        if late && self.engine.run_count() > 0 {
            return broken(8, format!("some runs do not end: {:?}", self.stuck()));
        }
        Ok(())
    }

    /// Runs under way, with their nodes that have not ended.
    pub(crate) fn stuck(&self) -> Vec<(RunKey, Option<RunStatus>, Vec<String>)> {
        let open = |run: RunKey| {
            let states = self.engine.run(run).into_iter().flat_map(Run::states);
            let open = (0..).map(Place).zip(states).filter(|(_, state)| !state.is_terminal());
            open.filter_map(|(it, state)| Some(format!("{} {state:?}", self.engine.path(run, it)?)))
                .collect()
        };
        self.engine.runs().map(|run| (run, self.engine.status(run), open(run))).collect()
    }
}
