//! Cancelling a run before, while and after its steps run.

use penstock_engine::{CancelCause, Cause, Config, Event, Failure, Outcome, Place};

use crate::harness::{SECOND, World, apply, step};

#[test]
fn before_anything_started_it_ends_at_once() {
    let mut world = World::new();
    let plan = world.plan(vec![step(&[]), step(&[0])]);
    let run = world.accept(plan);
    assert!(world.cancel(run));
    assert_eq!(world.outcome(run), Some(Outcome::Cancelled));
    assert!(world.start().is_none());
    assert_eq!(world.bodies(run), ["accepted", "cancel_requested", "withdrawn", "ended"]);
}

#[test]
fn while_a_step_runs_it_ends_with_the_step() {
    let mut world = World::new();
    let plan = world.plan(vec![step(&[]), step(&[0])]);
    let run = world.accept(plan);
    let start = world.suspended();
    assert!(world.cancel(run));
    assert!(!world.cancel(run), "there is nothing more to cancel");
    assert_eq!(world.take_cancels(), [(start.attempt, CancelCause::Withdrawn)]);
    assert!(world.engine.is_cancelled(start.attempt));
    world.end_cancelled(start);
    assert_eq!(world.outcome(run), Some(Outcome::Cancelled));
}

#[test]
fn a_step_that_has_not_suspended_hears_of_it_when_it_does() {
    let mut world = World::new();
    let plan = world.single(step(&[]));
    let run = world.accept(plan);
    let start = world.started();
    world.cancel(run);
    assert!(world.take_cancels().is_empty());
    world.handle(Event::Suspended { attempt: start.attempt });
    assert_eq!(world.take_cancels().len(), 1);
}

#[test]
fn a_step_that_finishes_all_the_same_does_not_revive_the_run() {
    let mut world = World::new();
    let plan = world.plan(vec![step(&[]), step(&[0])]);
    for failing in [false, true] {
        let run = world.accept(plan);
        let start = world.suspended();
        world.cancel(run);
        let value = if failing { world.fail(start) } else { world.done(start) };
        assert_eq!(world.outcome(run), Some(Outcome::Cancelled));
        assert!(!world.is_kept(value) && world.start().is_none());
    }
}

#[test]
fn while_a_retry_waits_it_ends_at_once() {
    let mut world = World::new();
    let plan = world.single(step(&[]).attempts(3));
    let run = world.accept(plan);
    let start = world.started();
    world.fail(start);
    world.cancel(run);
    assert_eq!(world.outcome(run), Some(Outcome::Cancelled));
    assert_eq!(world.engine.next_deadline_ns(), None);
}

#[test]
fn while_a_second_attempt_waits_or_runs_the_records_still_fold() {
    // A fold took such a node for one in backoff, withdrew it, and met its own end as an illegal move.
    for running in [false, true] {
        let mut world = World::new();
        let plan = world.single(step(&[]).attempts(3));
        let run = world.accept(plan);
        let first = world.started();
        world.fail(first);
        world.advance(SECOND);
        let second = running.then(|| world.suspended());
        world.cancel(run);
        if let Some(second) = second {
            world.end_cancelled(second);
        }
        assert_eq!(world.outcome(run), Some(Outcome::Cancelled));
    }
}

#[test]
fn after_its_end_there_is_nothing_to_cancel() {
    let mut world = World::new();
    let plan = world.single(step(&[]));
    let run = world.accept(plan);
    let start = world.started();
    world.done(start);
    assert!(!world.cancel(run));
}

#[test]
fn while_an_inline_node_is_evaluated_it_ends_with_the_answer() {
    let mut world = World::new();
    world.manual = true;
    let plan = world.plan(vec![apply(&[]), step(&[0])]);
    let run = world.accept(plan);
    let (key, node) = world.to_evaluate.pop_front().expect("an inline node");
    world.cancel(run);
    assert_eq!(world.outcome(run), None);
    let value = world.value();
    world.handle(Event::Decided { run: key, node, value });
    assert_eq!(world.outcome(run), Some(Outcome::Cancelled));
    assert!(!world.is_kept(value));
}

#[test]
fn a_failure_stops_the_siblings_and_the_first_error_is_the_outcome() {
    let mut world = World::with(Config { concurrency: 2, ..Config::default() });
    let plan = world.plan(vec![step(&[]), step(&[]), step(&[]), step(&[0, 1, 2])]);
    let run = world.accept(plan);
    let (first, second) = (world.suspended(), world.suspended());
    let error = world.fail_with(second, Failure::FINAL);
    assert_eq!(world.take_cancels(), [(first.attempt, CancelCause::Withdrawn)]);
    assert_eq!(world.outcome(run), None, "siblings are awaited");
    let later = world.fail_with(first, Failure::FINAL);
    let cause = Cause::Error(error);
    assert_eq!(world.outcome(run), Some(Outcome::Failed { node: Place(1), attempts: 1, cause }));
    assert!(!world.is_kept(later) && world.start().is_none());
}
