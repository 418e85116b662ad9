//! What users do: they start runs, send signals, and find out what became of steps.

use penstock_engine::{
    Accept, BANDS, Durability, Place, PlanId, Resolution, RunKey, TenantId, ValueId, draw,
};

use crate::checker::Checked;
use crate::limited::TENANTS;
use crate::shadow::Shadow;
use crate::world::{Happening, World, exponential};

impl World<'_> {
    /// Somebody has found out what became of a step, or decides what did.
    pub(crate) fn resolve(&mut self, run: RunKey, node: Place) -> Checked {
        self.report.events += 1;
        let parts = [12, run.0, node.0.into(), self.report.events];
        let (resolution, value) = match draw(self.workload.seed, parts) % 3 {
            0 => (Resolution::Retry, None),
            1 => {
                let value = self.checker.value();
                (Resolution::Done(value), Some(value))
            }
            _ => {
                let error = self.checker.value();
                (Resolution::Failed(error), Some(error))
            }
        };
        if !self.engine.resolve(self.now_ns, run, node, resolution) {
            value.map_or(Ok(()), |value| self.checker.give_up(value))?;
        }
        self.drain(false)
    }

    pub(crate) fn signal(&mut self, run: RunKey, signal: u32) -> Checked {
        self.report.events += 1;
        let value = self.checker.value();
        let keep = draw(self.workload.seed, [9, value.0.into(), 0, 0]).is_multiple_of(2);
        if !self.engine.signal(self.now_ns, run, signal, value, keep) {
            self.checker.give_up(value)?;
        }
        self.drain(false)
    }

    pub(crate) fn arrive(&mut self, number: u64) -> Checked {
        let behaviour = &self.workload.behaviour;
        let dice = |what: u64| draw(self.workload.seed, [what, number, 0, 1]);
        let plan = PlanId((dice(1) % self.workload.graphs.len() as u64) as u32);
        let plan = self.version_of(plan, number);
        let spec = &self.workload.graphs[plan.0 as usize].0;
        let count = spec.regions[0].input_count;
        let inputs: Vec<ValueId> = (0..count).map(|_| self.checker.value()).collect();
        let patience_ns = exponential(10 * behaviour.duration_ns, dice(2));
        let behind = dice(8) % 1_000 < behaviour.behind;
        let durability = if behind { Durability::Async } else { Durability::Sync };
        let accept = Accept {
            plan,
            inputs: &inputs,
            tenant: TenantId((dice(7) % TENANTS) as u32),
            priority: Some(1 + (dice(3) % u64::from(BANDS)) as u8),
            deadline_ns: (dice(4) % 1_000 < behaviour.hurried).then(|| self.now_ns + patience_ns),
            durability,
            budget: self.budget(number),
            admitted: false,
        };
        self.report.events += 1;
        let cancelled = dice(5) % 1_000 < behaviour.cancelled;
        let gap_ns = exponential(self.workload.gap_ns, dice(6));
        if let Ok(run) = self.engine.accept(self.now_ns, &accept) {
            let of = (accept.tenant, durability);
            let shadow = Shadow::new(run, self.number, plan, inputs, of);
            self.checker.accepted(&self.engine, shadow);
            self.number += 1;
            if cancelled {
                self.schedule(patience_ns, Happening::UserCancels(run));
            }
            if dice(7) % 1_000 < behaviour.paused {
                self.schedule(patience_ns / 4, Happening::Pauses(run));
            }
            for nth in 0..behaviour.signals.min(4 * spec.signals.len() as u64) {
                let signal = (dice(10 + nth) % spec.signals.len() as u64) as u32;
                let after_ns = exponential(3 * behaviour.duration_ns, dice(100 + nth));
                self.schedule(after_ns, Happening::Signal(run, signal));
            }
        } else {
            self.report.refused += 1;
            inputs.into_iter().try_for_each(|value| self.checker.give_up(value))?;
        }
        if number + 1 < self.workload.runs {
            self.schedule(gap_ns, Happening::Arrival(number + 1));
        } else {
            let after_ns = exponential(20 * behaviour.duration_ns, dice(9));
            self.schedule(after_ns, Happening::Calm);
        }
        self.drain(false)
    }
}
