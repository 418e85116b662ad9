//! Attempts that do not end when they are told to.

use penstock_engine::{Base, Cause, Config, Outcome, Place, QueueModel};

use crate::harness::{SECOND, World, step};

const GRACE: u64 = 5 * SECOND;

fn world() -> World {
    World::with(Config { cancel_grace_ns: GRACE, ..Config::default() })
}

#[test]
fn the_run_goes_on_without_it_but_its_slot_stays_taken() {
    let mut world = world();
    let limits = QueueModel { concurrency: 1, ..QueueModel::default() };
    let queue = world.engine.add_queue(limits);
    let plan = world.single(step(&[]).queue(queue).timeout(SECOND));
    let stuck = world.accept(plan);
    let start = world.suspended();
    let next = world.accept(plan);
    world.advance(SECOND + GRACE);
    let cause = Cause::Timeout;
    assert_eq!(world.outcome(stuck), Some(Outcome::Failed { node: Place(0), attempts: 1, cause }));
    assert!(world.bodies(stuck).contains(&"abandoned"));
    assert!(world.start().is_none(), "the slot is taken until it ends");
    let value = world.done(start);
    assert!(!world.is_kept(value), "what it brings late is dropped");
    assert_eq!(world.started().run, next);
}

#[test]
fn the_node_has_no_next_attempt_before_it_ends() {
    let mut world = world();
    let plan = world.single(step(&[]).attempts(2).timeout(SECOND));
    let run = world.accept(plan);
    let first = world.suspended();
    world.advance(SECOND + GRACE + 10 * SECOND);
    assert!(world.start().is_none());
    world.done(first);
    let second = world.started();
    assert_eq!(second.number, 2);
    let value = world.done(second);
    assert_eq!(world.outcome(run), Some(Outcome::Succeeded(Base::Value(value))));
}

#[test]
fn one_that_ends_before_the_retry_is_due_delays_nothing() {
    let mut world = world();
    let plan = world.single(step(&[]).attempts(2).timeout(SECOND));
    world.accept(plan);
    let first = world.suspended();
    world.advance(SECOND + GRACE);
    world.end_cancelled(first);
    assert!(world.start().is_none(), "the retry waits for its time");
    world.advance(SECOND);
    assert_eq!(world.started().number, 2);
}

#[test]
fn a_cancelled_run_ends_after_the_grace() {
    let mut world = world();
    let plan = world.single(step(&[]));
    let run = world.accept(plan);
    let start = world.suspended();
    world.cancel(run);
    world.advance(GRACE - 1);
    assert_eq!(world.outcome(run), None);
    world.advance(1);
    assert_eq!(world.outcome(run), Some(Outcome::Cancelled));
    assert_eq!(world.engine.running(), 1);
    world.end_cancelled(start);
    assert_eq!((world.engine.running(), world.values_kept()), (0, 0));
}

#[test]
fn total_timeout_ends_a_node_that_waits_for_its_abandoned_attempt() {
    let mut world = world();
    let step = step(&[]).attempts(9).timeout(SECOND);
    let plan = world.single(step.policy(|policy| policy.total_timeout_ns = 20 * SECOND));
    let run = world.accept(plan);
    let first = world.suspended();
    world.advance(20 * SECOND);
    let outcome = world.outcome(run);
    assert!(matches!(outcome, Some(Outcome::Failed { cause: Cause::TotalTimeout, .. })));
    world.done(first);
    assert!(world.start().is_none());
}
