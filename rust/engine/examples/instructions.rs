//! Fixed work for an instruction count: `valgrind --tool=callgrind target/release/examples/instructions chain`.
//!
//! Scenarios: `chain` (100 runs of 100 steps), `limited` and `budgeted` (the same, with every limit of a queue, or
//! with budgets), `diamond` (2,000 runs of five steps), `retry` (2,000 runs,
//! two failures each), `timers` (20,000 steps with a timeout that suspend), `ready` (50,000 runs that wait,
//! then start by priority).

use std::collections::BTreeMap;
use std::hint::black_box;
use std::num::NonZeroU32;
use std::process::ExitCode;
use std::sync::Arc;

use penstock_engine::{
    Accept, AccountModel, Action, BreakerModel, BudgetModel, Config, Cost, Durability, Engine,
    Event, Failure, FairnessModel, GraphSpec, Jitter, Lane, NodeKind, NodeSpec, OnDenial, Payer,
    Plan, PlanId, Policy, QueueId, QueueModel, Rate, RetryPolicy, ShedModel, StepId, TenantId,
    ValueId, WhenSpent,
};

const SECOND: u64 = 1_000_000_000;

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some("chain") => {
            let edges: Vec<Vec<u32>> = (0..100).map(|n| vec![n]).collect();
            Driver::new(&edges, 1, 0).run(100, false);
        }
        Some("limited") => {
            let edges: Vec<Vec<u32>> = (0..100).map(|n| vec![n]).collect();
            let mut driver = Driver::new(&edges, 1, 0);
            driver.engine.configure_queue(0, QueueId::DEFAULT, limited());
            driver.run(100, false);
        }
        Some("budgeted") => {
            let edges: Vec<Vec<u32>> = (0..100).map(|n| vec![n]).collect();
            let mut driver = Driver::new(&edges, 1, 0);
            driver.budgeted();
            driver.run(100, false);
        }
        Some("diamond") => Driver::new(&DIAMOND.map(<[u32]>::to_vec), 1, 0).run(2_000, false),
        Some("retry") => Driver::new(&[vec![0]], 3, 0).run(2_000, false),
        Some("timers") => Driver::new(&[vec![0]], 1, SECOND).run(20_000, true),
        Some("ready") => Driver::new(&[vec![0]], 1, 0).backlog(50_000),
        _ => {
            eprintln!("usage: instructions chain|limited|budgeted|diamond|retry|timers|ready");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}

/// A queue with a limit of each kind, none of which is reached.
fn limited() -> QueueModel {
    let rate = Some(Rate { gap_ps: 10_000, burst: 1_000_000 });
    QueueModel {
        concurrency: 1_000_000,
        requests: rate,
        tokens: rate,
        fairness: Some(FairnessModel { by: Cost::Time, weights: BTreeMap::new() }),
        budget: Some(BudgetModel {
            ratio_ppm: 100_000,
            floor_ppm: 1_000_000,
            stored_ppm: 10_000_000,
            window_ns: 10 * SECOND,
            on_denial: OnDenial::Park,
        }),
        breaker: Some(BreakerModel {
            failure_ppm: 500_000,
            calls_min: 20,
            window_ns: 10 * SECOND,
            open_ns: 5 * SECOND,
            open_max_ns: 60 * SECOND,
            probes: 5,
        }),
        shed: Some(ShedModel { target_ns: SECOND, interval_ns: 2 * SECOND }),
        ..QueueModel::default()
    }
}

/// Node 0 is the input; a -> b, c, d -> e.
const DIAMOND: [&[u32]; 5] = [&[0], &[1], &[1], &[1], &[2, 3, 4]];

struct Driver {
    engine: Engine,
    plan: PlanId,
    now_ns: u64,
    attempts: u32,
}

impl Driver {
    /// Steps by their producers; each fails until its last attempt.
    fn new(steps: &[Vec<u32>], attempts: u32, timeout_ns: u64) -> Self {
        let mut specs = vec![NodeSpec::new("input", NodeKind::Input, &[])];
        specs.extend(
            (0..).zip(steps).map(|(n, it)| NodeSpec::new(&format!("{n}"), NodeKind::Step, it)),
        );
        let graph = GraphSpec::flat("fixed", "1", specs, steps.len() as u32);
        let plan = Plan::compile(graph).expect("a graph");
        let policy = Policy {
            step: StepId(0),
            queue: QueueId::DEFAULT,
            lane: Lane::Loop,
            priority: None,
            step_priority: None,
            retry: RetryPolicy {
                attempts_max: NonZeroU32::new(attempts).expect("at least one"),
                initial_ns: SECOND / 20,
                coefficient: 2.0,
                max_ns: SECOND,
                jitter: Jitter::Full,
            },
            once: false,
            retry_timeouts: true,
            tokens: 0,
            fallback: false,
            stands_in: false,
            estimate_nanos: 0,
            max_nanos: 0,
            handoffs: 0,
            cross_handoffs: 0,
            hedge: None,
            timeout_ns,
            total_timeout_ns: 0,
            queue_timeout_ns: 0,
            heartbeat_timeout_ns: 0,
        };
        let mut policies = vec![Some(policy); steps.len() + 1];
        policies[0] = None;
        let mut engine = Engine::new(Config::default());
        let plan = engine.add_plan(Arc::new(plan), policies);
        Self { engine, plan, now_ns: 0, attempts }
    }

    /// A budget of the workflow and one of the tenant, neither of which is ever spent.
    fn budgeted(&mut self) {
        let (degrade_ppm, daily, when_spent) = (800_000, true, WhenSpent::Pause);
        let model = AccountModel { limit_nanos: i64::MAX / 2, degrade_ppm, daily, when_spent };
        let workflow = self.engine.add_account(0, Payer::Workflow, model);
        let tenant = self.engine.add_account(0, Payer::Tenant, model);
        self.engine.charge_plan(self.plan, workflow);
        for number in 0..100 {
            self.engine.charge_tenant(TenantId(number), tenant);
        }
    }

    fn run(&mut self, runs: u32, suspends: bool) {
        for run in 0..runs {
            self.accept(run, 3);
            if run % 256 == 255 {
                self.work(suspends);
            }
        }
        self.work(suspends);
    }

    fn backlog(&mut self, runs: u32) {
        for run in 0..runs {
            self.accept(run, 1 + (run % 5) as u8);
        }
        self.work(false);
    }

    fn accept(&mut self, run: u32, priority: u8) {
        let accept = Accept {
            plan: self.plan,
            inputs: &[ValueId(run)],
            tenant: TenantId::NONE,
            priority: Some(priority),
            deadline_ns: None,
            durability: Durability::Sync,
            budget: None,
            admitted: false,
        };
        self.engine.accept(self.now_ns, &accept).expect("there is room");
        self.drain();
    }

    /// Until nothing is left to do.
    fn work(&mut self, suspends: bool) {
        let mut suspended = Vec::new();
        loop {
            while let Some(start) = self.engine.dispatch(self.now_ns) {
                self.drain();
                let attempt = start.attempt;
                if suspends {
                    self.handle(Event::Suspended { attempt });
                    suspended.push(attempt);
                } else if start.number < self.attempts {
                    let failure = Failure { retryable: true, ..Failure::FINAL };
                    self.handle(Event::Failed { attempt, error: ValueId(1), failure });
                } else {
                    self.handle(Event::Done { attempt, value: ValueId(0) });
                }
            }
            self.now_ns += 1_000;
            for attempt in suspended.drain(..) {
                self.handle(Event::Done { attempt, value: ValueId(0) });
            }
            if self.engine.has_ready() {
                continue;
            }
            let Some(at_ns) = self.engine.next_deadline_ns() else { return };
            self.now_ns = self.now_ns.max(at_ns);
            self.handle(Event::Tick);
        }
    }

    fn handle(&mut self, event: Event) {
        self.engine.handle(self.now_ns, event);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(action) = self.engine.poll() {
            black_box::<Action>(action);
        }
        self.engine.clear_records();
    }
}
