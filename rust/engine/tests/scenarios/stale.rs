//! Events that come late, twice or for nobody: they are ignored, and what they bring is dropped.

use penstock_engine::{AttemptKey, Event, Place, RunKey};

use crate::harness::{SECOND, World, apply, step};

#[test]
fn an_attempt_ends_once() {
    let mut world = World::new();
    let plan = world.plan(vec![step(&[]), step(&[0])]);
    world.accept(plan);
    let start = world.started();
    world.done(start);
    for _ in 0..2 {
        let late = [world.done(start), world.fail(start)];
        assert!(late.iter().all(|&value| !world.is_kept(value)));
        world.end_cancelled(start);
        world.handle(Event::Interrupted { attempt: start.attempt });
        world.handle(Event::Suspended { attempt: start.attempt });
        world.handle(Event::Heartbeat { attempt: start.attempt });
    }
    assert_eq!(world.records.len(), 2, "nothing more was recorded");
    assert_eq!(world.engine.queue(penstock_engine::QueueId::DEFAULT).running, 0);
}

#[test]
fn an_inline_node_is_decided_once() {
    // A second answer took another node off the books and was an illegal move.
    let mut world = World::new();
    world.manual = true;
    let plan = world.plan(vec![apply(&[]), step(&[0]), step(&[1])]);
    world.accept(plan);
    let (run, node) = world.to_evaluate.pop_front().expect("an inline node");
    for kept in [true, false] {
        let value = world.value();
        world.handle(Event::Decided { run, node, value });
        assert_eq!(world.is_kept(value), kept);
    }
    let error = world.value();
    world.handle(Event::DecidedFailed { run, node, error, refusal: None });
    assert!(!world.is_kept(error));
}

#[test]
fn a_decision_about_a_step_or_about_nothing_is_ignored() {
    let mut world = World::new();
    let plan = world.single(step(&[]));
    let run = world.accept(plan);
    let start = world.started();
    for (run, node) in [(run, start.node), (run, Place(99)), (RunKey(77), Place(0))] {
        let value = world.value();
        world.handle(Event::Decided { run, node, value });
        assert!(!world.is_kept(value));
    }
    world.done(start);
    assert!(world.outcome(run).is_some());
}

#[test]
fn a_second_suspension_changes_nothing() {
    // Each one set the timers again, and repeated the cancellation.
    let mut world = World::new();
    let plan = world.single(step(&[]).timeout(SECOND));
    let run = world.accept(plan);
    let start = world.suspended();
    world.cancel(run);
    world.handle(Event::Suspended { attempt: start.attempt });
    assert_eq!(world.take_cancels().len(), 1);
}

#[test]
fn unknown_attempts_and_runs_are_nobody() {
    let mut world = World::new();
    let attempt = AttemptKey(u64::MAX);
    world.handle(Event::Suspended { attempt });
    world.handle(Event::Interrupted { attempt });
    let value = world.value();
    world.handle(Event::Done { attempt, value });
    assert!(!world.is_kept(value) && !world.cancel(RunKey(3)));
    assert_eq!(world.engine.attempt(attempt), None);
    assert!(world.engine.is_cancelled(attempt), "an attempt that is over counts as told");
}
