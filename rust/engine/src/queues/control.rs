//! What a queue has that limits more than slots: rates, budget, breaker, shedding, adaptive concurrency.

use super::adaptive::Adaptive;
use super::breaker::{Breaker, BreakerState};
use super::budget::TOKEN;
use super::model::{Cost, QueueModel};
use super::purse::{PartId, Purse};
use super::rate::Gcra;
use super::shed::Shed;
use crate::ids::{AttemptKey, StepId, TenantId};

/// Why an entry may not start now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gate {
    /// It may.
    Open,
    /// Nothing of the queue may before this time: its rate is used up.
    Closed(u64),
    /// The breaker is open.
    Broken,
}

/// What an attempt was charged with when it started.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Charge {
    /// To its tenant.
    pub(crate) cost: u64,
    pub(crate) tenant: TenantId,
    pub(crate) step: StepId,
    /// To the rate of tokens.
    pub(crate) tokens: u32,
    /// What it has used so far; [`Charge::UNSAID`] if it has not said so.
    pub(crate) used: u32,
    pub(crate) lane: u8,
    /// 1 to 5; 0 where nothing is charged.
    pub(crate) priority: u8,
}

impl Charge {
    /// Of an attempt that has not said what it uses.
    pub(crate) const UNSAID: u32 = u32::MAX;
    const NONE: Self = Self {
        cost: 0,
        tenant: TenantId::NONE,
        step: StepId(0),
        tokens: 0,
        used: Self::UNSAID,
        lane: 0,
        priority: 0,
    };
}

/// How an attempt ended, as far as the dependency is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It did what was asked of it.
    Answered,
    /// It said no, for good. That is an answer, too.
    Refused,
    /// It failed in a way that may pass, or took too long.
    Failed,
    /// It said that it is asked too much.
    Throttled,
    /// The attempt was cut off before there was an answer.
    Unsaid,
}

#[derive(Debug)]
pub(crate) struct Control {
    requests: Option<Gcra>,
    tokens: Option<Gcra>,
    pub(crate) budget: Option<Purse>,
    pub(crate) breaker: Option<Breaker>,
    pub(crate) shed: Option<Shed>,
    pub(crate) adaptive: Option<Adaptive>,
    /// What tenants are charged by, if they take turns.
    by: Option<Cost>,
    /// By the attempt's slot.
    charges: Vec<Charge>,
    /// What an attempt of a step costs, smoothed.
    costs: Vec<u64>,
}

/// What an attempt is taken to cost before one of its step has ended.
const FIRST_COST: u64 = 1_000_000;

impl Control {
    /// What a model asks for, if anything.
    pub(crate) fn new(model: &QueueModel, seed: u64, now_ns: u64) -> Option<Box<Self>> {
        let control = Self {
            requests: model.requests.map(Gcra::new),
            tokens: model.tokens.map(Gcra::new),
            budget: model.budget.map(|budget| Purse::new(budget, now_ns, budget.stored_ppm.into())),
            breaker: model.breaker.map(|breaker| Breaker::new(breaker, seed)),
            shed: model.shed.map(Shed::new),
            adaptive: model.adaptive.map(Adaptive::new),
            by: model.fairness.as_ref().map(|fairness| fairness.by),
            charges: Vec::new(),
            costs: Vec::new(),
        };
        let idle = control.requests.is_none()
            && control.tokens.is_none()
            && control.budget.is_none()
            && control.breaker.is_none()
            && control.shed.is_none()
            && control.adaptive.is_none()
            && control.by.is_none();
        (!idle).then(|| Box::new(control))
    }

    /// Goes on by another model; what both have keeps its state.
    pub(crate) fn change(&mut self, new: Self, model: &QueueModel, now_ns: u64) {
        let Self { requests, tokens, budget, breaker, shed, adaptive, by, .. } = new;
        let rated =
            |old: Option<Gcra>, new: Option<Gcra>, rate: Option<super::Rate>| match (old, rate) {
                (Some(mut old), Some(rate)) => {
                    old.change(rate.gap_ps, rate.burst);
                    Some(old)
                }
                _ => new,
            };
        self.requests = rated(self.requests, requests, model.requests);
        self.tokens = rated(self.tokens, tokens, model.tokens);
        match (&mut self.budget, model.budget) {
            (Some(budget), Some(model)) => budget.change(model, now_ns),
            (kept, _) => *kept = budget,
        }
        match (&mut self.breaker, model.breaker) {
            (Some(breaker), Some(model)) => breaker.change(model),
            (kept, _) => *kept = breaker,
        }
        match (&mut self.shed, model.shed) {
            (Some(shed), Some(model)) => shed.change(model),
            (kept, _) => *kept = shed,
        }
        match (&mut self.adaptive, model.adaptive) {
            (Some(adaptive), Some(model)) => adaptive.change(model),
            (kept, _) => *kept = adaptive,
        }
        if self.by != by {
            // What was charged in another unit is not settled in this one.
            self.costs.clear();
            self.charges.clear();
        }
        self.by = by;
    }

    /// Takes the share of the limits that is this host's.
    pub(crate) fn limit(&mut self, limits: &super::Limits, model: &QueueModel) {
        if let (Some(requests), Some(rate)) = (&mut self.requests, model.requests) {
            requests.change(limits.requests_gap_ps, rate.burst);
        }
        if let (Some(tokens), Some(rate)) = (&mut self.tokens, model.tokens) {
            tokens.change(limits.tokens_gap_ps, rate.burst);
        }
        if let Some(budget) = &mut self.budget {
            budget.change_floor(limits.floor_ppm);
        }
    }

    /// Whether its breaker is anything but closed.
    pub(crate) fn is_broken(&self) -> bool {
        self.breaker.as_ref().is_some_and(|it| it.state() != BreakerState::Closed)
    }

    /// Whether an attempt of so many tokens may start.
    pub(crate) fn gate(&mut self, now_ns: u64, tokens: u32) -> Gate {
        if let Some(breaker) = &mut self.breaker
            && !breaker.admits(now_ns)
        {
            return Gate::Broken;
        }
        let requests_ns = self.requests.as_ref().map_or(0, |rate| rate.due_ns(now_ns, 1));
        let tokens_ns = self.tokens.as_ref().map_or(0, |rate| rate.due_ns(now_ns, tokens));
        let due_ns = requests_ns.max(tokens_ns);
        if due_ns > now_ns { Gate::Closed(due_ns) } else { Gate::Open }
    }

    /// What a tenant is charged for an attempt of a step that is about to start.
    pub(crate) fn cost(&self, step: StepId, tokens: u32) -> u64 {
        match self.by {
            None => 0,
            Some(Cost::Attempts) => WHOLE,
            Some(Cost::Tokens) if tokens > 0 => u64::from(tokens) * WHOLE,
            Some(_) => match self.costs.get(step.0 as usize) {
                Some(&cost) if cost > 0 => cost,
                _ => FIRST_COST,
            },
        }
    }

    /// An attempt has started; a first one earns for a part of the retry budget.
    pub(crate) fn started(
        &mut self,
        now_ns: u64,
        attempt: AttemptKey,
        charge: Charge,
        first: Option<PartId>,
    ) {
        if let Some(requests) = &mut self.requests {
            requests.take(now_ns, 1);
        }
        if let Some(tokens) = &mut self.tokens {
            tokens.take(now_ns, charge.tokens);
        }
        if let Some(breaker) = &mut self.breaker {
            breaker.sent();
        }
        if let Some(part) = first
            && let Some(budget) = &mut self.budget
        {
            budget.deposit(now_ns, part);
        }
        if self.by.is_some() || self.tokens.is_some() {
            let slot = slot(attempt);
            if slot >= self.charges.len() {
                self.charges.resize(slot + 1, Charge::NONE);
            }
            self.charges[slot] = charge;
        }
    }

    /// An attempt said what it has used.
    pub(crate) fn used(&mut self, attempt: AttemptKey, tokens: u32) {
        if let Some(charge) = self.charges.get_mut(slot(attempt)) {
            let before = if charge.used == Charge::UNSAID { 0 } else { charge.used };
            charge.used = before.saturating_add(tokens).min(Charge::UNSAID - 1);
        }
    }

    /// What an attempt that has ended was charged with, and what its tenant should have been, if tenants take turns.
    pub(crate) fn settled(
        &mut self,
        attempt: AttemptKey,
        time_ns: u64,
    ) -> Option<(Charge, Option<u64>)> {
        let place = self.charges.get_mut(slot(attempt)).filter(|it| it.priority > 0)?;
        let charge = *place;
        place.priority = 0;
        let used = if charge.used == Charge::UNSAID { charge.tokens } else { charge.used };
        if let Some(tokens) = &mut self.tokens {
            tokens.settle(charge.tokens, used);
        }
        let cost = match self.by {
            None => return Some((charge, None)),
            Some(Cost::Attempts) => WHOLE,
            Some(Cost::Tokens) => u64::from(used) * WHOLE,
            Some(Cost::Time) => time_ns,
        };
        // What costs nothing has its turn, too, but not every one.
        let cost = cost.max(1);
        let step = charge.step.0 as usize;
        if step >= self.costs.len() {
            self.costs.resize(step + 1, 0);
        }
        let smoothed = &mut self.costs[step];
        *smoothed = if *smoothed == 0 { cost } else { (*smoothed * 7 + cost) / 8 };
        Some((charge, Some(cost)))
    }

    /// An attempt has ended; whether the concurrency or the breaker changed.
    pub(crate) fn ended(
        &mut self,
        now_ns: u64,
        started_ns: u64,
        running: u32,
        verdict: Verdict,
    ) -> Changed {
        let mut changed = Changed::default();
        if let Some(adaptive) = &mut self.adaptive {
            changed.concurrency = match verdict {
                Verdict::Throttled => adaptive.throttled(),
                Verdict::Answered => adaptive.took(now_ns - started_ns, running),
                Verdict::Refused | Verdict::Failed | Verdict::Unsaid => false,
            };
        }
        if let Some(breaker) = &mut self.breaker {
            let failed = !matches!(verdict, Verdict::Answered | Verdict::Refused);
            if verdict == Verdict::Unsaid {
                breaker.unsaid(started_ns);
            } else if breaker.ended(now_ns, started_ns, failed) {
                changed.breaker = Some(breaker.state());
            }
        }
        changed
    }

    /// Pays for a retry; whether there was enough. A queue without a budget has always enough.
    #[inline]
    pub(crate) fn pays(&mut self, now_ns: u64, timed_out: bool, part: PartId) -> bool {
        let cost = if timed_out { 2 * TOKEN } else { TOKEN };
        self.budget.as_mut().is_none_or(|budget| budget.withdraw(now_ns, cost, part))
    }
}

/// The slot of an attempt's key.
const fn slot(attempt: AttemptKey) -> usize {
    (attempt.0 & 0xffff_ffff) as usize
}

/// Units of cost in one token or attempt, so that weights can divide it.
const WHOLE: u64 = 1_000;

/// What the end of an attempt changed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Changed {
    /// How many may be under way.
    pub(crate) concurrency: bool,
    pub(crate) breaker: Option<BreakerState>,
}
