//! Attempts that are cut short by the runtime's end: they do not count.

use penstock_engine::{Base, CancelCause, Event, NodeState, Outcome};

use crate::harness::{SECOND, World, step};

#[test]
fn every_attempt_is_told_and_none_is_counted() {
    let mut world = World::new();
    let plan = world.single(step(&[]).attempts(2));
    let runs = [world.accept(plan), world.accept(plan)];
    let starts = [world.suspended(), world.suspended()];
    world.engine.pause_dispatch();
    world.interrupt();
    let cancels = world.take_cancels();
    assert_eq!(cancels, starts.map(|start| (start.attempt, CancelCause::Interrupt)));
    for (start, run) in starts.into_iter().zip(runs) {
        world.end_cancelled(start);
        assert_eq!(world.engine.node_state(run, start.node), Some(NodeState::Ready));
        assert_eq!(world.bodies(run), ["accepted", "interrupted"]);
    }
    assert!(world.start().is_none(), "nothing starts while the runtime closes");
}

#[test]
fn an_interrupted_attempt_keeps_its_number() {
    let mut world = World::new();
    let plan = world.single(step(&[]));
    let run = world.accept(plan);
    let start = world.started();
    world.handle(Event::Interrupted { attempt: start.attempt });
    let again = world.started();
    assert_eq!((again.run, again.number), (run, 1));
}

#[test]
fn a_result_that_was_ready_counts() {
    let mut world = World::new();
    let plan = world.single(step(&[]));
    let run = world.accept(plan);
    let start = world.suspended();
    world.interrupt();
    let value = world.done(start);
    assert_eq!(world.outcome(run), Some(Outcome::Succeeded(Base::Value(value))));
}

#[test]
fn one_that_does_not_stop_is_abandoned_and_its_run_can_still_be_cancelled() {
    let mut world = World::new();
    let plan = world.single(step(&[]));
    let run = world.accept(plan);
    world.suspended();
    world.engine.pause_dispatch();
    world.interrupt();
    world.advance(5 * SECOND);
    assert!(world.cancel(run));
    assert_eq!(world.outcome(run), Some(Outcome::Cancelled));
}
