//! What a world's money comes to: I6, checked against books of the simulator's own.
//!
//! What the attempts of a run spend is the cost of the run; what the runs of a tenant or a workflow cost is what its
//! account and its pages say; and where the money went adds up to all of it, by kind, by step and by waste. Also I5 as
//! far as it is about tokens: retries are paid with what was earned.

use std::collections::BTreeMap;

use penstock_engine::{
    AccountId, AccountModel, AttemptKey, Body, DAY_NS, Engine, Event, LedgerEntry, Lsn, PageKey,
    Payer, PlanId, Policy, QueueId, Record, ResourceId, RunKey, TOKEN, TenantId, WINDOW_NS,
    WhenSpent, draw,
};

use crate::checker::{Checked, broken};
use crate::dice::Dice;
use crate::limited::TENANTS;
use crate::workload::Workload;
use crate::world::World;

/// An account that a world's tenants or workflows share.
#[derive(Clone, Copy, Debug)]
pub struct Shared {
    /// Whose it is.
    pub payer: Payer,
    /// Which tenant or workflow.
    pub of: u32,
    /// What may be spent.
    pub model: AccountModel,
}

/// More than anybody spends.
const PLENTY: i64 = i64::MAX / 4;

/// In half of all worlds, limits what tenants, workflows and runs may spend; some of those begin before midnight.
pub(crate) fn draw_money(workload: &mut Workload) {
    let mut dice = Dice::new(workload.seed ^ 0x00ca_5400);
    if dice.one_in(2) {
        return;
    }
    let plans = workload.graphs.len() as u64;
    for _ in 0..=dice.below(3) {
        let (payer, of) = match dice.below(2) {
            0 => (Payer::Workflow, dice.below(plans)),
            _ => (Payer::Tenant, dice.below(TENANTS)),
        };
        let model = model(&mut dice, 20_000_000);
        let known = |it: &Shared| (it.payer, it.of) == (payer, of as u32);
        if !workload.shared.iter().any(known) {
            workload.shared.push(Shared { payer, of: of as u32, model });
        }
    }
    if workload.shared.iter().any(|it| it.model.daily) {
        let span_ns = workload.gap_ns * workload.runs;
        workload.begin_ns = DAY_NS - 1 - dice.below(1 + span_ns);
    }
    workload.behaviour.budgeted = dice.below(600);
    for policy in workload.graphs.iter_mut().flat_map(|(_, policies)| policies).flatten() {
        let mut sometimes =
            |below: u64| if dice.one_in(2) { dice.below(below).cast_signed() } else { 0 };
        *policy = Policy {
            estimate_nanos: sometimes(1_000_000),
            max_nanos: sometimes(1_500_000),
            ..*policy
        };
    }
}

fn model(dice: &mut Dice, most: u64) -> AccountModel {
    AccountModel {
        limit_nanos: (most / 20 + dice.below(most)).cast_signed(),
        degrade_ppm: dice.below(1_000_000) as u32,
        daily: dice.one_in(2),
        when_spent: WhenSpent::ALL[dice.below(3) as usize],
    }
}

/// What was booked, as the simulator has it.
#[derive(Debug, Default)]
pub(crate) struct Money {
    /// The accounts of the engine, as in the workload.
    accounts: Vec<AccountId>,
    /// Everything that was spent and may be on disk.
    bookings: Vec<Booking>,
    /// In this process: what was booked in a window, and what runs cost that have ended, by workflow and tenant.
    cash: BTreeMap<PageKey, i64>,
    closed: BTreeMap<(PlanId, TenantId), i64>,
    /// Retries that a queue has let through in this process, and when that began.
    retries: BTreeMap<QueueId, u64>,
    began_ns: u64,
}

#[derive(Clone, Copy, Debug)]
struct Booking {
    /// Its record, if there is one.
    lsn: Option<Lsn>,
    at_ns: u64,
    plan: PlanId,
    tenant: TenantId,
    nanos: i64,
}

impl Booking {
    const fn is_of(&self, shared: &Shared) -> bool {
        match shared.payer {
            Payer::Workflow => self.plan.0 == shared.of,
            Payer::Tenant => self.tenant.0 == shared.of,
            Payer::Run => false,
        }
    }
}

impl Money {
    /// Gives a new engine the accounts of the workload, with what was spent from them before.
    pub(crate) fn open(&mut self, workload: &Workload, engine: &mut Engine, now_ns: u64) {
        self.accounts.clear();
        for shared in &workload.shared {
            let account = engine.add_account(now_ns, shared.payer, shared.model);
            match shared.payer {
                Payer::Workflow => engine.charge_plan(PlanId(shared.of), account),
                Payer::Tenant => engine.charge_tenant(TenantId(shared.of), account),
                Payer::Run => {}
            }
            engine.carry_over(now_ns, account, self.spent_of(shared, now_ns));
            self.accounts.push(account);
        }
        self.began_ns = now_ns;
    }

    /// The process went down: what is on disk was spent, and the books are empty.
    pub(crate) fn crashed(&mut self, cut: Lsn) {
        self.bookings.retain(|booking| booking.lsn.is_some_and(|lsn| lsn <= cut));
        self.cash.clear();
        self.closed.clear();
        self.retries.clear();
    }

    fn spent_of(&self, shared: &Shared, now_ns: u64) -> i64 {
        let today = |it: &&Booking| !shared.model.daily || it.at_ns / DAY_NS == now_ns / DAY_NS;
        self.bookings.iter().filter(|it| it.is_of(shared)).filter(today).map(|it| it.nanos).sum()
    }

    /// A run has ended, as its records leave it: its ledger is what they say.
    pub(crate) fn closed(
        &mut self,
        (plan, tenant): (PlanId, TenantId),
        records: &[Record],
        ledger: &[LedgerEntry],
    ) -> Result<i64, String> {
        let mut by_step = BTreeMap::new();
        for record in records {
            if let Body::Spent { resource, nanos, copy, .. } = record.body {
                let key = (record.node, record.attempt, resource, copy);
                *by_step.entry(key).or_insert(0) += nanos.unwrap_or(0);
            }
        }
        let cost: i64 = by_step.values().sum();
        for entry in ledger {
            let key = (entry.node, entry.attempt, entry.resource, entry.copy);
            *by_step.entry(key).or_insert(0) -= entry.amount.nanos;
        }
        if let Some((step, by)) = by_step.into_iter().find(|(_, left)| *left != 0) {
            return broken(6, format!("{step:?} spent {by} nano-dollars more than its run"));
        }
        *self.closed.entry((plan, tenant)).or_default() += cost;
        Ok(cost)
    }

    /// A queue lets an attempt be tried again.
    pub(crate) fn retried(&mut self, queue: QueueId) {
        *self.retries.entry(queue).or_default() += 1;
    }

    /// Books, accounts and retry budgets say what the simulator's own do.
    pub(crate) fn check(&self, workload: &Workload, engine: &Engine) -> Checked {
        let mut nanos = BTreeMap::new();
        let mut cash = 0;
        for page in engine.books().pages() {
            let PageKey { plan, tenant, .. } = page.key;
            *nanos.entry((plan, tenant)).or_insert(0) += page.nanos;
            let booked: i64 = page.cash.iter().map(|(_, amount)| amount.nanos).sum();
            let known = self.cash.get(&page.key).copied().unwrap_or_default();
            if booked != known {
                return broken(6, format!("{:?} has {booked}, {known} was spent", page.key));
            }
            cash += booked;
            let nodes = || (0..page.node_count()).filter_map(|node| page.node(node));
            let spending = |amounts: &penstock_engine::Spending| -> i64 {
                amounts.iter().map(|(_, amount)| amount.nanos).sum()
            };
            let sums = [
                page.waste.iter().sum::<i64>(),
                nodes().map(|node| node.waste.iter().sum::<i64>()).sum(),
                nodes().map(|node| node.kinds.iter().sum::<i64>()).sum(),
                nodes().map(|node| spending(&node.spending)).sum(),
            ];
            if sums.iter().any(|&sum| sum != page.nanos) {
                let what = "by waste, by waste of steps, by kind, by resource";
                return broken(6, format!("{:?} has {}, {what} {sums:?}", page.key, page.nanos));
            }
        }
        nanos.retain(|_, sum| *sum != 0);
        let mut closed = self.closed.clone();
        closed.retain(|_, sum| *sum != 0);
        if nanos != closed {
            return broken(6, format!("pages have {nanos:?}, runs cost {closed:?}"));
        }
        let known: i64 = self.cash.values().sum();
        if cash != known {
            return broken(6, format!("{cash} is booked, {known} was spent"));
        }
        self.accounts(workload, engine)?;
        self.tokens(workload, engine)
    }

    fn accounts(&self, workload: &Workload, engine: &Engine) -> Checked {
        for (shared, &account) in workload.shared.iter().zip(&self.accounts) {
            let Some(view) = engine.account(account) else {
                return broken(6, format!("the account of {shared:?} is gone"));
            };
            let known = self.spent_of(shared, engine.now_ns());
            if view.spent_nanos != known || view.reserved_nanos < 0 {
                return broken(6, format!("{shared:?} has {view:?}, {known} was spent"));
            }
            let idle = engine.running() == 0 && engine.run_count() == 0;
            if idle && view.reserved_nanos > 0 {
                return broken(6, format!("{shared:?} keeps {view:?} for nobody"));
            }
        }
        Ok(())
    }

    /// I5: no more retries than tokens were earned.
    fn tokens(&self, workload: &Workload, engine: &Engine) -> Checked {
        for (model, id) in workload.queues.iter().zip(1..) {
            let Some(budget) = &model.budget else { continue };
            let view = engine.queue(QueueId(id));
            let most = u64::from(budget.stored_ppm);
            if view.tokens_ppm.is_some_and(|tokens| tokens > most) {
                return broken(5, format!("queue {id} has {:?} of {most} tokens", view.tokens_ppm));
            }
            let passed_ns = engine.now_ns() - self.began_ns;
            let floor = u128::from(budget.floor_ppm) * u128::from(passed_ns) / 1_000_000_000;
            let first = u128::from(view.total.first) * u128::from(budget.ratio_ppm);
            let earned = u128::from(most) + floor + first;
            let retries = self.retries.get(&QueueId(id)).copied().unwrap_or_default();
            if u128::from(retries) * u128::from(TOKEN) > earned {
                return broken(
                    5,
                    format!("queue {id} let {retries} retries through with {earned}"),
                );
            }
        }
        Ok(())
    }
}

impl World<'_> {
    /// Every other attempt books something, now and then without a price.
    pub(crate) fn spend(&mut self, attempt: AttemptKey) -> Checked {
        let dice = |what| draw(self.workload.seed, [15, what, attempt.0, self.now_ns]);
        let Some((run, ..)) = self.engine.attempt(attempt) else { return Ok(()) };
        let started = self.attempts.get((attempt.0 & 0xffff_ffff) as usize).copied().flatten();
        let Some(plan) = started.filter(|it| it.attempt == attempt).map(|it| it.plan) else {
            return Ok(());
        };
        if dice(1).is_multiple_of(2) {
            return Ok(());
        }
        let resource = ResourceId((dice(2) % 3) as u32);
        let nanos = (!dice(3).is_multiple_of(10)).then(|| (dice(4) % 1_000_000).cast_signed());
        let units = dice(5) % 1_000;
        let live = self.engine.run(run).is_some();
        let tenant = self.checker.tenant(run);
        let booking = Booking {
            lsn: live.then(|| Lsn(self.engine.lsn().0 + 1)),
            at_ns: self.now_ns,
            plan,
            tenant,
            nanos: nanos.unwrap_or(0),
        };
        let money = &mut self.checker.money;
        money.bookings.push(booking);
        let window_ns = self.now_ns - self.now_ns % WINDOW_NS;
        *money.cash.entry(PageKey { window_ns, plan, tenant }).or_default() += booking.nanos;
        if !live {
            *money.closed.entry((plan, tenant)).or_default() += booking.nanos;
        }
        self.handle(Event::Spent { attempt, resource, units, nanos })
    }

    /// What a run may spend, if that is limited.
    pub(crate) fn budget(&self, number: u64) -> Option<AccountModel> {
        let mut dice = Dice::new(draw(self.workload.seed, [26, number, 0, 0]));
        let limited = dice.below(1_000) < self.workload.behaviour.budgeted;
        limited.then(|| AccountModel { daily: false, ..model(&mut dice, 3_000_000) })
    }

    /// A run may spend as much as it wants from now on, if it has a budget.
    pub(crate) fn provide(&mut self, run: RunKey) -> Checked {
        let account = self.engine.account_of(run).and_then(|it| self.engine.account(it));
        let Some(view) = account.filter(|view| view.model.limit_nanos < PLENTY) else {
            return Ok(());
        };
        self.report.events += 1;
        let model = AccountModel { limit_nanos: PLENTY, ..view.model };
        self.engine.budget(self.now_ns, run, model);
        self.drain(false)
    }

    /// So may tenants and workflows.
    pub(crate) fn provide_all(&mut self) -> Checked {
        for (shared, account) in
            self.workload.shared.iter().zip(self.checker.money.accounts.clone())
        {
            self.report.events += 1;
            let model = AccountModel { limit_nanos: PLENTY, ..shared.model };
            self.engine.configure_account(self.now_ns, account, model);
            self.drain(false)?;
        }
        Ok(())
    }
}
