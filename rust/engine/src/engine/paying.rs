//! What accounts pay for: attempts are covered before they start, or wait, or are denied.

use super::Engine;
use super::limits::{Judged, Turned};
use crate::accounts::{
    AccountId, AccountModel, AccountView, Accounts, Answer, Hold, Payer, Payers, Unpaid, Waiting,
    WhenSpent,
};
use crate::action::Action;
use crate::books::Ledger;
use crate::failure::Cause;
use crate::ids::{AttemptKey, Place, PlanId, RunKey, StepId, TenantId};
use crate::metrics::Distribution;
use crate::plan::Policy;
use crate::queues::Entry;
use crate::record::{Body, Denial, Score};
use crate::run::Run;
use crate::state::{NodeState, RunStatus};
use crate::timers::TimerKind;

/// Asks for the money of an attempt whose turn it is; what is to become of it where there is none.
#[cold]
pub(super) fn pay(
    accounts: &mut Accounts,
    now_ns: u64,
    entry: &Entry,
    (plan, tenant): (PlanId, TenantId),
    policy: &Policy,
    forward: bool,
) -> Result<Hold, Judged> {
    if let Some(hold) = accounts.take_granted(entry.run, entry.node) {
        return Ok(hold);
    }
    let payers = accounts.payers(entry.run, plan, tenant);
    // What was done is undone, whoever pays.
    if !forward {
        return Ok(Accounts::unasked(payers));
    }
    let nanos = accounts.price(policy);
    match accounts.ask(now_ns, payers, nanos, None) {
        Answer::Paid(hold) => Ok(hold),
        Answer::Waits(account) => Err(Judged::Owes(account)),
        Answer::Denied(unpaid, when) => Err(Judged::Turned(Turned::Unpaid(unpaid, when))),
    }
}

impl Engine {
    /// Adds an account that workflows or tenants are to share.
    pub fn add_account(&mut self, now_ns: u64, payer: Payer, model: AccountModel) -> AccountId {
        self.begin(now_ns);
        self.accounts_mut().add(now_ns, payer, model)
    }

    /// Runs of a workflow are paid from an account, too, from now on.
    pub fn charge_plan(&mut self, plan: PlanId, account: AccountId) {
        self.accounts_mut().of_plan(plan, account);
    }

    /// Runs for a tenant are paid from an account, too, from now on.
    pub fn charge_tenant(&mut self, tenant: TenantId, account: AccountId) {
        self.accounts_mut().of_tenant(tenant, account);
    }

    /// Takes over what was spent from an account before this engine was there.
    pub fn carry_over(&mut self, now_ns: u64, account: AccountId, nanos: i64) {
        self.begin(now_ns);
        self.accounts_mut().carry_over(now_ns, account, nanos);
    }

    /// Another amount may be spent from now on; who waits for money may have it.
    pub fn configure_account(&mut self, now_ns: u64, account: AccountId, model: AccountModel) {
        self.begin(now_ns);
        self.accounts_mut().change(account, model);
        self.serve_payers([account; 3]);
    }

    /// A run may spend another amount from now on. Answers whether it is under way.
    pub fn budget(&mut self, now_ns: u64, key: RunKey, model: AccountModel) -> bool {
        self.begin(now_ns);
        if self.runs.get(key.0).is_none_or(|run| run.status.is_terminal()) {
            return false;
        }
        self.budgeted(key, model);
        self.settle(key);
        self.take_turns();
        true
    }

    /// What attempts of steps have cost so far, in nano-dollars; nothing as long as there is no account.
    pub fn costs(&self) -> impl Iterator<Item = (StepId, &Distribution)> {
        self.accounts.iter().flat_map(|accounts| accounts.costs())
    }

    /// What attempts of a step had cost before this engine was there: it is reserved for the next ones.
    pub fn learn(&mut self, step: StepId, costs: &Distribution) {
        self.accounts_mut().learn(step, costs);
    }

    /// How an account stands.
    pub fn account(&self, account: AccountId) -> Option<AccountView> {
        self.accounts.as_ref()?.view(self.now_ns, account)
    }

    /// The account of a run under way that has one of its own.
    pub fn account_of(&self, run: RunKey) -> Option<AccountId> {
        self.accounts.as_ref()?.run_account(run)
    }

    /// A tenant's account, if it has one.
    pub fn account_of_tenant(&self, tenant: TenantId) -> Option<AccountId> {
        self.accounts.as_ref()?.tenant_account(tenant)
    }

    /// Whether an attempt is to do with less, as a budget of its run is nearly spent. If so, its run counts as
    /// degraded.
    pub fn is_to_save(&mut self, now_ns: u64, key: AttemptKey) -> bool {
        self.begin(now_ns);
        let Some(attempt) = self.attempts.get(key.0) else { return false };
        let run = attempt.run;
        let saves = self.saves(run);
        if saves {
            self.degraded(run);
            self.settle(run);
        }
        saves
    }

    /// A run's own account: what it may spend is on record before any of its steps starts.
    pub(super) fn budgeted(&mut self, key: RunKey, model: AccountModel) {
        self.commit(key, Place(0), 0, Body::Budgeted { model });
        let (now_ns, lsn) = (self.now_ns, self.lsn);
        if let Some(run) = self.runs.get_mut(key.0) {
            run.wait_for(lsn);
        }
        let account = self.accounts_mut().of_run(now_ns, key, model);
        self.serve_payers([account; 3]);
    }

    /// A run of an earlier process has the account that its records say.
    pub(super) fn restore_account(&mut self, key: RunKey) {
        let Some(run) = self.runs.get(key.0) else { return };
        let Some(model) = run.account() else { return };
        let spent = run.ledger().map_or(0, Ledger::nanos_since_again);
        let now_ns = self.now_ns;
        let accounts = self.accounts_mut();
        let account = accounts.of_run(now_ns, key, model);
        accounts.carry_over(now_ns, account, spent);
    }

    /// A run that stands still for want of a day's money goes on by itself when there is another day's.
    pub(super) fn sleeps(&mut self, key: RunKey, unpaid: &Unpaid) {
        let Some(accounts) = &mut self.accounts else { return };
        let Some(run) = self.runs.get(key.0) else { return };
        let account = accounts.payers(key, run.plan, run.tenant)[unpaid.payer as usize];
        if let Some(at_ns) = accounts.sleep(self.now_ns, key, account, unpaid.asked_nanos) {
            self.timers.insert(at_ns, TimerKind::Midnight);
        }
    }

    pub(super) fn another_day(&mut self) {
        let Some(accounts) = &mut self.accounts else { return };
        for key in accounts.take_asleep() {
            let stands_still = |run: &Run| {
                run.status == RunStatus::Paused && run.unpaid().is_some() && !run.has_unknown()
            };
            if self.runs.get(key.0).is_some_and(stands_still) {
                self.go_on_with(key);
            }
        }
    }

    fn accounts_mut(&mut self) -> &mut Accounts {
        self.accounts.get_or_insert_with(|| Box::new(Accounts::new()))
    }

    /// Whether cascades of a run stay on the tier they are on.
    pub(super) fn saves(&mut self, key: RunKey) -> bool {
        let Some(accounts) = &mut self.accounts else { return false };
        let Some(run) = self.runs.get(key.0) else { return false };
        let payers = accounts.payers(key, run.plan, run.tenant);
        accounts.degrades(self.now_ns, payers)
    }

    /// Something of a run is made cheaper.
    pub(super) fn degraded(&mut self, key: RunKey) {
        let known = self.runs.get(key.0).and_then(Run::ledger);
        if !known.is_some_and(|ledger| ledger.degraded) {
            self.commit(key, Place(0), 0, Body::Degraded);
        }
    }

    /// A tier of a cascade was judged. One that was not good enough is taken all the same where a budget is
    /// nearly spent, and none is explored further.
    pub(super) fn judged(
        &mut self,
        key: RunKey,
        node: Place,
        accepted: bool,
        score: Option<Score>,
    ) {
        if self.accounts.is_some() && self.saves(key) {
            let waits = self.runs.get(key.0).is_some_and(|run| run.awaits_answer(node));
            if waits && !accepted {
                self.degraded(key);
            }
            return self.evaluated(key, node, Body::Chosen { outcome: 1, score });
        }
        self.chosen(key, node, u64::from(accepted), score);
    }

    /// What an attempt has spent is taken from the accounts of its run.
    #[cold]
    pub(super) fn spent_from(&mut self, key: AttemptKey, nanos: i64) {
        let Some(accounts) = &mut self.accounts else { return };
        let Some(&attempt) = self.attempts.get(key.0) else { return };
        let payers =
            |accounts: &Accounts| accounts.payers(attempt.run, attempt.plan, attempt.tenant);
        #[cfg(feature = "planted")]
        if crate::planted::has(crate::planted::Bug::TenantIsNotCharged)
            && accounts.tenant_account(attempt.tenant).is_some()
        {
            return;
        }
        accounts.spend(self.now_ns, key, nanos, payers);
    }

    /// What an earlier process had booked, and nobody has counted.
    pub(super) fn spent_before(
        &mut self,
        at_ns: u64,
        (plan, tenant): (PlanId, TenantId),
        nanos: i64,
    ) {
        let Some(accounts) = &mut self.accounts else { return };
        for payer in accounts.payers(RunKey(u64::MAX), plan, tenant) {
            let daily = accounts.view(at_ns, payer).is_some_and(|view| view.model.daily);
            if !daily || at_ns / crate::accounts::DAY_NS == self.now_ns / crate::accounts::DAY_NS {
                accounts.carry_over(self.now_ns, payer, nanos);
            }
        }
    }

    /// An attempt has ended: what was reserved for it is free.
    #[cold]
    pub(super) fn landed(&mut self, key: AttemptKey) {
        let Some(accounts) = &mut self.accounts else { return };
        if let Some(payers) = accounts.lands(key) {
            self.serve_payers(payers);
        }
    }

    /// A step that had its money leaves its line.
    #[cold]
    pub(super) fn gives_back(&mut self, run: RunKey, node: Place) {
        let Some(accounts) = &mut self.accounts else { return };
        if let Some(hold) = accounts.take_granted(run, node) {
            let payers = accounts.release(hold);
            self.serve_payers(payers);
        }
    }

    fn serve_payers(&mut self, payers: Payers) {
        for payer in payers {
            self.serve_account(payer);
        }
    }

    /// Gives free money to those who wait for it, in order. O(those that are served).
    fn serve_account(&mut self, account: AccountId) {
        while let Some(accounts) = &mut self.accounts
            && let Some(waiting) = accounts.first(account)
        {
            let Waiting { run: key, node, template } = waiting;
            let still = self.runs.get(key.0).filter(|run| {
                let waits =
                    run.cells[node.index()].state == NodeState::Ready && !run.is_lined(node);
                waits && run.status != RunStatus::Paused && !run.is_withdrawn(node)
            });
            let Some(run) = still else {
                accounts.pop(account);
                continue;
            };
            let policy = self.plans[run.plan.0 as usize].policy(template);
            let nanos = accounts.price(policy);
            let payers = accounts.payers(key, run.plan, run.tenant);
            match accounts.ask(self.now_ns, payers, nanos, Some(account)) {
                Answer::Waits(other) if other == account => return,
                Answer::Waits(other) => {
                    accounts.pop(account);
                    accounts.wait(other, waiting);
                }
                Answer::Denied(..) => {
                    accounts.pop(account);
                    // It is denied when its turn comes.
                    self.enter_line(key, node);
                }
                Answer::Paid(hold) => {
                    accounts.pop(account);
                    accounts.grant(key, node, hold);
                    self.enter_line(key, node);
                    if !self.runs.get(key.0).is_some_and(|run| run.is_lined(node)) {
                        self.gives_back(key, node);
                    }
                }
            }
        }
    }

    /// A step is not paid for: it fails, or its run stands still until somebody sees to it.
    pub(super) fn unpaid(
        &mut self,
        key: RunKey,
        node: Place,
        unpaid: Unpaid,
        when_spent: WhenSpent,
        fallback: bool,
    ) {
        let Some(run) = self.runs.get(key.0) else { return };
        // Whoever resumes a paused run finds it; what is not needed any more is withdrawn.
        if run.status == RunStatus::Paused || run.is_withdrawn(node) || run.ending.is_some() {
            return;
        }
        let stands_still = run.status == RunStatus::Running;
        self.commit(key, node, 0, Body::Denied { unpaid });
        if when_spent == WhenSpent::Fail || fallback || !stands_still {
            return self.fail_wait(key, node, Cause::Budget);
        }
        self.commit(key, node, 0, Body::Parked { denial: Denial::Money });
        self.commit(key, Place(0), 0, Body::Paused);
        self.stand_still(key);
        self.settle(key);
        self.actions.push_back(Action::Stalled { run: key, node, cause: Cause::Budget });
        self.sleeps(key, &unpaid);
    }
}
