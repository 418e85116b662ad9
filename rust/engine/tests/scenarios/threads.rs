//! The thread lane: a limit of its own beside the queues'.

use penstock_engine::{Config, Lane, QueueModel};

use crate::harness::{Node, World, step};

fn threaded() -> Node {
    step(&[]).policy(|policy| policy.lane = Lane::Threads)
}

#[test]
fn no_more_start_than_there_are_threads() {
    let mut world = World::with(Config { threads: 2, ..Config::default() });
    let plan = world.single(threaded());
    (0..5).for_each(|_| _ = world.accept(plan));
    let starts = world.start_all();
    assert_eq!(starts.len(), 2);
    assert!(starts.iter().all(|start| start.lane == Lane::Threads));
    world.done(starts[0]);
    assert_eq!(world.start_all().len(), 1);
}

#[test]
fn other_queues_go_on_while_the_threads_are_taken() {
    let mut world = World::with(Config { threads: 1, ..Config::default() });
    let blocking = world.engine.add_queue(QueueModel::default());
    let slow = world.single(threaded().queue(blocking));
    let quick = world.single(step(&[]));
    (0..3).for_each(|_| _ = world.accept(slow));
    let run = world.accept(quick);
    let starts = world.start_all();
    assert_eq!(starts.iter().map(|start| start.run).filter(|&it| it == run).count(), 1);
    assert_eq!(starts.len(), 2);
}

#[test]
fn steps_of_the_loop_pass_those_that_wait_for_a_thread_in_the_same_queue() {
    // One plain step at the head of the default queue held up every async step behind it.
    let mut world = World::with(Config { threads: 1, ..Config::default() });
    let (slow, quick) = (world.single(threaded()), world.single(step(&[])));
    (0..3).for_each(|_| _ = world.accept(slow));
    let run = world.accept(quick);
    assert!(world.start_all().iter().any(|start| start.run == run));
}

#[test]
fn withdrawn_heads_do_not_hold_up_a_blocked_queue() {
    let mut world = World::with(Config { threads: 1, ..Config::default() });
    let plan = world.single(threaded());
    let runs = [world.accept(plan), world.accept(plan), world.accept(plan)];
    let start = world.started();
    assert!(world.start().is_none());
    world.cancel(runs[1]);
    world.done(start);
    assert_eq!(world.started().run, runs[2]);
}
