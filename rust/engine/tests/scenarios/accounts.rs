//! Accounts against a naive model, which adds up what attempts under way may still spend and have spent.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use penstock_engine::{
    AccountId, AccountModel, DAY_NS, Event, Payer, PlanId, ResourceId, RunKey, RunStatus, Start,
    TenantId, WhenSpent,
};
use proptest::prelude::*;

use crate::harness::{SECOND, World, step};

#[derive(Clone, Copy, Debug)]
enum Op {
    /// A run of one of the plans, for one of the tenants, with this much of its own.
    Accept(usize, u32, Option<i64>),
    /// One of the attempts under way spends this share of its price, in tenths.
    Spend(usize, i64),
    Done(usize),
    Fail(usize),
    Cancel(usize),
    Resume(usize),
    Raise(usize, i64),
    Advance(u64),
    Crash,
}

fn ops(within: bool) -> impl Strategy<Value = Vec<Op>> {
    let most = if within { 5_i64 } else { 15 };
    let op = prop_oneof![
        6 => (0..3_usize, 0..3_u32, prop::option::of(20..200_i64))
            .prop_map(|(plan, tenant, own)| Op::Accept(plan, tenant, own)),
        6 => (0..64_usize, 0..=most)
            .prop_map(|(at, tenths)| Op::Spend(at, tenths)),
        8 => (0..64_usize).prop_map(Op::Done),
        3 => (0..64_usize).prop_map(Op::Fail),
        1 => (0..64_usize).prop_map(Op::Cancel),
        2 => (0..64_usize).prop_map(Op::Resume),
        1 => (0..4_usize, 1..100_i64).prop_map(|(account, more)| Op::Raise(account, more)),
        2 => prop_oneof![Just(SECOND), Just(DAY_NS / 3)].prop_map(Op::Advance),
        1 => Just(Op::Crash),
    ];
    prop::collection::vec(op, 1..80)
}

#[derive(Clone, Copy)]
struct Flying {
    start: Start,
    price: i64,
    spent: i64,
    payers: [Option<usize>; 2],
}

/// An account that is shared, as the model has it.
struct Shared {
    id: AccountId,
    model: AccountModel,
    spent: i64,
    day: u64,
}

struct Twin {
    world: World,
    plans: Vec<(PlanId, i64)>,
    shared: Vec<Shared>,
    flying: Vec<Flying>,
    runs: Vec<(RunKey, [Option<usize>; 2])>,
    /// What a run with money of its own has spent of it.
    own: BTreeMap<RunKey, i64>,
    /// Whether nothing spends more than its price.
    within: bool,
}

impl Twin {
    fn new(limits: [i64; 4], within: bool) -> Self {
        let mut world = World::new();
        world.check_rarely();
        let prices = [10, 30, 70];
        let plans = prices.map(|price| {
            let node = |inputs: &[u32]| {
                let it = step(inputs).attempts(2);
                it.policy(|policy| {
                    (policy.max_nanos, policy.retry.attempts_max) =
                        (price, NonZeroU32::MIN.saturating_add(1));
                })
            };
            (world.plan(vec![node(&[]), node(&[0])]), price)
        });
        let when = [WhenSpent::Fail, WhenSpent::Pause, WhenSpent::Degrade, WhenSpent::Pause];
        let models = (0..4).map(|at| AccountModel {
            limit_nanos: limits[at],
            degrade_ppm: 800_000,
            daily: at % 2 == 1,
            when_spent: when[at],
        });
        let shared = models.map(|model| Shared { id: none(), model, spent: 0, day: 0 });
        let shared = shared.collect();
        let own = BTreeMap::new();
        let plans = plans.to_vec();
        let mut twin =
            Self { world, plans, shared, flying: Vec::new(), runs: Vec::new(), own, within };
        twin.open_accounts();
        twin
    }

    /// Plans 0 and 1 share an account, plan 2 has none; tenants 1 and 2 have one each. What has no account of its
    /// own is paid by nobody.
    fn open_accounts(&mut self) {
        let now_ns = self.world.now_ns;
        for (at, shared) in self.shared.iter_mut().enumerate() {
            let payer = if at < 2 { Payer::Workflow } else { Payer::Tenant };
            let engine = &mut self.world.engine;
            shared.id = engine.add_account(now_ns, payer, shared.model);
            engine.carry_over(now_ns, shared.id, shared.spent);
            match at {
                0 => engine.charge_plan(self.plans[0].0, shared.id),
                1 => engine.charge_plan(self.plans[1].0, shared.id),
                at => engine.charge_tenant(TenantId(at as u32 - 1), shared.id),
            }
        }
    }

    fn play(&mut self, op: Op) {
        match op {
            Op::Accept(plan, tenant, own) => {
                let model = |limit_nanos| AccountModel {
                    limit_nanos,
                    degrade_ppm: 1_000_000,
                    daily: false,
                    when_spent: WhenSpent::Pause,
                };
                let run = self.world.accept_with(self.plans[plan].0, |accept| {
                    accept.tenant = TenantId(tenant);
                    accept.budget = own.map(model);
                });
                let of_plan = (plan < 2).then_some(plan);
                let of_tenant = (tenant > 0).then_some(tenant as usize + 1);
                self.runs.push((run, [of_plan, of_tenant]));
                if own.is_some() {
                    self.own.insert(run, 0);
                }
            }
            Op::Spend(at, tenths) => {
                if let Some(at) = at.checked_rem(self.flying.len()) {
                    self.spend(at, tenths);
                }
            }
            Op::Done(at) => {
                if let Some(at) = at.checked_rem(self.flying.len()) {
                    let flying = self.flying.remove(at);
                    self.world.done(flying.start);
                }
            }
            Op::Fail(at) => {
                if let Some(at) = at.checked_rem(self.flying.len()) {
                    let flying = self.flying.remove(at);
                    self.world.fail(flying.start);
                }
            }
            Op::Cancel(at) => {
                if let Some(at) = at.checked_rem(self.runs.len()) {
                    self.world.cancel(self.runs[at].0);
                }
            }
            Op::Resume(at) => {
                if let Some(at) = at.checked_rem(self.runs.len()) {
                    self.world.resume(self.runs[at].0);
                }
            }
            Op::Raise(at, more) => {
                let now_ns = self.world.now_ns;
                let Shared { id, model, .. } = &mut self.shared[at];
                model.limit_nanos += more;
                self.world.engine.configure_account(now_ns, *id, *model);
            }
            Op::Advance(by_ns) => {
                self.world.advance(by_ns);
                self.world.handle(Event::Tick);
            }
            Op::Crash => self.crash(),
        }
        self.start_all();
        self.check();
    }

    fn spend(&mut self, at: usize, tenths: i64) {
        let flying = &mut self.flying[at];
        let mut nanos = flying.price * tenths / 10;
        if self.within {
            nanos = nanos.min(flying.price - flying.spent);
        }
        flying.spent += nanos;
        let Flying { start, payers, .. } = *flying;
        let resource = ResourceId(0);
        let attempt = start.attempt;
        self.world.handle(Event::Spent { attempt, resource, units: 1, nanos: Some(nanos) });
        self.roll();
        for payer in payers.into_iter().flatten() {
            self.shared[payer].spent += nanos;
        }
        if let Some(own) = self.own.get_mut(&start.run) {
            *own += nanos;
        }
    }

    fn roll(&mut self) {
        let day = self.world.now_ns / DAY_NS;
        for shared in &mut self.shared {
            if shared.model.daily && shared.day != day {
                shared.spent = 0;
            }
            shared.day = day;
        }
    }

    fn crash(&mut self) {
        self.flying.clear();
        let keys = self.world.crash(0, &[]);
        self.runs = self
            .runs
            .iter()
            .filter_map(|(run, payers)| keys.get(run).map(|run| (*run, *payers)))
            .collect();
        let own = std::mem::take(&mut self.own);
        self.own =
            own.into_iter().filter_map(|(run, it)| keys.get(&run).map(|run| (*run, it))).collect();
        self.roll();
        self.open_accounts();
    }

    fn start_all(&mut self) {
        self.roll();
        // Who is turned away hears of it with the next tick.
        for _ in 0..4 {
            while let Some(start) = self.world.start() {
                let (_, price) = self.plans.iter().find(|it| it.0 == start.plan).expect("known");
                let of = self.runs.iter().find(|(run, _)| *run == start.run).expect("known");
                let payers = of.1;
                self.flying.push(Flying { start, price: *price, spent: 0, payers });
                for payer in payers.into_iter().flatten() {
                    let (reserved, shared) = (self.reserved(payer), &self.shared[payer]);
                    assert!(
                        !self.within || shared.spent + reserved <= shared.model.limit_nanos,
                        "an attempt started beyond what there is"
                    );
                }
            }
            self.world.advance(0);
        }
    }

    /// What attempts under way may still spend of a shared account.
    fn reserved(&self, account: usize) -> i64 {
        let paid = self.flying.iter().filter(|it| it.payers.contains(&Some(account)));
        paid.map(|it| (it.price - it.spent).max(0)).sum()
    }

    fn check(&mut self) {
        self.roll();
        let mut waiting = 0;
        for (at, shared) in self.shared.iter().enumerate() {
            let view = self.world.engine.account(shared.id).expect("it is there");
            assert_eq!(view.spent_nanos, shared.spent, "account {at}");
            assert_eq!(view.reserved_nanos, self.reserved(at), "account {at}");
            waiting += view.waiting;
            let overspent: i64 = if self.within { 0 } else { i64::MAX / 2 };
            assert!(view.spent_nanos <= view.model.limit_nanos.saturating_add(overspent));
        }
        for (&run, &spent) in &self.own {
            if let Some(account) = self.world.engine.account_of(run) {
                let view = self.world.engine.account(account).expect("it is there");
                assert_eq!(view.spent_nanos, spent);
                assert!(!self.within || spent <= view.model.limit_nanos);
            }
        }
        assert!(waiting == 0 || !self.flying.is_empty(), "somebody waits for nobody");
    }

    /// Everything under way ends, and what is paused is cancelled.
    fn finish(&mut self) {
        for _ in 0..100 {
            while let Some(flying) = self.flying.pop() {
                self.world.done(flying.start);
                self.start_all();
                self.check();
            }
            for (run, _) in self.runs.clone() {
                if self.world.engine.status(run) == Some(RunStatus::Paused) {
                    self.world.cancel(run);
                }
            }
            self.world.advance(10 * SECOND);
            self.start_all();
        }
        for shared in &self.shared {
            let view = self.world.engine.account(shared.id).expect("it is there");
            assert_eq!((view.reserved_nanos, view.waiting), (0, 0), "nothing is left");
        }
        assert_eq!(self.world.engine.run_count(), 0, "every run has ended");
    }
}

/// What stands for an account until it is opened.
fn none() -> AccountId {
    World::new().engine.add_account(0, Payer::Run, NOTHING)
}

const NOTHING: AccountModel =
    AccountModel { limit_nanos: 1, degrade_ppm: 1, daily: false, when_spent: WhenSpent::Fail };

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(500) })]

    #[test]
    fn no_more_is_spent_than_there_is_if_nothing_costs_more_than_its_most(
        limits in [60..300_i64, 60..300_i64, 60..300_i64, 60..300_i64],
        ops in ops(true),
    ) {
        let mut twin = Twin::new(limits, true);
        for op in ops {
            twin.play(op);
        }
        twin.finish();
    }

    #[test]
    fn what_costs_more_than_was_reserved_is_booked_and_holds_up_nothing_for_ever(
        limits in [60..300_i64, 60..300_i64, 60..300_i64, 60..300_i64],
        ops in ops(false),
    ) {
        let mut twin = Twin::new(limits, false);
        for op in ops {
            twin.play(op);
        }
        twin.finish();
    }
}
