//! Accounts: how much money runs, workflows and tenants may spend, and what of it is spoken for.
//!
//! Money is reserved in every account of a run before an attempt starts, all or nothing, and given back when the
//! attempt has ended; what it really spends is booked as it is told. So `spent + reserved` goes beyond a limit only
//! by what attempts spend beyond what was reserved for them. Who finds the money spoken for waits here in order;
//! what becomes of who is denied is for the engine to decide.

use std::collections::{BTreeMap, VecDeque};

use crate::ids::{AttemptKey, NodeId, Place, PlanId, RunKey, StepId, TenantId};
use crate::metrics::Distribution;
use crate::plan::Policy;
use crate::slab::Slab;

/// How much may be spent, and what happens then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccountModel {
    /// Nano-dollars, above 0.
    pub limit_nanos: i64,
    /// The share of the limit from which on cascades stay on the tier they are on, in millionths.
    pub degrade_ppm: u32,
    /// Whether that is for each day, in UTC; else it is for good.
    pub daily: bool,
    /// What becomes of a step that is not covered.
    pub when_spent: WhenSpent,
}

/// What becomes of a step that an account does not cover.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenSpent {
    /// It fails.
    Fail,
    /// Its run is paused.
    Pause,
    /// The same, and from a share of the limit on cascades go no higher.
    Degrade,
}

impl WhenSpent {
    /// Every one, in the order of the enum.
    pub const ALL: [Self; 3] = [Self::Fail, Self::Pause, Self::Degrade];

    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fail => "fail",
            Self::Pause => "pause",
            Self::Degrade => "degrade",
        }
    }

    /// The one that a word stands for.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.name() == name)
    }
}

/// Whose money it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payer {
    /// A run's own.
    Run,
    /// A workflow's.
    Workflow,
    /// A tenant's.
    Tenant,
}

impl Payer {
    /// Every one, in the order of the enum, which is that in which they are asked.
    pub const ALL: [Self; 3] = [Self::Run, Self::Workflow, Self::Tenant];

    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Workflow => "workflow",
            Self::Tenant => "tenant",
        }
    }

    /// The one that a word stands for.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.name() == name)
    }
}

/// Why an attempt was not paid for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unpaid {
    /// Whose money it was.
    pub payer: Payer,
    /// Nano-dollars that were to be reserved.
    pub asked_nanos: i64,
    /// Nano-dollars spent by then.
    pub spent_nanos: i64,
    /// Nano-dollars that may be spent.
    pub limit_nanos: i64,
}

/// An account in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AccountId(u64);

impl AccountId {
    const NONE: Self = Self(u64::MAX);
}

/// How an account stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccountView {
    /// What may be spent.
    pub model: AccountModel,
    /// Nano-dollars spent, of today if it is for a day.
    pub spent_nanos: i64,
    /// Nano-dollars spoken for by attempts that may still spend them.
    pub reserved_nanos: i64,
    /// Steps that wait for what is reserved.
    pub waiting: usize,
}

/// Nanoseconds of a day.
pub const DAY_NS: u64 = 86_400_000_000_000;

/// The accounts of a run, in the order of [`Payer`].
pub(crate) type Payers = [AccountId; Payer::ALL.len()];

#[derive(Debug)]
struct Account {
    model: AccountModel,
    payer: Payer,
    spent: i64,
    reserved: i64,
    /// The day that `spent` is of.
    day: u64,
    waiting: VecDeque<Waiting>,
}

/// A step that waits for money.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waiting {
    pub(crate) run: RunKey,
    pub(crate) node: Place,
    pub(crate) template: NodeId,
}

/// Money that is reserved for an attempt.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hold {
    payers: Payers,
    nanos: i64,
}

/// An attempt under way, by its slot.
#[derive(Clone, Copy, Debug)]
struct Flight {
    attempt: AttemptKey,
    step: StepId,
    hold: Hold,
    spent: i64,
}

/// What attempts of a step have cost so far.
#[derive(Clone, Debug, Default)]
struct Learned {
    costs: Distribution,
    /// How many there were when the quantile was taken.
    of: u64,
    nanos: i64,
}

/// What is answered to who asks for money.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Answer {
    /// It is reserved.
    Paid(Hold),
    /// An account has it, but for now it is spoken for.
    Waits(AccountId),
    /// An account does not have it.
    Denied(Unpaid, WhenSpent),
}

/// Every account of an engine.
#[derive(Debug)]
pub(crate) struct Accounts {
    table: Slab<Account>,
    plans: Vec<AccountId>,
    tenants: Vec<AccountId>,
    runs: BTreeMap<RunKey, AccountId>,
    flights: Vec<Option<Flight>>,
    /// Money for steps that had to wait for it and stand in line again.
    granted: BTreeMap<(RunKey, Place), Hold>,
    learned: Vec<Learned>,
    /// Runs that stand still until another day begins.
    asleep: Vec<RunKey>,
    /// When that is, if a timer is set for it.
    wakes_ns: u64,
}

/// The share of a step's attempts that cost no more than what is reserved for it.
const COVERED: f64 = 0.95;

impl Account {
    /// A new day has begun, perhaps.
    fn roll(&mut self, now_ns: u64) {
        let day = now_ns / DAY_NS;
        if self.model.daily && day != self.day {
            self.spent = 0;
        }
        self.day = day;
    }

    const fn has(&self, nanos: i64) -> bool {
        self.spent.saturating_add(nanos) <= self.model.limit_nanos
    }

    const fn has_free(&self, nanos: i64) -> bool {
        self.spent.saturating_add(self.reserved).saturating_add(nanos) <= self.model.limit_nanos
    }
}

impl Flight {
    /// What of the reserved money it may still spend.
    fn left(&self) -> i64 {
        self.hold.nanos.saturating_sub(self.spent).clamp(0, self.hold.nanos)
    }
}

impl Accounts {
    pub(crate) const fn new() -> Self {
        Self {
            table: Slab::new(),
            plans: Vec::new(),
            tenants: Vec::new(),
            runs: BTreeMap::new(),
            flights: Vec::new(),
            granted: BTreeMap::new(),
            learned: Vec::new(),
            asleep: Vec::new(),
            wakes_ns: 0,
        }
    }

    pub(crate) fn add(&mut self, now_ns: u64, payer: Payer, model: AccountModel) -> AccountId {
        let (day, waiting) = (now_ns / DAY_NS, VecDeque::new());
        AccountId(self.table.insert(Account { model, payer, spent: 0, reserved: 0, day, waiting }))
    }

    pub(crate) fn of_plan(&mut self, plan: PlanId, account: AccountId) {
        put(&mut self.plans, plan.0, account);
    }

    pub(crate) fn of_tenant(&mut self, tenant: TenantId, account: AccountId) {
        put(&mut self.tenants, tenant.0, account);
    }

    /// A run has an account of its own from now on, or another one than before.
    pub(crate) fn of_run(&mut self, now_ns: u64, run: RunKey, model: AccountModel) -> AccountId {
        if let Some(&account) = self.runs.get(&run) {
            self.change(account, model);
            return account;
        }
        let account = self.add(now_ns, Payer::Run, model);
        self.runs.insert(run, account);
        account
    }

    pub(crate) fn change(&mut self, account: AccountId, model: AccountModel) {
        if let Some(account) = self.table.get_mut(account.0) {
            account.model = model;
        }
    }

    /// A run is over: what of it is still under way books to the others.
    pub(crate) fn run_over(&mut self, run: RunKey) {
        if let Some(account) = self.runs.remove(&run) {
            self.table.remove(account.0);
        }
    }

    pub(crate) fn run_account(&self, run: RunKey) -> Option<AccountId> {
        self.runs.get(&run).copied()
    }

    pub(crate) fn tenant_account(&self, tenant: TenantId) -> Option<AccountId> {
        let account = self.tenants.get(tenant.0 as usize).copied();
        account.filter(|&account| account != AccountId::NONE)
    }

    pub(crate) fn view(&self, now_ns: u64, account: AccountId) -> Option<AccountView> {
        let Account { model, spent, reserved, day, waiting, .. } = self.table.get(account.0)?;
        let past = model.daily && *day != now_ns / DAY_NS;
        Some(AccountView {
            model: *model,
            spent_nanos: if past { 0 } else { *spent },
            reserved_nanos: *reserved,
            waiting: waiting.len(),
        })
    }

    /// The accounts that an attempt is paid from.
    pub(crate) fn payers(&self, run: RunKey, plan: PlanId, tenant: TenantId) -> Payers {
        let known = |all: &[AccountId], index: u32| {
            all.get(index as usize).copied().unwrap_or(AccountId::NONE)
        };
        let own = if self.runs.is_empty() { None } else { self.run_account(run) };
        [own.unwrap_or(AccountId::NONE), known(&self.plans, plan.0), known(&self.tenants, tenant.0)]
    }

    /// Nano-dollars to reserve for an attempt of a step. O(1), amortised.
    pub(crate) fn price(&mut self, policy: &Policy) -> i64 {
        if policy.max_nanos > 0 {
            return policy.max_nanos;
        }
        policy.estimate_nanos.max(self.learned_nanos(policy.step))
    }

    fn learned_nanos(&mut self, step: StepId) -> i64 {
        let Some(learned) = self.learned.get_mut(step.0 as usize) else { return 0 };
        let len = learned.costs.len();
        if len >= learned.of + learned.of.div_ceil(8).max(1) {
            learned.of = len;
            let nanos = learned.costs.quantile_ns(COVERED);
            learned.nanos = i64::try_from(nanos).unwrap_or(i64::MAX);
        }
        learned.nanos
    }

    /// Asks for money: all of the accounts give it, or none. `turn` is the account whose first in line it is.
    pub(crate) fn ask(
        &mut self,
        now_ns: u64,
        payers: Payers,
        nanos: i64,
        turn: Option<AccountId>,
    ) -> Answer {
        for payer in payers {
            let Some(account) = self.table.get_mut(payer.0) else { continue };
            account.roll(now_ns);
            if !account.has(nanos) {
                let unpaid = Unpaid {
                    payer: account.payer,
                    asked_nanos: nanos,
                    spent_nanos: account.spent,
                    limit_nanos: account.model.limit_nanos,
                };
                return Answer::Denied(unpaid, account.model.when_spent);
            }
        }
        if nanos > 0 {
            for payer in payers {
                let Some(account) = self.table.get(payer.0) else { continue };
                let in_turn = account.waiting.is_empty() || turn == Some(payer);
                if !in_turn || !account.has_free(nanos) {
                    return Answer::Waits(payer);
                }
            }
            for payer in payers {
                if let Some(account) = self.table.get_mut(payer.0) {
                    account.reserved += nanos;
                }
            }
        }
        Answer::Paid(Hold { payers, nanos })
    }

    /// Whether every account has money to spare.
    pub(crate) fn spares(&mut self, now_ns: u64, payers: Payers, nanos: i64) -> bool {
        payers.into_iter().all(|payer| {
            self.table.get_mut(payer.0).is_none_or(|account| {
                account.roll(now_ns);
                account.waiting.is_empty() && account.has_free(nanos)
            })
        })
    }

    /// Nothing is reserved for an attempt, but what it spends is booked.
    pub(crate) const fn unasked(payers: Payers) -> Hold {
        Hold { payers, nanos: 0 }
    }

    pub(crate) fn wait(&mut self, account: AccountId, waiting: Waiting) {
        if let Some(account) = self.table.get_mut(account.0) {
            account.waiting.push_back(waiting);
        }
    }

    pub(crate) fn first(&self, account: AccountId) -> Option<Waiting> {
        self.table.get(account.0)?.waiting.front().copied()
    }

    /// Everybody who waits for money.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = Waiting> {
        self.table.iter().flat_map(|(_, account)| account.waiting.iter().copied())
    }

    pub(crate) fn pop(&mut self, account: AccountId) {
        if let Some(account) = self.table.get_mut(account.0) {
            account.waiting.pop_front();
        }
    }

    /// A step stands in line with its money.
    pub(crate) fn grant(&mut self, run: RunKey, node: Place, hold: Hold) {
        self.granted.insert((run, node), hold);
    }

    pub(crate) fn take_granted(&mut self, run: RunKey, node: Place) -> Option<Hold> {
        if self.granted.is_empty() { None } else { self.granted.remove(&(run, node)) }
    }

    /// An attempt starts.
    pub(crate) fn takes_off(&mut self, attempt: AttemptKey, step: StepId, hold: Hold) {
        let slot = slot(attempt);
        if slot >= self.flights.len() {
            self.flights.resize(slot + 1, None);
        }
        self.flights[slot] = Some(Flight { attempt, step, hold, spent: 0 });
    }

    /// An attempt has spent something; `payers` are those of one that started before there were accounts. O(1).
    pub(crate) fn spend(
        &mut self,
        now_ns: u64,
        attempt: AttemptKey,
        nanos: i64,
        payers: impl FnOnce(&Self) -> Payers,
    ) {
        let flight = self.flights.get_mut(slot(attempt)).and_then(Option::as_mut);
        let (payers, freed) = match flight.filter(|flight| flight.attempt == attempt) {
            Some(flight) => {
                let before = flight.left();
                flight.spent = flight.spent.saturating_add(nanos);
                (flight.hold.payers, before - flight.left())
            }
            None => (payers(self), 0),
        };
        for payer in payers {
            if let Some(account) = self.table.get_mut(payer.0) {
                account.roll(now_ns);
                account.spent = account.spent.saturating_add(nanos);
                account.reserved -= freed;
            }
        }
    }

    /// What was spent before this engine was there.
    pub(crate) fn carry_over(&mut self, now_ns: u64, account: AccountId, nanos: i64) {
        if let Some(account) = self.table.get_mut(account.0) {
            account.roll(now_ns);
            account.spent = account.spent.saturating_add(nanos);
        }
    }

    /// An attempt has ended: what it has not spent is free. Answers in which accounts.
    pub(crate) fn lands(&mut self, attempt: AttemptKey) -> Option<Payers> {
        let known = self.flights.get_mut(slot(attempt))?;
        let flight = known.take_if(|flight| flight.attempt == attempt)?;
        let step = flight.step.0 as usize;
        if step >= self.learned.len() {
            self.learned.resize_with(step + 1, Learned::default);
        }
        self.learned[step].costs.record(u64::try_from(flight.spent).unwrap_or(0));
        Some(self.release(Hold { payers: flight.hold.payers, nanos: flight.left() }))
    }

    /// What attempts of each step have cost so far, in nano-dollars.
    pub(crate) fn costs(&self) -> impl Iterator<Item = (StepId, &Distribution)> {
        let known = (0..).map(StepId).zip(&self.learned);
        known.map(|(step, learned)| (step, &learned.costs)).filter(|(_, costs)| !costs.is_empty())
    }

    /// What attempts of a step had cost before this engine was there.
    pub(crate) fn learn(&mut self, step: StepId, costs: &Distribution) {
        let step = step.0 as usize;
        if step >= self.learned.len() {
            self.learned.resize_with(step + 1, Learned::default);
        }
        self.learned[step].costs.merge(costs);
    }

    /// Money is free again. Answers in which accounts.
    pub(crate) fn release(&mut self, hold: Hold) -> Payers {
        for payer in hold.payers {
            if let Some(account) = self.table.get_mut(payer.0) {
                account.reserved -= hold.nanos;
            }
        }
        hold.payers
    }

    /// A run stands still until there is money again. Answers when that is, if a timer is to be set for it.
    pub(crate) fn sleep(
        &mut self,
        now_ns: u64,
        run: RunKey,
        account: AccountId,
        nanos: i64,
    ) -> Option<u64> {
        let account = self.table.get_mut(account.0).filter(|account| account.model.daily)?;
        account.roll(now_ns);
        // Of an earlier process it may be another day's.
        let at_ns =
            if account.has(nanos) { now_ns } else { (now_ns / DAY_NS).saturating_add(1) * DAY_NS };
        self.asleep.push(run);
        (std::mem::replace(&mut self.wakes_ns, at_ns) != at_ns).then_some(at_ns)
    }

    /// Another day has begun: who stands still for it.
    pub(crate) fn take_asleep(&mut self) -> Vec<RunKey> {
        self.wakes_ns = 0;
        std::mem::take(&mut self.asleep)
    }

    /// Whether cascades stay on the tier they are on.
    pub(crate) fn degrades(&mut self, now_ns: u64, payers: Payers) -> bool {
        payers.into_iter().any(|payer| {
            self.table.get_mut(payer.0).is_some_and(|account| {
                account.roll(now_ns);
                let AccountModel { limit_nanos, degrade_ppm, when_spent, .. } = account.model;
                let share = i128::from(limit_nanos) * i128::from(degrade_ppm);
                when_spent == WhenSpent::Degrade && i128::from(account.spent) * 1_000_000 >= share
            })
        })
    }
}

const fn slot(attempt: AttemptKey) -> usize {
    attempt.0 as u32 as usize
}

fn put(all: &mut Vec<AccountId>, index: u32, account: AccountId) {
    let index = index as usize;
    if index >= all.len() {
        all.resize(index + 1, AccountId::NONE);
    }
    all[index] = account;
}
