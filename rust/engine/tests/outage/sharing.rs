//! Who is served when there is more than can be: tenants, priorities, and what has stood too long.

use std::collections::BTreeMap;

use penstock_engine::{
    Claim, Config, Cost, Engine, Entry, FairnessModel, NodeId, Order, Place, QueueModel,
    ReadyQueue, RunKey, TenantId, draw,
};

use crate::world::{Dependency, MS, SECOND, World};

/// Jain's index of what tenants got: 1 if all got the same.
fn jain(got: &[f64]) -> f64 {
    let (sum, squares) = got.iter().fold((0.0, 0.0), |it, x| (it.0 + x, it.1 + x * x));
    sum * sum / (got.len() as f64 * squares)
}

/// A hundred tenants always have work; every tenth one's takes three times as long, which nobody knows before.
fn shares(fairness: Option<FairnessModel>) -> f64 {
    let model = QueueModel { concurrency: 10, fairness, ..QueueModel::default() };
    let mut world = World::new(7, model, Dependency::new(0, MS));
    let heavy = |tenant: u32| tenant.is_multiple_of(10);
    let mut tenants = BTreeMap::new();
    for nth in 0..40_000 {
        let tenant = 1 + nth % 100;
        let run = world.accept(TenantId(tenant), None).expect("there is room");
        tenants.insert(run, tenant);
    }
    let mut ends = std::collections::BinaryHeap::new();
    let mut got = vec![0.0; 100];
    let mut now_ns = 0;
    let mut drawn = 0;
    while now_ns < 200 * SECOND {
        while let Some(start) = world.engine.dispatch(now_ns) {
            let tenant = tenants[&start.run];
            drawn += 1;
            let dice = draw(3, [drawn, 0, 0, 0]) % 100;
            let time_ns = (50 + dice) * MS * if heavy(tenant) { 3 } else { 1 };
            got[tenant as usize - 1] += time_ns as f64;
            ends.push(std::cmp::Reverse((now_ns + time_ns, start.attempt)));
        }
        let Some(std::cmp::Reverse((at_ns, attempt))) = ends.pop() else { break };
        now_ns = at_ns;
        world.now_ns = now_ns;
        world.handle(penstock_engine::Event::Done { attempt, value: penstock_engine::ValueId(1) });
    }
    jain(&got)
}

#[test]
fn a_hundred_tenants_get_the_same_by_what_it_costs() {
    let fair = |by| Some(FairnessModel { by, weights: BTreeMap::new() });
    let (by_time, by_count, none) =
        (shares(fair(Cost::Time)), shares(fair(Cost::Attempts)), shares(None));
    println!(
        "Jain's index by cost: {by_time:.5} by time, {by_count:.3} by count, {none:.3} as they came"
    );
    assert!(by_time >= 0.99, "{by_time}");
    assert!(by_count < 0.9 && none < 0.9, "the control is fair, too: {by_count}, {none}");
}

#[test]
fn two_busy_tenants_do_not_starve_four_small_ones() {
    let fairness = Some(FairnessModel { by: Cost::Attempts, weights: BTreeMap::new() });
    let order = Order { weights: fairness.map(|it| it.weights), ..Order::default() };
    let mut queue = ReadyQueue::new(order);
    let mut seq = 0;
    let mut push = |queue: &mut ReadyQueue, tenant: u32| {
        seq += 1;
        let (run, node, template) = (RunKey(tenant.into()), Place(0), NodeId(0));
        let claim = Claim { tenant: TenantId(tenant), ..Claim::of(3) };
        queue.push(claim, Entry { seq, eligible_ns: 0, run, node, template });
    };
    (0..20_000).for_each(|nth| push(&mut queue, 1 + nth % 2));
    let mut longest = 0;
    for _ in 0..500 {
        (3..=6).for_each(|tenant| push(&mut queue, tenant));
        let mut small = 0;
        let mut waited = 0;
        while small < 4 {
            let (priority, _) = queue.peek(0).expect("an entry");
            let entry = queue.pop(priority, Some(1_000)).expect("an entry");
            small += u32::from(entry.run.0 > 2);
            waited += 1;
        }
        longest = longest.max(waited);
    }
    println!("four small tenants beside two busy ones: served within {longest} dispatches");
    assert!(longest <= 7, "{longest}");
}

fn busy(priority: u8, count: u32) -> (Engine, Vec<RunKey>) {
    let model = QueueModel { concurrency: 1, ..QueueModel::default() };
    let mut world = World::new(1, model, Dependency::new(0, MS));
    let runs = (0..count).filter_map(|_| world.accept(TenantId::NONE, Some(priority))).collect();
    (std::mem::replace(&mut world.engine, Engine::new(Config::default())), runs)
}

#[test]
fn the_lowest_priority_gets_its_share_under_permanent_overload() {
    let model = QueueModel { concurrency: 10, ..QueueModel::default() };
    let mut world = World::new(1, model, Dependency::new(10, 100 * MS));
    for _ in 0..20_000 {
        world.accept(TenantId::NONE, Some(5));
    }
    let low: std::collections::BTreeSet<RunKey> = world.engine.runs().collect();
    assert_eq!(low.len(), 20_000);
    let mut served = [0_u32; 2];
    let mut under_way = std::collections::VecDeque::new();
    // Two hundred more urgent ones per second, of which a hundred can be done.
    for tick in 0..30_000_u64 {
        let now_ns = tick * 10 * MS;
        world.now_ns = now_ns;
        world.accept(TenantId::NONE, Some(1));
        world.accept(TenantId::NONE, Some(1));
        if under_way.len() == 10
            && let Some(attempt) = under_way.pop_front()
        {
            let value = penstock_engine::ValueId(1);
            world.handle(penstock_engine::Event::Done { attempt, value });
        }
        while let Some(start) = world.engine.dispatch(now_ns) {
            let is_low = low.contains(&start.run);
            if now_ns > 60 * SECOND {
                served[usize::from(is_low)] += 1;
            }
            under_way.push_back(start.attempt);
        }
    }
    let share = f64::from(served[1]) / f64::from(served[0] + served[1]);
    println!("the lowest of two priorities gets {share:.3} of the dispatches");
    assert!((0.095..=0.105).contains(&share), "{share}");
}

#[test]
fn an_urgent_run_behind_a_million_starts_within_ten() {
    let (mut engine, _) = busy(5, 999_000);
    let mut now_ns = 100 * SECOND;
    // The backlog stands for longer than bands wait.
    for _ in 0..100 {
        let start = engine.dispatch(now_ns).expect("a slot is free");
        now_ns += MS;
        let (attempt, value) = (start.attempt, penstock_engine::ValueId(1));
        engine.handle(now_ns, penstock_engine::Event::Done { attempt, value });
        while engine.poll().is_some() {}
        engine.clear_records();
    }
    let accept = penstock_engine::Accept {
        plan: penstock_engine::PlanId(0),
        inputs: &[penstock_engine::ValueId(0)],
        tenant: TenantId::NONE,
        priority: Some(1),
        deadline_ns: None,
        durability: penstock_engine::Durability::Sync,
        budget: None,
        admitted: true,
    };
    let urgent = engine.accept(now_ns, &accept).expect("admitted");
    while engine.poll().is_some() {}
    let mut nth = 0;
    loop {
        nth += 1;
        let start = engine.dispatch(now_ns).expect("a slot is free");
        if start.run == urgent {
            break;
        }
        let (attempt, value) = (start.attempt, penstock_engine::ValueId(1));
        engine.handle(now_ns, penstock_engine::Event::Done { attempt, value });
        while engine.poll().is_some() {}
    }
    println!("behind 999,000 runs of priority 5, one of priority 1 is dispatch number {nth}");
    assert!(nth <= 10, "{nth}");
}

/// Pairs that were started in the wrong order, of all pairs of different priority.
#[test]
fn few_pairs_of_priorities_are_inverted() {
    let model = QueueModel { concurrency: 4, ..QueueModel::default() };
    let mut world = World::new(1, model, Dependency::new(0, MS));
    let mut runs: Vec<(u8, RunKey)> = Vec::new();
    for nth in 0..100_u64 {
        let priority = 1 + (draw(5, [nth, 0, 0, 0]) % 5) as u8;
        runs.push((priority, world.accept(TenantId::NONE, Some(priority)).expect("room")));
    }
    let mut order = Vec::new();
    let mut under_way = std::collections::VecDeque::new();
    loop {
        while let Some(start) = world.engine.dispatch(world.now_ns) {
            let found = runs.iter().find(|(_, run)| *run == start.run);
            order.push(found.expect("one of them").0);
            under_way.push_back(start.attempt);
        }
        let Some(attempt) = under_way.pop_front() else { break };
        world.now_ns += SECOND;
        world.handle(penstock_engine::Event::Done { attempt, value: penstock_engine::ValueId(1) });
    }
    assert_eq!(order.len(), 100);
    let pairs = |wrong: bool| {
        let all = order
            .iter()
            .enumerate()
            .flat_map(|(at, a)| order[at + 1..].iter().map(move |b| (a, b)));
        all.filter(|(a, b)| if wrong { a > b } else { a != b }).count() as f64
    };
    let share = pairs(true) / pairs(false);
    println!(
        "20 runs of each of 5 priorities, four at a time: {share:.3} of the pairs are inverted"
    );
    assert!(share < 0.1, "{share}");
}
