//! What attempts spend.

use super::Engine;
use crate::books::Amount;
use crate::ids::{AttemptKey, Place, PlanId, ResourceId, RunKey, TenantId};
use crate::record::Body;
use crate::run::Run;

impl Engine {
    /// An attempt has spent something. Of one that was given up after its run was over, only the books know. O(1).
    pub(super) fn spent(
        &mut self,
        key: AttemptKey,
        resource: ResourceId,
        units: u64,
        nanos: Option<i64>,
    ) {
        let Some(&attempt) = self.attempts.get(key.0) else { return };
        let (plan, tenant) = (attempt.plan, attempt.tenant);
        let amount = Amount::of(units, nanos);
        self.books.cash(self.now_ns, plan, tenant, resource, &amount);
        #[cfg(feature = "planted")]
        if crate::planted::has(crate::planted::Bug::SpendIsBookedTwice) && attempt.number > 1 {
            self.books.cash(self.now_ns, plan, tenant, resource, &amount);
        }
        if self.accounts.is_some() {
            self.spent_from(key, nanos.unwrap_or(0));
        }
        if self.runs.get(attempt.run.0).is_some() {
            let body = Body::Spent { resource, units, nanos, copy: attempt.copy };
            return self.commit(attempt.run, attempt.node, attempt.number, body);
        }
        if let Some(&node) = self.given_up.get(&key) {
            let nodes = self.plans[plan.0 as usize].plan.len();
            let page = self.books.page(attempt.started_ns, plan, tenant);
            page.add_late(nodes, node, attempt.copy, resource, &amount);
        }
    }

    /// Somebody has spent something on a node of a run, which is no attempt's doing; false if the run is over.
    pub fn spend_on(
        &mut self,
        now_ns: u64,
        key: RunKey,
        node: Place,
        (resource, units, nanos): (ResourceId, u64, Option<i64>),
    ) -> bool {
        self.begin(now_ns);
        let Some(run) = self.runs.get(key.0).filter(|run| run.goes_on()) else {
            return false;
        };
        let (plan, tenant) = (run.plan, run.tenant);
        self.books.cash(self.now_ns, plan, tenant, resource, &Amount::of(units, nanos));
        if let Some(accounts) = &mut self.accounts {
            let nanos = nanos.unwrap_or(0);
            accounts.spend(now_ns, AttemptKey::NONE, nanos, |it| it.payers(key, plan, tenant));
        }
        self.commit(key, node, 0, Body::Spent { resource, units, nanos, copy: false });
        true
    }

    /// Counts a run that an earlier process had accepted.
    pub fn recount_accepted(&mut self, at_ns: u64, plan: PlanId, tenant: TenantId) {
        self.books.page(at_ns, plan, tenant).accepted += 1;
    }

    /// Counts what an attempt of an earlier process had spent.
    pub fn recount_spent(
        &mut self,
        at_ns: u64,
        (plan, tenant): (PlanId, TenantId),
        resource: ResourceId,
        amount: &Amount,
    ) {
        self.books.cash(at_ns, plan, tenant, resource, amount);
        self.spent_before(at_ns, (plan, tenant), amount.nanos);
    }

    /// Counts a run that had ended in an earlier process, as its records leave it.
    pub fn recount_ended(&mut self, (plan, tenant): (PlanId, TenantId), run: &Run, ended_ns: u64) {
        self.close_watched(None, run, ended_ns);
        let registered = &self.plans[plan.0 as usize];
        let latency_ns = ended_ns.saturating_sub(run.accepted_ns);
        self.books.page(run.accepted_ns, plan, tenant).close(
            &registered.plan,
            &registered.policies,
            run,
            latency_ns,
        );
    }

    /// Nobody waits for an attempt any more: its run may be over before it.
    pub(super) fn is_given_up(&mut self, key: AttemptKey) {
        let Some(attempt) = self.attempts.get(key.0) else { return };
        let Some(run) = self.runs.get(attempt.run.0) else { return };
        let (_, node) = run.locate(&self.plans[run.plan.0 as usize].plan, attempt.node);
        self.given_up.insert(key, node);
    }
}
