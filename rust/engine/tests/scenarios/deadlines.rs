//! A run's deadline, wherever its nodes are when it passes.

use penstock_engine::{CancelCause, Config, Outcome, RunStatus};

use crate::harness::{SECOND, World, step};
use crate::play::Play;
use crate::sketch::Sketch;

#[test]
fn a_deadline_ends_a_run_whose_steps_wait() {
    let mut world = World::with(Config { concurrency: 1, ..Config::default() });
    let plan = world.plan(vec![step(&[]).attempts(9), step(&[])]);
    let run = world.accept_with(plan, |accept| accept.deadline_ns = Some(SECOND / 2));
    let start = world.started();
    world.fail(start);
    world.advance(SECOND / 2);
    assert_eq!(world.outcome(run), Some(Outcome::DeadlineExceeded));
    world.advance(SECOND);
    assert!(world.start().is_none());
}

#[test]
fn a_deadline_stops_what_runs_and_the_run_ends_with_it() {
    let mut world = World::new();
    let plan = world.plan(vec![step(&[]), step(&[0])]);
    let run = world.accept_with(plan, |accept| accept.deadline_ns = Some(SECOND));
    let start = world.suspended();
    world.advance(SECOND);
    assert_eq!(world.take_cancels(), [(start.attempt, CancelCause::Withdrawn)]);
    assert_eq!(world.outcome(run), None, "its attempt is still to end");
    world.end_cancelled(start);
    assert_eq!(world.outcome(run), Some(Outcome::DeadlineExceeded));
}

#[test]
fn a_deadline_that_is_met_leaves_no_timer() {
    let mut world = World::new();
    let plan = world.single(step(&[]));
    let run = world.accept_with(plan, |accept| accept.deadline_ns = Some(SECOND));
    assert_eq!(world.engine.deadline_ns(run), Some(SECOND));
    let start = world.started();
    world.done(start);
    assert_eq!(world.engine.next_deadline_ns(), None);
}

#[test]
fn a_deadline_in_the_past_is_over_at_the_next_tick() {
    let mut world = World::new();
    let plan = world.single(step(&[]));
    world.advance(SECOND);
    let run = world.accept_with(plan, |accept| accept.deadline_ns = Some(1));
    world.advance(0);
    assert_eq!(world.outcome(run), Some(Outcome::DeadlineExceeded));
}

/// Whether the deadline still stood after a branch's compensation had failed and was resumed hung on what
/// other timers there were, and on a restart.
#[test]
fn a_run_with_nothing_left_but_a_compensation_that_failed_is_not_late() {
    for (wait_ns, crash) in [(0, false), (0, true), (20 * SECOND, false), (20 * SECOND, true)] {
        let mut sketch = Sketch::new();
        let a = sketch.effect("a", &[]);
        let b = sketch.step("b", &[]);
        let race = sketch.race("race", &[a, b]);
        sketch.gives(race);
        let late =
            |accept: &mut penstock_engine::Accept<'_>| accept.deadline_ns = Some(10 * SECOND);
        let mut play = Play::with(Config::default(), sketch, &[], late);
        play.done("b");
        play.stops("a");
        play.fail("a/undo");
        assert_eq!(play.world.engine.status(play.run), Some(RunStatus::CompensationFailed));
        play.advance(wait_ns);
        play.resume();
        if crash {
            play.crash(0);
        }
        play.advance(20 * SECOND);
        play.done("a/undo");
        assert!(play.has_succeeded());
    }
}
