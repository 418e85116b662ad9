//! What goes wrong around the runtime, drawn from the seed apart from the rest of a world: the disk is slow or
//! refuses, the loop's timer comes late, the clock jumps, queues are given other limits.

use penstock_engine::{Event, Limits, QueueId, QueueModel, draw};

use crate::checker::Checked;
use crate::dice::Dice;
use crate::workload::{MS, Workload};
use crate::world::{Happening, World, exponential};

/// Draws the faults of a world.
pub(crate) fn draw_faults(workload: &mut Workload) {
    let mut dice = Dice::new(workload.seed ^ 0xfa_0175);
    let some = |dice: &mut Dice, below: u64| if dice.one_in(2) { 1 + dice.below(below) } else { 0 };
    let behaviour = &mut workload.behaviour;
    behaviour.slow = some(&mut dice, 200);
    behaviour.refusing = if dice.one_in(3) { 1 + dice.below(600) } else { 0 };
    behaviour.late = some(&mut dice, 400);
    behaviour.jumps = if dice.one_in(3) { 1 + dice.below(3) } else { 0 };
    behaviour.reconfigured = some(&mut dice, 6);
}

/// The longest jump of the clock.
const JUMP_NS: u64 = 600_000 * MS;

impl World<'_> {
    /// Says when what is to go wrong once will.
    pub(crate) fn schedule_faults(&mut self) {
        let span_ns = 1 + self.workload.gap_ns * self.workload.runs;
        let behaviour = self.workload.behaviour;
        let queues = self.workload.queues.len() as u64;
        let dice = |what, nth| draw(self.workload.seed, [24, what, nth, 0]);
        let crashes = (0..behaviour.crashes).map(|nth| (dice(1, nth), Happening::Crash));
        let jumps = (0..behaviour.jumps)
            .map(|nth| (dice(2, nth), Happening::Jumps(dice(3, nth) % JUMP_NS)));
        let changes = (0..behaviour.reconfigured).map(|nth| {
            let queue = dice(4, nth) % queues;
            (dice(5, nth), Happening::Reconfigured(queue as usize, 1 + dice(6, nth) % 8))
        });
        let all: Vec<(u64, Happening)> = crashes.chain(jumps).chain(changes).collect();
        for (at, happening) in all {
            self.schedule(at % span_ns, happening);
        }
    }

    /// When the loop's timer for a deadline comes: then, later, or much later, unless something else happens.
    pub(crate) fn wakes_ns(&mut self, deadline_ns: u64) -> u64 {
        if self.is_calm() {
            return deadline_ns;
        }
        if let Some((known_ns, at_ns)) = self.wakes
            && known_ns == deadline_ns
        {
            return at_ns;
        }
        let dice = |what| draw(self.workload.seed, [25, what, deadline_ns, self.report.events]);
        let behaviour = &self.workload.behaviour;
        let late = dice(1) % 1_000 < behaviour.late;
        let mean_ns = if dice(2).is_multiple_of(4) { 1_000 * MS } else { 5 * MS };
        let at_ns = if late { deadline_ns + exponential(mean_ns, dice(3)) } else { deadline_ns };
        self.report.late_ticks += u64::from(late);
        self.wakes = Some((deadline_ns, at_ns));
        at_ns
    }

    /// A queue gets other limits, by its model or as this host's share; with 0 what it has in the workload.
    pub(crate) fn configure(&mut self, queue: usize, concurrency: u64) -> Checked {
        self.report.events += 1;
        let id = QueueId(queue as u32 + 1);
        let model = &self.workload.queues[queue];
        if concurrency.is_multiple_of(2) {
            let least = model.adaptive.map_or(1, |adaptive| adaptive.least);
            let concurrency = if concurrency == 0 { model.concurrency } else { concurrency as u32 };
            let model = QueueModel { concurrency: concurrency.max(least), ..model.clone() };
            self.checker.limits(id, model.concurrency, &self.engine);
            self.engine.configure_queue(self.now_ns, id, model);
        } else {
            let limits = Limits { concurrency: concurrency as u32, ..model.limits() };
            self.checker.limits(id, limits.concurrency, &self.engine);
            self.engine.handle(self.now_ns, Event::Limits { queue: id, limits });
        }
        self.drain(false)
    }
}
