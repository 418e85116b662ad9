//! Who goes first.

use penstock_engine::{Config, QueueModel, RunKey};

use crate::harness::{World, step};

#[test]
fn lower_numbers_first_across_queues_and_arrival_breaks_ties() {
    let mut world = World::with(Config { concurrency: 1, ..Config::default() });
    let queues = [0, 1].map(|_| world.engine.add_queue(QueueModel::default()));
    let plans = queues.map(|queue| world.single(step(&[]).queue(queue)));
    let mut expected: Vec<(u8, RunKey)> = (0..20_u8)
        .map(|n| {
            let priority = 1 + n * 7 % 5;
            let plan = plans[usize::from(n % 2)];
            (priority, world.accept_with(plan, |accept| accept.priority = Some(priority)))
        })
        .collect();
    expected.sort_by_key(|(priority, _)| *priority);
    for (_, run) in expected {
        let start = world.started();
        assert_eq!(start.run, run);
        world.done(start);
    }
}

#[test]
fn a_nodes_own_priority_beats_its_runs() {
    let mut world = World::new();
    let urgent = world.single(step(&[]).priority(1));
    let normal = world.single(step(&[]));
    let first = world.accept_with(normal, |accept| accept.priority = Some(2));
    let second = world.accept_with(urgent, |accept| accept.priority = Some(5));
    let order: Vec<RunKey> = world.start_all().iter().map(|start| start.run).collect();
    assert_eq!(order, [second, first]);
}

#[test]
fn a_full_queue_lets_less_urgent_work_of_others_pass() {
    let mut world = World::new();
    let limits = QueueModel { concurrency: 1, ..QueueModel::default() };
    let narrow = world.engine.add_queue(limits);
    let urgent = world.single(step(&[]).queue(narrow).priority(1));
    let normal = world.single(step(&[]));
    let (first, second) = (world.accept(urgent), world.accept(urgent));
    let third = world.accept(normal);
    let starts = world.start_all();
    let order: Vec<RunKey> = starts.iter().map(|start| start.run).collect();
    assert_eq!(order, [first, third]);
    world.done(starts[0]);
    assert_eq!(world.started().run, second);
}

#[test]
fn an_urgent_run_overtakes_a_backlog() {
    let mut world = World::with(Config { concurrency: 1, ..Config::default() });
    let plan = world.single(step(&[]));
    (0..1_000).for_each(|_| _ = world.accept(plan));
    let start = world.started();
    let urgent = world.accept_with(plan, |accept| accept.priority = Some(1));
    world.done(start);
    assert_eq!(world.started().run, urgent);
}

#[test]
fn a_steps_priority_is_for_runs_that_say_nothing() {
    let mut world = World::new();
    let urgent = world.single(step(&[]).step_priority(1));
    let normal = world.single(step(&[]));
    let first = world.accept_with(normal, |accept| accept.priority = Some(2));
    let second = world.accept_with(urgent, |accept| accept.priority = Some(3));
    let third = world.accept_with(urgent, |accept| accept.priority = None);
    let order: Vec<RunKey> = world.start_all().iter().map(|start| start.run).collect();
    assert_eq!(order, [third, first, second]);
}
