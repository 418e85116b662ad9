//! With a journal: what waits until a record is on disk, and what does not.

use penstock_engine::{Base, Config, Durability, Lsn, Outcome, Place, RunKey};

use crate::harness::{SECOND, World, apply, input, step};

fn journaled() -> World {
    World::with(Config { journaled: true, ..Config::default() })
}

fn nodes_started(world: &mut World) -> Vec<Place> {
    world.start_all().iter().map(|start| start.node).collect()
}

#[test]
fn a_step_waits_for_the_record_it_depends_on() {
    let mut world = journaled();
    let plan = world.plan(vec![input(), step(&[0]), step(&[1])]);
    let run = world.accept(plan);
    assert!(world.start().is_none(), "the run's acceptance is not on disk");
    world.sync(Lsn(1));
    let first = world.started();
    world.done(first);
    assert_eq!(world.records.last().map(|record| record.lsn), Some(Lsn(2)));
    assert!(world.start().is_none());
    assert_eq!(world.engine.running(), 0, "the result has freed its slot");
    world.sync(Lsn(1));
    assert!(world.start().is_none(), "an old sync opens nothing");
    world.sync(Lsn(2));
    let second = world.started();
    let value = world.done(second);
    assert_eq!(world.outcome(run), Some(Outcome::Succeeded(Base::Value(value))));
}

#[test]
fn inline_nodes_do_not_wait_and_the_step_behind_them_waits_for_all() {
    let mut world = journaled();
    let plan = world.plan(vec![input(), apply(&[0]), apply(&[1]), step(&[2])]);
    world.accept(plan);
    assert_eq!(world.records.len(), 3, "accepted and both decisions");
    world.sync(Lsn(2));
    assert!(world.start().is_none());
    world.sync(Lsn(3));
    assert_eq!(nodes_started(&mut world), [Place(3)]);
}

#[test]
fn one_sync_opens_the_gates_of_many_in_order() {
    let mut world = journaled();
    let plan = world.single(step(&[]));
    let runs: Vec<RunKey> = (0..5).map(|_| world.accept(plan)).collect();
    world.sync(Lsn(3));
    let started: Vec<RunKey> = world.start_all().iter().map(|start| start.run).collect();
    assert_eq!(started, runs[..3]);
    world.sync(Lsn(5));
    let started: Vec<RunKey> = world.start_all().iter().map(|start| start.run).collect();
    assert_eq!(started, runs[3..]);
}

#[test]
fn a_gated_step_takes_no_place_in_its_queue() {
    let mut world = journaled();
    let plan = world.single(step(&[]));
    let run = world.accept(plan);
    assert_eq!(world.engine.queue(penstock_engine::QueueId::DEFAULT).waiting, 0);
    world.cancel(run);
    assert_eq!(world.outcome(run), Some(Outcome::Cancelled));
    world.sync(Lsn(10));
    assert!(world.start().is_none(), "its gate opens for nobody");
}

#[test]
fn async_and_exit_wait_for_the_acceptance_alone() {
    for durability in [Durability::Async, Durability::Exit] {
        let mut world = journaled();
        let plan = world.plan(vec![step(&[]), step(&[0])]);
        let run = world.accept_with(plan, |accept| accept.durability = durability);
        assert!(world.start().is_none(), "a run that nobody accepted must not have effects");
        world.sync(Lsn(1));
        for _ in 0..2 {
            let start = world.started();
            world.done(start);
        }
        assert!(world.outcome(run).is_some());
    }
}

#[test]
fn in_memory_everything_counts_as_synced() {
    let mut world = World::new();
    let plan = world.plan(vec![step(&[]), step(&[0])]);
    world.accept(plan);
    let start = world.started();
    world.done(start);
    assert!(world.start().is_some());
}

#[test]
fn a_retry_waits_for_the_record_of_the_failure() {
    // On a disk slower than the pause, a crash made the attempt before that one again, and again.
    let mut world = journaled();
    let plan = world.single(step(&[]).attempts(2));
    world.accept(plan);
    world.sync(Lsn(1));
    let first = world.started();
    world.fail(first);
    world.advance(SECOND);
    assert!(world.start().is_none(), "the failure is not on disk");
    world.sync(Lsn(2));
    assert_eq!(world.started().number, 2);
}

#[test]
fn an_async_retry_waits_for_its_pause_alone() {
    let mut world = journaled();
    let plan = world.single(step(&[]).attempts(2));
    world.accept_with(plan, |accept| accept.durability = Durability::Async);
    world.sync(Lsn(1));
    let first = world.started();
    world.fail(first);
    world.advance(SECOND);
    assert_eq!(world.started().number, 2);
}
