//! Two versions of a workflow side by side, as while one is released: runs of both, looked at one by one.

use penstock_engine::{PlanId, Policy, RunEnd, RunKey, draw};

use crate::checker::{Checked, broken};
use crate::dice::Dice;
use crate::workload::Workload;
use crate::world::{Happening, World};

/// A version that takes over a share of another's runs for a while.
#[derive(Clone, Copy, Debug)]
pub struct Release {
    /// The version in service.
    pub stable: PlanId,
    /// The new one.
    pub candidate: PlanId,
    /// Of 1,000 runs, how many are the new one's in the meantime.
    pub share: u64,
}

/// In half of all worlds, one of the workflows has a new version with other policies.
pub(crate) fn draw_release(workload: &mut Workload) {
    let mut dice = Dice::new(workload.seed ^ 0x4e1e_a5e0);
    if dice.one_in(2) {
        return;
    }
    let stable = dice.below(workload.graphs.len() as u64) as usize;
    let (mut spec, mut policies) = workload.graphs[stable].clone();
    spec.version = "2".into();
    for policy in policies.iter_mut().flatten().filter(|_| !dice.one_in(3)) {
        let mut retry = policy.retry;
        retry.initial_ns /= 2;
        *policy = Policy { retry, timeout_ns: 2 * policy.timeout_ns, ..*policy };
    }
    let candidate = PlanId(workload.graphs.len() as u32);
    workload.graphs.push((spec, policies));
    let share = 1 + dice.below(1_000);
    workload.release = Some(Release { stable: PlanId(stable as u32), candidate, share });
}

impl World<'_> {
    /// Says when the new version gets its share, and when that is decided.
    pub(crate) fn schedule_release(&mut self) {
        let span_ns = 1 + self.workload.gap_ns * self.workload.runs;
        let dice = |what| draw(self.workload.seed, [28, what, 0, 0]);
        if self.workload.release.is_some() {
            self.schedule(dice(1) % span_ns, Happening::Released(true));
            self.schedule(dice(2) % (2 * span_ns), Happening::Released(false));
        }
    }

    /// A release begins, or is over: the new version has all runs from then on, or none.
    pub(crate) fn release(&mut self, begins: bool) {
        let Some(Release { stable, candidate, share }) = self.workload.release else { return };
        let all = draw(self.workload.seed, [28, 3, 0, 0]).is_multiple_of(2);
        self.share = if begins { share } else { 1_000 * u64::from(all) };
        for plan in [stable, candidate] {
            self.engine.watch_plan(plan, begins);
            self.checker.watch(plan, begins);
        }
        self.report.releases += u64::from(begins);
    }

    /// Which version a new run of a workflow is of.
    pub(crate) fn version_of(&self, plan: PlanId, number: u64) -> PlanId {
        let Some(Release { stable, candidate, .. }) = self.workload.release else { return plan };
        if plan != stable && plan != candidate {
            return plan;
        }
        let dice = draw(self.workload.seed, [28, 4, number, 0]) % 1_000;
        if dice < self.share { candidate } else { stable }
    }

    /// Every run of a version that is watched is told of once when it ends, with what it cost.
    pub(crate) fn ends_are_told(&mut self) -> Checked {
        let expected: Vec<(RunKey, PlanId, i64)> = std::mem::take(&mut self.checker.closing);
        let told = self.engine.take_closed();
        if told.len() != expected.len() {
            return broken(6, format!("{} runs were told of, {expected:?} have ended", told.len()));
        }
        for (closed, (run, plan, cost)) in told.iter().zip(expected) {
            let ended = closed.page.ended.iter().sum::<i64>();
            let is_so = closed.run == Some(run)
                && closed.page.key.plan == plan
                && closed.page.nanos == cost
                && closed.ended_ns == self.now_ns
                && closed.load.delay_ns <= self.now_ns - closed.accepted_ns
                && (ended, RunEnd::COUNT) == (1, closed.page.ended.len());
            if !is_so {
                return broken(6, format!("{run:?} cost {cost}, but is told of as {closed:?}"));
            }
        }
        Ok(())
    }
}
