//! What is refused, and how it is said.

use penstock_engine::{AcceptError, Config, Outcome, QueueModel};

use crate::harness::{MS, World, input, step};

#[test]
fn a_full_queue_refuses_runs_and_says_when_to_come_back() {
    let mut world = World::new();
    let limits = QueueModel { concurrency: 1, capacity: 2, ..QueueModel::default() };
    let queue = world.engine.add_queue(limits);
    let plan = world.plan(vec![input(), step(&[0]).queue(queue)]);
    for _ in 0..10 {
        world.accept(plan);
        world.advance(10 * MS);
        let start = world.started();
        world.done(start);
    }
    (0..2).for_each(|_| _ = world.accept(plan));
    assert!(world.engine.admits(plan, 1).is_err());
    let refused = world.try_accept(plan, |_| ());
    let Err(AcceptError::QueueFull { retry_after_ns, queue: full }) = refused else {
        panic!("{refused:?}")
    };
    assert_eq!(full, queue);
    assert!((MS..100 * MS).contains(&retry_after_ns), "{retry_after_ns}, at 10 ms a step");
    world.started();
    assert!(world.try_accept(plan, |_| ()).is_ok(), "one has left the line");
}

#[test]
fn admitted_work_is_never_refused() {
    let mut world = World::new();
    let queue =
        world.engine.add_queue(QueueModel { concurrency: 1, capacity: 1, ..QueueModel::default() });
    let mut nodes = vec![step(&[])];
    nodes.extend((0..50).map(|_| step(&[0]).queue(queue)));
    nodes.push(step(&(1..=50).collect::<Vec<u32>>()));
    let plan = world.plan(nodes);
    let run = world.accept(plan);
    while let Some(start) = world.start() {
        world.done(start);
    }
    assert!(matches!(world.outcome(run), Some(Outcome::Succeeded(_))));
}

#[test]
fn withdrawn_work_makes_room() {
    let mut world = World::new();
    let queue =
        world.engine.add_queue(QueueModel { concurrency: 1, capacity: 1, ..QueueModel::default() });
    let plan = world.single(step(&[]).queue(queue));
    let run = world.accept(plan);
    assert!(world.engine.admits(plan, 1).is_err());
    world.cancel(run);
    assert!(world.engine.admits(plan, 1).is_ok());
}

#[test]
fn a_batch_is_admitted_as_a_whole_or_not_at_all() {
    let mut world = World::new();
    let queue =
        world.engine.add_queue(QueueModel { concurrency: 1, capacity: 3, ..QueueModel::default() });
    let plan = world.single(step(&[]).queue(queue));
    assert_eq!((world.engine.room(plan), world.engine.admits(plan, 3)), (3, Ok(())));
    let refused = world.engine.admits(plan, 4);
    assert!(matches!(refused, Err(AcceptError::QueueFull { queue: full, .. }) if full == queue));
    (0..3).for_each(|_| _ = world.accept_with(plan, |accept| accept.admitted = true));
    assert_eq!(world.engine.room(plan), 0);
}

#[test]
fn the_table_of_runs_has_a_limit() {
    let mut world = World::with(Config { runs_max: 2, ..Config::default() });
    let plan = world.single(step(&[]));
    (0..2).for_each(|_| _ = world.accept(plan));
    let refused = world.try_accept(plan, |_| ());
    assert_eq!(refused, Err(AcceptError::RunsFull { runs_max: 2 }));
    assert!(AcceptError::RunsFull { runs_max: 2 }.to_string().contains("2 runs"));
}

#[test]
fn wrong_calls_change_nothing() {
    let mut world = World::new();
    let plan = world.plan(vec![input(), step(&[0])]);
    let error = world.try_accept(plan, |accept| accept.inputs = &[]);
    assert_eq!(error, Err(AcceptError::InputCount { expected: 1, given: 0 }));
    for priority in [0, 6, 255] {
        let error = world.try_accept(plan, |accept| accept.priority = Some(priority));
        assert_eq!(error, Err(AcceptError::Priority { given: priority }));
    }
    assert_eq!((world.engine.run_count(), world.records.len()), (0, 0));
    assert_eq!(world.engine.metrics().workflows[0].accepted, 0);
}
