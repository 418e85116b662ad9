//! Budgets: which accounts of the engine are whose, and what was spent of them before.

use std::collections::{BTreeMap, HashMap};

use penstock_engine::{
    AccountId, AccountModel, AttemptKey, DAY_NS, Engine, Ledger, Payer, PlanId, RunKey, TenantId,
    WhenSpent,
};
use penstock_journal::{Reader, StoreError};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use serde_json::Value as Json;

use crate::core::Core;
use crate::state::State;

/// A budget as Python gives it: nano-dollars, whether they are for each day, what happens when they are spent, and
/// from which share on that begins.
pub(crate) type BudgetParts = (i64, bool, String, f64);

/// How a budget stands: `(payer, name, nano-dollars, whether for a day, spent, reserved, steps that wait)`.
type BudgetRow = (&'static str, String, i64, bool, i64, i64, usize);

/// Who has a budget.
#[derive(Default)]
pub(crate) struct Budgets {
    workflows: BTreeMap<String, AccountId>,
    tenants: BTreeMap<String, AccountModel>,
    /// What each other tenant may spend.
    others: Option<AccountModel>,
    /// Of tenants that were heard of.
    accounts: BTreeMap<String, AccountId>,
    /// By plan; what a run of it may spend unless it says so itself.
    runs: HashMap<PlanId, AccountModel>,
    /// What tenants had spent when the store was opened: on that day, and in all.
    before: HashMap<String, (u64, i64, i64)>,
}

/// The engine's model of a budget.
///
/// # Errors
/// `ValueError` for a word that Python does not give.
pub(crate) fn model((limit_nanos, daily, when, at): BudgetParts) -> PyResult<AccountModel> {
    let when_spent = WhenSpent::named(&when)
        .ok_or_else(|| PyValueError::new_err(format!("a budget does nothing like {when:?}")))?;
    let degrade_ppm = (at * 1e6).round() as u32;
    Ok(AccountModel { limit_nanos, degrade_ppm, daily, when_spent })
}

impl Budgets {
    /// What a run of a plan may spend that says nothing itself.
    pub(crate) fn of_runs(&self, plan: PlanId) -> Option<AccountModel> {
        self.runs.get(&plan).copied()
    }

    fn limit_tenants(&self) -> bool {
        !self.tenants.is_empty() || self.others.is_some()
    }

    /// A tenant may spend so much, or each that has no budget of its own; gives their accounts.
    fn limit(&mut self, tenant: Option<String>, model: AccountModel) -> Vec<AccountId> {
        if let Some(name) = tenant {
            let account = self.accounts.get(&name).copied();
            self.tenants.insert(name, model);
            return account.into_iter().collect();
        }
        self.others = Some(model);
        let others = self.accounts.iter().filter(|(name, _)| !self.tenants.contains_key(*name));
        others.map(|(_, &account)| account).collect()
    }

    /// A tenant was heard of: it has its account from now on.
    fn meet(&mut self, engine: &mut Engine, now_ns: u64, name: &str, tenant: TenantId) {
        // Tenants beyond those that are told apart share nothing.
        if tenant == TenantId::NONE || self.accounts.contains_key(name) {
            return;
        }
        let Some(model) = self.tenants.get(name).copied().or(self.others) else { return };
        let account = engine.add_account(now_ns, Payer::Tenant, model);
        if let Some(&(day, of_day, in_all)) = self.before.get(name) {
            let is_today = day == now_ns / DAY_NS;
            let spent = if !model.daily {
                in_all
            } else if is_today {
                of_day
            } else {
                0
            };
            engine.carry_over(now_ns, account, spent);
        }
        engine.charge_tenant(tenant, account);
        self.accounts.insert(name.to_owned(), account);
    }
}

impl State {
    /// The number of a tenant, with its account if tenants have budgets.
    pub(crate) fn tenant_id(&mut self, now_ns: u64, name: &str) -> TenantId {
        let tenant = self.tenants.id(name);
        if self.budgets.limit_tenants() {
            self.budgets.meet(&mut self.engine, now_ns, name, tenant);
        }
        tenant
    }

    /// A plan was added: its workflow's budget pays for it.
    pub(crate) fn charge(&mut self, plan: PlanId) {
        let name = self.plans[plan.0 as usize].plan.name();
        if let Some(&account) = self.budgets.workflows.get(name) {
            self.engine.charge_plan(plan, account);
        }
    }

    /// What was spent of budgets in earlier processes, by the figures of the store. What those lack follows when it
    /// is counted.
    pub(crate) fn spent_before(&mut self, now_ns: u64, reader: &Reader) -> Result<(), StoreError> {
        if self.budgets.workflows.is_empty() && !self.budgets.limit_tenants() {
            return Ok(());
        }
        let today = now_ns / DAY_NS;
        for row in reader.metrics(0, u64::MAX)?.into_iter().filter(|row| row.kind == "cash") {
            let key: Json = serde_json::from_str(&row.key).unwrap_or_default();
            let body: Json = serde_json::from_str(&row.body).unwrap_or_default();
            let amounts = body.as_object().into_iter().flat_map(|body| body.values());
            let nanos = amounts.filter_map(|amount| amount["nanos"].as_i64()).sum::<i64>();
            let is_today = row.window_ns / DAY_NS == today;
            let account = key["workflow"].as_str().and_then(|it| self.budgets.workflows.get(it));
            if let Some(&account) = account {
                let daily = self.engine.account(account).is_some_and(|it| it.model.daily);
                if is_today || !daily {
                    self.engine.carry_over(now_ns, account, nanos);
                }
            }
            if let Some(tenant) = key["tenant"].as_str() {
                let before = self.budgets.before.entry(tenant.to_owned()).or_default();
                before.0 = today;
                before.1 += if is_today { nanos } else { 0 };
                before.2 += nanos;
            }
        }
        Ok(())
    }

    fn ledger(&self, run: RunKey) -> Option<&Ledger> {
        match self.engine.run(run) {
            Some(live) => live.ledger(),
            None => self.past(run)?.ledger.as_deref(),
        }
    }

    fn row(&self, payer: Payer, name: &str, account: AccountId) -> Option<BudgetRow> {
        let view = self.engine.account(account)?;
        let (limit, daily) = (view.model.limit_nanos, view.model.daily);
        let (spent, reserved) = (view.spent_nanos, view.reserved_nanos);
        Some((payer.name(), name.to_owned(), limit, daily, spent, reserved, view.waiting))
    }
}

#[pymethods]
impl Core {
    /// A workflow or a tenant may spend so much from now on; without a name, each tenant that has no budget of its
    /// own.
    fn configure_budget(
        slf: &Bound<'_, Self>,
        payer: &str,
        name: Option<String>,
        parts: BudgetParts,
    ) -> PyResult<()> {
        let (core, py) = (slf.get(), slf.py());
        let model = model(parts)?;
        let now_ns = core.read_clock(py);
        let effects = {
            let mut state = core.lock(py);
            let State { budgets, engine, .. } = &mut *state;
            match (payer, name) {
                ("workflow", Some(name)) => {
                    if let Some(&account) = budgets.workflows.get(&name) {
                        engine.configure_account(now_ns, account, model);
                    } else {
                        let account = engine.add_account(now_ns, Payer::Workflow, model);
                        budgets.workflows.insert(name, account);
                    }
                }
                (_, name) => {
                    for account in budgets.limit(name, model) {
                        engine.configure_account(now_ns, account, model);
                    }
                }
            }
            state.drain(py)
        };
        core.perform(py, effects);
        core.schedule_pump(slf)
    }

    /// What each run of a workflow may spend that says nothing itself.
    fn limit_runs(&self, py: Python<'_>, plan: u32, parts: BudgetParts) -> PyResult<()> {
        let model = model(parts)?;
        self.lock(py).budgets.runs.insert(PlanId(plan), model);
        Ok(())
    }

    /// A run may spend so much from now on; whether it is under way.
    fn budget_run(slf: &Bound<'_, Self>, run: u64, parts: BudgetParts) -> PyResult<bool> {
        let model = model(parts)?;
        let (core, py) = (slf.get(), slf.py());
        let now_ns = core.read_clock(py);
        let (changed, effects) = {
            let mut state = core.lock(py);
            (state.engine.budget(now_ns, RunKey(run), model), state.drain(py))
        };
        core.perform(py, effects);
        core.schedule_pump(slf)?;
        Ok(changed)
    }

    /// A run with a budget of its own may spend so many nano-dollars from now on, and is else served as before; false if it
    /// is not under way, or has none.
    fn raise_budget(slf: &Bound<'_, Self>, run: u64, limit_nanos: i64) -> PyResult<bool> {
        let (core, py) = (slf.get(), slf.py());
        let now_ns = core.read_clock(py);
        let (changed, effects) = {
            let mut state = core.lock(py);
            let account = state.engine.account_of(RunKey(run));
            let view = account.and_then(|account| state.engine.account(account));
            let changed = view.is_some_and(|view| {
                let model = AccountModel { limit_nanos, ..view.model };
                state.engine.budget(now_ns, RunKey(run), model)
            });
            (changed, state.drain(py))
        };
        core.perform(py, effects);
        core.schedule_pump(slf)?;
        Ok(changed)
    }

    /// How the budgets of workflows and of tenants stand that were heard of.
    fn budgets(&self, py: Python<'_>) -> Vec<BudgetRow> {
        let state = self.lock(py);
        let workflows = state.budgets.workflows.iter();
        let tenants = state.budgets.accounts.iter();
        let all = workflows.map(|it| (Payer::Workflow, it));
        let all = all.chain(tenants.map(|it| (Payer::Tenant, it)));
        all.filter_map(|(payer, (name, &account))| state.row(payer, name, account)).collect()
    }

    /// How the budget of a run under way stands, if it has one of its own.
    fn budget_of(&self, py: Python<'_>, run: u64) -> Option<BudgetRow> {
        let state = self.lock(py);
        let account = state.engine.account_of(RunKey(run))?;
        state.row(Payer::Run, &state.run_id(RunKey(run)).unwrap_or_default(), account)
    }

    /// Whether anything of a run was made cheaper to stay within a budget.
    fn is_degraded(&self, py: Python<'_>, run: u64) -> bool {
        self.lock(py).ledger(RunKey(run)).is_some_and(Ledger::is_degraded)
    }

    /// Whether an attempt is to do with less; from any thread. If so, its run is degraded from now on.
    fn is_to_save(&self, py: Python<'_>, attempt: u64) -> bool {
        let now_ns = self.read_clock(py);
        let (saves, effects) = {
            let mut state = self.lock(py);
            (state.engine.is_to_save(now_ns, AttemptKey(attempt)), state.drain(py))
        };
        self.perform(py, effects);
        saves
    }

    /// Why an attempt of a run was not paid for, the last time: `(payer, asked, spent, limit)`.
    fn unpaid(&self, py: Python<'_>, run: u64) -> Option<(&'static str, i64, i64, i64)> {
        let unpaid = self.lock(py).ledger(RunKey(run))?.unpaid()?;
        let (asked, spent) = (unpaid.asked_nanos, unpaid.spent_nanos);
        Some((unpaid.payer.name(), asked, spent, unpaid.limit_nanos))
    }
}
