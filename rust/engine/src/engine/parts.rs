//! Runs whose retries are paid apart from others', as those of a release's candidate are.

use super::Engine;
use crate::ids::{PlanId, QueueId};
use crate::queues::{PartId, PartModel};

/// Which workflows have a part of retry budgets for themselves.
#[derive(Debug, Default)]
pub(super) struct Parts {
    models: Vec<PartModel>,
    of: Vec<(PlanId, PartId)>,
}

impl Parts {
    /// Who pays for retries of a workflow's runs. O(workflows that have a part).
    #[inline]
    pub(super) fn of(&self, plan: PlanId) -> PartId {
        if self.of.is_empty() { PartId::REST } else { self.find(plan) }
    }

    #[cold]
    fn find(&self, plan: PlanId) -> PartId {
        let found = self.of.iter().find(|(it, _)| *it == plan);
        found.map_or(PartId::REST, |&(_, part)| part)
    }
}

impl Engine {
    /// From now on, retries of each of these groups of workflows are paid from its share alone, in millionths, of the
    /// budgets of queues that it has in common with others; and nobody else's are. A workflow that was in none earns and
    /// pays as the rest.
    pub fn part_retries(&mut self, now_ns: u64, groups: &[(PartModel, Vec<PlanId>)]) {
        self.begin(now_ns);
        self.parts.models = groups.iter().map(|(model, _)| *model).collect();
        self.parts.of = groups
            .iter()
            .flat_map(|(model, plans)| plans.iter().map(|&plan| (plan, model.part)))
            .collect();
        for queue in (0..self.queues.len()).map(QueueId) {
            self.split(queue);
            self.arm(queue);
        }
    }

    /// Has a queue's retry budget in the parts that it is to have.
    pub(super) fn split(&mut self, queue: QueueId) {
        let uses = |plan: PlanId| {
            let policies = &self.plans[plan.0 as usize].policies;
            policies.iter().flatten().any(|policy| policy.queue == queue)
        };
        let shared = |part: PartId| {
            let mut plans = (0..self.plans.len() as u32).map(PlanId);
            let owns = self.parts.of.iter().any(|&(plan, it)| it == part && uses(plan));
            owns && plans.any(|plan| self.parts.of(plan) != part && uses(plan))
        };
        let parts: Vec<PartModel> =
            self.parts.models.iter().copied().filter(|it| shared(it.part)).collect();
        self.queues.get_mut(queue).split(self.now_ns, &parts);
    }
}
