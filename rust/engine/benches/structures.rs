//! Ready queue, timers and books at a million entries, in nanoseconds per operation beside their targets:
//! `cargo bench -p penstock-engine --bench structures`.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Instant;

use penstock_engine::{
    Accept, AttemptKey, BANDS, Budget, BudgetModel, Claim, Config, Durability, Engine, Entry,
    Event, GraphSpec, Jitter, Lane, NEVER, NodeId, NodeKind, NodeSpec, OnDenial, Order, Place,
    Plan, Policy, QueueId, ReadyQueue, ResourceId, RetryPolicy, RunKey, StepId, TOKEN, TenantId,
    TimerKind, Timers, ValueId, draw,
};

const ENTRIES: u64 = 1_000_000;
const TENANTS: u64 = 10_000;
const ROUNDS: usize = 7;

fn main() {
    report("ready queue push+pop, full of 1 M entries", 1_000, ready_queue_full);
    report("ready queue push+pop, filled and emptied", 1_000, ready_queue_filled);
    report("the same, fair shares of 10,000 tenants", 1_000, ready_queue_fair);
    report("retry budget, first attempt and retry", 100, retry_budget);
    report("timer insert+cancel, beside 1 M live ones", 150, timers_cancelled);
    report("timer insert+fire at 1 M (for information)", u64::MAX, timers_fired);
    report("booking a line, four to an attempt", 200, booked);
    report("the same and the end of its run (information)", u64::MAX, booked_and_closed);
}

/// Prints the best of some rounds: what is slower is another process's doing.
fn report(name: &str, target_ns: u64, round: fn() -> (f64, u64)) {
    let best = (0..ROUNDS)
        .map(|_| {
            let (elapsed_ns, operations) = round();
            elapsed_ns / operations as f64
        })
        .fold(f64::INFINITY, f64::min);
    let target = if target_ns == u64::MAX { "-".into() } else { format!("<= {target_ns} ns") };
    println!("{name:<46} {best:>8.1} ns   target {target}");
}

fn entry(seq: u64) -> (Claim, Entry) {
    let dice = draw(7, [seq, 0, 0, 0]);
    let priority = 1 + (dice % u64::from(BANDS)) as u8;
    let run = RunKey((dice >> 8) % TENANTS);
    let tenant = TenantId(1 + run.0 as u32);
    let claim = Claim { priority, tenant, due_ns: NEVER };
    (claim, Entry { seq, eligible_ns: seq, run, node: Place(1), template: NodeId(1) })
}

fn pop(queue: &mut ReadyQueue) -> Option<Entry> {
    let (priority, _) = queue.peek(0)?;
    queue.pop(priority, Some(1_000))
}

fn ready_queue_full() -> (f64, u64) {
    push_and_pop(Order::default())
}

fn ready_queue_fair() -> (f64, u64) {
    push_and_pop(Order { weights: Some(BTreeMap::new()), ..Order::default() })
}

/// One in and one out of a line of a million.
fn push_and_pop(order: Order) -> (f64, u64) {
    let mut queue = ReadyQueue::new(order);
    for (claim, entry) in (0..ENTRIES).map(entry) {
        queue.push(claim, entry);
    }
    let waiting: Vec<_> = (0..ENTRIES).map(entry).collect();
    let began = Instant::now();
    for (claim, entry) in waiting {
        queue.push(claim, entry);
        black_box(pop(&mut queue));
    }
    (elapsed_ns(began), ENTRIES)
}

fn ready_queue_filled() -> (f64, u64) {
    let waiting: Vec<_> = (0..ENTRIES).map(entry).collect();
    let mut queue = ReadyQueue::default();
    let began = Instant::now();
    for (claim, entry) in waiting {
        queue.push(claim, entry);
    }
    while let Some(entry) = pop(&mut queue) {
        black_box(entry);
    }
    (elapsed_ns(began), ENTRIES)
}

/// As it goes in the worst case: every attempt is followed by a retry, whether or not there is a token.
fn retry_budget() -> (f64, u64) {
    let model = BudgetModel {
        ratio_ppm: 100_000,
        floor_ppm: 1_000_000,
        stored_ppm: 10_000_000,
        window_ns: 10_000_000_000,
        on_denial: OnDenial::Park,
    };
    let mut budget = Budget::new(model, 0, 10 * TOKEN);
    let began = Instant::now();
    for nth in 0..ENTRIES {
        let now_ns = nth * 50_000;
        budget.deposit(now_ns);
        black_box(budget.withdraw(now_ns, TOKEN));
    }
    (elapsed_ns(began), ENTRIES)
}

fn timer(seq: u64) -> (u64, TimerKind) {
    let at_ns = draw(7, [seq, 1, 0, 0]) % 60_000_000_000;
    (at_ns, TimerKind::Deadline { run: RunKey(seq) })
}

/// The engine's own use: a cancelled timer is counted, and all are pruned when they are most.
fn timers_cancelled() -> (f64, u64) {
    const CANCELLED: u64 = 4 * ENTRIES;
    let mut timers = Timers::default();
    for (at_ns, kind) in (0..ENTRIES).map(timer) {
        timers.insert(at_ns, kind);
    }
    let wanted: Vec<_> = (ENTRIES..ENTRIES + CANCELLED).map(timer).collect();
    let began = Instant::now();
    for (at_ns, kind) in wanted {
        timers.insert(at_ns, kind);
        timers.cancel(1);
        if timers.is_mostly_stale() {
            timers.prune(|kind| matches!(kind, TimerKind::Deadline { run } if run.0 < ENTRIES));
        }
    }
    (elapsed_ns(began), CANCELLED)
}

fn timers_fired() -> (f64, u64) {
    let wanted: Vec<_> = (0..ENTRIES).map(timer).collect();
    let mut timers = Timers::default();
    let began = Instant::now();
    for (at_ns, kind) in wanted {
        timers.insert(at_ns, kind);
    }
    while let Some(timer) = timers.pop_due(u64::MAX) {
        black_box(timer);
    }
    (elapsed_ns(began), ENTRIES)
}

/// An engine with so many attempts under way, each of a run of its own, for a hundred tenants.
fn attempts_under_way(count: u32) -> (Engine, Vec<AttemptKey>) {
    let nodes = vec![
        NodeSpec::new("input", NodeKind::Input, &[]),
        NodeSpec::new("step", NodeKind::Step, &[0]),
    ];
    let plan = Plan::compile(GraphSpec::flat("fixed", "1", nodes, 1)).expect("a graph");
    let once = NonZeroU32::MIN;
    let policy = Policy {
        step: StepId(0),
        queue: QueueId::DEFAULT,
        lane: Lane::Loop,
        priority: None,
        step_priority: None,
        retry: RetryPolicy {
            attempts_max: once,
            initial_ns: 1,
            coefficient: 1.0,
            max_ns: 1,
            jitter: Jitter::None,
        },
        once: false,
        retry_timeouts: true,
        tokens: 0,
        fallback: false,
        stands_in: false,
        handoffs: 0,
        cross_handoffs: 0,
        estimate_nanos: 0,
        max_nanos: 0,
        hedge: None,
        timeout_ns: 0,
        total_timeout_ns: 0,
        queue_timeout_ns: 0,
        heartbeat_timeout_ns: 0,
    };
    let mut engine = Engine::new(Config { concurrency: count, ..Config::default() });
    let plan = engine.add_plan(Arc::new(plan), vec![None, Some(policy)]);
    let mut attempts = Vec::new();
    for run in 0..count {
        let accept = Accept {
            plan,
            inputs: &[ValueId(run)],
            tenant: TenantId(1 + run % 100),
            priority: None,
            deadline_ns: None,
            durability: Durability::Sync,
            admitted: false,
            budget: None,
        };
        engine.accept(0, &accept).expect("there is room");
        while let Some(start) = engine.dispatch(0) {
            attempts.push(start.attempt);
        }
        drain(&mut engine);
    }
    (engine, attempts)
}

fn drain(engine: &mut Engine) {
    while let Some(action) = engine.poll() {
        black_box(action);
    }
    engine.clear_records();
}

fn book(engine: &mut Engine, nth: u64, attempt: AttemptKey) {
    let (resource, nanos) = (ResourceId(nth as u32 % 4), Some(1_250 + (nth % 7).cast_signed()));
    engine.handle(nth * 1_000, Event::Spent { attempt, resource, units: 1_000, nanos });
    drain(engine);
}

/// Attempts in turn, so that no line finds the run or the page of the one before it.
fn booked() -> (f64, u64) {
    const ATTEMPTS: u64 = 1_000;
    let (mut engine, attempts) = attempts_under_way(ATTEMPTS as u32);
    let began = Instant::now();
    for nth in 0..ENTRIES {
        book(&mut engine, nth, attempts[(nth / 4 % ATTEMPTS) as usize]);
    }
    (elapsed_ns(began), ENTRIES)
}

fn booked_and_closed() -> (f64, u64) {
    const ATTEMPTS: u64 = 50_000;
    let (mut engine, attempts) = attempts_under_way(ATTEMPTS as u32);
    let began = Instant::now();
    for (nth, &attempt) in (0..).zip(&attempts) {
        for line in 0..4 {
            book(&mut engine, nth * 4 + line, attempt);
        }
        engine.handle(nth * 4_000, Event::Done { attempt, value: ValueId(0) });
        drain(&mut engine);
    }
    (elapsed_ns(began), ATTEMPTS * 4)
}

fn elapsed_ns(began: Instant) -> f64 {
    began.elapsed().as_nanos() as f64
}
